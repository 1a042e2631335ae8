"""Curves: formulas given as text, fitted to data, with SciPy's interface (``curve_fit``)."""

from nncodegen.curve.formula import Formula, read_formula
from nncodegen.curve.interface import curve_fit

__all__ = ["Formula", "curve_fit", "read_formula"]

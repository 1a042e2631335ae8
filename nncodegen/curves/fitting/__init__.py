"""Curves: formulas given as text, fitted to data, with SciPy's interface (``curve_fit``)."""

from nncodegen.curves.fitting.formula import Formula, read_formula
from nncodegen.curves.fitting.interface import curve_fit

__all__ = ["Formula", "curve_fit", "read_formula"]

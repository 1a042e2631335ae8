"""Functions of SymPy's expressions, compiled: ``nncodegen.lambdify``."""

from nncodegen.functions.function import Function
from nncodegen.functions.interface import lambdify

__all__ = ["Function", "lambdify"]

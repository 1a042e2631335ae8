"""The functions of mathematics that a model needs of the C library; the check of models that must do without."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Expr, Function, Pow, Rational, S

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.functions import INLINE
from nncodegen.errors import ModelError

OURS = (*INLINE, "Abs", "sign", "Piecewise")
"""The functions that need no library: nncodegen has them, or they are comparisons."""

ROOTS = (S.Half, -S.Half, Rational(3, 2), -Rational(3, 2))
"""Exponents of square roots, which nncodegen has as well."""


def check_without_library(name: str, expressions: Iterable[Expr]) -> None:
    """Raise ModelError if expressions have functions that only the C library has; powers of ``t`` are products."""
    missing = sorted({function for expression in expressions for function in _of_the_library(expression)})
    if missing:
        raise ModelError(
            f"{name} needs {', '.join(missing)} of the C library, which --no-libm (libm=False) excludes: export it "
            f"without that"
        )


def _of_the_library(expression: Expr) -> set[str]:
    """Return the names of the functions in an expression, outside of constants, that only the C library has."""
    functions = {node.func.__name__ for node in expression.atoms(Function) if node.free_symbols} - {*OURS}
    exponents = (power.exp for power in expression.atoms(Pow) if power.free_symbols)
    general = any(not (e.is_Integer or e in ROOTS or e == Element("t")) for e in exponents)
    return functions | ({"pow"} if general else set())

"""The derivative of a formula as SymPy writes it, for rules and searches that derive many formulas."""

from __future__ import annotations

from functools import lru_cache

import sympy
from sympy import Add, Expr, Function, Mul, Piecewise, Pow, S, log
from sympy.core.function import ArgumentIndexError


@lru_cache(maxsize=5_000)  # formulas that a search compares share most of their parts
def as_sympy_writes(node: Expr, symbol: Expr) -> Expr:
    """Return the derivative of an expression by a symbol as ``sympy.diff`` writes it, in a small part of its time.

    SymPy derives each factor of a product once for each term, and asks of each derivative whether it is 0 everywhere.
    """
    if node == symbol:
        return S.One
    if not node.has(symbol):
        return S.Zero
    if isinstance(node, Piecewise):
        return Piecewise(*((as_sympy_writes(value, symbol), condition) for value, condition in node.args))
    if not (isinstance(node, Add | Mul | Pow) or type(node)._eval_derivative is Function._eval_derivative):
        return sympy.diff(node, symbol)
    slopes = [as_sympy_writes(part, symbol) for part in node.args]
    if isinstance(node, Pow):
        (base, exponent), (of_base, of_exponent) = node.args, slopes
        return node * (of_exponent * log(base) + of_base * exponent / base)
    terms = []
    for k, slope in enumerate(slopes):
        if slope == 0:
            continue
        if isinstance(node, Add):
            terms.append(slope)
        elif isinstance(node, Mul):
            terms.append(Mul(*node.args[:k], slope, *node.args[k + 1 :]))
        else:
            try:
                terms.append(node.fdiff(k + 1) * slope)
            except ArgumentIndexError:  # it has no formula for this argument: SymPy writes a Derivative
                return sympy.diff(node, symbol)
    return Add(*terms)

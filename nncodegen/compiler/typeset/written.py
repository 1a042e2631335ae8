"""Expressions as a book writes them: functions of the compiler as their formulas, long sums in several lines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sympy import Dummy, Expr, Mul, Piecewise, Pow, exp, fraction, log

from nncodegen.compiler.ir import Element, functions
from nncodegen.compiler.ir.functions import StableFunction, erfcx_derivative, faddeeva_derivative, xlogy

WIDTH = 72.0
"""The number of letters for which a line of the page has room, next to the left-hand side of an equation."""

SMALL = 0.7
"""The size of exponents and indices, relative to that of letters."""


def as_written(expression: Expr) -> Expr:
    """Return an expression without the functions that only the compiler knows.

    Each is replaced by the formula that it stands for at ordinary points: ``product_unless_zero(u, v)`` by u*v,
    ``share(u, v)`` by u/(u + v). Functions that a user may write, such as the sigmoid, keep their names.
    """
    written: Expr = expression.replace(_is_ours, _meaning)
    return written


def _is_ours(node: Expr) -> bool:
    """Return whether a node is a function that no user writes, or one that a book writes otherwise."""
    if isinstance(node, xlogy | erfcx_derivative | faddeeva_derivative):
        return True
    return isinstance(node, StableFunction) and type(node).__module__ != functions.__name__


def _meaning(node: Expr) -> Expr:
    """Return the formula that a function stands for at ordinary points, of the arguments of a node."""
    if isinstance(node, xlogy):
        x, y = node.args
        return Mul(x, y.args[0] if isinstance(y, exp) else log(y, evaluate=False), evaluate=False)
    numbers = tuple(argument if argument.is_Integer else None for argument in node.args)
    formula, symbols = _formula(node.func, numbers)
    meant: Expr = formula.xreplace(dict(zip(symbols, node.args, strict=True)))
    return meant


@lru_cache(maxsize=256)
def _formula(function: type[StableFunction], numbers: tuple[Expr | None, ...]) -> tuple[Expr, tuple[Expr, ...]]:
    """Return the definition of a function without the cases at limits, and the symbols of its arguments."""
    symbols = tuple(Dummy(real=True) if number is None else number for number in numbers)
    definition = function.definition(*symbols)
    return definition.replace(Piecewise, lambda *cases: cases[-1].args[0]), symbols


def in_lines(terms: Sequence[Expr], width: float = WIDTH) -> list[list[Expr]]:
    """Return the terms of a sum in lines, each as full as the width allows."""
    lines: list[list[Expr]] = []
    used = 0.0
    for term in terms:
        needed = width_of(term) + 1.5
        if not lines or used + needed > width:
            lines.append([])
            used = 0.0
        lines[-1].append(term)
        used += needed
    return lines


def width_of(node: Expr) -> float:
    """Return the approximate width of an expression, in letters."""
    if isinstance(node, Element):
        return len(node.tensor.removeprefix("d_")) * SMALL + SMALL * len(node.indices)
    if node.is_Symbol or node.is_Number:
        return float(len(str(node)))
    if node.is_Add:
        return sum(width_of(term) + 1.5 for term in node.args) - 1.5
    above, below = fraction(node)
    if below != 1:
        return max(width_of(above), width_of(below))
    if node.is_Mul:
        return sum(width_of(factor) + (2 if factor.is_Add else 0) for factor in node.args)
    if isinstance(node, exp):
        return 1 + SMALL * width_of(node.args[0])
    if isinstance(node, Pow):
        return width_of(node.base) + (2 if node.base.is_Add else 0) + SMALL * width_of(node.exp)
    name = type(node).__name__
    return len(name) + 2 + sum(width_of(part) for part in node.args if isinstance(part, Expr))

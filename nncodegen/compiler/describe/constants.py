"""Checks the numbers in a formula: they must be real, and within the range of its precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Mul, Pow
from sympy.codegen.cfunctions import exp2, expm1

from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.graphs import ExpressionGraph, graph_of
from nncodegen.errors import ModelError

DIGITS = 20

MOST = 10_000
"""Intermediate results beyond 10**MOST, or below 10**-MOST, are refused instead of computed."""

_EXPONENTIALS = (sympy.exp, expm1, exp2, sympy.sinh, sympy.cosh)


def check_numbers(expressions: Iterable[Expr], role: str, precision: str = "float64") -> None:
    """Raise ModelError, naming the culprit, for a number that is not real, or too large for the precision."""
    largest = float(np.finfo(precision).max)
    with mpmath.workdps(DIGITS):
        for number in _numbers(expressions):
            value = _value(number, role)
            if abs(value) > largest:
                raise ModelError(f"{role} contains {_shown(number)}, which is too large for {precision}: scale it")


def _numbers(expressions: Iterable[Any]) -> Iterator[Expr]:
    """Yield the largest constant parts of some expressions, without the numbers that every precision can hold."""
    graph = graph_of(expressions)
    constant = _constant(graph)
    waiting, seen = [*graph.roots], {*graph.roots}
    while waiting:
        number = waiting.pop()
        node, operands = graph.nodes[number], graph.operands[number]
        if constant[number]:
            if _is_rounded(node):
                yield node
            continue
        factors = [operand for operand in operands if constant[operand]]
        if isinstance(node, Mul) and len(factors) > 1:  # its constants are multiplied before anything else is
            product = Mul(*(graph.nodes[factor] for factor in factors))
            operands = tuple(operand for operand in operands if not constant[operand])
            if _is_rounded(product):
                yield product
        new = [operand for operand in operands if operand not in seen]
        seen.update(new)
        waiting.extend(reversed(new))


def _constant(graph: ExpressionGraph) -> list[bool]:
    """Return for each node of a graph whether it is a number: of most, whether all operands are."""
    is_number: list[bool] = []
    for node, operands in zip(graph.nodes, graph.operands, strict=True):
        usual = operands and type(node).is_number is Expr.is_number
        is_number.append(all(is_number[operand] for operand in operands) if usual else bool(node.is_number))
    return is_number


def _is_rounded(number: Any) -> bool:
    """Return whether some precision may not hold a number."""
    return not (number.is_Integer and abs(int(number)) < 2**53) and not isinstance(number, sympy.NumberSymbol)


def _value(number: Expr, role: str) -> Any:
    """Return the value of a number, computed from the inside outwards, so that no intermediate result is huge."""
    if number.is_Rational or number.is_Float or number.is_NumberSymbol:
        return number._to_mpmath(mpmath.mp.prec)
    values = [_value(argument, role) for argument in number.args if isinstance(argument, Expr)]
    grows = isinstance(number, _EXPONENTIALS) and abs(values[0]) > MOST
    if isinstance(number, Pow) and values[0] != 0:
        grows = abs(values[1] * mpmath.log10(abs(values[0]))) > MOST
    try:
        value = None if grows else mpmath.mpmathify(interpret(number, {}, exact=True))
    except (ZeroDivisionError, OverflowError, ValueError, TypeError):
        value = mpmath.nan
    if value is None:
        raise ModelError(f"{role} contains {_shown(number)}, which is too large or too small to compute with")
    if isinstance(value, mpmath.mpc):
        raise ModelError(
            f"{role} is complex: {_shown(number)} is not a real number; nncodegen computes with real numbers"
        )
    if not mpmath.isfinite(value):
        raise ModelError(f"{role} contains {_shown(number)}, which is not a number to compute with")
    return value


def _shown(number: Expr) -> str:
    try:
        text = str(number)
    except ValueError:  # Python writes no integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"

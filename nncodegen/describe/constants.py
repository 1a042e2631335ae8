"""Checks the numbers in a formula: they must be real, and within the range of its precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Mul, Pow
from sympy.codegen.cfunctions import exp2, expm1

from nncodegen.errors import ModelError
from nncodegen.ir.evaluate import interpret

DIGITS = 20

MOST = 10_000
"""Intermediate results beyond 10**MOST, or below 10**-MOST, are refused instead of computed."""

_EXPONENTIALS = (sympy.exp, expm1, exp2, sympy.sinh, sympy.cosh)


def check_numbers(expression: Expr, role: str, precision: str = "float64") -> None:
    """Raise ModelError, naming the culprit, for a number that is not real, or too large for the precision."""
    largest = float(np.finfo(precision).max)
    with mpmath.workdps(DIGITS):
        for number in _numbers(expression):
            value = _value(number, role)
            if abs(value) > largest:
                raise ModelError(f"{role} contains {_shown(number)}, which is too large for {precision}: scale it")


def _numbers(node: Any) -> Iterator[Expr]:
    """Yield the largest constant parts of an expression, without the numbers that every precision can hold."""
    seen: dict[int, Any] = {}  # by the identity of objects, which it keeps alive
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        if isinstance(node, Expr) and node.is_number:
            if not (node.is_Integer and abs(int(node)) < 2**53) and not isinstance(node, sympy.NumberSymbol):
                yield node
            continue
        arguments = node.args
        if isinstance(node, Mul):  # the constants of a product are multiplied before anything else is
            numbers = [argument for argument in node.args if argument.is_number]
            others = (argument for argument in node.args if not argument.is_number)
            arguments = (*([Mul(*numbers)] if len(numbers) > 1 else numbers), *others)
        waiting.extend(reversed(arguments))


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

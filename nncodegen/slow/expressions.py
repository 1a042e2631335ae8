"""Expressions as functions of arrays: translated once, then called for every batch.

``ir.evaluate`` walks an expression each time it is evaluated, which takes ten times as long as its arithmetic for a
small batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy
from sympy import Expr

from nncodegen.ir import Element
from nncodegen.ir.arithmetics import LOGIC, RELATIONS
from nncodegen.ir.elementary import POWER, Elementary
from nncodegen.ir.functions import NAN, StableFunction
from nncodegen.ir.walk import Arithmetic, Asking, walk

Values = Sequence[Any]
"""The values of the operands of an expression, in their order."""

Function = Callable[[Values], Any]


def translated(node: Any, operands: Sequence[Element]) -> Function:
    """Return an expression as a function of the values of its operands, arrays that NumPy can broadcast."""
    return walk(node, _Functions(operands))


class _Functions(Arithmetic[Function]):
    """The translation of expressions to functions of the values of their operands."""

    def __init__(self, operands: Sequence[Element]) -> None:
        self._operands = tuple(operands)

    def number(self, node: Any) -> Function:
        """Return a function that returns a number, as a NumPy scalar: a division by it never raises."""
        if node in (sympy.true, sympy.false):
            number: Any = np.bool_(bool(node))
        else:
            number = np.float64(np.nan if node is NAN else float(node))
        return lambda values: number

    def element(self, element: Element) -> Function:
        """Return a function that returns the value of an operand."""
        place = self._operands.index(element)
        return lambda values: values[place]

    def form(self, function: StableFunction) -> Expr:
        """Return the stable form of a function."""
        return function.stable(*function.args)

    def add(self, values: Sequence[Function]) -> Function:
        """Return a function that adds the values of others."""
        return _joined(np.add, values)

    def multiply(self, values: Sequence[Function]) -> Function:
        """Return a function that multiplies the values of others."""
        return _joined(np.multiply, values)

    def power(self, base: Function, exponent: Function, symbol: Expr) -> Function:
        """Return a function that computes a power; roots and reciprocals as in C."""
        if symbol == sympy.Rational(1, 2):
            return lambda values: np.sqrt(base(values))
        if symbol == -1:
            return lambda values: np.float64(1) / base(values)
        return _called(POWER.array, [base, exponent])

    def call(self, function: Elementary, values: Sequence[Function]) -> Function:
        """Return a function that calls an elementary function."""
        return _called(function.array, values)

    def compare(self, relation: str, left: Function, right: Function) -> Function:
        """Return a function that compares two values."""
        return _called(RELATIONS[relation], [left, right])

    def logic(self, name: str, values: Sequence[Function]) -> Function:
        """Return a function that combines conditions."""
        return _joined(LOGIC[name], values) if len(values) > 1 else _called(LOGIC[name], values)

    def choose(self, branches: Sequence[Any]) -> Asking[Function]:
        """Return a function that returns the value of the first branch whose condition holds; NaN if none does."""
        pairs = []
        for value, condition in branches:
            holds = yield condition
            pairs.append((holds, (yield value)))

        def chosen(values: Values) -> Any:
            result: Any = np.float64(np.nan)
            for holds, function in reversed(pairs):
                result = np.where(holds(values), function(values), result)
            return result

        return chosen


def _called(function: Callable[..., Any], arguments: Sequence[Function]) -> Function:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda values: function(only(values))
    return lambda values: function(*(argument(values) for argument in arguments))


def _joined(function: Callable[[Any, Any], Any], arguments: Sequence[Function]) -> Function:
    """Return a function that applies another one, of two arguments, to several from left to right."""
    if len(arguments) == 2:
        first, second = arguments
        return lambda values: function(first(values), second(values))
    return lambda values: reduce(function, (argument(values) for argument in arguments))

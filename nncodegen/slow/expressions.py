"""Expressions as functions of arrays: translated once, then called for every batch.

``ir.evaluate`` walks an expression again whenever it is evaluated, which takes ten times as long as its arithmetic does
for a small batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy
from sympy import Add, Mul, Piecewise, Pow
from sympy.core.relational import Relational

from nncodegen.errors import ProgramError
from nncodegen.ir import Element
from nncodegen.ir.elementary import FUNCTIONS
from nncodegen.ir.evaluate import LOGIC, RELATIONS
from nncodegen.ir.functions import NAN, StableFunction

Values = Sequence[Any]
"""The values of the operands of an expression, in their order."""

Function = Callable[[Values], Any]


def translated(node: Any, operands: Sequence[Element]) -> Function:
    """An expression as a function of the values of its operands, which are arrays that NumPy can broadcast."""
    if isinstance(node, Element):
        place = operands.index(node)
        return lambda values: values[place]
    if isinstance(node, StableFunction):
        return translated(node.stable(*node.args), operands)
    if isinstance(node, Piecewise):
        return _piecewise(node, operands)
    if node.is_Atom:
        number = _number(node)
        return lambda values: number
    arguments = [translated(argument, operands) for argument in node.args]
    if isinstance(node, Add | Mul):
        return _joined(np.add if isinstance(node, Add) else np.multiply, arguments)
    if isinstance(node, Pow):
        return _power(arguments[0], arguments[1], node.exp)
    if isinstance(node, Relational):
        return _called(RELATIONS[node.rel_op], arguments)
    if node.is_Boolean:
        name = node.func.__name__
        return _joined(LOGIC[name], arguments) if len(arguments) > 1 else _called(np.logical_not, arguments)
    name = node.func.__name__
    if name not in FUNCTIONS:
        raise ProgramError(f"{name} cannot be evaluated, in: {node}")
    return _called(FUNCTIONS[name].array, arguments)


def _number(node: Any) -> Any:
    """A number, as NumPy knows it: a division by it never raises."""
    if node in (sympy.true, sympy.false):
        return np.bool_(bool(node))
    return np.float64(np.nan if node is NAN else float(node))


def _called(function: Callable[..., Any], arguments: Sequence[Function]) -> Function:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda values: function(only(values))
    return lambda values: function(*(argument(values) for argument in arguments))


def _joined(function: Callable[[Any, Any], Any], arguments: Sequence[Function]) -> Function:
    """A function of two arguments, applied to more of them from left to right."""
    if len(arguments) == 2:
        first, second = arguments
        return lambda values: function(first(values), second(values))
    return lambda values: reduce(function, (argument(values) for argument in arguments))


def _power(base: Function, exponent: Function, symbol: Any) -> Function:
    if symbol == sympy.Rational(1, 2):
        return lambda values: np.sqrt(base(values))
    if symbol == -1:
        return lambda values: np.float64(1) / base(values)
    return lambda values: np.power(base(values), exponent(values))


def _piecewise(node: Piecewise, operands: Sequence[Element]) -> Function:
    """The value of the first condition that holds; NaN where none does."""
    pairs = [(translated(value, operands), translated(condition, operands)) for value, condition in node.args]

    def chosen(values: Values) -> Any:
        result: Any = np.float64(np.nan)
        for value, condition in reversed(pairs):
            result = np.where(condition(values), value(values), result)
        return result

    return chosen

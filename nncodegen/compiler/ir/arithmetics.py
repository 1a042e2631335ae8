"""Evaluation of expressions: over arrays of NumPy, or over numbers of mpmath, one at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Mul, Pow

from nncodegen.compiler.ir.element import Element
from nncodegen.compiler.ir.elementary import POWER, Elementary
from nncodegen.compiler.ir.functions import NAN, StableFunction
from nncodegen.compiler.ir.walk import Arithmetic, Asking

RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

LOGIC: Mapping[str, Callable[..., Any]] = {"And": np.logical_and, "Or": np.logical_or, "Not": np.logical_not}


class Values(Arithmetic[Any]):
    """The common operations of arrays and numbers; ``values`` are those of elements."""

    def __init__(self, values: Mapping[Element, Any]) -> None:
        self._values = values

    def element(self, element: Element) -> Any:
        """Return the value of an element."""
        return self._values[element]

    def add(self, values: Sequence[Any]) -> Any:
        """Return the sum of values, in their order."""
        return reduce(operator.add, values)

    def multiply(self, values: Sequence[Any]) -> Any:
        """Return the product of values, in their order."""
        return reduce(operator.mul, values)

    def compare(self, relation: str, left: Any, right: Any) -> Any:
        """Return whether two values are in a relation."""
        return RELATIONS[relation](left, right)


class Arrays(Values):
    """Arrays of floating-point numbers, which NumPy computes for all indices at once; functions by their stable forms.

    All branches of a choice are computed.
    """

    def number(self, node: Any) -> Any:
        """Return a number in the form that NumPy takes."""
        if node is sympy.true or node is sympy.false:  # their comparison with a number takes long
            return bool(node)
        return np.nan if node is NAN else float(node)

    def form(self, function: StableFunction) -> Expr:
        """Return the stable form of a function."""
        return _stable(function)

    def product(self, node: Mul) -> Asking[Any]:
        """Return a product; that of an element and the reciprocal of another is one division, as in C."""
        sign, parts = (-1, node.args[1:]) if node.args[0] == -1 else (1, node.args)
        below = [part for part in parts if isinstance(part, Pow) and part.exp == -1 and isinstance(part.base, Element)]
        if len(parts) != 2 or len(below) != 1:
            return (yield from super().product(node))
        above, divisor = (yield parts[parts[0] is below[0]]), (yield below[0].base)
        return sign * above / divisor

    def power(self, base: Any, exponent: Any, symbol: Expr) -> Any:
        """Return a power; roots and reciprocals are computed as in C."""
        if symbol == sympy.Rational(1, 2):
            return np.sqrt(base)
        if symbol == 2:  # as in C: a power of NumPy 1 is off by more than the rounding, in float32
            return base * base
        return 1 / base if symbol == -1 else POWER.array(base, exponent)

    def call(self, function: Elementary, values: Sequence[Any]) -> Any:
        """Return the values of a function."""
        return function.array(*values)

    def logic(self, name: str, values: Sequence[Any]) -> Any:
        """Return the logical combination of conditions, element by element."""
        return reduce(LOGIC[name], values) if len(values) > 1 else LOGIC[name](*values)

    def choose(self, branches: Sequence[Any]) -> Asking[Any]:
        """Ask for all branches, the last one first; return the value of the first condition that holds."""
        result: Any = self.number(NAN)  # beside numbers alone, NumPy 1 takes the NaN of Python for float64
        for value, condition in reversed(branches):
            holds = yield condition
            result = np.where(holds, (yield value), result)
        return result


class Exact(Values):
    """Numbers of mpmath, in its precision; functions by their definitions.

    Of a choice, only the branch that applies is computed: the others need not be defined.
    """

    def number(self, node: Any) -> Any:
        """Return a number in the precision of mpmath."""
        if node is sympy.true or node is sympy.false:  # their comparison with a number takes long
            return bool(node)
        return mpmath.nan if node is NAN else node._to_mpmath(mpmath.mp.prec)

    def form(self, function: StableFunction) -> Expr:
        """Return the definition of a function."""
        return _definition(function)

    def power(self, base: Any, exponent: Any, symbol: Expr) -> Any:
        """Return a power."""
        return POWER.exact(base, exponent)

    def call(self, function: Elementary, values: Sequence[Any]) -> Any:
        """Return the value of a function."""
        return function.exact(*values)

    def logic(self, name: str, values: Sequence[Any]) -> bool:
        """Return whether conditions hold."""
        return not values[0] if name == "Not" else all(values) if name == "And" else any(values)

    def choose(self, branches: Sequence[Any]) -> Asking[Any]:
        """Ask for conditions up to the first that holds, and for its value; return this value."""
        for value, condition in branches:
            if (yield condition):
                return (yield value)
        return mpmath.nan


@lru_cache(maxsize=10_000)  # numbers are computed one by one
def _definition(function: StableFunction) -> Expr:
    return function.definition(*function.args)


@lru_cache(maxsize=1000)
def _stable(function: StableFunction) -> Expr:
    return function.stable(*function.args)


def stable_of_arguments(function: StableFunction) -> Expr:
    """Return the stable form of a function, with elements ``argument(k)`` in the places of its arguments.

    Numbers stay: a form may depend on them, as on the order of a derivative.
    """
    return _of_arguments(function.func, tuple(part if part.is_number else None for part in function.args))


@lru_cache(maxsize=1000)
def _of_arguments(kind: type[StableFunction], numbers: tuple[Expr | None, ...]) -> Expr:
    return kind.stable(*(argument(k) if number is None else number for k, number in enumerate(numbers)))


def argument(k: int) -> Element:
    """Return the element in the place of an argument."""
    return Element(f"argument {k}")

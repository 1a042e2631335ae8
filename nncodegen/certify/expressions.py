"""The values and the derivatives of expressions, one number after the other, by the chain rule.

An expression is first written as a list of operations, each of which is done once for a value. Branches that do not
apply are never computed: they need not be defined.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Add, Expr, Mul, Piecewise, Pow
from sympy.core.relational import Relational
from sympy.logic.boolalg import ITE

from nncodegen.certify.functions import call, call_all
from nncodegen.errors import ProgramError
from nncodegen.ir import Element, elements
from nncodegen.ir.elementary import FUNCTIONS, NAN, POWER, Number
from nncodegen.ir.functions import NAN as UNDEFINED
from nncodegen.ir.functions import StableFunction

RELATIONS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

LOGIC: dict[str, Callable[[list[Any]], bool]] = {
    "And": all,
    "Or": any,
    "Not": lambda one: not one[0],
    "Xor": lambda parts: sum(map(bool, parts)) % 2 == 1,
}

Operation = tuple[str, Any, tuple[int, ...]]
"""What is done, with which data, to the results of which operations before."""


class Formula:
    """An expression, to be evaluated at many places."""

    def __init__(self, expression: Expr) -> None:
        self.operands = elements(expression)
        self._operations: list[Operation] = []
        self._numbers: dict[Any, int] = {}
        self._constants: dict[tuple[int, int], Number] = {}
        self._result = self._add(expression)

    def _add(self, node: Any) -> int:
        """The number of the operation that computes a node."""
        if node not in self._numbers:
            operation = self._operation(node)
            self._numbers[node] = len(self._operations)
            self._operations.append(operation)
        return self._numbers[node]

    def _operation(self, node: Any) -> Operation:
        if isinstance(node, Element):
            return "element", self.operands.index(node), ()
        if isinstance(node, StableFunction):  # by its definition: its stable form and its derivative are rules
            return "same", None, (self._add(node.definition(*node.args)),)
        if isinstance(node, Piecewise):
            return "piecewise", None, tuple(self._add(part) for pair in node.args for part in pair)
        if isinstance(node, ITE):
            return self._operation(Piecewise((node.args[1], node.args[0]), (node.args[2], True), evaluate=False))
        if node.is_Atom:
            return "number", node, ()
        arguments = tuple(self._add(argument) for argument in node.args)
        if isinstance(node, Add | Mul):
            return ("add" if isinstance(node, Add) else "multiply"), None, arguments
        if isinstance(node, Pow):
            return "call", POWER, arguments
        if isinstance(node, Relational):
            return "compare", node.rel_op, arguments
        if node.is_Boolean:
            return "logic", node.func.__name__, arguments
        if node.func.__name__ not in FUNCTIONS:
            raise ProgramError(f"{node.func.__name__} has no exact value that a certificate knows, in: {node}")
        return "call", FUNCTIONS[node.func.__name__], arguments

    def value(self, operands: tuple[Number, ...]) -> Number:
        """The value, given those of the operands."""
        return self._value(self._result, operands, {})

    def partials(self, operands: tuple[Number, ...]) -> tuple[Number, ...]:
        """The derivatives by all operands, by the chain rule from the result back."""
        found: dict[int, Any] = {}
        self._value(self._result, operands, found)
        gathered = dict.fromkeys(range(len(self._operations)), mpmath.mpf(0))
        gathered[self._result] = mpmath.mpf(1)
        derivatives = [mpmath.mpf(0)] * len(operands)
        for number in sorted(found, reverse=True):
            received = gathered[number]
            kind, data, _ = self._operations[number]
            if kind == "element":
                derivatives[data] += received
            elif received != 0:
                for argument, partial in self._chain(number, found):
                    if partial != 0:
                        gathered[argument] += received * partial
        return tuple(derivatives)

    def _value(self, number: int, operands: tuple[Number, ...], found: dict[int, Any]) -> Any:
        """The result of an operation; it and those that it takes are noted."""
        if number not in found:
            found[number] = self._compute(number, operands, found)
        return found[number]

    def _compute(self, number: int, operands: tuple[Number, ...], found: dict[int, Any]) -> Any:
        kind, data, arguments = self._operations[number]
        if kind == "element":
            return operands[data]
        if kind == "number":
            return self._number(number, data)
        if kind == "piecewise":
            for value, condition in zip(arguments[::2], arguments[1::2], strict=True):
                if self._value(condition, operands, found):
                    return self._value(value, operands, found)
            return NAN
        values = [self._value(argument, operands, found) for argument in arguments]
        if kind == "same":
            return values[0]
        if kind == "add":
            return reduce(operator.add, values)
        if kind == "multiply":
            return reduce(operator.mul, values)
        if kind == "compare":
            return RELATIONS[data](*values)
        if kind == "logic":
            return LOGIC[data](values)
        return call(data.exact, *values)

    def _chain(self, number: int, found: dict[int, Any]) -> list[tuple[int, Number]]:
        """The derivatives of an operation by its arguments."""
        kind, data, arguments = self._operations[number]
        one = mpmath.mpf(1)
        if kind == "piecewise":  # the first condition that holds chooses
            pairs = zip(arguments[::2], arguments[1::2], strict=True)
            chosen = next((value for value, condition in pairs if found.get(condition)), None)
            return [] if chosen is None else [(chosen, one)]
        if kind in ("same", "add"):
            return [(argument, one) for argument in arguments]
        values = [found[argument] for argument in arguments]
        if kind == "multiply":
            return [
                (argument, reduce(operator.mul, (v for j, v in enumerate(values) if j != k), one))
                for k, argument in enumerate(arguments)
            ]
        if kind != "call":
            return []
        if data is POWER and self._operations[arguments[1]][0] == "number":  # no logarithm of the base
            exponent = values[1]
            by_base = exponent * call(POWER.exact, values[0], exponent - 1) if exponent != 0 else mpmath.mpf(0)
            return [(arguments[0], by_base)]
        partials = call_all(data.partials, found[number], *values)
        return list(zip(arguments, partials or [NAN] * len(arguments), strict=True))

    def _number(self, number: int, node: Any) -> Any:
        key = (number, mpmath.mp.prec)
        if key not in self._constants:
            self._constants[key] = _constant(node)
        return self._constants[key]


def _constant(node: Any) -> Any:
    if node in (sympy.true, sympy.false):
        return bool(node)
    if node is UNDEFINED or node is sympy.nan or node is sympy.zoo:
        return NAN
    if node in (sympy.oo, -sympy.oo):
        return mpmath.inf if node is sympy.oo else -mpmath.inf
    if node.is_Rational:
        return mpmath.mpf(int(node.p)) / int(node.q)
    return mpmath.mpf(node._to_mpmath(mpmath.mp.prec))


@lru_cache(maxsize=10_000)
def formula(expression: Expr) -> Formula:
    """The formula of an expression."""
    return Formula(expression)


def scaled(expression: Expr, total: Any) -> Any:
    """A sum of products of elements, times the number that an expression has in front of them."""
    coefficient = formula(expression.as_coeff_Mul()[0]).value(())
    return total if coefficient == 1 else np.asarray(coefficient * total, dtype=object)

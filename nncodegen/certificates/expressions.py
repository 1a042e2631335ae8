"""The values and the derivatives of expressions, one number after the other, by the chain rule.

An expression is first written as a tape of operations, each of which is computed once for a value. Branches that do not
apply are never computed: they need not be defined.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr

from nncodegen.certificates.functions import call, call_all
from nncodegen.compiler.ir import Element, elements
from nncodegen.compiler.ir.arithmetics import Exact
from nncodegen.compiler.ir.elementary import NAN, POWER, Elementary, Number
from nncodegen.compiler.ir.functions import NAN as UNDEFINED
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.walk import Arithmetic, Asking, walk
from nncodegen.errors import ProgramError


class Certain(Exact):
    """Numbers of mpmath; a result that is not real, or not defined, is NaN."""

    def number(self, node: Any) -> Any:
        """Return a number in the precision of mpmath."""
        if node in (sympy.true, sympy.false):
            return bool(node)
        if node is UNDEFINED or node is sympy.nan or node is sympy.zoo:
            return NAN
        if node in (sympy.oo, -sympy.oo):
            return mpmath.inf if node is sympy.oo else -mpmath.inf
        if node.is_Rational:
            return mpmath.mpf(int(node.p)) / int(node.q)
        return mpmath.mpf(node._to_mpmath(mpmath.mp.prec))

    def power(self, base: Any, exponent: Any, symbol: Expr) -> Any:
        """Return a power."""
        return call(POWER.exact, base, exponent)

    def call(self, function: Elementary, values: Sequence[Any]) -> Any:
        """Return the value of a function."""
        return call(function.exact, *values)


CERTAIN = Certain({})

Chain = Callable[..., Sequence[Number]]
"""The derivatives of an operation by its arguments, given its value and theirs."""


@dataclass(frozen=True)
class Operand:
    """The value of an operand, by its place."""

    place: int


@dataclass(frozen=True)
class Constant:
    """A number, as a SymPy object."""

    number: Any


@dataclass(frozen=True)
class Operation:
    """One operation: the numbers of the operations whose results it reads, its value, and its derivatives."""

    arguments: tuple[int, ...]
    value: Callable[[Sequence[Any]], Any]
    chain: Chain


@dataclass(frozen=True)
class Choice:
    """The value of the first condition that holds; ``pairs`` are the operation numbers of (value, condition)."""

    pairs: tuple[tuple[int, int], ...]

    def chosen(self, values: Mapping[int, Any]) -> int | None:
        """Return the number of the value that applies, as far as conditions are known."""
        return next((value for value, condition in self.pairs if values.get(condition)), None)


def _ones(value: Number, arguments: Sequence[Number]) -> list[Number]:
    """Return the derivatives of a sum."""
    return [mpmath.mpf(1)] * len(arguments)


def _others(value: Number, arguments: Sequence[Number]) -> list[Number]:
    """Return the derivatives of a product: the products of the other factors."""
    product = mpmath.mpf(1)
    return [
        reduce(operator.mul, (other for j, other in enumerate(arguments) if j != k), product)
        for k in range(len(arguments))
    ]


def _nothing(value: Any, arguments: Sequence[Any]) -> list[Number]:
    """Return the derivatives of a condition: 0."""
    return [mpmath.mpf(0)] * len(arguments)


def _by_base(value: Number, arguments: Sequence[Number]) -> list[Number]:
    """Return the derivative of a power by its base, where the exponent is a constant: without a logarithm."""
    base, exponent = arguments
    by_base = exponent * call(POWER.exact, base, exponent - 1) if exponent != 0 else mpmath.mpf(0)
    return [by_base, mpmath.mpf(0)]


def _chain_of(function: Elementary) -> Chain:
    """Return the derivatives of a function; NaN where they do not exist."""

    def partials(value: Number, arguments: Sequence[Number]) -> Sequence[Number]:
        return call_all(function.partials, value, *arguments) or [NAN] * len(arguments)

    return partials


class _Recorder(Arithmetic[int]):
    """Writes an expression to a tape; a value is the number of an operation."""

    def __init__(self, operands: Sequence[Element]) -> None:
        self.tape: list[Operand | Constant | Operation | Choice] = []
        self._operands = tuple(operands)

    def _record(self, operation: Operand | Constant | Operation | Choice) -> int:
        self.tape.append(operation)
        return len(self.tape) - 1

    def number(self, node: Any) -> int:
        """Record a constant."""
        return self._record(Constant(node))

    def element(self, element: Element) -> int:
        """Record an operand."""
        return self._record(Operand(self._operands.index(element)))

    def form(self, function: StableFunction) -> Expr:
        """Return the definition of a function: its stable form and its derivative are rules of the compiler."""
        return function.definition(*function.args)

    def add(self, values: Sequence[int]) -> int:
        """Record a sum."""
        return self._record(Operation(tuple(values), CERTAIN.add, _ones))

    def multiply(self, values: Sequence[int]) -> int:
        """Record a product."""
        return self._record(Operation(tuple(values), CERTAIN.multiply, _others))

    def power(self, base: int, exponent: int, symbol: Expr) -> int:
        """Record a power."""
        chain = _by_base if isinstance(self.tape[exponent], Constant) else _chain_of(POWER)

        def value(pair: Sequence[Any]) -> Any:
            return CERTAIN.power(pair[0], pair[1], symbol)

        return self._record(Operation((base, exponent), value, chain))

    def call(self, function: Elementary, values: Sequence[int]) -> int:
        """Record the call of a function."""
        return self._record(
            Operation(tuple(values), lambda numbers: CERTAIN.call(function, numbers), _chain_of(function))
        )

    def compare(self, relation: str, left: int, right: int) -> int:
        """Record a comparison."""
        return self._record(Operation((left, right), lambda pair: CERTAIN.compare(relation, *pair), _nothing))

    def logic(self, name: str, values: Sequence[int]) -> int:
        """Record a condition of conditions."""
        return self._record(Operation(tuple(values), lambda numbers: CERTAIN.logic(name, numbers), _nothing))

    def choose(self, branches: Sequence[Any]) -> Asking[int]:
        """Record a choice, of which all branches are on the tape."""
        pairs = []
        for value, condition in branches:
            number = yield value
            pairs.append((number, (yield condition)))
        return self._record(Choice(tuple(pairs)))

    def unknown(self, node: Any) -> Exception:
        """Return the error for an unknown function."""
        return ProgramError(f"{node.func.__name__} has no exact value that a certificate knows, in: {node}")


class CompiledExpression:
    """An expression, to be evaluated at many places."""

    def __init__(self, expression: Expr) -> None:
        self.operands = elements(expression)
        recorder = _Recorder(self.operands)
        self._result = walk(expression, recorder)
        self._tape = tuple(recorder.tape)
        self._chooses = any(isinstance(entry, Choice) for entry in self._tape)
        self._constants: dict[tuple[int, int], Number] = {}

    def value(self, operands: Sequence[Number]) -> Number:
        """Return the value, given those of the operands."""
        return self._run(operands)[self._result]

    def partials(self, operands: Sequence[Number]) -> tuple[Number, ...]:
        """Return the derivatives by all operands, by the chain rule from the result back."""
        results = self._run(operands)
        gathered = dict.fromkeys(range(len(self._tape)), mpmath.mpf(0))
        gathered[self._result] = mpmath.mpf(1)
        derivatives = [mpmath.mpf(0)] * len(operands)
        for number in sorted(results, reverse=True):
            received, entry = gathered[number], self._tape[number]
            if isinstance(entry, Operand):
                derivatives[entry.place] += received
            elif received != 0:
                for argument, partial in _partials(entry, results, results[number]):
                    if partial != 0:
                        gathered[argument] += received * partial
        return tuple(derivatives)

    def _run(self, operands: Sequence[Number]) -> dict[int, Any]:
        """Return the results of all entries that the last entry of the tape needs, by their numbers."""
        results: dict[int, Any] = {}
        if not self._chooses:  # all of the tape is needed, in its order
            for number in range(len(self._tape)):
                results[number] = self._compute(number, operands, results)
            return results
        waiting = [self._result]
        while waiting:
            number = waiting[-1]
            if number not in results:
                wanted = _wanted(self._tape[number], results)
                if wanted:
                    waiting.extend(wanted)
                    continue
                results[number] = self._compute(number, operands, results)
            waiting.pop()
        return results

    def _compute(self, number: int, operands: Sequence[Number], results: Mapping[int, Any]) -> Any:
        entry = self._tape[number]
        if isinstance(entry, Operation):
            return entry.value([results[argument] for argument in entry.arguments])
        if isinstance(entry, Operand):
            return operands[entry.place]
        if isinstance(entry, Choice):
            chosen = entry.chosen(results)
            return NAN if chosen is None else results[chosen]
        key = (number, mpmath.mp.prec)
        if key not in self._constants:
            self._constants[key] = CERTAIN.number(entry.number)
        return self._constants[key]


def _wanted(entry: Operand | Constant | Operation | Choice, results: Mapping[int, Any]) -> list[int]:
    """Return the entries that must be computed before an entry of a tape, the first of them last."""
    if isinstance(entry, Operation):
        return [argument for argument in reversed(entry.arguments) if argument not in results]
    for value, condition in entry.pairs if isinstance(entry, Choice) else ():
        if condition not in results:
            return [condition]
        if results[condition]:
            return [] if value in results else [value]
    return []


def _partials(entry: Constant | Operation | Choice, results: Mapping[int, Any], value: Any) -> list[tuple[int, Number]]:
    """Return the entries on which an entry of a tape depends, each with the derivative by it."""
    if isinstance(entry, Operation):
        partials = entry.chain(value, [results[argument] for argument in entry.arguments])
        return list(zip(entry.arguments, partials, strict=True))
    chosen = entry.chosen(results) if isinstance(entry, Choice) else None
    return [] if chosen is None else [(chosen, mpmath.mpf(1))]


@lru_cache(maxsize=10_000)
def formula(expression: Expr) -> CompiledExpression:
    """Return the formula of an expression."""
    return CompiledExpression(expression)


def scaled(expression: Expr, total: Any) -> Any:
    """Return a sum of products of elements, times the numeric factor of an expression."""
    coefficient = formula(expression.as_coeff_Mul()[0]).value(())
    return total if coefficient == 1 else np.asarray(coefficient * total, dtype=object)

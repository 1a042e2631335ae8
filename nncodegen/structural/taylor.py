"""Power series in time of the values of a tape, with their derivatives by all unknowns, coefficient by coefficient.

The series of several experiments are computed side by side. A product of series is a convolution, a quotient and a
function are recurrences (A. Griewank and A. Walther, Evaluating Derivatives, 2008, chapter 13); the derivatives by the
unknowns follow as dual numbers with a tangent for each. The coefficients of a state follow from those of its rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Integer, Symbol

from nncodegen.structural.fields import Array, Field
from nncodegen.structural.tape import INVERSE, LEAF, NUMBER, PRODUCT, SUM, Operation, Tape


@dataclass(frozen=True)
class Series:
    """Coefficients, (orders, experiments), and their tangents, (orders, experiments, unknowns), None for zeros.

    What does not vary in time has one order.
    """

    values: Array
    tangents: Array | None = None


def constant(field: Field, values: Array, unknowns: int = 0, columns: Sequence[int] | None = None) -> Series:
    """Return the series of a constant, (experiments,), with the tangent 1 for its column of unknowns in each."""
    if columns is None:
        return Series(values[None])
    tangents = field.zeros((1, len(values), unknowns))
    tangents[0, np.arange(len(values)), columns] = field.number(Integer(1))
    return Series(values[None], tangents)


class Taylor:
    """The series of all operations of a tape.

    ``leaves`` has the series of symbols that are known; ``states`` maps the other ones to the places of their values at
    the first time and of their rates, None for a rate of 0.
    """

    def __init__(
        self,
        tape: Tape,
        field: Field,
        leaves: Mapping[Symbol, Series],
        states: Mapping[Symbol, tuple[int, int]],
        sizes: tuple[int, int, int],
    ) -> None:
        self._tape, self._field, self._leaves, self._states = tape, field, leaves, states
        self._most, self._experiments, self._unknowns = sizes
        self._series: list[Series] = []
        self._rates: list[tuple[Series, int]] = []
        self.orders = 0
        """The number of coefficients that are computed."""

    def advance(self) -> None:
        """Compute the next coefficient of all series. Raises SingularError and NotRationalError."""
        order = self.orders
        if order == 0:
            for operation in self._tape.operations:
                self._series.append(self._first(operation))
        else:
            for rate, place in self._rates:
                self._integrate(self._series[place], rate, order)
            for operation, series in zip(self._tape.operations, self._series, strict=True):
                if operation.varies and operation.kind != LEAF:
                    self._next(operation, series, order)
        if order == 0:
            self._rates = [
                (self._series[self._states[operation.of][1]], place)
                for place, operation in enumerate(self._tape.operations)
                if operation.kind == LEAF and operation.of in self._states
            ]
        self.orders += 1

    def of(self, place: int) -> Series:
        """Return the series of an operation."""
        return self._series[place]

    def _empty(self, operation: Operation) -> Series:
        orders = self._most if operation.varies else 1
        shape = (orders, self._experiments)
        tangents = self._field.zeros((*shape, self._unknowns)) if operation.moves else None
        return Series(self._field.zeros(shape), tangents)

    def _first(self, operation: Operation) -> Series:
        """Return a new series with its first coefficient."""
        field = self._field
        if operation.kind == LEAF and operation.of not in self._states:
            return self._leaves[operation.of]
        series = self._empty(operation)
        if operation.kind == NUMBER:
            series.values[:] = field.number(operation.of)
        elif operation.kind == LEAF:
            begin = self._series[self._states[operation.of][0]]
            self._set(series, 0, begin.values[0], None if begin.tangents is None else begin.tangents[0])
        elif operation.kind in (SUM, PRODUCT):
            self._next(operation, series, 0)
        elif operation.kind == INVERSE:
            below = self._series[operation.operands[0]]
            inverse = field.inverse(below.values[0])
            slope = field.clean(-field.clean(inverse * inverse))
            self._set(series, 0, inverse, self._scaled(slope, below))
        else:
            operands = [self._series[operand] for operand in operation.operands]
            value, slopes = field.call(operation.of, [operand.values[0] for operand in operands])
            tangent = None
            for slope, operand in zip(slopes, operands, strict=True):
                part = self._scaled(slope, operand)
                tangent = part if tangent is None else tangent if part is None else field.clean(tangent + part)
            self._set(series, 0, value, tangent)
        return series

    def _next(self, operation: Operation, series: Series, order: int) -> None:
        """Add a coefficient to the series of an operation."""
        field, operands = self._field, [self._series[operand] for operand in operation.operands]
        if operation.kind == SUM:
            there = [operand for operand in operands if order < len(operand.values)]
            value = field.clean(sum(operand.values[order] for operand in there))
            moving = [operand.tangents[order] for operand in there if operand.tangents is not None]
            self._set(series, order, value, field.clean(sum(moving)) if moving else None)
        elif operation.kind == PRODUCT:
            self._set(series, order, *self._convolved(operands[0], operands[1], order))
        elif operation.kind == INVERSE:
            value, tangent = self._convolved(operands[0], series, order, first=1)
            minus = field.clean(-series.values[0])
            slope = None if tangent is None else field.clean(minus[:, None] * tangent)
            if series.tangents is not None:
                other = field.clean(-field.clean(value[:, None] * series.tangents[0]))
                slope = other if slope is None else field.clean(slope + other)
            self._set(series, order, field.clean(minus * value), slope)
        else:
            value, moving = field.zeros((self._experiments,)), []
            for operand, place in zip(operands, operation.slopes, strict=True):
                if place is not None:
                    part, tangent = self._convolved(operand, self._series[place], order, first=1, weighted=True)
                    value = field.clean(value + part)
                    moving += [] if tangent is None else [tangent]
            below = field.number(Integer(1) / order)
            slope = field.clean(field.clean(sum(moving)) * below) if moving else None
            self._set(series, order, field.clean(value * below), slope)

    def _integrate(self, series: Series, rate: Series, order: int) -> None:
        """Set a coefficient of a state from that of its rate before it."""
        if order > len(rate.values):
            return
        below = self._field.number(Integer(1) / order)
        tangent = None if rate.tangents is None else self._field.clean(rate.tangents[order - 1] * below)
        self._set(series, order, self._field.clean(rate.values[order - 1] * below), tangent)

    def _convolved(
        self, left: Series, right: Series, order: int, first: int = 0, weighted: bool = False
    ) -> tuple[Array, Array | None]:
        """Return a coefficient of a product of series, with its tangent.

        Terms of the left series before ``first`` are left out; with ``weighted``, each counts by its order.
        """
        field = self._field
        last = min(order, len(left.values) - 1)
        first = max(first, order - len(right.values) + 1)
        if first > last:
            return field.zeros((self._experiments,)), None
        ahead = slice(first, last + 1)
        back = slice(order - last, order - first + 1)
        a, b = left.values[ahead], right.values[back][::-1]
        weights: Any = 1
        if weighted:
            weights = np.arange(first, last + 1)[:, None]
            a = field.clean(a * weights)
        value = field.total([(a, b)])
        parts = []
        if left.tangents is not None:
            moved = left.tangents[ahead]
            parts.append((field.clean(moved * weights[:, :, None]) if weighted else moved, b[:, :, None]))
        if right.tangents is not None:
            parts.append((right.tangents[back][::-1], a[:, :, None]))
        return value, field.total(parts) if parts else None

    def _scaled(self, slope: Array, series: Series) -> Array | None:
        return None if series.tangents is None else self._field.clean(slope[:, None] * series.tangents[0])

    @staticmethod
    def _set(series: Series, order: int, value: Array, tangent: Array | None) -> None:
        series.values[order] = value
        if tangent is not None and series.tangents is not None:
            series.tangents[order] = tangent

"""Experiments: the random points at which a system is evaluated, and the values of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Basic, Expr, Rational, Symbol

from nncodegen.structural.fields import Array, Digits, Field, NotRationalError
from nncodegen.structural.system import System
from nncodegen.structural.taylor import Series, constant


@dataclass(frozen=True)
class Design:
    """The number of experiments, in each of ``groups`` groups, and of orders of power series or of times.

    ``inputs`` has the values of inputs, one row for each experiment of a group, if these are fixed, and ``courses``
    those of columns at each time, (experiments, columns, times), of equations from time to time.
    """

    orders: int
    experiments: int = 1
    groups: int = 1
    inputs: Array | None = None
    courses: Array | None = None


@dataclass(frozen=True)
class Point:
    """A point at which a system is evaluated: the values of symbols, (experiments of all groups,)."""

    values: Mapping[Symbol, Array]

    def at(self, experiment: int) -> dict[Basic, Any]:
        """Return the values of an experiment."""
        return {symbol: values[experiment] for symbol, values in self.values.items()}


class Experiments:
    """The experiments of a design at one random point: power series of what is observed, with their tangents.

    The unknowns are those of the system, in which own parameters have a column for each group, after all others.
    """

    def __init__(self, system: System, field: Field, random: np.random.Generator, design: Design) -> None:
        self.system, self.field, self.design = system, field, design
        self.count = design.experiments * design.groups
        self.random = random
        self.point = Point(self._drawn())

    @cached_property
    def columns(self) -> dict[Symbol, list[int]]:
        """Return the columns of each unknown: one, or one for each group of an own parameter."""
        shared = [symbol for symbol in self.system.unknowns if symbol not in self.system.own]
        columns = {symbol: [place] for place, symbol in enumerate(shared)}
        repeated = [symbol for symbol in self.system.unknowns if symbol in self.system.own]
        for place, symbol in enumerate(repeated):
            columns[symbol] = [len(shared) + place + group * len(repeated) for group in range(self.design.groups)]
        return columns

    @property
    def unknowns(self) -> int:
        """Return the number of columns."""
        return sum(map(len, self.columns.values()))

    @cached_property
    def courses(self) -> dict[Symbol, Array]:
        """Return random coefficients of columns, or their values at each time, (orders, experiments)."""
        return {
            course: np.stack([self.field.draw(self.random, self.count) for _ in range(self.design.orders)])
            for course in self.system.courses
        }

    @cached_property
    def times(self) -> Array:
        """Return random times, (orders, experiments); the first one is the first time of an experiment."""
        return np.stack([self.field.draw(self.random, self.count) for _ in range(self.design.orders)])

    def _drawn(self) -> dict[Symbol, Array]:
        """Return random values of parameters, unknown first values and inputs."""
        field, design, system = self.field, self.design, self.system
        values: dict[Symbol, Array] = {}
        for symbol, start in {**system.parameters, **(system.first or {})}.items():
            near = start if system.has_kinks else None  # for smooth formulas, numbers near 1 are as good, and exact
            if symbol in system.own:
                values[symbol] = field.draw(self.random, design.groups, near).repeat(design.experiments)
            else:
                values[symbol] = field.draw(self.random, 1, near).repeat(self.count)
        for place, symbol in enumerate(system.inputs):
            if design.inputs is not None and place < design.inputs.shape[1]:
                exact = [field.number(exact_number(each)) for each in design.inputs[:, place]]
                values[symbol] = np.array(exact, field.dtype)
                values[symbol] = np.tile(values[symbol], design.groups)
            elif system.states:
                values[symbol] = field.draw(self.random, self.count)
            else:
                values[symbol] = field.wide(self.random, self.count, 3 if system.has_kinks else 1)
        return values

    def places(self, experiments: slice) -> dict[Symbol, list[int]]:
        """Return the column of each unknown in each of some experiments."""
        groups = np.arange(self.count)[experiments] // self.design.experiments
        return {symbol: [columns[group % len(columns)] for group in groups] for symbol, columns in self.columns.items()}

    def leaves(self, experiments: slice) -> dict[Symbol, Series]:
        """Return the series of constants."""
        places = self.places(experiments)
        return {
            symbol: constant(self.field, values[experiments], self.unknowns, places.get(symbol))
            for symbol, values in self.point.values.items()
        }

    def parts(self) -> Iterator[slice]:
        """Yield the experiments that are evaluated together: each alone, if choices may differ between them."""
        if self.system.has_kinks:
            if not isinstance(self.field, Digits):
                raise NotRationalError("choices")
            yield from (slice(k, k + 1) for k in range(self.count))
        else:
            yield slice(0, self.count)


def exact_number(value: float) -> Expr:
    """Return a double as the fraction of its shortest decimal number."""
    return Rational(repr(float(value)))

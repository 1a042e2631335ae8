"""Evaluation of steps over arrays, with any kind of numbers: alignment of operands, recurrences, and reductions.

The kinds are floating-point numbers, numbers of mpmath, and numbers of mpmath as certificates compute with them. Each
defines how to compute an expression, a sum of products, and a step with equations.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Mul

from nncodegen.ir.element import Element, elements
from nncodegen.ir.integrate import Derivatives, Stops, integrate
from nncodegen.ir.recurrence import Group
from nncodegen.ir.reductions import reduction
from nncodegen.ir.step import RECURRENCES, Step
from nncodegen.ir.systems import INTEGRATE, Formulas, System

Array = NDArray[Any]
"""An array of floating-point numbers, or of numbers of mpmath."""

ALL: Mapping[str, int] = MappingProxyType({})
"""The default of ``at``: no index is held at a value, so a step is computed for all values of its indices."""

NONE: Mapping[Element, Any] = MappingProxyType({})
"""No further values of elements."""


def as_computed(step: Step, found: Array) -> Array:
    """Return the computed value of a step unchanged."""
    return found


class Evaluation(ABC):
    """Steps over arrays of one kind of numbers.

    If it ``gathers``, the part of a step at one value of an index is gathered as terms with equations are, and so added
    up in the same order.
    """

    gathers = False

    @abstractmethod
    def zeros(self, shape: Sequence[int]) -> Array:
        """Return an array of zeros."""

    @abstractmethod
    def elementwise(self, expression: Expr, operands: Mapping[Element, Array]) -> Array:
        """Return the value of an expression of arrays that NumPy can broadcast."""

    @abstractmethod
    def with_equations(
        self, step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int]
    ) -> Array:
        """Return the value of a step with equations; if ``at`` holds an index, only that part."""

    def contracted(
        self, step: Step, factors: Sequence[Element], values: Mapping[str, Array], lengths: Mapping[str, int]
    ) -> Array | None:
        """Return a sum of products at once; None if its terms have to be added up."""
        return None

    def compute(
        self, step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int] = ALL
    ) -> Array:
        """Return the value of a step, from the values of its operands; if ``at`` holds an index, only that part."""
        if step.operator in RECURRENCES:
            return self._neighbours(step, values, at)
        if step.operator == INTEGRATE:
            return self._path(step, values)
        if step.where or (at and self.gathers):
            return self.with_equations(step, values, lengths, at)
        if at:
            values, lengths = held(step, values, at), {**lengths, **dict.fromkeys(at, 1)}
        factors = factors_of(step.expression) if step.operator == "sum" else []
        total = self.contracted(step, factors, values, lengths) if factors else None
        if total is not None:
            return total
        terms = self.terms(step, values, lengths)
        if step.operator is None:
            return terms
        return np.asarray(reduction(step.operator).array(terms, tuple(map(step.indices.index, step.over))))

    def terms(self, step: Step, values: Mapping[str, Array], lengths: Mapping[str, int]) -> Array:
        """Return the expression of a step for all of its indices."""
        operands = {e: aligned(values[e.tensor], e.indices, step.indices) for e in elements(step.expression)}
        found = self.elementwise(step.expression, operands)
        return np.broadcast_to(found, [lengths[index] for index in step.indices])

    def repeat(
        self,
        group: Group,
        values: dict[str, Array],
        lengths: Mapping[str, int],
        then: Callable[[Step, Array], Array] = as_computed,
    ) -> None:
        """Add the values of steps that depend on each other, for one value of their index after the other."""
        for step in group.steps:
            values[step.target.tensor] = self.zeros([lengths[index] for index in step.target.indices])
        for at in times_of(group, lengths):
            for step in group.steps:
                found = then(step, self.compute(step, values, lengths, at))
                part_of(values[step.target.tensor], step.target, at)[...] = found

    def paths(self, step: Step, values: Mapping[str, Array]) -> Iterator[tuple[Array, str]]:
        """Yield the states of differential equations at all times, and the outcome, for each sample."""
        read = step.expression
        system, rows, course = read.system, read.rows, read.course
        names = (*system.given, *system.fixed)
        courses = itertools.repeat(()) if course is None else values[course.tensor]
        every = zip(*(values[one.tensor] for one in (read.args[1], *rows)), strict=True)
        for (times, *own), each in zip(every, courses, strict=False):
            known = dict(zip(names, (number for row in own for number in row), strict=False))
            yield self._integrated(system, times, known, each)

    def _integrated(
        self, system: System, times: Sequence[Any], known: dict[Element, Any], course: Sequence[Any]
    ) -> tuple[Array, str]:
        """Return the states of one sample at all times, and the outcome, given its parameters and inputs.

        ``course`` has a row for each time.
        """

        def enter(number: int) -> None:
            if system.course:
                known.update(zip(system.course, course[number], strict=True))

        def values(formulas: Formulas, t: Any, u: Array, others: Mapping[Element, Any] = NONE) -> Array:
            now = {**known, **others, system.time: t, **dict(zip(system.states, u, strict=True))}
            for each in formulas.steps:
                now[each.target] = self.elementwise(each.expression, now)[()]
            return self._numbers(formulas.values, now)

        def slopes(t: Any, u: Array) -> tuple[Array, Array]:
            assert system.linear
            found = values(system.linear.slopes, t, u)
            J, drift = found[: system.block**2], found[system.block**2 :]
            return J.reshape(system.block, -1), drift if len(drift) else self.zeros([len(u)])

        def bend(t: Any, u: Array, v: Array) -> Array:
            assert system.linear
            return values(system.linear.bend, t, u, dict(zip(system.linear.direction, v, strict=True)))

        rates = partial(values, Formulas(system.rates, system.steps))
        own = Derivatives(slopes, bend) if system.linear else None
        jump = partial(values, system.jumps) if system.jumps.values else None
        stops = Stops(enter, jump, system.steered) if system.stops else None
        return integrate(system, times, self._numbers(system.starts, known), rates, own, stops)

    def _path(self, step: Step, values: Mapping[str, Array]) -> Array:
        """Return the path of differential equations of all samples."""
        system, rows = step.expression.system, step.expression.rows
        found = [whole[:, system.first :] for whole, _ in self.paths(step, values)]
        shape = [np.shape(found)[0], len(found[0]), *(len(values[row.tensor][0]) for row in rows[:1] if system.first)]
        return np.asarray(found).reshape([*shape, system.block])

    def _numbers(self, formulas: Sequence[Expr], known: Mapping[Element, Any]) -> Array:
        """Return the values of formulas of scalars as one array."""
        return np.stack([self.elementwise(one, {e: known[e] for e in elements(one)}) for one in formulas])

    def _neighbours(self, step: Step, values: Mapping[str, Array], at: Mapping[str, int]) -> Array:
        """Return the values at the previous or the next index, with 0 at the end."""
        (index,) = step.over
        read, axis = np.asarray(values[step.operands[0].tensor]), step.target.indices.index(index)
        move, length = (-1 if step.operator == "before" else 1), read.shape[axis]
        zero = self.zeros(np.take(read, [0], axis).shape)
        places = [at[index]] if index in at else range(length)
        parts = [np.take(read, [k + move], axis) if 0 <= k + move < length else zero for k in places]
        return np.concatenate(parts, axis)


def times_of(group: Group, lengths: Mapping[str, int]) -> list[dict[str, int]]:
    """Return the values of the index of a group, in order of computation."""
    times = [{group.index: time} for time in range(lengths[group.index])]
    return times if group.forward else times[::-1]


def held(step: Step, values: Mapping[str, Array], at: Mapping[str, int]) -> Mapping[str, Array]:
    """Return the parts of the operands of a step at some values of indices, which keep an axis of length 1."""
    return {e.tensor: part_of(values[e.tensor], e, at) for e in step.operands}


def part_of(array: Array, element: Element, at: Mapping[str, int]) -> Array:
    """Return the part of a tensor at some values of indices."""
    places = tuple(slice(at[index], at[index] + 1) if index in at else slice(None) for index in element.indices)
    return np.asarray(array)[places] if places else array


def aligned(array: Array, own: Sequence[str], wanted: Sequence[str]) -> Array:
    """Return an array with one axis for each wanted index; an axis that it lacks has length 1."""
    order = sorted(range(len(own)), key=lambda axis: wanted.index(own[axis]))
    lengths = dict(zip(own, array.shape, strict=True))
    return np.transpose(array, order).reshape([lengths.get(index, 1) for index in wanted])


def factors_of(expression: Expr) -> list[Element]:
    """Return the elements in a product of a number and elements; an empty list for any other expression."""
    coefficient, rest = expression.as_coeff_Mul()
    factors = Mul.make_args(rest)
    return list(factors) if coefficient.is_number and all(isinstance(f, Element) for f in factors) else []


def contraction(step: Step, factors: Sequence[Element]) -> tuple[str, list[str]]:
    """Return the text of NumPy's einsum for a sum of products, and the indices that no factor has.

    For each of these, ones are one more factor: the terms of the sum are equal along it.
    """
    letters = {index: chr(ord("a") + k) for k, index in enumerate(step.indices)}
    lone = [index for index in step.indices if not any(index in element.indices for element in factors)]
    terms = ["".join(letters[index] for index in element.indices) for element in factors]
    result = "".join(letters[index] for index in step.target.indices)
    return f"{','.join([*terms, *(letters[index] for index in lone)])}->{result}", lone

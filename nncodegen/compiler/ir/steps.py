"""Evaluation of steps over arrays, with any kind of numbers: alignment of operands, recurrences, and reductions.

The kinds are floating-point numbers, numbers of mpmath, and numbers of mpmath as certificates compute with them. Each
defines how to compute an expression, a sum of products, and a step with equations.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Mul

from nncodegen.compiler.ir.element import Element, elements
from nncodegen.compiler.ir.integrate import Back, Derivatives, Stops, Taken, integrate, swept_back
from nncodegen.compiler.ir.recurrence import Group
from nncodegen.compiler.ir.reductions import reduction
from nncodegen.compiler.ir.step import RECURRENCES, Step
from nncodegen.compiler.ir.systems import INTEGRATE, Formulas, System, swept
from nncodegen.runtime.python.ground.outcomes import SOLVED

Array = NDArray[Any]
"""An array of floating-point numbers, or of numbers of mpmath."""

ALL: Mapping[str, int] = MappingProxyType({})
"""The default of ``at``: no index is held at a value, so a step is computed for all values of its indices."""

NONE: Mapping[Element, Any] = MappingProxyType({})
"""No further values of elements."""


def as_computed(step: Step, value: Array) -> Array:
    """Return the computed value of a step unchanged."""
    return value


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
        value = self.elementwise(step.expression, operands)
        return np.broadcast_to(value, [lengths[index] for index in step.indices])

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
                value = then(step, self.compute(step, values, lengths, at))
                part_of(values[step.target.tensor], step.target, at)[...] = value

    def paths(self, step: Step, values: Mapping[str, Array]) -> Iterator[tuple[Array, str]]:
        """Yield the states of differential equations at all times, and the outcome, for each sample."""
        for times, problem in self._problems(step, values):
            yield integrate(problem.system, times, problem.starts, problem.rates, problem.derivatives, problem.stops)

    def _problems(self, step: Step, values: Mapping[str, Array]) -> Iterator[tuple[Sequence[Any], _Problem]]:
        """Yield the times and the differential equations of each sample."""
        read = step.expression
        names = (*read.system.given, *read.system.fixed)
        weights = {
            weight: values[element.tensor] for weight, element in zip(read.system.weights, read.weights, strict=True)
        }
        courses = itertools.repeat(()) if read.course is None else values[read.course.tensor]
        every = zip(*(values[element.tensor] for element in (read.time, *read.rows)), strict=True)
        for (times, *sample_rows), course in zip(every, courses, strict=False):
            known = dict(zip(names, (number for row in sample_rows for number in row), strict=False))
            yield times, _Problem(self, read.system, {**known, **weights}, course)

    def _path(self, step: Step, values: Mapping[str, Array]) -> Array:
        """Return the path of differential equations of all samples, or the derivatives of its weighted sum."""
        read = step.expression
        if isinstance(read, swept):
            adjoints = values[read.adjoint.tensor]
            derivatives = (
                self._swept(*problem, each)
                for problem, each in zip(self._problems(step, values), adjoints, strict=True)
            )
            return np.stack([*derivatives])
        system = read.system
        whole = [states[:, system.first :] for states, _ in self.paths(step, values)]
        slope_axis = [np.shape(whole)[-1] // system.block] if system.first else []
        return np.asarray(whole).reshape([np.shape(whole)[0], len(whole[0]), *slope_axis, system.block])

    def _swept(self, times: Sequence[Any], problem: _Problem, adjoint: Array) -> Array:
        """Return the derivatives of the weighted sum of the states of one sample, by what is given and by weights."""
        taken: list[Taken] = []
        states, outcome = integrate(
            problem.system, times, problem.starts, problem.rates, stops=problem.stops, taken=taken
        )
        if outcome != SOLVED:
            return problem.nothing * np.nan
        back = Back(problem.transposed, problem.stops, problem.turned if problem.system.jumps.values else None)
        return swept_back(problem.system, times, states, taken, adjoint, problem.rates, back)

    def numbers(self, formulas: Sequence[Expr], known: Mapping[Element, Any]) -> Array:
        """Return the values of formulas of scalars as one array."""
        return np.stack([self.elementwise(formula, {e: known[e] for e in elements(formula)}) for formula in formulas])

    def _neighbours(self, step: Step, values: Mapping[str, Array], at: Mapping[str, int]) -> Array:
        """Return the values at the previous or the next index, with 0 at the end."""
        (index,) = step.over
        read, axis = np.asarray(values[step.operands[0].tensor]), step.target.indices.index(index)
        move, length = (-1 if step.operator == "before" else 1), read.shape[axis]
        zero = self.zeros(np.take(read, [0], axis).shape)
        places = [at[index]] if index in at else range(length)
        parts = [np.take(read, [k + move], axis) if 0 <= k + move < length else zero for k in places]
        return np.concatenate(parts, axis)


class _Problem:
    """The differential equations of one sample, whose parameters, inputs and weights have values.

    ``course`` has a row of numbers for each time.
    """

    def __init__(
        self, evaluation: Evaluation, system: System, known: Mapping[Element, Any], course: Sequence[Any]
    ) -> None:
        self.system, self._evaluation, self._known, self._course = system, evaluation, dict(known), course
        self._sizes = dict(system.sizes)
        self.starts = evaluation.numbers(system.starts, known)
        self.derivatives = Derivatives(self._slopes, self._bend) if system.linear else None
        jump = self._jumped if system.jumps.values else None
        self.stops = Stops(self._enter, jump, system.steered) if system.stops else None

    def rates(self, t: Any, u: Array) -> Array:
        """Return the rates of change of states at a time."""
        return self._values(Formulas(self.system.rates, self.system.steps), t, u)

    def transposed(self, t: Any, u: Array, factors: Array) -> Array:
        """Return the derivatives of the sum of all rates, each times its factor, by states, given and weights."""
        transposed = self.system.transposed
        assert transposed
        return self._values(transposed.sums, t, u, dict(zip(transposed.factors, factors, strict=True)))

    def turned(self, t: Any, u: Array, factors: Array) -> Array:
        """Return the derivatives of the sum of what states become, each times its factor, by states and given."""
        transposed = self.system.transposed
        assert transposed
        return self._values(transposed.jumps, t, u, dict(zip(transposed.factors, factors, strict=True)))

    @property
    def nothing(self) -> Array:
        """Return a zero for each value of what is given, and of weights."""
        return self._evaluation.zeros([len(self.system.given) + self.system.offsets[-1]])

    def _enter(self, number: int) -> None:
        """Read the numbers of the interval that leads to a time."""
        if self.system.course:
            self._known.update(zip(self.system.course, self._course[number], strict=True))

    def _jumped(self, t: Any, u: Array) -> Array:
        """Return what states become at a time."""
        return self._values(self.system.jumps, t, u)

    def _slopes(self, t: Any, u: Array) -> tuple[Array, Array]:
        """Return the Jacobian of the first block of states, and the derivatives of all rates by the time."""
        system = self.system
        assert system.linear
        derivatives = self._values(system.linear.slopes, t, u)
        J, drift = derivatives[: system.block**2], derivatives[system.block**2 :]
        return J.reshape(system.block, -1), drift if len(drift) else self._evaluation.zeros([len(u)])

    def _bend(self, t: Any, u: Array, v: Array) -> Array:
        """Return the change of the rates of all other blocks with a direction of the first one."""
        assert self.system.linear
        return self._values(self.system.linear.bend, t, u, dict(zip(self.system.linear.direction, v, strict=True)))

    def _values(self, formulas: Formulas, t: Any, u: Array, further_values: Mapping[Element, Any] = NONE) -> Array:
        """Return the values of formulas at a time, one after the other."""
        now = {**self._known, **further_values, self.system.time: t, **dict(zip(self.system.states, u, strict=True))}
        if not self.system.weights:
            for step in formulas.steps:
                now[step.target] = self._evaluation.elementwise(step.expression, now)[()]
            return self._evaluation.numbers(formulas.values, now)
        named = {element.tensor: np.asarray(value) for element, value in now.items()}
        for step in formulas.steps:
            named[step.target.tensor] = self._evaluation.compute(step, named, self._sizes)
        results = []
        for value in formulas.values:
            whole = Element("value", value.indices if isinstance(value, Element) else ())
            results.append(np.ravel(self._evaluation.compute(Step(whole, value), named, self._sizes)))
        return np.concatenate(results)


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


def aligned(array: Array, indices: Sequence[str], wanted: Sequence[str]) -> Array:
    """Return an array with one axis for each wanted index; an axis that it lacks has length 1."""
    order = sorted(range(len(indices)), key=lambda axis: wanted.index(indices[axis]))
    lengths = dict(zip(indices, array.shape, strict=True))
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

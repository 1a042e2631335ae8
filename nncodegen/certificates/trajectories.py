"""Exact trajectories of differential equations whose steps are chosen, and what a tolerance makes of all results.

The rates, starts and jumps are those of the described program. Their solution, and its derivatives by parameters and
initial values, come from ``radau``; it is computed twice, and counts only where both agree. All other steps of the
program are computed in many digits, as in other certificates. Derivatives of these steps are differences at a distance
of 10**-20, except that those of the loss by the states come from the reverse sweep of ``exact``.

The *unit* of a state is atol + rtol*|u|, with the largest |u| at the times of a sample. That of any other result is the
change that follows from it: the sum of what a change of each state by its unit, at each time, changes. The derivatives
of states are a part of the solution, whose unit is found in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.exact import bind, derivatives, run
from nncodegen.certificates.expressions import CompiledExpression, formula
from nncodegen.certificates.points import Point, only
from nncodegen.certificates.products import Array, array_of
from nncodegen.certificates.radau import DIGITS, NoSolution, Radau
from nncodegen.ir import Element, Program, Step, needed
from nncodegen.ir.systems import INTEGRATE, System

DISTANCE = "1e-20"
"""The distance of differences, relative to what is changed; fifty digits leave thirty of them."""

PART, RELATIVE = 1e-7, 1e-13
"""The allowed error of a step of exact solutions: this part of a unit, and at most this part of a state."""

STAGES, FEWER = 7, 5
"""The stages of exact solutions, of the order 13; and of those of the order 9 with which they must agree."""

COARSER = 100.0
"""The factor of the allowed error for the solution with fewer stages."""

AGREED = 1e-2
"""The largest difference of both solutions, in units."""

MOST_EVALUATIONS = 20_000
"""The largest number of evaluations of rates for a solution, and half of it for one with derivatives; no certificate
waits for longer ones."""


@dataclass(frozen=True)
class Values:
    """Exact numbers of one sample, and the unit of each."""

    exact: Array
    unit: Array


@dataclass(frozen=True)
class Trajectory:
    """The exact solution of one sample: states (times, states), and their derivatives (times, states, given).

    ``moved`` is how far the states move, where the initial ones move by a unit.
    """

    states: Array
    slopes: Array
    moved: Array

    def largest(self, system: System) -> tuple[Array, Array]:
        """Return the units of states (states,), and those of their derivatives (states, given)."""
        rtol, atol = (mpmath.mpf(one) for one in (system.control.rtol, system.control.atol))
        return atol + rtol * np.max(abs(self.states), axis=0), atol + rtol * np.max(abs(self.slopes), axis=0)

    def condition(self, system: System) -> float:
        """Return the number of units by which states move where the initial ones move by one unit."""
        return float(np.max(abs(self.moved) / self.largest(system)[0]))


def step_of(program: Program) -> Step | None:
    """Return the step of a program that solves differential equations, if it has one."""
    return next((step for step in program.steps if step.operator == INTEGRATE), None)


MOVED = None
"""The direction that changes each initial state by its unit, up and down in turn."""


class _Equations:
    """The differential equations of one sample, whose columns are the states and their derivative along each direction.

    A direction is one of the system's ``given``, or ``MOVED``.
    """

    def __init__(
        self, system: System, rows: Sequence[Any], course: Sequence[Any], directions: Sequence[Element | None] = ()
    ) -> None:
        self.system, self._course, self._directions = system, course, directions
        self._known: dict[Element, Any] = dict(zip((*system.given, *system.fixed), rows, strict=True))
        self._rates = [formula(rate) for rate in system.rates]
        self._jumps = [formula(value) for value in system.jumps.values]

    @property
    def starts(self) -> Array:
        """Return the columns at the start."""
        control, known, found = self.system.control, self._known, []
        for s, one in enumerate(self.system.starts):
            u = mpmath.mpf(known[one] if one in known else formula(one).value(()))
            moved = (-1) ** s * (control.atol + control.rtol * abs(u))
            found.append([u, *(moved if to is MOVED else mpmath.mpf(one == to) for to in self._directions)])
        return np.array(found, dtype=object)

    def enter(self, number: int) -> None:
        """Read what rates and jumps read of the interval that leads to the time of a number."""
        self._known.update(zip(self.system.course, self._course[number] if self.system.course else (), strict=True))

    def rates(self, t: Any, u: Array) -> Array:
        """Return the rates."""
        return self._values(self._rates, t, u)

    def slopes(self, t: Any, u: Array) -> Array:
        """Return the derivatives of the rates by the states, and along each direction apart from these."""
        return self._partials(self._rates, t, u)

    def jumped(self, t: Any, columns: Array) -> Array:
        """Return what the columns become at a time."""
        if not self._jumps:
            return columns
        u, along = columns[:, 0], columns[:, 1:]
        partials, count = self._partials(self._jumps, t, u), len(u)
        changed = partials[:, :count] @ along + partials[:, count:]
        return np.column_stack([self._values(self._jumps, t, u), changed])

    def allowed(self, part: float) -> Callable[[Array], NDArray[np.float64]]:
        """Return the allowed error of columns as a function of these, given the part of a unit."""
        control = self.system.control
        return lambda columns: part * (control.atol + control.rtol * abs(columns).astype(float))

    def _values(self, formulas: Sequence[CompiledExpression], t: Any, u: Array) -> Array:
        now = self._now(t, u)
        return array_of((one.value([now[e] for e in one.operands]) for one in formulas), (len(formulas),))

    def _partials(self, formulas: Sequence[CompiledExpression], t: Any, u: Array) -> Array:
        """Return the derivatives of formulas by the states, and along each direction apart from these."""
        now, by, found = self._now(t, u), (*self.system.states, *self._directions), []
        for one in formulas:
            partials = dict(zip(one.operands, one.partials([now[e] for e in one.operands]), strict=True))
            found.append([partials.get(to, mpmath.mpf(0)) for to in by])
        return np.array(found, dtype=object)

    def _now(self, t: Any, u: Array) -> Mapping[Element, Any]:
        return {**self._known, self.system.time: t, **dict(zip(self.system.states, u, strict=True))}


def trajectory(system: System, times: Sequence[Any], rows: Sequence[Any], course: Any, slopes: bool) -> Trajectory:
    """Return the exact solution of one sample. Raise NoSolution where there is none, or none that is certain."""
    part = allowed_of(system)
    directions = (MOVED, *(system.given if slopes else ()))
    found = _solved(_Equations(system, rows, course, directions), times, STAGES, part)
    again = _solved(_Equations(system, rows, course), times, FEWER, COARSER * part)
    solution = Trajectory(found[:, :, 0], found[:, :, 2:], found[:, :, 1])
    if not np.all(abs(solution.states - again[:, :, 0]) <= solution.largest(system)[0] * AGREED):
        raise NoSolution("two solutions differ")
    return solution


def allowed_of(system: System) -> float:
    """Return the allowed error of a step of the exact solution, in units."""
    return min(PART, RELATIVE / system.control.rtol)


def _solved(equations: _Equations, times: Sequence[Any], stages: int, part: float) -> Array:
    """Return the columns of one sample at all times, with an allowed error of each step in units."""
    start, columns = equations.system.control.start, equations.starts
    now = times[0] if start is None else mpmath.mpf(start)
    most = MOST_EVALUATIONS // 2 if columns.shape[1] > 2 else MOST_EVALUATIONS
    solver = Radau(stages, equations.rates, equations.slopes, equations.allowed(part), most)
    found = []
    for number, time in enumerate(times):
        equations.enter(number)
        if time > now:
            columns, now = solver.solve(now, time, columns), time
        found.append(columns)
        columns = equations.jumped(now, columns)
    return np.stack(found)


class Exact:
    """The exact results of one sample of a program whose path has steps that are chosen, each with its unit.

    ``derived`` says whether its derivatives are computed as well.
    """

    def __init__(self, program: Program, point: Point, row: int, derived: bool) -> None:
        step = step_of(program)
        assert step
        self._program, self._path, self._derived = program, step.target, derived
        self.system: System = step.expression.system
        self._read = step.expression
        self._before = needed(program.steps, step.operands)
        own = {one.target.tensor for one in (*self._before, step)}
        self._rest = only(program, tuple(one for one in program.steps if one.target.tensor not in own))
        self._first = only(program, self._before)
        self._parameters = np.asarray([mpmath.mpf(float(one)) for one in point.parameters], dtype=object)
        self._point, self._rows = point, slice(row, row + 1)
        self._known = self._given(self._parameters)
        course = () if self._read.course is None else self._known[self._read.course.tensor][0]
        self.times, self.time_name = [*self._known[self._read.time.tensor][0]], self._read.time.tensor
        self._course, numbers = course, self._numbers(self._known)
        self.solution = trajectory(self.system, self.times, numbers, course, derived)
        self.states, self.slopes = self.solution.largest(self.system)

    @property
    def start(self) -> tuple[Array, Array]:
        """Return the states at the first time, after a jump, and their rates."""
        equations = _Equations(self.system, self._numbers(self._known), self._course)
        equations.enter(0)
        u = equations.jumped(self.times[0], equations.starts)[:, 0]
        return u, equations.rates(self.times[0], u)

    @cached_property
    def outputs(self) -> Values:
        """Return the outputs (outputs, times)."""
        with mpmath.workdps(DIGITS):
            exact = self._outputs(self._values())
            return Values(exact, np.max(np.sum(abs(self._by_states) * self.states, axis=2), axis=1, keepdims=True)
                          + np.zeros_like(exact))  # fmt: skip

    @cached_property
    def loss(self) -> Values:
        """Return the loss."""
        with mpmath.workdps(DIGITS):
            values = self._values()
            unit = np.sum(abs(self._received(values)) * self.states)
            return Values(_one(values[self._program.loss.tensor].item()), _one(unit))

    @cached_property
    def gradient(self) -> Values:
        """Return the derivatives of the loss by all parameters (P,)."""
        with mpmath.workdps(DIGITS):
            whole = self._received(self._values())
            bends = np.sum([abs(self._received(self._values(moved)) - whole) for moved in self._near], axis=0)
            loss = self._program.loss.tensor
            found = self._chained(whole[None], bends[None], lambda values: _one(values[loss].item()))
            return Values(found.exact[0], found.unit[0])

    @cached_property
    def jacobian(self) -> Values:
        """Return the derivatives of all outputs by all parameters, (outputs*times, P)."""
        with mpmath.workdps(DIGITS):
            bends = np.sum([abs(self._slopes_of_outputs(moved) - self._by_states) for moved in self._near], axis=0)
            alone = np.eye(len(self.times), dtype=int)[None, :, :, None]  # an output reads the states at its own time
            slopes, bends = ((each[:, None] * alone).reshape(-1, *each.shape[1:]) for each in (self._by_states, bends))
            return self._chained(slopes, bends, lambda values: self._outputs(values).reshape(-1))

    # --- steps before and after the path -------------------------------------------------------------------------

    def _given(self, parameters: Array) -> dict[str, Array]:
        """Return the values of all steps that come before the path."""
        point, rows = self._point, self._rows
        return run(self._first, bind(self._program, parameters, point.X[rows], point.Y[rows]))

    def _numbers(self, known: Mapping[str, Array]) -> list[Any]:
        """Return the values of given and fixed."""
        return [number for row in self._read.rows for number in known[row.tensor][0]]

    def _values(self, path: Array | None = None, known: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Return the values of all steps, given the path."""
        states = self.solution.states if path is None else path
        return run(self._rest, {**(known or self._known), self._path.tensor: states[None]})

    def _outputs(self, values: Mapping[str, Array]) -> Array:
        """Return all outputs, (outputs, times)."""
        return np.stack([values[one.tensor][0] for one in self._program.outputs])

    def _received(self, values: Mapping[str, Array]) -> Array:
        """Return the derivatives of the loss by the states at all times."""
        found = derivatives(self._rest, values).get(self._path.tensor)
        return np.zeros_like(self.solution.states) if found is None else found[0]

    @property
    def _near(self) -> list[Array]:
        """Return the path with each of the states moved by its unit."""
        every = range(len(self.states))
        return [self.solution.states + array_of((u * (s == k) for s, u in enumerate(self.states)), (len(every),))
                for k in every]  # fmt: skip

    @cached_property
    def _by_states(self) -> Array:
        """Return the derivatives of outputs by the states at the same time, (outputs, times, states)."""
        return self._slopes_of_outputs(self.solution.states)

    def _slopes_of_outputs(self, path: Array) -> Array:
        whole, found = self._outputs(self._values(path)), []
        for s, unit in enumerate(self.states):
            by = mpmath.mpf(DISTANCE) * unit
            moved = path.copy()
            moved[:, s] += by
            found.append((self._outputs(self._values(moved)) - whole) / by)
        return np.stack(found, axis=2)

    @cached_property
    def _moves(self) -> list[tuple[Any, dict[str, Array], Array]]:
        """Return for each parameter a small change, the values with it, and the derivatives of given."""
        found, count, whole = [], len(self.system.given), self._numbers(self._known)
        for k, one in enumerate(self._parameters):
            by = mpmath.mpf(DISTANCE) * (abs(one) or 1)
            moved = self._parameters.copy()
            moved[k] += by
            known = self._given(moved)
            change = [(a - b) / by for a, b in zip(self._numbers(known)[:count], whole[:count], strict=True)]
            found.append((by, known, np.array(change, dtype=object)))
        return found

    def _chained(self, by_states: Array, bends: Array, result: Callable[[Mapping[str, Array]], Array]) -> Values:
        """Return the derivatives of numbers by all parameters, (numbers, P).

        Those by the states, and how much a unit of each state may change them, are (numbers, times, states).
        """
        exact, unit = [], []
        for by, known, change in self._moves:
            slopes = np.sum(self.solution.slopes * change, axis=2)
            of_slopes = np.sum(abs(by_states) * np.sum(self.slopes * abs(change), axis=1), axis=(1, 2))
            exact.append(np.sum(by_states * slopes, axis=(1, 2)))
            unit.append(of_slopes + np.sum(bends * abs(slopes), axis=(1, 2)))
            if self._direct:
                direct, *near = (
                    (result(self._values(path, known)) - result(self._values(path))) / by
                    for path in (self.solution.states, *self._near)
                )
                exact[-1] = exact[-1] + direct
                unit[-1] = unit[-1] + sum(abs(one - direct) for one in near)
        if not exact:
            return Values(*[np.zeros((len(by_states), 0), dtype=object)] * 2)
        return Values(np.stack(exact, axis=1), np.stack(unit, axis=1))

    @property
    def _direct(self) -> bool:
        """Return whether results read parameters beside the states."""
        read = {operand.tensor for step in self._rest.steps for operand in step.operands}
        return any(tensor.name in read for tensor in self._program.parameters)


def _one(number: Any) -> Array:
    """Return an array of one number."""
    return np.array([number], dtype=object)


def exact_of(program: Program, point: Point, derived: bool) -> list[Exact] | None:
    """Return the exact results of each row of a point, or None where one has no solution that is certain."""
    with mpmath.workdps(DIGITS):
        try:
            return [Exact(program, point, row, derived) for row in range(len(point.X))]
        except (NoSolution, ZeroDivisionError, OverflowError, ValueError):
            return None

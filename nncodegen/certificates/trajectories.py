"""Exact trajectories of differential equations whose steps are chosen, and what a tolerance makes of all results.

The rates, starts and jumps are those of the described program. Their solution, and its derivatives by parameters and
initial values, come from ``extrapolation``; it is computed twice, and counts only where both agree. All other steps of
the program are computed in many digits, as in other certificates. Derivatives of these steps are differences at a
distance of 10**-20, except that those of the loss by the states come from the reverse sweep of ``exact``.

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
from nncodegen.certificates.expressions import formula
from nncodegen.certificates.extrapolation import DIGITS, DISTANCE, Extrapolation, NoSolution, State
from nncodegen.certificates.points import Point, only
from nncodegen.certificates.products import array_of
from nncodegen.ir import Element, Program, Step, needed
from nncodegen.ir.systems import INTEGRATE, System

Array = NDArray[Any]

EXPLICIT, IMPLICIT = 1e-7, 1e-5
"""The allowed error of a step of exact solutions, in units, for explicit and for implicit methods.

With rtol=1e-6, they are 1e-13 and 1e-11. Where equations are stiff, another two digits take six times as long.
"""

COARSER = 10.0
"""The factor of that error for the second solution, with which the first must agree."""

AGREED = 1e-2
"""The largest difference of both solutions, in units."""

MOST_EVALUATIONS = 20_000
"""The largest number of evaluations of rates for a solution, and half of it for one with derivatives; no certificate
waits for longer ones."""

EXPLICIT_PART = 2
"""The part of these evaluations after which an explicit method gives way to an implicit one."""

START = 1
"""The lane whose initial states differ from those of the first one, each by a part of its unit."""


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


class _Equations:
    """The differential equations of one sample, for several lanes."""

    def __init__(self, system: System, rows: Sequence[Any], course: Sequence[Any], slopes: bool) -> None:
        self.system, self._course = system, course
        names = (*system.given, *system.fixed)
        known: dict[Element, Any] = dict(zip(names, rows, strict=True))
        self.changes = [mpmath.mpf(DISTANCE) * (abs(known[one]) or 1) for one in system.given if slopes]
        moved = [
            {**known, one: known[one] + by} for one, by in zip(system.given, self.changes, strict=slopes)
        ]  # fmt: skip
        self.known = [known, dict(known), *moved]
        self._rates = [formula(rate) for rate in system.rates]
        self._jumps = [formula(value) for value in system.jumps.values]

    @property
    def starts(self) -> list[State]:
        """Return the initial states of all lanes."""
        control, found = self.system.control, []
        for known in self.known:
            own = [known[one] if one in known else formula(one).value(()) for one in self.system.starts]
            found.append([mpmath.mpf(one) for one in own])
        for s, u in enumerate(found[START]):
            found[START][s] = u + (-1) ** s * mpmath.mpf(DISTANCE) * (control.atol + control.rtol * abs(u))
        return found

    def enter(self, number: int) -> None:
        """Read what rates and jumps read of the interval that leads to the time of a number."""
        for known in self.known:
            known.update(zip(self.system.course, self._course[number] if self.system.course else (), strict=True))

    def rates(self, lane: int, t: Any, u: State) -> State:
        """Return the rates of a lane."""
        now = self._now(lane, t, u)
        return [rate.value([now[e] for e in rate.operands]) for rate in self._rates]

    def slopes(self, t: Any, u: State) -> list[State]:
        """Return the Jacobian of the first lane."""
        now, found = self._now(0, t, u), []
        for rate in self._rates:
            partials = dict(zip(rate.operands, rate.partials([now[e] for e in rate.operands]), strict=True))
            found.append([partials.get(one, mpmath.mpf(0)) for one in self.system.states])
        return found

    def jumped(self, t: Any, lanes: Sequence[State]) -> list[State]:
        """Return what the states of all lanes become at a time."""
        if not self._jumps:
            return [*lanes]
        every = [self._now(lane, t, u) for lane, u in enumerate(lanes)]
        return [[jump.value([now[e] for e in jump.operands]) for jump in self._jumps] for now in every]

    def error(self, allowed: float) -> Callable[[Sequence[State], Sequence[State]], float]:
        """Return the norm of a difference of states, and of their derivatives, in allowed parts of units."""
        control = self.system.control
        atol, rtol = (mpmath.mpf(one) * allowed for one in (control.atol, control.rtol))

        def norm(before: Sequence[State], after: Sequence[State]) -> float:
            largest = 0.0
            pairs = [(before[0], after[0])]
            for k, by in enumerate(self.changes):
                lane = START + 1 + k
                pairs.append(tuple([(a - b) / by for a, b in zip(own[lane], own[0], strict=True)]
                                   for own in (before, after)))  # type: ignore[arg-type]  # fmt: skip
            for one, other in pairs:
                for a, b in zip(one, other, strict=True):
                    part = float(abs(a - b) / (atol + rtol * abs(b)))
                    if not part < np.inf:
                        return np.inf
                    largest = max(largest, part)
            return largest

        return norm

    def _now(self, lane: int, t: Any, u: State) -> Mapping[Element, Any]:
        return {**self.known[lane], self.system.time: t, **dict(zip(self.system.states, u, strict=True))}


def trajectory(system: System, times: Sequence[Any], rows: Sequence[Any], course: Any, slopes: bool) -> Trajectory:
    """Return the exact solution of one sample. Raise NoSolution where there is none, or none that is certain."""
    if not system.implicit:
        try:
            return _agreed(system, times, rows, course, slopes, False)
        except NoSolution:  # they may be stiff all the same
            pass
    return _agreed(system, times, rows, course, slopes, True)


def _agreed(
    system: System, times: Sequence[Any], rows: Sequence[Any], course: Any, slopes: bool, implicit: bool
) -> Trajectory:
    """Return the exact solution by an implicit or an explicit method. Raise NoSolution where it is not certain."""
    found = _solved(_Equations(system, rows, course, slopes), times, allowed_of(system), implicit)
    again = _solved(_Equations(system, rows, course, False), times, COARSER * allowed_of(system), implicit)
    if not np.all(abs(found.states - again.states) <= AGREED * found.largest(system)[0]):
        raise NoSolution("two solutions differ")
    return found


def allowed_of(system: System) -> float:
    """Return the allowed error of a step of the exact solution, in units."""
    return IMPLICIT if system.implicit else EXPLICIT


def _solved(equations: _Equations, times: Sequence[Any], allowed: float, implicit: bool) -> Trajectory:
    """Return the solution of one sample, with an allowed error of each step."""
    system = equations.system
    start = system.control.start
    lanes, now = equations.starts, times[0] if start is None else mpmath.mpf(start)
    most = MOST_EVALUATIONS // 2 if equations.changes else MOST_EVALUATIONS
    if not implicit:
        most //= EXPLICIT_PART
    slopes = equations.slopes if implicit else None
    solver = Extrapolation(equations.rates, slopes, equations.error(allowed), most)
    every = []
    for number, time in enumerate(times):
        equations.enter(number)
        if time > now:
            lanes, now = solver.solve(now, time, lanes), time
        every.append(lanes)
        lanes = equations.jumped(now, lanes)
    states = np.array([[*each[0]] for each in every], dtype=object)
    others = [np.array([[*each[lane]] for each in every], dtype=object) for lane in range(START, len(lanes))]
    moved = (others[0] - states) / mpmath.mpf(DISTANCE)
    derived = [(own - states) / by for own, by in zip(others[1:], equations.changes, strict=True)]
    return Trajectory(states, np.stack(derived, axis=2) if derived else np.zeros((*states.shape, 0), object), moved)


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
    def start(self) -> tuple[State, State]:
        """Return the states at the first time, after a jump, and their rates."""
        equations = _Equations(self.system, self._numbers(self._known), self._course, False)
        equations.enter(0)
        (u, *_) = equations.jumped(self.times[0], equations.starts)
        return u, equations.rates(0, self.times[0], u)

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

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
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.exact import bind, lengths_of, received_by, run
from nncodegen.certificates.examination_points import Point, only
from nncodegen.certificates.expressions import formula
from nncodegen.certificates.many_points import AtPlaces, along, at_each_place, repeated
from nncodegen.certificates.products import Array, array_of, zeros
from nncodegen.certificates.radau import DIGITS, NoSolution, Radau
from nncodegen.compiler.ir import Element, Program, Step, needed, slices_of
from nncodegen.compiler.ir.systems import INTEGRATE, Formulas, System

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

MOST_WEIGHTS, DRAWN = 300, 4
"""The number of weights of networks up to which derivatives by all of them are compared. Of more, about as many are
drawn, of each tensor at least ``DRAWN``, if it has them."""

MOST_EVALUATIONS = 20_000
"""The largest number of evaluations of rates for a solution, and half of it for one with derivatives; no certificate
waits for longer ones."""


@dataclass(frozen=True)
class Values:
    """Exact numbers of one sample, and the unit of each."""

    exact: Array
    unit: Array


@dataclass(frozen=True)
class Numbers:
    """The numbers that equations of one sample read: of its row, at each of its times, and weights by their names."""

    rows: Sequence[Any]
    course: Sequence[Any] = ()
    weights: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Trajectory:
    """The exact solution of one sample: states (times, states), and their derivatives (times, states, numbers).

    ``moved`` is how far the states move, where the initial ones move by a unit.
    """

    states: Array
    slopes: Array
    moved: Array

    def largest(self, system: System) -> tuple[Array, Array]:
        """Return the units of states (states,), and those of their derivatives (states, numbers)."""
        rtol, atol = (mpmath.mpf(tolerance) for tolerance in (system.control.rtol, system.control.atol))
        return atol + rtol * np.max(abs(self.states), axis=0), atol + rtol * np.max(abs(self.slopes), axis=0)

    def condition(self, system: System) -> float:
        """Return the number of units by which states move where the initial ones move by one unit."""
        return float(np.max(abs(self.moved) / self.largest(system)[0]))


def step_of(program: Program) -> Step | None:
    """Return the step of a program that solves differential equations, if it has one."""
    return next((step for step in program.steps if step.operator == INTEGRATE), None)


MOVED = -1
"""The direction that changes each initial state by its unit, up and down in turn."""

_By = tuple[str, tuple[int, ...]]
"""The name of a tensor, and its shape at one place."""


class _Equations:
    """The differential equations of one sample, whose columns are the states and their derivative along each direction.

    A direction is the number of one of the system's ``given``, or after these of a value of its weights; or ``MOVED``.
    """

    def __init__(self, system: System, numbers: Numbers, directions: Sequence[int] = ()) -> None:
        self.system, self._course, self._directions = system, numbers.course, directions
        names = (element.tensor for element in (*system.given, *system.fixed))
        self._known: dict[str, Array] = {
            **{name: np.asarray(element, dtype=object) for name, element in zip(names, numbers.rows, strict=True)},
            **numbers.weights,
        }
        self._double: dict[str, NDArray[np.float64]] = {}
        self._rates = AtPlaces(system, Formulas(system.rates, system.steps))
        self._jumps = AtPlaces(system, system.jumps)
        everything = [(element.tensor, ()) for element in system.given] + [
            (n, w.shape) for n, w in numbers.weights.items()
        ]
        self._by: Sequence[_By] = everything if any(element != MOVED for element in directions) else ()

    @property
    def starts(self) -> Array:
        """Return the columns at the start."""
        control, given_elements, columns = self.system.control, self.system.given, []
        for s, start in enumerate(self.system.starts):
            u = mpmath.mpf(self._known[start.tensor].item() if isinstance(start, Element) else formula(start).value(()))
            moved = (-1) ** s * (control.atol + control.rtol * abs(u))
            place = given_elements.index(start) if start in given_elements else None
            columns.append([u, *(moved if to == MOVED else mpmath.mpf(to == place) for to in self._directions)])
        return np.array(columns, dtype=object)

    def enter(self, number: int) -> None:
        """Read what rates and jumps read of the interval that leads to the time of a number."""
        if self.system.course:
            row = (np.asarray(element, dtype=object) for element in self._course[number])
            self._known.update(zip((element.tensor for element in self.system.course), row, strict=True))
        self._double = {name: array.astype(float) for name, array in self._known.items()}

    def rates(self, times: Array, states: Array) -> Array:
        """Return the rates at each of some times."""
        return self._rates.values(self._known, times, states)

    def rough(self, times: NDArray[np.float64], states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rates at each of some times in double precision."""
        return np.asarray(self._rates.rough(self._double, times, states), dtype=float)

    def slopes(self, times: Array, states: Array) -> Array:
        """Return the derivatives of the rates by the states, and along each direction apart from these."""
        return self._partials(self._rates, times, states)

    def jumped(self, t: Any, columns: Array) -> Array:
        """Return what the columns become at a time."""
        if not self.system.jumps.values:
            return columns
        u, along, times = columns[:, 0], columns[:, 1:], np.array([t], dtype=object)
        (partials,), count = self._partials(self._jumps, times, u[None]), len(u)
        changed = partials[:, :count] @ along + partials[:, count:]
        return np.column_stack([self._jumps.values(self._known, times, u[None])[0], changed])

    def allowed(self, part: float) -> Callable[[Array], NDArray[np.float64]]:
        """Return the allowed error of columns as a function of these, given the part of a unit."""
        control = self.system.control
        return lambda columns: part * (control.atol + control.rtol * abs(columns).astype(float))

    def _partials(self, formulas: AtPlaces, times: Array, states: Array) -> Array:
        """Return the derivatives of formulas by the states, and along each direction apart from these."""
        slopes, count = formulas.slopes(self._known, times, states, self._by), states.shape[1]
        columns = [
            np.full(slopes.shape[:2], mpmath.mpf(0), dtype=object) if to == MOVED else slopes[:, :, count + to]
            for to in self._directions
        ]
        return np.concatenate([slopes[:, :, :count], *(column[:, :, None] for column in columns)], axis=2)


def trajectory(system: System, times: Sequence[Any], numbers: Numbers, by: Sequence[int] | None) -> Trajectory:
    """Return the exact solution of one sample, with its derivatives by some of what is given, and of weights.

    Raise NoSolution where there is none, or none that is certain.
    """
    part = allowed_of(system)
    solved = _solved(_Equations(system, numbers, (MOVED, *(by or ()))), times, STAGES, part)
    again = _solved(_Equations(system, numbers), times, FEWER, COARSER * part)
    solution = Trajectory(solved[:, :, 0], solved[:, :, 2:], solved[:, :, 1])
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
    rough = equations.rough if equations.system.steps else None  # layers take long in many digits
    solver = Radau(stages, equations.rates, equations.slopes, equations.allowed(part), most, rough)
    rows = []
    for number, time in enumerate(times):
        equations.enter(number)
        if time > now:
            columns, now = solver.solve(now, time, columns), time
        rows.append(columns)
        columns = equations.jumped(now, columns)
    return np.stack(rows)


class Exact:
    """The exact results of one sample of a program whose path has steps that are chosen, each with its unit.

    ``derived`` says whether its derivatives are computed as well: by the parameters of the numbers ``compared``.
    """

    def __init__(self, program: Program, point: Point, row: int, derived: bool) -> None:
        step = step_of(program)
        assert step
        self._program, self._path, self.compared = program, step.target, compared_of(program)
        self.system: System = step.expression.system
        self._read = step.expression
        self._before = needed(program.steps, step.operands)
        before_path = {item.target.tensor for item in (*self._before, step)}
        self._rest = only(program, tuple(item for item in program.steps if item.target.tensor not in before_path))
        self._first = only(program, self._before)
        self._others = tuple(item for item in program.steps if item is not step)
        self._parameters = np.asarray([mpmath.mpf(float(item)) for item in point.parameters], dtype=object)
        self._point, self._rows = point, slice(row, row + 1)
        self._known = self._given(self._parameters)
        self._weights = {k: number for number, k in enumerate(_weights_of(program), len(self.system.given))}
        by = [*range(len(self.system.given)), *(self._weights[k] for k in self.compared if k in self._weights)]
        self._columns = {number: column for column, number in enumerate(by)}
        self.times, self.time_name = [*self._known[self._read.time.tensor][0]], self._read.time.tensor
        self._numbers = Numbers(
            self._row(self._known),
            () if self._read.course is None else self._known[self._read.course.tensor][0],
            {item.tensor: self._known[item.tensor] for item in self._read.weights},
        )
        self.solution = trajectory(self.system, self.times, self._numbers, by if derived else None)
        self.states, self.slopes = self.solution.largest(self.system)

    @property
    def start(self) -> tuple[Array, Array]:
        """Return the states at the first time, after a jump, and their rates."""
        equations = _Equations(self.system, self._numbers)
        equations.enter(0)
        u = equations.jumped(self.times[0], equations.starts)[:, 0]
        return u, equations.rates(np.array(self.times[:1], dtype=object), u[None])[0]

    @cached_property
    def outputs(self) -> Values:
        """Return the outputs (outputs, times)."""
        with mpmath.workdps(DIGITS):
            values = self._values()
            exact = np.stack([values[element.tensor][0] for element in self._program.outputs])
            by_states, _ = self._of_outputs
            return Values(
                exact,
                np.max(np.sum(abs(by_states) * self.states, axis=2), axis=1, keepdims=True) + np.zeros_like(exact),
            )

    @cached_property
    def loss(self) -> Values:
        """Return the loss."""
        with mpmath.workdps(DIGITS):
            by_states, _ = self._of_loss
            return Values(
                _one(self._values()[self._program.required_loss.tensor].item()),
                _one(np.sum(abs(by_states) * self.states)),
            )

    @cached_property
    def gradient(self) -> Values:
        """Return the derivatives of the loss by the parameters that are compared (P,)."""
        with mpmath.workdps(DIGITS):
            derivatives = self._chained(self._of_loss, [self._derivatives_of_loss(path) for path in self._near])
            return Values(derivatives.exact[0], derivatives.unit[0])

    @cached_property
    def jacobian(self) -> Values:
        """Return the derivatives of all outputs by the parameters that are compared, (outputs*times, P)."""
        with mpmath.workdps(DIGITS):
            count = len(self._program.outputs) * len(self.times)
            alone = [
                (by_states.reshape(count, 1, -1), direct.reshape(count, -1))  # an output reads states at its own time
                for by_states, direct in (self._of_outputs, *map(self._derivatives_of_outputs, self._near))
            ]
            return self._chained(alone[0], alone[1:], len(self._program.outputs))

    # --- steps before and after the path -------------------------------------------------------------------------

    def _given(self, parameters: Array) -> dict[str, Array]:
        """Return the values of all steps that come before the path."""
        point, rows = self._point, self._rows
        return run(self._first, bind(self._program, parameters, point.X[rows], point.Y[rows]))

    def _row(self, known: Mapping[str, Array]) -> list[Any]:
        """Return the values of given and fixed."""
        return [number for row in self._read.rows for number in known[row.tensor][0]]

    def _values(self, path: Array | None = None) -> dict[str, Array]:
        """Return the values of all steps, given the path."""
        states = self.solution.states if path is None else path
        return run(self._rest, {**self._known, self._path.tensor: states[None]})

    @property
    def _near(self) -> list[Array]:
        """Return the path with each of the states moved by its unit."""
        every = range(len(self.states))
        return [
            self.solution.states + array_of((u * (s == k) for s, u in enumerate(self.states)), (len(every),))
            for k in every
        ]

    @cached_property
    def _of_loss(self) -> tuple[Array, Array]:
        return self._derivatives_of_loss(self.solution.states)

    @cached_property
    def _of_outputs(self) -> tuple[Array, Array]:
        return self._derivatives_of_outputs(self.solution.states)

    def _derivatives_of_loss(self, path: Array) -> tuple[Array, Array]:
        """Return the derivatives of the loss by the path, (1, times, states), and by parameters beside it, (1, P)."""
        values = self._values(path)
        received = received_by(
            self._others,
            values,
            lengths_of(self._program, 1),
            {self._program.required_loss.tensor: _one(1).reshape(())},
        )
        sizes = {tensor.name: tensor.size for tensor in self._program.parameters}
        direct = [received[name].reshape(-1) if name in received else zeros([n]) for name, n in sizes.items()]
        by_states = received.get(self._path.tensor, zeros(path.shape)[None])
        return by_states, np.concatenate([zeros([0]), *direct])[None, self.compared]

    def _derivatives_of_outputs(self, path: Array) -> tuple[Array, Array]:
        """Return the derivatives of outputs at each time by the path there, (outputs, times, states).

        Those by parameters beside it are (outputs, times, P).
        """
        program, index, count = self._program, self._read.time.indices[1], len(path)
        steps, values = needed(self._others, program.outputs), self._values(path)
        read = {element.tensor: element for step in steps for element in (step.target, *step.operands)}
        same = {name for name, element in read.items() if index not in element.indices}
        same |= {tensor.name for tensor in program.parameters}
        values |= {name: repeated(values[name], count) for name in same}
        by = [(self._path.tensor, path.shape[1:]), *((element.name, element.shape) for element in program.parameters)]
        derivatives = at_each_place(along(steps, index, same), values, lengths_of(program, 1), program.outputs, by)
        states = path.shape[1]
        return derivatives[:, :, :states], derivatives[:, :, states:][:, :, self.compared]

    @cached_property
    def _moves(self) -> list[dict[int, Any]]:
        """Return for each parameter that is compared its derivatives of numbers, each with the column of these."""
        moves, count, whole = [], len(self.system.given), self._row(self._known)
        trained = np.concatenate(
            [[], *([parameter.trained] * parameter.size for parameter in self._program.parameters)]
        )
        for k in self.compared:
            if k in self._weights or not trained[k]:
                moves.append({self._columns[self._weights[k]]: mpmath.mpf(1)} if trained[k] else {})
                continue
            by = mpmath.mpf(DISTANCE) * (abs(self._parameters[k]) or 1)
            moved = self._parameters.copy()
            moved[k] += by
            pairs = zip(self._row(self._given(moved))[:count], whole[:count], strict=True)
            moves.append({column: (a - b) / by for column, (a, b) in enumerate(pairs) if a != b})
        return moves

    def _chained(
        self, whole: tuple[Array, Array], near: Sequence[tuple[Array, Array]], repeats: int | None = None
    ) -> Values:
        """Return the derivatives of numbers by the parameters that are compared, (numbers, P).

        ``whole`` are those by the states, (numbers, times, states), and by parameters beside these, (numbers, P);
        ``near`` the same with each of the states moved by its unit. With ``repeats``, each of the numbers is one of the
        results at one time.
        """
        by_states, direct = whole
        bends = np.sum([abs(slopes_near - by_states) for slopes_near, _ in near], axis=0)
        exact, unit = (
            direct.copy(),
            np.sum([abs(direct_near - direct) for _, direct_near in near], axis=0) + zeros(direct.shape),
        )
        for p, change in enumerate(self._moves):
            slopes, of_slopes = zeros(self.solution.states.shape), zeros(self.states.shape)
            for column, factor in change.items():
                slopes = slopes + self.solution.slopes[:, :, column] * factor
                of_slopes = of_slopes + self.slopes[:, column] * abs(factor)
            if repeats is not None:
                slopes = np.tile(slopes[:, None], (repeats, 1, 1))
            exact[:, p] += np.sum(by_states * slopes, axis=(1, 2))
            unit[:, p] += np.sum(abs(by_states) * of_slopes + bends * abs(slopes), axis=(1, 2))
        return Values(exact, unit)


def _weights_of(program: Program) -> list[int]:
    """Return the numbers of the parameters that are weights of networks in equations, in the order of the system."""
    step, numbers = step_of(program), list[int]()
    places = {tensor.name: value_range for tensor, value_range in slices_of(program.parameters)}
    for weight in step.expression.weights if step else ():
        numbers += range(places[weight.tensor].start, places[weight.tensor].stop)
    return numbers


def compared_of(program: Program) -> NDArray[np.int64]:
    """Return the numbers of the parameters by which derivatives are compared: of very many weights, those drawn."""
    weights, random = _weights_of(program), np.random.default_rng(0)
    kept = np.ones(program.parameter_count, bool)
    kept[weights] = len(weights) <= MOST_WEIGHTS
    for tensor, value_range in slices_of(program.parameters):
        if not kept[value_range].all():
            count = max(DRAWN, MOST_WEIGHTS * tensor.size // len(weights))
            kept[value_range.start + random.permutation(tensor.size)[:count]] = True
    return np.flatnonzero(kept)


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

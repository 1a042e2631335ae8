"""Solves a system of differential equations with steps that an estimate of their error chooses.

The loop is that of ``solve.h`` in the runtime: the same steps, in the same order of operations as in one lane. In
several lanes they differ by rounding, and in single precision take norms in this precision.
Here, numbers are floats, or those of mpmath. Lengths of steps follow from logarithms that are precise to 1e-7, which is
enough for them, and have the same bits with each C library.

A step of length h is accepted where the norm of its estimated error is at most 1. The norm of a block of states is the
root of the mean of (error/(atol + rtol*|u|))**2, with the larger |u| of both ends of the step; that of all states is
the largest of their blocks. The next length is h*SAFE*norm**(-1/q)*before**(BEFORE/q), with the norm of the step
before (a PI controller), within LEAST and MOST times h. ``before`` is at least NEAR, so that lengths grow at once after
steps whose errors are far too small, such as the first ones; ``norm`` has no such limit. The first length is that of E.
Hairer, S. P. Norsett and G. Wanner, Solving Ordinary Differential Equations I, II.4, whose controller for the method of
Dormand and Prince has this form with norm**(-0.85/q), the same BEFORE, and SAFE = 0.9. Over 34 systems at three
tolerances, these constants try 19 % fewer steps than norm**(-0.7/q)*before**(0.4/q) with SAFE = 0.9 and both norms at
least 1e-4. A plain I controller (BEFORE = 0, SAFE = 0.9) tries 21 % fewer, but more than twice as many of them are
rejected, and errors are larger by half.

A linearly implicit method has the loop of ``rosenbrock.h``, which differs in its stages, and in that it estimates the
error at times within a step as well: there, its interpolant may be far from a solution that a step meets at its end.
The estimate is W^-1*(f(t, v) - dv/dt), with the interpolant v, and the matrix W = 1/(gamma*h) - J of the step: a step
of Newton's method where J is large, and gamma*h times the defect where it is small. (Rodas5Pr of G. Steinebach controls
a residual in a similar way; that only times of observation are looked at, and this scale, are ours.)
Where its norm is above 1, the step is taken again to end at this time, and the next one is not longer.

Where rates or states may jump at the times of a sample, a step ends at each of them. The rate is computed again there.
Where a state has jumped, the next length is chosen as the first one; elsewhere, the step to a time leaves the length
that the one before asked for, if that is longer.

``swept_back`` goes back through the steps of an explicit method, as ``solve_reverse.h`` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir.systems import REACH, LinearlyImplicit, System, Table
from nncodegen.runtime.python.ground.outcomes import SOLVED, TOO_EARLY, TOO_MANY, TOO_SHORT

Array = NDArray[Any]

# C has these numbers from here: see emit/controller.py
SAFE, LEAST, MOST = 0.85, 0.2, 10.0
BEFORE = 0.2
NEAR, TINY = -3.3219280948873626, 1e-8
"""The logarithm, to the base 2, of the smallest norm of a step that the controller remembers, 0.1 (its last digit
decides bits of results), and the smallest norm whose logarithm it takes."""

Rates = Callable[[Any, Array], Array]
"""The rates at a time and states."""

Transpose = Callable[[Any, Array, Array], Array]
"""The derivatives of the sum of all rates at a time and states, each times its factor, by states and all else."""


class Derivatives(NamedTuple):
    """Functions of a time and states that an implicit method reads in addition to rates.

    ``slopes`` returns the Jacobian of the first block of states, and the derivatives of all rates by the time; ``bend``
    the change of the rates of all other blocks with a direction of the first block.
    """

    slopes: Callable[[Any, Array], tuple[Array, Array]]
    bend: Callable[[Any, Array, Array], Array]


class Stops(NamedTuple):
    """The changes at each time of a sample, after which the interval to the next time begins.

    ``enter`` changes what rates and jumps read to the values of the interval that leads to the time of a number, and of
    this time; ``jump`` returns what states become at a time, or is None where none do. ``steered`` says that rates read
    such values.
    """

    enter: Callable[[int], None]
    jump: Callable[[Any, Array], Array] | None
    steered: bool


class Back(NamedTuple):
    """The functions by which the reverse of steps goes back, each by states and all else: see ``swept_back``.

    ``rates`` has the derivatives of the sum of all rates, ``jump`` those of the sum of what states become at a time,
    each times its factor; ``jump`` is None where no state jumps.
    """

    rates: Transpose
    stops: Stops | None
    jump: Transpose | None


class Taken(NamedTuple):
    """An accepted step of the length h from a time and the states there."""

    now: Any
    end: Any
    h: Any
    u: Array


Part = Callable[[Any], Array]
"""The states at a part x of a step."""


class Explicit:
    """The steps of an explicit Runge-Kutta method from one time and state."""

    def __init__(self, system: System, rates: Rates, now: Any, u: Array) -> None:
        self.table, self._rates = system.control.table, rates
        self.now, self.u, self.rate = now, u, rates(now, u)

    @property
    def stuck(self) -> bool:
        """Return whether no step leads on, whatever its length."""
        return False

    def tried(self, h: Any) -> tuple[Array, Array, Part]:
        """Return the states after a step, its estimated error, and the states in between."""
        return self.tried_by(self.table, h)

    def tried_by(self, table: Table, h: Any) -> tuple[Array, Array, Part]:
        """Return the states after a step of an explicit method, its estimated error, and the states in between."""
        u, stages, after = self.u, [self.rate], self.u
        for part, row in zip(table.times[1:], table.rows[1:], strict=True):
            after = u + h * _sum(row, stages)
            stages.append(self._rates(self.now + part * h, after))
        self._last: Array | None = stages[-1]
        return (
            after,
            h * _sum(table.errors, stages),
            lambda x: u + h * _sum([_at(coefficients, x) for coefficients in table.interpolant], stages),
        )

    def interpolation_error(self, at: Any, h: Any) -> Array | None:
        """Return the estimated error at a time within the step that was tried; None where it is that of the step."""
        return None

    def accept(self, end: Any, after: Array, again: bool = False) -> None:
        """Go on from the end of the step that was tried; ``again`` says that rates or states have changed there."""
        self.now, self.u = end, after
        self.rate = self._rates(end, after) if again or self._last is None else self._last


class Implicit(Explicit):
    """The steps of a linearly implicit method from one time and state."""

    def __init__(self, system: System, rates: Rates, derivatives: Derivatives, now: Any, u: Array) -> None:
        super().__init__(system, rates, now, u)
        self._own, self._block = derivatives, system.block
        self._factors: Factors | None = None
        self._derive()

    def _derive(self) -> None:
        """Compute the derivatives of the rates, and a bound of the eigenvalues of the Jacobian."""
        J, self._drift = self._own.slopes(self.now, self.u)
        self._finite = all(entry - entry == 0 for entry in (*J.flat, *self._drift))
        square = abs(J @ J)
        self._jacobian, self._bound = J, min(max(square.sum(axis=0)), max(square.sum(axis=1))) ** 0.5

    @property
    def _explicit(self) -> Table | None:
        assert isinstance(self.table, LinearlyImplicit)
        return self.table.explicit

    @property
    def stuck(self) -> bool:
        """Return whether derivatives are not finite, with which an implicit step would not move."""
        return not self._finite and not self._explicit

    def tried(self, h: Any) -> tuple[Array, Array, Part]:
        """Return the states after a step, its estimated error, and the states in between."""
        table, u = self.table, self.u
        assert isinstance(table, LinearlyImplicit)
        if table.explicit and (not self._finite or h * self._bound <= REACH):
            self._factors = None
            return self.tried_by(table.explicit, h)
        J, drift, self._last = self._jacobian, self._drift, None
        self._factors = _factorized(np.eye(self._block, dtype=u.dtype) * _over(table.gamma * h) - J)
        self._stages = stages = list[Array]()
        for part, row, couplings, factor in zip(table.times, table.rows, table.couplings, table.drifts, strict=True):
            right = self._rates(self.now + part * h, u + _sum(row, stages)) if stages else self.rate
            if stages:
                right = right + _sum(couplings, stages) * _over(h)
            if factor:
                right = right + factor * h * drift
            stages.append(self._solved(self._factors, right))
        return (
            u + _sum(table.weights, stages),
            _sum(table.errors, stages),
            lambda x: u + _sum([_at(coefficients, x) for coefficients in table.interpolant], stages),
        )

    def _solved(self, factors: Factors, right: Array) -> Array:
        """Return the solution of the linear equations of the step, given the right-hand sides of all blocks."""
        first, others = _substituted(factors, right[: self._block]), right[self._block :]
        if len(others):
            others = others + self._own.bend(self.now, self.u, first)
        return np.concatenate([first, *(_substituted(factors, block) for block in others.reshape(-1, self._block))])

    def interpolation_error(self, at: Any, h: Any) -> Array | None:
        """Return the estimated error at a time within the step that was tried; None where it is that of the step."""
        if self._factors is None:
            return None
        x, weights = (at - self.now) / h, self.table.interpolant
        rates = self._rates(at, self.u + _sum([_at(coefficients, x) for coefficients in weights], self._stages))
        return self._solved(
            self._factors, rates - _sum([_slope(coefficients, x) for coefficients in weights], self._stages) * (1 / h)
        )

    def accept(self, end: Any, after: Array, again: bool = False) -> None:
        """Go on from the end of the step that was tried."""
        super().accept(end, after, again)
        self._derive()


def integrate(
    system: System,
    times: Sequence[Any],
    starts: Array,
    rates: Rates,
    derivatives: Derivatives | None = None,
    stops: Stops | None = None,
    taken: list[Taken] | None = None,
) -> tuple[Array, str]:
    """Return the states of the path at all times, which ascend: (times, states), and the outcome.

    States are NaN where it fails. ``derivatives`` are for implicit methods, ``stops`` for what changes at the times.
    Accepted steps are added to ``taken``.
    """
    control = system.control
    exponent, now = control.table.exponent, times[0] if control.start is None else control.start
    states = np.full((len(times), len(starts)), np.nan, starts.dtype)
    if not now <= times[0]:
        return states, TOO_EARLY
    before, rejected, left = 0.0, False, control.most
    if stops:
        stops.enter(0)
    starts, done, _ = _passed(times, 0, now, starts, states, stops)
    if done == len(times):
        return states, SOLVED
    step = Implicit(system, rates, derivatives, now, starts) if derivatives else Explicit(system, rates, now, starts)
    aim = times[done] if stops else times[-1]
    h = _first_length(system, now, starts, step.rate, rates, aim - now)
    while done < len(times):
        end, asked = now + h, 0.0
        if end >= aim:
            end, h, asked = aim, aim - now, h
        if left == 0 or step.stuck or not end > now:
            return states, TOO_SHORT if left else TOO_MANY
        left -= 1
        after, error, within = step.tried(h)
        size = np.maximum(abs(step.u), abs(after))
        norm = _norm(system, error, size)
        if not norm <= 1:
            h *= max(LEAST, SAFE / _root(norm, exponent)) if norm < np.inf else LEAST
            rejected = True
            continue
        while not stops and done < len(times) and times[done] <= end:
            between = step.interpolation_error(times[done], h) if times[done] < end else None
            if between is not None and not _norm(system, between, size) <= 1:
                break
            states[done] = after if times[done] == end else within((times[done] - now) / h)
            done += 1
        if not stops and done < len(times) and times[done] < end:
            aim, rejected = times[done], True
            continue
        if taken is not None:
            taken.append(Taken(now, end, h, step.u))
        held = _log2(max(norm, TINY))
        factor = SAFE * _exp2((BEFORE * before - held) / exponent)
        h *= min(1.0 if rejected else MOST, max(LEAST, factor))
        now, before, rejected, jumped = end, max(held, NEAR), False, False
        if stops and end == aim:
            h = max(h, asked)
            after, done, jumped = _passed(times, done, now, after, states, stops)
        if done == len(times):
            break
        aim = times[done] if stops else times[-1]
        step.accept(end, after, jumped or bool(stops and stops.steered and asked))
        if jumped:
            h, before = _first_length(system, now, after, step.rate, rates, aim - now), 0.0
    return states, SOLVED


def _passed(
    times: Sequence[Any], done: int, now: Any, u: Array, states: Array, stops: Stops | None
) -> tuple[Array, int, bool]:
    """Write the states at all times up to now, let them jump after each, and enter the interval to the next time.

    Return the states, the number of times whose states are written, and whether any state has jumped.
    """
    jumped = False
    while done < len(times) and times[done] <= now:
        states[done] = u
        if stops and stops.jump:
            after = stops.jump(now, u)
            jumped = jumped or any(state != state_before for state, state_before in zip(after, u, strict=True))
            u = after
        done += 1
        if stops and done < len(times):
            stops.enter(done)
    return u, done, jumped


def swept_back(
    system: System,
    times: Sequence[Any],
    states: Array,
    taken: Sequence[Taken],
    adjoint: Array,
    rates: Rates,
    back: Back,
) -> Array:
    """Return the derivatives of the sum of adjoint*states over all times, by what is given, and by weights.

    They are those of the steps that an explicit method took, with their lengths held fixed, from the last to the first.
    The stages of a step are computed again; each adds the derivatives of its rates, times their adjoint. Where states
    jump at a time, they do so after they were observed.
    """

    def landed(number: int, bar: Array) -> Array:
        if back.stops:
            back.stops.enter(number)
        if back.jump:
            after_jump = back.jump(times[number], states[number], bar)
            bar, total[: len(system.given)] = after_jump[:size], total[: len(system.given)] + after_jump[size:]
        summed: Array = bar + adjoint[number]
        return summed

    table, size, left = system.control.table, len(system.states), len(times)
    bar = np.zeros_like(adjoint[0])
    total = np.zeros_like(adjoint, shape=len(system.given) + system.offsets[-1])
    for now, end, h, u in reversed(taken):
        while left and times[left - 1] == end:
            left -= 1
            bar = landed(left, bar)
        stages, places = list[Array](), list[Array]()
        for part, row in zip(table.times, table.rows, strict=True):
            places.append(u + h * _sum(row, stages) if row else u)
            stages.append(rates(now + part * h, places[-1]))
        bars, before = [np.zeros_like(bar) for _ in stages], np.zeros_like(bar)
        while left and times[left - 1] > now:
            left -= 1
            before = before + adjoint[left]
            for j, coefficients in enumerate(table.interpolant):
                bars[j] = bars[j] + h * _at(coefficients, (times[left] - now) / h) * adjoint[left]
        for s in reversed(range(len(stages))):
            sensitivities = back.rates(now + table.times[s] * h, places[s], bars[s])
            moved = sensitivities[:size] + bar if s == len(stages) - 1 else sensitivities[:size]
            total, before = total + sensitivities[size:], before + moved
            for j, weight in enumerate(table.rows[s]):
                bars[j] = bars[j] + h * weight * moved
        bar = before
    for number in reversed(range(left)):
        bar = landed(number, bar)
    for start, state_adjoint in zip(system.starts, bar, strict=True):
        if start in system.given:
            total[system.given.index(start)] += state_adjoint
    return total


def _first_length(system: System, now: Any, u: Array, rate: Array, rates: Rates, most: Any) -> Any:
    """Return the length of the first step, at most that of the whole time."""
    size = abs(u)
    of_u, of_rate = _norm(system, u, size), _norm(system, rate, size)
    h = 0.01 * of_u / of_rate if of_u >= 1e-5 and of_rate >= 1e-5 else 1e-6
    h = min(h, most)
    change = _norm(system, rates(now + h, u + h * rate) - rate, size) / h
    largest = of_rate if of_rate > change else change  # noqa: FURB136 (NaN as in C)
    other = _root(0.01 / largest, system.control.table.exponent) if largest > 1e-15 else max(1e-6, h * 1e-3)
    h = min(100 * h, other, most)
    return h if h > 0 else most * 1e-6  # the changes are not finite


def _log2(value: Any) -> Any:
    """Return the logarithm of a positive number to the base 2, to 1e-7: the polynomial of ``rough_log2`` in C."""
    if not isinstance(value, float):
        return mpmath.log(value, 2)
    mantissa, exponent = math.frexp(value)
    if mantissa < math.sqrt(0.5):
        mantissa, exponent = 2 * mantissa, exponent - 1
    f = mantissa - 1
    f2 = f * f
    a, b = 1.44269499489 - f * 0.721352931363, 0.480916708 - f * 0.360225182461
    c, d = 0.287288882374 - f * 0.249271822075, 0.232652578821 - f * 0.14275973436
    return exponent + f * ((a + f2 * b) + f2 * f2 * (c + f2 * d))


def _exp2(power: Any) -> Any:
    """Return 2 to a power, to 1e-8: the polynomial of ``rough_exp2`` in C."""
    if not isinstance(power, float):
        return mpmath.power(2, power)
    whole = round(power)
    f = power - whole
    f2 = f * f
    a, b = 1 + f * 0.693147206703, 0.240226509223 + f * 0.0555032722667
    c = 0.00961805667852 + f * (0.00134004281776 + f * 0.000154614446986)
    return math.ldexp((a + f2 * b) + f2 * f2 * c, whole)


def _root(value: Any, exponent: Any) -> Any:
    """Return the root of a number that is not negative: the number to the power of 1/exponent."""
    return _exp2(_log2(value) / exponent) if value > 0 else 0.0


def _norm(system: System, values: Array, size: Array) -> Any:
    """Return the norm of an error, given the sizes of the states."""
    control = system.control
    parts = (values / (control.atol + control.rtol * size)).reshape(-1, system.block)
    squares = [sum(entry * entry for entry in part) / system.block for part in parts]
    return max(squares) ** 0.5 if all(square >= 0 for square in squares) else np.nan


def _sum(weights: Sequence[Any], stages: Sequence[Array]) -> Array:
    """Return the weighted sum of rates."""
    total: Array = weights[0] * stages[0]
    for weight, stage in zip(weights[1:], stages[1:], strict=True):
        total = total + weight * stage
    return total


def _at(coefficients: Sequence[float], x: Any) -> Any:
    """Return the polynomial with the coefficients of x, x**2, ... at x."""
    total = coefficients[-1] * x
    for coefficient in coefficients[-2::-1]:
        total = (total + coefficient) * x
    return total


def _over(value: Any) -> Any:
    """Return 1 over a value: infinity over 0, as in C."""
    return 1 / value if value != 0 else np.inf


def _slope(coefficients: Sequence[float], x: Any) -> Any:
    """Return the derivative of the polynomial with the coefficients of x, x**2, ... at x."""
    total = len(coefficients) * coefficients[-1]
    for k in range(len(coefficients) - 1, 0, -1):
        total = total * x + k * coefficients[k - 1]
    return total


Factors = tuple[Array, list[int]]
"""Two triangular matrices in one, with the reciprocals of pivots on the diagonal, and the row of each pivot."""


def _factorized(matrix: Array) -> Factors:
    """Return the factors of a matrix, with the largest element of the rest of each column as its pivot."""
    a, pivots = matrix.copy(), []
    for k in range(len(a)):
        best = k
        for i in range(k + 1, len(a)):
            best = i if abs(a[i, k]) > abs(a[best, k]) else best
        a[[k, best]] = a[[best, k]]
        a[k, k] = 1 / a[k, k] if a[k, k] != 0 else np.nan
        for i in range(k + 1, len(a)):
            a[i, k] = a[i, k] * a[k, k]
            a[i, k + 1 :] = a[i, k + 1 :] - a[i, k] * a[k, k + 1 :]
        pivots.append(best)
    return a, pivots


def _substituted(factors: Factors, right: Array) -> Array:
    """Return the solution of linear equations."""
    (a, pivots), b = factors, right.copy()
    for k, best in enumerate(pivots):
        b[[k, best]] = b[[best, k]]
    for k in range(len(b)):
        b[k + 1 :] = b[k + 1 :] - a[k + 1 :, k] * b[k]
    for k in reversed(range(len(b))):
        b[k] = b[k] * a[k, k]
        b[:k] = b[:k] - a[:k, k] * b[k]
    return b

"""Solutions of differential equations, stiff or not, in many digits, by Radau IIA methods of high order.

A step of length h from the states u at the time t is a polynomial of degree s whose derivative is that of the equations
at s *stages*, the zeros c_1 < ... < c_s = 1 of the derivative of order s - 1 of x**(s - 1)*(x - 1)**s:

    Z_i = h*sum_j a_ij*f(t + c_j*h, u + Z_j)        u(t + h) = u + Z_s

with a_ij the integrals to c_i of Lagrange's polynomials of the zeros. The order is 2*s - 1, and s at least where
equations are stiff: E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, IV.5 and IV.8. The methods
that modules take share nothing with it: no coefficients, no loop, no estimate of an error.

The equations for Z are solved by iterative refinement: residuals have many digits, and the matrix that makes a
correction of them, that of Newton's method, is inverted in double precision. Derivatives of the states along some
*directions* follow from linear equations with the same matrix. A step and both halves of it give two results, whose
difference is the estimate of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.products import Array, array_of, each, summed_over, zeros

DIGITS = 50
"""The digits of all numbers."""

GUARD = 20
"""Digits that are lost at most where coefficients are computed."""

SAFE, GROWTH, SHRINKING = 0.85, 4.0, 0.1
"""The part of the length that an estimate proposes, and the most by which a length grows and shrinks in a step."""

SHORTEST = "1e-25"
"""A step that is shorter, as a part of the interval, leads nowhere."""

SETTLED = 1e-3
"""The correction of stages, as a part of the error that is allowed, that is the last one."""

LOST = 1e-1
"""The bound of the rounding of derivatives in double precision, as a part of the error that is allowed in a step, up to
which they need no more digits."""

SLOW = 1e-2
"""The ratio of two corrections beyond which the matrix is computed again, from the last stages."""

DIFFERENCE = 2.0**-26
"""The distance of differences in double precision, relative to a state."""

ROUNDING = 1e-10
"""The correction of stages in double precision, relative to the largest, that may be due to rounding."""

MOST_CORRECTIONS = 20
"""The number of corrections after which a step is too long."""


class NoSolution(Exception):  # noqa: N818 (it is an answer, caught where points are drawn)
    """The solution leaves the range of numbers, or takes more evaluations of rates than are allowed."""


class _TooLong(Exception):  # noqa: N818 (it is an answer, caught where a step is taken)
    """The stages of a step are not found: it is taken again with a shorter length."""


@dataclass(frozen=True)
class Method:
    """The coefficients of a number of stages: their places (s,), the inverse of a_ij, and predictions of both halves.

    ``halves`` (2, s, s) give the stages of each half of a step, less the states at its begin, from those of the step.
    """

    places: Array
    inverse: Array
    halves: NDArray[np.float64]


@lru_cache
def method_of(stages: int) -> Method:
    """Return the coefficients of a number of stages."""
    with mpmath.workdps(DIGITS + GUARD):
        whole = [(-1) ** k * comb(stages, k) for k in range(stages + 1)] + [0] * (stages - 1)
        for _ in range(stages - 1):
            whole = [factor * (len(whole) - 1 - k) for k, factor in enumerate(whole[:-1])]
        places = sorted(mpmath.re(root) for root in mpmath.polyroots(whole, maxsteps=200, extraprec=200))
        powers = mpmath.matrix([[c**k for k in range(stages)] for c in places])
        integrals = mpmath.matrix([[c ** (k + 1) / (k + 1) for k in range(stages)] for c in places])
        inverse = powers * integrals**-1
        # stages of a half are those of the step at c/2 or (1 + c)/2, less the states at 0 or 1/2
        halves = [
            [_weights(places, (c + half) / 2) - _weights(places, half / 2) for c in places] for half in (0.0, 1.0)
        ]
    return Method(array_of(places, (stages,)), array_of(inverse, (stages, stages)), np.array(halves, dtype=float))


def _weights(places: Sequence[Any], x: Any) -> Array:
    """Return the weights of changes at some places in the value at x of the polynomial through them and through 0."""
    return np.array(
        [mpmath.fprod((x - node) / (place - node) for node in (0, *places) if node != place) for place in places]
    )


@dataclass
class Radau:
    """The solution from one time to the next.

    States are columns (n, 1 + directions): the states themselves, and their derivative along each direction.

    stages     the number of stages
    rates      the rates (k, n) at some times (k,) and the states there (k, n)
    slopes     the derivatives of the rates there, (k, n, n + directions): by the states, and along each direction as
               far as it does not go through the states
    unit       the error that is allowed in a step of each of some columns
    left       the number of evaluations of rates that are still allowed
    rough      the rates in double precision, if stages are first solved with them, and derivatives along directions as
               far as their rounding allows: for rates whose evaluation in many digits takes long
    length     the length that the last step has proposed
    """

    stages: int
    rates: Callable[[Array, Array], Array]
    slopes: Callable[[Array, Array], Array]
    unit: Callable[[Array], NDArray[np.float64]]
    left: int
    rough: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] | None = None
    length: Any = None

    def solve(self, now: Any, end: Any, columns: Array) -> Array:
        """Return the columns at the end of an interval. Raise NoSolution where there are none."""
        whole = end - now
        if self.length is None:
            self.length = whole / 100
        while now < end:
            asked, last = self.length, now + self.length >= end
            length = end - now if last else asked
            if length < whole * mpmath.mpf(SHORTEST):
                raise NoSolution("steps become too short")
            after = self._step(now, length, columns)
            if after is None:
                continue
            if last:  # it was shortened to end there: the next interval begins with the usual length, if that is longer
                self.length = max(self.length, asked)
            columns, now = after, end if last else now + length
        return columns

    def _step(self, now: Any, length: Any, columns: Array) -> Array | None:
        """Return the columns after a step, or None where its error is too large; propose the length of the next one."""
        try:
            with np.errstate(all="ignore"):  # numbers beyond the range of doubles make a step too long
                once, twice = self._halved(now, length, columns)
                error = _largest((once - twice) / 2**self.stages, self.unit(twice))
        except (_TooLong, np.linalg.LinAlgError):
            error = np.inf
        order = 2 * self.stages
        factor = GROWTH if error == 0 else SAFE * error ** (-1 / order)
        self.length = length * min(GROWTH, max(SHRINKING, factor))
        return twice if error <= 1 else None

    def _halved(self, now: Any, length: Any, columns: Array) -> tuple[Array, Array]:
        """Return the columns after one step, and those after two steps of half its length."""
        stages, whole = self._stages(now, length, columns)
        after, half = columns, length / 2
        for number, weights in enumerate(method_of(self.stages).halves):
            guess = weights @ stages.astype(float)
            after = after + self._stages(now + half * number, half, after, guess)[1]
        return columns + whole, after

    def _stages(
        self, now: Any, length: Any, columns: Array, guess: NDArray[np.float64] | None = None
    ) -> tuple[Array, Array]:
        """Return the changes of states at the stages of a step, (s, n), and those of columns with it."""
        u, times = columns[:, 0], method_of(self.stages).places * length + now
        unit, before = self.unit(columns), np.inf
        if self.rough:
            rough, inverse = self._roughly(times, length, u, unit[:, 0], guess)
            changes = each(mpmath.mpf, rough.astype(object))
        elif guess is None:
            changes = zeros((self.stages, len(u)))
            at_begin = self.slopes(np.array([now], dtype=object), u[None])
            inverse = self._inverted(length, np.repeat(at_begin, self.stages, axis=0))
        else:
            changes = each(mpmath.mpf, guess.astype(object))
            inverse = self._inverted(length, self.slopes(times, u + changes))
        for _ in range(MOST_CORRECTIONS):
            self._spend(self.stages)
            rates = self.rates(times, u + changes)
            correction = self._correction(inverse, length, rates[:, :, None], changes[:, :, None])[:, :, 0]
            changes = changes + correction
            size = _largest(correction, unit[:, 0])
            if size <= SETTLED:
                along = self._along(times, length, columns, changes, unit[:, 1:])
                return changes, np.concatenate([changes[-1][:, None], along], axis=1)
            if size == np.inf:
                break
            if size > SLOW * before:
                inverse = self._inverted(length, self.slopes(times, u + changes))
            before = size
        raise _TooLong

    def _roughly(
        self, times: Array, length: Any, u: Array, unit: NDArray[np.float64], guess: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the changes of states at the stages as far as double precision has them, and the last matrix."""
        at, start, h = times.astype(float), u.astype(float), float(length)
        changes = np.zeros((self.stages, len(u))) if guess is None else guess
        stage_inverse, before = method_of(self.stages).inverse.astype(float), np.inf
        inverse = self._inverted(length, self._differences(at, start + changes))
        for _ in range(MOST_CORRECTIONS):
            self._spend(1)  # it takes less time than one evaluation in many digits
            residuals = h * self._rough(at, start + changes) - stage_inverse @ changes
            correction = (inverse @ residuals.reshape(-1)).reshape(changes.shape)
            changes = changes + correction
            size = _largest(correction, unit)
            rounding = np.max(abs(correction)) <= ROUNDING * np.max(abs(start + changes))
            if size <= SETTLED or (rounding and size > before / 2):
                return changes, inverse
            if size == np.inf or size > before * 2:
                break
            if size > SLOW * before:
                inverse = self._inverted(length, self._differences(at, start + changes))
            before = size
        raise _TooLong

    def _differences(self, times: NDArray[np.float64], states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives of the rates by the states, (k, n, n), as differences of rates in double precision."""
        k, n = states.shape
        moves = DIFFERENCE * np.maximum(abs(states), np.max(abs(states)) / 1000 or 1.0)
        moved = states[:, None] + np.concatenate([np.zeros((k, 1, n)), moves[:, :, None] * np.eye(n)], axis=1)
        rates = self._rough(np.repeat(times, n + 1), moved.reshape(-1, n)).reshape(k, n + 1, n)
        return np.asarray(np.swapaxes((rates[:, 1:] - rates[:, :1]) / moves[:, :, None], 1, 2))

    def _rough(self, times: NDArray[np.float64], states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rates in double precision."""
        assert self.rough
        return self.rough(times, states)

    def _along(self, times: Array, length: Any, columns: Array, changes: Array, unit: NDArray[np.float64]) -> Array:
        """Return the changes of the derivatives along all directions at the last stage, (n, directions)."""
        u, along, n = columns[:, 0], columns[:, 1:], len(columns)
        if not along.size:
            return along
        slopes = self.slopes(times, u + changes)
        inverse, by_states, apart = self._inverted(length, slopes), slopes[:, :, :n], slopes[:, :, n:]
        rough, lost = self._roughly_along(length, inverse, *(part.astype(float) for part in (by_states, apart, along)))
        last = each(mpmath.mpf, rough[-1].astype(object))
        enough = np.all(lost <= LOST * unit, axis=(0, 1)) & bool(self.rough)
        more = np.flatnonzero(~enough)
        if len(more):
            along, apart, unit = along[:, more], apart[:, :, more], unit[:, more]
            last[:, more] = self._closely_along(inverse, length, by_states, apart, along, unit, rough[:, :, more])
        return last

    def _closely_along(
        self,
        inverse: NDArray[np.float64],
        length: Any,
        by_states: Array,
        apart: Array,
        along: Array,
        unit: NDArray[np.float64],
        rough: NDArray[np.float64],
    ) -> Array:
        """Return the changes along directions at the last stage in many digits, given those in double precision."""
        changes = each(mpmath.mpf, rough.astype(object))
        for _ in range(MOST_CORRECTIONS):
            rates = summed_over([by_states[:, :, :, None], (along + changes)[:, None]], (2,)) + apart
            correction = self._correction(inverse, length, rates, changes)
            changes = changes + correction
            if _largest(correction, unit) <= SETTLED:
                return np.asarray(changes[-1])
        raise _TooLong

    def _roughly_along(
        self,
        length: Any,
        inverse: NDArray[np.float64],
        by_states: NDArray[np.float64],
        apart: NDArray[np.float64],
        along: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the changes along all directions in double precision, and a bound of what their rounding is."""
        size, stage_inverse = len(inverse), method_of(self.stages).inverse.astype(float)
        driving = float(length) * (by_states @ along + apart)
        changes = (inverse @ driving.reshape(size, -1)).reshape(driving.shape)
        terms = float(length) * by_states @ changes - np.tensordot(stage_inverse, changes, 1)
        changes = changes + (inverse @ (driving + terms).reshape(size, -1)).reshape(driving.shape)
        sums = abs(float(length) * by_states) @ (abs(along) + abs(changes)) + abs(float(length) * apart)
        sums = sums + np.tensordot(abs(stage_inverse), abs(changes), 1)
        return changes, np.finfo(float).eps * (abs(inverse) @ sums.reshape(size, -1)).reshape(driving.shape)

    def _correction(self, inverse: NDArray[np.float64], length: Any, rates: Array, changes: Array) -> Array:
        """Return corrections of changes (s, n, any number), given the rates with them."""
        combined = summed_over([method_of(self.stages).inverse[:, :, None, None], changes[None]], (1,))
        residuals = (rates * length - combined).astype(float)
        corrections = inverse @ residuals.reshape(len(inverse), -1)
        return each(mpmath.mpf, corrections.reshape(changes.shape).astype(object))

    def _inverted(self, length: Any, slopes: Array) -> NDArray[np.float64]:
        """Return the inverse of the matrix of all stages, given the slopes at each."""
        count, n, _ = slopes.shape
        whole = np.kron(method_of(count).inverse.astype(float), np.eye(n)).reshape(count, n, count, n)
        for k, slope in enumerate(slopes):
            whole[k, :, k] -= float(length) * slope[:, :n].astype(float)
        return np.linalg.inv(whole.reshape(count * n, count * n))

    def _spend(self, count: int) -> None:
        """Count evaluations of rates. Raise NoSolution where they are too many."""
        self.left -= count
        if self.left < 0:
            raise NoSolution("it takes too many steps")


def _largest(change: Array, unit: NDArray[np.float64]) -> float:
    """Return the largest change, in units; infinity where one is no number."""
    largest = float(np.max(abs(change).astype(float) / unit))
    return np.inf if np.isnan(largest) else largest

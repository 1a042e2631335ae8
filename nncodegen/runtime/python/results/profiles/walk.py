"""Walks along curves of best fits: outward from the best fit of all, until the cost has risen beyond a level.

A curve is one side of a profile. What grows along it is the root of the rise of the cost, in units of that of the
level; for a linear model it is proportional to the distance, and for others almost (D. M. Bates, D. G. Watts, Nonlinear
Regression Analysis and Its Applications, 1988, chapter 6). Many curves are walked along in step: each round asks for
one fit of each of those that are not done, and these may be made side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ...ground.types import Array

PARTS = 6
PART = 1 / PARTS
"""The steps up to the level, and the length of one."""

BEYOND = 1.1
"""The root of the rise at which a walk ends."""

CLOSE = 3e-5
"""The distance from the level at which a crossing counts as reached; a parabola leads on from there."""

MOST_GROWTH = 2.0
"""The most that a step is longer than the one before it."""

MOST_TRIES, MOST_ROUNDS = 4, 100
"""The tries by interpolation before a gap is halved, and the most rounds of a walk."""

DISTANT, FLAT = 6.0, 0.1
"""The coordinate from which, and the root up to which, a curve that breaks has gone through a flat valley: fits with
numbers of very different sizes are not worth more."""

EDGE = 1e-8
"""The width of a gap that counts as none: what lies beyond cannot be computed, or is another valley."""

CROSSED, BOUND, FAR, BROKEN, UNFINISHED = range(5)
"""The ends of a curve: beyond the level; at a bound; far away; where fits are not finite or jump; before its end."""

Solve = Callable[["Array", "Array", "Array"], "tuple[Array, Array, Array]"]
"""A function that makes fits: takes the indices of curves, coordinates, and where to begin (n, D).

It returns the roots of the rises, NaN where a fit is not finite, the values there, and the points (n, D).
"""


Rows = slice | np.ndarray
"""The indices of some curves, or a slice of all."""


class Points(NamedTuple):
    """Points of curves."""

    curves: Array
    ranks: Array
    """The place of each along its curve: 0 for the best fit, 1 for the point beside it."""
    u: Array
    """Coordinates."""
    z: Array
    """Roots of rises."""
    values: Array
    points: Array
    """The parameters, (n, D)."""


class _Place(NamedTuple):
    """A point of each curve."""

    u: Array
    z: Array
    values: Array
    points: Array

    def put(self, curves: Rows, other: _Place) -> None:
        """Replace the points of some curves."""
        for array, replacement in zip(self, other, strict=True):
            array[curves] = replacement

    def of(self, curves: Rows) -> _Place:
        """Return the points of some curves; of all of them without a copy."""
        return self if isinstance(curves, slice) else _Place(*(array[curves] for array in self))

    @staticmethod
    def at(points: Array, u: float) -> _Place:
        """Return places with some points, at one coordinate and without values."""
        count = len(points)
        return _Place(np.full(count, u), np.full(count, u), np.full(count, np.nan), points.copy())


class Walk:
    """A walk along L curves, from points (L, D), to the level, where the root of the rise is 1.

    ``most`` are the coordinates (L,) of the bounds, ``is_bound`` whether each is one of the user's. After an interrupt
    it knows what it has seen until then.
    """

    def __init__(self, solve: Solve, points: Array, most: Array, is_bound: Array) -> None:
        self._solve, self._most, self._is_bound = solve, most, is_bound
        self._levels = np.array([*(np.arange(1, PARTS + 1) / PARTS), BEYOND])
        self._room = np.array([PART / 2] * (PARTS - 1) + [CLOSE, 3 * PART])
        """By how much a root may be higher than each level."""
        self._last, self._before, self._older = (_Place.at(points, 0.0) for _ in range(3))
        self._above = _Place.at(points, np.inf)
        count = len(points)
        self._known = np.zeros(count, int)
        """The number of points beside the best fit."""
        self._goal, self._tries = np.zeros(count, int), np.zeros(count, int)
        self._taken: list[Points] = []
        self.crossings = np.full(count, np.nan)
        """The coordinates at which the level is crossed, (L,); where it is not, that of the last point."""
        self.ends = np.full(count, UNFINISHED, np.int8)
        at_bound = most <= 0
        self.ends[at_bound], self.crossings[at_bound] = np.where(is_bound[at_bound], BOUND, FAR), 0

    def run(self) -> None:
        """Walk until all curves have ended."""
        for _ in range(MOST_ROUNDS):
            curves = np.flatnonzero(self.ends == UNFINISHED)
            if not len(curves):
                break
            rows = slice(None) if len(curves) == len(self.ends) else curves
            last, before = self._last.of(rows), self._before.of(rows)
            u = np.minimum(self._next(rows), self._most[rows])
            step = last.u - before.u
            part = np.where((step > 0) & (self._tries[rows] == 0), u - last.u, 0) / np.where(step > 0, step, 1)
            starts = last.points + part[:, None] * (last.points - before.points)
            self._judge(curves, _Place(u, *self._solve(curves, u, starts)))
        endless = np.flatnonzero(self.ends == UNFINISHED)
        self.ends[endless], self.crossings[endless] = BROKEN, self._last.u[endless]
        is_flat = (self.ends == BROKEN) & (self._last.u > DISTANT) & (self._last.z < FLAT)
        self.ends[is_flat] = np.where(self._is_bound[is_flat], BOUND, FAR)
        self.crossings[is_flat] = self._most[is_flat]

    def points(self) -> Points:
        """Return the points of the curves, without the best fits at which they begin; those of a curve in order."""
        if not self._taken:
            none, whole = np.empty(0), np.empty(0, int)
            return Points(whole, whole, none, none, none, np.empty((0, self._last.points.shape[1])))
        return Points(*(np.concatenate(arrays) for arrays in zip(*self._taken, strict=True)))

    def _next(self, curves: Rows) -> Array:
        """Return the coordinates to try next."""
        last, before, older, above = (
            place.of(curves) for place in (self._last, self._before, self._older, self._above)
        )
        goal, known = self._levels[self._goal[curves]], self._known[curves]
        gap, is_open = above.u - last.u, ~np.isfinite(above.u)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            step = np.maximum(last.u - before.u, PART)
            straight = last.u + (goal - last.z) * np.where(known < 1, 1, (last.u - before.u) / (last.z - before.z))
            curved = _through(goal, older, before, last)
            forward = np.where((known > 1) & np.isfinite(curved) & (curved > last.u), curved, straight)
            forward = np.where(np.isfinite(forward) & (forward > last.u), forward, np.inf)
            forward = np.minimum(forward, last.u + MOST_GROWTH * step)
            between = last.u + gap * np.clip((goal - last.z) / (above.z - last.z), 0.1, 0.9)
            nearer = np.where(known > 0, _through(goal, before, last, above), np.nan)
            between = np.where((nearer > last.u) & (nearer < above.u), nearer, between)
            halved = (self._tries[curves] > MOST_TRIES) | ~np.isfinite(above.z)
            between = np.where(halved, last.u + gap / 2, between)
            is_stray = (self._tries[curves] == 0) & (last.z + PART / 2 < goal)  # perhaps: again, from a nearer start
            between = np.where(is_stray, above.u, between)
        result: Array = np.where(is_open, forward, between)
        return result

    def _judge(self, curves: Array, there: _Place) -> None:
        """Take the points that are near enough, and let the others be the ends of gaps."""
        goal = self._goal[curves]
        taken = there.z <= (self._levels + self._room)[goal]  # false for NaN
        above = ~taken
        self._tries[curves] = np.where(above, self._tries[curves] + 1, 0)
        if above.any():
            self._above.put(curves[above], there.of(above)._replace(z=np.nan_to_num(there.z[above], nan=np.inf)))
        self._take(curves[taken], there if taken.all() else there.of(taken))
        self._above.u[curves] = np.where(taken & (there.u >= self._above.u[curves]), np.inf, self._above.u[curves])
        crossed = taken & (goal == PARTS - 1) & (np.abs(there.z - 1) <= CLOSE)
        if crossed.any():
            self._cross(curves[crossed])
        advanced = np.searchsorted(self._levels[: PARTS - 1], there.z + PART / 4)
        self._goal[curves] = np.where(taken & (goal < PARTS), np.maximum(goal, advanced), goal) + crossed
        is_last = taken & ~crossed & (goal == PARTS) & (there.z >= self._levels[PARTS] - PART / 2)
        at_end = taken & (there.u >= self._most[curves])
        self.ends[curves[is_last]] = CROSSED
        ended = curves[at_end & ~is_last]
        without = np.where(self._is_bound[ended], BOUND, FAR)
        has_crossed = self._goal[ended] == PARTS
        self.ends[ended] = np.where(has_crossed, CROSSED, without)
        self.crossings[ended] = np.where(has_crossed, self.crossings[ended], self._last.u[ended])
        self._close_gaps(curves)

    def _cross(self, curves: Array) -> None:
        """Keep where the level is crossed, close to the last points."""
        older, last, there = (place.of(curves) for place in (self._older, self._before, self._last))
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (there.u - last.u) / (there.z - last.z)
            bend = ((last.u - older.u) / (last.z - older.z) - slope) / (older.z - there.z)
            on = (1 - there.z) * (slope + np.where(np.isfinite(bend), bend, 0) * (there.z - last.z))
        self.crossings[curves] = there.u + np.where(np.isfinite(on), on, 0)
        self._take_above(curves)

    def _take_above(self, curves: Array) -> None:
        """Take points that were too far for the level, where they are near enough for the end."""
        above = self._above.of(curves)
        near = curves[np.isfinite(above.u) & (above.z <= self._levels[PARTS] + self._room[PARTS])]
        if not len(near):
            return
        above = self._above.of(near)
        self._take(near, above)
        self._above.put(near, above._replace(u=np.full(len(near), np.inf)))
        self.ends[near[above.z >= self._levels[PARTS] - PART / 2]] = CROSSED

    def _take(self, curves: Array, there: _Place) -> None:
        """Make points of some curves the last ones."""
        if len(curves) == len(self.ends):
            self._older, self._before, self._last = self._before, self._last, _Place(*map(np.copy, there))
        else:
            self._older.put(curves, self._before.of(curves))
            self._before.put(curves, self._last.of(curves))
            self._last.put(curves, there)
        self._known[curves] += 1
        self._taken.append(Points(curves, self._known[curves], *there))

    def _close_gaps(self, curves: Array) -> None:
        """End curves at gaps that have become too narrow to see anything in."""
        last, above = self._last.u[curves], self._above.u[curves]
        is_narrow = above - last <= EDGE * np.maximum(1, last)  # false where nothing is above
        narrow = curves[is_narrow & (self.ends[curves] == UNFINISHED)]
        has_crossed = self._goal[narrow] == PARTS
        self.crossings[narrow] = np.where(has_crossed, self.crossings[narrow], self._last.u[narrow])
        self.ends[narrow] = np.where(has_crossed, CROSSED, BROKEN)


def _through(goal: Array, *places: _Place) -> Array:
    """Return where the parabola u(z) through three places is at a goal; not finite where two have the same z."""
    a, b, c = places
    first, second = (b.u - a.u) / (b.z - a.z), (c.u - b.u) / (c.z - b.z)
    bend = (second - first) / (c.z - a.z)
    result: Array = c.u + (goal - c.z) * (second + bend * (goal - b.z))
    return result

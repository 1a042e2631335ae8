"""The profiles of the parameters of one fit, or of many fits of one model, followed in step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .axis import Axis
from .joined import Curves, checked, joined
from .walk import BOUND, BROKEN, CROSSED, UNFINISHED, Points, Walk

if TYPE_CHECKING:
    from ...ground.types import Array

ROUNDING = 1e-6
"""A relative fall of the cost up to this does not count as a better minimum: fits end that close to it."""

FitAgain = Callable[[int, "Array", "Array"], "tuple[Array, Array]"]
"""A function that repeats fits with one parameter fixed: takes its index, fits by their indices (n,), and starts (n, P)
with the values of that parameter. It returns their costs, NaN where they are not finite, and parameters (n, P)."""


class Best(NamedTuple):
    """The best fits of M sets of data, from which profiles begin."""

    parameters: Array
    """(M, P)"""
    reach: Array
    """The distances (M, P) at which the level is, as standard errors say."""
    costs: Array
    rises: Array
    """The rises of the costs at the level, (M,)."""
    low: Array
    high: Array
    """Bounds of the parameters, (P,)."""


class Followed(NamedTuple):
    """Profiles of n parameters of M fits: those of one parameter follow each other."""

    curves: Curves
    intervals: Array
    """The values where the level is crossed, (n*M, 2): a bound if it comes first, infinite without; NaN if unknown."""
    ends: Array
    """The ends of both sides, (n*M, 2): see walk.py."""
    axis: Axis
    lower: dict[int, tuple[float, Array]]
    """Lower costs that were seen, and their parameters, by the indices of fits."""

    def some(self, profiles: Array) -> Followed:
        """Return some of the profiles, by their places, in that order, without the lower costs."""
        begins = self.curves.begins
        parts = [np.arange(*begins[place : place + 2].tolist()) for place in profiles.tolist()]
        points = np.concatenate([np.empty(0, int), *parts])
        counts = np.cumsum([0, *map(len, parts)])
        return Followed(
            Curves(counts, *(array[points] for array in self.curves[1:])),
            self.intervals[profiles],
            self.ends[profiles],
            self.axis.of_curves(profiles),
            {},
        )


def stacked(parts: Sequence[Followed]) -> Followed:
    """Return profiles that follow each other, with the lowest cost of each fit that any of them has seen."""
    lower: dict[int, tuple[float, Array]] = {}
    for part in parts:
        for fit, seen in part.lower.items():
            lower[fit] = min(lower.get(fit, seen), seen, key=lambda pair: pair[0])
    curves = [part.curves for part in parts]
    arrays = [np.concatenate(each) for each in zip(*(each[1:] for each in curves), strict=True)]
    counts = np.concatenate([np.diff(each.begins) for each in curves])
    return Followed(
        Curves(np.concatenate([[0], np.cumsum(counts)]), *arrays),
        np.concatenate([part.intervals for part in parts]),
        np.concatenate([part.ends for part in parts]),
        Axis(*(np.concatenate(each) for each in zip(*(part.axis for part in parts), strict=True))),
        lower,
    )


class BothSides:
    """Profiles that are followed on both sides: the curves of a walk are those above the values, then those below.

    A subclass tells how fits are made at distances along the curves.
    """

    walk: Walk

    def __init__(self, count: int) -> None:
        self._count = count
        self.lower: dict[int, tuple[float, Array]] = {}

    @property
    def ends(self) -> Array:
        """Return the ends of all curves: see walk.py."""
        return self.walk.ends

    def follow(self) -> None:
        """Follow all profiles; after an interrupt, ``followed`` knows what has been seen until then."""
        self.walk.run()

    def _joined(self, points: Points, values: Array, center: Array, is_whole: bool) -> Curves:
        """Return both sides as one, from values and parameters of the best fits; checked between points if whole."""
        is_above = points.curves < self._count
        above, below = (Points(*(part[side] for part in points)) for side in (is_above, ~is_above))
        curves = joined(values, center, below._replace(curves=below.curves - self._count), above)
        return checked(curves, self._fit) if is_whole else curves

    def _below_and_above(self, of_curves: Array) -> Array:
        """Return what is known of the curves, as (n, 2): of the side below, then of that above."""
        return of_curves.reshape(2, self._count)[::-1].T

    def _outward(self, curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        """Return roots of rises, values, and parameters at distances along curves."""
        raise NotImplementedError

    def _fit(self, curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        """Return the same for coordinates of both sides as one curve; the indices of curves rise for ``_outward``."""
        sides = np.where(u < 0, curves + self._count, curves)
        order = np.argsort(sides, kind="stable")
        back = np.argsort(order, kind="stable")
        z, values, parameters = self._outward(sides[order], np.abs(u[order]), starts[order])
        return z[back], values[back], parameters[back]


class Follower(BothSides):
    """Follows the profiles of some parameters, by their indices, to the level."""

    def __init__(self, best: Best, positions: Array, fit_again: FitAgain) -> None:
        self._best, self._positions, self._fit_again = best, positions, fit_again
        self._fits = len(best.parameters)
        super().__init__(len(positions) * self._fits)
        parameters, reach = (part[:, positions].T.ravel() for part in (best.parameters, best.reach))
        low, high = (np.repeat(bound[positions], self._fits) for bound in (best.low, best.high))
        self.axis = Axis.of(parameters, reach, low, high)
        self._sides = Axis(*(np.tile(part, 2) for part in self.axis))
        self._every = np.arange(2 * self._count)
        self._begins = self._fits * np.arange(2 * len(positions) + 1)
        self._is_bounded = bool(np.isfinite(best.low).any() or np.isfinite(best.high).any())
        self._lowest = best.costs - ROUNDING * np.abs(best.costs)
        starts = np.tile(best.parameters.astype(float), (2 * len(positions), 1))
        most = np.concatenate([self.axis.most, -self.axis.least])
        self.walk = Walk(self._outward, starts, most, np.isfinite(np.concatenate([high, low])))

    def followed(self, is_whole: bool) -> Followed:
        """Return the profiles, and check what lies between their points, if they are whole."""
        center = np.tile(self._best.parameters.astype(float), (len(self._positions), 1))
        ends = self._below_and_above(self.walk.ends)
        crossings = self._below_and_above(self.walk.crossings) * np.array([-1.0, 1.0])
        intervals = np.stack([self.axis.value(side) for side in crossings.T], axis=1)
        is_known = np.isin(ends, (CROSSED, BOUND, BROKEN))
        intervals = np.where(is_known, intervals, np.where(ends == UNFINISHED, np.nan, np.array([-np.inf, np.inf])))
        curves = self._joined(self.walk.points(), self.axis.best, center, is_whole)
        return Followed(curves, intervals, ends, self.axis, self.lower)

    def _outward(self, curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        """Return roots of rises, values, and parameters at distances along curves, whose indices rise.

        These are first those of the sides above the best values, then those below.
        """
        best, fits = self._best, self._fits
        axis = self._sides if np.array_equal(curves, self._every) else self._sides.of_curves(curves)
        values, fit = axis.value(np.where(curves < self._count, u, -u)), curves % fits
        if self._is_bounded:
            starts = np.clip(starts, best.low, best.high)
        costs, parameters = np.empty(len(curves)), np.empty(starts.shape)
        begins = np.searchsorted(curves, self._begins).tolist()
        positions = self._positions.tolist()
        for position, first, last in zip(positions + positions, begins[:-1], begins[1:], strict=True):
            if first < last:
                here = slice(first, last)
                starts[here, position] = values[here]
                costs[here], parameters[here] = self._fit_again(position, fit[here], starts[here])
        rises = costs - best.costs[fit]
        if (costs < self._lowest[fit]).any():
            self._keep_lower(fit, costs, parameters)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(np.maximum(rises / best.rises[fit], 0)), values, parameters

    def _keep_lower(self, fits: Array, costs: Array, parameters: Array) -> None:
        """Keep what is better than the best fits."""
        for place in np.flatnonzero(costs < self._lowest[fits]).tolist():
            fit, cost = int(fits[place]), float(costs[place])
            if fit not in self.lower or cost < self.lower[fit][0]:
                self.lower[fit] = cost, parameters[place].copy()

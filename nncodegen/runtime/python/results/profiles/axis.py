"""Coordinates along a parameter, in which its profile is almost a straight line, however far it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ...ground.types import Array

FAR, NOT_SO_FAR = 1e9, 1e3
"""The distances in units at which a search ends; and where no standard error is known."""

SPAN = 2.0
"""The coordinate from which distances grow faster than coordinates."""

NEAR = 1e-30
"""The part of the best value at which steps on a logarithmic scale end, and go to the bound."""


class Axis(NamedTuple):
    """The coordinates of values on both sides of best ones, each of the shape (L,).

    Near the best value, where it is 0, a coordinate counts units: what standard errors say is the distance to the
    level. Far above or below, it grows with the logarithm of the distance. Where a value cannot be negative and its
    interval may span decades, or where standard errors say nothing, coordinates below a positive value are logarithms
    of the value itself.
    """

    best: Array
    unit: Array
    low: Array
    high: Array
    is_log: Array
    far: Array
    """The distance at which a search ends."""
    least: Array
    most: Array
    """The coordinates of the ends of a search, at which values are the bounds, or far away."""

    @staticmethod
    def of(best: Array, reach: Array, low: Array, high: Array) -> Axis:
        """Return the axis around best values within bounds, of which standard errors say how far the level is."""
        best, low, high = (np.asarray(values, float) for values in (best, low, high))
        unknown = ~(np.isfinite(reach) & (np.asarray(reach) > 0))
        unit = np.where(unknown, np.where(best == 0, 1.0, np.abs(best)), np.where(unknown, 1.0, reach))
        is_log = (best > 0) & (unknown | ((low >= 0) & (unit * SPAN > best)))
        far = np.where(unknown, NOT_SO_FAR, FAR) * unit
        lowest = np.maximum(low, best - far)
        lowest = np.where(is_log, np.maximum(lowest, NEAR * best), lowest)
        axis = Axis(best, unit, low, high, is_log, far, lowest, np.minimum(high, best + far))
        return axis._replace(least=axis.coordinate(axis.least), most=axis.coordinate(axis.most))

    def of_curves(self, curves: Array) -> Axis:
        """Return the axis of some of the values, by their indices."""
        return Axis(*(part[curves] for part in self))

    def value(self, u: Array) -> Array:
        """Return the values at coordinates."""
        with np.errstate(over="ignore"):
            values = self.best + self.unit * SPAN * np.sinh(u / SPAN)
        if self.is_log.any():
            below = self.best * np.exp(np.minimum(u, 0) * self.unit / np.where(self.is_log, self.best, 1))
            values = np.where(self.is_log & (u < 0), below, values)
        is_low, is_high = u <= self.least, u >= self.most
        if is_low.any() or is_high.any():
            values = np.where(is_low, self._last(self.low, -1), np.where(is_high, self._last(self.high, 1), values))
        return values

    def coordinate(self, values: Array) -> Array:
        """Return the coordinates of values."""
        u: Array = SPAN * np.arcsinh((values - self.best) / (self.unit * SPAN))
        is_below = self.is_log & (values < self.best)
        if is_below.any():
            best = np.where(self.is_log, self.best, 1)
            ratio = np.where(is_below, np.maximum(values, NEAR * best), best) / best
            u = np.where(is_below, np.log(ratio) * best / self.unit, u)
        return u

    def _last(self, bound: Array, side: int) -> Array:
        """Return the last value on a side: the bound, or one that is far away."""
        return np.where(np.isfinite(bound), bound, self.best + side * self.far)

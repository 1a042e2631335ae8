"""Profile likelihood intervals: how far a parameter can go before the best fit of all others becomes too bad."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..ground.warn import warn

if TYPE_CHECKING:
    from ..ground.types import Array
    from .fitted import Fitted, Refit

DOUBLINGS = 30
"""The most times that the search for the end of an interval doubles its distance."""

ROUNDING = 1e-6
"""A relative fall of the cost up to this does not count as a better minimum: fits end that close to it."""

BEYOND = 1e3
"""The multiple of t that replaces an excess that is not finite, because the model is not; brentq needs numbers."""


def profile_intervals(result: Fitted, t: float, reach: Array) -> Array:
    """Return the values (P, 2) where the square root of the profile's rise over ``error_scale`` is t, on either side.

    ``reach`` is the half-width (P,) of the intervals by standard errors, from which the search begins.
    """
    if result._refit is None:
        raise ValueError("this result holds nothing to fit again with; use method='t'")
    intervals = np.repeat(result.parameters.astype(float)[:, None], 2, axis=1)
    lowest = (result.cost, result.parameters)
    for position in np.flatnonzero(result.free):
        for end, side in enumerate((-1.0, 1.0)):
            profile = _Profile(result, result._refit, int(position), side, t)
            intervals[position, end] = profile.end(float(reach[position]))
            lowest = min(lowest, profile.lowest, key=lambda candidate: candidate[0])
    if lowest[0] < result.cost - ROUNDING * abs(result.cost):
        warn(
            f"a profile reached a lower cost, {lowest[0]:.6g}, than the fit did, {result.cost:.6g}, so that its "
            f"intervals are not right: fit again with p0={lowest[1].tolist()}",
            RuntimeWarning,
        )
    return intervals


class _Profile:
    """The profile of one parameter on one side of its best value."""

    def __init__(self, result: Fitted, refit: Refit, position: int, side: float, t: float) -> None:
        self.result, self.refit, self.position, self.side, self.t = result, refit, position, side, t
        self.best = float(result.parameters[position])
        self.fixed = {int(k): float(result.parameters[k]) for k in np.flatnonzero(~result.free)}
        self.known: dict[float, Array] = {0.0: result.parameters.astype(float)}
        """The best parameters found at each distance."""
        self.excesses = {0.0: -t}
        """The value of ``excess`` at each distance: the search asks again for the ends of its bracket."""
        self.lowest = (result.cost, result.parameters)
        """The lowest cost found, and its parameters."""

    def end(self, reach: float) -> float:
        """Return the value at which the excess is 0: a bound if it comes first, or infinity."""
        from scipy.optimize import brentq  # noqa: PLC0415 (optional; the quantile has found it installed)

        if not math.isfinite(reach) or reach <= 0:
            reach = abs(self.best) or 1.0
            if self.result.error_scale <= 0:  # in a fit without residuals, any change is too much
                return self.best
        limit = self._limit()
        inner, outer = 0.0, min(reach, limit)
        for _ in range(DOUBLINGS):
            if self.excess(outer) >= 0:
                distance = brentq(self.excess, inner, outer, xtol=1e-9 * reach, rtol=1e-9)
                return self.best + self.side * float(distance)
            if outer >= limit:
                return self.best + self.side * limit
            inner, outer = outer, min(2 * outer, limit)
        return self.side * math.inf

    def _limit(self) -> float:
        """Return the distance to the bound on this side."""
        bounds = self.result._bounds
        if bounds is None:
            return math.inf
        return abs(float(bounds[self.side > 0][self.position]) - self.best)

    def excess(self, distance: float) -> float:
        """Return the square root of the rise of the profile, in units of ``error_scale``, minus t."""
        if distance not in self.excesses:
            self.excesses[distance] = self._excess(distance)
        return self.excesses[distance]

    def _excess(self, distance: float) -> float:
        value = self.best + self.side * distance
        start = self.known[min(self.known, key=lambda other: abs(other - distance))].copy()
        start[self.position] = value
        cost, parameters = self.refit({**self.fixed, self.position: value}, start)
        if not math.isfinite(cost):
            return BEYOND * self.t
        self.known[distance] = np.asarray(parameters, float)
        self.lowest = min(self.lowest, (cost, self.known[distance]), key=lambda candidate: candidate[0])
        return math.sqrt(max(2 * (cost - self.result.cost), 0) / self.result.error_scale) - self.t

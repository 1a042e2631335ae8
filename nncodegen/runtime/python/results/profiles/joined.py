"""Both sides of profiles as one curve each, and what lies between its points."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .walk import Points, Solve

if TYPE_CHECKING:
    from ...ground.types import Array

PART = 0.01
"""The part of the level, as a rise of the cost, up to which a value between points may be wrong."""

MOST_HALVINGS = 6
"""The most times that an interval is halved where its middle is not what its ends say."""


class Curves(NamedTuple):
    """Profiles, one after the other: the points of each begin at ``begins[k]``, in the order of their coordinates.

    Roots of rises are negative below the best value, so that a profile is a smooth curve through 0.
    """

    begins: Array
    u: Array
    z: Array
    values: Array
    points: Array

    @property
    def curves(self) -> Array:
        """Return the index of the profile of each point."""
        return np.repeat(np.arange(len(self.begins) - 1), np.diff(self.begins))

    def with_points(self, curves: Array, more: tuple[Array, ...]) -> Curves:
        """Return these profiles with more points of some curves: coordinates, roots, values, parameters."""
        index = np.concatenate([self.curves, curves])
        parts = [np.concatenate(pair) for pair in zip(self[1:], more, strict=True)]
        order = np.lexsort((parts[0], index))
        begins = np.searchsorted(index[order], np.arange(len(self.begins)))
        return Curves(begins, *(part[order] for part in parts))

    def slopes(self) -> Array:
        """Return the slopes of the roots at the points: those of parabolas, limited so that no curve turns between."""
        return _slopes(self.u, self.z, self.begins)

    def at(self, left: Array, u: Array, slopes: Array) -> Array:
        """Return the roots at coordinates, each between a point, by its index, and the next one."""
        width = self.u[left + 1] - self.u[left]
        x, rises = (u - self.u[left]) / width, (slopes[left] * width, slopes[left + 1] * width)
        return _cubic(x, self.z[left], self.z[left + 1], *rises)


def joined(best: Array, starts: Array, below: Points, above: Points) -> Curves:
    """Return profiles from their best values and parameters, and the points on both sides."""
    count = len(best)
    counts = [np.bincount(side.curves, minlength=count) for side in (below, above)]
    begins = np.concatenate([[0], np.cumsum(counts[0] + 1 + counts[1])])
    middles = begins[:-1] + counts[0]
    u, z, values = np.zeros(begins[-1]), np.zeros(begins[-1]), np.empty(begins[-1])
    points = np.empty((begins[-1], starts.shape[1]))
    values[middles], points[middles] = best, starts
    for sign, side in ((-1, below), (1, above)):
        places = middles[side.curves] + sign * side.ranks
        u[places], z[places], values[places], points[places] = sign * side.u, sign * side.z, side.values, side.points
    return Curves(begins, u, z, values, points)


def checked(curves: Curves, solve: Solve) -> Curves:
    """Return curves with as many points that all of them up to the level are known to PART of it.

    Each point is compared with what the others say of it; where these are wrong, the middles of both intervals beside
    it are fitted, and so on.
    """
    left = _doubtful(curves)
    for _ in range(MOST_HALVINGS):
        if not len(left):
            break
        u = (curves.u[left] + curves.u[left + 1]) / 2
        expected = curves.at(left, u, curves.slopes())
        index = curves.curves[left]
        starts = (curves.points[left] + curves.points[left + 1]) / 2
        rises, values, points = solve(index, u, starts)
        z = np.copysign(rises, u)
        seen = np.isfinite(z)
        if not seen.any():
            break
        more = u[seen], z[seen], values[seen], points[seen]
        bad = _differ(expected[seen], z[seen])
        curves = curves.with_points(index[seen], more)
        places = np.searchsorted(_keys(curves.curves, curves.u), _keys(index[seen], u[seen]))[bad]
        left = np.unique(np.concatenate([places - 1, places]))
    return curves


def _keys(curves: Array, u: Array) -> Array:
    """Return numbers in the order of curves, and of coordinates within each."""
    keys = np.empty(len(u), [("curve", int), ("u", float)])
    keys["curve"], keys["u"] = curves, u
    return keys


def _doubtful(curves: Curves) -> Array:
    """Return the indices of points that begin an interval beside a point that the others do not foresee."""
    expected = _from_neighbors(curves)
    is_inner = np.ones(len(curves.u), bool)
    is_inner[curves.begins[:-1]] = is_inner[curves.begins[1:] - 1] = False
    bad = np.flatnonzero(is_inner & (np.abs(curves.z) <= 1) & _differ(expected, curves.z))
    return np.unique(np.concatenate([bad - 1, bad]))


def _from_neighbors(curves: Curves) -> Array:
    """Return the roots at all points that follow from the others, without meaning at the ends of curves."""
    u, z = (np.pad(part, 2, mode="edge") for part in (curves.u, curves.z))
    first, last = curves.begins[:-1] + 2, curves.begins[1:] + 1
    two_before, two_after = np.arange(len(curves.u)), np.arange(4, len(curves.u) + 4)
    inside = np.minimum(first + 1, last) - 2, np.maximum(last - 1, first) - 2
    two_before[inside[0]] += 1  # there is no second neighbor
    two_after[inside[1]] -= 1
    places = two_before, np.arange(1, len(curves.u) + 1), np.arange(3, len(curves.u) + 3), two_after
    with np.errstate(invalid="ignore", divide="ignore"):
        widths = [u[after] - u[before] for before, after in pairwise(places)]
        secants = [
            (z[after] - z[before]) / width for (before, after), width in zip(pairwise(places), widths, strict=True)
        ]
        left = _parabolic(widths[0], widths[1], secants[0], secants[1])
        right = _parabolic(widths[1], widths[2], secants[1], secants[2])
        width = widths[1]
        return _cubic((curves.u - u[places[1]]) / width, z[places[1]], z[places[2]], left * width, right * width)


def _differ(expected: Array, z: Array) -> Array:
    """Return whether two roots differ by more than PART of the level, as rises of the cost."""
    result: Array = ~(np.abs(expected**2 - z**2) <= PART)
    return result


def _slopes(u: Array, z: Array, begins: Array) -> Array:
    """Return the slopes at all points."""
    slopes = np.zeros(len(u))
    if len(u) < 2:
        return slopes
    width, first, last = np.diff(u), begins[:-1], begins[1:] - 1
    width[last[:-1]] = np.inf  # from one curve to the next
    secant = np.diff(z) / width
    slopes[1:-1] = _parabolic(width[:-1], width[1:], secant[:-1], secant[1:])
    several = first < last
    slopes[first[several]] = secant[first[several]]
    slopes[last[several]] = secant[last[several] - 1]
    return slopes


def _parabolic(h0: Array, h1: Array, s0: Array, s1: Array) -> Array:
    """Return the slope, between two intervals, of the parabola through their three points; 0 where they turn.

    A width of 0 or infinity leaves the slope of the other interval. It is at most three times the lesser slope, which
    keeps a cubic between points from turning (F. N. Fritsch, R. E. Carlson, Monotone Piecewise Cubic Interpolation,
    SIAM J. Numer. Anal. 17, 1980).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (h1 * s0 + h0 * s1) / (h0 + h1)
        most = 3 * np.minimum(np.abs(s0), np.abs(s1))
        slope = np.where(s0 * s1 <= 0, 0, np.clip(slope, -most, most))
    alone0, alone1 = (h0 == 0) | np.isinf(h0), (h1 == 0) | np.isinf(h1)
    result: Array = np.where(alone0, s1, np.where(alone1, s0, slope))
    return result


def _cubic(x: Array, left: Array, right: Array, left_slope: Array, right_slope: Array) -> Array:
    """Return the values, at parts x of intervals, of cubics with the values and slopes of both ends."""
    rise = right - left
    result: Array = left + x * (rise + (1 - x) * ((left_slope - rise) * (1 - x) + (rise - right_slope) * x))
    return result

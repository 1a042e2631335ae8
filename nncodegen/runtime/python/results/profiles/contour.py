"""Contours: the pairs of values of two parameters up to which the best cost of all others stays below a level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...ground.missing import needed
from ...ground.share import is_ended, share
from .follow import ROUNDING
from .single import check_converged, checked_options, held_by, level_of, positions_of, warn_of_lower
from .walk import BOUND, CROSSED, Walk

if TYPE_CHECKING:
    from ...ground.types import Array
    from ..fitted import Fitted

POINTS = 48
"""The directions in which a contour is looked for."""


class Contour(NamedTuple):
    """The contour of two parameters, around their best values.

    names   those of the two parameters
    level   the probability
    joint   whether it is that of both parameters together; otherwise each extreme is that of one alone
    points  (K, 2), around the best values, the first one again at the end; on a bound where that comes first, NaN where
            the cost does not rise to the level
    best    (2,), the best values
    """

    names: tuple[str, str]
    level: float
    joint: bool
    points: Array
    best: Array

    def plot(self, axes: Any = None) -> Any:
        """Draw the contour with matplotlib, on axes or those of a new figure. Returns the figure."""
        from .plot import plot_contour  # noqa: PLC0415 (matplotlib is optional)

        return plot_contour(self, axes)


def contour_of(result: Any, a: Any, b: Any, level: float, joint: bool, points: int, threads: int) -> Contour:
    """Return the contour of two parameters: see ``FitResult.contour``."""
    threads, _ = checked_options(threads, None)
    if not isinstance(points, int) or points < 4:
        raise ValueError(f"points is {points!r}; expected a whole number of directions, at least 4")
    check_converged(result)
    positions = positions_of(result.names, result.free, [a, b])
    if len(positions) != 2:
        raise ValueError(f"a contour is that of two numbers among the parameters, not {a!r} and {b!r}")
    t = _joint_level(result, level) if joint else level_of(result, level)
    covariance = np.asarray(result.covariance, float)[np.ix_(positions, positions)]
    names = tuple(result.names[position] for position in positions)
    if not np.isfinite(covariance).all() or result.error_scale <= 0:
        raise ValueError(f"the data do not determine {names[0]} and {names[1]}, so that they have no contour")
    best = result.parameters.astype(float)[positions]
    angles = 2 * math.pi * np.arange(points) / points
    rays = t * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ np.linalg.cholesky(covariance).T
    walk = _walk(result, positions, rays, t, threads)
    walk.run()
    known = np.isin(walk.ends, (CROSSED, BOUND))
    around = np.where(known[:, None], best + walk.crossings[:, None] * rays, np.nan)
    return Contour((names[0], names[1]), float(level), joint, np.concatenate([around, around[:1]]), best)


def _walk(result: Any, positions: Array, rays: Array, t: float, threads: int) -> Walk:
    """Return the walk from the best values of two parameters along rays, (K, 2), which standard errors end at 1."""
    best, held = result.parameters.astype(float), held_by(result)
    rise = t**2 * result.error_scale / 2
    lower: list[float] = []

    def fit(curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        costs, parameters = np.empty(len(u)), np.empty(starts.shape)
        values = best[positions] + u[:, None] * rays[curves]

        def work(first: int, last: int) -> None:
            for k in range(first, last):
                if is_ended():
                    raise KeyboardInterrupt
                fixed = {int(p): float(value) for p, value in zip(positions, values[k], strict=True)}
                start = starts[k].copy()
                start[positions] = values[k]
                costs[k], parameters[k] = result._refit({**held, **fixed}, start)

        share(work, len(u), 1, threads)
        place = int(np.nanargmin(costs)) if np.isfinite(costs).any() else -1
        if place >= 0 and costs[place] < result.cost - ROUNDING * abs(result.cost) and not lower:
            lower.append(float(costs[place]))
            warn_of_lower(result, float(costs[place]), parameters[place])
        return np.sqrt(np.maximum((costs - result.cost) / rise, 0)), u, parameters

    most, is_bound = _limits(result, positions, rays)
    return Walk(fit, np.tile(best, (len(rays), 1)), most, is_bound)


def _limits(result: Fitted, positions: Array, rays: Array) -> tuple[Array, Array]:
    """Return how far rays go until a parameter reaches a bound, (K,), and whether there is one."""
    count = len(result.parameters)
    low, high = result._bounds or (np.full(count, -np.inf), np.full(count, np.inf))
    best = result.parameters.astype(float)[positions]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(rays > 0, np.asarray(high, float)[positions] - best, best - np.asarray(low, float)[positions])
        most = np.where(rays != 0, room / np.abs(rays), np.inf).min(axis=1)
    return np.minimum(most, 1e4), most < np.inf


def _joint_level(result: Fitted, level: float) -> float:
    """Return the root of the rise, in standard errors, up to which two parameters lie together with a probability."""
    level_of(result, level)  # checks
    with needed("a contour", "SciPy", "scipy"):
        from scipy.special import fdtri  # noqa: PLC0415 (optional)
    if result.absolute_sigma:
        return math.sqrt(-2 * math.log1p(-level))
    return math.sqrt(2 * float(fdtri(2, result.degrees_of_freedom, level)))

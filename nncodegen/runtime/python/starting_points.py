"""Starting points within bounds, and the best of the fits from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .facts import flat_names
from .many_fits import ManyFits, beyond_rounding
from .share import share

if TYPE_CHECKING:
    from .problem import Problem
    from .types import Array

STEPS = 200
"""The most steps of each fit; the best of them goes on as a single fit."""


def best_start(problem: Problem, start: Array, held: Array | None, count: int, seed: int, threads: int) -> Array:
    """The parameters, (P,), of the best fit from ``start`` and from so many points of a Sobol sequence besides.

    Raises ValueError where a free parameter has no finite bounds, ImportError without SciPy.
    """
    points = np.vstack([start, sobol(problem, start, held, count, seed)])
    if problem.robust is None and problem.model.native.fits_lanes:
        return _side_by_side(problem, points, held, threads)
    found = [problem.solve(point, held, with_residuals=False) for point in points]
    costs = [solution.cost for solution in found]
    best = int(np.nanargmin(costs)) if np.isfinite(costs).any() else 0
    return found[best].parameters


def sobol(problem: Problem, start: Array, held: Array | None, count: int, seed: int) -> Array:
    """Points of a scrambled Sobol sequence within the bounds, (count, P); fixed parameters are as at the start."""
    try:
        from scipy.stats import qmc  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise ImportError("starts needs SciPy: python3 -m pip install scipy") from error
    free = np.ones(len(start), bool) if held is None else held == 0
    low, high = problem.bounds or (np.full(len(start), -np.inf), np.full(len(start), np.inf))
    endless = free & ~(np.isfinite(low) & np.isfinite(high))
    if endless.any():
        name = flat_names(problem.model.facts.parameters)[int(np.argmax(endless))]
        raise ValueError(f"starts needs finite bounds of every free parameter; {name} has none: give bounds")
    exponent = int(np.ceil(np.log2(count)))  # whole powers of 2 keep the sequence balanced
    unit = qmc.Sobol(int(free.sum()), seed=np.random.default_rng(seed)).random_base2(exponent)[:count]
    points = np.tile(start, (count, 1))
    points[:, free] = np.clip(low[free] + unit * (high - low)[free], low[free], high[free])
    return points


def _side_by_side(problem: Problem, points: Array, held: Array | None, threads: int) -> Array:
    """The parameters of the best of fits that are made side by side."""
    model, (low, high) = problem.model, problem.bounds or (None, None)
    free = len(points[0]) if held is None else int(np.count_nonzero(held == 0))
    found = ManyFits(model, len(points), free, covariance=False)
    sigma = None
    if problem.sigma is not None:
        given = problem.sigma.reshape(-1, 1) if problem.sigma.ndim == 1 else problem.sigma
        sigma = np.ascontiguousarray(np.broadcast_to(given, problem.Y.shape))
    strides = np.array([0, 0, 0, len(points[0])], np.uintp)

    def fit(first: int, last: int) -> None:
        model.native.fit_many(
            (problem.X, problem.Y, sigma, points, None), strides, problem.samples, (low, high, held),
            beyond_rounding(model, problem.tolerance), STEPS, False, first, last, found.arrays(),
        )  # fmt: skip

    share(fit, len(points), model.native.fits_lanes, threads)
    best: Array = found.parameters[int(np.nanargmin(found.chi2)) if np.isfinite(found.chi2).any() else 0]
    return best

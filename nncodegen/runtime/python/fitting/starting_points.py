"""Starting points within bounds, and the best of the fits from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..ground.facts import flat_names
from ..ground.missing import needed
from ..ground.share import is_ended, share
from ..ground.watch import ended_by
from ..results.many_fits import ManyFits, beyond_rounding

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..results.solution import Solution
    from .fit_watch import FitWatch
    from .problem import Problem

STEPS = 200
"""The most steps of each fit; the fit then continues from the best of these solutions, as a single fit."""


def best_start(
    problem: Problem, start: Array, held: Array | None, count: int, seed: int, threads: int, watch: FitWatch | None
) -> Array:
    """Return the parameters, (P,), of the best fit from ``start`` and from ``count`` more points of a Sobol sequence.

    If a watch ends the fits, it is the best of those that are done by then. Raises ValueError if a free parameter has
    no finite bounds, MissingDependencyError without SciPy.
    """
    points = np.vstack([start, sobol(problem, start, held, count, seed)])
    costs, parameters, _ = reached(problem, points, held, threads, watch)
    best: Array = parameters[int(np.nanargmin(costs))] if np.isfinite(costs).any() else start
    return best


def reached(
    problem: Problem, points: Array, held: Array | None, threads: int, watch: FitWatch | None
) -> tuple[Array, Array, Array]:
    """Return costs (K,), parameters (K, P), and whether there are poles (K,), of short fits from some points (K, P).

    If a watch ends the fits, those that are not done have the cost NaN; so have all if none can begin.
    """
    if not (problem.model.native.has("fitting") or problem.can_begin(points)):
        return np.full(len(points), np.nan), points.copy(), np.zeros(len(points), bool)
    side_by_side = problem.options.loss == "linear" and problem.model.native.fits_lanes
    fits = _SideBySide(problem, points, held, threads) if side_by_side else _OneByOne(problem, points, held)
    with ended_by(watch):
        fits.run()
    return fits.reached()


def sobol(problem: Problem, start: Array, held: Array | None, count: int, seed: int) -> Array:
    """Return points of a scrambled Sobol sequence within the bounds, (count, P); fixed parameters keep their start."""
    with needed("n_starts", "SciPy", "scipy"):
        from scipy.stats import qmc  # noqa: PLC0415 (optional, and slow to import)
    free = np.ones(len(start), bool) if held is None else held == 0
    low, high = problem.options.bounds or (np.full(len(start), -np.inf), np.full(len(start), np.inf))
    endless = free & ~(np.isfinite(low) & np.isfinite(high))
    if endless.any():
        name = flat_names(problem.model.facts.parameters)[int(np.argmax(endless))]
        raise ValueError(f"n_starts needs finite bounds of every free parameter; {name} has none: give bounds")
    exponent = int(np.ceil(np.log2(count)))  # a power of 2 keeps the sequence balanced
    unit = qmc.Sobol(int(free.sum()), seed=np.random.default_rng(seed)).random_base2(exponent)[:count]
    points = np.tile(start, (count, 1))
    points[:, free] = np.clip(low[free] + unit * (high - low)[free], low[free], high[free])
    return points


class _OneByOne:
    """Fits from several points, one after the other."""

    def __init__(self, problem: Problem, points: Array, held: Array | None) -> None:
        self._problem, self._points, self._held = problem, points, held
        self._found: list[Solution] = []

    def run(self) -> None:
        """Make the fits."""
        for point in self._points:
            if is_ended():
                raise KeyboardInterrupt
            self._found.append(self._problem.solve(point, self._held, with_residuals=False))

    def reached(self) -> tuple[Array, Array, Array]:
        """Return costs, parameters and poles of the fits; the cost of those that are not done is NaN."""
        costs, parameters = np.full(len(self._points), np.nan), self._points.copy()
        poles = np.zeros(len(costs), bool)
        for place, solution in enumerate(self._found):
            costs[place], parameters[place], poles[place] = solution.cost, solution.parameters, bool(solution.poles)
        return costs, parameters, poles


class _SideBySide:
    """Fits from several points, side by side."""

    def __init__(self, problem: Problem, points: Array, held: Array | None, threads: int) -> None:
        free = len(points[0]) if held is None else int(np.count_nonzero(held == 0))
        self._problem, self._points, self._held, self._threads = problem, points, held, threads
        self._fits = ManyFits(problem.model, len(points), free, covariance=False)

    def run(self) -> None:
        """Make the fits."""
        problem, points, (low, high) = self._problem, self._points, self._problem.options.bounds or (None, None)
        model, sigma = problem.model, None
        if problem.sigma is not None:
            deviations = problem.sigma.reshape(-1, 1) if problem.sigma.ndim == 1 else problem.sigma
            sigma = np.ascontiguousarray(np.broadcast_to(deviations, problem.Y.shape))
        strides = np.array([0, 0, 0, len(points[0]), 0], np.uintp)

        def fit(first: int, last: int) -> None:
            model.native.fit_many(
                (problem.X, problem.Y, sigma, points, None, None),
                strides,
                problem.samples,
                (low, high, self._held),
                beyond_rounding(model, problem.options.tolerance),
                STEPS,
                False,
                first,
                last,
                self._fits.arrays(),
                problem.max_steps,
            )

        share(fit, len(points), model.native.fits_lanes, self._threads)

    def reached(self) -> tuple[Array, Array, Array]:
        """Return costs, parameters and poles of the fits; the cost of those that are not done is NaN."""
        return np.where(self._fits.done, self._fits.chi2, np.nan), self._fits.parameters, self._fits.poles

"""Many fits, one after the other: of models that are not fitted side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fit import result_of
from .problem import Problem

if TYPE_CHECKING:
    from .bounds import Bounds
    from .fit_many import Data
    from .fit_result import FitResult
    from .many_fits import ManyFits
    from .model import Model
    from .types import Array

CONVERGED, MAX_ITERATIONS, SINGULAR, TOO_FEW_DATA, NO_DATA, NOT_FINITE = 1, 4, 5, 6, 7, 8
"""The numbers of ``many_fits.STATUS``."""

ENDS = {"max_iterations": MAX_ITERATIONS, "stalled": MAX_ITERATIONS, "not_finite": NOT_FINITE, "no_data": NO_DATA}


def fit_in_turn(
    model: Model, data: Data, limits: Bounds | None, held: Array, tolerance: float, max_iterations: int,
    absolute_sigma: bool, first: int, last: int, found: ManyFits,
) -> None:  # fmt: skip
    """Makes the fits first <= m < last, each as ``fit`` does, and writes what they come to."""
    fixed = held.astype("u1") if held.any() else None
    for m in range(first, last):
        X, Y, sigma, start = data.of_fit(m)
        problem = Problem(model, X, Y, sigma, limits, None, 1.0, tolerance, max_iterations)
        solution = problem.solve(start, fixed)
        result = result_of(problem, solution, start, fixed, absolute_sigma)
        found.put(m, result, solution.used, ENDS.get(solution.ending) or _status(result))


def _status(result: FitResult) -> int:
    """How a fit that converged counts: the data may not determine its parameters."""
    if result.used < result.free_count:
        return TOO_FEW_DATA
    return CONVERGED if result.rank == result.free_count else SINGULAR

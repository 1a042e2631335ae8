"""Many fits, one after the other: where a model cannot be fitted side by side, or such a fit has a doubtful end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..ground.share import is_ended
from .fit import result_of, solved
from .problem import Problem

if TYPE_CHECKING:
    from ..native.model import Model
    from ..results.many_fits import ManyFits
    from .fit_data import FitData


def fit_one_by_one(model: Model, data: FitData, max_iterations: int, fits: Iterable[int], results: ManyFits) -> None:
    """Make some fits, by their indices, each like ``fit``, and write their results to ``results``."""
    fixed, options = data.options.held, data.options.of_problem(model, max_iterations)
    for m in fits:
        if is_ended():
            raise KeyboardInterrupt
        X, Y, sigma, start = data.of_fit(m)
        problem = Problem(model, X, Y, sigma, options)
        solution = solved(problem, start, fixed, None)
        result = result_of(problem, solution, start, fixed)
        results.put(m, result, solution.used, result.status)

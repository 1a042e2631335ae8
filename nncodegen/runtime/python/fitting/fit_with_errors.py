"""A fit with errors in x: the true inputs of each sample are unknowns of its own (orthogonal distances).

It is a fit in groups of one sample each, of a second module: its parameters are those of the model and the change of
each input, its outputs are those at the changed inputs, and the changes, which are measured as 0. (P. T. Boggs, R. H.
Byrd, R. B. Schnabel, A stable and efficient algorithm for nonlinear orthogonal distance regression, 1987.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..arguments.arguments import for_c
from ..results.fit_with_errors import FitWithErrors
from ..results.goodness import per_value
from .grouped import GroupedProblem

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model
    from .fit_watch import FitWatch
    from .problem import Problem


class Refit:
    """The fit again with some parameters fixed: see ``Fitted``. It is pickled with the result."""

    def __init__(self, problem: GroupedProblem, best: Array) -> None:
        self.problem, self.best = problem, best

    def __call__(self, fixed: Mapping[int, float], start: Array) -> tuple[float, Array]:
        """Return the lowest cost, and its parameters, with some parameters fixed at given values by their indices."""
        flat = self.problem.layout.flat(self.best).astype(float)
        flat[: len(start)] = start
        cost, found = self.problem(fixed, flat)
        return cost, found[: len(start)]


def fit_with_errors(
    problem: Problem, second: Model, sigma_x: Array, start: Array, first: Array, fixed: Array | None, threads: int,
    watch: FitWatch | None, absolute_sigma: bool,
) -> FitWithErrors:  # fmt: skip
    """Fit a checked problem with the standard deviations of its inputs, (N, inputs), by its second module.

    ``start`` is that of the user, ``first`` the point where the fit begins, both (P,).
    """
    model, (samples, inputs) = problem.model, sigma_x.shape
    count = model.parameter_count
    uncertain = sigma_x > 0
    free = [p for p in range(count) if fixed is None or not fixed[p]]
    changed = [count + k for k in range(inputs) if uncertain[:, k].any()]
    Y = np.concatenate([problem.Y, np.where(uncertain, 0, np.nan)], axis=1)
    sigma = np.concatenate([per_value(problem.sigma, problem.Y.shape), np.where(uncertain, sigma_x, 1)], axis=1)
    bounds = problem.bounds
    if bounds is not None:
        open_end = np.full(inputs, np.inf, model.dtype)
        bounds = np.concatenate([bounds[0], -open_end]), np.concatenate([bounds[1], open_end])
    grouped = GroupedProblem(
        second, problem.X, for_c(model, Y), for_c(model, sigma), np.arange(samples + 1, dtype=np.uintp),
        np.array(changed, np.intp), np.array(free, np.intp), tuple(range(count, count + inputs)), bounds, problem.loss,
        problem.f_scale, problem.tolerance, problem.max_iterations, threads,
    )  # fmt: skip
    begin = np.zeros((samples, count + inputs), model.dtype)
    begin[:, :count] = first
    exact = ~uncertain[:, [p - count for p in changed]]
    found = grouped.solve(begin, watch, (exact, np.zeros(len(free), bool)))
    return FitWithErrors(
        model, grouped, found, sigma_x, start, Refit(grouped, found.parameters), problem, absolute_sigma
    )

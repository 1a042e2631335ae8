"""Many fits with errors in x: side by side, each in a lane of a vector, or one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..ground.share import is_ended
from ..native.parts import fits_with_errors_at_once, with_errors
from ..results.many_fits import ManyFits
from .fit_with_errors import result_with_errors

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model
    from .fit_data import FitData

STEPS = 100
"""The most steps of a fit in a lane, where changes of inputs are not damped; those that need more are made again."""


def fits_with_errors(
    model: Model, data: FitData, steps: int, results: ManyFits
) -> tuple[Callable[[int, int], None], int]:
    """Return a function that makes the fits first <= m < last, and the number of fits side by side, 0 for none.

    Raises ValueError where the formula of the model is not known.
    """
    lanes = 0
    if fits_with_errors_at_once(model) or data.can_any_begin():
        second = with_errors(model)
        lanes = second.native.fits_lanes

    def one_by_one(fits: Array) -> None:
        held = data.options.held
        for m in fits:
            if is_ended():
                raise KeyboardInterrupt
            problem, start = data.problem_with_errors(m, steps), data.of_fit(m)[3]
            solution, changes = problem.solve(start, held)
            result = result_with_errors(problem, solution, changes, start, held)
            results.put(m, result, solution.used, result.status)

    def together(first: int, last: int) -> None:
        _side_by_side(second, data, min(steps, STEPS), first, last, results)
        if steps > STEPS:
            one_by_one(results.doubtful(first, last))

    return (together, lanes) if lanes else (lambda first, last: one_by_one(np.arange(first, last)), 0)


def _side_by_side(second: Model, data: FitData, steps: int, first: int, last: int, results: ManyFits) -> None:
    """Make fits side by side by the second module, and copy what they have found of the parameters of the model."""
    options, inputs = data.options, second.parameter_count - data.model.parameter_count
    none = np.zeros((*data.starts.shape[:-1], inputs), data.starts.dtype)
    starts = np.concatenate([data.starts, none], axis=-1)
    lower, upper = options.bounds or (None, None)
    if lower is not None and upper is not None:
        endless = np.full(inputs, np.inf, lower.dtype)
        lower, upper = np.concatenate([lower, -endless]), np.concatenate([upper, endless])
    held = np.concatenate([options.fixed, np.ones(inputs, bool)])
    fit_range = slice(first, last)
    wide = ManyFits(second, len(results), results.free_count, results.covariance is not None).arrays()[:3]
    arrays = results.arrays()
    strides = data.strides()
    strides[3] += inputs if strides[3] else 0
    try:
        second.native.fit_many(
            (data.X, data.Y, data.sigma, starts, data.lengths, data.sigma_x),
            strides,
            data.samples,
            (lower, upper, held),
            options.tolerance,
            steps,
            options.absolute_sigma,
            first,
            last,
            (*wide, *arrays[3:]),  # those without an axis of parameters are written at once: they tell the progress
        )
    finally:  # fits that have ended count where the others are stopped
        for to, result in zip(arrays, wide, strict=False):
            if to is not None and result is not None:
                to[fit_range] = result[(fit_range, *map(slice, to.shape[1:]))]

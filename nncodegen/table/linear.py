"""The linear candidates: logistic, softmax and linear regression, over a path of penalties, to convergence."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncodegen.module import Module

MOST_ITERATIONS = 500


def minimize_path(
    module: Module, X: Any, Y: Any, weight: Any, penalties: Sequence[float], deadline: float = np.inf
) -> Any:
    """The parameters for each penalty, (penalties, P), by L-BFGS over all rows, each from where the last one ended.

    There are fewer where the deadline, of ``time.perf_counter``, comes first; there is always one.
    """
    parameters, found = np.zeros(module.parameter_count), list[Any]()
    for l2 in penalties:
        if found and time.perf_counter() > deadline:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where it stops, it is as near as rounding lets it
            result = module.minimize(
                X, Y, parameters, sample_weight=weight, l2=l2, options={"maxiter": MOST_ITERATIONS, "maxcor": 20}
            )
        if np.isfinite(result.parameters).all():
            parameters = result.parameters
        found.append(np.array(parameters, module.dtype))
    return np.array(found)

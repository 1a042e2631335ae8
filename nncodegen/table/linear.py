"""Trains the linear candidates: logistic, softmax and linear regression, along a path of penalties."""

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
    """Return parameters for each penalty, (penalties, P), by L-BFGS over all rows; each fit starts at the last result.

    After the deadline, a value of ``time.perf_counter``, no further fit begins; the first is always done.
    """
    parameters, found = np.zeros(module.parameter_count), list[Any]()
    for l2 in penalties:
        if found and time.perf_counter() > deadline:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it stops where rounding allows no further progress
            result = module.minimize(
                X, Y, parameters, sample_weight=weight, l2=l2, options={"maxiter": MOST_ITERATIONS, "maxcor": 20}
            )
        if np.isfinite(result.parameters).all():
            parameters = result.parameters
        found.append(np.array(parameters, module.dtype))
    return np.array(found)

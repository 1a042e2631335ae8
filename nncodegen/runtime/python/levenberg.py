"""Training by the loop of fits, of Levenberg and Marquardt: ``train(optimizer="lm")``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from . import poles
from .arguments import check_parameters, check_samples
from .calls import TRAIN
from .initial import initial_parameters
from .jacobian import check_fitted
from .problem import TOLERANCE, Problem
from .result import Result

if TYPE_CHECKING:
    from .model import Model
    from .options import Settings

NAME = "lm"
TAKES = ("X", "Y", "data", "weights", "parameters", "optimizer", "epochs", "tolerance", "seed")
"""The options of ``train`` that mean something here."""
STATUS = {"max_iterations": "completed", "stalled": "stopped", "stationary": "stopped"}
"""The status of a training for those of fits whose names differ."""


def train_by_fit(model: Model, settings: Settings, hyperparameters: dict[str, Any]) -> Result:
    """The parameters of the least loss by so many iterations as there are epochs, at most.

    The history holds the mean loss after each. Raises ValueError for options that have no meaning here, and for a model
    that has no fit.
    """
    check_fitted(model, 'train(optimizer="lm")')
    others = [name for name in TRAIN.options if name not in TAKES and getattr(settings, name) != TRAIN.defaults[name]]
    if others or hyperparameters:
        names = ", ".join([*others, *hyperparameters])
        raise ValueError(f"the optimizer lm takes none of these: {names}; it takes {', '.join(TAKES)}")
    X, Y, samples = check_samples(model, settings.X, settings.Y)
    if settings.parameters is None:
        start = initial_parameters(model, settings.seed)
    else:
        start = check_parameters(model, settings.parameters)
    tolerance = settings.tolerance or TOLERANCE[model.precision]
    problem = Problem(model, X, Y, None, None, None, 1.0, tolerance, settings.epochs)
    begun, costs = time.perf_counter(), np.empty(settings.epochs)
    found = problem.solve(start, None, with_residuals=False, history=costs)
    if found.poles:
        poles.warn(model.name, found.poles, 4)
    loss = model.native.loss(found.parameters, X, Y, None, samples, None)
    # Without curvature, the loss may be any multiple of the sum of squares.
    factor = 1 / samples if model.facts.curved else loss / found.cost if found.cost > 0 else np.nan
    history = costs[: found.iterations] * factor
    status = STATUS.get(found.ending, "diverged" if found.ending == "not_finite" else "converged")
    return Result(model, found.parameters, loss, {"loss": history}, status, None, time.perf_counter() - begun)

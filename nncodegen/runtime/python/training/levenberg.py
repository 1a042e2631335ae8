"""Training with the loop of fits, the method of Levenberg and Marquardt: ``train(optimizer="lm")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import check_samples
from ..arguments.calls import TRAIN
from ..arguments.start import check_seed, start_of
from ..evaluation.jacobian import check_fitted
from ..fitting.fit_watch import TrainingByFit
from ..fitting.problem import TOLERANCE, Problem
from ..ground import poles
from ..results.result import Result
from .run import seconds_between_calls

if TYPE_CHECKING:
    from ..arguments.options import Settings
    from ..ground.types import Array
    from ..native.model import Model

NAME = "lm"
TAKES = ("X", "Y", "data", "weights", "parameters", "optimizer", "epochs", "tolerance", "seed", "time_limit",
         "callback", "callback_interval", "progress")  # fmt: skip
"""The options of ``train`` that this optimizer uses."""
STATUS = {"max_iterations": "completed", "stalled": "stopped", "stationary": "stopped", "not_finite": "diverged",
          "stopped": "stopped", "time_limit": "time_limit"}  # fmt: skip
"""The status of a training, by the ending of a fit, where the two names differ."""


def train_by_fit(model: Model, settings: Settings, hyperparameters: dict[str, Any]) -> Result:
    """Minimize the loss with at most ``epochs`` iterations.

    The history holds the mean loss after each iteration. Raises ValueError for options that have no meaning here, and
    for a model that has no fit.
    """
    check_fitted(model, 'train(optimizer="lm")')
    others = [name for name in TRAIN.options if name not in TAKES and getattr(settings, name) != TRAIN.defaults[name]]
    if others or hyperparameters:
        names = ", ".join([*others, *hyperparameters])
        raise ValueError(f"the optimizer lm takes none of these: {names}; it takes {', '.join(TAKES)}")
    X, Y, samples = check_samples(model, settings.X, settings.Y)
    start = start_of(model, settings.parameters, check_seed(model, settings.seed, settings.parameters))
    tolerance = settings.tolerance or TOLERANCE[model.precision]
    problem = Problem(model, X, Y, None, None, None, 1.0, tolerance, settings.epochs)

    def mean_loss(parameters: Array) -> float:
        return model.native.loss(parameters, X, Y, None, samples, None)

    watch = TrainingByFit(
        mean_loss, settings.time_limit, settings.progress, settings.callback, seconds_between_calls(settings),
        settings.epochs,
    )  # fmt: skip
    found = problem.solve(start, None, with_residuals=False, kept=settings.epochs, watch=watch)
    if found.poles:
        poles.warn(model.name, found.poles, 4)
    loss = mean_loss(found.parameters)
    # Without curvature, the loss may be any multiple of the sum of squares.
    factor = 1 / samples if model.facts.curved else loss / found.cost if found.cost > 0 else np.nan
    history = (found.costs if found.costs is not None else np.empty(0)) * factor
    status = STATUS.get(found.ending, "converged")
    return Result(model, found.parameters, loss, {"loss": history}, status, None, watch.seconds())

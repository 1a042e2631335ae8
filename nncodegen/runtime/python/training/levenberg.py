"""``train(optimizer="lm")``, which is ``fit``: the method of Levenberg and Marquardt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments.calls import TRAIN
from ..evaluation.jacobian import check_fitted
from ..fitting.fit import Epochs, fit

if TYPE_CHECKING:
    from ..arguments.options import CheckedOptions
    from ..native.model import Model
    from ..results.fit_result import FitResult

NAME = "lm"
SAME = ("X", "Y", "data", "loss_weights", "seed", "threads", "time_limit", "callback", "progress")
OTHER = {"parameters": "p0", "epochs": "max_iterations", "tolerance": "tolerance"}
"""The options of ``train`` that ``fit`` has by the same name, and those with another name or default."""


def train_by_fit(model: Model, settings: CheckedOptions, fit_arguments: dict[str, Any]) -> FitResult:
    """Return what ``fit`` returns, with at most ``epochs`` iterations, and with further arguments of it.

    There is no warning where all epochs are used: they were asked for.

    Raises ValueError for options of ``train`` that it does not have, and for a model that has no fit.
    """
    check_fitted(model, 'train(optimizer="lm")')
    takes = (*SAME, *OTHER, "optimizer")
    lost = [name for name in TRAIN.options if name not in takes and getattr(settings, name) != TRAIN.defaults[name]]
    if lost:
        raise ValueError(
            f"the optimizer lm is fit, which takes none of these: {', '.join(lost)}; it takes {', '.join(takes)}, and "
            f"what else fit takes"
        )
    same_options = {name: getattr(settings, name) for name in SAME}
    return fit(
        model,
        **same_options,
        p0=settings.parameters,
        max_iterations=Epochs(settings.epochs),
        tolerance=settings.tolerance or None,
        **fit_arguments,
    )

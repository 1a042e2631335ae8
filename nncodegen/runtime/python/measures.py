"""What is measured in each epoch: the columns of the history that the kernel writes, and the metrics among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Model

STATUS = ("completed", "converged", "stopped_early", "diverged", "interrupted")
"""How a call of the kernel ended, by its number in C."""

COLUMNS = ("loss", "val_loss", "accuracy", "mae", "r2", "val_accuracy", "val_mae", "val_r2")
"""The figures of an epoch, in the order in which the kernel writes them."""

METRICS = ("accuracy", "mae", "r2")
"""The metrics; the kernel gets a bit for each, in this order."""

HIGHER = ("accuracy", "r2", "val_accuracy", "val_r2")
"""Figures that are better if higher."""


def choose_metrics(model: Model, metrics: Any) -> tuple[str, ...]:
    """The metrics that are asked for, in the order of METRICS. Raises ValueError."""
    wanted = (metrics,) if isinstance(metrics, str) else tuple(metrics) if isinstance(metrics, Iterable) else (metrics,)
    for metric in wanted:
        if metric != "loss" and metric not in METRICS:
            raise ValueError(f"there is no metric {metric!r}; there are: loss, {', '.join(METRICS)}")
    found = tuple(metric for metric in METRICS if metric in wanted)
    if found and not model.measures_size:
        raise ValueError(
            f"metrics compare outputs with targets, but the model has {model.output_count} outputs and "
            f"{len(model.target_names)} targets: compute them from predict()"
        )
    return found

"""How good a model is on rows that it has not seen, beside what one can say without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nncodegen.table.target import Target


@dataclass(frozen=True)
class Metric:
    """A figure of the network, and the same of a baseline: always the most frequent class, or the mean."""

    name: str
    network: float
    baseline: str
    simple: float


def measure(target: Target, known: Any, Y: Any, outputs: Any) -> tuple[Metric, ...]:
    """The metrics for targets Y (N, outputs) and what the network puts out for them.

    The baseline is made of the targets ``known`` in training. Numbers are measured in their own unit.
    """
    if not target.classes:
        truth, predicted = target.decide(Y), target.decide(outputs)
        mean = np.full(len(truth), target.decide(known).mean())
        return (
            Metric("mean absolute error", _mae(truth, predicted), "mean", _mae(truth, mean)),
            Metric("root mean squared error", _rmse(truth, predicted), "mean", _rmse(truth, mean)),
            Metric("R2", _r2(truth, predicted), "mean", _r2(truth, mean)),
        )
    shares = target.probabilities(known).mean(axis=0)
    truth, chances = target.probabilities(Y).argmax(axis=1), target.probabilities(outputs)
    largest = int(shares.argmax())
    baseline = f"always {target.classes[largest]}"
    return (
        Metric("accuracy", float((target.decide(outputs) == truth).mean()), baseline, float((truth == largest).mean())),
        Metric(
            "log loss", _log_loss(truth, chances), "frequencies", _log_loss(truth, np.tile(shares, (len(truth), 1)))
        ),
    )


def _mae(truth: Any, predicted: Any) -> float:
    return float(np.abs(truth - predicted).mean())


def _rmse(truth: Any, predicted: Any) -> float:
    return float(np.sqrt(((truth - predicted) ** 2).mean()))


def _r2(truth: Any, predicted: Any) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - predicted) ** 2).sum()) / spread if spread else float("nan")


def _log_loss(truth: Any, chances: Any) -> float:
    chosen = chances[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, np.finfo(float).tiny)).mean())

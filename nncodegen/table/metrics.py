"""Metrics of a model on rows that it has not seen, compared with a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nncodegen.table.target import Target


@dataclass(frozen=True)
class Metric:
    """A metric of the network and of the baseline, which always predicts the most frequent class, or the mean."""

    name: str
    network: float
    baseline: str
    simple: float
    higher_is_better: bool = True

    @property
    def beats_baseline(self) -> bool:
        """Return whether the network is better than the baseline."""
        return self.network > self.simple if self.higher_is_better else self.network < self.simple


@dataclass(frozen=True)
class ClassMetrics:
    """The metrics of a class, and the number of its rows; a metric is NaN where its denominator is 0.

    ``precision`` is the share of correct rows among those predicted to be of the class, ``recall`` the share of its
    rows that were predicted to be, ``f1`` the harmonic mean of both.
    """

    name: str
    precision: float
    recall: float
    f1: float
    count: int


def measure(target: Target, known: Any, Y: Any, outputs: Any) -> tuple[Metric, ...]:
    """Return the metrics for targets Y (N, outputs) and the outputs of the network.

    The baseline follows from ``known``, the targets in training. Errors of numbers are in the unit of the column.
    """
    if not target.classes:
        truth, predicted = target.decide(Y), target.decide(outputs)
        mean = np.full(len(truth), target.decide(known).mean())
        return (
            Metric("mean absolute error", _mae(truth, predicted), "mean", _mae(truth, mean), False),
            Metric("root mean squared error", _rmse(truth, predicted), "mean", _rmse(truth, mean), False),
            Metric("R2", _r2(truth, predicted), "mean", _r2(truth, mean)),
        )
    shares = target.probabilities(known).mean(axis=0)
    truth, chances = target.probabilities(Y).argmax(axis=1), target.probabilities(outputs)
    decided, largest = target.decide(outputs), int(shares.argmax())
    always, most_frequent = f"always {target.classes[largest]}", np.full(len(truth), largest)
    frequencies = np.tile(shares, (len(truth), 1))
    return (
        Metric("accuracy", float((decided == truth).mean()), always, float((truth == largest).mean())),
        Metric("balanced accuracy", _balanced(truth, decided), always, _balanced(truth, most_frequent)),
        Metric("log loss", _log_loss(truth, chances), "frequencies", _log_loss(truth, frequencies), False),
    )


def confusion(target: Target, Y: Any, outputs: Any) -> Any:
    """Return the number of rows by true class (row) and predicted class (column): (classes, classes)."""
    truth, decided = target.probabilities(Y).argmax(axis=1), target.decide(outputs)
    size = len(target.classes)
    return np.bincount(truth * size + decided, minlength=size * size).reshape(size, size)


def class_metrics(target: Target, counts: Any) -> tuple[ClassMetrics, ...]:
    """Return the metrics of each class, from the counts of ``confusion``."""
    hits, said, there = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        figures = zip(hits / said, hits / there, 2 * hits / (said + there), there, strict=True)
    return tuple(
        ClassMetrics(name, float(precision), float(recall), float(f1), int(count))
        for name, (precision, recall, f1, count) in zip(target.classes, figures, strict=True)
    )


def _balanced(truth: Any, decided: Any) -> float:
    """Return the balanced accuracy: the mean of recall over the classes that occur."""
    return float(np.mean([(decided[truth == value] == value).mean() for value in np.unique(truth)]))


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

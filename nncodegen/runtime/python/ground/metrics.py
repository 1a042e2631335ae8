"""Metrics by name, as scikit-learn defines them, each a function of predictions. To add one, extend FIGURES.

All metrics are means over samples, weighted by the sample weights. If each sample has one of several classes, targets
are rows with a 1 at the class. Otherwise several targets that are 0 or 1 are labels that do not exclude each other,
like scikit-learn's "multilabel" ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .types import Array

AVERAGES = ("macro", "micro", "weighted")
"""Ways to average over classes: the mean of their figures, one figure of all decisions, the mean by frequencies."""


class Predictions(NamedTuple):
    """Targets (N, K) and outputs (N, K) in float64, and the weights of the samples, (N,).

    ``classes`` is whether each sample has one of K > 1 classes. Otherwise an output above ``threshold`` predicts 1.
    """

    targets: Array
    outputs: Array
    weights: Array
    classes: bool
    threshold: float

    def mean(self, values: Array) -> Any:
        """Return the weighted mean over the samples: a number, or one for each column."""
        return self.weights @ values / self.weights.sum()


class Figure(NamedTuple):
    """A metric: its function of predictions and an argument, whether higher is better, and the targets it needs.

    needs is "" for any targets, "classes" for classes or targets of 0 and 1, "several" for one of several classes.
    """

    function: Callable[[Predictions, Any], float]
    higher: bool
    needs: str = ""


# --- numbers -----------------------------------------------------------------------------------------------------


def _mae(predictions: Predictions, _: Any) -> float:
    """Return the mean absolute error, over all targets."""
    return float(predictions.mean(abs(predictions.outputs - predictions.targets)).mean())


def _mse(predictions: Predictions, _: Any) -> float:
    """Return the mean squared error, over all targets."""
    return float(predictions.mean((predictions.outputs - predictions.targets) ** 2).mean())


def _rmse(predictions: Predictions, _: Any) -> float:
    """Return the root of the mean squared error of each target, averaged over the targets."""
    return float(np.sqrt(predictions.mean((predictions.outputs - predictions.targets) ** 2)).mean())


def _mape(predictions: Predictions, _: Any) -> float:
    """Return the mean of |error|/|target|, as a fraction; a target of 0 counts as epsilon."""
    sizes = np.maximum(abs(predictions.targets), np.finfo(float).eps)
    return float(predictions.mean(abs(predictions.outputs - predictions.targets) / sizes).mean())


def _r2(predictions: Predictions, _: Any) -> float:
    """Return 1 - squared errors/squares around the mean, averaged over targets; 1 or 0 for a constant target."""
    errors = predictions.mean((predictions.outputs - predictions.targets) ** 2)
    spread = predictions.mean((predictions.targets - predictions.mean(predictions.targets)) ** 2)
    explained = 1 - np.divide(errors, spread, out=(errors > 0).astype(float), where=spread > 0)
    return float(explained.mean())


# --- classes -----------------------------------------------------------------------------------------------------


def _accuracy(predictions: Predictions, _: Any) -> float:
    """Return the fraction of correct classes, or of targets on the right side of the threshold."""
    if predictions.classes:
        return float(predictions.mean(predictions.outputs.argmax(axis=1) == predictions.targets.argmax(axis=1)))
    return float(predictions.mean((predictions.outputs > predictions.threshold) == (predictions.targets > 0.5)).mean())


def _top(predictions: Predictions, k: int) -> float:
    """Return the fraction of samples whose class has one of the k largest outputs; of equal outputs, the last wins."""
    number = predictions.targets.argmax(axis=1)
    output_of_class = predictions.outputs[np.arange(len(number)), number][:, None]
    later = np.arange(predictions.outputs.shape[1]) > number[:, None]
    above = (predictions.outputs > output_of_class) | ((predictions.outputs == output_of_class) & later)
    return float(predictions.mean(above.sum(axis=1) < k))


def _decided(predictions: Predictions, average: str) -> tuple[Array, Array]:
    """Return the true and the predicted membership of samples in classes, (N, C) each; C is 1 without an average."""
    if predictions.classes:
        places = np.arange(predictions.targets.shape[1])
        true, predicted = predictions.targets.argmax(axis=1), predictions.outputs.argmax(axis=1)
        return true[:, None] == places, predicted[:, None] == places
    truth, said = predictions.targets > 0.5, predictions.outputs > predictions.threshold
    if average and truth.shape[1] == 1:  # both classes of a binary target
        return np.hstack([~truth, truth]), np.hstack([~said, said])
    return truth, said


def _of_decisions(numerator: float, of_said: float, of_truth: float) -> Callable[[Predictions, str], float]:
    """Return the metric numerator*hits/(of_said*predicted + of_truth*true), from the weights of samples of a class.

    It is 0 if the denominator is 0. Classes that no sample has, or is predicted to have, are left out of a mean.
    """

    def figure(predictions: Predictions, average: str) -> float:
        truth, said = _decided(predictions, average)
        counted = truth.any(axis=0) | said.any(axis=0)
        if predictions.classes or (average and predictions.targets.shape[1] == 1):
            truth, said = truth[:, counted], said[:, counted]
        met, of_class, of_decision = (predictions.weights @ values for values in (truth & said, truth, said))
        above, below = numerator * met, of_said * of_decision + of_truth * of_class
        if average == "micro":
            above, below = above.sum(keepdims=True), below.sum(keepdims=True)
        ratios = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        return _mean_of(ratios, of_class if average == "weighted" else None)

    return figure


def _mean_of(figures: Array, frequencies: Array | None) -> float:
    """Return the mean of the figures of classes; by their frequencies, it is 0 if no sample has any of them."""
    if frequencies is None:
        return float(figures.mean())
    return float(figures @ frequencies / frequencies.sum()) if frequencies.sum() > 0 else 0.0


def _auc(predictions: Predictions, average: str) -> float:
    """Return the area under the curve of true against false positives (ROC); each of several classes against the rest.

    It is NaN if a class has no sample, or all samples.
    """
    outputs = _probabilities(predictions.outputs) if predictions.classes else predictions.outputs
    if predictions.classes:
        truth = predictions.targets.argmax(axis=1)[:, None] == np.arange(outputs.shape[1])
    else:
        truth = predictions.targets > 0.5
    if average == "micro":
        return _area(truth.ravel(), outputs.ravel(), np.repeat(predictions.weights, outputs.shape[1]))
    areas = np.array([_area(*columns, predictions.weights) for columns in zip(truth.T, outputs.T, strict=True)])
    return _mean_of(areas, predictions.weights @ truth if average == "weighted" else None)


def _area(truth: Array, scores: Array, weights: Array) -> float:
    """Return the fraction of (positive, negative) pairs in which the positive sample scores higher; ties count half."""
    _, place = np.unique(scores, return_inverse=True)
    positive, negative = (np.bincount(place, weights * side) for side in (truth, ~truth))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


def _probabilities(outputs: Array) -> Array:
    """Return outputs of classes as probabilities: unchanged, or the softmax of logits or of log-probabilities.

    Scores of different samples can only be compared as probabilities.
    """
    if (outputs >= 0).all() and (abs(outputs.sum(axis=1) - 1) < 1e-3).all():
        return outputs
    powers: Array = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


FIGURES = {
    "accuracy": Figure(_accuracy, True, "classes"),
    "mae": Figure(_mae, False),
    "r2": Figure(_r2, True),
    "mse": Figure(_mse, False),
    "rmse": Figure(_rmse, False),
    "mape": Figure(_mape, False),
    "auc": Figure(_auc, True, "classes"),
    "precision": Figure(_of_decisions(1, 1, 0), True, "classes"),
    "recall": Figure(_of_decisions(1, 0, 1), True, "classes"),
    "f1": Figure(_of_decisions(2, 1, 1), True, "classes"),
    "top_k_accuracy": Figure(_top, True, "several"),
}
"""The metrics by name."""

AVERAGED = ("auc", "precision", "recall", "f1")
"""The metrics whose name may end with _ and an average."""

K = 5
"""The k of top_k_accuracy, as in Keras."""

SAME = {
    "acc": "accuracy",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
    "AUC": "auc",
    "roc_auc": "auc",
    "roc_auc_ovr": "auc",
    "roc_auc_ovr_weighted": "auc_weighted",
    "f1_score": "f1",
    "top_k_categorical_accuracy": "top_k_accuracy",
    "sparse_top_k_categorical_accuracy": "top_k_accuracy",
}
"""Other names of Keras and scikit-learn."""

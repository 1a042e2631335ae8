"""Metrics by name, each a function of predictions, as scikit-learn defines it. To add one, add an entry to FIGURES.

All are means over samples, each of which counts as much as its weight. Where each sample has one of several classes,
targets are rows with a 1 at the class; several targets that are 0 or 1 otherwise are labels that do not exclude each
other, as scikit-learn's "multilabel" ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .types import Array

AVERAGES = ("macro", "micro", "weighted")
"""How the figures of several classes become one: their mean, that of all decisions together, by their frequencies."""


class Predictions(NamedTuple):
    """Targets (N, K) and outputs (N, K) in float64, and what the samples count, (N,).

    ``classes`` tells whether a sample has one of K > 1 classes. Otherwise an output above ``threshold`` stands for 1.
    """

    targets: Array
    outputs: Array
    weights: Array
    classes: bool
    threshold: float

    def mean(self, values: Array) -> Any:
        """The weighted mean over the samples: a number, or one for each column."""
        return self.weights @ values / self.weights.sum()


class Figure(NamedTuple):
    """A metric: its function of predictions and an argument, whether more is better, and what targets it needs.

    needs is "" for any targets, "classes" for classes or targets of 0 and 1, "several" for one of several classes.
    """

    function: Callable[[Predictions, Any], float]
    higher: bool
    needs: str = ""


# --- numbers -----------------------------------------------------------------------------------------------------


def _mae(found: Predictions, _: Any) -> float:
    """The mean absolute error, over all targets."""
    return float(found.mean(abs(found.outputs - found.targets)).mean())


def _mse(found: Predictions, _: Any) -> float:
    """The mean squared error, over all targets."""
    return float(found.mean((found.outputs - found.targets) ** 2).mean())


def _rmse(found: Predictions, _: Any) -> float:
    """The root of the mean squared error of each target; the mean of these."""
    return float(np.sqrt(found.mean((found.outputs - found.targets) ** 2)).mean())


def _mape(found: Predictions, _: Any) -> float:
    """The mean of absolute errors divided by the absolute value of the target, as a share; 0 counts as epsilon."""
    sizes = np.maximum(abs(found.targets), np.finfo(float).eps)
    return float(found.mean(abs(found.outputs - found.targets) / sizes).mean())


def _r2(found: Predictions, _: Any) -> float:
    """1 - squared errors/squares around the mean, of each target; the mean of these. 1 or 0 for a constant target."""
    errors = found.mean((found.outputs - found.targets) ** 2)
    spread = found.mean((found.targets - found.mean(found.targets)) ** 2)
    explained = 1 - np.divide(errors, spread, out=(errors > 0).astype(float), where=spread > 0)
    return float(explained.mean())


# --- classes -----------------------------------------------------------------------------------------------------


def _accuracy(found: Predictions, _: Any) -> float:
    """The share of classes that are met, or of targets on the right side of the threshold."""
    if found.classes:
        return float(found.mean(found.outputs.argmax(axis=1) == found.targets.argmax(axis=1)))
    return float(found.mean((found.outputs > found.threshold) == (found.targets > 0.5)).mean())


def _top(found: Predictions, k: int) -> float:
    """The share of samples whose class has one of the k largest outputs; of equal ones, the last come first."""
    number = found.targets.argmax(axis=1)
    own = found.outputs[np.arange(len(number)), number][:, None]
    later = np.arange(found.outputs.shape[1]) > number[:, None]
    above = (found.outputs > own) | ((found.outputs == own) & later)
    return float(found.mean(above.sum(axis=1) < k))


def _decided(found: Predictions, average: str) -> tuple[Array, Array]:
    """Which classes (N, C) the samples have, and which they are said to have; without an average, C is 1."""
    if found.classes:
        places = np.arange(found.targets.shape[1])
        return found.targets.argmax(axis=1)[:, None] == places, found.outputs.argmax(axis=1)[:, None] == places
    truth, said = found.targets > 0.5, found.outputs > found.threshold
    if average and truth.shape[1] == 1:  # both classes of the two
        return np.hstack([~truth, truth]), np.hstack([~said, said])
    return truth, said


def _of_decisions(numerator: float, of_said: float, of_truth: float) -> Callable[[Predictions, str], float]:
    """A metric numerator*met/(of_said*said + of_truth*truth), of the samples that a class is met, said, true of.

    Where the denominator is 0, it is 0. Classes that no sample has, or is said to have, are left out of a mean.
    """

    def figure(found: Predictions, average: str) -> float:
        truth, said = _decided(found, average)
        counted = truth.any(axis=0) | said.any(axis=0)
        if found.classes or (average and found.targets.shape[1] == 1):
            truth, said = truth[:, counted], said[:, counted]
        met, of_class, of_decision = (found.weights @ values for values in (truth & said, truth, said))
        above, below = numerator * met, of_said * of_decision + of_truth * of_class
        if average == "micro":
            above, below = above.sum(keepdims=True), below.sum(keepdims=True)
        ratios = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        return _mean_of(ratios, of_class if average == "weighted" else None)

    return figure


def _mean_of(figures: Array, frequencies: Array | None) -> float:
    """The mean of the figures of classes; by their frequencies, 0 where no sample has any of them."""
    if frequencies is None:
        return float(figures.mean())
    return float(figures @ frequencies / frequencies.sum()) if frequencies.sum() > 0 else 0.0


def _auc(found: Predictions, average: str) -> float:
    """The area under the curve of true positives over false ones (ROC); of several classes, each against the others.

    NaN where a class has no sample, or all.
    """
    outputs = _probabilities(found.outputs) if found.classes else found.outputs
    if found.classes:
        truth = found.targets.argmax(axis=1)[:, None] == np.arange(outputs.shape[1])
    else:
        truth = found.targets > 0.5
    if average == "micro":
        return _area(truth.ravel(), outputs.ravel(), np.repeat(found.weights, outputs.shape[1]))
    areas = np.array([_area(*columns, found.weights) for columns in zip(truth.T, outputs.T, strict=True)])
    return _mean_of(areas, found.weights @ truth if average == "weighted" else None)


def _area(truth: Array, scores: Array, weights: Array) -> float:
    """The share of pairs of a positive and a negative sample in which the positive one scores higher; ties are half."""
    _, place = np.unique(scores, return_inverse=True)
    positive, negative = (np.bincount(place, weights * side) for side in (truth, ~truth))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


def _probabilities(outputs: Array) -> Array:
    """Outputs of classes as probabilities: themselves, or the softmax of logits or of logarithms of probabilities.

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
"""Those whose name may end with _ and an average."""

K = 5
"""The classes of top_k_accuracy, as in Keras."""

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

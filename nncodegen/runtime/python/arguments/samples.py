"""The samples of a training: their checks, their weights, and which of them are held out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.algebra import IN_FIXED_ORDER
from ..ground.metrics import Predictions
from ..ground.same_bits import refuse
from .arguments import are_labels, check_sample_weight, check_samples
from .labels import numbers_of
from .measures import Measure
from .scalars import number
from .sparse import Sparse
from .tables import of_only_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..ground.types import Array
    from ..native.model import Model


class CheckedSamples:
    """Checked samples: X, Y, and the weight of each sample in the loss (weights) and in the metrics (counts).

    X is an array or ``Sparse``. If there are ``classes``, ``targets`` are their names.
    """

    def __init__(self, model: Model, X: Any, Y: Any, sample_weight: Any, classes: Array | None = None) -> None:
        self.model = model
        self.classes = classes
        Y = of_only_target(model, Y)
        if classes is not None:
            Y = numbers_of("Y", Y, classes)
        self.X, self.Y, self.samples = check_samples(model, X, Y, sparse=True)
        self._labelled = model.accepts_labels and are_labels(Y)
        self.weights = self.counts = check_sample_weight(model, sample_weight, self.samples)
        self.spread: Any = None

    @property
    def targets(self) -> Array:
        """Return the targets as they were given: labels (N,), columns (N, targets), or (N,) for a single target."""
        if self._labelled or self.classes is not None:
            numbers = self.Y.argmax(axis=1) if self._labelled else self.Y[:, 0].astype(np.intp)
            targets: Array = numbers if self.classes is None else self.classes[numbers]
        else:
            targets = self.Y[:, 0] if self.Y.shape[1] == 1 else self.Y
        return targets

    def arrays(self) -> tuple[Any, ...]:
        """Return the arguments of the native part."""
        per_sample = self.Y, self.weights, self.counts, self.spread
        if isinstance(self.X, Sparse):
            return self.X.values, *per_sample, self.X.starts, self.X.columns
        return self.X, *per_sample, None, None

    def loss(self, parameters: Array, slope: Array | None = None) -> float:
        """Return the mean loss; its gradient is written to ``slope`` unless that is None.

        For parameters that follow statistics of the samples, ``slope`` holds these statistics: see ``statistics_of``.
        """
        native = self.model.native
        if isinstance(self.X, Sparse) and slope is not None and self.model.facts.following:
            rows = self.X.whole(0, self.samples)  # statistics are taken over all samples together
            return native.loss(parameters, rows, self.Y, self.weights, self.samples, slope)
        if not isinstance(self.X, Sparse):
            return native.loss(parameters, self.X, self.Y, self.weights, self.samples, slope)
        total, whole = 0.0, np.zeros(0 if slope is None else slope.shape)
        for share, X, Y, weights in self.parts():
            total += share * native.loss(parameters, X, Y, weights, len(X), slope)
            if slope is not None:
                whole += share * slope
        if slope is not None:
            slope[:] = whole
        return total

    def parts(self) -> Iterator[tuple[float, Any, Any, Any]]:
        """Yield all samples in parts with full rows: the share of each part in a mean, its X, Y and weights."""
        if not isinstance(self.X, Sparse):
            yield 1.0, self.X, self.Y, self.weights
            return
        weights = self.weights
        every = float(self.samples if weights is None else weights.sum(dtype=float))
        for first, last in self.X.parts():
            part_weights = None if weights is None else weights[first:last]
            share = float(last - first if part_weights is None else part_weights.sum(dtype=float)) / every
            if share > 0:  # a mean over samples of weight 0 is not a number
                yield share, self.X.whole(first, last), None if self.Y is None else self.Y[first:last], part_weights

    def part(self, rows: Any) -> CheckedSamples:
        """Return some of the samples, given by their indices."""
        part = object.__new__(CheckedSamples)
        part.model, part.classes, part._labelled = self.model, self.classes, self._labelled
        part.X, part.Y, part.counts = (None if a is None else a[rows] for a in (self.X, self.Y, self.counts))
        part.weights, part.samples, part.spread = part.counts, len(rows), None
        if part.counts is not None and not part.counts.any():
            raise ValueError("sample_weight is 0 for every sample that is held out, or for every other: give others")
        return part

    def weigh_classes(self, class_weight: Any) -> None:
        """Multiply the weights by those of the classes."""
        if class_weight is None:
            return
        numbers, members = self._classes()
        classes = numbers if self.classes is None else self.classes.tolist()
        if isinstance(class_weight, str) and class_weight == "balanced":
            sizes = members.sum(axis=0)
            factors = np.divide(sizes.sum() / np.count_nonzero(sizes), sizes, out=np.ones(len(sizes)), where=sizes > 0)
        elif isinstance(class_weight, dict):
            factors = np.ones(len(classes))
            for key, value in class_weight.items():
                if isinstance(key, bool) or key not in classes:
                    raise ValueError(f"class_weight names the class {key!r}; there are: {', '.join(map(str, classes))}")
                factors[classes.index(key)] = number(self.model, f"class_weight[{key}]", value, 0.0, math.inf, False)
        else:
            raise ValueError(f"class_weight must be a dictionary or 'balanced', not {class_weight!r}")
        if not np.isin(members, (0, 1)).all():
            refuse(self.model.facts, "class_weight with targets between 0 and 1")
        of_samples = members @ factors
        weights = of_samples if self.counts is None else of_samples * self.counts
        self.weights = check_sample_weight(self.model, weights, self.samples)

    def _classes(self) -> tuple[list[int], Any]:
        """Return the classes, and how much each sample belongs to each of them."""
        if self.model.accepts_labels:
            return list(range(len(self.model.target_names))), self.Y.astype(float)
        if len(self.model.target_names) == 1:
            for low in (0, -1):
                if ((low == self.Y) | (self.Y == 1)).all():
                    return [low, 1], np.hstack([low == self.Y, self.Y == 1]).astype(float)
        raise ValueError("class_weight needs classes: labels of a categorical loss, or one target that is 0 or 1")

    def measure(self, metrics: tuple[Measure, ...], by_kernel: bool = True) -> None:
        """Prepare metrics: compute how far the targets spread around their means, for r2.

        With ``by_kernel``, the kernel measures those that it has; otherwise all are computed from predictions.
        """
        of_classes = [metric.name for metric in metrics if metric.figure is not None and metric.figure.needs]
        has_classes = self.model.accepts_labels or self.model.step_classes
        if of_classes and not has_classes and not np.isin(self.Y, (-1, 0, 1)).all():
            raise ValueError(
                f"the metric {of_classes[0]} needs classes: labels of a categorical loss, or targets of 0 and 1"
            )
        for metric in metrics:
            if metric.figure is not None and not (by_kernel and metric.native):
                refuse(self.model.facts, f"the metric {metric.name}")
        if not any(metric.native == "r2" for metric in metrics):
            return
        weights = (np.ones(self.samples) if self.counts is None else self.counts.astype(float))[:, None]
        total = IN_FIXED_ORDER.total
        around = self.Y - total(weights * self.Y, 0) / total(weights)
        self.spread = total(weights * around * around, 0)

    def measured(self, metrics: tuple[Measure, ...], outputs: Array) -> dict[str, float]:
        """Compute metrics of the outputs for these samples, (N, outputs), by name. Raises ValueError."""
        known = self._predictions(outputs)
        return {
            metric.name: metric.of_targets(self.targets, outputs, self.counts)
            if metric.figure is None
            else metric.figure.function(known, metric.argument)
            for metric in metrics
        }

    def _predictions(self, outputs: Array) -> Predictions:
        """Return outputs beside targets; of a sequence with classes, one row for each step that has a target."""
        facts, classes = self.model.facts, self.model.step_classes
        counts = np.ones(len(outputs)) if self.counts is None else np.asarray(self.counts, float)
        targets, predicted = np.asarray(self.Y, float), np.asarray(outputs, float)
        if classes:
            counts = np.repeat(counts, targets.shape[1] // classes)
            targets, predicted = targets.reshape(-1, classes), predicted.reshape(-1, classes)
            shares = targets.sum(axis=1)  # rows of zeros are steps without a target
            there = shares > 0
            targets, predicted, counts = targets[there] / shares[there, None], predicted[there], counts[there]
        return Predictions(targets, predicted, counts, facts.samples.labels or classes > 0, facts.samples.threshold)


def statistics_of(model: Model, slope: Array) -> Array:
    """Move the statistics of the samples out of a gradient: (P,), 0 except for the parameters that follow them.

    These parameters have no gradient; their entries of the gradient are set to 0.
    """
    statistics = np.zeros_like(slope)
    for first, last, _ in model.facts.following:
        statistics[first:last] = slope[first:last]
        slope[first:last] = 0
    return statistics


def hold_out(
    data: CheckedSamples, validation_data: Any, fraction: float, seed: int
) -> tuple[CheckedSamples, CheckedSamples | None]:
    """Return the data to train on, and those to validate with: given data, or a fraction of all samples."""
    if validation_data is not None and fraction:
        raise ValueError("give validation_data or validation_split, not both")
    if not fraction:
        return data, validation_of(data.model, validation_data, data.classes)
    if data.samples < 2:
        raise ValueError("validation_split needs at least 2 samples")
    count = min(max(1, round(fraction * data.samples)), data.samples - 1)
    order = np.random.default_rng(seed).permutation(data.samples)
    return data.part(np.sort(order[count:])), data.part(np.sort(order[:count]))


def validation_of(model: Model, validation_data: Any, classes: Array | None) -> CheckedSamples | None:
    """Return the data to validate with, or None if none are given."""
    return None if validation_data is None else data_of(model, "validation_data", validation_data, classes)


def data_of(model: Model, name: str, arrays: Any, classes: Array | None) -> CheckedSamples:
    """Return the samples of a pair or triple of arrays; ``name`` stands in the messages of errors."""
    if not isinstance(arrays, tuple | list) or len(arrays) not in (2, 3):
        raise ValueError(f"{name} must be (X, Y) or (X, Y, sample_weight)")
    try:
        return CheckedSamples(model, arrays[0], arrays[1], arrays[2] if len(arrays) == 3 else None, classes)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def size_of_batch(batch_size: int | None, samples: int) -> int:
    """Return the number of samples of an update: all, if the batch size is None or larger."""
    return samples if batch_size is None else min(batch_size, samples)

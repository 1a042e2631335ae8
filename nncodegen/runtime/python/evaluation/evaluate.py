"""Outputs, losses and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import check_inputs, check_parameters
from ..arguments.labels import classes_of
from ..arguments.measures import choose_metrics
from ..arguments.samples import CheckedSamples, statistics_of
from ..arguments.scalars import THREADS, integer
from ..arguments.sparse import Sparse
from ..ground.share import share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model

ROWS_OF_A_THREAD = 4096
"""The number of samples that a thread computes at once is a multiple of this."""


def predict(model: Model, /, parameters: ArrayLike, X: ArrayLike | None = None, threads: int = 1) -> Array:
    """Return the outputs for the rows of X, of shape (N, inputs), which may be sparse: an array (N, outputs).

    The outputs of up to four rows are computed by other loops, and agree with those of many rows up to rounding.
    The threads, 1 to 64, share the work if there are thousands of rows; the results do not depend on them.
    """
    if type(threads) is not int or threads != 1:
        threads = integer("threads", threads, 1, THREADS)
    compute = model.predict_short  # Python finds attributes faster by themselves than as methods to call
    short = compute(parameters, X)
    if short is not None:
        return short
    inputs, samples = check_inputs(model, X, sparse=True)
    threads = min(threads, -(-samples // ROWS_OF_A_THREAD))
    return _predict_rows(model, check_parameters(model, parameters), inputs, samples, threads)


def _predict_rows(model: Model, parameters: Array, X: Array | Sparse | None, samples: int, threads: int) -> Array:
    """Return the outputs; the arguments are checked already."""
    outputs = np.empty((samples, model.output_count), model.dtype)

    def rows(first: int, last: int) -> None:
        if isinstance(X, Sparse):
            for begin, end in X.parts(first, last):
                model.native.predict(parameters, X.whole(begin, end), end - begin, outputs[begin:end])
            return
        part = None if X is None else X[first:last]
        model.native.predict(parameters, part, last - first, outputs[first:last])

    share(rows, samples, ROWS_OF_A_THREAD, threads)
    return outputs


def outputs_of(data: CheckedSamples, parameters: Array, threads: int = 1) -> Array:
    """Return the outputs for checked samples, (N, outputs)."""
    threads = min(threads, -(-data.samples // ROWS_OF_A_THREAD))
    return _predict_rows(data.model, parameters, data.X, data.samples, threads)


def loss(
    model: Model,
    /,
    parameters: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the mean loss over the samples; with sample_weight, of shape (N,), the weighted mean.

    With BatchNormalization it is the loss of predictions, which use the moving statistics.
    """
    compute = model.loss_short
    short = compute(parameters, X, Y, None) if sample_weight is None else None
    if short is not None:
        return short
    return _long_loss(model, parameters, X, Y, sample_weight, None)


def loss_and_gradient(
    model: Model,
    /,
    parameters: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the mean loss over the samples and its gradient, of shape (P,), as SciPy's minimizers take them.

    They are those of training: with BatchNormalization, all samples are one batch, normalized by its statistics.
    The derivatives by the moving statistics are 0.
    """
    gradient = np.empty(model.parameter_count, model.dtype)
    compute = model.loss_short
    value = compute(parameters, X, Y, gradient) if sample_weight is None else None
    if value is None:
        value = _long_loss(model, parameters, X, Y, sample_weight, gradient)
    if model.facts.following:
        statistics_of(model, gradient)
    return value, gradient


def evaluate(
    model: Model,
    /,
    parameters: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    metrics: str | Iterable[Any] | Callable[..., float] = (),
    classes: Sequence[str] | Sequence[int] | None = None,
    threads: int = 1,
) -> dict[str, float]:
    """Return the loss and metrics of predictions for some samples: {"loss": ..., "auc": ...}.

    metrics and classes are those of ``train``; here all metrics are computed from predictions. classes must be
    given if Y holds names and some classes do not occur.
    """
    point, chosen = check_parameters(model, parameters), choose_metrics(model, metrics)
    data = CheckedSamples(model, X, Y, sample_weight, classes_of(model, classes, Y))
    data.measure(chosen, by_kernel=False)
    figures = {"loss": data.loss(point)}
    if chosen:
        outputs = outputs_of(data, point, integer("threads", threads, 1, THREADS))
        figures |= data.measured(chosen, outputs)
    return figures


def _long_loss(
    model: Model,
    parameters: ArrayLike,
    X: ArrayLike | None,
    Y: ArrayLike | None,
    sample_weight: ArrayLike | None,
    gradient: Array | None,
) -> float:
    """Return the loss for arguments of any kind; its gradient is written to an array, unless that is None."""
    point = check_parameters(model, parameters)
    return CheckedSamples(model, X, Y, sample_weight).loss(point, gradient)

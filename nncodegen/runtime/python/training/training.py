"""The functions that train: on all data, on a stream, or batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..arguments.calls import RENAMED, STREAM, TRAIN, check_trainable
from ..arguments.labels import classes_of
from ..arguments.samples import CheckedSamples, data_of, hold_out, size_of_batch, validation_of
from ..arguments.start import start_of
from ..arguments.terms import take_samples
from ..ground.renamed import renamed
from ..results.result import Result, with_samples
from .levenberg import NAME, train_by_fit
from .run import Training

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..arguments.options import CheckedOptions
    from ..arguments.terms import Samples
    from ..native.model import Model


@TRAIN
def train(model: Model, /, *positional: Any, **named: Any) -> Any:
    """Minimize the mean loss over the samples, natively and without the interpreter's lock.

    {options}

    The optimizer "lm" is ``fit``, the method of Levenberg and Marquardt, for models that can be fitted (networks
    are built with fit=True): ``parameters`` is its p0, ``epochs`` its max_iterations. It takes X, Y, data,
    loss_weights, tolerance, seed, threads, time_limit, callback and progress, in addition all other arguments of
    ``fit``, and returns a FitResult.

    Returns a Result. A loss or parameter that is no longer finite ends the training with the status "diverged"
    and a RuntimeWarning. Ctrl-C raises KeyboardInterrupt, whose attribute ``result`` is the Result so far.
    Raises ValueError for an invalid argument.
    """
    train_short = model.train_short
    result: Result | None = train_short(positional, named)
    if result is not None:
        return result
    check_trainable(model)
    settings, hyperparameters = TRAIN.settings(model, positional, named)
    if settings.optimizer == NAME:
        return train_by_fit(model, settings, hyperparameters)
    drawn = take_samples(model, settings)
    classes = classes_of(model, settings.classes, settings.Y, settings.resume)
    data = CheckedSamples(model, settings.X, settings.Y, settings.sample_weight, classes)
    result = _train_converted(model, settings, data, positional, named) if classes is None else None
    if result is not None:
        return result
    training = Training(model, settings, hyperparameters, settings.epochs)
    if training.done >= settings.epochs:
        raise ValueError(f"resume has {training.done} epochs already; epochs, their number in all, must be above")
    if drawn is not None and settings.sample_weight is not None and drawn.next_draw(training.done) < settings.epochs:
        raise ValueError(
            "sample_weight has no effect on points that are drawn anew: what a term counts is loss_weights, "
            "{term: number}"
        )
    data, held_out = hold_out(data, settings.validation_data, settings.validation_split, training.seed)
    data.weigh_classes(settings.class_weight)
    training.watch(held_out)
    training.begin()
    batch = size_of_batch(settings.batch_size, data.samples)
    training.use(data, batch, batch < data.samples if settings.shuffle is None else settings.shuffle)
    with training:
        if drawn is not None:
            run_with_draws(training, drawn, settings)
        training.run(settings.epochs)
        return with_samples(training.finish(), drawn)


def _train_converted(
    model: Model, settings: CheckedOptions, data: CheckedSamples, positional: tuple[Any, ...], named: dict[str, Any]
) -> Result | None:
    """Return the Result of a training that only its arrays kept from the short way; None if other arguments did."""
    start = settings.parameters if settings.parameters is None else start_of(model, settings.parameters, settings.seed)
    if data.X is settings.X and data.Y is settings.Y and start is settings.parameters:
        return None
    arguments = dict(zip(TRAIN.options, positional, strict=False)) | named
    result: Result | None = model.train_short((), arguments | {"X": data.X, "Y": data.Y, "parameters": start})
    return result


def run_with_draws(training: Training, drawn: Samples, settings: CheckedOptions) -> None:
    """Train until the last time that points are drawn again; the caller trains the remaining epochs."""
    until = drawn.next_draw(training.done)
    while until < settings.epochs and training.status == "completed":
        training.run(int(until))
        data = CheckedSamples(training.model, *drawn.at(int(until)), None)
        training.use(data, size_of_batch(settings.batch_size, data.samples), training.shuffles)
        until = drawn.next_draw(int(until))


@STREAM
def train_on_stream(model: Model, /, *positional: Any, **named: Any) -> Result:
    """Train on data that need not fit into memory: each batch of an iterator is used once, and forgotten.

    batches yields (X, Y) or (X, Y, sample_weight); of slices of memory maps, only the slice is read. A batch is one
    update, or updates of batch_size samples each. An "epoch" is one pass over one batch: metrics are those of one
    batch, validation_data is measured after each, and patience counts them. class_weight is a dictionary.
    Everything else is as for ``train``; the loss of the Result is that of the last batch.
    """
    check_trainable(model)
    settings, hyperparameters = STREAM.settings(model, positional, named)
    if not isinstance(settings.batches, Iterable):
        raise ValueError(f"batches must be an iterator of (X, Y) or (X, Y, sample_weight), not {settings.batches!r}")
    if isinstance(settings.class_weight, str):
        raise ValueError("class_weight must be a dictionary here: 'balanced' needs all of the data")
    training = Training(model, settings, hyperparameters, None)
    batches, classes = iter(settings.batches), None
    first = next(batches, None)
    if isinstance(first, tuple | list) and len(first) > 1:
        classes = classes_of(model, settings.classes, first[1], settings.resume)
    training.watch(validation_of(model, settings.validation_data, classes))
    training.begin()
    with training:
        for number, batch in enumerate(() if first is None else chain((first,), batches)):
            data = data_of(model, f"batch {number}", batch, classes)
            data.weigh_classes(settings.class_weight)
            training.use(data, size_of_batch(settings.batch_size, data.samples), bool(settings.shuffle))
            training.run(training.native.epochs + 1)
            if training.status != "completed":
                break
        if training.data is None:
            raise ValueError("batches is empty: give at least one (X, Y)")
        return training.finish()


@renamed(RENAMED[0], **RENAMED[1])
def partial_fit(
    model: Model,
    /,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    result: Result | None = None,
    sample_weight: ArrayLike | None = None,
    **options: Any,
) -> Result:
    """Do one pass of updates over a batch, continuing from the Result of an earlier call; returns the next Result.

    The options are those of ``train_on_stream``; by default all samples form one update.
    """
    for key in ("resume", "batches"):
        if key in options:
            raise TypeError(f"partial_fit() got an unexpected argument {key!r}; give the Result as result")
    return train_on_stream(model, [(X, Y, sample_weight)], resume=result, **options)

"""Training, as people call it: all at once, over a stream, or batch by batch."""

from collections.abc import Iterable
from typing import Any

import numpy as np

initial_parameters: Any
_integer: Any
_flag: Any
Result: Any
_Data: Any
_validation: Any
_group: Any
_held_out: Any
_batch: Any
_Training: Any
_native_train_short: Any


def train(
    X: Any = None,
    Y: Any = None,
    parameters: Any = None,
    optimizer: str = "sgd",
    learning_rate: float = 0.01,
    epochs: int = 100,
    batch_size: "int | None" = None,
    shuffle: "bool | None" = None,
    seed: int = 0,
    update: str = "simultaneous",
    tolerance: float = 0.0,
    sample_weight: Any = None,
    class_weight: Any = None,
    schedule: Any = "constant",
    clip_value: "float | None" = None,
    clip_norm: "float | None" = None,
    l1: float = 0.0,
    l2: float = 0.0,
    weight_decay: "float | None" = None,
    validation_data: Any = None,
    validation_fraction: float = 0.0,
    metrics: Any = (),
    patience: "int | None" = None,
    min_delta: float = 0.0,
    monitor: "str | None" = None,
    restore_best: bool = True,
    time_limit: "float | None" = None,
    callback: Any = None,
    callback_interval: Any = "epoch",
    progress: bool = False,
    resume: Any = None,
    threads: int = 1,
    final_loss: bool = True,
    history: bool = True,
    **hyperparameters: float,
) -> Any:
    """Minimizes the mean loss over the samples, natively and without the interpreter's lock.

    X               (N, inputs); nothing for a formula without inputs
    Y               (N, targets), or (N,) for one target; class labels as integers (N,) for a categorical loss
    parameters      (P,), where to start; by default initial_parameters(seed)
    optimizer       a name in ``optimizers``, which lists the hyperparameters of each; sgd takes momentum and
                    nesterov, too
    learning_rate   the step for each gradient, above 0
    epochs          how often every sample is used, at least 1
    batch_size      samples for one update; all of them by default, and where it is above N
    shuffle         whether every epoch has an order of its own; by default, if there are several batches
    seed            of the order, of the initial parameters, of dropout and noise, of what is held out
    update          "simultaneous", or "sequential": one parameter at a time, the next with a new gradient
    tolerance       stop after an epoch in which no parameter changed by as much in an update; 0 to go on

    sample_weight   (N,), what each sample counts; the gradient of a batch is that of its part of the weighted mean
    class_weight    {class: weight}, 1 for those left out, or "balanced": all classes count alike; times sample_weight
    schedule        of the learning rate: a name, (name, {parameter: number}), or an array of factors, one an epoch:
                    constant; step (step_size, gamma), exponential (gamma), inverse (decay, power), which change from
                    epoch to epoch; polynomial (final, power), cosine (final), one_cycle (rise, start, final),
                    warm_up (epochs, start), which change from update to update
    l1, l2          add the gradient of l1*sum |w| + l2/2*sum w**2 over the weights of layers, not their biases; of a
                    formula, over all parameters; the reported loss is without them
    clip_value      no value of the gradient is further from 0; after the penalties
    clip_norm       the norm of the whole gradient is not above; after clip_value
    weight_decay    takes learning_rate*weight_decay*p from every parameter p in an update, apart from the gradient;
                    0 by default, for adamw 0.01

    validation_data       (X, Y) or (X, Y, sample_weight), whose loss "val_loss" is computed after each epoch
    validation_fraction   of the samples, at random by the seed, to be held out for that
    metrics         of "accuracy", "r2" and "mae" (mean absolute error): like "loss" they are those of the outputs that
                    the updates of an epoch met, each before it changed the parameters, with dropout and noise, so
                    that they cost no other outputs; with all samples in one batch, those of the parameters before the
                    epoch. On the validation data ("val_accuracy", ...), those of the parameters after the epoch.
                    class_weight does not count. Accuracy is that of the largest output where there are classes, else
                    of each output on the right side of one half (of 0 for logits); r2 is averaged over outputs
    patience        stop after so many epochs in which ``monitor`` was not better than its best by min_delta
    monitor         what tells the best epoch: by default "val_loss", without validation "loss"
    restore_best    with patience or monitor, return the parameters of the best epoch, not of the last
    time_limit      seconds after which to stop, also within an epoch
    callback        a function of one argument, with the attributes epochs, updates, metrics, seconds and parameters;
                    it ends the training if it returns something true
    callback_interval   "epoch", or milliseconds between two calls, at least
    progress        show a bar on the standard error (with the package rich, in a terminal or a notebook), or lines
    resume          a Result: go on where it ended, until there are ``epochs`` in all. With the arguments it was
                    made with, the outcome has the same bits as a training that was never stopped

    threads         that share the samples of large batches, from about a thousand samples on, 1 to 64; the results do
                    not depend on them
    final_loss      whether to evaluate the loss at the end; otherwise that of the Result is the last of its history
    history         whether to keep the loss of each epoch; otherwise it is NaN, and takes no evaluation: the gradient
                    does without it. Not with metrics, validation data, patience or monitor

    Returns a Result. A loss or parameter that is no longer finite ends the training with the status "diverged"
    and a RuntimeWarning. Ctrl-C raises KeyboardInterrupt, whose attribute ``result`` holds what was reached.
    Raises ValueError for an argument that cannot be meant.
    """
    result = _native_train_short(
        X, Y, parameters, optimizer, learning_rate, epochs, batch_size, shuffle, seed, update, tolerance,
        (sample_weight, class_weight, schedule, clip_value, clip_norm, l1, l2, weight_decay, validation_data,
         validation_fraction, metrics, patience, min_delta, monitor, restore_best, time_limit, callback,
         callback_interval, progress, resume, threads, final_loss, history),
        hyperparameters,
    )  # fmt: skip
    if result is not None:
        return result
    epochs = _integer("epochs", epochs, 1, 2**63 - 1)
    data = _Data(X, Y, sample_weight)
    training = _Training(parameters, optimizer, learning_rate, seed, update, resume, hyperparameters, weight_decay)
    if training.done >= epochs:
        raise ValueError(f"resume has {training.done} epochs already; epochs, their number in all, must be above")
    data, held_out = _validation(data, validation_data, validation_fraction, training.seed)
    data.weigh_classes(class_weight)
    training.schedule(schedule, epochs)
    training.regularize(l1, l2, clip_value, clip_norm, tolerance)
    training.watch(held_out, metrics, monitor, patience, min_delta, restore_best, history)
    training.ask(callback, callback_interval, time_limit, progress, epochs)
    batch = _batch(batch_size, data.samples)
    if shuffle is not None and not isinstance(shuffle, bool | np.bool_):
        raise ValueError(f"shuffle must be True, False or None, not {shuffle!r}")
    training.use(data, batch, batch < data.samples if shuffle is None else bool(shuffle))
    training.settle(threads)
    final_loss = _flag("final_loss", final_loss)
    with training:
        training.run(epochs)
        return training.finish(final_loss)


def train_on_stream(
    batches: Any,
    parameters: Any = None,
    optimizer: str = "sgd",
    learning_rate: float = 0.01,
    batch_size: "int | None" = None,
    shuffle: bool = False,
    seed: int = 0,
    update: str = "simultaneous",
    class_weight: Any = None,
    schedule: Any = "constant",
    clip_value: "float | None" = None,
    clip_norm: "float | None" = None,
    l1: float = 0.0,
    l2: float = 0.0,
    weight_decay: "float | None" = None,
    validation_data: Any = None,
    metrics: Any = (),
    patience: "int | None" = None,
    min_delta: float = 0.0,
    monitor: "str | None" = None,
    restore_best: bool = True,
    time_limit: "float | None" = None,
    callback: Any = None,
    callback_interval: Any = "epoch",
    progress: bool = False,
    resume: Any = None,
    threads: int = 1,
    **hyperparameters: float,
) -> Any:
    """Trains on data that need not fit into memory: each batch of an iterator is used once, and forgotten.

    batches gives (X, Y) or (X, Y, sample_weight); for slices of memory maps, no more than a slice is read. A batch
    is one update, or updates of batch_size samples each. An "epoch" is one pass over one batch: metrics are those of
    one batch, validation_data is looked at after each, and patience counts them. class_weight is a dictionary.
    Everything else is as for ``train``; the loss of the Result is that of the last batch.
    """
    if not isinstance(batches, Iterable):
        raise ValueError(f"batches must be an iterator of (X, Y) or (X, Y, sample_weight), not {batches!r}")
    if isinstance(class_weight, str):
        raise ValueError("class_weight must be a dictionary here: 'balanced' needs all of the data")
    shuffle = _flag("shuffle", shuffle)
    training = _Training(parameters, optimizer, learning_rate, seed, update, resume, hyperparameters, weight_decay)
    training.schedule(schedule, None)
    training.regularize(l1, l2, clip_value, clip_norm, 0.0)
    training.watch(_held_out(validation_data), metrics, monitor, patience, min_delta, restore_best)
    training.ask(callback, callback_interval, time_limit, progress, None)
    training.settle(threads)
    with training:
        for number, batch in enumerate(batches):
            data = _group(f"batch {number}", batch)
            data.weigh_classes(class_weight)
            training.use(data, _batch(batch_size, data.samples), shuffle)
            training.run(training.native.epochs + 1)
            if training.status != "completed":
                break
        if training.data is None:
            raise ValueError("batches is empty: give at least one (X, Y)")
        return training.finish()


def partial_fit(X: Any = None, Y: Any = None, result: Any = None, sample_weight: Any = None, **options: Any) -> Any:
    """One pass of updates over a batch, from where a Result of an earlier call ended: returns the next Result.

    The options are those of ``train_on_stream``; by default all samples make one update.
    """
    for key in ("resume", "batches"):
        if key in options:
            raise TypeError(f"partial_fit() got an unexpected argument {key!r}; give the Result as result")
    return train_on_stream([(X, Y, sample_weight)], resume=result, **options)

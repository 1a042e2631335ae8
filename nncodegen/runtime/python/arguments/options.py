"""The options of a training, each declared once: name, type, default, range, description, and its members in C.

The declarations in ``CheckedOptions`` determine the checks, the signatures and the documentation of ``train``,
``train_on_stream`` and ``minimize``, the names that no hyperparameter may have, and the members of the structure in C
(``runtime/c/nncodegen/train/options.h``). To add an option, declare it here, and use it in the C, or in ``run.py``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .declarations import ARRAY, FLAG, Kind, Member, Options, check_callback, option, optional, real, unchecked, whole
from .measures import Measure, bits_of, choose_metrics, column_of
from .scalars import COUNT, SEED, THREADS, number

if TYPE_CHECKING:
    from ..native.model import Model


def _check_shuffle(model: Model, name: str, value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True, False or None, not {value!r}")
    return None if value is None else bool(value)


def _check_update(model: Model, name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in ("simultaneous", "sequential"):
        raise ValueError(f"there is no update {value!r}; there are: simultaneous, sequential")
    return value


def _check_mode(model: Model, name: str, value: Any) -> str:
    if value not in ("auto", "min", "max"):
        raise ValueError(f"{name} must be 'auto', 'min' or 'max', not {value!r}")
    return str(value)


def _check_interval(model: Model, name: str, value: Any) -> str | float:
    if isinstance(value, str) and value == "epoch":
        return value
    if not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be 'epoch' or a number of milliseconds, not {value!r}")
    return number(model, name, value, 0.0, math.inf, True)


# --- the declarations --------------------------------------------------------------------------------------------


class CheckedOptions(Options):
    """The checked options of a training: the given values, and the defaults of all others."""

    X: Any = option(
        ARRAY,
        None,
        "(N, inputs), which may be sparse (of SciPy); the arrays of several inputs also in a list,\n"
        "in their order, or a dictionary; or a table, such as a DataFrame, whose columns are taken\n"
        "by the names of the inputs where it has these; nothing for a formula without inputs",
    )
    Y: Any = option(
        ARRAY,
        None,
        "(N, targets), or (N,) for one target, or arrays or a table as in X; for a categorical loss\n"
        "also the numbers of classes, (N,), or their names (``classes``)",
    )
    batches: Any = option(unchecked("Iterable[Any]"), None, "an iterator of (X, Y) or (X, Y, sample_weight)")
    parameters: Any = option(
        unchecked("ArrayLike | Mapping[Any, Any] | None"),
        None,
        "where to start: (P,), or {name: value} of some; by default initial_parameters(seed)",
    )
    method: Any = option(unchecked("str"), "L-BFGS-B", "any of SciPy's; those that take a gradient get it")
    optimizer: str = option(
        unchecked("str"),
        "sgd",
        "a name in ``optimizers``, which lists the hyperparameters of each; sgd takes momentum and\nnesterov, too",
    )
    learning_rate: float = option(unchecked("float"), 0.01, "the step for each gradient, above 0")
    epochs: int = option(whole(1, COUNT), 100, "how often every sample is used, at least 1")
    batch_size: int | None = option(
        optional(whole(1, COUNT)), None, "samples for one update; all of them by default, and where it is above N"
    )
    shuffle: bool | None = option(
        Kind("bool | None", _check_shuffle),
        None,
        "whether samples are shuffled anew in every epoch; by default, if there are several batches",
    )
    seed: int = option(
        whole(0, SEED), 0, "of the order, of the initial parameters, of dropout and noise, of what is held out"
    )
    update: str = option(
        Kind("str", _check_update),
        "simultaneous",
        '"simultaneous", or "sequential": one parameter at a time, the next with a new gradient',
        Member("int", "sequential", "update one parameter at a time", lambda s: s.update == "sequential"),
    )
    tolerance: float = option(
        real(0.0),
        0.0,
        "stop after an epoch in which no update changed a parameter by this much; 0 to go on",
        Member(
            "double",
            "tolerance",
            "stop when no parameter changed by this much in an epoch; 0: never",
            lambda s: s.tolerance,
        ),
    )

    sample_weight: Any = option(
        ARRAY,
        None,
        "(N,), what each sample counts; the gradient of a batch is that of its part of the weighted\nmean",
        section=True,
    )
    class_weight: Any = option(
        unchecked("dict[int, float] | str | None"),
        None,
        '{class: weight}, 1 for those left out, or "balanced": all classes count alike; times\nsample_weight',
    )
    classes: Any = option(
        unchecked("Sequence[str] | Sequence[int] | None"),
        None,
        "the names of the classes, texts or whole numbers, in the order of their outputs (of one\n"
        "target, those of 0 and 1), where Y holds names; by default, where Y holds texts, these in\n"
        "their order",
    )
    schedule: Any = option(
        unchecked("str | tuple[str, dict[str, Any]] | ArrayLike | Callable[[int], float]"),
        "constant",
        "of the learning rate: a name, (name, {parameter: number}), or an array of factors, one an\n"
        "epoch: constant; step (step_size, gamma), exponential (gamma), inverse (decay, power),\n"
        "which change from epoch to epoch; polynomial (final, power), cosine (final), one_cycle\n"
        "(rise, start, final), warm_up (epochs, start), which change from update to update; plateau\n"
        "(factor, patience, min_delta, cooldown, min_lr, monitor, mode), which lowers the rate\n"
        "where ``monitor`` does not get better. Or a function of the number of epochs done, from 0,\n"
        "which returns the factor of the next epoch",
    )
    clipvalue: float | None = option(
        optional(real(0.0, excludes_low=True)),
        None,
        "no value of the gradient is further from 0; after the penalties",
        Member("double", "clip_value", "the largest value of the gradient; 0: any", lambda s: s.clipvalue or 0.0),
    )
    clipnorm: float | None = option(
        optional(real(0.0, excludes_low=True)),
        None,
        "the norm of the whole gradient is not above (Keras's global_clipnorm); after clipvalue",
        Member("double", "clip_norm", "the largest norm of the gradient; 0: any", lambda s: s.clipnorm or 0.0),
    )
    l1: float = option(
        real(0.0),
        0.0,
        "adds the gradient of l1*sum |w| over the weights of layers, not their biases; of a\n"
        "formula, over all parameters; the reported loss is without it",
        Member("double", "l1", "adds the gradient of l1*sum |w|; 0: none", lambda s: s.l1),
    )
    l2: float = option(
        real(0.0),
        0.0,
        "adds the gradient of l2/2*sum w**2, in the same way",
        Member("double", "l2", "adds the gradient of l2/2*sum w**2; 0: none", lambda s: s.l2),
    )
    weight_decay: float | None = option(
        unchecked("float | None"),
        None,
        "takes learning_rate*weight_decay*p from every parameter p in an update, apart from the\n"
        "gradient; 0 by default, for adamw 0.01",
        Member(
            "double",
            "weight_decay",
            "takes learning_rate*weight_decay*p from every parameter p; 0: nothing",
            lambda s: s.weight_decay or 0.0,
        ),
    )

    validation_data: Any = option(
        unchecked("tuple[Any, ...] | None"),
        None,
        '(X, Y) or (X, Y, sample_weight), whose loss "val_loss" is computed after each epoch',
        section=True,
    )
    validation_split: float = option(
        real(0.0, 1.0), 0.0, "of the samples, at random by the seed, to be held out for that"
    )
    metrics: tuple[Measure, ...] = option(
        Kind("str | Iterable[Any] | Callable[..., float]", lambda model, name, value: choose_metrics(model, value)),
        (),
        'of "accuracy", "r2" and "mae" (mean absolute error): like "loss" they are those of the\n'
        "outputs that the updates of an epoch met, each before it changed the parameters, with\n"
        "dropout and noise: none are computed for them alone; with all samples in one batch, those\n"
        'of the parameters before the epoch. On the validation data ("val_accuracy", ...), those of\n'
        "the parameters after the epoch. class_weight does not count. Accuracy is that of the\n"
        "largest output where there are classes, else of each output on the right side of one half\n"
        "(of 0 for logits); r2 is averaged over outputs. All others are computed from predictions\n"
        'after each epoch, as scikit-learn does: "mse", "rmse", "mape" (a share, not per cent);\n'
        '"auc", "precision", "recall", "f1", of several classes the mean over these, or "f1_micro",\n'
        '"f1_weighted"; "top_3_accuracy"; or a function (y_true, y_pred) -> number, which is given\n'
        'sample_weight where it takes that; {"name": function} names it',
        Member("int", "metrics", "those to compute, a bit 1 << METRIC for each; 0: none", lambda s: bits_of(s.metrics)),
    )
    patience: int | None = option(
        optional(whole(1, 2**53)),
        None,
        "stop after this many epochs in which ``monitor`` was not better than its best by min_delta",
        Member(
            "size_t", "patience", "stop after this many epochs without a new best; 0: never", lambda s: s.patience or 0
        ),
    )
    min_delta: float = option(
        real(0.0),
        0.0,
        "what counts as better than the best",
        Member("double", "min_delta", "what counts as better", lambda s: s.min_delta),
    )
    monitor: str | None = option(
        unchecked("str | None"),
        None,
        'what tells the best epoch: by default "val_loss", without validation "loss"',
        Member(
            "int",
            "monitor",
            "the column that tells the best epoch; -1: none",
            lambda s: column_of(s.monitor, s.metrics),
        ),
        Member("int", "higher", "whether more of it is better", lambda s: s.mode == "max"),
    )
    mode: str = option(
        Kind("str", _check_mode),
        "auto",
        '"min" or "max": whether less or more of it is better; of a function of one\'s own, it must\nbe said',
    )
    restore_best_weights: bool = option(
        FLAG, True, "with patience or monitor, return the parameters of the best epoch, not of the last"
    )
    time_limit: float | None = option(
        optional(real(0.0, excludes_low=True)), None, "seconds after which to stop, also within an epoch"
    )
    callback: tuple[Callable[[Any], Any], ...] | None = option(
        optional(Kind("Callable[[Progress], Any] | Sequence[Callable[[Progress], Any]]", check_callback)),
        None,
        "a function of one argument, with the attributes epochs, updates, metrics, seconds and\n"
        "parameters, or several, which are called in turn; the training ends if one of them returns\n"
        "something true",
    )
    callback_interval: str | float = option(
        Kind("str | float", _check_interval),
        cast("str | float", "epoch"),
        '"epoch", or milliseconds between two calls, at least',
    )
    progress: bool = option(
        FLAG,
        False,
        "show a bar on the standard error (with the package rich, in a terminal or a notebook), or\nlines",
    )
    resume: Any = option(
        unchecked("Result | None"),
        None,
        "a Result: go on where it ended, until there are ``epochs`` in all. With the arguments it\n"
        "was made with, the outcome has the same bits as a training that was never stopped",
    )

    threads: int = option(
        whole(1, THREADS),
        1,
        "that share the samples of large batches, from about a thousand samples on, 1 to 64; the\n"
        "results do not depend on them",
        Member("size_t", "threads", "that share large batches; the results do not depend on them", lambda s: s.threads),
        section=True,
    )
    final_loss: bool = option(
        FLAG, True, "whether to evaluate the loss at the end; otherwise that of the Result is the last of its\nhistory"
    )
    history: bool = option(
        FLAG,
        True,
        "record the loss of each epoch; if False, the history is NaN, and the loss is not\n"
        "evaluated. Not with metrics, validation data, patience or monitor",
        Member(
            "int",
            "without_loss",
            "whether no loss is computed, and the history is NaN; only without metrics",
            lambda s: not s.history,
        ),
    )

    data: Any = option(
        unchecked("Mapping[str, Any] | None"),
        None,
        "in the place of X and Y, for a network with losses by name: {term: X}, or {term: (X, Y)}\n"
        "for a term with targets; X may be nncodegen.Points, which are drawn, Y a function of X",
        section=True,
    )
    loss_weights: Any = option(
        unchecked("Mapping[str, float] | None"),
        None,
        "{term: number}, what the mean of each term counts in the loss; 1 for those left out; one\n"
        "of weight 0 needs no data",
    )

    def members(self) -> dict[str, float]:
        """Return the members of the structure in C."""
        return {member.name: member.value(self) for member in MEMBERS}


OPTIONS = CheckedOptions.declared
"""The declarations by name, in the order of the signature of ``train``."""


def check_options(model: Model, **options: Any) -> tuple[Any, ...]:
    """Check options of ``train`` that another function has, too, and return them in order. Raises ValueError."""
    return tuple(OPTIONS[name].kind.check(model, name, value) for name, value in options.items())


MEMBERS = tuple(member for option in OPTIONS.values() for member in option.members)
"""The members of the structure in C."""

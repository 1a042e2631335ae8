"""Learning from a table: parts to train, to validate and to judge by; the training; the metrics against a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncodegen.describe.losses import LOSSES
from nncodegen.errors import TableError
from nncodegen.network import Description, module_of
from nncodegen.network.description import activation_text, loss_text
from nncodegen.table.columns import Column, Skipped, encode, gaps_in_numbers, understand
from nncodegen.table.metrics import Metric, measure
from nncodegen.table.model import TableModel
from nncodegen.table.read import Table
from nncodegen.table.target import Target, understand_target

FEWEST_ROWS = 10
"""With fewer rows, there is nothing to hold out."""


@dataclass(frozen=True)
class Settings:
    """How to learn. layers are the units of the hidden layers; loss is a name, a formula, or None to choose."""

    layers: tuple[int, ...] = (32, 16)
    activation: str = "relu"
    loss: str | None = None
    epochs: int = 1000
    patience: int = 30
    learning_rate: float = 0.003
    batch_size: int = 32
    l2: float = 1e-4
    seed: int = 0
    precision: str = "float64"


@dataclass(frozen=True)
class Understood:
    """What a table means: its target, the columns that are used and those that are not, and the rows without target."""

    target: Target
    columns: tuple[Column, ...]
    skipped: tuple[Skipped, ...]
    missing: dict[str, int]
    left_out: int


@dataclass(frozen=True)
class Fitted:
    """A model, how its training ended, and its metrics on rows that it has not seen."""

    model: TableModel
    epochs: int
    best_epoch: int
    status: str
    metrics: tuple[Metric, ...]
    held_out: int


def fit(
    table: Table,
    target: str,
    task: str | None = None,
    categories: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    settings: Settings | None = None,
    observe: Callable[[Understood], None] = lambda understood: None,
    progress: bool = False,
    keep: tuple[str, ...] = (),
) -> Fitted:
    """Learns to predict the column ``target`` from all others, or from those not in ``drop``.

    A fifth of the rows is held out for the metrics, a fifth of the rest tells when to stop; the model is that of the
    epoch in which it was best there. Columns are understood by the rows that are trained with; ``categories`` names
    those that hold categories, though they look like numbers, ``keep`` those to use though they identify rows.
    ``observe`` is told what was understood before the training. Raises TableError, ModelError and BuildError.
    """
    settings = settings or Settings()
    table, left_out = _with_target(table, target)
    for name in (*categories, *drop, *keep):
        table.require(name, "which is named as an option")
    understood_target = understand_target(table, target, task)
    training, validation, test = _split(table, understood_target, settings.seed)
    known = _rows(table, np.sort(np.concatenate([training, validation])))
    found = [
        understand(known, name, name in categories, name in keep, table)
        for name in table.columns
        if name != target and name not in drop
    ]
    columns = tuple(column for column in found if not isinstance(column, Skipped))
    skipped = tuple(column for column in found if isinstance(column, Skipped))
    missing = {column.name: int(table.missing(column.name, getattr(column, "gaps", ())).sum()) for column in columns}
    observe(Understood(understood_target, columns, skipped, {k: n for k, n in missing.items() if n}, left_out))
    if not columns:
        unused = "".join(f"; {column.name!r} is not used: {column.reason}" for column in skipped[:5])
        raise TableError(f"{table.path} has no column to predict {target!r} from{unused}")

    X, Y = encode(columns, table, unknown="ignore"), understood_target.encode(table)
    network = describe(understood_target, X.shape[1], settings)
    module = module_of(network)
    result = module.train(
        X[training], Y[training], optimizer="adam", learning_rate=settings.learning_rate, epochs=settings.epochs,
        batch_size=min(settings.batch_size, len(training)), seed=settings.seed, l2=settings.l2,
        validation_data=(X[validation], Y[validation]), patience=settings.patience, progress=progress,
    )  # fmt: skip
    outputs = module.predict(result.parameters, X[test]).astype(float)
    metrics = measure(understood_target, Y[np.concatenate([training, validation])], Y[test], outputs)
    report = {
        "rows": {"training": len(training), "validation": len(validation), "held out": len(test)},
        "epochs": result.epochs,
        "best epoch": result.best_epoch,
        "metrics": {metric.name: {"network": metric.network, metric.baseline: metric.simple} for metric in metrics},
    }
    model = TableModel(columns, understood_target, network, result.parameters, report)
    return Fitted(model, result.epochs, result.best_epoch or result.epochs, result.status, metrics, len(test))


def describe(target: Target, inputs: int, settings: Settings) -> Description:
    """The network for a target."""
    activation = activation_text(settings.activation, 1)
    layers = tuple((units, activation) for units in settings.layers)
    if not target.classes:
        loss = settings.loss or "mse"
        return Description(inputs, (*layers, (1, "linear")), _loss(loss, target), precision=settings.precision)
    output = "softmax" if target.outputs > 1 else "sigmoid"
    loss = settings.loss or ("categorical_crossentropy" if target.outputs > 1 else "binary_crossentropy")
    return Description(inputs, (*layers, (target.outputs, output)), _loss(loss, target), precision=settings.precision)


def _loss(loss: str, target: Target) -> str:
    """The name of a loss, or its formula. Raises TableError for one that is not for the target."""
    if loss not in LOSSES:
        return loss_text(loss)
    if loss == "hinge" or loss.endswith("_from_logits"):
        raise TableError(f"the loss {loss} is for outputs that are no probabilities: choose another")
    if loss.endswith("crossentropy") and not target.classes:
        raise TableError(f"the loss {loss} is for classes, but {target.name} is a number: choose another, such as mae")
    if loss == "poisson" and not target.classes:
        raise TableError("the loss poisson is for counts, not for the scaled numbers here: choose another, such as mae")
    if loss == "categorical_crossentropy" and target.outputs == 1:
        return "binary_crossentropy"
    return loss


def _with_target(table: Table, target: str) -> tuple[Table, int]:
    """The rows that have a target, and how many have none."""
    table.require(target, "the target")
    missing = table.missing(target, gaps_in_numbers(table, target))
    table = table.drop(missing)
    if len(table.frame) < FEWEST_ROWS:
        raise TableError(
            f"{table.path} has {len(table.frame)} rows with a value of {target!r}; at least {FEWEST_ROWS} are needed"
        )
    return table, int(missing.sum())


def _rows(table: Table, rows: Any) -> Table:
    return Table(table.frame.iloc[rows], table.path, table.delimiter)


def _split(table: Table, target: Target, seed: int) -> tuple[Any, Any, Any]:
    """The rows to train, to validate and to judge by, at random, every class in its share."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(table.frame))
    if target.classes:  # one class after the other: every fifth row is one of each, as near as can be
        texts = table.texts(target.name)
        order = order[np.argsort([target.classes.index(text) for text in texts[order]], kind="stable")]
    places = np.arange(len(order))
    test, rest = order[places % 5 == 2], order[places % 5 != 2]
    places = np.arange(len(rest))
    return np.sort(rest[places % 5 != 2]), np.sort(rest[places % 5 == 2]), np.sort(test)

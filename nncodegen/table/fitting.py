"""Learns from a table: compares candidates by cross-validation, averages the best, and measures on held-out rows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.errors import TableError
from nncodegen.formats.export import Exportable
from nncodegen.runtime.python.ground.missing import missing_package
from nncodegen.runtime.python.ground.renamed import renamed_attributes
from nncodegen.table.candidates import candidates_for, pieces_of
from nncodegen.table.choose import Choice, choose
from nncodegen.table.columns import (
    Column,
    Number,
    Skipped,
    encode,
    gaps_in_numbers,
    knotted,
    understand,
    widths,
    without_pieces,
)
from nncodegen.table.frames import as_table
from nncodegen.table.learn import learn
from nncodegen.table.metrics import ClassMetrics, Metric, class_metrics, confusion, measure
from nncodegen.table.read import Table
from nncodegen.table.search import Rows, Search, Tried, search, split_folds
from nncodegen.table.settings import Settings
from nncodegen.table.target import Target, scaled_by, understand_target
from nncodegen.table.trained import TableModel

FEWEST_ROWS = 10
"""The fewest rows of a table; with fewer it is an error, as some rows are held out."""


@dataclass(frozen=True)
class Understood:
    """The facts inferred from a table: target, used and skipped columns, missing cells, number of left-out rows."""

    target: Target
    columns: tuple[Column, ...]
    skipped: tuple[Skipped, ...]
    missing: dict[str, int]
    left_out: int


@renamed_attributes("0.3.0", write="save")
@dataclass(frozen=True)
class Fitted:
    """A model, the candidates that were tried and chosen, and metrics on rows that had no part in them.

    ``model`` has learned from all rows, ``measured``, the same average of candidates, without those that were held out.
    The metrics are those of ``measured`` on these. ``rows`` is the number of rows that it has learned from,
    ``held_out`` that of the others. ``confusion`` (classes, classes) counts the held-out rows by true class (row) and
    predicted class (column); it is None for regression.
    """

    model: TableModel
    measured: TableModel
    search: Search
    choice: Choice
    metrics: tuple[Metric, ...]
    classes: tuple[ClassMetrics, ...]
    confusion: Any
    rows: int
    held_out: int
    folds: int
    seconds: float

    def predict(self, data: Any, unknown: str = "error") -> pd.DataFrame:
        """Return the prediction for each row of a table, as ``TableModel.predict``."""
        return self.model.predict(data, unknown)

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, for ``load_model``."""
        self.model.save(folder)

    def exportable(self) -> Exportable:
        """Return the model, as ``nncodegen.export`` takes it."""
        return self.model.exportable()

    @property
    def worse_than_baseline(self) -> tuple[Metric, ...]:
        """Return the metrics in which the model is no better than the most frequent class, or the mean."""
        return tuple(metric for metric in self.metrics if not metric.beats_baseline)


def fit(
    data: Any,
    target: str,
    task: str | None = None,
    categories: Sequence[str] = (),
    drop: Sequence[str] = (),
    settings: Settings | None = None,
    observe: Callable[[Understood], None] = lambda understood: None,
    tell: Callable[[str], None] = lambda text: None,
    keep: Sequence[str] = (),
) -> Fitted:
    """Learn to predict the column ``target`` of a table from all others, or from those not in ``drop``.

    data        a DataFrame of pandas, the path of a file, or a Table of ``read_table``
    task        "classification" or "regression", instead of the guess from the target
    categories  columns that hold categories, though they look like numbers
    drop        columns to leave out
    settings    decisions that the search must not make by itself
    observe     a function that is called with the Understood of the table, before anything is tried
    tell        a function that is called with the name of the candidates that are tried next
    keep        columns to use, though they identify rows

    A fifth of the rows is held out for the metrics: it has no part in the choice. The rest is divided into five folds;
    each candidate learns without one fold and is measured on it, for each fold (from 2,000 rows on for two folds, with
    more than 20,000 rows for one). The best candidates are averaged, if that is better than the linear model by more
    than a standard error and, for classes, predicts the right one more often, by more than chance as well; otherwise
    the linear model is taken. If it predicts at most two rows wrong, nothing else is tried. What was chosen learns
    again from the rows that are not held out, which alone decide what columns mean until then, and is measured on the
    others. At last it learns once more, from all rows: this is the model. The result depends on the seed, but not on
    the number of threads.

    Raises TableError, ModelError, BuildError and MissingDependencyError.
    """
    begun = time.perf_counter()
    if find_spec("scipy") is None:
        raise missing_package("fit", "SciPy", "'nncodegen[table]'")
    settings = settings or Settings()
    categories, drop, keep = (
        (names,) if isinstance(names, str) else tuple(names) for names in (categories, drop, keep)
    )
    table, left_out = with_target(as_table(data), target)
    for name in (*categories, *drop, *keep):
        table.require(name, "which is named as an option")
    goal = understand_target(table, target, task)
    classes = bool(goal.classes)
    names = tuple(name for name in table.columns if name != target and name not in drop)
    rows, test = split_rows(table, goal, settings.seed)

    def understood_by(known: Table) -> tuple[Target, tuple[Column, ...], tuple[Skipped, ...]]:
        """Return what the target and the columns mean, judged by some rows."""
        understood = [understand(known, name, name in categories, name in keep, table) for name in names]
        pieces = pieces_of(len(rows), sum(isinstance(column, Number) for column in understood), settings)
        columns = tuple(knotted(column, known, pieces) for column in understood if not isinstance(column, Skipped))
        skipped = tuple(column for column in understood if isinstance(column, Skipped))
        if not columns:
            unused = "".join(f"; {column.name!r} is not used: {column.reason}" for column in skipped[:5])
            raise TableError(f"{table.path} has no column to predict {target!r} from{unused}")
        return goal if classes else scaled_by(known, goal), columns, skipped

    def data_of(understood: Target, columns: tuple[Column, ...], part: Any) -> tuple[Any, Any, Any]:
        """Return the inputs and targets of all rows, and the weights of some of them."""
        weight = _weights(table, understood, settings.class_weight, part)
        return encode(columns, table, unknown="ignore"), understood.encode(table), weight

    every = np.arange(len(table.frame))
    final, final_columns, skipped = understood_by(table)
    missing = {c.name: int(table.missing(c.name, getattr(c, "gaps", ())).sum()) for c in final_columns}
    observe(Understood(final, final_columns, skipped, {k: n for k, n in missing.items() if n}, left_out))
    understood, columns, _ = understood_by(_rows(table, rows))
    X, Y, weight = data_of(understood, columns, rows)
    whole = settings.layers is not None or not widths(columns)[0]
    plain, full = _widths(columns, whole)
    tried = candidates_for(understood, len(rows), plain, settings, full - plain)
    learned = Rows(X[rows], Y[rows], weight, split_folds(Y[rows], classes, tried, settings.seed))
    deadline = begun + settings.time_limit if settings.time_limit else np.inf
    threads = settings.threads or cores()
    result = search(tried, learned, classes, settings.seed, threads, deadline, tell)
    if not result.tried:
        raise _nothing_learned(result, settings)
    choice = choose(result, learned.Y[result.rows])
    members = learn(choice, tried.rounds, X[rows], Y[rows], weight, (plain, full), settings.seed, threads)
    measured = TableModel(columns, understood, members)
    outputs = measured.outputs_of(X[test])
    metrics = measure(understood, Y[rows], Y[test], outputs)
    counts = confusion(understood, Y[test], outputs) if classes else None
    report = {
        "rows": {"learned": len(rows), "held out": len(test), "folds": tried.used},
        "candidates": [_report_of_candidate(candidate, choice) for candidate in result.tried],
        "metrics": {metric.name: {"network": metric.network, metric.baseline: metric.simple} for metric in metrics},
        "confusion": None if counts is None else counts.tolist(),
    }
    X, Y, weight = data_of(final, final_columns, every)
    members = learn(choice, tried.rounds, X, Y, weight, _widths(final_columns, whole), settings.seed, threads)
    if all(member.network.inputs == widths(final_columns)[0] for member in members):
        final_columns = tuple(map(without_pieces, final_columns))
    return Fitted(
        TableModel(final_columns, final, members, report),
        measured,
        result,
        choice,
        metrics,
        class_metrics(understood, counts) if classes else (),
        counts,
        len(rows),
        len(test),
        tried.used,
        time.perf_counter() - begun,
    )


def _widths(columns: tuple[Column, ...], whole: bool) -> tuple[int, int]:
    """Return the number of inputs of candidates without the numbers of pieces and texts, and with them.

    All candidates have all inputs if ``whole`` says so, or if there are no others. The first is so if a user has named
    the layers: then there are no pieces.
    """
    plain, full = widths(columns)
    return (full, full) if whole or not plain else (plain, full)


def _nothing_learned(result: Search, settings: Settings) -> TableError:
    """Return the error for a search without results."""
    if result.out_of_time:
        return TableError(f"nothing was learned within {settings.time_limit:g} s: allow more time")
    return TableError(
        "nothing was learned: every loss is infinite, or no number; choose another loss or activation, or a lower "
        "learning rate"
    )


def _report_of_candidate(candidate: Tried, choice: Choice) -> dict[str, Any]:
    """Return what a report says about a candidate."""
    return {
        "candidate": candidate.name,
        "epochs": candidate.epochs,
        "loss": candidate.loss,
        "error": candidate.error,
        "weight": choice.weight(candidate),
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _weights(table: Table, target: Target, class_weights: str | Mapping[str, float] | None, rows: Any) -> Any:
    """Return the weights of the rows by class, with a mean of 1: (rows,), or None. Raises TableError."""
    if class_weights is None:
        return None
    if not target.classes:
        raise TableError(f"class_weight is for classes, but {target.name} is a number")
    texts = table.texts(target.name)[rows]
    counts = {name: int((texts == name).sum()) for name in target.classes}
    if isinstance(class_weights, str):
        by_class = {name: 1 / count for name, count in counts.items() if count}
    else:
        for name in class_weights:
            if str(name) not in target.classes:
                raise TableError(f"there is no class {name!r} of {target.name}; there are: {', '.join(target.classes)}")
        by_class = {str(name): float(weight) for name, weight in class_weights.items()}
    weights = np.array([by_class.get(text, 1.0) for text in texts])
    if not weights.sum() > 0:
        raise TableError("all classes that occur have the weight 0: give one of them more")
    return weights / weights.mean()


def with_target(table: Table, target: str) -> tuple[Table, int]:
    """Return the rows that have a target, and the number of the other rows. Raises TableError for too few rows."""
    table.require(target, "the target")
    missing = table.missing(target, gaps_in_numbers(table, target))
    table = table.drop(missing)
    if len(table.frame) < FEWEST_ROWS:
        raise TableError(
            f"{table.path} has {len(table.frame)} rows with a value of {target!r}; at least {FEWEST_ROWS} are needed"
        )
    return table, int(missing.sum())


def _rows(table: Table, rows: Any) -> Table:
    return replace(table, frame=table.frame.iloc[rows])


def split_rows(table: Table, target: Target, seed: int) -> tuple[Any, Any]:
    """Return a random split into rows to learn from and rows to hold out; both have similar shares of each class."""
    order = np.random.default_rng(seed).permutation(len(table.frame))
    if target.classes:  # sorted by class, so that every fifth row takes about a fifth of each class
        texts = table.texts(target.name)
        order = order[np.argsort([target.classes.index(text) for text in texts[order]], kind="stable")]
    held_out = np.arange(len(order)) % 5 == 2
    return np.sort(order[~held_out]), np.sort(order[held_out])

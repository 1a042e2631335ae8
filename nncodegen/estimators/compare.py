"""The command ``compare``: compares the estimators with those of scikit-learn, on its data sets."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from nncodegen.runtime.python.ground.missing import needed

with needed("nncodegen.estimators", "scikit-learn", "'nncodegen[sklearn]'"):
    import sklearn  # noqa: F401

from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from nncodegen.errors import TableError
from nncodegen.estimators.classifier import NNClassifier
from nncodegen.estimators.regressor import NNRegressor

DATASETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")


@dataclass(frozen=True)
class Row:
    """The results for a data set: for both estimators the scores (seeds,) and the seconds of each fit (seeds,)."""

    name: str
    score: str
    theirs: tuple[Any, Any]
    ours: tuple[Any, Any]

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        (their_scores, their_seconds), (our_scores, our_seconds) = self.theirs, self.ours
        return (
            f"{self.name}, {self.score}",
            _figure(their_scores),
            _figure(our_scores),
            f"{np.median(their_seconds):.3f} s",
            f"{np.median(our_seconds):.3f} s",
            f"{np.median(their_seconds) / np.median(our_seconds):.1f}",
        )


HEADER = ("", "MLP score", "NN score", "MLP fit", "NN fit", "times as fast")


def compare(name: str, seeds: int, max_iter: int) -> Row:
    """Fit both estimators, with the same parameters, on random halves of a data set, once for each seed.

    The score on the other half is the accuracy, or R2. Features are standardized, and so are numeric targets. The time
    does not include the build of the module.
    The time does not include the build of the module.
    """
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    classifies = name != "diabetes"
    pair = (MLPClassifier, NNClassifier) if classifies else (MLPRegressor, NNRegressor)
    theirs, ours = (cls(max_iter=max_iter) for cls in pair)
    scores: list[list[tuple[float, float]]] = [[], []]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # both may reach max_iter
        for seed in range(-1, seeds):  # the first run is not counted: it builds the module, and warms up
            parts = train_test_split(X, y, test_size=0.5, random_state=max(seed, 0), stratify=y if classifies else None)
            scaler = StandardScaler().fit(parts[0])
            X_train, X_test = scaler.transform(parts[0]), scaler.transform(parts[1])
            y_train, y_test = parts[2:]
            if not classifies:  # otherwise neither could get from 0 to the mean of the targets in max_iter epochs
                y_train, y_test = ((part - y_train.mean()) / y_train.std() for part in (y_train, y_test))
            for estimator, figures in zip((theirs, ours), scores, strict=True):
                fresh = clone(estimator).set_params(random_state=max(seed, 0))
                start = time.perf_counter()
                fresh.fit(X_train, y_train)
                figures.append((fresh.score(X_test, y_test), time.perf_counter() - start))
    both = [(np.array([s for s, _ in part[1:]]), np.array([t for _, t in part[1:]])) for part in scores]
    return Row(name, "accuracy" if classifies else "R2", both[0], both[1])


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run(names: Sequence[str], seeds: int, max_iter: int) -> None:
    """Compare on the named data sets, or on all, and print the table. Raises TableError for an unknown name."""
    for name in names:
        if name not in DATASETS:
            raise TableError(f"there is no data set {name!r}; there are: {', '.join(DATASETS)}")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tracked = progress.track(names or DATASETS, description="comparing")
        rows = [compare(name, seeds, max_iter) for name in tracked]
    print(table(rows))


def _figure(scores: Any) -> str:
    """Return the mean with its standard error, as a text."""
    return f"{scores.mean():.4f} ± {scores.std(ddof=1) / np.sqrt(len(scores)):.4f}"

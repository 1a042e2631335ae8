"""Many trainings or fits for the report: how each of them ended, and details of the best one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.errors import ModelError
from nncodegen.reports.outcome import Outcome, Spread

Array = NDArray[np.float64]

MOST = 20
"""The most parameters whose values over all models are shown; networks have more, and none are shown."""


def is_of_many(result: Any) -> bool:
    """Return whether a result is that of many models or fits, with a row of parameters for each."""
    parameters: Any = getattr(result, "parameters", None)
    return hasattr(result, "status") and np.ndim(parameters) == 2


def best_of(result: Any) -> int:
    """Return the index of the model with the lowest loss, or of the fit with the lowest chi2. Raises ModelError."""
    losses = _losses(result)
    if not np.isfinite(losses).any():
        raise ModelError(
            "none of the models has a finite loss: a report needs one that was trained without a divergence"
        )
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))


def data_of_best(given: Any, result: Any) -> Any:
    """Return the data of the best model, where (X, Y) has an axis for the models; other data unchanged."""
    if not (isinstance(given, tuple) and len(given) == 2):
        return given
    best, count = best_of(result), len(result.parameters)
    X, Y = (None if each is None else np.asarray(each) for each in given)
    rows = count if X is None else X.shape[-2] if X.ndim > 1 else len(X)
    flat = Y is not None and hasattr(result, "chi2") and Y.shape == (count, rows)  # one target, as in fit_many
    X = X[best] if X is not None and X.ndim == 3 and len(X) == count else X
    Y = Y[best] if Y is not None and (flat or (Y.ndim == 3 and len(Y) == count)) else Y
    return X, Y


def outcome_of_many(result: Any, names: list[str], before: Array, drawn: bool) -> Outcome:
    """Return the outcome of all models, with the parameters of the best: the one of the lowest loss, or chi2."""
    best, losses = best_of(result), _losses(result)
    known, fits = losses[np.isfinite(losses)], hasattr(result, "chi2")
    what, figure = ("fits", "chi2") if fits else ("models", "loss")
    figures = [(what, f"{len(losses):,}"), *((str(s), f"{n:,}") for s, n in Counter(result.status).most_common())]
    quantiles = zip(("lowest", "median", "highest"), np.quantile(known, (0, 0.5, 1)), strict=True)
    figures += [(f"{word} {figure}", f"{value:.4g}") for word, value in quantiles]
    about = (
        f"{len(losses):,} {what} at once. Number {best + 1:,} of them has the lowest {figure}: what is drawn of "
        f"parameters and outputs is of this one."
    )
    after = np.asarray(result.parameters[best], float)
    return Outcome(
        "many", before, after, figures, _history(result), drawn=drawn, about=about,
        spreads=_spreads(np.asarray(result.parameters, float), names, best),
    )  # fmt: skip


def _losses(result: Any) -> Array:
    return np.asarray(result.chi2 if hasattr(result, "chi2") else result.loss, float)


def _history(result: Any) -> dict[str, Array]:
    """Return the median, lowest and highest loss of each epoch, over the models that had not ended before it."""
    history = getattr(result, "history", None)
    if history is None:
        return {}
    rows = np.asarray(history, float)
    rows = rows[np.isfinite(rows).any(axis=1)]
    if not len(rows):
        return {}
    rows = np.where(np.isfinite(rows), rows, np.nan)
    found = np.nanquantile(rows, (0.5, 0, 1), axis=1)
    return {f"{word} loss": values for word, values in zip(("median", "lowest", "highest"), found, strict=True)}


def _spreads(parameters: Array, names: list[str], best: int) -> list[Spread]:
    """Return the values of each parameter over all models; an empty list if there are many parameters."""
    finite = parameters[np.isfinite(parameters).all(axis=1)]
    if len(names) > MOST:
        return []
    low, middle, high = np.quantile(finite, (0.05, 0.5, 0.95), axis=0)
    return [
        Spread(name, *map(float, (parameters[best, k], low[k], middle[k], high[k]))) for k, name in enumerate(names)
    ]

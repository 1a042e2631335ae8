"""Many trainings or fits for the report: how each of them ended, and details of the best one."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nncodegen.errors import ModelError
from nncodegen.reports.outcome import Outcome, tables_of_fit
from nncodegen.reports.plots import ACCENT, SECOND, Plot, picture

Array = NDArray[np.float64]


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


def data_of_best(data: Any, result: Any) -> Any:
    """Return the data of the best model, where (X, Y) has an axis for the models; other data unchanged."""
    if not (isinstance(data, tuple) and len(data) == 2):
        return data
    best, count = best_of(result), len(result.parameters)
    X, Y = (None if each is None else np.asarray(each) for each in data)
    rows = count if X is None else X.shape[-2] if X.ndim > 1 else len(X)
    flat = Y is not None and hasattr(result, "chi2") and Y.shape == (count, rows)  # one target, as in fit_many
    X = X[best] if X is not None and X.ndim == 3 and len(X) == count else X
    Y = Y[best] if Y is not None and (flat or (Y.ndim == 3 and len(Y) == count)) else Y
    return X, Y


def outcome_of_many(result: Any, before: Array, drawn: bool) -> Outcome:
    """Return the outcome of all models, with the parameters of the best: the one of the lowest loss, or chi2."""
    best, losses = best_of(result), _losses(result)
    fits = hasattr(result, "chi2")
    what, figure = ("fits", "chi2") if fits else ("models", "loss")
    about = (
        f"{len(losses):,} {what} at once. Number {best} of them, counted from 0, has the lowest {figure}, "
        f"{losses[best]:.4g}: what is drawn of parameters and outputs is of this one."
    )
    tables, fit = [Markup(result._repr_html_())], _fit(result, best) if fits else None
    if fit is not None:
        tables += tables_of_fit(fit)
    after = np.asarray(result.parameters[best], float)
    return Outcome("many", before, after, tables, _history(result), fit, about=about, drawn=drawn)


def _fit(result: Any, place: int) -> Any:
    """Return one of many fits with all that a single one has; None where its data are not known."""
    try:
        return result[place]
    except ValueError:
        return None


def _losses(result: Any) -> Array:
    """Return the loss of each model, or the chi2 of each fit, (M,); NaN for a fit without data."""
    if hasattr(result, "chi2"):
        return np.where(result.data > 0, result.chi2, np.nan)
    return np.asarray(result.loss, float)


def _history(result: Any) -> list[Plot]:
    """Return the picture of the losses of all models over the epochs; an empty list if they were not kept."""
    history = getattr(result, "history", None)
    if history is None or not np.isfinite(history).any():
        return []
    trained = np.asarray(history, float)[np.isfinite(history).any(axis=1)]
    first, last = (float(np.nanmedian(row)) for row in trained[[0, -1]])
    about = f"The median loss goes from {first:.4g} in the first epoch to {last:.4g} in the last."

    def draw(axes: Any) -> None:
        result.plot(axes[0])

    return [picture("history", "Losses over the epochs", about, draw, (3.0,), color=(SECOND, ACCENT))]

"""Results as tables of pandas, which is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .fit_result import FitResult
    from .many_fits import ManyFits
    from .result import ManyResult, Result

ERROR = "_error"
"""The suffix of the columns of standard errors, after the name of the parameter."""


def _frame(columns: Mapping[str, Any], index: Sequence[Any] | None = None, index_name: str | None = None) -> Any:
    """Return a DataFrame. Raises ImportError without pandas."""
    try:
        from pandas import DataFrame, Index  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise ImportError(
            "to_frame needs pandas, which is not installed: python -m pip install pandas"
        ) from error  # fmt: skip
    return DataFrame(dict(columns), index=None if index is None else Index(index, name=index_name))


def _joined(parameters: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of parameters and of figures. Raises ValueError where two have one name."""
    twice = [name for name in figures if name in parameters]
    if twice:
        raise ValueError(f"a parameter is called {twice[0]}, as a column of the table is: give it another name")
    return parameters | figures


def frame_of_fit(result: FitResult) -> Any:
    """Return a row for each parameter: value, standard_error, start, free, at_bound; indexed by their names."""
    columns = {
        "value": result.parameters,
        "standard_error": result.standard_errors,
        "start": result.start,
        "free": result.free,
        "at_bound": result.at_bound,
    }
    return _frame(columns, result.names, "parameter")


def frame_of_fits(fits: ManyFits) -> Any:
    """Return a row for each fit: each parameter and its standard error, then how the fit ended.

    A fit without data has no parameters: they are NaN.
    """
    columns: dict[str, Any] = {}
    without = fits.data == 0
    for number, name in enumerate(fits.names):
        columns[name] = np.where(without, np.nan, fits.parameters[:, number])
        columns[f"{name}{ERROR}"] = np.where(without, np.nan, fits.standard_errors[:, number])
    columns = _joined(columns, {
        "data": fits.data.astype(np.int64),
        "chi2": fits.chi2,
        "reduced_chi2": fits.reduced_chi2,
        "iterations": fits.iterations.astype(np.int64),
        "status": fits.status,
    })  # fmt: skip
    return _frame(columns, range(len(fits)), "fit")


def frame_of_training(result: Result) -> Any:
    """Return a row for each epoch, counted from 1: all figures that were measured, and the learning rate."""
    columns = dict(result.metrics)
    rates = result.learning_rate
    if rates is not None:
        columns["learning_rate"] = rates
    return _frame(columns, range(1, result.epochs + 1), "epoch")


def frame_of_trainings(result: ManyResult) -> Any:
    """Return a row for each model: its parameters by name, loss, epochs and status."""
    parameters = dict(zip(result.names, result.parameters.T, strict=True))
    columns = _joined(parameters, {"loss": result.loss, "epochs": result.epochs, "status": result.status})
    return _frame(columns, range(len(result.status)), "model")

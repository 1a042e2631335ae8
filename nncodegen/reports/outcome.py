"""A training or a fit for the report: its figures, its history, and the parameters before and after."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.errors import ModelError
from nncodegen.exports.initial import start_of
from nncodegen.ir import Program
from nncodegen.reports.given import parameters_in
from nncodegen.runtime.python.results.saved import read_figures

Array = NDArray[np.float64]
Bands = Callable[[Array], tuple[Array, Array, Array]]
"""A function from rows of inputs to the outputs, and the lower and upper ends of their intervals."""


@dataclass(frozen=True)
class ParameterRow:
    """A parameter of a fit: its value, its standard error, its interval, and its start."""

    name: str
    value: float
    error: float
    interval: tuple[float, float] | None
    start: float


@dataclass(frozen=True)
class Spread:
    """A parameter of many models: its value in the best, and its 5 %, 50 % and 95 % quantiles over all models."""

    name: str
    best: float
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """The contents of a result. ``history`` has a curve for each figure that was measured in each epoch."""

    kind: str
    before: Array
    after: Array
    figures: list[tuple[str, str]]
    history: dict[str, Array] = field(default_factory=dict)
    rates: Array | None = None
    """The learning rate of each epoch, if steps have one and it is known."""
    rows: list[ParameterRow] = field(default_factory=list)
    bands: Bands | None = None
    sigma: Any = None
    message: str = ""
    about: str = ""
    """A description in words, where the kind is not enough."""
    spreads: list[Spread] = field(default_factory=list)
    drawn: bool = False
    """Whether the parameters before are those of the seed 0, as the result does not say where it began."""


def outcome_of(result: Any, program: Program) -> Outcome | None:
    """Return the outcome of a Result, a FitResult, the file of one, or parameters; None without. Raises ModelError."""
    if result is None:
        return None
    after = parameters_in(result, program)
    assert after is not None
    before, drawn = before_of(program)
    if hasattr(result, "standard_errors"):
        return _fit(result, program, after)
    if isinstance(result, str | PathLike):
        result = _saved(Path(result), program)
    if result is None or not hasattr(result, "metrics"):
        return Outcome("parameters", before, after, [("parameters", f"{len(after):,}")], drawn=drawn)
    figures = [
        ("status", result.status), ("epochs", f"{result.epochs:,}"), ("loss at the end", f"{result.loss:.4g}"),
        *([("best epoch", f"{result.best_epoch:,}")] if result.best_epoch else []),
        *([("seconds", f"{result.seconds:.3g}")] if result.seconds else []),
    ]  # fmt: skip
    rates = None if result.learning_rate is None else np.asarray(result.learning_rate, float)
    if rates is not None and len(rates) and (rates == rates[0]).all():
        figures.insert(2, ("learning rate", f"{rates[0]:.4g}"))
    history = {
        name: np.asarray(values, float)
        for name, values in result.metrics.items()
        if len(values) and np.isfinite(np.asarray(values, float)).any()
    }
    return Outcome("training", before, after, figures, history, rates, drawn=drawn)


def before_of(program: Program) -> tuple[Array, bool]:
    """Return the parameters with which a training begins, and whether they are random, drawn from the seed 0."""
    drawn = any(tensor.initial.distribution not in ("constant", "given") for tensor in program.parameters)
    return np.asarray(start_of(program), float), drawn


def _fit(result: Any, program: Program, after: Array) -> Outcome:
    """Return the outcome of a fit: parameters with their errors, and measures of its quality."""
    intervals = _intervals(result)
    rows = [
        ParameterRow(name, value, error, intervals[k] if intervals else None, start)
        for k, (name, value, error, start) in enumerate(
            zip(result.names, result.parameters, result.standard_errors, result.start, strict=True)
        )
    ]
    figures = [
        ("status", result.status), ("iterations", f"{result.iterations:,}"),
        ("evaluations", f"{result.evaluations:,}"), ("residuals used", f"{result.used:,}"),
        ("degrees of freedom", f"{result.degrees_of_freedom:,}"),
        *(
            (name, _number(value))
            for name, value in (
                ("chi2", result.chi2), ("reduced chi2", result.reduced_chi2), ("R2", result.r2), ("AIC", result.aic),
                ("BIC", result.bic),
            )
            if math.isfinite(value)
        ),
    ]  # fmt: skip
    several = np.size(result._sigma) > 1 if result._sigma is not None else False
    sigma = None if result._sigma is None else result._sigma if not several else np.asarray(result._sigma, float)
    return Outcome(
        "fit", np.asarray(result.start, float), after, figures, rows=rows, bands=_bands(result), sigma=sigma,
        message=result.message,
    )  # fmt: skip


def _intervals(result: Any) -> list[tuple[float, float]] | None:
    """Return intervals of 95 % for the parameters; None without SciPy, or where a fit has none."""
    try:
        return [(float(low), float(high)) for low, high in result.confidence_intervals()]
    except (ImportError, ValueError):
        return None


def _bands(result: Any) -> Bands | None:
    """Return the function that computes the band of a fit; None where it has none."""

    def bands(X: Array) -> tuple[Array, Array, Array]:
        middle, low, high = result.predict(X, "confidence")
        return np.asarray(middle, float), np.asarray(low, float), np.asarray(high, float)

    try:
        probe = np.asarray(result._X if result._X is not None else np.empty((1, 0)), float)
        bands(probe.reshape(len(probe), -1)[:1])
    except (ImportError, ValueError):
        return None
    return bands


@dataclass(frozen=True)
class _Saved:
    """A Result that was saved in a file, without the state that a training needs to go on."""

    status: str
    epochs: int
    loss: float
    best_epoch: int
    seconds: float
    metrics: dict[str, Array]
    learning_rate: Array | None


def _saved(path: Path, program: Program) -> _Saved | None:
    """Return the Result in a file; None if it holds only parameters. Raises ModelError if it is of another model."""
    try:
        with path.open("rb") as file:
            arrays = read_figures(file)
    except Exception as error:  # a damaged archive may raise any error
        raise ModelError(f"{path} is damaged: {error}") from error
    if arrays is None:
        return None
    if str(arrays["identity"]) != program.identity:
        raise ModelError(
            f"{path} is the result of another model, or of another precision: give the model that it was saved for"
        )
    loss, seconds = map(float, arrays["numbers"])
    metrics = dict(zip(map(str, arrays["names"]), arrays["figures"], strict=True))
    status, best, rates = str(arrays["status"][0]), int(arrays["best_epoch"]), arrays.get("learning_rate")
    return _Saved(status, len(next(iter(metrics.values()), [])), loss, best, seconds, metrics, rates)


def _number(value: float) -> str:
    return f"{value:.6g}"

"""A fit as a picture, drawn by matplotlib: data, curve and band, and the weighted residuals below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import slices
from ..ground.pictures import curve_above_residuals
from .goodness import per_value
from .intervals import predict_with_interval

if TYPE_CHECKING:
    from ..ground.types import Array
    from .fitted import Fitted

POINTS = 400
"""The number of points of a curve."""


def plot(result: Fitted, axes: Any, interval: str | None, level: float) -> Any:
    """Draw a fit on two axes. Returns their figure."""
    if result.residuals is None:
        raise ValueError("there are no residuals to draw: the loss of the model is no sum of squares")
    if axes is None:
        axes = curve_above_residuals()
    elif np.size(axes) != 2:
        raise ValueError("a fit is drawn on two axes of matplotlib, one above the other: give axes=(upper, lower)")
    upper, lower = np.ravel(axes)
    draw(result, upper, lower, interval, level)
    lower.axhline(0, color="black", lw=1)
    lower.set_xlabel(abscissa(result))
    lower.set_ylabel("residual" if result._sigma is None else "residual / sigma")
    upper.set_ylabel(ordinate(result))
    upper.set_title(result._model.name)
    upper.legend()
    return upper.figure


def draw(result: Fitted, upper: Any, lower: Any | None, interval: str | None, level: float) -> None:
    """Draw the data of a fit and its outputs, and its residuals on other axes.

    Outputs over times are drawn over these. The abscissa of others is the input if there is one; with several inputs,
    the targets are drawn against the outputs, beside the line on which they are equal.
    """
    if result._model.facts.samples.over_times:
        draw_trajectories(result, upper, lower, interval, level)
        return
    X = draw_data(result, upper, lower)
    if X is not None and X.shape[1] == 1:
        draw_curves(result, upper, X[:, 0], interval, level, len(result._model.output_names) > 1)


def abscissa(result: Any) -> str:
    """Return the name of what the data of a fit are drawn over."""
    facts = result._model.facts
    if facts.samples.over_times:
        return facts.samples.rising[0] if facts.samples.rising else "time"
    names = result._model.input_names
    return names[0] if len(names) == 1 else "output" if names else "sample"


def ordinate(result: Any) -> str:
    """Return the names of the data of a fit."""
    facts = result._model.facts
    return ", ".join(
        [name for name, _ in facts.samples.outputs] if facts.samples.over_times else result._model.target_names
    )


def draw_trajectories(result: Fitted, upper: Any, lower: Any | None, interval: str | None, level: float) -> None:
    """Draw data and outputs over the times of all samples, with a band around each, and the residuals on other axes."""
    residuals = result.residuals
    assert residuals is not None  # the callers know
    model: Any = result._model
    facts = model.facts
    X = None if result._X is None else np.asarray(result._X, float).reshape(len(result._Y), -1)
    sigma = per_value(result._sigma, residuals.shape)
    observed = np.where(np.isnan(residuals), np.nan, np.asarray(result._Y, float))
    count = residuals.shape[1] // len(facts.samples.outputs)
    if X is None or not facts.samples.rising:
        times = np.tile(np.arange(float(count)), (len(observed), 1))
    else:
        times = X[:, dict(slices(facts.samples.inputs))[facts.samples.rising[0]]]
    ends: Any = None
    if X is None:
        outputs = observed + residuals * sigma
    elif interval is None:
        outputs = np.asarray(model.predict(result.parameters, X), float)
    else:
        own_sigma = result._sigma if interval == "prediction" and np.ndim(result._sigma) else None
        outputs, *ends = predict_with_interval(result, X, interval, level, own_sigma)
    several = len(facts.samples.outputs) > 1
    for place, (name, _) in enumerate(facts.samples.outputs):
        columns = slice(place * count, (place + 1) * count)
        label, color = f"{name}, " if several else "", f"C{place}"
        bars = None if result._sigma is None else sigma[:, columns].ravel()
        upper.errorbar(
            times.ravel(),
            observed[:, columns].ravel(),
            bars,
            fmt="o",
            ms=4,
            color=color,
            alpha=0.6,
            label=f"{label}data",
        )
        if lower is not None:
            lower.plot(times.ravel(), residuals[:, columns].ravel(), "o", ms=4, color=color, alpha=0.6)
        color, at = color if several else "C1", _apart(times)
        upper.plot(at, _apart(outputs[:, columns]), color=color, lw=1.5, label=f"{label}fit")
        if ends is not None and np.isfinite(ends[1][:, columns]).all():
            text = f"{label}{100 * level:g} % {interval}"
            upper.fill_between(at, *(_apart(end[:, columns]) for end in ends), color=color, alpha=0.2, lw=0, label=text)


def _apart(rows: Array) -> Array:
    """Return the values of all rows, with a NaN after each, at which a line is interrupted."""
    return np.pad(rows, ((0, 0), (0, 1)), constant_values=np.nan).ravel()


def draw_data(result: Fitted, upper: Any, lower: Any | None) -> Array | None:
    """Draw the data of a fit, and its residuals on other axes. Returns the inputs (N, inputs), None if there are none.

    With several inputs the targets are drawn against the outputs, beside the line on which they are equal.
    """
    residuals = result.residuals
    assert residuals is not None  # the callers know
    model = result._model
    X = None if result._X is None else np.asarray(result._X, float).reshape(len(result._Y), -1)
    sigma = per_value(result._sigma, residuals.shape)
    observed = np.where(np.isnan(residuals), np.nan, np.asarray(result._Y, float))
    outputs = observed + residuals * sigma
    several = len(model.output_names) > 1
    for column, name in enumerate(model.output_names):
        color, label = f"C{column}", f"{name}, " if several else ""
        if X is not None and X.shape[1] > 1:
            at = outputs[:, column]
        else:
            at = np.arange(len(observed)) if X is None else X[:, 0]
        bars = None if result._sigma is None else sigma[:, column]
        upper.errorbar(at, observed[:, column], bars, fmt="o", ms=4, color=color, alpha=0.6, label=f"{label}data")
        if lower is not None:
            lower.plot(at, residuals[:, column], "o", ms=4, color=color, alpha=0.6)
    if X is not None and X.shape[1] > 1:
        ends = [np.nanmin(outputs), np.nanmax(outputs)]
        upper.plot(ends, ends, color="black", lw=1, label="target = output")
    return X


def draw_curves(result: Fitted, upper: Any, x: Array, interval: str | None, level: float, several: bool) -> None:
    """Draw the outputs over the range of one input, with a band around each."""
    grid = grid_over(x)
    if interval == "prediction" and np.ndim(result._sigma):
        raise ValueError(
            "the fit had a sigma for each of its data, and the curve between them has none for a prediction interval: "
            "draw interval='confidence' or None, or call predict with the sigma of new observations"
        )
    if interval is None:
        model: Any = result._model
        outputs, ends = model.predict(result.parameters, grid[:, None]), None
    else:
        outputs, *ends = predict_with_interval(result, grid[:, None], interval, level, None)
    for column, name in enumerate(result._model.output_names):
        color, label = f"C{column}" if several else "C1", f"{name}, " if several else ""
        upper.plot(grid, outputs[:, column], color=color, lw=1.5, label=f"{label}fit")
        if ends is not None and np.isfinite(ends[1][:, column]).all():
            text = f"{label}{100 * level:g} % {interval}"
            upper.fill_between(grid, ends[0][:, column], ends[1][:, column], color=color, alpha=0.2, lw=0, label=text)


def grid_over(x: Array) -> Array:
    """Return points over the range of data: evenly spaced, and geometrically too (for log axes) if all are positive."""
    low, high = float(x.min()), float(x.max())
    grid = np.linspace(low, high, POINTS)
    if low > 0:
        grid = np.concatenate([grid, np.geomspace(low, high, POINTS)])
    return np.unique(grid)

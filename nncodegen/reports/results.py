"""Pictures of what results do not draw themselves: weights, curves over one input, surfaces over two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Program, evaluate, slices_of
from nncodegen.formats.export.programs import of_outputs
from nncodegen.reports.arguments import GivenData, column_names
from nncodegen.reports.outcome import Outcome, fit_plot
from nncodegen.reports.plots import Plot, changes, curve_with_data, histogram, scattered, surface

Array = NDArray[np.float64]

POINTS, SIDE = 300, 90
"""The numbers of points of a curve, and of each side of a surface."""

FEW, MANY = 24, 100
"""Up to the first number, parameters are drawn one by one; of more, the distribution. Arrays from the second on have
separate distributions."""

MOST_OUTPUTS = 3
"""The most outputs that have curves."""


def weight_plots(outcome: Outcome, program: Program) -> list[Plot]:
    """Return plots of the parameters before and after: one by one, or the distribution of each array of weights."""
    if not len(outcome.after) or not np.isfinite([outcome.before, outcome.after]).all():
        return []
    drawn = " The start is that of the seed 0." if outcome.drawn else ""
    if len(outcome.after) <= FEW:
        largest = np.maximum(abs(outcome.before), abs(outcome.after))
        if largest.max() > 100 * max(float(np.median(largest)), 1e-300):
            return []  # one of them would hide the others; the table shows every parameter
        names = column_names(program.parameters)
        about = f"{len(names)} parameters, each before and after.{drawn}"
        return [changes("weights", "Parameters before and after", about, names, outcome.before, outcome.after)]
    plots: list[Plot] = []
    for tensor, value_range in slices_of(program.parameters):
        before, after = outcome.before[value_range], outcome.after[value_range]
        if tensor.size < MANY or len(plots) == 6:
            continue
        about = (
            f"The {tensor.size:,} values of {tensor.name}: standard deviation {before.std():.3g} before, "
            f"{after.std():.3g} after.{drawn}"
        )
        plots.append(histogram(f"weights-{len(plots)}", f"{tensor.name} before and after", about, before, after))
    if not plots:
        about = f"{len(outcome.after):,} parameters before and after.{drawn}"
        plots.append(histogram("weights", "Parameters before and after", about, outcome.before, outcome.after))
    return plots


def output_plots(program: Program, parameters: Array, outcome: Outcome | None, data: GivenData | None) -> list[Plot]:
    """Return plots of outputs: a curve over one input, a surface over two; for more inputs, outputs against targets.

    A fit of squares draws its curve, or its targets over the outputs, itself.
    """
    fitted_plot = None if outcome is None or outcome.fit is None else fit_plot(outcome.fit)
    inputs = sum(tensor.size for tensor in program.inputs)
    names, outputs = column_names(program.inputs), output_names(program)
    if fitted_plot is not None:
        plots = [fitted_plot, *(_surfaces(program, parameters, data, names, outputs) if inputs == 2 else [])]
    elif inputs == 1:
        plots = _curves_over_one(program, parameters, outcome, data, names[0], outputs)
    elif inputs == 2:
        plots = _surfaces(program, parameters, data, names, outputs)
    else:
        plots = []
    if fitted_plot is not None or data is None or data.Y is None or not data.samples:
        return plots
    predicted = outputs_of(program, parameters, data.X)
    if data.Y.shape[1] != predicted.shape[1] or program.task.labels or _is_binary(data.Y):
        return plots
    for column in range(min(predicted.shape[1], MOST_OUTPUTS)) if inputs > 2 else ():
        known = np.isfinite(data.Y[:, column]) & np.isfinite(predicted[:, column])
        x, y = predicted[known, column], data.Y[known, column]
        about = f"{len(x):,} samples; their correlation is {_correlation(x, y):.4f}."
        labels = f"{outputs[column]} of the model", "target"
        title = f"Targets against {outputs[column]}"
        plots.append(scattered(f"parity-{column}", title, about, x, y, labels, "diagonal"))
    if inputs == 1 and outcome is not None:
        known = np.isfinite(data.Y[:, 0]) & np.isfinite(predicted[:, 0])
        residuals = (predicted - data.Y)[known, 0]
        about = f"Output minus target: from {residuals.min():.4g} to {residuals.max():.4g}." if len(residuals) else ""
        labels = names[0], "output − target"
        plots.append(scattered("residuals", "Residuals", about, data.X[known, 0], residuals, labels, "zero"))
    return plots


def output_names(program: Program) -> list[str]:
    """Return a name for each column of the outputs."""
    names = []
    for element in program.outputs:
        size = program.count(element.indices)
        names += [element.tensor] if size == 1 else [f"{element.tensor}{k}" for k in range(size)]
    return names


def outputs_of(program: Program, parameters: Array, X: Array) -> Array:
    """Return the predicted outputs for rows of inputs, (N, outputs), by NumPy from the program as it was given."""
    program = of_outputs(program)
    with np.errstate(all="ignore"):
        values = evaluate(program, parameters, X)
    parts = [np.broadcast_to(values[e.tensor].astype(float), _shape(program, e, len(X))) for e in program.outputs]
    return np.concatenate([part.reshape(len(X), -1) for part in parts], axis=1)


def _shape(program: Program, element: object, samples: int) -> tuple[int, ...]:
    return tuple(program.sizes[index] or samples for index in element.indices)  # type: ignore[attr-defined]


# --- one input ---------------------------------------------------------------------------------------------------


def _curves_over_one(
    program: Program, parameters: Array, outcome: Outcome | None, data: GivenData | None, name: str, outputs: list[str]
) -> list[Plot]:
    x = _range(None if data is None or not data.samples else data.X[:, 0])
    y = outputs_of(program, parameters, x[:, None])
    ends = None
    if outcome is not None and outcome.fit is not None:
        ends = _band(outcome.fit, x)
    plots = []
    for column, output in enumerate(outputs[:MOST_OUTPUTS]):
        known = data is not None and data.Y is not None and data.Y.shape[1] == len(outputs)
        points = (data.X[:, 0], data.Y[:, column]) if known and data is not None and data.Y is not None else None
        band = None if ends is None else (ends[0][:, column], ends[1][:, column])
        finite = np.isfinite(y[:, column])
        if not finite.any():
            continue
        shown = (x[finite], y[finite, column])
        first, last = shown[1][[0, -1]]
        about = f"{output} over {name} from {x[0]:.4g} to {x[-1]:.4g}, where it goes from {first:.4g} to {last:.4g}"
        about += f", with {len(points[0]):,} samples" if points is not None else ""
        about += " and the 95 % confidence band of the fit" if band is not None else ""
        targets = column_names(program.targets)
        up = targets[column] if points is not None and len(targets) == len(outputs) else output
        title = f"{'Fit' if band is not None else output.capitalize()} over {name}"
        plots.append(
            curve_with_data(
                f"curve-{column}",
                title,
                f"{about}.",
                points,
                shown,
                band if band is None else (band[0][finite], band[1][finite]),
                (name, up),
            )
        )
    return plots


def _band(fit: Any, x: Array) -> list[Array] | None:
    """Return the lower and upper ends of the confidence band of a fit, (N, outputs) each; None where it has none."""
    try:
        _, *ends = fit.predict(x[:, None], "confidence")
    except (ImportError, ValueError):  # without SciPy, or a jacobian
        return None
    return ends if all(np.isfinite(end).all() for end in ends) else None


def _range(data: Array | None) -> Array:
    """Return points over the range of the data, and a little beyond; without data from 0 to 1."""
    known = np.array([0.0, 1.0]) if data is None else data[np.isfinite(data)]
    low, high = float(known.min()), float(known.max())
    margin = 0.03 * (high - low) or 1.0
    first = low - margin if low < 0 or low - margin > 0 else min(low, 0.0) if low == 0 else low * 0.5
    return np.linspace(first, high + margin, POINTS)


# --- two inputs --------------------------------------------------------------------------------------------------


def _surfaces(
    program: Program, parameters: Array, data: GivenData | None, names: list[str], outputs: list[str]
) -> list[Plot]:
    X = None if data is None or not data.samples else data.X
    x, y = (np.linspace(*_ends(None if X is None else X[:, k]), SIDE) for k in (0, 1))
    a, b = np.meshgrid(x, y)
    predicted = outputs_of(program, parameters, np.stack([a.ravel(), b.ravel()], axis=1))
    if program.task.labels and len(outputs) > 1:
        z = predicted.T.reshape(-1, *a.shape)
        about = f"Which of {len(outputs)} classes is the most probable, over {names[0]} and {names[1]}."
        labels = names[0], names[1]
        return [surface("surface", "Decision regions", about, (a, b, z), _points(program, data), labels)]
    plots = []
    binary = data is not None and data.Y is not None and _is_binary(data.Y)
    for column, output in enumerate(outputs[:MOST_OUTPUTS]):
        z = predicted[:, column].reshape(a.shape)
        if not np.isfinite(z).all():
            continue
        over = f"{output} over {names[0]} and {names[1]}"
        about = f"{over}: from {z.min():.4g} to {z.max():.4g}, with more colour where it is larger."
        boundary = program.task.threshold if binary or 0 <= z.min() <= z.max() <= 1 else None
        if boundary is not None:
            crossed = z.min() < boundary < z.max()
            about += f" The line is where it is {boundary:g}." if crossed else f" It is nowhere {boundary:g}."
        title = "Decision surface" if boundary is not None else over
        labels = names[0], names[1]
        plots.append(surface(f"surface-{column}", title, about, (a, b, z), _points(program, data), labels, boundary))
    return plots


def _points(program: Program, data: GivenData | None) -> list[tuple[str, Array, Array]]:
    """Return the samples, grouped by their classes if they have classes."""
    if data is None or not data.samples:
        return []
    if data.Y is None or not (program.task.labels or _is_binary(data.Y)):
        return [("data", data.X[:, 0], data.X[:, 1])]
    numbers = data.Y.argmax(axis=1) if data.Y.shape[1] > 1 else (data.Y[:, 0] > 0).astype(int)
    named = [(f"class {number}", data.X[numbers == number]) for number in range(int(numbers.max()) + 1)]
    return [(name, rows[:, 0], rows[:, 1]) for name, rows in named if len(rows)]


def _ends(data: Array | None) -> tuple[float, float]:
    known = np.array([0.0, 1.0]) if data is None else data[np.isfinite(data)]
    low, high = float(known.min()), float(known.max())
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin


def _is_binary(Y: Array) -> bool:
    """Return whether targets are labels of two classes."""
    return bool(Y.shape[1] == 1 and np.isin(Y, (-1, 0, 1)).all())


def _correlation(x: Array, y: Array) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and x.std() > 0 and y.std() > 0 else float("nan")

"""The solution of equations as a picture, drawn by matplotlib: the outputs, and their residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.terms import Samples, residuals_at
from ..evaluation.evaluate import predict
from ..ground.facts import slices
from ..ground.pictures import curve_above_residuals, new_axes

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

POINTS = 400
"""The number of points of a curve."""

SIDE = 121
"""The number of points along each side of a plane."""


def plot_solution(
    model: Model, parameters: Array, data: Any, known: tuple[Array, Array, dict[str, int]] | None, axes: Any
) -> Any:
    """Draw the outputs and the residuals on two axes. Returns their figure.

    The samples are those of ``data``, given as for ``train``; without data, known ones: X, Y and the sizes of terms.
    """
    if not model.facts.samples.terms:
        raise ValueError(f"a solution is drawn for networks with losses by name; {model.name} is none")
    inputs = len(model.input_names)
    if inputs > 2:
        raise ValueError(
            f"a solution is drawn over one or two inputs; {model.name} has {inputs}: use predict and residuals, or "
            f'plot(kind="history")'
        )
    if data is not None:
        samples = Samples(model, data, None, partly=True)
        X, Y, sizes = *samples.at(), samples.sizes
    elif known is not None:
        X, Y, sizes = known
    else:
        raise ValueError("there are no samples to draw: give data, as for train")
    left = residuals_at(model, parameters, X, Y, sizes)
    if axes is None and inputs == 1:
        axes = curve_above_residuals()
    elif axes is None:
        axes = new_axes(1, 2, sharex=True, sharey=True, figsize=(10.4, 4.4))
    (_curves if inputs == 1 else _planes)(model, parameters, axes, np.asarray(X, float), sizes, left)
    return axes[0].figure


def _curves(
    model: Model, parameters: Array, axes: Any, X: Array, sizes: dict[str, int], left: dict[str, Array]
) -> None:
    """Draw curves of the outputs over the only input, and the residuals at the samples below."""
    upper, lower = axes
    grid = np.linspace(X.min(), X.max(), POINTS)
    outputs = predict(model, parameters, grid[:, None])
    for column, name in enumerate(model.output_names):
        upper.plot(grid, outputs[:, column], lw=1.5, label=name)
    upper.legend()
    for name, rows in slices(sizes.items()):
        for values in np.atleast_2d(left[name].T):
            lower.plot(X[rows, 0], values, ".", ms=4, label=name)
    lower.axhline(0, color="black", lw=0.8)
    lower.legend(fontsize="small")
    lower.set_xlabel(model.input_names[0])
    lower.set_ylabel("residual")


def _planes(
    model: Model, parameters: Array, axes: Any, X: Array, sizes: dict[str, int], left: dict[str, Array]
) -> None:
    """Draw the first output over the plane of both inputs, and the residuals at the samples next to it."""
    across, up = (np.linspace(low, high, SIDE) for low, high in zip(X.min(axis=0), X.max(axis=0), strict=True))
    grid = np.column_stack([side.ravel() for side in np.meshgrid(across, up)])
    outputs = predict(model, parameters, grid)[:, 0].reshape(SIDE, SIDE)
    figure = axes[0].figure
    figure.colorbar(axes[0].pcolormesh(across, up, outputs, shading="gouraud", cmap="viridis"), ax=axes[0])
    axes[0].set_title(model.output_names[0])
    largest = np.concatenate([np.abs(np.atleast_2d(left[name].T)).max(axis=0) for name in sizes])
    end = float(largest.max(initial=0.0)) or 1.0
    drawn = axes[1].scatter(X[:, 0], X[:, 1], 6, largest, cmap="magma_r", vmin=0.0, vmax=end)
    figure.colorbar(drawn, ax=axes[1])
    axes[1].set_title("size of the residuals")
    for panel in axes:
        panel.set_xlabel(model.input_names[0])
        panel.set_ylabel(model.input_names[1])

"""The history of a training as a picture, drawn by matplotlib: loss, metrics and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.pictures import new_axes

if TYPE_CHECKING:
    from ..ground.types import Array

VALIDATION = "val_"
"""The prefix of the figures of the validation samples."""

WIDE = 20.0
"""An axis of positive values is logarithmic if the largest is more than this many times the smallest."""

HIGHEST = 1e250
"""The largest value that is drawn, as the losses of a diverged training: matplotlib's axes end some decades above."""

MOST_LINES = 200
"""The most models whose losses are drawn."""


def plot_history(
    title: str,
    metrics: Mapping[str, Array],
    rates: Array | None,
    best_epoch: int | None,
    axes: Any,
    unit: str = "epoch",
) -> Any:
    """Draw the history of one training, a panel for each quantity. Returns the figure.

    metrics has the loss, which is the first, and what else was measured in each epoch (or another ``unit``), (epochs,),
    by name, and rates the learning rates.
    axes is a single one for the loss alone, or one for each panel; by default those of a new figure. Raises ValueError
    if no epoch is completed, or the number of axes does not match.
    """
    panels = panels_of(metrics, rates)
    first = next(iter(metrics))
    if not len(metrics[first]):
        raise ValueError(f"there is no history to draw: no {unit} was completed")
    if axes is None:
        heights = [2.0] + [1.0] * (len(panels) - 1)
        axes = new_axes(len(panels), sharex=True, figsize=(6.4, 1.0 + 1.5 * sum(heights)), height_ratios=heights)
    elif np.ndim(axes) == 0:
        panels, axes = {first: panels[first]}, [axes]
    axes = list(np.ravel(axes))
    if len(axes) != len(panels):
        raise ValueError(f"plot draws {', '.join(panels)}: give {len(panels)} axes, one for the {first} alone, or none")
    for panel, (name, lines) in zip(axes, panels.items(), strict=True):
        _draw(panel, name, lines, best_epoch)
    axes[0].set_title(title)
    axes[-1].set_xlabel(unit)
    return axes[0].figure


def panels_of(metrics: Mapping[str, Array], rates: Array | None) -> dict[str, dict[str, Array]]:
    """Return the panels of a history: for each quantity its lines by name. A constant learning rate is left out."""
    panels: dict[str, dict[str, Array]] = {next(iter(metrics)): {}}
    for name, values in metrics.items():
        if not np.isnan(values).all() or name in panels:
            of_validation = name.startswith(VALIDATION)
            lines = panels.setdefault(name.removeprefix(VALIDATION), {})
            lines["validation" if of_validation else "training"] = values
    if rates is not None and len(np.unique(rates[~np.isnan(rates)])) > 1:
        panels["learning rate"] = {"": rates}
    return panels


def _draw(axes: Any, name: str, lines: dict[str, Array], best_epoch: int | None) -> None:
    drawn = {label: _within_axes(values) for label, values in lines.items()}
    for label, values in drawn.items():
        alone = "o" if np.count_nonzero(~np.isnan(values)) == 1 else ""  # a single epoch makes no line
        axes.plot(np.arange(1, len(values) + 1), values, marker=alone, label=label, lw=1.5)
    _scale(axes, np.concatenate(list(drawn.values())))
    axes.set_ylabel(name)
    if best_epoch is not None:
        axes.axvline(best_epoch, color="black", lw=0.8, ls=":", label="best epoch")
    if len(lines) > 1 or best_epoch is not None:
        axes.legend(fontsize="small")


def _within_axes(values: Array) -> Array:
    """Return values with NaN for those that no axis can hold."""
    return np.where(np.abs(values) <= HIGHEST, values, np.nan)


def _scale(axes: Any, values: Array) -> None:
    """Make an axis logarithmic if its values are positive and far apart."""
    known = values[np.isfinite(values)]
    if len(known) and known.min() > 0 and known.max() > WIDE * known.min():
        axes.set_yscale("log")


def plot_histories(name: str, history: Array | None, axes: Any) -> Any:
    """Draw the losses of many models, (epochs, M), a thin line each, with their median. Returns the figure.

    If there are more than MOST_LINES models, evenly chosen ones are drawn; the median is that of all models. Raises
    ValueError if the losses were not kept.
    """
    if history is None or not len(history):
        raise ValueError("there is no history to draw: train_many keeps it with history=True")
    if axes is None:
        (axes,) = new_axes(figsize=(6.4, 4.0))
    history = _within_axes(history)
    count = history.shape[1]
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_LINES)).astype(int))
    epochs = np.arange(1, len(history) + 1)
    axes.plot(epochs, history[:, chosen], color="C0", lw=0.6, alpha=max(0.1, min(1.0, 10 / len(chosen))))
    trained = ~np.isnan(history).all(axis=1)  # after an epoch that no model has begun there is no median
    axes.plot(epochs[trained], np.nanmedian(history[trained], axis=1), color="C1", lw=2, label="median")
    _scale(axes, history[:, chosen])
    axes.legend()
    axes.set(xlabel="epoch", ylabel="loss", title=f"{name}: {count:,} models")
    return axes.figure

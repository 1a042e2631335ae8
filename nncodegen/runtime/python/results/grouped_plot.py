"""A fit in groups as a picture, drawn by matplotlib: data, curve and band of each group, in a grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ground.pictures import new_axes
from .fit_plot import abscissa, draw, ordinate

MOST_GROUPS, MOST_COLUMNS = 100, 6
"""The most groups that are drawn, and the most side by side."""


def plot_groups(result: Any, axes: Any, interval: str | None, level: float) -> Any:
    """Draw the groups of a GroupedFit on axes, one for each. Returns their figure."""
    labels = result.labels[:MOST_GROUPS]
    if axes is None:
        across = min(MOST_COLUMNS, math.ceil(math.sqrt(len(labels))))
        down = math.ceil(len(labels) / across)
        axes = new_axes(down, across, figsize=(2.6 * across + 0.6, 2.2 * down + 0.8), sharex=True)
    axes = np.ravel(axes)
    if len(axes) < len(labels):
        raise ValueError(f"there are {len(axes)} axes for {len(labels)} groups: give one for each")
    names = result.names[len(result.shared) :: max(len(result.own), 1)]
    for panel, label, name in zip(axes, labels, names, strict=False):
        fit = result.group(label)
        draw(fit, panel, None, interval, level)
        panel.set_title(name[name.index("[") + 1 : -1], fontsize="small")
    for panel in axes[len(labels) :]:
        panel.set_visible(False)
    figure = axes[0].figure
    figure.suptitle(result.model_name)
    figure.supxlabel(abscissa(result))
    figure.supylabel(ordinate(result))
    return figure

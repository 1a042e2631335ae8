"""Many fits as a picture, drawn by matplotlib: each parameter with its standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.pictures import new_axes
from .many import ROWS

if TYPE_CHECKING:
    from ..ground.types import Array
    from .many import Many

MOST = 200
"""The most fits that are drawn."""

COLUMNS = 3
"""The most pictures beside each other."""


def plot_fits(fits: Many, errors: Array, axes: Any) -> Any:
    """Draw the parameters of many fits, given their standard errors, (M, P). Returns the figure."""
    good = np.flatnonzero(fits.success)
    if not len(good):
        raise ValueError("there is nothing to draw: no fit converged")
    names = fits.names[:ROWS]
    if axes is None:
        columns = min(COLUMNS, len(names))
        rows = -(-len(names) // columns)
        axes = new_axes(rows, columns, figsize=(4.2 * columns, 1.0 + 2.4 * rows))
    axes = list(np.ravel(axes))
    if len(axes) < len(names):
        raise ValueError(f"plot draws {len(names)} parameters: give {len(names)} axes, or none")
    chosen = good[np.unique(np.linspace(0, len(good) - 1, min(len(good), MOST)).astype(int))]
    for p, (name, panel) in enumerate(zip(names, axes, strict=False)):
        panel.errorbar(chosen, fits.parameters[chosen, p], errors[chosen, p], fmt="o", ms=3, lw=0.8)
        panel.set(xlabel="fit", ylabel=name)
    for unused in axes[len(names) :]:
        unused.set_visible(False)
    axes[0].figure.suptitle(f"{fits._model.name}: {len(good):,} of {len(fits):,} fits")
    return axes[0].figure

"""Figures for the pictures of results, made by matplotlib, which is optional."""

from __future__ import annotations

from typing import Any

from .missing import needed


def new_axes(rows: int = 1, columns: int = 1, **options: Any) -> Any:
    """Return the axes of a new figure as a flat array; options are those of ``matplotlib.pyplot.subplots``.

    Raises MissingDependencyError without matplotlib.
    """
    with needed("plot", "matplotlib", "matplotlib"):
        from matplotlib import pyplot  # noqa: PLC0415 (optional, and slow to import)
    return pyplot.subplots(rows, columns, layout="constrained", squeeze=False, **options)[1].ravel()


def curve_above_residuals() -> Any:
    """Return two axes of a new figure, one above the other, with a common abscissa."""
    return new_axes(2, sharex=True, figsize=(6.4, 5.6), height_ratios=(3, 1))

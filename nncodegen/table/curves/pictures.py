"""Pictures of the command ``curve``: one fit, or the fits of groups in a grid."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.curves.fitting.formula import module_of
from nncodegen.runtime.python import FitResult
from nncodegen.runtime.python.ground.pictures import new_axes
from nncodegen.runtime.python.results.fit_plot import grid_over
from nncodegen.table.curves.columns import Columns, Groups
from nncodegen.table.curves.groups import ColumnFit

MOST_GROUPS = 60
"""The most groups that are drawn: pictures of more would be too small to read."""

MOST_COLUMNS = 6
TITLE, KEY = 60, 34
"""The most characters in a line of the title, and in the key of a group."""


def draw_fit(result: FitResult, problem: ColumnFit, path: Path) -> None:
    """Write the picture of one fit to a file: data, curve and band, and the residuals."""
    figure = result.plot()
    figure.axes[0].set_ylabel(problem.target)
    figure.axes[0].set_title(_title(problem), fontsize="medium")
    figure.savefig(path, dpi=150)


def draw_groups(fits: pd.DataFrame, columns: Columns, groups: Groups, problem: ColumnFit, path: Path) -> int:
    """Write a picture of the first MOST_GROUPS groups to a file: data and curve of each. Returns how many were drawn.

    With one input it is the abscissa; with several, the data are drawn against the fitted values.
    """
    count = min(len(groups.keys), MOST_GROUPS)
    across = min(MOST_COLUMNS, math.ceil(math.sqrt(count)))
    down = math.ceil(count / across)
    width, height = (2.4 * across + 0.6, 2.0 * down + 1.0) if count > 1 else (6.4, 4.8)
    axes = new_axes(down, across, figsize=(width, height), sharex=True)
    curve = _curve_of(problem)
    for number, axis in enumerate(axes):
        if number >= count:
            axis.set_visible(False)
            continue
        rows = groups.members[number]
        key = ", ".join(map(str, groups.keys[number]))
        fit = fits.iloc[number]
        _draw(axis, columns, rows, curve(fit), len(problem.formula.columns) == 1)
        ended = "" if fit["status"] == "converged" else f"\n{fit['status']}"
        axis.set_title(f"{textwrap.shorten(key, KEY, placeholder=' ...')}{ended}", fontsize="small")
        axis.tick_params(labelsize="x-small", labelbottom=number + across >= count)
    figure = axes[0].figure
    figure.suptitle(textwrap.fill(_text(problem), max(round(TITLE * width / 6.4), KEY)), fontsize="medium")
    figure.supxlabel(problem.formula.columns[0] if len(problem.formula.columns) == 1 else "fitted", fontsize="medium")
    figure.supylabel(problem.target, fontsize="medium")
    figure.savefig(path, dpi=150)
    return count


def _curve_of(problem: ColumnFit) -> Callable[[pd.Series], Callable[[Any], Any] | None]:
    """Return a function that gives the curve of a row of the table of fits; None where it has no parameters."""
    module = module_of(problem.formula)

    def curve(fit: pd.Series) -> Callable[[Any], Any] | None:
        parameters = fit[list(problem.formula.parameters)].to_numpy(float)
        if not np.isfinite(parameters).all():
            return None
        return lambda X: module.predict(parameters, X)[:, 0]

    return curve


def _draw(axes: Any, columns: Columns, rows: Any, curve: Callable[[Any], Any] | None, single: bool) -> None:
    """Draw the data of a group, and the curve that was fitted to them."""
    X, y = columns.X[rows], columns.y[rows]
    if not len(rows) or curve is None:
        axes.plot(X[:, 0] if single else [], y if single else [], "o", ms=3, color="C0", alpha=0.6)
        return
    at = X[:, 0] if single else curve(X)
    bars = None if columns.sigma is None else columns.sigma[rows]
    axes.errorbar(at, y, bars, fmt="o", ms=3, color="C0", alpha=0.6, elinewidth=0.8)
    if single:
        grid = grid_over(X[:, 0])
        axes.plot(grid, curve(grid[:, None]), color="C1", lw=1.2)
    else:
        ends = [min(at.min(), y.min()), max(at.max(), y.max())]
        axes.plot(ends, ends, color="black", lw=0.8)


def _text(problem: ColumnFit) -> str:
    return f"{problem.target} = {problem.formula.expression}"


def _title(problem: ColumnFit) -> str:
    """Return the equation in lines that fit above a picture."""
    return textwrap.fill(_text(problem), TITLE)

"""One fit for each group of rows of a table, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.curves.fitting.formula import Formula, module_of
from nncodegen.runtime.python import FitResult, GroupedFit
from nncodegen.runtime.python.fitting.fit import AUTO
from nncodegen.runtime.python.ground.frames import ERROR
from nncodegen.table.curves.columns import Columns, Groups, columns_of, groups_of, require_rows
from nncodegen.table.curves.settings import FitSettings
from nncodegen.table.read import Table

SIDE_BY_SIDE, ONE_BY_ONE = 4096, 16
"""The number of groups after which progress is reported."""


@dataclass(frozen=True)
class ColumnFit:
    """The fit of each group: a formula to a target column, with the standard deviations of a third column, or None."""

    formula: Formula
    target: str
    sigma: str | None
    by: tuple[str, ...]
    settings: FitSettings

    @property
    def needed(self) -> list[str]:
        """Return the columns in which a row must hold numbers."""
        return [
            *self.formula.columns,
            self.target,
            *([self.sigma] if self.sigma is not None else []),
            *self.sigma_x.values(),
        ]

    @property
    def sigma_x(self) -> dict[str, str]:
        """Return the columns of the standard deviations of x, by the columns of x."""
        return self.settings.sigma_x_of(self.formula)

    @property
    def results(self) -> list[str]:
        """Return the columns of the table of fits that follow those of the keys."""
        pairs = ((name, f"{name}{ERROR}") for name in self.formula.results)
        return [*(name for pair in pairs for name in pair), "rows", "reduced_chi2", "iterations", "status"]


def fit_groups(
    table: Table, problem: ColumnFit, tell: Callable[[int, int], None] = lambda done, groups: None
) -> tuple[pd.DataFrame, Columns, Groups]:
    """Return a row for each group: its key, parameters and standard errors, rows, reduced chi-square, how it ended.

    The columns and the groups that were fitted are returned as well. A group without a complete row has no parameters,
    and the status "no_data". ``tell`` is called with the number of finished groups, and that of all. Raises TableError.
    """
    columns = columns_of(table, problem.formula.columns, problem.target, problem.sigma, problem.sigma_x)
    require_rows(table, columns, problem.needed)
    groups = groups_of(table, problem.by, columns.rows)
    return _fit_all(groups, columns, problem, tell), columns, groups


def fit_partition(frame: pd.DataFrame, problem: ColumnFit, empty: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each group, as ``fit_groups``, in a part of a table with whole groups; it may have no rows."""
    if not len(frame):
        return empty
    table = Table(frame.reset_index(drop=True), Path("the partition"))
    columns = columns_of(table, problem.formula.columns, problem.target, problem.sigma, problem.sigma_x)
    groups = groups_of(table, problem.by, columns.rows)
    return _fit_all(groups, columns, problem, lambda done, groups: None).astype(empty.dtypes.to_dict())


def fit_rows(columns: Columns, rows: Any, problem: ColumnFit) -> FitResult:
    """Return the fit of some of the used rows, which are selected by their positions."""
    settings, formula = problem.settings, problem.formula
    X, y = columns.X[rows], columns.y[rows]
    start, n_starts = settings.start_and_search(formula)
    return module_of(formula).fit(
        X if formula.columns else None,
        y,
        p0=start,
        sigma=None if columns.sigma is None else columns.sigma[rows],
        bounds=settings.bounds_of(formula),
        **settings.options,
        n_starts=n_starts,
        sigma_x=None if columns.sigma_x is None else columns.sigma_x[rows],
    )


def value_and_error(result: FitResult, name: str) -> tuple[float, float]:
    """Return a parameter, tied parameter or derived quantity, and its standard error."""
    if name in result.names:
        place = result.names.index(name)
        return float(result.parameters[place]), float(result.standard_errors[place])
    return result.derived[name], float(result.derived.standard_errors[result.derived.names.index(name)])


def _fit_all(groups: Groups, columns: Columns, problem: ColumnFit, tell: Callable[[int, int], None]) -> pd.DataFrame:
    if problem.settings.shared:
        keys = pd.DataFrame(groups.keys, columns=list(problem.by))
        rows = fit_shared(groups, columns, problem)[1]
        tell(len(groups.keys), len(groups.keys))
        return pd.concat([keys, rows], axis=1)
    parts, step = [], ONE_BY_ONE if problem.settings.one_by_one(problem.formula) else SIDE_BY_SIDE
    for first in range(0, len(groups.keys), step):
        part = Groups(groups.keys[first : first + step], groups.members[first : first + step])
        with warnings.catch_warnings():  # warnings of fits that did not converge, whose status the table shows
            warnings.simplefilter("ignore", RuntimeWarning)
            parts.append(_fit(columns, part, problem))
        tell(first + len(part.keys), len(groups.keys))
    keys = pd.DataFrame(groups.keys, columns=list(problem.by))
    return pd.concat([keys, pd.concat(parts, ignore_index=True)], axis=1)


def fit_shared(groups: Groups, columns: Columns, problem: ColumnFit) -> tuple[GroupedFit | None, pd.DataFrame]:
    """Return the one fit of all groups that share parameters, and a row for each group, as of separate fits.

    The labels of the fit are the positions of the groups. It is None if no group has a complete row.
    """
    settings, formula, module = problem.settings, problem.formula, module_of(problem.formula)
    none = [*np.full(2 * len(formula.results), np.nan), 0, np.nan, 0, "no_data"]
    there = [place for place, rows in enumerate(groups.members) if len(rows)]
    if not there:
        return None, pd.DataFrame([none] * len(groups.members), columns=problem.results)
    rows = np.concatenate([groups.members[place] for place in there])
    labels = np.repeat(there, [len(groups.members[place]) for place in there])
    X, y = columns.X[rows], columns.y[rows]
    own_parameters = settings.own_of(formula)
    with warnings.catch_warnings():  # the status tells how it ended
        warnings.simplefilter("ignore", RuntimeWarning)
        fit: Any = module.fit(
            X if formula.columns else None,
            y,
            p0=_start_of_all(problem),
            sigma=None if columns.sigma is None else columns.sigma[rows],
            bounds=settings.bounds_of(formula),
            **settings.options,
            groups=labels,
            own=own_parameters,
            sigma_x=None if columns.sigma_x is None else columns.sigma_x[rows],
        )
    group_rows = [none] * len(groups.members)
    pairs = {
        name: (fit.group_parameters[:, place], fit.group_errors[:, place])
        for place, name in enumerate(formula.parameters)
    }
    for number, place in enumerate(there):
        group_fit = fit.group(place) if set(formula.results) - set(pairs) else None
        values = (
            [float(part[number]) for name in formula.results if name in pairs for part in pairs[name]]
            if group_fit is None
            else [part for name in formula.results for part in value_and_error(group_fit, name)]
        )
        status = str(fit.group_status[number])
        group_rows[place] = [*values, len(groups.members[place]), fit.reduced_chi2, fit.iterations, status]
    return fit, pd.DataFrame(group_rows, columns=problem.results)


def _start_of_all(problem: ColumnFit) -> Any:
    """Return the start of a fit that shares parameters: (P,), a mapping, or "auto"."""
    settings, formula = problem.settings, problem.formula
    if not settings.needs_data(formula):
        return settings.start_of(formula)
    start, n_starts = settings.start_and_search(formula)
    return AUTO if n_starts is not None else start


def _fit(columns: Columns, groups: Groups, problem: ColumnFit) -> pd.DataFrame:
    module, settings, formula = module_of(problem.formula), problem.settings, problem.formula
    rows_of = groups.members
    if settings.one_by_one(formula) or not any(map(len, rows_of)):
        return pd.DataFrame([_fit_one(columns, rows, problem) for rows in rows_of], columns=problem.results)
    start, bounds = settings.start_of(formula), settings.bounds_of(formula)
    sigma, sigma_x = (
        None if each is None else [each[rows] for rows in rows_of] for each in (columns.sigma, columns.sigma_x)
    )
    fits = module.fit_many(
        [columns.X[rows] for rows in rows_of],
        [columns.y[rows] for rows in rows_of],
        p0=start,
        sigma=sigma,
        bounds=bounds,
        **settings.options_of_many,
        sigma_x=sigma_x,
    )
    frame = fits.to_frame().rename(columns={"data": "rows"}).reset_index(drop=True)
    others = [name for name, _ in (*formula.ties, *formula.derived)]
    if others:
        numbers = np.full((len(fits), len(others), 2), np.nan)
        for group in np.flatnonzero(frame["rows"]).tolist():
            numbers[group] = [value_and_error(fits[group], name) for name in others]
        for place, name in enumerate(others):
            frame[name], frame[f"{name}{ERROR}"] = numbers[:, place].T
    frame = frame[problem.results]
    return frame.assign(status=np.where(fits.success & fits.poles, "pole", fits.status))


def _fit_one(columns: Columns, rows: Any, problem: ColumnFit) -> list[Any]:
    if not len(rows):
        return [*np.full(2 * len(problem.formula.results), np.nan), 0, np.nan, 0, "no_data"]
    result = fit_rows(columns, rows, problem)
    pairs = [number for name in problem.formula.results for number in value_and_error(result, name)]
    status = "pole" if result.success and result.poles else result.status
    return [*pairs, len(rows), result.reduced_chi2, result.iterations, status]

"""The columns of a table that a formula needs, as numbers, and the groups of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from nncodegen.errors import TableError
from nncodegen.table.read import Table

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Columns:
    """The rows without missing values: X (N, inputs), y (N,), sigma (N,) or None; and their mask in the table."""

    X: Any
    y: Any
    sigma: Any
    sigma_x: Any
    """The standard deviations of X, 0 for exact columns; or None"""
    rows: Any
    """The mask (N of the table,) of the rows that are used."""

    @property
    def left_out(self) -> int:
        """Return the number of rows in which a value is missing."""
        return int((~self.rows).sum())


def columns_of(
    table: Table, inputs: Sequence[str], target: str, sigma: str | None, sigma_x: Mapping[str, str] = NONE
) -> Columns:
    """Return the numbers of a table. Raises TableError, which names the cell, for what is no number.

    sigma_x are columns of the standard deviations of some of the inputs, by their names.
    """
    names = [*inputs, target, *([sigma] if sigma is not None else []), *sigma_x.values()]
    values = np.column_stack([numbers_of(table, name) for name in names])
    rows = np.isfinite(values).all(axis=1)
    if sigma is not None:
        _check_deviations(table, sigma, rows, values[:, len(inputs) + 1], above=True)
    kept = values[rows]
    width = len(inputs)
    of_x = np.zeros((len(kept), width))
    for place, (name, column) in enumerate(sigma_x.items(), start=len(names) - len(sigma_x)):
        _check_deviations(table, column, rows, values[:, place], above=False)
        of_x[:, inputs.index(name)] = kept[:, place]
    return Columns(
        kept[:, :width],
        kept[:, width],
        kept[:, width + 1] if sigma is not None else None,
        of_x if sigma_x else None,
        rows,
    )


def _check_deviations(table: Table, name: str, rows: Any, values: Any, above: bool) -> None:
    """Raise TableError for the first standard deviation of the used rows that is below 0, or, if ``above``, is 0."""
    wrong = np.flatnonzero(rows & ~(values > 0 if above else values >= 0))
    if len(wrong):
        place = table.where(int(wrong[0]), name)
        least = "above 0" if above else "at least 0"
        raise TableError(f"{place}: a standard deviation must be {least}, not {values[wrong[0]]:g}")


def require_rows(table: Table, columns: Columns, names: Sequence[str]) -> None:
    """Raise TableError if every row of a table lacks a value in the named columns."""
    if not columns.rows.any():
        raise TableError(f"{table.path} has no row in which {', '.join(names)} are all given")


def numbers_of(table: Table, name: str) -> Any:
    """Return a column as numbers, NaN where a value is missing. Raises TableError, which names the cell, for others."""
    table.require(name, "which the formula needs")
    values, wrong = table.numbers(name)
    places = np.flatnonzero(wrong)
    if len(places):
        cell = table.frame[name].iloc[int(places[0])]
        raise TableError(f"{table.where(int(places[0]), name)}: {cell!r} is no number")
    return values


@dataclass(frozen=True)
class Groups:
    """Rows in groups: the keys, (groups, columns), and for each group the positions of its rows among the used rows."""

    keys: list[tuple[Any, ...]]
    members: list[Any]


def groups_of(table: Table, by: Sequence[str], rows: Any) -> Groups:
    """Return the groups of rows by the values of some columns, in the order of their first rows.

    A group in which every row lacks a value has no members.
    """
    for name in by:
        table.require(name, "by which groups are made")
    frame = table.frame.loc[:, list(by)].reset_index(drop=True)
    places = np.cumsum(rows) - 1  # among the rows that are used
    keys, members = [], []
    for key, indices in frame.groupby(list(by), sort=False, dropna=False).indices.items():
        keys.append(key if isinstance(key, tuple) else (key,))
        indices = np.sort(indices)
        members.append(places[indices[rows[indices]]])
    return Groups(keys, members)

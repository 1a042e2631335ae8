"""What the columns of a table mean, and how each becomes numbers for a network: plain data, as JSON holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nncodegen.errors import TableError
from nncodegen.table.read import Table

MOST_CATEGORIES = 100
"""A column of text with more different values is no category."""

MOSTLY = 0.9
"""The share of numbers from which a column is one of numbers, and other text in it a mistake."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: standardized, its missing values replaced by the median and, where there were any, told."""

    name: str
    mean: float
    deviation: float
    median: float
    has_missing: bool

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return 2 if self.has_missing else 1

    def encode(self, table: Table, unknown: str) -> Any:
        """The inputs that it becomes: (N, width). Raises TableError for text."""
        values = checked_numbers(table, self.name, "which holds numbers where the network is trained")
        missing = np.isnan(values)
        scaled = (np.where(missing, self.median, values) - self.mean) / self.deviation
        return np.column_stack([scaled, missing] if self.has_missing else [scaled]).astype(float)

    def show(self) -> str:
        """What was understood, for people."""
        return f"number, mean {self.mean:.4g}, deviation {self.deviation:.4g}"


@dataclass(frozen=True)
class Category:
    """A column of categories: one input for each, which is 1 where it holds; "" stands for a missing value."""

    name: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return len(self.values)

    def encode(self, table: Table, unknown: str) -> Any:
        """The inputs that it becomes: (N, width).

        A category that training has not met is none of them (``unknown`` is "ignore"), or (``unknown`` is "error")
        raises TableError; so does not a value that is missing, which is none of them, too.
        """
        texts = table.texts(self.name)
        encoded = np.array([texts == value for value in self.values], float).T
        if unknown == "error":
            strange = np.flatnonzero((encoded.sum(axis=1) == 0) & (texts != ""))
            if len(strange):
                known = ", ".join(repr(value) for value in self.values[:10]) + (" ..." if len(self.values) > 10 else "")
                raise TableError(
                    f"{table.where(strange[0], self.name)}: the category {texts[strange[0]]!r} did not occur in "
                    f"training, where there were {known}; correct it, or predict with --unknown ignore"
                )
        return encoded

    def show(self) -> str:
        """What was understood, for people."""
        shown = ", ".join(value or "(missing)" for value in self.values[:5])
        return f"category, {len(self.values)} values: {shown}{', ...' if len(self.values) > 5 else ''}"


Column = Number | Category


@dataclass(frozen=True)
class Skipped:
    """A column that is not used, and why."""

    name: str
    reason: str


def understand(table: Table, name: str, as_category: bool) -> Column | Skipped:
    """What a column is. Raises TableError for one of numbers with other text among them."""
    missing = table.missing(name)
    if missing.all():
        return Skipped(name, "it is empty")
    values, others = table.numbers(name)
    present = ~missing
    if not as_category and others.sum() <= (1 - MOSTLY) * present.sum():
        if others.any():
            checked_numbers(table, name, f"which holds numbers in {present.sum() - others.sum()} other rows")
        mean, deviation = moments(table, name, values)
        if not deviation > 0:
            return Skipped(name, f"it is always {values[present][0]:g}")
        return Number(name, mean, deviation, float(np.nanmedian(values)), bool(missing.any()))
    texts = table.texts(name)
    different = sorted(set(texts))
    if len(different) == 1:
        return Skipped(name, f"it is always {different[0]!r}")
    if not as_category and (len(different) > MOST_CATEGORIES or len(different) > max(2, len(texts) / 2)):
        example = next(text for text in texts if text)
        return Skipped(name, f"it holds {len(different)} different texts, such as {example!r}, too many for categories")
    return Category(name, tuple(different))


def moments(table: Table, name: str, values: Any) -> tuple[float, float]:
    """The mean and the standard deviation of a column of numbers. Raises TableError where they are too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(np.nanmean(values)), float(np.nanstd(values))
    if not np.isfinite(mean) or not np.isfinite(deviation):
        raise TableError(
            f"{table.path}, column {name}: its numbers are too large to compute their deviation; scale them"
        )
    return mean, deviation


def checked_numbers(table: Table, name: str, what: str) -> Any:
    """A column as numbers (N,), NaN where there is none. Raises TableError for a cell that is something else."""
    values, others = table.numbers(name)
    if others.any():
        row = int(np.flatnonzero(others)[0])
        raise TableError(
            f"{table.where(row, name)}: {str(table.frame[name].iloc[row])!r} is no finite number, in a column {what}"
        )
    return values


def encode(columns: tuple[Column, ...], table: Table, unknown: str = "error") -> Any:
    """The inputs of a network for the rows of a table: (N, inputs). Raises TableError."""
    for column in columns:
        table.require(column.name, "which the network was trained with")
    return np.hstack([column.encode(table, unknown) for column in columns])


def column_to_dict(column: Column) -> dict[str, Any]:
    """A column as JSON holds it."""
    return {"kind": type(column).__name__.lower(), **asdict(column)}


def column_from_dict(given: Mapping[str, Any]) -> Column:
    """A column from what column_to_dict gave. Raises KeyError, TypeError or ValueError for anything else."""
    values = {key: value for key, value in given.items() if key != "kind"}
    if given["kind"] == "number":
        return Number(**values)
    if given["kind"] == "category":
        return Category(str(values["name"]), tuple(map(str, values["values"])))
    raise ValueError(f"there is no kind of column {given['kind']!r}")

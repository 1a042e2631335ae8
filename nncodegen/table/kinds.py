"""The kinds of columns, and how each is encoded as numbers: plain data that is checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from nncodegen.compiler.escape import printable
from nncodegen.errors import TableError
from nncodegen.runtime.python.ground.cells import is_number
from nncodegen.table.cells import shorten
from nncodegen.table.ngrams import Ngrams
from nncodegen.table.numbers import PLAIN, check_format, show_format
from nncodegen.table.read import Table

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHOWN = 5  # the number of values that are printed


@dataclass(frozen=True)
class Number:
    """A column of numbers: standardized, with missing values replaced by the median.

    If values were missing in training, one more input is 1 where they are. ``gaps`` are texts that count as missing.
    Each of ``texts`` has an input in addition to that of the numbers. ``format`` says how numbers are written (see
    ``read_numbers``), ``assumed`` whether it is a guess, because no cell decides it.

    ``knots`` are numbers in increasing order. Between each two neighbours, one more input grows from -1 to 1 (below
    them it is -1, above them 1), so that a weighted sum of these inputs is any function that is linear between knots.
    """

    name: str
    mean: float
    deviation: float
    median: float
    has_missing: bool
    gaps: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    format: str = PLAIN
    assumed: bool = False
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_texts("name", (self.name,))
        check_numbers(mean=self.mean, deviation=self.deviation, median=self.median)
        for knot in self.knots:
            check_numbers(knot=knot)
        if any(low >= high for low, high in pairwise(self.knots)) or len(self.knots) == 1:
            raise ValueError(f"knots are {self.knots!r}, not several numbers in increasing order")
        _check_flags(has_missing=self.has_missing, assumed=self.assumed)
        check_texts("gaps", self.gaps)
        check_texts("texts", self.texts)
        check_format(self.format)

    @property
    def width(self) -> int:
        """Return the number of inputs that encode the column, without those of its pieces."""
        return 1 + self.has_missing + len(self.texts)

    @property
    def pieces(self) -> int:
        """Return the number of inputs between knots."""
        return max(0, len(self.knots) - 1)

    def encode(self, table: Table, unknown: str) -> Any:
        """Return the inputs for the rows of a table: (N, width + pieces).

        A text that did not occur in training counts as missing if ``unknown`` is "ignore", and otherwise raises
        TableError. A number that is not finite always raises it.
        """
        values, others = table.numbers(self.name, self.format, self.gaps)
        texts = _members(table, self.name, self.texts, others)
        strange = others & ~texts.any(axis=1)
        if strange.any() and (unknown == "error" or np.isinf(values[strange]).any()):
            row = int(np.flatnonzero(strange if unknown == "error" else strange & np.isinf(values))[0])
            raise TableError(no_number(table, self.name, row, "which holds numbers where the network is trained"))
        missing = ~np.isfinite(values)
        known = np.where(missing, self.median, values)
        scaled = (known - self.mean) / self.deviation
        missing_column = [missing & ~texts.any(axis=1)] if self.has_missing else []
        knots = np.array(self.knots)
        pieces = 2 * np.clip((known[:, None] - knots[:-1]) / np.diff(knots), 0, 1) - 1
        return np.column_stack([scaled, *missing_column, texts, pieces]).astype(float)

    def show(self) -> str:
        """Return what was inferred from the column, as text."""
        written = show_format(self.format, self.assumed)
        return (
            f"number{f', {written}' if written else ''}, mean {self.mean:.4g}, deviation {self.deviation:.4g}"
            f"{_show_texts(self.gaps, self.texts)}"
        )


@dataclass(frozen=True)
class Date:
    """A column of dates: the elapsed time, standardized, and the parts of the date that vary.

    ``mean`` and ``deviation`` are in days since the beginning of 1970. The year is encoded by its first day,
    standardized in the same way, so that later years continue the scale. Month and hour are encoded as the sine and
    the cosine of their place in the year or the day, so that December is close to January. Each of ``weekdays`` (0 is
    Monday) has an input. Parts are in local time, the elapsed time is in UTC. For a missing date the elapsed time is
    the mean and all parts are 0; if dates were missing in training, one more input is 1 where they are. ``day_first``
    says whether days stand before months in dates such as 1/2/2020; None if training had no such dates. ``gaps`` and
    ``texts`` are as in Number.
    """

    name: str
    mean: float
    deviation: float
    year: bool
    month: bool
    weekdays: tuple[int, ...]
    hour: bool
    has_missing: bool
    day_first: bool | None = None
    assumed: bool = False
    gaps: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_texts("name", (self.name,))
        check_numbers(mean=self.mean, deviation=self.deviation)
        _check_flags(
            year=self.year,
            month=self.month,
            hour=self.hour,
            has_missing=self.has_missing,
            assumed=self.assumed,
            day_first=bool(self.day_first) if self.day_first is None else self.day_first,
        )
        if not isinstance(self.weekdays, tuple) or any(type(d) is not int or not 0 <= d < 7 for d in self.weekdays):
            raise ValueError(f"weekdays are {self.weekdays!r}, not some of 0 to 6")
        check_texts("gaps", self.gaps)
        check_texts("texts", self.texts)

    pieces: ClassVar[int] = 0

    @property
    def width(self) -> int:
        """Return the number of inputs that encode the column."""
        return 1 + self.year + 2 * self.month + len(self.weekdays) + 2 * self.hour + self.has_missing + len(self.texts)

    def encode(self, table: Table, unknown: str) -> Any:
        """Return the inputs for the rows of a table: (N, width).

        A text that did not occur in training counts as missing if ``unknown`` is "ignore"; else it raises TableError.
        """
        dates, others = table.dates(self.name, self.day_first, self.gaps)
        if dates.assumed and self.day_first is None:
            raise TableError(
                f"{table.path}, column {printable(self.name)}: neither its cells nor those of the training tell "
                f"whether days or months stand first: write dates like 2020-01-31"
            )
        texts = _members(table, self.name, self.texts, others)
        strange = others & ~texts.any(axis=1)
        if strange.any() and unknown == "error":
            row = int(np.flatnonzero(strange)[0])
            raise TableError(
                f"{table.where(row, self.name)}: {str(table.frame[self.name].iloc[row])!r} is not a date, but the "
                f"column held dates when the network was trained"
            )
        missing = np.isnat(dates.world)
        parts = split_dates(np.where(missing, np.datetime64(0, "D"), dates.wall))
        columns = [(days_of(dates.world) - self.mean) / self.deviation]
        if self.year:
            columns.append((days_of(parts.year.astype("M8[us]")) - self.mean) / self.deviation)
        if self.month:
            columns += _cycle((parts.month - 1) / 12)
        columns += [parts.weekday == day for day in self.weekdays]
        if self.hour:
            columns += _cycle(parts.time)
        known = np.where(missing[:, None], 0.0, np.column_stack(columns).astype(float))
        missing_column = [missing & ~texts.any(axis=1)] if self.has_missing else []
        return np.column_stack([known, *missing_column, texts]).astype(float)

    def show(self) -> str:
        """Return what was inferred from the column, as text."""
        parts = ["elapsed time"] + ["year"] * self.year + ["month (sine, cosine)"] * self.month
        if self.weekdays:
            days = ", ".join(WEEKDAYS[day] for day in self.weekdays) if len(self.weekdays) < 7 else "seven"
            parts.append(f"day of the week (one of {days})")
        parts += ["hour (sine, cosine)"] * self.hour
        order = ""
        if self.day_first is not None:
            order = f", written as {'day, month, year' if self.day_first else 'month, day, year'}"
            order += " (assumed: no cell tells)" if self.assumed else ""
        mean = np.datetime64(round(self.mean), "D")
        return (
            f"date{order}, mean {mean}, deviation {self.deviation:.4g} days: {', '.join(parts)}"
            f"{_show_texts(self.gaps, self.texts)}"
        )


@dataclass(frozen=True)
class Category:
    """A column of categories: one input for each, which is 1 where the cell has it; "" stands for a missing value.

    If ``other`` is true, ``values`` are the most frequent categories, and all others share one more input. In a column
    of texts, further inputs are the numbers that ``ngrams`` makes of a cell. With ``new``, other categories are allowed
    without an input: all inputs are 0 then.
    """

    name: str
    values: tuple[str, ...]
    other: bool = False
    ngrams: Ngrams | None = None
    new: bool = False

    def __post_init__(self) -> None:
        check_texts("name", (self.name,))
        check_texts("values", self.values)
        _check_flags(other=self.other, new=self.new)
        if not isinstance(self.ngrams, Ngrams | None):
            raise TypeError("ngrams are not n-grams")

    @property
    def width(self) -> int:
        """Return the number of inputs that encode the column, without those of its n-grams."""
        return len(self.values) + self.other

    @property
    def pieces(self) -> int:
        """Return the number of inputs that the n-grams give."""
        return self.ngrams.width if self.ngrams else 0

    def encode(self, table: Table, unknown: str) -> Any:
        """Return the inputs for the rows of a table: (N, width + pieces).

        A category that did not occur in training counts as one of the others, if they share an input. Without such an
        input, and without n-grams, all inputs are 0 if the column may have ``new`` ones or ``unknown`` is "ignore", and
        TableError is raised if it is "error". For a missing value that did not occur in training all inputs are 0, too.
        """
        texts = table.texts(self.name)
        known = _members(table, self.name, self.values, np.ones(len(texts), bool))
        rest = ~known.any(axis=1) & (texts != "")
        if self.other or self.ngrams:
            shared = [rest] if self.other else []
            numbers = [self.ngrams.encode(texts)] if self.ngrams else []
            return np.column_stack([known, *shared, *numbers]).astype(float)
        if unknown == "error" and not self.new and rest.any():
            row = int(np.flatnonzero(rest)[0])
            raise TableError(
                f"{table.where(row, self.name)}: the category {texts[row]!r} did not occur in training, where there "
                f"were {shorten(self.values, 10)}; correct it, or predict with --unknown ignore"
            )
        return known.astype(float)

    def show(self) -> str:
        """Return what was inferred from the column, as text."""
        shown = ", ".join(value or "(missing)" for value in self.values[:_SHOWN])
        shown += ", ..." if len(self.values) > _SHOWN else ""
        if self.ngrams:
            most = f"; the most frequent have an input each: {shown}" if any(self.values) else ""
            return f"texts, {self.ngrams.width} inputs from {len(self.ngrams.terms)} n-grams of letters{most}"
        if self.other:
            return f"category, the {len(self.values)} most frequent values: {shown}; all others share one input"
        numbers = sum(is_number(value) for value in self.values if value)
        mixed = ", numbers and texts" if 0 < numbers < sum(map(bool, self.values)) else ""
        return f"category{mixed}, {len(self.values)} values: {shown}"


Column = Number | Date | Category


@dataclass(frozen=True)
class Parts:
    """The parts of dates, (N,) each: months and days from 1, weekdays from 0 (Monday), the share of the day."""

    year: Any
    month: Any
    weekday: Any
    day: Any
    time: Any


def split_dates(wall: Any) -> Parts:
    """Return the parts of dates (N,)."""
    days, months, years = wall.astype("M8[D]"), wall.astype("M8[M]"), wall.astype("M8[Y]")
    return Parts(
        years,
        (months - years.astype("M8[M]")).astype(int) + 1,
        (days.astype(int) + 3) % 7,  # 1970 began on a Thursday
        (days - months.astype("M8[D]")).astype(int) + 1,
        (wall - days) / np.timedelta64(1, "D"),
    )


def days_of(dates: Any) -> Any:
    """Return dates (N,) as days since the beginning of 1970; NaN for NaT."""
    return (dates - np.datetime64(0, "us")) / np.timedelta64(1, "D")


def no_number(table: Table, name: str, row: int, what: str) -> str:
    """Return the message that a cell is not a number."""
    return f"{table.where(row, name)}: {str(table.frame[name].iloc[row])!r} is not a finite number, in a column {what}"


def check_numbers(**values: Any) -> None:
    """Raise TypeError or ValueError unless all values are finite numbers, and a deviation is positive."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} is {value!r}, not a number")
        try:
            finite = math.isfinite(value)
        except OverflowError:  # Python's integers have no bound
            finite = False
        if not finite or (name == "deviation" and value <= 0):
            raise ValueError(f"{name} is not finite, or not positive")


def check_texts(name: str, values: Any) -> None:
    """Raise TypeError or ValueError unless values is a tuple of different texts."""
    if not isinstance(values, tuple) or any(not isinstance(value, str) for value in values):
        raise TypeError(f"{name}: {values!r} are not texts")
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: a text occurs twice")


def _check_flags(**values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}, not true or false")


def _members(table: Table, name: str, values: tuple[str, ...], rows: Any) -> Any:
    """Return whether each cell equals each of the texts, (N, values); False in rows where ``rows`` (N,) is False."""
    is_member = np.zeros((len(rows), len(values)), bool)
    if values and rows.any():
        places = {value: place for place, value in enumerate(values)}
        column = np.array([places.get(text, -1) for text in table.texts(name)])
        chosen = np.flatnonzero(rows & (column >= 0))
        is_member[chosen, column[chosen]] = True
    return is_member


def _cycle(share: Any) -> list[Any]:
    """Return a position in a cycle, from 0 to 1, as the sine and the cosine of its angle."""
    return [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]


def _show_texts(gaps: tuple[str, ...], texts: tuple[str, ...]) -> str:
    gap_text = f"; {shorten(gaps, _SHOWN)} count{'s' if len(gaps) == 1 else ''} as missing" if gaps else ""
    return gap_text + (f"; beside them texts, with an input each: {shorten(texts, _SHOWN)}" if texts else "")

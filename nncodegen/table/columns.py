"""The meaning of the columns of a table, and their encoding as inputs of a network; the results are plain data.

Texts of several words are compared by their n-grams, as skrub's StringEncoder does it, with the classes of scikit-learn
that it is made of (see ``ngrams``). The rest is not left to skrub (0.11). Its TableVectorizer and Cleaner

* take money, percents, decimal commas and numbers with gaps such as "-" for categories;
* take texts of four digits for years, whatever they count, and 20200131 for a date in every column;
* round to single precision: 1700000001 becomes 1700000000, 20200131 becomes 20200132;
* read 8 of the 14 forms of dates that the tests have (not 25 Nov 2020, years of two digits, or 5:30 PM), take the month
  first where no cell decides it (1.2.2020) without saying so, and lose the local time of dates with a zone;
* keep what identifies rows;
* turn a later cell that is no number or date into a missing one, where an error names its line and column here.

Transformers for all of that can be given to it. It then decides little: which columns are constant, and whether there
are few categories. Such a pipeline was tried: the columns were the same, and all tests of tables held. But it came to
50 lines more, as predicting must not need skrub, so that the readers of numbers and dates and the kinds of columns
stay. It took 2 to 15 times as long to understand a table, and 0.9 s to import skrub: on Cars93, ``fit`` then takes 20
to 25 times boosting's time, not 14. ``compare --tables --skrub`` measures what others learn from skrub's own
understanding.

What would be left for scikit-learn's OneHotEncoder, StandardScaler and SimpleImputer is a line of NumPy each: what they
learn would be taken out of them and put back for ``model.json``, and predicting would need them.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nncodegen.compiler.escape import printable
from nncodegen.errors import TableError
from nncodegen.table.cells import looks_missing
from nncodegen.table.identifiers import identifies_rows
from nncodegen.table.kinds import Category, Column, Date, Number, days_of, no_number, split_dates
from nncodegen.table.ngrams import WORDS_OF_SENTENCES, WORDS_OF_TEXTS, Ngrams, learn_ngrams, ngrams_from_dict, words_in
from nncodegen.table.numbers import PLAIN
from nncodegen.table.read import Table

__all__ = [
    "Category",
    "Column",
    "Date",
    "Number",
    "Skipped",
    "column_from_dict",
    "column_to_dict",
    "encode",
    "understand",
]

MOST_LEVELS = 20
"""The most categories of a column that have an input each. With more, only the frequent ones have one, and the others
share one."""

MOST_CATEGORIES = 100
"""The most categories of a column that have a separate input, however frequent they are."""

RARE = 5
"""In a column of many categories, those in fewer rows than this have no separate input."""

MOSTLY = 0.9
"""A column holds numbers, or dates, if at least this share of its cells are such; the other cells are exceptions."""

MOST_TEXTS = 10
"""A column of numbers or dates with more different texts among them than this holds categories."""

FEWEST_KNOTS = 4
"""The fewest knots of a column: with three of them, there are two pieces, too few to be worth it."""

_KINDS = {"number": Number, "date": Date, "category": Category}
_DATED = re.compile(r"date|datum|fecha|day|time", re.IGNORECASE)


@dataclass(frozen=True)
class Skipped:
    """A column that is not used, and the reason."""

    name: str
    reason: str


def understand(
    table: Table, name: str, as_category: bool, keep: bool = False, whole: Table | None = None
) -> Column | Skipped:
    """Return the kind of a column, judged by the rows of a table that a network is trained with.

    Texts among numbers or dates count as missing if they look so (-, unknown) and are at most half of the column. With
    other texts, a column with few different numbers is one of categories; in a column with many different
    numbers, each of these texts has a separate input. Of many categories, the rare ones share an input. If they are
    texts of several words, numbers that their n-grams give are further inputs.

    A column that identifies rows is left out: its texts are all different, and no sentences, or ``identifies_rows``
    says so of its numbers. With ``as_category`` the column holds categories, whatever it looks like. With ``keep`` it
    is used even if it identifies rows. ``whole`` is the table with all rows, from which the format of numbers and dates
    is read. Raises TableError for a number that is not finite, or too large.
    """
    whole = whole or table
    if not as_category:
        for kind in (_date, _number) if _may_be_compact(whole, name) else (_number, _date):
            kind_of_column = kind(table, name, keep, whole)
            if kind_of_column is not None:
                return kind_of_column
    return _category(table, name, as_category, keep)


def _may_be_compact(table: Table, name: str) -> bool:
    """Return whether a column may hold dates like 20200131: its name says so, and all cells have eight digits."""
    if not _DATED.search(name):
        return False
    texts = table.texts(name)[~table.missing(name)]
    return all(len(text) == 8 and text.isdigit() for text in texts)


def _number(table: Table, name: str, keep: bool, whole: Table) -> Number | Skipped | None:
    """Return the column as numbers; None if it is not one of numbers."""
    every, others, written, assumed = whole.written_numbers(name)
    if others.any() and np.isnan(every).all():
        return None
    gaps = _gaps(whole, name, others)
    if gaps is None:
        return None
    values, others = (every, others) if whole is table and not gaps else table.numbers(name, written, gaps)
    finite, infinite = np.isfinite(values), np.isinf(values)
    missing, strange = ~finite & ~others, others & ~infinite
    if missing.all():
        return Skipped(name, "it is empty")
    if not finite.any() or strange.sum() > (1 - MOSTLY) * (~missing).sum():
        return None
    if infinite.any():
        what = f"which holds numbers in {finite.sum()} other rows"
        raise TableError(no_number(table, name, int(np.flatnonzero(infinite)[0]), what))
    texts = tuple(sorted(set(table.texts(name)[strange]))) if strange.any() else ()
    numbers = values[finite]
    few = min(MOST_LEVELS, len(values) / 2)
    if texts and (len(texts) > MOST_TEXTS or len(np.unique(numbers)) <= few):
        return None
    if numbers.min() == numbers.max():  # their deviation need not be 0, because of rounding
        return Skipped(name, f"it is always {numbers[0]:g}")
    mean, deviation = moments(table, name, numbers)
    if not keep and written == PLAIN and not texts and identifies_rows(name, every[np.isfinite(every)]):
        bounds = f"from {np.nanmin(every):.15g} to {np.nanmax(every):.15g}"
        return Skipped(name, f"it identifies rows, each by a number {bounds}; {_how(name)}")
    median, has_missing = float(np.median(numbers)), bool(missing.any())
    return Number(name, mean, deviation, median, has_missing, gaps, texts, written, assumed)


def _date(table: Table, name: str, keep: bool, whole: Table) -> Date | Skipped | None:
    """Return the column as dates; None if it is not one of dates."""
    dates, others = whole.dates(name)
    if np.isnat(dates.world).all():
        return None
    gaps = _gaps(whole, name, others)
    if gaps is None:
        return None
    order, assumed = dates.day_first, dates.assumed
    dates, others = table.dates(name, order, gaps)
    missing = table.missing(name, gaps)
    texts = tuple(sorted(set(table.texts(name)[others])))
    if others.sum() > (1 - MOSTLY) * (~missing).sum() or len(texts) > MOST_TEXTS or np.isnat(dates.world).all():
        return None
    known = ~np.isnat(dates.world)
    days, parts = days_of(dates.world[known]), split_dates(dates.wall[known])
    if days.min() == days.max():
        return Skipped(name, f"it is always {dates.wall[known][0].item().isoformat(' ')}")
    weekdays = np.unique(parts.weekday)
    # if all dates are on the same day of the month, they stand for months or years: weekdays mean nothing
    weekly = len(weekdays) > 1 and _varies(parts.day)
    return Date(
        name,
        float(days.mean()),
        float(days.std()),
        _varies(parts.year),
        _varies(parts.month),
        tuple(map(int, weekdays)) if weekly else (),
        _varies(parts.time),
        bool(missing.any()),
        order,
        assumed,
        gaps,
        texts,
    )


def _varies(values: Any) -> bool:
    return bool((values != values[0]).any())


def _gaps(table: Table, name: str, is_text: Any) -> tuple[str, ...] | None:
    """Return the texts among numbers or dates that count as missing; None if they are more than half of the column."""
    if not is_text.any():
        return ()
    counts = Counter(map(str.strip, table.texts(name)[is_text].tolist()))
    gaps = tuple(sorted(filter(looks_missing, counts)))
    return None if sum(counts[gap] for gap in gaps) > (~table.missing(name)).sum() / 2 else gaps


def gaps_in_numbers(table: Table, name: str) -> tuple[str, ...]:
    """Return the texts that count as missing in a column whose other cells are all numbers."""
    others = table.numbers(name)[1]
    gaps = (others.any() and _gaps(table, name, others)) or ()
    return gaps if not table.numbers(name, gaps=gaps)[1].any() else ()


def _category(table: Table, name: str, as_category: bool, keep: bool) -> Category | Skipped:
    """Return a column as categories or texts, or as skipped."""
    texts = table.texts(name)
    counts = Counter(texts.tolist())
    if set(counts) == {""}:
        return Skipped(name, "it is empty")
    if len(counts) == 1:
        return Skipped(name, f"it is always {texts[0]!r}")
    gap = counts.pop("", 0)
    rows, words = len(texts) - gap, 0.0 if as_category else words_in(counts)
    kept = as_category or (keep and words < WORDS_OF_TEXTS)
    example = next(iter(counts))
    if not (as_category or keep or words >= WORDS_OF_SENTENCES) and len(counts) == rows > 2:
        return Skipped(name, f"it identifies rows, each by another text, such as {example!r}; {_how(name)}")
    none = [""] * bool(gap)
    if len(counts) <= (MOST_CATEGORIES if kept else min(MOST_LEVELS, max(2, len(texts) / 2))):
        return Category(name, tuple(sorted([*counts, *none])))
    frequent = [text for text, count in counts.most_common(MOST_CATEGORIES) if kept or count >= RARE]
    ngrams = learn_ngrams(name, texts) if words >= WORDS_OF_TEXTS else None
    if not frequent and ngrams is None:
        reason = f"it holds {len(counts)} different texts, such as {example!r}, none of them in {RARE} rows"
        return Skipped(name, f"{reason}; {_how(name)}")
    return Category(name, tuple(sorted([*frequent, *none])), 0 < len(frequent) < len(counts), ngrams)


def _how(name: str) -> str:
    return f"--keep {shlex.quote(name)} uses it"


def moments(table: Table, name: str, values: Any) -> tuple[float, float]:
    """Return the mean and the standard deviation of the numbers of a column, which are not all equal.

    Raises TableError where they are too large, or too close to each other, to compute them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    if not np.isfinite(mean) or not np.isfinite(deviation):
        raise TableError(
            f"{table.path}, column {printable(name)}: its numbers are too large to compute their deviation; scale them"
        )
    if not deviation > 0:
        raise TableError(
            f"{table.path}, column {printable(name)}: its numbers differ too little for a deviation; scale them"
        )
    return mean, deviation


def checked_numbers(table: Table, name: str, what: str, expected: str | None = None) -> Any:
    """Return a column as numbers (N,), NaN if missing. Raises TableError for a cell that is not a number."""
    values, others = table.numbers(name, expected)
    if others.any():
        raise TableError(no_number(table, name, int(np.flatnonzero(others)[0]), what))
    return values


def encode(columns: tuple[Column, ...], table: Table, unknown: str = "error") -> Any:
    """Return the inputs of networks for the rows of a table: (N, inputs). Raises TableError.

    The inputs of the pieces of numbers and of the n-grams of texts come last, so that networks without them take the
    first inputs only.
    """
    for column in columns:
        table.require(column.name, "which the network was trained with")
    parts = [np.split(column.encode(table, unknown), [column.width], axis=1) for column in columns]
    return np.hstack([part for parts_of_kind in zip(*parts, strict=True) for part in parts_of_kind])


def widths(columns: tuple[Column, ...]) -> tuple[int, int]:
    """Return the number of inputs without those of pieces and n-grams, and with them."""
    plain = sum(column.width for column in columns)
    return plain, plain + sum(column.pieces for column in columns)


def knotted(column: Column, table: Table, pieces: int) -> Column:
    """Return a column of numbers with knots at the quantiles of a table, any other column as it is.

    With 0 ``pieces``, it has no knots. A column with few different numbers has fewer knots, or none, as it needs none.
    """
    if not isinstance(column, Number):
        return column
    values = table.numbers(column.name, column.format, column.gaps)[0]
    knots = np.unique(np.quantile(values[np.isfinite(values)], np.linspace(0, 1, pieces + 1)))
    return replace(column, knots=tuple(map(float, knots)) if len(knots) >= FEWEST_KNOTS else ())


def without_pieces(column: Column) -> Column:
    """Return a column for networks that read neither pieces of numbers nor n-grams; new texts remain allowed."""
    if isinstance(column, Number):
        return replace(column, knots=())
    if isinstance(column, Category) and column.ngrams:
        return replace(column, ngrams=None, new=not column.other)
    return column


def ngrams_of(column: Column) -> Ngrams | None:
    """Return the n-grams of a column of texts; None for any other column."""
    return column.ngrams if isinstance(column, Category) else None


def with_arrays(column: Column, idf: Any, components: Any) -> Column:
    """Return a column of texts with other arrays of its n-grams. Raises ValueError unless they are finite numbers."""
    if not isinstance(column, Category) or column.ngrams is None:
        return column
    return replace(column, ngrams=replace(column.ngrams, idf=idf, components=components))


def column_to_dict(column: Column) -> dict[str, Any]:
    """Return a column as data for JSON, without the arrays of its n-grams."""
    values = {key: value for key, value in vars(column).items() if key != "ngrams" and (key != "new" or value)}
    ngrams = ngrams_of(column)
    return {"kind": type(column).__name__.lower(), **values, **({"ngrams": ngrams.to_dict()} if ngrams else {})}


def column_from_dict(fields: Mapping[str, Any]) -> Column:
    """Return a column from the data of column_to_dict. Raises KeyError, TypeError or ValueError for anything else.

    The arrays of n-grams are 0.
    """
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items() if key != "kind"
    }
    if "ngrams" in values:
        values["ngrams"] = ngrams_from_dict(values["ngrams"])
    kind = _KINDS.get(fields["kind"]) if isinstance(fields["kind"], str) else None
    if kind is None:
        raise ValueError(f"there is no kind of column {fields['kind']!r}")
    column: Column = kind(**values)
    return column

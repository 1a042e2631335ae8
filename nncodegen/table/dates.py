"""Reads dates in texts: ISO 8601, days and months in either order, names of months; with times and time zones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
_NUMBERS = {name[:length]: number for number, name in enumerate(_MONTHS, 1) for length in (3, 4, len(name))}
_DAYS = "mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun"
_TIME = (
    r"(?:(?:T|\s*,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?(?:\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?"
)
_NAME = rf"(?P<name>{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_WEEKDAY = rf"(?:(?:{_DAYS})[a-z]*\.?,?\s+)?"
_FORMS = tuple(
    re.compile(form + _TIME, re.IGNORECASE | re.ASCII)
    for form in (
        r"(?P<year>\d{4})(?P<sign>[-/.])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})",
        r"(?P<one>\d{1,2})(?P<sign>[-/.])(?P<two>\d{1,2})(?P=sign)(?P<year>\d{4})",
        r"(?P<one>\d{1,2})(?P<sign>[-/])(?P<two>\d{1,2})(?P=sign)(?P<year>\d{2})",
        r"(?P<one>\d{2})\.(?P<two>\d{2})\.(?P<year>\d{2})",  # 1.2.10 would be a version
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?[-\s/]*{_NAME}\.?,?[-\s/]+(?P<year>\d{{4}}|\d{{2}})",
        rf"{_WEEKDAY}{_NAME}\.?[-\s]+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?[-\s]+(?P<year>\d{{4}})",
        rf"{_NAME}\.?[-\s]+(?P<year>\d{{4}})",
        r"(?P<year>\d{4})-(?P<month>\d{2})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
    )
)
_LONGEST = 60  # the largest number of characters in a date
_PIVOT = 69  # years of two digits are 1969 to 2068, as POSIX has them
_MOSTLY_NONE = 100  # the number of first texts after which, if none is a date, the column is taken to hold none


@dataclass(frozen=True)
class Dates:
    """Texts as dates (N,), in UTC (``world``) and in local time (``wall``). A date without a time zone counts as UTC.

    Both are of datetime64[us], NaT for a text that is not a date. ``day_first`` says whether days stand before months
    in dates such as 1/2/2020; it is None without such dates. ``assumed`` says whether the order is a guess, because no
    text decides it.
    """

    world: Any
    wall: Any
    day_first: bool | None = None
    assumed: bool = False


def read_dates(texts: Sequence[str], expected: bool | None = None, day_first: bool = False) -> Dates:
    """Return the dates in the texts of a column, with one order of days and months that most of them have.

    If no text decides the order, it is ``expected``. Without that, days stand before months if ``day_first`` says so,
    or if points or dashes separate them (1.2.2020), and after months if slashes do (1/2/2020).
    """
    distinct = list(dict.fromkeys(texts))
    matches: list[re.Match[str] | None] = []
    for text in distinct:
        matches.append(_match(text, matches[-1] if matches else None))
        if len(matches) == _MOSTLY_NONE and not any(matches):
            matches += [None] * (len(distinct) - _MOSTLY_NONE)
            break
    fields = {text: match.groupdict() for text, match in zip(distinct, matches, strict=True) if match}
    pairs = [(int(parts["one"]), int(parts["two"])) for parts in fields.values() if "one" in parts]
    order, assumed = expected, False
    if pairs and order is None:
        days, months = sum(first > 12 for first, _ in pairs), sum(two > 12 for _, two in pairs)
        slashes = sum(parts.get("sign") == "/" for parts in fields.values() if "one" in parts)
        order, assumed = days > months, days == months
        if assumed:
            order = day_first or slashes <= len(pairs) / 2
    values = {text: _components(parts, bool(order)) for text, parts in fields.items()}
    nothing = (0,) * 5
    world, wall = _assemble(np.array([values.get(text, nothing) for text in texts], np.int64).reshape(-1, 5))
    return Dates(world, wall, order if pairs else None, assumed)


def _match(text: str, last: re.Match[str] | None) -> re.Match[str] | None:
    """Match a text with one of the forms; the form of the previous text is tried first."""
    if len(text) > _LONGEST or not any(map(str.isdigit, text)):
        return None
    if last is not None and (match := last.re.fullmatch(text)):
        return match
    return next((match for form in _FORMS if (match := form.fullmatch(text))), None)


def _components(parts: dict[str, str | None], day_first: bool) -> tuple[int, int, int, int, int]:
    """Return year, month, day, microseconds of the day, and minutes from UTC of a text; zeros if impossible."""
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:
        year += 1900 if year >= _PIVOT else 2000
    if "one" in parts:
        day, month = (parts["one"], parts["two"]) if day_first else (parts["two"], parts["one"])
    else:
        day, month = parts.get("day") or "1", parts.get("month")
    number = _NUMBERS[(parts["name"] or "").lower()] if "name" in parts else int(month or 0)
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    half, zone = (parts["half"] or "").lower(), parts["zone"] or ""
    if half and not 1 <= hour <= 12:
        return (0,) * 5
    if half:
        hour = hour % 12 + 12 * (half == "p")
    if hour > 23 or minute > 59 or second > 59:
        return (0,) * 5
    microseconds = int((parts["fraction"] or "").ljust(6, "0")[:6])
    away = 0
    if zone[:1] in ("+", "-"):
        away = (int(zone[1:3]) * 60 + int(zone[-2:] if len(zone) > 3 else 0)) * (-1 if zone[0] == "-" else 1)
    return year, number, int(day or 1), ((hour * 60 + minute) * 60 + second) * 1_000_000 + microseconds, away


def _assemble(fields: Any) -> tuple[Any, Any]:
    """Return components (N, 5) as dates in UTC and in local time; NaT for a day that the month does not have."""
    year, month, day, microseconds, away = fields.T
    months = ((year - 1970) * 12 + month - 1).astype("M8[M]")
    days = months.astype("M8[D]") + (day - 1).astype("m8[D]")
    valid = (year > 0) & (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("M8[M]") == months)
    wall = np.where(valid, days.astype("M8[us]") + microseconds.astype("m8[us]"), np.datetime64("NaT", "us"))
    return wall - away.astype("m8[m]"), wall

"""Reads numbers in texts: with thousands, decimal commas, money, percents, negative ones in parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

PLAIN = "1234.56"
"""The plain format, in which programs write numbers."""

_DECIMALS = {"1,234.56": ".", "1 234.56": ".", "1'234.56": ".", "1.234,56": ",", "1 234,56": ",", "1'234,56": ","}
_PATTERNS = (PLAIN, *_DECIMALS)
_SPACES = " \u00a0\u2009\u202f"  # space, no-break space, thin space, narrow no-break space
_GROUPS = {",": ",", ".": r"\.", " ": f"[{_SPACES}]", "'": "['\u2019]"}

_CODES = ("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN")
_CURRENCY = rf"US\$|R\$|[$€£¥₹₽₩₺₴₦₫₪฿₱¢]|{'|'.join(_CODES)}"
_SIGN = r"[+\-\u2212]?"  # the last sign is the typographic minus
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>{_SIGN})\s*(?P<before>{_CURRENCY})?\s*(?P<inner>{_SIGN})\s*"
    rf"(?P<digits>\d[\d.,'\u2019{_SPACES}]*(?<!\s)|[.,]\d+)(?P<exponent>[eE][+-]?\d+)?\s*"
    rf"(?P<after>{_CURRENCY}|%)?\s*(?P<close>\))?"
)


def _digits_of(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for digits written like a pattern; separators of thousands may be left out."""
    group, decimal = _GROUPS[pattern[1]], re.escape(_DECIMALS[pattern])
    return re.compile(rf"(?:[1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d+)(?:{decimal}\d*)?|{decimal}\d+")


_DIGITS = {pattern: _digits_of(pattern) for pattern in _DECIMALS}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")  # a number, or one with points that separate thousands


def check_format(number_format: Any) -> None:
    """Raise ValueError unless a format is one: a pattern such as 1,234.56, then a space and a unit ($, %)."""
    if not isinstance(number_format, str) or _parts(number_format)[0] not in _PATTERNS:
        raise ValueError(f"{number_format!r} is not a format of numbers, such as {PLAIN}")
    unit = _parts(number_format)[1]
    if unit and not re.fullmatch(rf"{_CURRENCY}|%", unit):
        raise ValueError(f"{unit!r} is not a unit of numbers")


def _parts(number_format: str) -> tuple[str, str]:
    """Return the pattern and the unit of a format."""
    for pattern in _PATTERNS:
        if number_format == pattern or number_format.startswith(f"{pattern} "):
            return pattern, number_format[len(pattern) + 1 :]
    return number_format, ""


def show_format(number_format: str, assumed: bool) -> str:
    """Return a description of a number format; "" for the plain format."""
    pattern, unit = _parts(number_format)
    notes = {"": [], "%": ["percents (50% is 0.5)"]}.get(unit, [f"money in {unit}"])
    if assumed or _DECIMALS.get(pattern) == "," or pattern in ("1 234.56", "1'234.56"):
        notes.append(f"written as in {pattern}{' (assumed: no cell tells)' if assumed else ''}")
    return ", ".join(notes)


def read_numbers(
    texts: Sequence[str],
    expected: str | None = None,
    semicolons: bool = False,
    comma_elsewhere: Callable[[], bool] = lambda: False,
) -> tuple[Any, str, bool]:
    """Return the numbers in the texts of a column, their format, and whether the format is assumed.

    The numbers are (N,), with NaN for other texts. The format is the one in which most texts are numbers. If several
    formats fit equally well, as for 1,500, it is ``expected``. Without that, the format is assumed: commas are decimal
    if ``semicolons`` separate the columns, and separate thousands otherwise. Points that may separate thousands, as in
    1.500, do so if ``comma_elsewhere`` says that other columns have decimal commas.

    All numbers have the same unit: that of ``expected``, if it is given. An amount of money may be written without its
    unit; a percentage may not, unless it is 0.
    """
    pattern, unit = _parts(expected) if expected and expected != PLAIN else (None, "")
    values = None if unit else _plain_numbers(texts)
    if values is not None:
        thousands = _are_grouped(texts) and (_DECIMALS[pattern] == "," if pattern else comma_elsewhere())
        if not thousands:
            return values, PLAIN, False
    matches = [match for match in map(_NUMBER.fullmatch, dict.fromkeys(texts)) if match]
    unit = unit if expected else _unit(matches)
    digits = [match["digits"] for match in matches if _has_unit(match, unit)]
    if not unit and values is None and all(text.replace(".", "", 1).isdigit() for text in digits):
        chosen, assumed = PLAIN, False
    else:
        comma = _DECIMALS[pattern] == "," if pattern else semicolons or values is not None
        chosen, assumed = _choose(digits, pattern, comma)
    number_format = f"{chosen} {unit}" if unit else chosen
    known = {text: _parse(text, chosen, unit) for text in dict.fromkeys(texts)}
    return np.array([known[text] for text in texts], float), number_format, assumed


def _plain_numbers(texts: Sequence[str]) -> Any:
    """Return texts as numbers, if all are in the plain format; else None."""
    try:
        values = np.array(list(map(float, texts)), float)
    except ValueError:
        return None
    return None if "_" in "".join(texts) else values  # Python allows underscores between digits


def _are_grouped(texts: Sequence[str]) -> bool:
    """Return whether points may separate thousands: at least one occurs, and three digits follow each."""
    pointed = [text for text in texts if "." in text]
    return bool(pointed) and all(map(_GROUPED.fullmatch, pointed))


def _choose(digits: Sequence[str], expected: str | None, comma: bool) -> tuple[str, bool]:
    """Return the pattern that most of the texts match, and whether an equally good one gives other values."""
    counts = {name: sum(1 for text in digits if like.fullmatch(text)) for name, like in _DIGITS.items()}
    best = [name for name in _DECIMALS if counts[name] == max(counts.values())]
    if expected in best:
        return str(expected), False
    chosen = next((name for name in best if (_DECIMALS[name] == ",") == comma), best[0])
    meanings = {tuple(_as_plain(text, name) for text in digits) for name in best}
    return chosen, len(meanings) > 1


def _unit(matches: Sequence[re.Match[str]]) -> str:
    """Return the unit of a column; "" if it has several, or if only some numbers are percents."""
    units = [match["before"] or match["after"] or "" for match in matches]
    different = set(units) - {""}
    if len(different) != 1:
        return ""
    unit = different.pop()
    return unit if all(_has_unit(match, unit) for match in matches) else ""


def _has_unit(match: re.Match[str], unit: str) -> bool:
    """Return whether a number has the unit of its column at most once; a percent that is not 0 must have it."""
    before, after = match["before"], match["after"]
    if before and after:
        return False
    unit_here = before or after or ""
    return unit_here == unit or (not unit_here and (unit != "%" or not match["digits"].strip("0.,")))


def _as_plain(digits: str, pattern: str) -> str | None:
    """Return digits that are written like a pattern, in the plain format; None for others."""
    if pattern == PLAIN:
        return digits if re.fullmatch(r"\d+\.?\d*|\.\d+", digits) else None
    if not _DIGITS[pattern].fullmatch(digits):
        return None
    whole, point, fraction = digits.partition(_DECIMALS[pattern])
    return re.sub(r"\D", "", whole) + point.replace(",", ".") + fraction


def _parse(text: str, pattern: str, unit: str) -> float:
    """Return the number in a text; NaN if it holds none."""
    match = _NUMBER.fullmatch(text)
    if match is None or not _has_unit(match, unit) or bool(match["open"]) != bool(match["close"]):
        return np.nan
    signs = [match[name] for name in ("open", "sign", "inner") if match[name]]
    digits = _as_plain(match["digits"], pattern)
    if digits is None or len(signs) > 1:
        return np.nan
    value = float(digits + (match["exponent"] or "")) / (100 if unit == "%" else 1)
    return -value if signs and signs != ["+"] else value


def has_decimal_comma(text: str) -> bool:
    """Return whether a text is a plain number with a decimal comma instead of a point."""
    return _DECIMAL_COMMA.fullmatch(text) is not None

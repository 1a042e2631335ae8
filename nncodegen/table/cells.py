"""Single cells: their text, and whether they are missing or look so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "?")
"""Cells of a CSV file that count as missing in every column."""

_LOOKS_MISSING = frozenset(
    "na n/a n.a n.a. n.d. nan nat null nil none <na> #n/a #null! #value! #ref! #div/0! #num! #name? "
    "(null) (none) (missing) (unknown) (blank) blank unknown unk missing undefined unavailable "
    "? ?? ??? - -- --- \u2013 \u2014 . .. ... * 0000-00-00".split()
) | {"", "not available", "not applicable", "not known", "no data", "no value", "0000-00-00 00:00:00"}


def looks_missing(text: str) -> bool:
    """Return whether a text among numbers or dates looks like a missing value, such as - or unknown."""
    return text.casefold() in _LOOKS_MISSING


def text_of(cell: Any) -> str:
    """Return the text of a cell, in a form that can be read again if it is a number or a date."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool | np.bool_):
        return str(int(cell))
    return str(cell) if isinstance(cell, int | float | Decimal) or hasattr(cell, "isoformat") else repr(cell)


def shorten(texts: tuple[str, ...], most: int) -> str:
    """Return the first ``most`` texts, in quotes."""
    return ", ".join(map(repr, texts[:most])) + (", ..." if len(texts) > most else "")

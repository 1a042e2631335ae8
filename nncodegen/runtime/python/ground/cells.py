"""Cells of CSV files that people open in a spreadsheet."""

from __future__ import annotations

BEGINS = ("=", "+", "-", "@", "\t", "\r")
"""The first characters of cells that spreadsheets take for formulas, which could start a program or send data away."""


def plain_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet evaluates: with an apostrophe before it, unless it is a number.

    OWASP describes what such cells can do: https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not text.startswith(BEGINS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text

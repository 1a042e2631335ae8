"""Cells of CSV files: which are numbers, and what a spreadsheet would evaluate."""

from __future__ import annotations

BEGINS = ("=", "+", "-", "@", "\t", "\r")
"""The first characters of cells that spreadsheets take for formulas, which could start a program or send data away."""


def plain_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet evaluates: with an apostrophe before it, unless it is a number.

    OWASP describes what such cells can do: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if text.startswith(BEGINS) and not is_number(text) else text


def is_number(text: str) -> bool:
    """Return whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True

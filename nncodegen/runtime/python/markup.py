"""Names in a row, and tables in text, and in HTML as notebooks show them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names in a row, of which so many are told."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose other columns are numbers; every text is escaped."""
    lines = [_row(head, "th")] if head else []
    lines += [_row(row, "td") for row in rows]
    return f"<table>{''.join(lines)}</table>"


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[int] = (0,)) -> list[str]:
    """The lines of a table in text. Columns are numbers, but for those whose places are ``texts``."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = ["<" if place in texts else ">" for place in range(len(head))]
    return [
        "   ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in cells
    ]


def paragraph(text: str, tag: str = "p") -> str:
    """A paragraph, or another element, of a text, which is escaped."""
    return f"<{tag}>{escape(text)}</{tag}>"


def _row(cells: Sequence[str], tag: str) -> str:
    sides = ("left", *("right" for _ in cells[1:]))
    texts = (f'<{tag} style="text-align: {side}">{escape(c)}</{tag}>' for side, c in zip(sides, cells, strict=True))
    return f"<tr>{''.join(texts)}</tr>"

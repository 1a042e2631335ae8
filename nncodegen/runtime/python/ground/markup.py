"""Lists of names, and tables, as plain text and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape


def listed(names: Sequence[str], most: int = 12) -> str:
    """Join names by commas: at most ``most`` of them, followed by how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table whose first column is text and whose other columns are numbers; all texts are escaped."""
    lines = [_row(head, "th")] if head else []
    lines += [_row(row, "td") for row in rows]
    return f"<table>{''.join(lines)}</table>"


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[int] = (0,)) -> list[str]:
    """Return the lines of a plain-text table. Columns hold numbers, except those whose indices are in ``texts``."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = ["<" if place in texts else ">" for place in range(len(head))]
    return [
        "   ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in cells
    ]


def paragraph(text: str, tag: str = "p") -> str:
    """Return a text, escaped, as an HTML paragraph or another element."""
    return f"<{tag}>{escape(text)}</{tag}>"


def _row(cells: Sequence[str], tag: str) -> str:
    sides = ("left", *("right" for _ in cells[1:]))
    texts = (f'<{tag} style="text-align: {side}">{escape(c)}</{tag}>' for side, c in zip(sides, cells, strict=True))
    return f"<tr>{''.join(texts)}</tr>"

"""Begins and ends of loops, and the names of numbers that are known only at run time."""

from __future__ import annotations

import re

Extent = int | str
"""Where a loop begins or ends: a number, or a name for one: a name below, or MODELS."""

COUNT, PADDED = "count", "padded"
"""The number of samples of a tile, without and with padding."""

SEGMENTS, BEGIN, END = "segment", "begin", "end"
"""The index of loops over segments of time, and the begin and end of the current segment."""

ROWS = "rows"
"""The number of earlier steps of a sequence, in a kernel for one step: that of the rows that are kept of them."""

_BESIDE = re.compile(r"\(?(\w+) ([-+]) 1\)?")


def neighbour(index: str, step: int) -> str:
    """Return the text of an index plus ``step``, which is 1 or -1: "(i + 1)" or "(i - 1)"."""
    return f"({index} {'-' if step < 0 else '+'} 1)"


def index_of_neighbour(text: str) -> tuple[str, int] | None:
    """Return the index and the step of a text made by ``neighbour``; None for any other text."""
    match = _BESIDE.fullmatch(text)
    return (match[1], -1 if match[2] == "-" else 1) if match else None

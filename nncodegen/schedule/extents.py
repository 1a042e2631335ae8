"""Where loops begin and end, and the names of numbers that are known only when they run."""

from __future__ import annotations

import re

Extent = int | str
"""Where a loop begins or ends: a number, or the name of one, as those that follow, or MODELS."""

COUNT, PADDED = "count", "padded"
"""The samples of a tile, and their number with those that pad it."""

SEGMENTS, BEGIN, END = "segment", "begin", "end"
"""The index of loops over segments of time, and where the current one begins and ends."""

_BESIDE = re.compile(r"\(?(\w+) ([-+]) 1\)?")


def beside(index: str, step: int) -> str:
    """Return what stands for the value of an index that is so far (1 or -1) behind the current one."""
    return f"({index} {'-' if step < 0 else '+'} 1)"


def of_beside(text: str) -> tuple[str, int] | None:
    """Return the index for whose neighbour a text stands, and how far that is behind; None for any other text."""
    found = _BESIDE.fullmatch(text)
    return (found[1], -1 if found[2] == "-" else 1) if found else None

"""Long lists of which a page shows each kind once: what repeats for other layers is folded away."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

FEW = 24
"""The most rows of a list that is shown as it is."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class Folded(Generic[Row]):
    """A list for a page: the rows that are shown, and those that repeat one of them for another layer."""

    shown: list[Row]
    repeated: list[Row]


def folded(rows: Sequence[Row], text: Callable[[Row], str]) -> Folded[Row]:
    """Return a list of which the first row of each kind is shown, if it is long; ``text`` says what a row is."""
    kinds: dict[str, Row] = {}
    repeated = []
    for row in rows if len(rows) > FEW else ():
        if kind_of(text(row)) in kinds:
            repeated.append(row)
        else:
            kinds[kind_of(text(row))] = row
    return Folded(list(kinds.values()) if kinds else list(rows), repeated)


def kind_of(text: str) -> str:
    """Return what formulas have in common: their text without numbers, their indices named in their order.

    ``s3[n, k] = sum(j) W3[k, j]*h2[n, j]`` and ``s1[n, j] = sum(i) W1[j, i]*x1[n, i]`` are of one kind.
    """
    names: dict[str, str] = {}
    return re.sub(r"\b[a-z]\d*\b(?!\[)|\d+", lambda match: _name(match[0], names), text)


def _name(name: str, names: dict[str, str]) -> str:
    return "#" if name.isdigit() else names.setdefault(name, f"i{len(names)}_")

"""Points on both sides of the borders of the conditions in a form, from next to a border to some sizes away.

A form that a condition chooses is right at drawn points. Between them, the condition may begin to hold too early or too
late. So the border is found to the last bit, on lines between points where the condition holds and where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sympy import Eq, Expr, Ne, preorder_traversal
from sympy.core.relational import Relational

from nncodegen.compiler.ir import Element, elements
from nncodegen.compiler.passes.digits.formats import numbers_at, places
from nncodegen.compiler.passes.digits.measure import Sample
from nncodegen.compiler.passes.digits.points import Points, chosen, joined

LINES = 4
"""The number of lines on which the borders of a form are crossed, if it has no more conditions than these."""

OCTAVES = (0.0, 0.25, 1.0, 2.0, 4.0, 8.0, 24.0)
"""The distances of the points from a border, on both sides, in factors of two."""

PARTS = 64
"""The number of parts into which a line is divided at once."""


def near_border(condition: Relational, points: Points, lines: int) -> Points | None:
    """Return points near the border of a condition, on some lines; None where it holds at all points, or at none."""
    near = [*_near(condition, points, lines)]
    return joined(*near) if near else None


def conditions_of(form: Expr) -> tuple[Relational, ...]:
    """Return the conditions of the branches in a form, except those that hold at one number, or at all others."""
    parts = dict.fromkeys(part for part in preorder_traversal(form) if isinstance(part, Relational))
    return tuple(part for part in parts if not isinstance(part, Eq | Ne))


def _near(condition: Relational, points: Points, lines: int) -> Iterator[Points]:
    """Yield the points near the border of a condition, on one line after the other."""
    holds = Sample(points).values(condition)
    inside, outside = np.flatnonzero(holds), np.flatnonzero(~holds)
    if not len(inside) or not len(outside):
        return
    for k in range(lines):
        ends = [inside[k * len(inside) // lines], outside[k * len(outside) // lines]]
        start, end = (chosen(points, [place]) for place in (ends if k % 2 else reversed(ends)))
        crossing = _crossing(condition, start, end)
        if crossing is not None:
            yield _along(*crossing)


def _crossing(condition: Relational, start: Points, end: Points) -> tuple[Points, Element, int, int] | None:
    """Return a point, an element, and the neighbouring places of that element between which the condition changes.

    The elements of the condition go from one point to the other, one by one.
    """
    at = dict(start)
    first = bool(Sample(at).values(condition)[0])
    for element in elements(condition):
        moved = {**at, element: end[element]}
        if bool(Sample(moved).values(condition)[0]) != first:
            low, high = sorted(int(places(point[element])[0]) for point in (at, moved))
            return at, element, *_border(condition, at, element, low, high)
        at = moved
    return None


def _border(condition: Relational, at: Points, element: Element, low: int, high: int) -> tuple[int, int]:
    """Return the neighbouring places of an element between which a condition changes, given two further ones."""
    while high - low > 1:
        between = sorted({low + (high - low) * k // PARTS for k in range(PARTS + 1)})
        holds = Sample(_on_line(at, element, between)).values(condition)
        k = next(k for k in range(1, len(between)) if holds[k] != holds[0])
        low, high = between[k - 1], between[k]
    return low, high


def _along(at: Points, element: Element, low: int, high: int) -> Points:
    """Return points on both sides of a border, at the distances ``OCTAVES``."""
    octave = 2 ** np.finfo(at[element].dtype).nmant
    away = [round(octaves * octave) for octaves in OCTAVES]
    return _on_line(at, element, [*(low - step for step in away), *(high + step for step in away)])


def _on_line(at: Points, element: Element, where: list[int]) -> Points:
    """Return a point many times, with an element at other places."""
    count = len(where)
    line: dict[Element, Any] = {name: np.repeat(column, count) for name, column in at.items()}
    line[element] = numbers_at(where, at[element].dtype)
    return line

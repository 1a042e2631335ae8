"""Sums and maxima over windows that move, as steps: for the layers, and for graphs from elsewhere.

They become sums with equations between the places of input and output (``ir.equations``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sympy import Expr, Integer, Rational, S

from nncodegen.compiler.describe.call import Writer
from nncodegen.compiler.describe.windows import AXES, Window
from nncodegen.compiler.ir import Element, Equation

Axis = tuple[str, ...]
"""The index of an axis; in graphs from elsewhere, none for the size 1."""


@dataclass(frozen=True)
class Moving:
    """Windows, one for each axis that they move over, and the indices of these axes.

    ``sources`` are the indices of the places of the input, ``places`` those of the windows, or of the result where a
    transposed layer adds them up, and ``taps`` those of the places within a window.
    """

    windows: Sequence[Window]
    sources: Sequence[str]
    places: Sequence[Axis]
    taps: Sequence[Axis]
    transposed: bool = False

    @property
    def over(self) -> Axis:
        """Return the indices that are reduced."""
        return (*(index for tap in self.taps for index in tap), *self.sources)

    @property
    def equations(self) -> list[Equation]:
        """Return the equation between input and output along each axis."""
        axes = zip(self.windows, self.sources, self.places, self.taps, strict=True)
        if self.transposed:
            return [window.equation(place[0], (source,), tap) for window, source, place, tap in axes]
        return [window.equation(source, place, tap) for window, source, place, tap in axes]


@dataclass(frozen=True)
class Groups:
    """Groups of channels: the index of groups, that of the channels of a group, and how many these are."""

    index: str
    channels: Axis
    size: int


def convolved(
    write: Writer,
    letters: str,
    indices: Iterable[str],
    x: Expr,
    W: Expr,
    moving: Moving,
    channel: Axis,
    groups: Groups | None = None,
    further: Axis = (),
) -> Element:
    """Write h[n, f, p] = sum(c, t, s) W[f, c, t]*x[n, c, s] where s = stride*p + dilation*t - before.

    In a transposed layer, p and s are exchanged. With groups, filters read the channels of their own group, and W has
    the index of the channels of a group. ``further`` are indices of size 1 that are summed over, too.
    """
    where, over = moving.equations, (*channel, *moving.over, *further)
    if groups is not None:
        within = tuple((index, 1) for index in groups.channels)
        where.append(Equation(channel[0], ((groups.index, groups.size), *within)))
        over = (*groups.channels, *over)
    return write.step(letters, indices, W * x, "sum", over, tuple(where))


def largest(write: Writer, letters: str, indices: Iterable[str], x: Expr, moving: Moving) -> Element:
    """Write the largest value of each window."""
    return write.step(letters, indices, x, "max", moving.over, tuple(moving.equations))


def mean(
    write: Writer, letters: str, indices: Iterable[str], x: Expr, moving: Moving, includes_padding: bool = False
) -> Expr:
    """Write the sum of each window; return it divided by the number of its values, with its padding or without."""
    counts = [_count(write, moving, axis, includes_padding) for axis in range(len(moving.windows))]
    if all(count.is_number for count in counts):
        share = Rational(1, math.prod(window.size for window in moving.windows))
        return write.step(letters, indices, x * share, "sum", moving.over, tuple(moving.equations))
    total: Expr = write.step("total", indices, x, "sum", moving.over, tuple(moving.equations))
    for count in counts:
        total = total / count
    return total


def _count(write: Writer, moving: Moving, axis: int, includes_padding: bool) -> Expr:
    """Return the number of values of each window along an axis."""
    window, tap, place = moving.windows[axis], moving.taps[axis], moving.places[axis]
    before = 0 if includes_padding else window.before
    length = window.length + (window.before + window.after if includes_padding else 0)
    start = window.before if includes_padding else 0
    if before == 0 and (window.places - 1) * window.stride + window.reach - window.before <= length - start:
        return Integer(window.size)
    source = write.index(length) if includes_padding else moving.sources[axis]
    where = replace(window, before=before).equation(source, place, tap)
    name = AXES.get(len(moving.windows), ())[axis : axis + 1] or (f"axis{axis + 1}",)
    return write.step(f"count_{name[0]}", place, S.One, "sum", (*tap, source), (where,))

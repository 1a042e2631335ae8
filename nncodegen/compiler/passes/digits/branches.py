"""Branches between two forms by the size of an element, where no form is best at all points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from sympy import Abs, Expr, Float, Piecewise

from nncodegen.compiler.passes.digits.candidate import Candidate
from nncodegen.compiler.passes.digits.exact import FAULTS, Truth
from nncodegen.compiler.passes.digits.formats import Array, bits_lost
from nncodegen.compiler.passes.digits.measure import Sample
from nncodegen.compiler.passes.digits.points import Points

BRANCH = "branch by size"

FIRST, SECOND = 5, 24
"""The number of the best forms that are combined, and of those with which they are."""

MOST = 6
"""The number of branches whose borders are looked for."""

SIDE = 3
"""The number of points that a branch must have on both sides."""

GAIN = 1.0
"""The mean bits that a branch must gain."""

STEPS, BEYOND = 20, 2
"""The number of sizes that are tried, and how many points farther than the nearest two they reach, on both sides."""


def branches(best: Sequence[Candidate], points: Points, written: Expr) -> Iterator[tuple[Expr, tuple[str, ...]]]:
    """Yield forms that choose between two of the best forms by the size of an element, with their rules.

    ``points`` are those at which they have been measured. Of all such choices those follow that lose the fewest bits.
    """
    sizes = {
        size: np.abs(column) if size != element else column
        for element, column in points.items()
        for size in (element, Abs(element))
    }
    choices: list[tuple[float, Candidate, Candidate, Expr, int]] = []
    for below in best[:FIRST]:
        for above in best[:SECOND]:
            if below is not above and np.sum(below.lost - above.lost > GAIN) >= 2:
                for size, column in sizes.items():
                    place, mean = _split(below.lost, above.lost, column)
                    if mean < min(below.lost.mean(), above.lost.mean()) - GAIN:
                        choices.append((mean, below, above, size, place))
    borders = _Borders(points, sizes, written)
    for _, below, above, size, place in sorted(choices, key=lambda each: each[0])[:MOST]:
        border = borders.of(below.form, above.form, size, place)
        yield Piecewise((below.form, size < border), (above.form, True)), (*below.rules, *above.rules, BRANCH)


def _split(below: Array, above: Array, sizes: Array) -> tuple[int, float]:
    """Return how many of the smallest points the first form gets for the fewest bits lost, and the mean of these."""
    order = np.argsort(sizes, kind="stable")
    total = _totals(below[order], above[order])
    k = int(np.argmin(total))
    count = len(sizes)
    return k, float(total[k]) / count if SIDE <= k <= count - SIDE else np.inf


def _totals(below: Array, above: Array) -> Array:
    """Return for each k the bits that are lost if the first form gets the first k points, and the other the rest."""
    before = np.concatenate([[0.0], np.cumsum(below)])
    after = np.concatenate([np.cumsum(above[::-1])[::-1], [0.0]])
    return np.asarray(before + after)


class _Borders:
    """The sizes at which branches change from one form to another.

    Around two points, the forms are measured on a line of further ones; its exact values are computed once.
    """

    def __init__(self, points: Points, sizes: dict[Expr, Array], written: Expr) -> None:
        self._points, self._sizes, self._written = points, sizes, written
        self._lines: dict[tuple[Expr, int], tuple[list[float], Sample, Array]] = {}

    def of(self, below: Expr, above: Expr, size: Expr, place: int) -> Expr:
        """Return a size near the point of a place and the one before it: a power of two, where there is one."""
        order = np.argsort(self._sizes[size], kind="stable")
        sizes = self._sizes[size][order]
        low, high = (float(sizes[k]) for k in (place - 1, place))
        if low <= 0:  # no power of two is right for all kinds of numbers
            return Float(high / 2 if low == 0 else low / 2 if high == 0 else min(high, 0.0), 17)
        low = float(max(sizes[max(place - 1 - BEYOND, 0)], sizes[sizes > 0][0]))
        ends = _powers_between(low, float(sizes[min(place + BEYOND, len(sizes) - 1)]))
        if len(ends) < 2:
            return Float(ends[0] if ends else high, 17)
        if (size, place) not in self._lines:
            self._lines[size, place] = (ends, *self._line(size, order[[place - 1, place]], ends))
        ends, sample, exact = self._lines[size, place]
        try:
            a, b = (bits_lost(sample.values(form), exact) for form in (below, above))
        except FAULTS:
            return Float(ends[len(ends) // 2], 17)
        known = np.isfinite(exact)
        totals = _totals(*(np.where(known, lost, 0.0).reshape(2, -1).sum(axis=0) for lost in (a, b)))
        least = np.flatnonzero(totals <= totals.min() + 1e-9)
        return Float(ends[int(least[len(least) // 2])], 17)

    def _line(self, size: Expr, near: Array, ends: list[float]) -> tuple[Sample, Array]:
        """Return points between sizes, with the other elements of both points that are near, and the exact values."""
        (element,) = size.free_symbols
        between = np.array([np.sqrt(a) * np.sqrt(b) for a, b in pairwise(ends)])
        line = {name: np.repeat(column[near], len(between)) for name, column in self._points.items()}
        signs = np.where(line[element] < 0, -1.0, 1.0)
        line[element] = (signs * np.tile(between, 2)).astype(line[element].dtype)
        return Sample(line), Truth(self._written, line).everywhere()


def _powers_between(low: float, high: float) -> list[float]:
    """Return powers of two between two positive numbers, at equal distances."""
    first, last = int(np.floor(np.log2(low))) + 1, int(np.ceil(np.log2(high)))
    exponents = dict.fromkeys(first + (last - first) * k // STEPS for k in range(STEPS + 1))
    return [2.0**e for e in exponents if low < 2.0**e <= high]

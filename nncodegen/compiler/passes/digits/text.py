"""A formula in the order in which its text has it: where this keeps more digits than the form that it has.

A user who writes x*(y/z) may know why. No other order of factors, and no rule, makes a formula worse than it was
written, except by the chance of the points: at these, values are compared where they are far apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.passes.digits.exact import Truth
from nncodegen.compiler.passes.digits.formats import Array, bits_lost
from nncodegen.compiler.passes.digits.search import MUCH, NOTHING_LEFT, RIGHT

FAR_APART = 4.0
"""Values that differ by fewer bits than these may both be rounded."""

LIKELY, PROBABLE, SURE = 1.0, 1.5, 2.0
"""The standard deviations by which a mean is away from 0 that is likely to be no chance, probably, or surely."""

FIRST, MANY = 8, 16
"""Of more values than the second, the first are compared alone before all are."""


@dataclass(frozen=True)
class Gain:
    """The bits that values gain over others: their sum, that of their squares, and the number of points.

    ``differing`` are those at which the values are far apart. ``is_worse`` says whether bits are lost at usual points.
    """

    total: float
    squares: float
    points: int
    differing: int = 0
    is_worse: bool = False

    def __add__(self, other: Gain) -> Gain:
        return Gain(
            self.total + other.total,
            self.squares + other.squares,
            self.points + other.points,
            self.differing + other.differing,
            self.is_worse or other.is_worse,
        )

    @property
    def bits(self) -> float:
        """Return the mean."""
        return self.total / max(1, self.points)

    def is_gain(self, deviations: float) -> bool:
        """Return whether bits are gained, by some standard deviations."""
        return self.total > deviations * math.sqrt(self.squares)

    def is_loss(self, deviations: float) -> bool:
        """Return whether bits are lost, by some standard deviations, or at usual points."""
        return self.is_worse or self.total < -deviations * math.sqrt(self.squares)


def gain(before: Array, after: Array, truth: Truth, usual: NDArray[np.bool_], dtype: np.dtype[np.floating]) -> Gain:
    """Return what values gain over those before; given the points that are usual."""
    count = int(np.isfinite(before).sum())
    if np.any(np.isnan(after) & np.isfinite(before) & usual):
        return Gain(0.0, 0.0, count, is_worse=True)
    differ = np.flatnonzero(are_far_apart(before, after, dtype))
    if len(differ) > MANY:
        first = differ[:: len(differ) // FIRST]
        sampled = _gain(before[first], after[first], truth.at(first), usual[first], len(first))
        if sampled.is_loss(LIKELY):
            return sampled
    return _gain(before[differ], after[differ], truth.at(differ), usual[differ], count)


def _gain(before: Array, after: Array, exact: Array, usual: NDArray[np.bool_], count: int) -> Gain:
    known = np.isfinite(exact)
    bits_before, bits_after = (bits_lost(each[known], exact[known]) for each in (before, after))
    bits, here = bits_before - bits_after, usual[known]
    worse = _is_worse(bits_before[here], bits[here], exact.dtype.itemsize)
    return Gain(float(bits.sum()), float((bits**2).sum()), count, int(known.sum()), worse)


def _is_worse(before: Array, bits: Array, size: int) -> bool:
    """Return whether bits are lost, given those lost before, those gained, and the bytes of a number.

    Where a sum cancels, its rounding is luck, and a single point tells nothing unless much is lost at it.
    """
    right, much = bits[before < RIGHT], bits[before < NOTHING_LEFT * 8 * size]
    return bool(right.sum() < -LIKELY * math.sqrt(float((right**2).sum())) or np.any(much < -MUCH))


def are_far_apart(value: Array, other: Array, dtype: np.dtype[np.floating]) -> NDArray[np.bool_]:
    """Return where two values of a type are not both rounded ones of the same number; not where both are NaN."""
    first, second = (np.asarray(values).astype(dtype) for values in (value, other))
    apart = np.isnan(first) | (bits_lost(second, first) > FAR_APART)
    return np.asarray(apart & ~(np.isnan(first) & np.isnan(second)))

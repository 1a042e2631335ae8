"""Errors in units in the last place of a norm, and their bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ALLOWED = 16.0
"""Units in the last place that a result may be off, per unit of condition: products, sums over samples and functions
take a few each."""

LARGEST = 1e300
"""The number that is written for an error without a number."""


@dataclass(frozen=True)
class Precision:
    """A type of floating-point numbers: its relative spacing, its smallest normal and its largest number."""

    name: str
    spacing: float
    tiny: float
    huge: float

    def nearest(self, number: Any) -> Any:
        """Return the nearest number of this type; the number itself if that is infinite."""
        with np.errstate(over="ignore", under="ignore"):
            rounded = mpmath.mpf(float(np.dtype(self.name).type(float(number))))
        return rounded if mpmath.isfinite(rounded) else number

    def rounded(self, number: Any, by: Any) -> Any:
        """Return a number of this type near a number, ``by`` of it away; the number itself if it is of this type."""
        if not mpmath.isfinite(number) or self.nearest(number) == number:
            return number
        return self.nearest(number + by * (abs(number) + self.tiny / self.spacing))

    def ulp(self, norm: Any) -> Any:
        """Return the unit in the last place of a number, at least the smallest normal number, as less counts as 0."""
        if norm == 0 or not mpmath.isfinite(norm):
            return mpmath.mpf(self.tiny)
        _, exponent = mpmath.frexp(norm)
        return max(mpmath.ldexp(self.spacing, int(exponent) - 1), mpmath.mpf(self.tiny))


def precision_of(name: str) -> Precision:
    """Return the precision of "float64" or "float32"."""
    info = np.finfo(name)
    return Precision(name, float(info.eps), float(info.tiny), float(info.max))


def distance(actual: Array, exact: Array, unit: Any) -> float:
    """Return the norm of a difference in units, or a large number if something is not finite."""
    scale = 1 / unit
    differences = [float((number - other) * scale) for number, other in zip(actual.flat, exact.flat, strict=True)]
    norm = math.hypot(*differences)
    return min(norm, LARGEST) if math.isfinite(norm) else LARGEST


def bound(condition: float) -> float:
    """Return the allowed error for a condition."""
    return min(ALLOWED * (1 + condition), LARGEST)

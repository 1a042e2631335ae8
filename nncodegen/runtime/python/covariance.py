"""The covariance of fitted parameters from the triangle R of the weighted Jacobian, R'R = J'J.

All is computed from the singular values of R, never from J'J, whose condition number is the square of that of R.
The columns of R are first divided by their norms, so that the units of the parameters do not decide which of them
are determined.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .types import Array

ROUNDINGS_OF_ENTRIES, ROUNDINGS_OF_SUMS = 4, 500
"""Singular values up to F times so many roundings of the largest count as 0: F is 4 for entries, 500 for sums.

The entries of the Jacobian are rounded to the precision of the model; the reflections that make the triangle of them
are in double precision, and their roundings add up over the samples. Of exactly dependent columns (a*b*x, a + b,
a*exp(c - b*x)), the last singular value was 0.13 roundings of entries in single precision; in double precision 1.2
for 1000 samples and 12 for 100,000. Regressions that are hard but determined stay above: NIST's Filip, a polynomial
of degree 10, has 58,000.
"""


class Decomposition(NamedTuple):
    """R = U diag(singular) directions diag(norms), for F free parameters.

    norms       (F,), the norms of the columns of R; 1 for a column of zeros
    singular    (F,), falling
    directions  (F, F), orthonormal rows: directions in the space of the parameters times their norms
    rank        how many of the singular values are not 0
    """

    norms: Array
    singular: Array
    directions: Array
    rank: int

    @property
    def condition(self) -> float:
        """The largest singular value divided by the smallest; infinite where that is 0, NaN where nothing is free."""
        if not len(self.singular):
            return float("nan")
        largest, smallest = float(self.singular[0]), float(self.singular[-1])
        return largest / smallest if smallest > 0 else float("inf")


def least_ratio(count: int, epsilon: float) -> float:
    """The part of the largest singular value up to which others count as 0, for a triangle of so many columns."""
    return count * (ROUNDINGS_OF_ENTRIES * epsilon + ROUNDINGS_OF_SUMS * sys.float_info.epsilon)


def decompose(triangle: Array, epsilon: float) -> Decomposition:
    """The decomposition of a triangle (F, F) whose entries are known to the relative precision epsilon.

    A triangle that is not finite determines nothing: its rank is 0.
    """
    count = len(triangle)
    if not count or not np.isfinite(triangle).all():
        return Decomposition(np.ones(count), np.zeros(count), np.eye(count), 0)
    largest = np.abs(triangle).max(axis=0)
    largest[largest == 0] = 1
    scaled = triangle / largest  # no square of what follows overflows
    norms = np.linalg.norm(scaled, axis=0)
    norms[norms == 0] = 1
    _, singular, directions = np.linalg.svd(scaled / norms)
    rank = int(np.sum(singular > least_ratio(count, epsilon) * singular[0]))
    return Decomposition(norms * largest, singular, directions, rank)


def root(found: Decomposition) -> Array:
    """A (F, rank) with A A' = (R'R)^-1; its pseudo-inverse where the rank is not full."""
    with np.errstate(over="ignore"):
        root: Array = found.directions[: found.rank].T / found.singular[: found.rank] / found.norms[:, None]
    return root


def undetermined(found: Decomposition, epsilon: float) -> Array:
    """Which of the F parameters the data do not determine: those that a direction without effect moves."""
    null = found.directions[found.rank :]
    unknown: Array = np.linalg.norm(null, axis=0) > np.sqrt(epsilon)
    return unknown


def covariance(found: Decomposition, epsilon: float, scale: float) -> Array:
    """(R'R)^-1 times a scale, (F, F). Rows and columns of what is not determined are infinite."""
    A = root(found)
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = A @ A.T * scale
    unknown = undetermined(found, epsilon)
    result[unknown] = result[:, unknown] = np.inf
    if not np.isfinite(scale):
        result[:] = np.inf
    return result


def correlation(found: Decomposition, epsilon: float) -> Array:
    """The correlations, (F, F), which do not depend on the scale of the errors; NaN for what is not determined."""
    A = found.directions[: found.rank].T / found.singular[: found.rank]  # norms cancel
    lengths = np.linalg.norm(A, axis=1)
    unknown = undetermined(found, epsilon)
    lengths[unknown] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        A = A / lengths[:, None]
    result: Array = np.clip(A @ A.T, -1, 1)
    result[np.diag_indices(len(result))] = np.where(unknown, np.nan, 1)
    return result


def deviation(found: Decomposition, epsilon: float, slopes: Array) -> Array:
    """sqrt(g'(R'R)^-1 g) for the derivatives g of some quantities by the parameters, of shape (..., F).

    Infinite for a quantity that changes along a direction that the data do not determine. One that does not, like
    an output of a*b*x where neither a nor b is determined, is finite.
    """
    scaled = slopes / found.norms
    along = scaled @ found.directions.T
    with np.errstate(divide="ignore", over="ignore"):
        known: Array = np.linalg.norm(along[..., : found.rank] / found.singular[: found.rank], axis=-1)
    lost = np.linalg.norm(along[..., found.rank :], axis=-1) > np.sqrt(epsilon) * np.linalg.norm(scaled, axis=-1)
    return np.where(lost, np.inf, known)

"""The covariance of fitted parameters from the triangle R of the weighted Jacobian, R'R = J'J.

Everything is computed from the singular values of R, never from J'J, whose condition number is the square of that of R.
The columns of R are first divided by their norms, so that the units of the parameters do not affect which of them are
determined.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..ground.algebra import BY_LAPACK, Algebra

if TYPE_CHECKING:
    from ..ground.types import Array

ROUNDINGS_OF_ENTRIES, ROUNDINGS_OF_SUMS = 4, 500
"""With F columns, singular values up to F*(4 roundings of entries + 500 of sums) of the largest one count as 0.

The entries of the Jacobian are rounded to the precision of the model. The reflections that compute the triangle are in
double precision, and their roundings add up over the samples. For exactly dependent columns (a*b*x, a + b, a*exp(c -
b*x)), the last singular value was 0.13 roundings of entries in single precision; in double precision 1.2 for 1000
samples and 12 for 100,000. Regressions that are hard but determined stay above: NIST's Filip, a polynomial of degree
10, has 58,000.
"""


class Decomposition(NamedTuple):
    """The decomposition R = U diag(singular) directions diag(norms), for F free parameters.

    norms       (F,), the norms of the columns of R; 1 for a column of zeros
    singular    (F,), in descending order
    directions  (F, F), orthonormal rows: directions in the space of the parameters multiplied by their norms
    rank        the number of singular values that do not count as 0
    algebra     what computes further with it
    """

    norms: Array
    singular: Array
    directions: Array
    rank: int
    algebra: Algebra = BY_LAPACK

    @property
    def condition(self) -> float:
        """Return the ratio of the largest to the smallest singular value: infinity if that is 0, NaN if none exist."""
        if not len(self.singular):
            return float("nan")
        largest, smallest = float(self.singular[0]), float(self.singular[-1])
        return largest / smallest if smallest > 0 else float("inf")


def least_ratio(count: int, epsilon: float) -> float:
    """Return the ratio to the largest singular value up to which others count as 0, for ``count`` columns."""
    return count * (ROUNDINGS_OF_ENTRIES * epsilon + ROUNDINGS_OF_SUMS * sys.float_info.epsilon)


def decompose(triangle: Array, epsilon: float, algebra: Algebra = BY_LAPACK) -> Decomposition:
    """Decompose a triangle (F, F) whose entries have the relative precision epsilon.

    A triangle that is not finite determines nothing: its rank is 0.
    """
    count = len(triangle)
    if not count or not np.isfinite(triangle).all():
        return Decomposition(np.ones(count), np.zeros(count), np.eye(count), 0, algebra)
    largest = np.abs(triangle).max(axis=0)
    largest[largest == 0] = 1
    scaled = triangle / largest  # its squares cannot overflow
    norms = algebra.lengths(scaled, 0)
    norms[norms == 0] = 1
    _, singular, directions = algebra.svd(scaled / norms)
    rank = int(np.sum(singular > least_ratio(count, epsilon) * singular[0]))
    return Decomposition(norms * largest, singular, directions, rank, algebra)


def root(decomposition: Decomposition) -> Array:
    """Return A (F, rank) with A A' = (R'R)^-1, or the pseudo-inverse if the rank is not full."""
    with np.errstate(over="ignore"):
        root: Array = (
            decomposition.directions[: decomposition.rank].T
            / decomposition.singular[: decomposition.rank]
            / decomposition.norms[:, None]
        )
    return root


def undetermined(decomposition: Decomposition, epsilon: float) -> Array:
    """Return which of the F parameters the data do not determine: those that some direction without effect changes."""
    null = decomposition.directions[decomposition.rank :]
    unknown: Array = decomposition.algebra.lengths(null, 0) > np.sqrt(epsilon)
    return unknown


def covariance(decomposition: Decomposition, epsilon: float, scale: float) -> Array:
    """Return (R'R)^-1 times a scale, (F, F). Rows and columns of undetermined parameters are infinite."""
    A = root(decomposition)
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = decomposition.algebra.product(A, A.T) * scale
    unknown = undetermined(decomposition, epsilon)
    result[unknown] = result[:, unknown] = np.inf
    if not np.isfinite(scale):
        result[:] = np.inf
    return result


def correlation(decomposition: Decomposition, epsilon: float) -> Array:
    """Return the correlations, (F, F); they do not depend on the scale of the errors. Undetermined ones are NaN."""
    A = (
        decomposition.directions[: decomposition.rank].T / decomposition.singular[: decomposition.rank]
    )  # the norms cancel
    lengths = decomposition.algebra.lengths(A, 1)
    unknown = undetermined(decomposition, epsilon)
    lengths[unknown] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        A = A / lengths[:, None]
    result: Array = np.clip(decomposition.algebra.product(A, A.T), -1, 1)
    result[np.diag_indices(len(result))] = np.where(unknown, np.nan, 1)
    return result


def deviation(decomposition: Decomposition, epsilon: float, slopes: Array) -> Array:
    """Return sqrt(g'(R'R)^-1 g) for the derivatives g of some quantities by the parameters, of shape (..., F).

    It is infinite for a quantity that changes along a direction that the data do not determine. It is finite for other
    quantities, such as an output of a*b*x where neither a nor b is determined.
    """
    scaled = slopes / decomposition.norms
    algebra = decomposition.algebra
    along = algebra.product(scaled, decomposition.directions.T)
    with np.errstate(divide="ignore", over="ignore"):
        known: Array = algebra.lengths(
            along[..., : decomposition.rank] / decomposition.singular[: decomposition.rank], -1
        )
    lost = algebra.lengths(along[..., decomposition.rank :], -1) > np.sqrt(epsilon) * algebra.lengths(scaled, -1)
    return np.where(lost, np.inf, known)

"""Linear algebra for the errors of fits: that of LAPACK, or one whose bits do not depend on the CPU.

LAPACK and BLAS add in the order that suits a CPU, and so does ``numpy.einsum``. ``FixedOrder`` only uses operations of
NumPy that treat each element by itself: additions, products, quotients and square roots, which every CPU rounds alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .same_bits import PORTABLE, log

if TYPE_CHECKING:
    from .facts import Facts
    from .types import Array

MOST_SWEEPS = 60
"""The most rounds in which all pairs of columns are made orthogonal: eight are usual, and a few more for many columns.
"""


class Algebra:
    """The operations by NumPy, BLAS and LAPACK; matrices may have further axes before their own two."""

    def svd(self, matrices: Array) -> tuple[Array, Array, Array]:
        """Return U (..., M, K), singular values (..., K) in descending order, and directions (..., K, N).

        The matrices are (..., M, N), and K is the smaller of M and N.
        """
        U, singular, directions = np.linalg.svd(matrices, full_matrices=False)
        return U, singular, directions

    def triangles(self, rows: Array) -> Array:
        """Return the triangles (..., min(K, N), N) of the QR decompositions of matrices (..., K, N)."""
        return np.asarray(np.linalg.qr(rows, mode="r"))

    def product(self, a: Array, b: Array) -> Array:
        """Return a @ b."""
        found: Array = a @ b
        return found

    def contract(self, subscripts: str, a: Array, b: Array) -> Array:
        """Return np.einsum of two arrays."""
        found: Array = np.einsum(subscripts, a, b)
        return found

    def lengths(self, values: Array, axis: int) -> Array:
        """Return the roots of the sums of squares along an axis."""
        return np.asarray(np.linalg.norm(values, axis=axis))

    def total(self, values: Array, axis: int | None = None) -> Array:
        """Return the sum along an axis, or of all values."""
        return np.asarray(values.sum(axis=axis))

    def hypotenuse(self, a: Array, b: Array) -> Array:
        """Return the square root of a**2 + b**2 for each pair of numbers."""
        return np.hypot(a, b)

    def log(self, value: float) -> float:
        """Return the logarithm of a number above 0."""
        return math.log(value)


class FixedOrder(Algebra):
    """Operations whose bits do not depend on the CPU, the operating system or the versions of libraries.

    Sums add the second half of their terms to the first until one is left.
    """

    def svd(self, matrices: Array) -> tuple[Array, Array, Array]:
        """See ``Algebra``. Pairs of columns are rotated until all are orthogonal (Hestenes, 1958)."""
        rows, columns = matrices.shape[-2:]
        if rows < columns:
            directions, singular, U = self.svd(np.swapaxes(matrices, -1, -2))
            return np.swapaxes(U, -1, -2), singular, np.swapaxes(directions, -1, -2)
        unit = np.broadcast_to(np.eye(columns), (*matrices.shape[:-2], columns, columns))
        both = np.concatenate([matrices, unit], axis=-2)  # columns, and below them the rotations so far
        order = _rounds(columns)
        for _ in range(MOST_SWEEPS):
            if not sum(self._rotate(both, rows, left, right) for left, right in order):
                break
        singular = self.lengths(both[..., :rows, :], -2)
        place = np.argsort(-singular, axis=-1, kind="stable")
        both = np.take_along_axis(both, place[..., None, :], axis=-1)
        singular = np.take_along_axis(singular, place, axis=-1)
        U = both[..., :rows, :] / np.where(singular > 0, singular, 1)[..., None, :]
        return U, singular, np.swapaxes(both[..., rows:, :], -1, -2)

    def _rotate(self, both: Array, rows: int, left: Array, right: Array) -> bool:
        """Rotate pairs of columns, of which none is in two, so that they are orthogonal; return if any was not."""
        p, q = both[..., left], both[..., right]
        a, b = p[..., :rows, :], q[..., :rows, :]
        aa, bb, ab = self.total(a * a, -2), self.total(b * b, -2), self.total(a * b, -2)
        turns = abs(ab) > 2.0**-51 * np.sqrt(aa) * np.sqrt(bb)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = (bb - aa) / (2 * ab)
            tangent = np.where(slope < 0, -1.0, 1.0) / (abs(slope) + np.sqrt(1 + slope * slope))
        tangent = np.where(turns, tangent, 0.0)[..., None, :]
        cosine = 1 / np.sqrt(1 + tangent * tangent)
        sine = cosine * tangent
        both[..., left], both[..., right] = cosine * p - sine * q, sine * p + cosine * q
        return bool(turns.any())

    def triangles(self, rows: Array) -> Array:
        """See ``Algebra``. Householder's reflections, one after the other."""
        found = np.array(rows, float)
        count, width = found.shape[-2:]
        for j in range(min(count, width)):
            column = found[..., j:, j].copy()
            length = self.lengths(column, -1)
            head = column[..., 0]
            diagonal = np.where(head < 0, length, -length)  # this sign avoids cancellation
            column[..., 0] = head - diagonal
            square = diagonal * column[..., 0]  # half of the square of the reflected vector, with the other sign
            others = found[..., j:, j + 1 :]
            factor = self.total(column[..., :, None] * others, -2) / np.where(square == 0, 1, square)[..., None]
            found[..., j:, j + 1 :] = others + column[..., :, None] * factor[..., None, :]
            found[..., j, j] = diagonal
            found[..., j + 1 :, j] = 0
        return np.ascontiguousarray(found[..., : min(count, width), :])

    def product(self, a: Array, b: Array) -> Array:
        """See ``Algebra``. The terms are added in their order; b may be a vector."""
        if b.ndim == 1:
            return self.product(a, b[:, None])[..., 0]
        if a.ndim == 1:
            return self.product(a[None], b)[..., 0, :]
        shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        found: Array = np.zeros((*shape, a.shape[-2], b.shape[-1]))
        for k in range(a.shape[-1]):
            found = found + a[..., :, k, None] * b[..., k, None, :]
        return found

    def contract(self, subscripts: str, a: Array, b: Array) -> Array:
        """See ``Algebra``."""
        names, kept = subscripts.split("->")
        every = "".join(dict.fromkeys(kept + names.replace(",", "")))
        terms = np.ones(())
        for own, values in zip(names.split(","), (a, b), strict=True):
            ordered = np.transpose(values, [own.index(name) for name in every if name in own])
            terms = terms * ordered[tuple(slice(None) if name in own else None for name in every)]
        for _ in every[len(kept) :]:
            terms = self.total(terms, -1)
        return terms

    def lengths(self, values: Array, axis: int) -> Array:
        """See ``Algebra``."""
        largest = abs(values).max(axis=axis, keepdims=True, initial=0.0)
        scale = np.where((largest > 2.0**-500) & (largest < 2.0**500) | ~np.isfinite(largest), 1.0, largest)
        scale = np.where(scale > 0, scale, 1.0)
        parts = values / scale
        return np.asarray(np.squeeze(scale, axis) * np.sqrt(self.total(parts * parts, axis)))

    def total(self, values: Array, axis: int | None = None) -> Array:
        """See ``Algebra``."""
        terms = (
            np.asarray(values, float).reshape(-1) if axis is None else np.moveaxis(np.asarray(values, float), axis, 0)
        )
        if not len(terms):
            return np.zeros(terms.shape[1:])
        while len(terms) > 1:
            half = (len(terms) + 1) // 2
            rest = len(terms) - half
            terms = np.concatenate([terms[:rest] + terms[half:], terms[rest:half]])
        found: Array = terms[0]
        return found

    def hypotenuse(self, a: Array, b: Array) -> Array:
        """See ``Algebra``."""
        return self.lengths(np.stack(np.broadcast_arrays(a, b)), 0)

    def log(self, value: float) -> float:
        """See ``Algebra``."""
        return log(value)


def _rounds(columns: int) -> list[tuple[Array, Array]]:
    """Return all pairs of columns in rounds, in each of which no column is in two pairs: two arrays of columns each."""
    places = list(range(columns + columns % 2))
    found = []
    for _ in range(len(places) - 1):
        half = len(places) // 2
        pairs = [
            sorted(pair) for pair in zip(places[:half], places[: -half - 1 : -1], strict=True) if max(pair) < columns
        ]
        found.append((np.array([left for left, _ in pairs], int), np.array([right for _, right in pairs], int)))
        places = [places[0], places[-1], *places[1:-1]]
    return found


BY_LAPACK, IN_FIXED_ORDER = Algebra(), FixedOrder()


def algebra_of(facts: Facts) -> Algebra:
    """Return the linear algebra for the results of a module."""
    return IN_FIXED_ORDER if facts.bits == PORTABLE else BY_LAPACK

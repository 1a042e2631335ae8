"""Linear algebra for the errors of fits: that of LAPACK, or one whose bits do not depend on the CPU.

LAPACK and BLAS add in the order that suits a CPU, and so does ``numpy.einsum``. ``FixedOrder`` only uses operations of
NumPy that treat each element by itself: additions, products, quotients and square roots, which every CPU rounds alike.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .same_bits import log

if TYPE_CHECKING:
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
        product: Array = a @ b
        return product

    def contract(self, subscripts: str, a: Array, b: Array) -> Array:
        """Return np.einsum of two arrays."""
        contraction: Array = np.einsum(subscripts, a, b)
        return contraction

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
        stacked = np.concatenate([matrices, unit], axis=-2)  # columns, and below them the rotations so far
        order = _rounds(columns)
        for _ in range(MOST_SWEEPS):
            if not sum(self._rotate(stacked, rows, left, right) for left, right in order):
                break
        singular = self.lengths(stacked[..., :rows, :], -2)
        place = np.argsort(-singular, axis=-1, kind="stable")
        stacked = np.take_along_axis(stacked, place[..., None, :], axis=-1)
        singular = np.take_along_axis(singular, place, axis=-1)
        U = stacked[..., :rows, :] / np.where(singular > 0, singular, 1)[..., None, :]
        return U, singular, np.swapaxes(stacked[..., rows:, :], -1, -2)

    def _rotate(self, stacked: Array, rows: int, left: Array, right: Array) -> bool:
        """Rotate pairs of columns, of which none is in two, so that they are orthogonal; return if any was not."""
        p, q = stacked[..., left], stacked[..., right]
        a, b = p[..., :rows, :], q[..., :rows, :]
        aa, bb, ab = self.total(a * a, -2), self.total(b * b, -2), self.total(a * b, -2)
        turns = abs(ab) > 2.0**-51 * np.sqrt(aa) * np.sqrt(bb)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = (bb - aa) / (2 * ab)
            tangent = np.where(slope < 0, -1.0, 1.0) / (abs(slope) + np.sqrt(1 + slope * slope))
        tangent, turns = tangent[..., None, :], turns[..., None, :]
        cosine = 1 / np.sqrt(1 + tangent * tangent)
        sine = cosine * tangent
        stacked[..., left] = np.where(turns, cosine * p - sine * q, p)
        stacked[..., right] = np.where(turns, sine * p + cosine * q, q)
        return bool(turns.any())

    def triangles(self, rows: Array) -> Array:
        """See ``Algebra``. Householder's reflections, one after the other."""
        triangular = np.array(rows, float)
        count, width = triangular.shape[-2:]
        for j in range(min(count, width)):
            column = triangular[..., j:, j].copy()
            length = self.lengths(column, -1)
            head = column[..., 0]
            diagonal = np.where(head < 0, length, -length)  # this sign avoids cancellation
            column[..., 0] = head - diagonal
            square = diagonal * column[..., 0]  # half of the square of the reflected vector, with the other sign
            others = triangular[..., j:, j + 1 :]
            factor = self.total(column[..., :, None] * others, -2) / np.where(square == 0, 1, square)[..., None]
            triangular[..., j:, j + 1 :] = others + column[..., :, None] * factor[..., None, :]
            triangular[..., j, j] = diagonal
            triangular[..., j + 1 :, j] = 0
        return np.ascontiguousarray(triangular[..., : min(count, width), :])

    def product(self, a: Array, b: Array) -> Array:
        """See ``Algebra``. The terms are added in their order; b may be a vector."""
        if b.ndim == 1:
            return self.product(a, b[:, None])[..., 0]
        if a.ndim == 1:
            return self.product(a[None], b)[..., 0, :]
        if not a.shape[-1]:
            return np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))
        sums: Array = a[..., :, 0, None] * b[..., 0, None, :] + 0.0  # as after a sum from 0, whose 0 is positive
        for k in range(1, a.shape[-1]):
            sums += a[..., :, k, None] * b[..., k, None, :]
        return sums

    def contract(self, subscripts: str, a: Array, b: Array) -> Array:
        """See ``Algebra``."""
        order = _contraction(subscripts)
        terms: Array = a.transpose(order.axes_of_a)[order.place_of_a] * b.transpose(order.axes_of_b)[order.place_of_b]
        for _ in range(order.summed):
            terms = self.total(terms, 0)
        return terms

    def lengths(self, values: Array, axis: int) -> Array:
        """See ``Algebra``."""
        largest = abs(values).max(axis=axis, keepdims=True, initial=0.0)
        usual = (largest > 2.0**-500) & (largest < 2.0**500)
        if usual.all():
            return np.asarray(np.sqrt(self.total(values * values, axis)))
        scale = np.where(usual | ~np.isfinite(largest), 1.0, largest)
        scale = np.where(scale > 0, scale, 1.0)
        parts = values / scale
        return np.asarray(np.squeeze(scale, axis) * np.sqrt(self.total(parts * parts, axis)))

    def total(self, values: Array, axis: int | None = None) -> Array:
        """See ``Algebra``."""
        terms = np.asarray(values, float)
        if axis is None:
            terms = terms.reshape(-1)
        elif axis % terms.ndim:
            terms = terms.transpose(_first(axis % terms.ndim, terms.ndim))
        count = len(terms)
        if not count:
            return np.zeros(terms.shape[1:])
        half = (count + 1) // 2
        sums: Array = terms[:half].copy()
        while count > 1:
            rest = count - half
            sums[:rest] += terms[half:count]
            terms, count = sums, half
            half = (count + 1) // 2
        return np.asarray(sums[0])

    def hypotenuse(self, a: Array, b: Array) -> Array:
        """See ``Algebra``."""
        return self.lengths(np.stack(np.broadcast_arrays(a, b)), 0)

    def log(self, value: float) -> float:
        """See ``Algebra``."""
        return log(value)


class _Contraction(NamedTuple):
    """The axes of two arrays in a common order, those that are summed first, and how many these are."""

    axes_of_a: tuple[int, ...]
    place_of_a: tuple[slice | None, ...]
    axes_of_b: tuple[int, ...]
    place_of_b: tuple[slice | None, ...]
    summed: int


@cache
def _contraction(subscripts: str) -> _Contraction:
    names, result_axes = subscripts.split("->")
    summed = "".join(name for name in dict.fromkeys(names.replace(",", "")) if name not in result_axes)
    every = summed[::-1] + result_axes
    (axes_of_a, place_of_a), (axes_of_b, place_of_b) = (
        (
            tuple(names_of_array.index(name) for name in every if name in names_of_array),
            tuple(slice(None) if name in names_of_array else None for name in every),
        )
        for names_of_array in names.split(",")
    )
    return _Contraction(axes_of_a, place_of_a, axes_of_b, place_of_b, len(summed))


@cache
def _first(axis: int, axes: int) -> tuple[int, ...]:
    """Return the order of axes in which one of them is the first."""
    return axis, *(other for other in range(axes) if other != axis)


@cache
def _rounds(columns: int) -> list[tuple[Array, Array]]:
    """Return all pairs of columns in rounds, in each of which no column is in two pairs: two arrays of columns each."""
    places = list(range(columns + columns % 2))
    rounds = []
    for _ in range(len(places) - 1):
        half = len(places) // 2
        pairs = [
            sorted(pair) for pair in zip(places[:half], places[: -half - 1 : -1], strict=True) if max(pair) < columns
        ]
        rounds.append((np.array([left for left, _ in pairs], int), np.array([right for _, right in pairs], int)))
        places = [places[0], places[-1], *places[1:-1]]
    return rounds


BY_LAPACK, IN_FIXED_ORDER = Algebra(), FixedOrder()

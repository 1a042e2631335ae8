"""Least squares whose matrix is bordered by blocks: unknowns of each group, and unknowns that all groups share.

The rows of each of G groups are given as a triangle (F, F + 1): its first Q columns are those of the group's own
unknowns, then follow S columns of the shared ones, and the right-hand side. So nothing is as large as all unknowns. Own
columns are eliminated by orthogonal transformations, damping included; what remains of all groups is combined in parts
of fixed size, so that neither time nor memory grows faster than G, and no bit depends on threads. (A. Bjorck,
Numerical Methods for Least Squares Problems, 1996, section 6.3: problems of block angular form.)
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..ground.algebra import Algebra
from ..native.algebra import algebra_of
from .covariance import Decomposition, decompose, root, undetermined

if TYPE_CHECKING:
    from ..ground.types import Array

TOGETHER = 256
"""The number of groups whose remaining rows are decomposed at once: a long, narrow matrix, which stays in a cache."""

SUSPECT = 100
"""A column is surely independent if its part orthogonal to the columns before it is more than this multiple of
``least``, relative to its length."""


def in_lanes(values: Array) -> Array:
    """Return values (G, ...) whose numbers of all G groups lie side by side in memory, for loops of NumPy over groups.

    What NumPy computes from them element by element has that order, too.
    """
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 0, -1)), -1, 0)


class Eliminated(NamedTuple):
    """The system that is left after the elimination of own columns.

    own       (G, Q, S + 1): the own unknowns are own[:, :, :S] @ shared + own[:, :, S]
    triangle  (S, S + 1), of the shared columns and the right-hand side
    lost      (G, Q, Q), projections on the own unknowns that the rows do not determine; None if they determine all
    """

    own: Array
    triangle: Array
    lost: Array | None


def eliminate(
    algebra: Algebra, blocks: Array, count: int, least: float, damping: Array | None = None, shared_damping: float = 0.0
) -> Eliminated:
    """Eliminate the first ``count`` columns of each of the blocks (G, F, F + 1), which are triangles.

    The squares of all unknowns, times a damping (G,) of the own ones and one of the shared ones, are added to the sum
    of squares. Without damping, the solution is the shortest where a block does not determine all own unknowns, because
    a singular value of its own columns is at most ``least`` times the largest.
    """
    shared = blocks.shape[1] - count
    rest = blocks[:, count:, count:]
    if damping is not None:
        own_solutions, below = _damped(algebra, blocks[:, :count], count, np.sqrt(damping))
        return Eliminated(back(own_solutions, count), _combined(algebra, (rest, below), shared, shared_damping), None)
    good = _are_independent(algebra, blocks, count, least)
    if good.all():
        return Eliminated(back(blocks[:, :count], count), _combined(algebra, (rest,), shared, shared_damping), None)
    bad = ~good
    own_solutions = np.empty((len(blocks), count, shared + 1))
    own_solutions[good] = back(blocks[good, :count], count)
    lost = np.zeros((len(blocks), count, count))
    own_solutions[bad], left, lost[bad] = _by_singular_values(algebra, blocks[bad], count, least)
    return Eliminated(own_solutions, _combined(algebra, (rest[good], left), shared, shared_damping), lost)


def back(rows: Array, count: int) -> Array:
    """Return -inverse(A) B for rows (G, Q, Q + K) that hold triangles A (Q, Q) and B (Q, K) side by side: (G, Q, K)."""
    solutions = -rows[:, :, count:]
    for i in range(count - 1, -1, -1):
        for k in range(i + 1, count):
            solutions[:, i] -= rows[:, i, k, None] * solutions[:, k]
        solutions[:, i] /= rows[:, i, i, None]
    return solutions


def inverses(algebra: Algebra, blocks: Array, count: int, least: float) -> Array:
    """Return A (G, Q, Q) with A A' the inverse, or pseudo-inverse, of the products of the own columns of each block."""
    unit = np.broadcast_to(-np.eye(count), (len(blocks), count, count))
    good = _are_independent(algebra, blocks, count, least)
    roots = np.empty(unit.shape)
    roots[good] = back(np.concatenate([blocks[good, :count, :count], unit[good]], axis=2), count)
    if not good.all():
        _, singular, directions, regular = _decomposed(algebra, blocks[~good, :, :count], least)
        roots[~good] = np.swapaxes(directions, 1, 2) * np.where(regular, 1 / np.where(regular, singular, 1), 0)[:, None]
    return roots


def solve(algebra: Algebra, triangle: Array, least: float) -> Array:
    """Return the shortest x (S,) with the least |R x + q|, for a triangle (S, S + 1) of R and q."""
    shared = len(triangle)
    if not shared:
        return np.zeros(0)
    U, singular, directions = algebra.svd(triangle[:, :shared])
    rank = int(np.sum(singular > least * singular[0]))
    along = algebra.product(U[:, :rank].T, triangle[:, shared]) / singular[:rank]
    return -algebra.product(directions[:rank].T, along)


def _are_independent(algebra: Algebra, blocks: Array, count: int, least: float) -> Array:
    """Return for which blocks (G,) it is sure that the own columns are independent of each other."""
    own_columns = blocks[:, :, :count]
    lengths = np.sqrt(algebra.contract("gij,gij->gj", own_columns, own_columns))
    return np.asarray((np.abs(own_columns[:, range(count), range(count)]) > SUSPECT * least * lengths).all(axis=1))


def _damped(algebra: Algebra, rows: Array, count: int, damping: Array) -> tuple[Array, Array]:
    """Return the rows (G, Q, F + 1) of own columns after rows of damping are folded in, and what these become.

    A row of damping begins with its unknown, and gets entries to the right of it: those of the shared columns remain.
    """
    damped = rows.copy("K")
    below = np.zeros_like(damped)
    below[:, range(count), range(count)] = damping[:, None]
    for j in range(count):
        v = below[:, : j + 1, j]
        a = damped[:, j, j]
        length = np.sqrt(a * a + algebra.contract("gi,gi->g", v, v))
        diagonal = np.where(a < 0, length, -length)
        head = a - diagonal
        factor = algebra.contract("gi,gik->gk", v, below[:, : j + 1, j + 1 :])
        factor = (damped[:, j, j + 1 :] + factor / head[:, None]) / -diagonal[:, None]
        damped[:, j, j + 1 :] -= factor * head[:, None]
        below[:, : j + 1, j + 1 :] -= v[:, :, None] * factor[:, None, :]
        damped[:, j, j] = diagonal
    return damped, below[:, :, count:]


def _decomposed(algebra: Algebra, columns: Array, least: float) -> tuple[Array, Array, Array, Array]:
    """Return the singular value decompositions of own columns (G, F, Q), and which singular values are not 0."""
    U, singular, directions = algebra.svd(columns)
    return U, singular, directions, singular > np.maximum(least * singular[:, :1], sys.float_info.min)


def _by_singular_values(algebra: Algebra, blocks: Array, count: int, least: float) -> tuple[Array, Array, Array]:
    """Eliminate own columns that may depend on each other: return their solutions, the remaining rows, and ``lost``."""
    U, singular, directions, regular = _decomposed(algebra, blocks[:, :, :count], least)
    U = np.where(regular[:, None], U, 0)
    others = blocks[:, :, count:]
    parts = algebra.product(np.swapaxes(U, 1, 2), others)
    scaled = np.where(regular, 1 / np.where(regular, singular, 1), 0)
    own_solutions = algebra.product(-np.swapaxes(directions, 1, 2), scaled[:, :, None] * parts)
    null = np.where(regular[:, :, None], 0, directions)
    return own_solutions, others - algebra.product(U, parts), algebra.product(np.swapaxes(null, 1, 2), null)


def _combined(algebra: Algebra, parts: tuple[Array, ...], shared: int, damping: float) -> Array:
    """Return the triangle (S, S + 1) of all rows (G, K, S + 1) of some parts, and of damping."""
    width = shared + 1
    rows = [math.sqrt(damping) * np.eye(shared, width)] if damping > 0 else []
    for part in parts:
        step = TOGETHER * part.shape[1]
        flat = part.reshape(-1, width)
        whole = len(flat) // step * step if step else 0
        if whole:
            rows.append(algebra.triangles(flat[:whole].reshape(-1, step, width)).reshape(-1, width))
        rows.append(flat[whole:])
    stacked = np.concatenate(rows)
    while len(stacked) > 4 * TOGETHER * width:
        whole = len(stacked) // (TOGETHER * width) * TOGETHER * width
        triangles = algebra.triangles(stacked[:whole].reshape(-1, TOGETHER * width, width)).reshape(-1, width)
        stacked = np.concatenate([triangles, stacked[whole:]])
    return algebra.triangles(np.concatenate([stacked, np.zeros((width, width))]))[:shared]


class BlockErrors:
    """The errors that follow from the triangles at a solution, in units of the lengths of columns."""

    def __init__(self, problem: Any, triangles: Array) -> None:
        count, width = len(problem.own), len(problem.shared)
        self.epsilon = problem.model.epsilon
        self.algebra = algebra = algebra_of(problem.model)
        finite = bool(np.isfinite(triangles).all())
        T = triangles if finite else np.zeros_like(triangles)
        self.own_norms = _norms(algebra.contract("gij,gij->gj", T[:, :, :count], T[:, :, :count]))
        self.shared_norms = _norms(algebra.contract("gij,gij->j", T[:, :, count:-1], T[:, :, count:-1]))
        blocks = T.copy("K")
        blocks[:, :, :count] /= self.own_norms[:, None]
        blocks[:, :, count:-1] /= self.shared_norms
        eliminated = eliminate(algebra, blocks, count, problem.least)
        self.inverse = inverses(algebra, blocks, count, problem.least)
        self.slopes = eliminated.own[:, :, :width]
        self.triangle = eliminated.triangle[:, :width] * self.shared_norms
        self.decomposition: Decomposition = decompose(eliminated.triangle[:, :width], self.epsilon, algebra)
        self.shared_lost = undetermined(self.decomposition, self.epsilon)
        null = self.decomposition.directions[self.decomposition.rank :] / self.decomposition.norms
        dragged = algebra.lengths(algebra.product(self.slopes, null.T), 2) > math.sqrt(self.epsilon)
        self.own_lost = dragged
        lost = 0
        if eliminated.lost is not None:
            projected = np.einsum("gii->gi", eliminated.lost)
            self.own_lost = dragged | (np.sqrt(np.maximum(projected, 0)) > math.sqrt(self.epsilon))
            lost = round(float(algebra.total(projected)))
        self.rank = problem.groups * count + self.decomposition.rank - lost if finite else 0

    def covariances(self, scale: float) -> tuple[Array, Array, Array]:
        """Return covariances times a scale: own parameters (G, Q, Q), own and shared (G, Q, S), shared (S, S)."""
        A, product = root(self.decomposition), self.algebra.product
        spread = product(self.slopes, A)
        with np.errstate(over="ignore", invalid="ignore"):
            own_covariances = product(self.inverse, np.swapaxes(self.inverse, 1, 2)) + product(
                spread, np.swapaxes(spread, 1, 2)
            )
            own_covariances *= scale / self.own_norms[:, :, None] / self.own_norms[:, None, :]
            cross = product(spread, A.T) * scale / self.own_norms[:, :, None] / self.shared_norms
            shared = product(A, A.T) * scale / self.shared_norms / self.shared_norms[:, None]
        if not math.isfinite(scale):
            for part in (own_covariances, cross, shared):
                part[:] = np.inf
        shared[self.shared_lost] = shared[:, self.shared_lost] = np.inf
        cross[:, :, self.shared_lost] = np.inf
        cross[self.own_lost] = np.inf
        own_covariances[self.own_lost] = np.inf
        np.swapaxes(own_covariances, 1, 2)[self.own_lost] = np.inf
        return own_covariances, cross, shared

    def between(self, scale: float) -> Array:
        """Return the covariances of own parameters of different groups times a scale, (G*Q, G*Q)."""
        product = self.algebra.product
        slopes = product(self.slopes, root(self.decomposition)) / self.own_norms[:, :, None]
        spread = slopes.reshape(slopes.shape[0] * slopes.shape[1], self.decomposition.rank)  # which may be 0
        return product(spread, spread.T) * scale


def _norms(squares: Array) -> Array:
    """Return the roots of squares, 1 for 0."""
    return np.where(squares > 0, np.sqrt(squares), 1.0)

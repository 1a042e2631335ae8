"""The rows of a fit at given parameters: their cost, and the triangle of their QR decomposition.

``runtime/c/nncodegen/residuals.h``, ``robust.h`` and ``convex.h`` do the same in C, and cite the sources of the
formulas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import Companion
from nncodegen.slow.plan import Plan, Samples, columns_of

Array = NDArray[Any]

VALUES = 2**20
"""The approximate number of values of rows that are computed at once."""

LEAST_CURVATURE = 1e-4
"""The fraction of the squared gradient, relative to the size of the cost, that counts as curvature; see convex.h."""

LINEAR, HUBER, SOFT_L1, CAUCHY = range(4)


class NotConvexError(Exception):
    """The error for a loss that is not convex in the outputs, with the index of the sample."""

    def __init__(self, sample: int) -> None:
        super().__init__(sample)
        self.sample = sample


@dataclass(frozen=True)
class Problem:
    """The problem of a fit: rows (N, columns), sigma (), (N,), (N, outputs) or None, and the free parameters."""

    X: Array | None
    Y: Array
    sigma: Array | None
    robust: int
    robust_scale: float
    free: Array

    @property
    def samples(self) -> int:
        """Return the number of samples."""
        return len(self.Y)


class Rows(NamedTuple):
    """The result for the rows at some parameters: R (F, F) and q, where |R s + q| is the residual norm after a step s.

    gradient is R^T q, but computed separately if the loss is no sum of squares; chi2 is then the size of the cost.
    signs (2, guards) tells which guards are above 0 at all samples that count, and which are below (guards.h).
    """

    cost: float
    chi2: float
    used: int
    triangle: Array
    side: Array
    gradient: Array
    signs: Array

    @property
    def finite(self) -> bool:
        """Return whether cost, chi2, triangle and gradient are finite."""
        parts = (self.cost, self.chi2, self.triangle, self.gradient)
        return all(bool(np.isfinite(part).all()) for part in parts)


class FitRows:
    """The companion program of a model for fits, evaluated with NumPy."""

    def __init__(self, companion: Companion) -> None:
        program = companion.program
        self._plan, self._program = Plan(program, program.outputs), program
        self.outputs, self.curved = companion.outputs, companion.curved
        self._seeded = companion.outputs > 1
        self._guards = len(companion.guards)
        self._before = (1 + 2 * self.outputs if companion.curved else self.outputs) + self._guards
        width = self._before + program.parameter_count
        self._at_once = int(max(1, VALUES // (width * max(1, self.outputs))))

    def jacobian(self, parameters: Array, X: Array | None, samples: int) -> Array:
        """Return the derivatives of the outputs: (N, outputs, P)."""
        targets = sum(tensor.size for tensor in self._program.targets) - self._seeded * self.outputs
        Y = np.zeros((samples, targets))
        units = [self._rows(parameters, X, Y, self._unit(k, samples)) for k in range(self.outputs)]
        return np.stack([rows[:, self._before :] for rows in units], axis=1)

    def __call__(self, problem: Problem, parameters: Array) -> Rows:
        """Return the rows at some parameters (P,). Raises NotConvexError."""
        with np.errstate(all="ignore"):
            return self._curved(problem, parameters) if self.curved else self._squares(problem, parameters)

    def squares(self, problem: Problem, parameters: Array) -> float:
        """Return the sum of squares of the outputs, divided by sigma, whose targets are known; 0 for other losses."""
        if self.curved:
            return 0.0
        outputs = self.residuals(problem, parameters) + problem.Y * _factors(problem, slice(None))
        return float(np.nansum(outputs**2))

    def residuals(self, problem: Problem, parameters: Array) -> Array:
        """Return the residuals (N, outputs), divided by sigma; NaN where a target is missing."""
        rows = self._rows(parameters, problem.X, np.zeros((problem.samples, 0)), self._unit(0, problem.samples))
        with np.errstate(all="ignore"):
            return np.asarray((rows[:, : self.outputs] - problem.Y) * _factors(problem, slice(None)))

    # --- sums of squares

    def _squares(self, problem: Problem, parameters: Array) -> Rows:
        cost = chi2 = 0.0
        used, free = 0, problem.free
        signs = np.ones((2, self._guards), bool)
        triangle = np.zeros((0, len(free) + 1))
        for place in self._chunks(problem.samples):
            X, Y = None if problem.X is None else problem.X[place], problem.Y[place]
            nothing = np.zeros((len(Y), 0))
            known = ~np.isnan(Y)
            parts = [self._rows(parameters, X, nothing, self._unit(k, len(Y))) for k in range(self.outputs)]
            factors = np.where(known, _factors(problem, place), 0.0)
            residuals = np.where(known, (parts[0][:, : self.outputs] - Y) * factors, 0.0)
            chi2 += float(np.sum(residuals**2))
            used += int(known.sum())
            signs &= self._signs(parts[0][known.any(axis=1)])
            part, residuals, factors = _robust(problem, residuals, factors)
            cost += part
            whole = [triangle]
            for k, rows in enumerate(parts):
                weighed = np.where(
                    factors[:, k, None] == 0, 0.0, rows[:, self._before :][:, free] * factors[:, k, None]
                )
                whole.append(np.column_stack([weighed, residuals[:, k]]))
            triangle = _folded(np.concatenate(whole))
        R, q = _split(triangle, len(free))
        return Rows(cost, chi2, used, R, q, R.T @ q, signs)

    # --- other losses

    def _curved(self, problem: Problem, parameters: Array) -> Rows:
        cost = size = 0.0
        used, free = 0, problem.free
        triangle, gradient = np.zeros((0, len(free))), np.zeros(len(free))
        signs = np.ones((2, self._guards), bool)
        curviest = 0.0
        for place in self._chunks(problem.samples):
            X, Y = None if problem.X is None else problem.X[place], problem.Y[place]
            known = np.asarray(~np.isnan(Y).any(axis=1))
            parts = [self._rows(parameters, X, Y, self._unit(k, len(Y))) for k in range(self.outputs)]
            loss = np.where(known, parts[0][:, 0], 0.0)
            cost, size, used = cost + float(loss.sum()), size + float(abs(loss).sum()), used + int(known.sum())
            signs &= self._signs(parts[0][known])
            for k, rows in enumerate(parts):
                gradient += rows[known, 1 + k] @ rows[known, self._before :][:, free]
            columns = [rows[:, 1 + self.outputs : 1 + 2 * self.outputs] for rows in parts]
            curvature = np.where(known[:, None, None], np.stack(columns, axis=2), 0.0)
            if not np.isfinite(size + curvature[known].sum()):
                return Rows(np.nan, np.nan, used, np.zeros((len(free),) * 2), np.zeros(len(free)), gradient, signs)
            curviest = max(curviest, float(abs(curvature).max(initial=0.0)))
            factor = self._factorized(curvature, curviest, place.start)
            whole = [triangle]
            for i in range(self.outputs):
                if self._seeded:
                    rows = self._rows(parameters, X, Y, factor[:, :, i])[:, self._before :]
                else:
                    rows = parts[0][:, self._before :] * factor[:, :1, 0]
                whole.append(rows[known][:, free])
            triangle = _folded(np.concatenate(whole))
        if size > 0:
            triangle = _folded(np.vstack([triangle, gradient * np.sqrt(LEAST_CURVATURE / size)]))
        R, _ = _split(triangle, len(free))
        return Rows(cost, size, used, R, np.zeros(len(free)), gradient, signs)

    def _factorized(self, matrices: Array, curviest: float, first: int) -> Array:
        """Return the factors L of matrices D = L L^T (N, outputs, outputs). Raises NotConvexError."""
        doubt = 1000 * float(np.finfo(self._program.precision).eps)
        left, factors = matrices.copy(), np.zeros_like(matrices)
        whole = np.einsum("nii->ni", matrices).copy()
        for j in range(self.outputs):
            pivot = left[:, j, j]
            wrong = np.flatnonzero(pivot < -doubt * curviest)
            if len(wrong):
                raise NotConvexError(first + int(wrong[0]))
            by_root = np.where(pivot > doubt * whole[:, j], 1 / np.sqrt(np.where(pivot > 0, pivot, 1)), 0.0)
            factors[:, j:, j] = left[:, j:, j] * by_root[:, None]
            left = left - factors[:, :, None, j] * factors[:, None, :, j]
        return factors

    # --- parts

    def _chunks(self, samples: int) -> Iterator[slice]:
        for start in range(0, samples, self._at_once):
            yield slice(start, min(start + self._at_once, samples))

    def _signs(self, rows: Array) -> Array:
        """Return which guards are above 0 in all of some rows, and which are below, (2, guards)."""
        values = rows[:, self._before - self._guards : self._before]
        return np.stack([(values > 0).all(axis=0), (values < 0).all(axis=0)])

    def _unit(self, output: int, samples: int) -> Array:
        """Return seeds that select one output."""
        seeds = np.zeros((samples, self.outputs))
        seeds[:, output] = 1
        return seeds

    def _rows(self, parameters: Array, X: Array | None, Y: Array, seeds: Array) -> Array:
        """Return the values of the companion for each sample, side by side."""
        targets = np.concatenate([Y if self.curved else Y[:, :0], seeds], axis=1) if self._seeded else Y
        found = self._plan(parameters, Samples(X, targets, np.ones(len(seeds))))
        return columns_of(found, self._program.outputs, len(seeds))


def _factors(problem: Problem, place: slice) -> Array:
    """Return the factors of residuals, 1/sigma: an array that broadcasts to (N, outputs)."""
    if problem.sigma is None:
        return np.ones((1, 1))
    sigma = problem.sigma.astype(float)
    return 1 / (sigma.reshape(1, 1) if sigma.ndim == 0 else sigma.reshape(len(sigma), -1)[place])


def _robust(problem: Problem, residuals: Array, factors: Array) -> tuple[float, Array, Array]:
    """Return the cost of residuals, and the residuals and the factors of their rows after a robust loss (robust.h)."""
    if problem.robust == LINEAR:
        return float(np.sum(residuals**2)) / 2, residuals, factors
    scale = problem.robust_scale
    z = (residuals / scale) ** 2
    if problem.robust == HUBER:
        root = np.sqrt(np.where(z > 1, z, 1))
        value = np.where(z > 1, 2 * root - 1, z)
        first, second = 1 / root, np.where(z > 1, -0.5 / root**3, 0)
    elif problem.robust == SOFT_L1:
        root = np.sqrt(1 + z)
        value, first, second = 2 * (z / (root + 1)), 1 / root, -0.5 / root**3
    else:
        value, first, second = np.log1p(z), 1 / (1 + z), -1 / (1 + z) ** 2
    curvature = np.maximum(first + 2 * second * z, 0.01 * first)
    factor = np.sqrt(curvature)
    return float(np.sum(0.5 * scale**2 * value)), residuals * first / factor, factors * factor


def _folded(rows: Array) -> Array:
    """Return the triangle of some rows; NaN if a row is not finite."""
    if not np.isfinite(rows).all():
        return np.full((rows.shape[1], rows.shape[1]), np.nan)
    return np.asarray(np.linalg.qr(rows, mode="r"))


def _split(triangle: Array, free: int) -> tuple[Array, Array]:
    """Return R (F, F) and q (F,) of a triangle, which may have fewer rows."""
    whole = np.zeros((free, max(triangle.shape[1], free + 1)))
    count = min(free, len(triangle))
    whole[:count, : triangle.shape[1]] = triangle[:count]
    return whole[:, :free], whole[:, free]

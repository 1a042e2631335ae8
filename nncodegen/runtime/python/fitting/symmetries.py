"""Under which changes of origin and unit the curves of a formula are curves of it, with other parameters.

A peak on a line stays one where x + s or t*x stands in the place of x, and so do its multiples; V*x/(K + x) becomes
another formula where x is shifted. Such changes are groups of one number each, so their derivatives tell: the family
is closed under shifts of x if the derivative by x is, at all parameters, a combination of the derivatives by these,

    df/dx (x; p) = sum(j) v_j(p) * df/dp_j (x; p)

and then f(x + s; p) = f(x; q), where q is the solution of dq/ds = v(q) that begins at p. That is looked for with
numbers: at drawn parameters, v is found by least squares. Where it is an affine function of the parameters that are not
linear, q follows from the exponential of a matrix; the linear ones are those of least squares. What was found is
checked with a finite change.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ground.types import Array
    from ..native.model import Model

LOW, HIGH = 0.6, 2.4
"""The inputs at which formulas are compared: above 0, so that logarithms and powers exist."""

EXTRA, ROWS = 10, 6
"""The parameters that are drawn beyond twice their number, and the samples for each of them."""

STEP = {"float64": 0.01, "float32": 0.1}
"""The step of differences by inputs."""

CLOSE = {"float64": 1e-6, "float32": 1e-3}
"""The relative error up to which numbers that follow from differences count as equal."""

CHANGE = 0.25
"""The finite change of the group's number with which a symmetry is checked."""

STENCIL = ((1, 45 / 60), (2, -9 / 60), (3, 1 / 60))
"""Differences of sixth order: their distances in steps, and their weights."""


class Symmetry(NamedTuple):
    """A group of changes under which a formula is closed.

    The matrix (d + 1, d + 1) is the derivative of the change of the d parameters that are not linear, and of 1.
    ``factors`` and ``terms``, (P,), are those of parameters each of which follows from itself alone, as
    ``dp/ds = factor*p + term``; they are NaN for the others.
    """

    matrix: Array
    factors: Array
    terms: Array

    def of_others(self, change: float) -> Array:
        """Return the matrix (d + 1, d + 1) of a finite change of the parameters that are not linear, and of 1."""
        return exponential(self.matrix * change)

    def of_each(self, change: float, values: Array) -> Array:
        """Return values of parameters, (P,), after a change; NaN for those that depend on others."""
        grown = np.exp(self.factors * change)
        with np.errstate(invalid="ignore", divide="ignore"):
            added = np.where(self.factors == 0, change, (grown - 1) / np.where(self.factors == 0, 1, self.factors))
        moved: Array = np.where(np.isfinite(values), grown * values + self.terms * added, values)
        return moved


class Symmetries(NamedTuple):
    """The symmetries of a formula: shifts and scales of each input, and of the outputs together; None without."""

    shifts: tuple[Symmetry | None, ...]
    scales: tuple[Symmetry | None, ...]
    height_shift: Symmetry | None
    height_scale: Symmetry | None


def symmetries_of(model: Model) -> Symmetries:
    """Return the symmetries of a formula, which are looked for once for each model."""
    if model.symmetries is None:
        model.symmetries = _found(model)
    symmetries: Symmetries = model.symmetries
    return symmetries


def exponential(matrix: Array) -> Array:
    """Return the exponential of a small matrix, by its series after it is halved until it is small."""
    norm = float(np.abs(matrix).sum(axis=0).max(initial=0.0))
    halved = max(0, int(np.ceil(np.log2(norm))) + 1) if norm > 0 else 0
    small = matrix / 2.0**halved
    total = term = np.eye(len(matrix))
    for k in range(1, 20):
        term = term @ small / k
        total = total + term
    for _ in range(halved):
        total = total @ total
    return total


def _found(model: Model) -> Symmetries:
    inputs = len(model.input_names)
    drawn = _Drawn(model)
    return Symmetries(
        tuple(drawn.symmetry(partial(_moved, k, 0.0)) for k in range(inputs)),
        tuple(drawn.symmetry(partial(_moved, k, 1.0)) for k in range(inputs)),
        drawn.symmetry(None, shifts=True),
        drawn.symmetry(None),
    )


def _moved(column: int, scales: float, X: Array, change: float) -> Array:
    """Return inputs after the shift of a column by a change, or its multiplication by exp(change)."""
    moved = X.copy()
    moved[:, column] = X[:, column] * np.exp(change) if scales else X[:, column] + change
    return moved


class _Drawn:
    """A formula at drawn parameters (S, P), and at drawn inputs."""

    def __init__(self, model: Model) -> None:
        self.model = model
        count = model.parameter_count
        random = np.random.default_rng(0)
        self.samples = ROWS * (count + 2)
        self.X = random.uniform(LOW, HIGH, (self.samples, len(model.input_names))) if model.input_names else None
        self.points = random.lognormal(0, 0.4, (2 * count + EXTRA, count))
        linear = np.zeros(count, bool)
        linear[[model.places[name].start for name in model.facts.fitting.linear]] = True
        self.linear, self.others = np.flatnonzero(linear), np.flatnonzero(~linear)
        self.close = CLOSE[model.precision]
        self.slopes = np.array([self._slopes(point) for point in self.points])
        self.values = np.array([self.predict(point, self.X) for point in self.points])

    def predict(self, point: Array, X: Array | None) -> Array:
        """Return the outputs, (samples*outputs,)."""
        outputs = np.empty((self.samples, self.model.output_count), self.model.dtype)
        inputs = None if X is None else X.astype(self.model.dtype)
        self.model.native.predict(point.astype(self.model.dtype), inputs, self.samples, outputs)
        return outputs.astype(float).ravel()

    def _slopes(self, point: Array) -> Array:
        model = self.model
        slopes = np.empty((self.samples, model.output_count, len(point)), model.dtype)
        X = None if self.X is None else self.X.astype(model.dtype)
        model.native.jacobian(point.astype(model.dtype), X, self.samples, slopes)
        return slopes.astype(float).reshape(-1, len(point))

    def symmetry(self, move: Callable[[Array, float], Array] | None, shifts: bool = False) -> Symmetry | None:
        """Return the symmetry of moved inputs, or of outputs that are shifted or scaled; None if there is none."""
        with np.errstate(all="ignore"):
            changes = [self._change(place, move, shifts) for place in range(len(self.points))]
            matrix = self._matrix(changes)
            if matrix is None:
                return None
            symmetry = self._with_each(matrix, changes)
            return symmetry if all(self._holds(symmetry, place, move, shifts) for place in range(3)) else None

    def _change(self, place: int, move: Callable[[Array, float], Array] | None, shifts: bool) -> tuple[Array, Array]:
        """Return the derivative of the values at a point by the number of the group, and the mask of those known."""
        values, point = self.values[place], self.points[place]
        if move is None:
            change, used = (np.ones_like(values) if shifts else values), np.isfinite(values)
        else:
            change, other = (self._difference(point, move, STEP[self.model.precision] / part) for part in (1, 2))
            used = np.abs(change - other) <= self.close * (np.abs(change) + np.abs(values))  # not across corners
        return change, used & np.isfinite(self.slopes[place]).all(axis=1)

    def _difference(self, point: Array, move: Callable[[Array, float], Array], step: float) -> Array:
        assert self.X is not None
        total = np.zeros_like(self.values[0])
        for distance, weight in STENCIL:
            forth, back = (self.predict(point, move(self.X, side * distance * step)) for side in (1, -1))
            total += weight * (forth - back)
        difference: Array = total / step
        return difference

    def _matrix(self, changes: list[tuple[Array, Array]]) -> Array | None:
        """Return the matrix of a symmetry if its v are affine, from the equations of all points together."""
        count = len(self.others)
        rows, sides = [], []
        for point, slopes, values, (change, used) in zip(self.points, self.slopes, self.values, changes, strict=True):
            if used.sum() <= len(point):
                return None
            size = np.linalg.norm(change[used]) + self.close * np.linalg.norm(values[used])
            left = _without(slopes[used][:, self.linear], np.column_stack([slopes[used][:, self.others], change[used]]))
            left /= size or 1.0
            known = np.append(point[self.others], 1.0)
            rows.append((left[:, :count, None] * known).reshape(len(left), -1))
            sides.append(left[:, count])
        equations, side = np.concatenate(rows), np.concatenate(sides)
        matrix = np.zeros((count, count + 1))
        if count:
            norms = np.linalg.norm(equations, axis=0)
            norms[norms == 0] = 1
            solution = np.linalg.lstsq(equations / norms, side, rcond=1e-10)[0] / norms
            matrix = _rounded(solution, self.close).reshape(count, count + 1)
        if not np.linalg.norm(side - equations @ matrix.ravel()) <= self.close * np.sqrt(len(self.points)):
            return None
        return np.vstack([matrix, np.zeros(count + 1)])

    def _with_each(self, matrix: Array, changes: list[tuple[Array, Array]]) -> Symmetry:
        """Return the symmetry of a matrix, with what each parameter does by itself."""
        factors, terms = (np.full(len(self.points[0]), np.nan) for _ in range(2))
        for place, (index, row) in enumerate(zip(self.others, matrix[:-1], strict=True)):
            if not np.delete(row[:-1], place).any():
                factors[index], terms[index] = row[place], row[-1]
        for index in self.linear:
            rows, sides = [], []
            for point, slopes, (change, used) in zip(self.points, self.slopes, changes, strict=True):
                field = (matrix @ np.append(point[self.others], 1.0))[:-1]
                rest = change[used] - slopes[used][:, self.others] @ field
                column = slopes[used][:, index]
                left = _without(slopes[used][:, self.linear[self.linear != index]], np.column_stack([column, rest]))
                left /= (np.linalg.norm(column) * (1 + point[index])) or 1.0
                rows.append(left[:, :1] * [point[index], 1.0])
                sides.append(left[:, 1])
            equations, side = np.concatenate(rows), np.concatenate(sides)
            pair = _rounded(np.linalg.lstsq(equations, side, rcond=None)[0], self.close)
            if np.linalg.norm(side - equations @ pair) <= 10 * self.close * np.sqrt(len(self.points)):
                factors[index], terms[index] = pair
        return Symmetry(matrix, factors, terms)

    def _holds(
        self, symmetry: Symmetry, place: int, move: Callable[[Array, float], Array] | None, shifts: bool
    ) -> bool:
        """Return whether a finite change of a point has the values that it should have."""
        point, values = self.points[place].copy(), self.values[place]
        if move is None:
            expected = values + CHANGE if shifts else values * np.exp(CHANGE)
        else:
            assert self.X is not None
            expected = self.predict(point, move(self.X, CHANGE))
        point[self.others] = (symmetry.of_others(CHANGE) @ np.append(point[self.others], 1.0))[:-1]
        point[self.linear] = 0
        rest, columns = expected - self.predict(point, self.X), self._slopes(point)[:, self.linear]
        used = np.isfinite(rest) & np.isfinite(columns).all(axis=1)
        if used.sum() <= 2 * len(point):
            return False
        rest = _without(columns[used], rest[used, None])[:, 0]
        return bool(np.linalg.norm(rest) <= 10 * self.close * np.linalg.norm(expected[used]))


def _without(columns: Array, vectors: Array) -> Array:
    """Return vectors, (N, K), without what some columns, (N, L), explain of them."""
    if not columns.shape[1]:
        return vectors
    norms = np.linalg.norm(columns, axis=0)
    norms[norms == 0] = 1
    U, singular, _ = np.linalg.svd(columns / norms, full_matrices=False)
    U = U[:, singular > 1e-10 * singular[0]]
    remainder: Array = vectors - U @ (U.T @ vectors)
    return remainder


def _rounded(values: Array, close: float) -> Array:
    """Return values of which those that nearly are multiples of 1/6 are such multiples."""
    near = np.round(values * 6) / 6
    return np.where(np.abs(values - near) <= 10 * close, near, values)

"""A damped step of a fit within bounds: the minimum of |R s + q|^2 + damping |D s|^2, where D scales the parameters.

It is taken from the singular value decomposition of R D^-1, so that every damping costs only products. Parameters at
bounds are clamped and let go as in ``runtime/c/nncodegen/bounds.h`` (Stark and Parker, Bounded-variable least squares,
1995).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.slow.rows import Rows

Array = NDArray[Any]


class Point:
    """Where a fit is, and what follows from the rows there. Arrays have an entry for each free parameter."""

    def __init__(
        self, rows: Rows, place: Array, low: Array, high: Array, scale: Array, curved: bool, doubt: float
    ) -> None:
        self.rows, self.place = rows, place
        self.low, self.high = low - place, high - place
        self.length = np.linalg.norm(rows.triangle, axis=0)
        self.scale = np.maximum(scale, self.length)
        self.by_scale = np.where(self.scale > 0, 1 / np.where(self.scale > 0, self.scale, 1), 1.0)
        self.held = ((self.high <= 0) & (rows.gradient < 0)).astype(int) - ((self.low >= 0) & (rows.gradient > 0))
        self.bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())
        self._curved, self._doubt = curved, doubt
        self._systems: dict[bytes, System] = {}

    @property
    def size(self) -> float:
        """How large the cost is: its absolute values, where a loss may have any sign."""
        return self.rows.chi2 if self._curved else self.rows.cost

    @property
    def scaled_length(self) -> float:
        """The length of the parameters, |D x|."""
        return float(np.linalg.norm(self.place * self.scale))

    def largest_cosine(self) -> float:
        """The largest cosine of an angle between the residuals and a column that no bound holds."""
        moves = (self.held == 0) & (self.length > 0)
        if not moves.any() or not self.size > 0:
            return 0.0
        return float(np.max(abs(self.rows.gradient[moves]) / self.length[moves]) / np.sqrt(2 * self.size))

    def system(self, clamped: Array, step: Array) -> System:
        """The system of the parameters that are not clamped; the steps of the others are given."""
        key = clamped.tobytes() + np.where(clamped != 0, step, 0.0).tobytes()
        if key not in self._systems:
            moving = np.flatnonzero(clamped == 0)
            change = self.rows.triangle @ np.where(clamped != 0, step, 0.0)
            side, gradient = self.rows.side + change, self.rows.gradient + self.rows.triangle.T @ change
            matrix = self.rows.triangle[:, moving] * self.by_scale[moving]
            slope = gradient[moving] * self.by_scale[moving] if self._curved else None
            self._systems = {key: System(matrix, side, slope, moving, self._doubt)}
        self._last = self._systems[key]
        return self._last

    def step(self, damping: float) -> Array:
        """The step with some damping, within the bounds."""
        clamped, step = self.held.copy(), np.zeros(len(self.place))
        rounding = 1e-13 * float(np.max(abs(self.rows.gradient) * self.by_scale, initial=0.0))
        for _ in range(3 * len(step) + 10):
            system = self.system(clamped, step)
            goal = step.copy()
            goal[system.moving] = system.solution(damping) * self.by_scale[system.moving]
            if not self.bounded:
                return goal
            hit = self._go(step, goal, clamped)
            if hit:
                continue
            found = self._unwilling(step, clamped, damping, rounding)
            if found is None:
                break
            clamped[found] = 0
        return step

    def _go(self, step: Array, goal: Array, clamped: Array) -> bool:
        """Goes towards a goal, to the first bound on the way, which is clamped. Returns whether there was one."""
        way = goal - step
        limit = np.where(way > 0, self.high, self.low)
        beyond = (clamped == 0) & ((goal > self.high) | (goal < self.low))
        parts = np.where(beyond, (limit - step) / np.where(beyond, way, 1.0), np.inf)
        first = int(np.argmin(parts)) if len(parts) else 0
        if not beyond.any():
            step[:] = goal
            return False
        step += min(1.0, float(parts[first])) * way
        clamped[first], step[first] = (1, self.high[first]) if way[first] > 0 else (-1, self.low[first])
        return True

    def _unwilling(self, step: Array, clamped: Array, damping: float, rounding: float) -> int | None:
        """The clamped parameter that wants most to leave its bound, if any does."""
        R = self.rows.triangle
        slope = damping * self.scale * step + (self.rows.gradient + R.T @ (R @ step)) * self.by_scale
        wish = np.where(clamped != 0, slope * clamped, -np.inf)
        found = int(np.argmax(wish)) if len(wish) else 0
        return found if len(wish) and wish[found] > rounding else None

    def limited_step(self, radius: float, damping: float) -> tuple[Array, float]:
        """The step as long as a radius, to a tenth of it, or the undamped one; and its damping (More, 1978)."""
        step = self.step(0.0)
        length = self.length_of(step)
        if length <= 1.1 * radius:
            return step, 0.0
        moves, low = self.held == 0, 0.0
        if self._last.rank == len(step):
            low = (length - radius) / radius / self._last.slope_of_length(0.0)
        high = float(np.linalg.norm(self.rows.gradient[moves] * self.by_scale[moves])) / radius
        following = damping if low < damping < high else low if low > 0 else 1e-3 * high
        for _ in range(10):
            damping, step = following, self.step(following)
            length = self.length_of(step)
            excess = length - radius
            if abs(excess) <= 0.1 * radius:
                break
            low, high = (max(low, following), high) if excess > 0 else (low, min(high, following))
            following += excess / radius / self._last.slope_of_length(following) if length > 0 else 0.0
            if not low < following < high:
                following = float(np.sqrt(low * high)) if low > 0 else 1e-3 * high
        return step, damping

    def length_of(self, step: Array) -> float:
        """How long a step is, |D s|."""
        return float(np.linalg.norm(step * self.scale))

    def predicted_fall(self, step: Array) -> tuple[float, float]:
        """How much the cost falls if the residuals are linear, and the slope along the step."""
        change = self.rows.triangle @ step
        slope = float(self.rows.gradient @ step)
        return -slope - float(change @ change) / 2, slope

    def possible_fall(self) -> float:
        """How much the cost would fall without damping, if the residuals were linear."""
        return self.system(self.held, np.zeros(len(self.place))).fall


class System:
    """The least squares of some parameters, decomposed."""

    def __init__(self, matrix: Array, side: Array, slope: Array | None, moving: Array, doubt: float) -> None:
        self.moving = moving
        U, self._values, self._V = np.linalg.svd(matrix, full_matrices=False)
        least = doubt * float(self._values.max(initial=0.0))
        self._known = self._values > least
        self.rank = int(self._known.sum())
        safe = np.where(self._known, self._values, 1.0)
        self._sides = U.T @ side if slope is None else np.where(self._known, self._V @ slope / safe, 0.0)
        self._slopes = self._values * self._sides if slope is None else self._V @ slope
        self.fall = float(np.sum(self._sides[self._known] ** 2)) / 2

    def solution(self, damping: float) -> Array:
        """The solution in scaled parameters; without damping, that of least length where they are not determined."""
        if damping > 0:
            parts = self._slopes / (self._values**2 + damping)
        else:
            parts = np.where(self._known, self._sides / np.where(self._known, self._values, 1.0), 0.0)
        self._parts = parts
        return -(self._V.T @ parts)

    def slope_of_length(self, damping: float) -> float:
        """How fast the length of the solution with a damping, the last one, falls as that grows, divided by the length.

        (More, The Levenberg-Marquardt algorithm, 1978, section 5.)
        """
        return float(np.sum(self._parts**2 / (self._values**2 + damping)) / np.sum(self._parts**2))

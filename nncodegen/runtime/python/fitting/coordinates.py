"""A problem in other coordinates: with the origin and the unit of its data where the formula lets them be chosen.

A search draws places, lengths and rates, and varies them by a part of their size. Where data lie at 1,500 to 1,700,
that part of a place is more than the distance of two peaks. So the search sees data from 0 to 1, wherever the formula
has the same curves there (``symmetries``): what it finds does not depend on origin and unit.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from .symmetries import symmetries_of

if TYPE_CHECKING:
    from ..ground.types import Array
    from .problem import Problem
    from .symmetries import Symmetry

TOLD = 400
"""The most samples, spread evenly, from which linear parameters are computed in other coordinates."""

FAITHFUL = 1e-3
"""The relative error of values up to which a point counts as the same in other coordinates."""


class Coordinates:
    """The coordinates of a search: a problem, and how points lead from the given problem to it, and back."""

    def __init__(self, original: Problem, held: Array | None) -> None:
        self.given = original
        model = original.model
        self._held = np.zeros(model.parameter_count, bool) if held is None else held != 0
        low, high = original.options.bounds or (np.full(len(self._held), -np.inf), np.full(len(self._held), np.inf))
        self._stays = self._held | np.isfinite(low) | np.isfinite(high)
        linear = np.zeros(len(self._held), bool)
        linear[[model.places[name].start for name in model.facts.fitting.linear]] = True
        self._others, self._free = np.flatnonzero(~linear), np.flatnonzero(linear & ~self._held)
        self._steps: list[tuple[Symmetry, float]] = []
        """The symmetries and their changes, in their order."""
        self._base, self._height = 0.0, 1.0
        self.problem = self._changed()

    @property
    def are_others(self) -> bool:
        """Return whether these coordinates are others than those of the given problem."""
        return bool(self._steps)

    def points_here(self, points: Array) -> Array:
        """Return points, (K, P), of the given problem in these coordinates."""
        return self._moved(points, self.given, self.problem, False)

    def points_there(self, points: Array) -> Array:
        """Return points, (K, P), of these coordinates as those of the given problem."""
        return self._moved(points, self.problem, self.given, True)

    def _changed(self) -> Problem:
        """Return the problem in new coordinates, or the given one if the formula allows none."""
        original, model = self.given, self.given.model
        if model.facts.steps.max_steps or not model.facts.fitting.fits_outputs or not np.isfinite(original.Y).any():
            return original
        symmetries, problem = symmetries_of(model), copy(original)
        if original.X is not None:
            known, X = np.isfinite(original.Y).any(axis=1), original.X.astype(float)
            for column in range(X.shape[1]):
                first = float(X[known, column].min())
                if self._take(symmetries.shifts[column], first):
                    X[:, column] -= first
                size = float(np.abs(X[known, column]).max())
                if size > 0 and self._take(symmetries.scales[column], float(np.log(size))):
                    X[:, column] /= size
            problem.X = np.ascontiguousarray(X, model.dtype)
        Y = original.Y.astype(float)
        if Y.shape[1] == 1 and self._take(symmetries.height_shift, -float(np.nanmin(Y))):
            self._base = float(np.nanmin(Y))
        size = float(np.nanmax(np.abs(Y - self._base)))
        if size > 0 and self._take(symmetries.height_scale, -float(np.log(size))):
            self._height = size
        if not self._steps:
            return original
        problem.Y = np.ascontiguousarray((Y - self._base) / self._height, model.dtype)
        if original.sigma is not None:
            problem.sigma = np.asarray(original.sigma / self._height, model.dtype)
        else:
            problem.options = problem.options.changed(f_scale=original.options.f_scale / self._height)
        if original.options.bounds is not None:
            low, high = (self._of_each(bound).astype(model.dtype) for bound in original.options.bounds)
            problem.options = problem.options.changed(bounds=(low, high))
        return problem

    def _take(self, symmetry: Symmetry | None, change: float) -> bool:
        """Add a change, if the formula has this symmetry, and what is held or bounded follows from itself alone."""
        if symmetry is None or not np.isfinite(symmetry.factors[self._stays]).all():
            return False
        if change:
            self._steps.append((symmetry, change))
        return True

    def _of_each(self, values: Array, back: bool = False) -> Array:
        """Return values of held or bounded parameters, (P,), in these coordinates, or back; others are unchanged."""
        moved = np.asarray(values, float)
        for symmetry, change in self._steps[:: -1 if back else 1] if self._stays.any() else ():
            moved = np.where(self._stays, symmetry.of_each(-change if back else change, moved), moved)
        return moved

    def _moved(self, points: Array, origin: Problem, goal: Problem, back: bool) -> Array:
        """Return points of one problem in the coordinates of the other one.

        Parameters that are not linear follow from the symmetries, those that are held likewise, and the others from
        the values of the formula. A point whose values are not the same then is NaN.
        """
        if not self._steps:
            return points
        model, matrix = origin.model, np.eye(len(self._others) + 1)
        for symmetry, change in self._steps[:: -1 if back else 1]:
            matrix = symmetry.of_others(-change if back else change) @ matrix
        rows = np.flatnonzero(np.isfinite(origin.Y).any(axis=1))
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), TOLD)).astype(int)]
        moved = points.astype(float)
        for place, point in enumerate(moved):
            with np.errstate(all="ignore"):
                values = _predicted(origin, points[place], rows)
                values = values * self._height + self._base if back else (values - self._base) / self._height
                held = self._of_each(point, back)
                point[self._others] = (matrix @ np.append(point[self._others], 1.0))[:-1]
                point[self._held] = held[self._held]
                point[self._free] = 0
                self._put_linear(point, values, goal, rows)
                if goal.options.bounds is not None:
                    np.clip(point, *goal.options.bounds, out=point)
                wrong = np.abs(_predicted(goal, point, rows) - values).max()
            if not wrong <= FAITHFUL * (np.abs(values).max() + 1e-300):
                point[:] = np.nan
        return moved.astype(model.dtype)

    def _put_linear(self, point: Array, values: Array, goal: Problem, rows: Array) -> None:
        """Set the free linear parameters of a point, at which they are 0, so that it has some values."""
        if not len(self._free):
            return
        X = None if goal.X is None else np.ascontiguousarray(goal.X[rows])
        slopes = np.empty((*values.shape, len(point)), goal.model.dtype)
        goal.model.native.jacobian(point.astype(goal.model.dtype), X, len(rows), slopes)
        columns = slopes.astype(float).reshape(-1, len(point))[:, self._free]
        rest = (values - _predicted(goal, point, rows)).ravel()
        norms = np.linalg.norm(columns, axis=0)
        norms[~(norms > 0)] = 1
        if np.isfinite(columns).all() and np.isfinite(rest).all():
            point[self._free] = np.linalg.lstsq(columns / norms, rest, rcond=1e-12)[0] / norms


def _predicted(problem: Problem, point: Array, rows: Array) -> Array:
    """Return the outputs at some rows, (rows, outputs)."""
    model = problem.model
    outputs = np.empty((len(rows), model.output_count), model.dtype)
    X = None if problem.X is None else np.ascontiguousarray(problem.X[rows])
    model.native.predict(np.ascontiguousarray(point, model.dtype), X, len(rows), outputs)
    return outputs.astype(float)

"""Profiles of predictions and quantities: how far one can go before the best fit that gives it becomes too bad.

A function of the parameters is held near a value by a penalty, as by an observation of it. A fit with that penalty is
the best of all that give the function the value which it then has, wherever the penalty pulls it, so that each is a
point of the profile (C. Kreutz, A. Raue, D. Kaschek, J. Timmer, Profile likelihood in systems biology, FEBS J. 280,
2013: a validation profile gives that of the prediction). A function that is not linear is replaced by its tangent,
which is drawn again where the fit ends, until the fit stays there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.share import is_ended, share
from ..penalty import Penalty
from .axis import Axis
from .follow import ROUNDING, BothSides, Followed, stacked
from .single import check_converged, followed_within, held_by, level_of, warn_of_lower
from .walk import BROKEN, CROSSED, UNFINISHED, Points, Walk

if TYPE_CHECKING:
    from ...ground.types import Array
    from ..quantities import Function

STRONG = 0.1
"""The standard deviation of the function in the penalty, in units of its standard error."""

STAYS = 1e-5
"""A tangent is good enough that differs from its function by this part of the distance to the level."""

TANGENTS = 30
"""The most tangents for one point of a profile."""


def prediction_profiles(result: Any, X: Any, level: float, threads: int = 1) -> tuple[Array, Array, Array]:
    """Return outputs for the rows of X, and the ends of their intervals by profiles, each (N, K)."""
    check_converged(result)
    outputs, low, high = result.predict(X, interval="confidence", level=level)
    reach, ends = (high - low) / 2, np.stack([low, high])
    places = [(n, k) for n in range(len(outputs)) for k in range(outputs.shape[1]) if 0 < reach[n, k] < np.inf]
    if places:
        rows = None if X is None else model_inputs(result, X, len(outputs))
        functions = [
            partial(_predicted, result._model, None if rows is None else rows[n : n + 1], k) for n, k in places
        ]
        whole, functions = result._in_whole(functions)
        reaches = np.array([reach[place] for place in places])
        observed = Observed(whole, functions, reaches, level_of(result, level), threads)
        observed.follow()
        if observed.lower:
            warn_of_lower(whole, *observed.lower[0])
        for place, interval in zip(places, observed.followed(False).intervals, strict=True):
            ends[(slice(None), *place)] = interval
    return outputs, ends[0], ends[1]


def quantity_profiles(
    result: Any, names: Sequence[str], t: float, threads: int, time_limit: float | None, progress: bool
) -> Followed:
    """Return the profiles of tied parameters and derived quantities, by their names."""
    return followed_within(_observed_quantities(result, names, t, threads), time_limit, progress)


def quantity_profiles_of_many(
    results: Sequence[Any], names: Sequence[str], t: Array, threads: int, time_limit: float | None, progress: bool
) -> Followed:
    """Return the profiles of quantities of many fits, to the level of each, (M,): those of a quantity together."""
    observed = [
        _observed_quantities(result, names, level, 1) for result, level in zip(results, t.tolist(), strict=True)
    ]
    return followed_within(ObservedMany(observed, len(names), threads), time_limit, progress)


def _observed_quantities(result: Any, names: Sequence[str], t: float, threads: int) -> Observed:
    derived = result.derived
    places = [derived.names.index(name) for name in names]
    errors = np.array([derived.standard_errors[place] for place in places])
    for name, error in zip(names, errors.tolist(), strict=True):
        if error == 0:
            raise ValueError(f"{name} is a number, which no parameter changes: it has no profile")
    return Observed(result, [result._quantity(place) for place in places], t * errors, t, threads)


def _predicted(model: Any, row: Array | None, column: int, parameters: Array) -> tuple[float, Array]:
    """Return an output for a row of inputs, and its derivatives by the parameters, (P,)."""
    point = parameters.astype(model.dtype)
    slopes: Array = np.asarray(model.jacobian(point, row), float)[0, column]
    return float(model.predict(point, row)[0, column]), slopes


def model_inputs(result: Any, X: Any, count: int) -> Array:
    """Return the rows of X as the model takes them, (N, inputs)."""
    from ...arguments.arguments import check_inputs  # noqa: PLC0415 (which intervals of parameters do not need)

    rows, _ = check_inputs(result._model, X)
    return np.asarray(rows).reshape(count, -1)


class Observed(BothSides):
    """Functions of the parameters of a fit, Q of them, each of which is held on either side of its value.

    ``reaches`` is how far standard errors say that the level is, (Q,), at which the rise is t**2; infinite if they do
    not know.
    """

    def __init__(self, result: Any, functions: Sequence[Function], reaches: Array, t: float, threads: int = 1) -> None:
        if result._refit is None:
            raise ValueError("this result holds nothing to fit again with; use method='t'")
        self._result, self._functions, self._threads = result, functions, threads
        count = len(functions)
        super().__init__(count)
        self._best, self._held = result.parameters.astype(float), held_by(result)
        self._values = np.array([function(self._best)[0] for function in functions])
        # what no derivative determines is followed from steps as large as its value
        reaches = np.where(np.isfinite(reaches), reaches, np.where(self._values == 0, 1, np.abs(self._values)))
        self._reaches, self._rise = reaches, t**2 * result.error_scale / 2
        self._deviations = STRONG * reaches / (t * math.sqrt(result.error_scale))
        # where the penalty pulls to move a linear function by its reach
        self._moved = reaches * (1 + STRONG**2)
        self._lowest = result.cost - ROUNDING * abs(result.cost)
        self.walk = Walk(
            self._outward, np.tile(self._best, (2 * count, 1)), np.full(2 * count, 1e4), np.zeros(2 * count, bool)
        )

    def followed(self, is_whole: bool) -> Followed:
        """Return the profiles, and check what lies between their points, if they are whole."""
        points, count = self.walk.points(), self._count
        curves = self._joined(points, self._values, np.tile(self._best, (count, 1)), is_whole)
        infinite = np.full(count, np.inf)
        axis = Axis.of(self._values, self._reaches, -infinite, infinite)
        intervals = np.stack([self._ends(points, side) for side in (1, 0)], axis=1)
        return Followed(
            curves._replace(u=axis.of_curves(curves.curves).coordinate(curves.values)),
            intervals,
            self._below_and_above(self.walk.ends),
            axis,
            self.lower,
        )

    def _ends(self, points: Points, side: int) -> Array:
        """Return the values at which the curves of a side cross the level, (Q,); infinite where they do not."""
        ends = np.empty(self._count)
        for k in range(self._count):
            curve = side * self._count + k
            part, end = points.curves == curve, self.walk.ends[curve]
            if end in (CROSSED, BROKEN) and part.any():
                u, values = np.append(0.0, points.u[part]), np.append(self._values[k], points.values[part])
                ends[k] = _value_at(u, values, float(self.walk.crossings[curve]))
            else:
                ends[k] = math.nan if end == UNFINISHED else -math.inf if side else math.inf
        return ends

    def _outward(self, curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        """Return roots of rises, values, and parameters at distances along curves."""
        functions, signs = curves % self._count, np.where(curves < self._count, 1.0, -1.0)
        targets = self._values[functions] + signs * u * self._moved[functions]
        costs, values, points = np.empty(len(u)), np.empty(len(u)), np.empty(starts.shape)

        def work(first: int, last: int) -> None:
            for k in range(first, last):
                if is_ended():
                    raise KeyboardInterrupt
                costs[k], values[k], points[k] = self._held_at(int(functions[k]), float(targets[k]), starts[k])

        share(work, len(u), 1, self._threads)
        lowest = int(np.argmin(np.where(np.isfinite(costs), costs, np.inf)))
        known = self.lower[0][0] if self.lower else self._lowest
        if costs[lowest] < known:
            self.lower[0] = float(costs[lowest]), points[lowest].copy()
        return np.sqrt(np.maximum((costs - self._result.cost) / self._rise, 0)), values, points

    def _held_at(self, number: int, target: float, point: Array) -> tuple[float, float, Array]:
        """Return the cost, value and parameters of the best fit whose function is pulled to a target.

        The cost is NaN where the fit does not come to stay with its tangent.
        """
        function, deviation = self._functions[number], float(self._deviations[number])
        value, slopes = function(point)
        noise = max(STAYS * float(self._reaches[number]), 100 * float(self._result._model.epsilon) * abs(value))
        for _ in range(TANGENTS):
            if not (math.isfinite(value) and np.isfinite(slopes).all()):
                break
            penalty = Penalty(slopes[None] / deviation, np.array([(value - slopes @ point - target) / deviation]))
            cost, fitted = self._result._refit(self._held, point, penalty)
            fitted = fitted.astype(float)
            expected = value + float(slopes @ (fitted - point))
            value, slopes = function(fitted)
            point = fitted
            if abs(value - expected) <= noise:
                return cost, value, point
        return math.nan, value, point


class ObservedMany:
    """Q functions of the parameters of many fits, each fit by itself, shared over threads."""

    def __init__(self, observed: Sequence[Observed], count: int, threads: int) -> None:
        self._observed, self._count, self._threads = observed, count, threads

    @property
    def ends(self) -> Array:
        """Return the ends of all curves."""
        return np.concatenate([each.ends for each in self._observed])

    def follow(self) -> None:
        """Follow all profiles."""

        def work(first: int, last: int) -> None:
            for each in self._observed[first:last]:
                each.follow()

        share(work, len(self._observed), 1, self._threads)

    def followed(self, is_whole: bool) -> Followed:
        """Return the profiles: those of a function follow each other."""
        parts = [each.followed(is_whole) for each in self._observed]
        order = np.arange(len(parts) * self._count).reshape(len(parts), self._count).T.ravel()
        lower = {fit: part.lower[0] for fit, part in enumerate(parts) if part.lower}
        return stacked(parts).some(order)._replace(lower=lower)


def _value_at(u: Array, values: Array, at: float) -> float:
    """Return the value at a coordinate close to one of the points, by the parabola through the three nearest ones."""
    near = np.argsort(np.abs(u - at), kind="stable")[:3]
    u, values = u[near], values[near]
    total = 0.0
    for k in range(len(u)):
        others = np.delete(u, k)
        total += float(values[k] * np.prod((at - others) / (u[k] - others)))
    return total

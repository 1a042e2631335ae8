"""Profiles of predictions and quantities: how far one can go before the best fit that gives it becomes too bad.

An output is held by one more observation of it. A fit with that observation is the best of all that give the output the
value which it then has, wherever the observation lies, so that each is a point of the profile (C. Kreutz, A. Raue,
D. Kaschek, J. Timmer, Profile likelihood in systems biology, FEBS J. 280, 2013: a validation profile gives that of the
prediction).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.share import is_ended, share
from ..quantities import evaluated
from .axis import Axis
from .follow import ROUNDING, Followed
from .joined import Curves, checked, joined
from .single import check_converged, held_by, level_of, warn_of_lower
from .walk import BROKEN, CROSSED, Points, Walk

if TYPE_CHECKING:
    from ...ground.types import Array
    from ..fitted import Fitted

STRONG = 0.1
"""The standard deviation of the observation, in units of the standard error of the output; and the most of a robust
loss's scale that its residual has, so that it is no outlier."""


def prediction_profiles(result: Any, X: Any, level: float, threads: int = 1) -> tuple[Array, Array, Array]:
    """Return outputs for the rows of X, and the ends of their intervals by profiles, each (N, K)."""
    model = result._model
    if model.facts.fitting.curved or not hasattr(result._refit, "with_observation"):
        raise ValueError(
            "profiles of predictions are for least squares of formulas or equations, without groups and errors in x: "
            "use method='t'"
        )
    check_converged(result)
    t = level_of(result, level)
    outputs, low, high = result.predict(X, interval="confidence", level=level)
    reach = (high - low) / 2
    ends = np.stack([low, high])
    rows = None if X is None else model_inputs(result, X, len(outputs))
    places = [(n, k) for n in range(len(outputs)) for k in range(outputs.shape[1]) if 0 < reach[n, k] < np.inf]

    def work(first: int, last: int) -> None:
        for n, k in places[first:last]:
            row = None if rows is None else rows[n : n + 1]

            def value_of(parameters: Array, row: Any = row, k: int = k) -> float:
                return float(model.predict(parameters.astype(model.dtype), row)[0, k])

            observed = Observed(result, result._refit, row, k, value_of, float(reach[n, k]), t)
            observed.walk.run()
            ends[:, n, k] = observed.interval()

    share(work, len(places), 1, threads)
    return outputs, ends[0], ends[1]


def quantity_profiles(result: Any, names: Sequence[str], t: float) -> Followed:
    """Return the profiles of tied parameters and derived quantities, by their names."""
    model, derived = result._model, result.derived
    if model.facts.fitting.curved or not hasattr(result._refit, "with_quantities"):
        raise ValueError(
            f"profiles of {names[0]} and other quantities are for least squares of formulas, without groups and errors "
            f"in x: leave it out"
        )
    problem, targets = result._refit.with_quantities(), result._refit.Y.shape[1]
    row = None if problem.X is None else problem.X[:1]
    parts, intervals, ends, values, reaches = [], [], [], [], []
    for name in names:
        place = derived.names.index(name)
        quantity, reach = model.facts.fitting.quantities[place], t * float(derived.standard_errors[place])

        def value_of(parameters: Array, quantity: Any = quantity) -> float:
            return evaluated(quantity, parameters.tolist())[0]

        if not 0 < reach < np.inf:
            raise ValueError(f"the data do not determine {name}, or it is a number: it has no profile")
        observed = Observed(result, problem, row, targets + place, value_of, reach, t)
        observed.walk.run()
        parts.append(checked(observed.curves(), observed.fit_at))
        intervals.append(observed.interval())
        ends.append(observed.walk.ends)
        values.append(float(derived.values[place]))
        reaches.append(reach)
    infinite = np.full(len(names), np.inf)
    axis = Axis.of(np.array(values), np.array(reaches), -infinite, infinite)
    begins = np.concatenate([[0], np.cumsum([len(part.u) for part in parts])])
    stacked = [np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True)]
    curves = Curves(begins, *stacked)
    return Followed(
        curves._replace(u=axis.of_curves(curves.curves).coordinate(curves.values)),
        np.array(intervals),
        np.stack(ends),
        axis,
        {},
    )


def model_inputs(result: Fitted, X: Any, count: int) -> Array:
    """Return the rows of X as the model takes them, (N, inputs)."""
    from ...arguments.arguments import check_inputs  # noqa: PLC0415 (which intervals of parameters do not need)

    rows, _ = check_inputs(result._model, X)
    return np.asarray(rows).reshape(count, -1)


class Observed:
    """An output that is held by an observation, on either side of its value.

    ``reach`` is how far standard errors say that the level is, at which the rise is t**2.
    """

    def __init__(
        self,
        result: Any,
        problem: Any,
        row: Array | None,
        column: int,
        value_of: Callable[[Array], float],
        reach: float,
        t: float,
    ) -> None:
        self._result, self._problem, self._row, self._column, self._value_of = result, problem, row, column, value_of
        scale, error = result.error_scale, reach / t
        self._deviation = STRONG * error / math.sqrt(scale)
        if problem.options.loss != "linear":
            self._deviation = min(self._deviation, STRONG * problem.options.f_scale * error / (2 * t * scale))
        # where the observation lies to move the output by the reach, if it is linear in the parameters
        self._moved = reach * (1 + scale * (self._deviation / error) ** 2)
        self._rise = t**2 * scale / 2
        self._best = result.parameters.astype(float)
        self._value = value_of(self._best)
        self.walk = Walk(self._fit, np.tile(self._best, (2, 1)), np.full(2, 1e4), np.zeros(2, bool))
        """One curve below the value, and one above."""

    def interval(self) -> tuple[float, float]:
        """Return the values at which both curves cross the level, infinite where they do not."""
        points, ends = self.walk.points(), []
        for side in range(2):
            part = points.curves == side
            if self.walk.ends[side] in (CROSSED, BROKEN) and part.any():
                u, values = np.append(0.0, points.u[part]), np.append(self._value, points.values[part])
                ends.append(_value_at(u, values, float(self.walk.crossings[side])))
            else:
                ends.append(math.inf * (2 * side - 1))
        return ends[0], ends[1]

    def curves(self) -> Curves:
        """Return both curves as one."""
        points = self.walk.points()
        is_above = points.curves == 1
        below, above = (
            Points(*(part[side] for part in points._replace(curves=np.zeros_like(points.curves))))
            for side in (~is_above, is_above)
        )
        return joined(np.array([self._value]), self._best[None], below, above)

    def fit_at(self, curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        """Return roots of rises, values, and parameters at signed coordinates of both curves as one."""
        return self._fit((u > 0).astype(int), np.abs(u), starts)

    def _fit(self, curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        result, problem = self._result, self._problem
        held, count = held_by(result), len(self._best)
        costs, values, parameters = np.empty(len(u)), np.empty(len(u)), np.empty(starts.shape)
        for k, side in enumerate(np.where(curves == 0, -1.0, 1.0)):
            if is_ended():
                raise KeyboardInterrupt
            at = self._value + float(side * u[k]) * self._moved
            _, parameters[k] = problem.with_observation(self._row, self._column, at, self._deviation)(held, starts[k])
            costs[k], _ = result._refit({p: float(parameters[k, p]) for p in range(count)}, parameters[k])
            values[k] = self._value_of(parameters[k])
        place = int(np.argmin(np.where(np.isfinite(costs), costs, np.inf)))
        if costs[place] < result.cost - ROUNDING * abs(result.cost):
            warn_of_lower(result, float(costs[place]), parameters[place])
        return np.sqrt(np.maximum((costs - result.cost) / self._rise, 0)), values, parameters


def _value_at(u: Array, values: Array, at: float) -> float:
    """Return the value at a coordinate close to one of the points, by the parabola through the three nearest ones."""
    near = np.argsort(np.abs(u - at), kind="stable")[:3]
    u, values = u[near], values[near]
    total = 0.0
    for k in range(len(u)):
        others = np.delete(u, k)
        total += float(values[k] * np.prod((at - others) / (u[k] - others)))
    return total

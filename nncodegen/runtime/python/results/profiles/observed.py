"""Profiles of predictions: how far an output can go before the best fit that gives it becomes too bad.

An output is held by one more observation of it. A fit with that observation is the best of all that give the output the
value which it then has, wherever the observation lies, so that each is a point of the profile (C. Kreutz, A. Raue,
D. Kaschek, J. Timmer, Profile likelihood in systems biology, FEBS J. 280, 2013: a validation profile gives that of the
prediction).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.share import is_ended, share
from .follow import ROUNDING
from .of_fit import check_converged, held_by, level_of, warn_of_lower
from .walk import BROKEN, CROSSED, Walk

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
            ends[:, n, k] = _interval(result, row, k, float(outputs[n, k]), float(reach[n, k]), t)

    share(work, len(places), 1, threads)
    return outputs, ends[0], ends[1]


def model_inputs(result: Fitted, X: Any, count: int) -> Array:
    """Return the rows of X as the model takes them, (N, inputs)."""
    from ...arguments.arguments import check_inputs  # noqa: PLC0415 (which intervals of parameters do not need)

    rows, _ = check_inputs(result._model, X)
    return np.asarray(rows).reshape(count, -1)


def _interval(
    result: Any, row: Array | None, column: int, output: float, reach: float, t: float
) -> tuple[float, float]:
    """Return the ends of the interval of one output, which standard errors say to be ``reach`` away from its value."""
    model, held, problem = result._model, held_by(result), result._refit
    everything = range(len(result.parameters))
    scale, error = result.error_scale, reach / t
    deviation = STRONG * error / math.sqrt(scale)
    if problem.options.loss != "linear":
        deviation = min(deviation, STRONG * problem.options.f_scale * error / (2 * t * scale))
    # where the observation lies to move the output by the reach, if it is linear in the parameters
    moved = reach * (1 + scale * (deviation / error) ** 2)

    def fit(curves: Array, u: Array, starts: Array) -> tuple[Array, Array, Array]:
        costs, values, parameters = np.empty(len(u)), np.empty(len(u)), np.empty(starts.shape)
        for k, side in enumerate(np.where(curves == 0, -1.0, 1.0)):
            if is_ended():
                raise KeyboardInterrupt
            observed = problem.with_observation(row, column, output + float(side * u[k]) * moved, deviation)
            _, parameters[k] = observed(held, starts[k])
            costs[k], _ = problem({int(p): float(parameters[k, p]) for p in everything}, parameters[k])
            values[k] = model.predict(parameters[k].astype(model.dtype), row)[0, column]
        lower.extend((float(cost), parameters[k]) for k, cost in enumerate(costs) if cost < least)
        rises = (costs - result.cost) / (t**2 * result.error_scale / 2)
        return np.sqrt(np.maximum(rises, 0)), values, parameters

    best, least = result.parameters.astype(float), result.cost - ROUNDING * abs(result.cost)
    lower: list[tuple[float, Array]] = []
    walk = Walk(fit, np.tile(best, (2, 1)), np.full(2, 1e4), np.zeros(2, bool))
    walk.run()
    if lower:
        warn_of_lower(result, *min(lower, key=lambda candidate: candidate[0]))
    points, ends = walk.points(), []
    for side in range(2):
        part = points.curves == side
        if walk.ends[side] in (CROSSED, BROKEN) and part.any():
            u, values = np.append(0.0, points.u[part]), np.append(output, points.values[part])
            ends.append(_value_at(u, values, float(walk.crossings[side])))
        else:
            ends.append(np.inf * (2 * side - 1))
    return ends[0], ends[1]


def _value_at(u: Array, values: Array, at: float) -> float:
    """Return the value at a coordinate close to one of the points, by the parabola through the three nearest ones."""
    near = np.argsort(np.abs(u - at), kind="stable")[:3]
    u, values = u[near], values[near]
    total = 0.0
    for k in range(len(u)):
        others = np.delete(u, k)
        total += float(values[k] * np.prod((at - others) / (u[k] - others)))
    return total

"""Solves a system of differential equations with steps that an estimate of their error chooses.

The loop is that of ``solve.h`` in the runtime: the same steps, in the same order of operations. It takes floats, or
numbers of mpmath.

A step of length h is accepted where the norm of its estimated error is at most 1. The norm of a block of states is the
root of the mean of (error/(atol + rtol*|u|))**2, with the larger |u| of both ends of the step; that of all states is
the largest of their blocks. The next length is h*SAFE*norm**(-NOW/q)*before**(BEFORE/q), with the norm of the step
before (a PI controller), within LEAST and MOST times h. The first length is that of E. Hairer, S. P. Norsett and G.
Wanner, Solving Ordinary Differential Equations I, II.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir.systems import System

Array = NDArray[Any]

SAFE, LEAST, MOST = 0.9, 0.2, 10.0
NOW, BEFORE = 0.7, 0.4
NEAR = 1e-4
"""The smallest norm of a step that the controller remembers."""

Rates = Callable[[Any, Array], Array]


SOLVED = "solved"
TOO_MANY = "too many steps"
TOO_SHORT = "steps too short"
TOO_EARLY = "times before the start"
"""The outcomes of a path. Steps become too short where a solution leaves the range of numbers, or jumps."""


def integrate(system: System, times: Sequence[Any], starts: Array, rates: Rates) -> tuple[Array, str]:
    """Return the states of the path at all times, which ascend: (times, states), and the outcome.

    States are NaN where it fails.
    """
    control = system.control
    table, now = control.table, times[0] if control.start is None else control.start
    found = np.full((len(times), len(starts)), np.nan, starts.dtype)
    if not now <= times[0]:
        return found, TOO_EARLY
    u, before, rejected, done, left = starts, 1.0, False, 0, control.most
    while done < len(times) and times[done] <= now:
        found[done] = u
        done += 1
    if done == len(times):
        return found, SOLVED
    rate = rates(now, u)
    h = _first_length(system, now, u, rate, rates, times[-1] - now)
    while done < len(times):
        end = now + h
        last = end >= times[-1]
        if last:
            end, h = times[-1], times[-1] - now
        if left == 0 or not end > now:
            return found, TOO_SHORT if left else TOO_MANY
        left -= 1
        stages, after = [rate], u
        for part, row in zip(table.times[1:], table.rows[1:], strict=True):
            after = u + h * _sum(row, stages)
            stages.append(rates(now + part * h, after))
        norm = _norm(system, h * _sum(table.errors, stages), np.maximum(abs(u), abs(after)))
        if not norm <= 1:
            power = norm ** (-1.0 / table.exponent) if norm < np.inf else 0.0
            h *= max(LEAST, SAFE * power)
            rejected = True
            continue
        while done < len(times) and times[done] <= end:
            x = (times[done] - now) / h
            found[done] = (
                after if times[done] == end else u + h * _sum([_at(own, x) for own in table.interpolant], stages)
            )
            done += 1
        norm = max(norm, NEAR)
        factor = SAFE * norm ** (-NOW / table.exponent) * before ** (BEFORE / table.exponent)
        h *= min(1.0 if rejected else MOST, max(LEAST, factor))
        now, u, rate, before, rejected = end, after, stages[-1], norm, False
    return found, SOLVED


def _first_length(system: System, now: Any, u: Array, rate: Array, rates: Rates, most: Any) -> Any:
    """Return the length of the first step, at most that of the whole time."""
    size = abs(u)
    of_u, of_rate = _norm(system, u, size), _norm(system, rate, size)
    h = 0.01 * of_u / of_rate if of_u >= 1e-5 and of_rate >= 1e-5 else 1e-6
    h = min(h, most)
    change = _norm(system, rates(now + h, u + h * rate) - rate, size) / h
    largest = of_rate if of_rate > change else change  # noqa: FURB136 (NaN as in C)
    other = (0.01 / largest) ** (1.0 / system.control.table.exponent) if largest > 1e-15 else max(1e-6, h * 1e-3)
    h = min(100 * h, other, most)
    return h if h > 0 else most * 1e-6  # the changes are not finite


def _norm(system: System, values: Array, size: Array) -> Any:
    """Return the norm of an error, given the sizes of the states."""
    control = system.control
    parts = (values / (control.atol + control.rtol * size)).reshape(-1, system.block)
    squares = [sum(one * one for one in part) / system.block for part in parts]
    return max(squares) ** 0.5 if all(one >= 0 for one in squares) else np.nan


def _sum(weights: Sequence[Any], stages: Sequence[Array]) -> Array:
    """Return the weighted sum of rates."""
    total: Array = weights[0] * stages[0]
    for weight, stage in zip(weights[1:], stages[1:], strict=True):
        total = total + weight * stage
    return total


def _at(coefficients: Sequence[float], x: Any) -> Any:
    """Return the polynomial with the coefficients of x, x**2, ... at x."""
    total = coefficients[-1] * x
    for one in coefficients[-2::-1]:
        total = (total + one) * x
    return total

"""SciPy's ``odeint`` (LSODA): solutions, those with sensitivities by hand, and fits by ``least_squares``; ``Radau``."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import odeint, solve_ivp
from scipy.optimize import least_squares

from nncodegen.bench.moving import ATOL, FIT, FITS, JACOBIANS, RTOL, SOLVE, Motion
from nncodegen.bench.peers import Run
from nncodegen.bench.reactions import STIFF_ATOL, STIFF_RTOL, Reactions
from nncodegen.bench.tasks import Array, Task

FIRST = np.array([1.0, 0.0, 0.0])
"""The concentrations at the begin of the reactions."""


def make(task: Task, threads: int) -> Run:
    """Return the run of a task."""
    if not isinstance(task, Motion):
        raise TypeError(f"SciPy solves no equations in {task!r}")
    p, times, Y = task.parameters, task.times, task.Y
    if isinstance(task, Reactions):
        return lambda: _by_lsoda(p, times)
    if task.what == SOLVE:
        return lambda: _solution(p, times)
    if task.what == FIT:
        return lambda: _fit(p, times, Y)
    if task.what == FITS:
        return lambda: np.stack([_fit(start, times, observed) for start, observed in zip(p, Y, strict=True)])
    if task.what == JACOBIANS:
        return lambda: np.stack([_slopes(p, observed) for observed in times])
    return lambda: _slopes(p, times)


def _fit(start: Array, times: Array, Y: Array) -> Array:
    parameters: Array = least_squares(lambda p: _solution(p, times) - Y, start, x_scale="jac").x
    return parameters


def radau(task: Task, threads: int) -> Run:
    """Return the run of stiff equations with a Jacobian by hand."""
    if not isinstance(task, Reactions):
        raise TypeError(f"Radau solves no stiff equations in {task!r}")
    return lambda: _by_radau(task.parameters, task.times)


def _by_lsoda(p: Array, times: Array) -> Array:
    options = {"Dfun": _jacobian, "tfirst": True, "rtol": STIFF_RTOL, "atol": STIFF_ATOL}
    states: Array = odeint(_reactions, FIRST, times, tuple(p), **options).T.ravel()
    return states


def _by_radau(p: Array, times: Array) -> Array:
    states: Array = solve_ivp(
        _reactions,
        (times[0], times[-1]),
        FIRST,
        "Radau",
        times,
        args=tuple(p),
        jac=_jacobian,
        rtol=STIFF_RTOL,
        atol=STIFF_ATOL,
    ).y.ravel()
    return states


def _reactions(t: float, y: Any, k1: float, k2: float, k3: float) -> Any:
    a, b, c = y
    slow, fast, back = k1 * a, k2 * b * b, k3 * b * c
    return back - slow, slow - back - fast, fast


def _jacobian(t: float, y: Any, k1: float, k2: float, k3: float) -> Any:
    _, b, c = y
    return [[-k1, k3 * c, k3 * b], [k1, -k3 * c - 2 * k2 * b, -k3 * b], [0, 2 * k2 * b, 0]]


def _rates(y: Any, t: float, a: float, b: float, c: float, d: float) -> Any:
    u, v = y
    return (a - b * v) * u, (d * u - c) * v


def _solution(p: Array, times: Array) -> Array:
    states: Array = odeint(_rates, p[4:], times, tuple(p[:4]), rtol=RTOL, atol=ATOL).T.ravel()
    return states


def _with_slopes(y: Array, t: float, a: float, b: float, c: float, d: float) -> Array:
    u, v = y[:2]
    S = y[2:].reshape(2, 6)
    slopes = np.array([[a - b * v, -b * u], [d * v, d * u - c]]) @ S
    slopes[0, :2] += u, -u * v
    slopes[1, 2:4] += -v, u * v
    return np.concatenate([[(a - b * v) * u, (d * u - c) * v], slopes.ravel()])


def _slopes(p: Array, times: Array) -> Array:
    start = np.zeros((2, 6))
    start[0, 4] = start[1, 5] = 1
    first = np.concatenate([p[4:], start.ravel()])
    states = odeint(_with_slopes, first, times, tuple(p[:4]), rtol=RTOL, atol=ATOL)[:, 2:]
    slopes: Array = states.reshape(-1, 2, 6).transpose(1, 0, 2).reshape(-1, 6)
    return slopes

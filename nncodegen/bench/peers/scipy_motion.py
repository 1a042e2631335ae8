"""SciPy's ``odeint`` (LSODA): solutions, those with sensitivities by hand, and fits by ``least_squares``."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import odeint
from scipy.optimize import least_squares

from nncodegen.bench.moving import ATOL, FIT, RTOL, SOLVE, Motion
from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import Array, Task


def make(task: Task, threads: int) -> Run:
    """Return the run of a task."""
    if not isinstance(task, Motion):
        raise TypeError(f"SciPy solves no equations in {task!r}")
    p, times, Y = task.parameters, task.times, task.Y
    if task.what == SOLVE:
        return lambda: _solution(p, times)
    if task.what == FIT:
        return lambda: least_squares(lambda p: _solution(p, times) - Y, p, x_scale="jac").x
    return lambda: _slopes(p, times)


def _rates(y: Any, t: float, a: float, b: float, c: float, d: float) -> Any:
    u, v = y
    return (a - b * v) * u, (d * u - c) * v


def _solution(p: Array, times: Array) -> Array:
    found: Array = odeint(_rates, p[4:], times, tuple(p[:4]), rtol=RTOL, atol=ATOL).T.ravel()
    return found


def _with_slopes(y: Array, t: float, a: float, b: float, c: float, d: float) -> Array:
    u, v = y[:2]
    S = y[2:].reshape(2, 6)
    own = np.array([[a - b * v, -b * u], [d * v, d * u - c]]) @ S
    own[0, :2] += u, -u * v
    own[1, 2:4] += -v, u * v
    return np.concatenate([[(a - b * v) * u, (d * u - c) * v], own.ravel()])


def _slopes(p: Array, times: Array) -> Array:
    start = np.zeros((2, 6))
    start[0, 4] = start[1, 5] = 1
    first = np.concatenate([p[4:], start.ravel()])
    found = odeint(_with_slopes, first, times, tuple(p[:4]), rtol=RTOL, atol=ATOL)[:, 2:]
    slopes: Array = found.reshape(-1, 2, 6).transpose(1, 0, 2).reshape(-1, 6)
    return slopes

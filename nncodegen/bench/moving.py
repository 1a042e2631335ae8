"""Equations of motion: what the workloads motion and trajectories measure.

Those of Lotka and Volterra are solved, differentiated and fitted; those of Lorenz are simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.motion import Dynamics

Array = NDArray[Any]

NAMES = ("a", "b", "c", "d", "u0", "v0")
VALUES = (1.0, 0.1, 1.5, 0.075, 10.0, 5.0)
"""The parameters: prey grow at the rate a and are eaten at b*v; predators die at c and grow at d*u."""

RTOL, ATOL = 1e-6, 1e-9

SOLVE, JACOBIAN, JACOBIANS, FIT, FITS = "solve", "Jacobian", "1,000 Jacobians", "fit", "10,000 fits"


@dataclass(frozen=True)
class Motion:
    """u' = (a - b*v)*u and v' = (d*u - c)*v at some times, whose first is that of the initial values u0 and v0.

    what is "solve", whose result is u and v, (2*times,); "Jacobian", their derivatives by the six parameters, (2*times,
    6); "1,000 Jacobians", those at several rows of times, (rows, 2*times, 6); "fit", the parameters (6,) with the
    least squares of u and v minus Y, (2*times,), from the start ``parameters``; or "10,000 fits", those for each row of
    Y, (rows, 2*times), from each row of ``parameters``. Tolerances of steps are RTOL and ATOL.
    """

    what: str
    times: Array
    parameters: Array
    Y: Array

    @property
    def steps(self) -> int:
        """Return the number of trajectories of a call, or of fits."""
        return self.fits or (len(self.times) if self.times.ndim > 1 else 1)

    @property
    def fits(self) -> int | None:
        """Return the number of fits; None for a task without an axis for fits."""
        return len(self.parameters) if self.what == FITS else None

    def first(self, fits: int) -> Motion:
        """Return a task with the first of many fits."""
        return replace(self, Y=self.Y[:fits], parameters=self.parameters[:fits])

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.parameters.dtype)

    @property
    def model(self) -> Dynamics:
        """Return the model for nncodegen."""
        return Dynamics(
            "u' = (a - b*v)*u; v' = (d*u - c)*v",
            {"u": "u0", "v": "v0"},
            dict(zip(NAMES, VALUES, strict=True)),
            times=self.times.shape[-1],
            rtol=RTOL,
            atol=ATOL,
            name="motion",
        )


@dataclass(frozen=True)
class Trajectories:
    """x' = 10*(y - x), y' = r*x - y - x*z and z' = x*y - 2.666*z from (1, 0, 0), for each r of ``rates``.

    The result is x at the time 1, (rates,), after 1,000 steps of 0.001 of Tsitouras's method.
    """

    rates: Array

    steps = 1
    """The number of calls."""

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.rates.dtype)

    @property
    def model(self) -> Dynamics:
        """Return the model for nncodegen."""
        return Dynamics(
            "x' = 10*(y - x); y' = r*x - y - x*z; z' = x*y - 2.666*z",
            {"x": 1, "y": 0, "z": 0},
            inputs="r",
            observed="x",
            times=1,
            start=0,
            steps=1000,
            name="lorenz",
        )


def trajectories(precision: str, count: int = 2**19) -> Trajectories:
    """Return a task: r from 0 to 21, as in GPUODEBenchmarks (U. Utkarsh and others, 2024)."""
    return Trajectories(np.linspace(0, 21, count).astype(precision))


def motion(what: str, precision: str, rows: int = 1000) -> Motion:
    """Return a task: 21 times from 0 to 20, and for a fit data with errors of 2 % and a start that is 5 % off.

    Several rows of times end between 18 and 22. Each of several fits has parameters of its own, up to 2 % off.
    """
    rng, times = np.random.default_rng(9), np.linspace(0, 20, 21)
    truth = np.array(VALUES)
    if what == FITS:
        truth = truth * (1 + 0.02 * rng.uniform(-1, 1, (rows, 6)))
    start = truth * (1 + 0.05 * rng.uniform(-1, 1, truth.shape)) if what in (FIT, FITS) else truth
    solution = _solution(times, truth)
    Y = solution * (1 + 0.02 * rng.standard_normal(solution.shape))
    if what == JACOBIANS:
        times = np.linspace(0.9, 1.1, rows)[:, np.newaxis] * times
    return Motion(what, times.astype(precision), start.astype(precision), Y.astype(precision))


def _solution(times: Array, p: Array, steps: int = 200) -> Array:
    """Return u and v for each row of p, by many steps of the classical method of Runge and Kutta."""
    a, b, c, d, *u = p.T

    def rates(u: Array) -> Array:
        return np.array([(a - b * u[1]) * u[0], (d * u[0] - c) * u[1]])

    states = [np.array(u)]
    for h in np.diff(times) / steps:
        now = states[-1]
        for _ in range(steps):
            k1 = rates(now)
            k2 = rates(now + h / 2 * k1)
            k3 = rates(now + h / 2 * k2)
            now = now + h / 6 * (k1 + 2 * k2 + 2 * k3 + rates(now + h * k3))
        states.append(now)
    return np.array(states).T.reshape(*p.shape[:-1], -1)

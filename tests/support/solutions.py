"""Systems of differential equations with a right side in NumPy, and their solutions by SciPy to thirteen digits."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

import nncodegen as nn


class Example(NamedTuple):
    """A system that is not stiff: texts, initial values, parameters, the last time, and ``rates(t, u, p)`` in NumPy."""

    equations: str
    initial: dict
    parameters: dict
    end: float
    rates: object

    def times(self, count=13):
        """Times of observation, which are not equally spaced."""
        return self.end * np.linspace(0, 1, count) ** 1.3

    def starts(self, p):
        """The initial values for some parameters."""
        known = dict(zip(self.parameters, p, strict=True))
        return [known.get(value, value) if isinstance(value, str) else value for value in self.initial.values()]

    def model(self, count=13, **options):
        """The model whose states are all observed."""
        observed = [*self.initial]
        return nn.Dynamics(self.equations, self.initial, self.parameters, times=count, observed=observed, **options)

    def solution(self, p, times):
        """The states at some times: (states, times)."""
        p = [*map(float, p)]
        return solve_ivp(
            lambda t, u: self.rates(t, u, p),
            (times[0], times[-1]),
            self.starts(p),
            "DOP853",
            times,
            rtol=1e-13,
            atol=1e-15,
        ).y


EXAMPLES = {
    "decay": Example("u' = -k*u", {"u": "u0"}, {"k": 0.7, "u0": 3}, 5, lambda t, u, p: [-p[0] * u[0]]),
    "growth": Example(
        "u' = r*u*(1 - u/cap)", {"u": 0.1}, {"r": 1.2, "cap": 4}, 10, lambda t, u, p: [p[0] * u[0] * (1 - u[0] / p[1])]
    ),
    "prey": Example(
        "u' = (a - b*v)*u; v' = (d*u - c)*v", {"u": "u0", "v": "v0"},
        {"a": 1, "b": 0.1, "c": 1.5, "d": 0.075, "u0": 10, "v0": 5}, 20,
        lambda t, u, p: [(p[0] - p[1] * u[1]) * u[0], (p[3] * u[0] - p[2]) * u[1]],
    ),
    "pendulum": Example(
        "u'' = -g*sin(u) - d*u'", {"u": 1, "u'": "w"}, {"g": 9.81, "d": 0.2, "w": 0.5}, 4,
        lambda t, u, p: [u[1], -p[0] * np.sin(u[0]) - p[1] * u[1]],
    ),
    "oscillator": Example(
        "u'' = m*(1 - u**2)*u' - u", {"u": 2, "u'": 0}, {"m": 1}, 10,
        lambda t, u, p: [u[1], p[0] * (1 - u[0] ** 2) * u[1] - u[0]],
    ),
    "weather": Example(
        "x' = s*(y - x); y' = x*(r - z) - y; z' = x*y - b*z", {"x": 1, "y": 1, "z": 1},
        {"s": 10, "r": 28, "b": 8 / 3}, 1.5,
        lambda t, u, p: [p[0] * (u[1] - u[0]), u[0] * (p[1] - u[2]) - u[1], u[0] * u[1] - p[2] * u[2]],
    ),
    "orbit": Example(
        "x'' = -m*x/(x**2 + y**2)**(3/2); y'' = -m*y/(x**2 + y**2)**(3/2)",
        {"x": 0.5, "x'": 0, "y": 0, "y'": 1.7}, {"m": 1}, 6,
        lambda t, u, p: [
            u[1], -p[0] * u[0] / (u[0] ** 2 + u[2] ** 2) ** 1.5, u[3], -p[0] * u[2] / (u[0] ** 2 + u[2] ** 2) ** 1.5
        ],
    ),
    "epidemic": Example(
        "s' = -b*s*i; i' = b*s*i - g*i; r' = g*i", {"s": 0.99, "i": 0.01, "r": 0}, {"b": 1.5, "g": 0.4}, 20,
        lambda t, u, p: [-p[0] * u[0] * u[1], p[0] * u[0] * u[1] - p[1] * u[1], p[1] * u[1]],
    ),
    "chemistry": Example(
        "x' = a + x**2*y - (b + 1)*x; y' = b*x - x**2*y", {"x": 1.5, "y": 3}, {"a": 1, "b": 3}, 10,
        lambda t, u, p: [p[0] + u[0] ** 2 * u[1] - (p[1] + 1) * u[0], p[1] * u[0] - u[0] ** 2 * u[1]],
    ),
    "driven": Example(
        "u' = -k*u + a*cos(w*t)", {"u": 0}, {"k": 0.5, "a": 2, "w": 3}, 8,
        lambda t, u, p: [-p[0] * u[0] + p[1] * np.cos(p[2] * t)],
    ),
    "enzyme": Example(
        "u' = -v*u/(m + u); w' = v*u/(m + u)", {"u": "u0", "w": 0}, {"v": 1, "m": 0.5, "u0": 2}, 5,
        lambda t, u, p: [-p[0] * u[0] / (p[1] + u[0]), p[0] * u[0] / (p[1] + u[0])],
    ),
}  # fmt: skip
"""Eleven systems by name."""


def solved_in_parts(rates, u, times, jump=None, start=None, method="DOP853", atol=1e-15):
    """The states at all times by SciPy, begun again at each time: (times, states).

    ``rates(k, t, u)`` are those of the interval that leads to the time k, after which states become ``jump(k, u)``.
    """
    u, states, before = np.array(u, float), [], times[0] if start is None else start
    for k, t in enumerate(times):
        if t > before:
            part = solve_ivp(lambda t, u, k=k: rates(k, t, u), (before, t), u, method, rtol=1e-12, atol=atol)
            u = part.y[:, -1]
        states.append(u)
        u = np.array(jump(k, u) if jump else u, float)
        before = t
    return np.array(states)

"""Stiff systems of differential equations, with published solutions at a time, and with those of implicit methods."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

import nncodegen as nn


class Stiff(NamedTuple):
    """A stiff system: texts, initial values, parameters, the last time, and ``rates(t, u, p)`` in NumPy.

    ``published`` has the states at the last time, where a source has them to ten digits or more.
    """

    equations: str
    initial: dict
    parameters: dict
    end: float
    rates: object
    published: tuple = ()

    def times(self, count=9):
        """Times of observation from 0 to the end, over several orders of magnitude."""
        return np.array([0, *np.geomspace(self.end * 1e-4, self.end, count - 1)])

    @property
    def values(self):
        """The values of the parameters."""
        return np.array([*self.parameters.values()], float)

    def model(self, count=9, method="rodas5p", **options):
        """The model whose states are all observed."""
        return nn.Dynamics(
            self.equations,
            self.initial,
            self.parameters,
            times=count,
            observed=[*self.initial],
            method=method,
            **options,
        )

    def solution(self, p, times, rtol=1e-11):
        """The states at some times, by SciPy's Radau: (states, times)."""
        known = dict(zip(self.parameters, p, strict=True))
        u = [known.get(value, value) if isinstance(value, str) else value for value in self.initial.values()]
        return solve_ivp(
            lambda t, u: self.rates(t, u, p), (times[0], times[-1]), u, "Radau", times, rtol=rtol, atol=rtol * 1e-6
        ).y


def _robertson(t, u, p):
    slow, fast, back = p[0] * u[0], p[1] * u[1] ** 2, p[2] * u[1] * u[2]
    return [back - slow, slow - back - fast, fast]


def _hires(t, u, p):
    a, b, c, d, e, f, g, h = u
    k = p[0] * f * h
    return [
        -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
        1.71 * a - 8.75 * b,
        -10.03 * c + 0.43 * d + 0.035 * e,
        8.32 * b + 1.71 * c - 1.12 * d,
        -1.745 * e + 0.43 * f + 0.43 * g,
        -k + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
        k - 1.81 * g,
        -k + 1.81 * g,
    ]


STIFF = {
    "robertson": Stiff(
        "a' = -k1*a + k3*b*c; b' = k1*a - k3*b*c - k2*b**2; c' = k2*b**2", {"a": 1, "b": 0, "c": 0},
        {"k1": 0.04, "k2": 3e7, "k3": 1e4}, 1e5, _robertson,
    ),
    "robertson to 1e11": Stiff(
        "a' = -k1*a + k3*b*c; b' = k1*a - k3*b*c - k2*b**2; c' = k2*b**2", {"a": 1, "b": 0, "c": 0},
        {"k1": 0.04, "k2": 3e7, "k3": 1e4}, 1e11, _robertson,
        (0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050),
    ),
    "van der Pol": Stiff(
        "u'' = m*(1 - u**2)*u' - u", {"u": 2, "u'": 0}, {"m": 1000}, 2000,
        lambda t, u, p: [u[1], p[0] * (1 - u[0] ** 2) * u[1] - u[0]], (1.706167732170483, -0.8928097010247975e-3),
    ),
    "HIRES": Stiff(
        "a' = -1.71*a + 0.43*b + 8.32*c + 0.0007; b' = 1.71*a - 8.75*b; c' = -10.03*c + 0.43*d + 0.035*e;"
        "d' = 8.32*b + 1.71*c - 1.12*d; e' = -1.745*e + 0.43*f + 0.43*g;"
        "f' = -k*f*h + 0.69*d + 1.71*e - 0.43*f + 0.69*g; g' = k*f*h - 1.81*g; h' = -k*f*h + 1.81*g",
        {"a": 1, "b": 0, "c": 0, "d": 0, "e": 0, "f": 0, "g": 0, "h": 0.0057}, {"k": 280}, 321.8122, _hires,
        (
            0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4, 0.1175651343283149e-2,
            0.2386356198831331e-2, 0.6238968252742796e-2, 0.2849998395185769e-2, 0.2850001604814231e-2,
        ),
    ),
    "Oregonator": Stiff(
        "a' = s*(b + a*(1 - q*a - b)); b' = (c - (1 + a)*b)/s; c' = w*(a - c)", {"a": 1, "b": 2, "c": 3},
        {"s": 77.27, "q": 8.375e-6, "w": 0.161}, 360,
        lambda t, u, p: [
            p[0] * (u[1] + u[0] * (1 - p[1] * u[0] - u[1])), (u[2] - (1 + u[0]) * u[1]) / p[0], p[2] * (u[0] - u[2])
        ],
        (0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3),
    ),
    "pulled": Stiff(
        "u' = -k*(u - cos(w*t)); v' = -d*v + u", {"u": "u0", "v": 1}, {"k": 1e4, "w": 2, "d": 0.5, "u0": 0.3}, 5,
        lambda t, u, p: [-p[0] * (u[0] - np.cos(p[1] * t)), -p[2] * u[1] + u[0]],
    ),
}  # fmt: skip
"""Systems by name. The published solutions are those of F. Mazzia and C. Magherini, Test Set for Initial Value Problem
Solvers, release 2.4 (2008)."""

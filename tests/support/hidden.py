"""Formulas with a part that grows without bounds, inside a function that hides it."""

import mpmath
import sympy
from sympy import Abs, Max, Min, Piecewise, atan, cosh, erf, exp, sinh, sqrt, tanh

import nncodegen as nn

a, b, x = sympy.symbols("a b x")

HIDING = [
    tanh,
    nn.sigmoid,
    erf,
    atan,
    lambda u: exp(-u),
    lambda u: exp(-(u**2)),
    lambda u: 1 / (1 + u),
    lambda u: 1 / (2 + u**2),
    lambda u: Min(u, 5),
    lambda u: Max(u, -5),
    lambda u: Piecewise((u, u < 5), (5, True)),
    lambda u: b * exp(-exp(u)),
]
GROWING = [
    exp(a * x),
    sinh(a * x),
    cosh(a * x),
    exp(a * x) - 1,
    exp(exp(a * x)),
    (x / a) ** b,
    Abs(x * a) ** (-b),
    a * exp(x) + b,
    1 / (exp(a * x) - 1),
    sqrt(Abs(a * x)),
    x * exp(a * x),
]


def exponential(z):
    """exp(z) for mpmath, where it would take a long time: infinite, or 0."""
    return mpmath.exp(z) if abs(z) < 1e6 else mpmath.inf if z > 0 else mpmath.mpf(0)


POINTS = [((1.0, 2.0), 800.0), ((2.0, 0.5), -800.0), ((0.5, 2.0), 0.0), ((-1.0, 1.0), 1e4), ((3.0, 300.0), 2e3)]
"""Values of (a, b), and of x."""

MODULES = [
    {
        "exp": exponential,
        "sinh": lambda z: (exponential(z) - exponential(-z)) / 2,
        "cosh": lambda z: (exponential(z) + exponential(-z)) / 2,
    },
    "mpmath",
]
"""For sympy.lambdify."""

"""Curves by name in tests: an example of each with data, and its formula with NumPy and SciPy."""

import numpy as np
import sympy
from scipy import special

from nncodegen import curves
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret

UP, POSITIVE, DOSE, TIME = (
    np.linspace(-5, 5, 80),
    np.linspace(0.1, 8, 60),
    np.array([0, *np.geomspace(0.01, 100, 29)]),
    np.linspace(0, 10, 60),
)
TEMPERATURE = np.linspace(270, 380, 30)

EXAMPLES = {
    "constant": (UP, (2.5,)),
    "line": (UP, (1.0, -0.5)),
    "quadratic": (UP, (1.0, -0.5, 0.2)),
    "cubic": (UP, (1.0, -0.5, 0.2, 0.1)),
    "power": (POSITIVE, (3.0, -0.7)),
    "gaussian": (UP, (3.0, 0.8, 0.6)),
    "lorentzian": (UP, (3.0, -1.2, 0.5)),
    "pseudo_voigt": (UP, (3.0, 0.8, 0.7, 0.4)),
    "voigt": (UP, (3.0, 0.8, 0.5, 0.4)),
    "thompson_voigt": (UP, (3.0, 0.8, 0.5, 0.4)),
    "skewed_gaussian": (UP, (3.0, -0.5, 1.2, 2.0)),
    "exponential_gaussian": (UP, (3.0, -1.5, 0.5, 1.2)),
    "log_normal": (POSITIVE, (3.0, 2.5, 0.4)),
    "pearson7": (UP, (3.0, 0.8, 0.6, 2.2)),
    "moffat": (UP, (3.0, 0.8, 0.9, 2.5)),
    "fano": (UP, (2.0, 0.5, 0.6, 1.5)),
    "sech_squared": (UP, (3.0, 0.8, 0.7)),
    "exponential": (TIME, (4.0, 0.6)),
    "double_exponential": (TIME, (4.0, 2.0, 2.0, 0.25)),
    "stretched_exponential": (TIME, (4.0, 0.5, 0.6)),
    "saturating_exponential": (TIME, (4.0, 0.5)),
    "bateman": (TIME, (5.0, 1.5, 0.3)),
    "logistic": (TIME, (4.0, 1.5, 4.5)),
    "gompertz": (TIME, (4.0, 0.9, 3.0)),
    "richards": (TIME, (4.0, 1.2, 4.0, 2.5)),
    "von_bertalanffy": (TIME, (50.0, 0.3, -1.0)),
    "weibull_growth": (TIME, (4.0, 4.0, 2.2)),
    "hill3": (DOSE, (90.0, 1.4, 1.3)),
    "hill4": (DOSE, (10.0, 90.0, 1.4, 1.3)),
    "hill5": (DOSE, (10.0, 90.0, 1.4, 1.3, 0.6)),
    "inhibition4": (DOSE, (10.0, 90.0, 1.4, 1.3)),
    "log_hill4": (UP, (10.0, 90.0, 0.5, 0.8)),
    "brain_cousens": (DOSE, (5.0, 80.0, 3.0, 2.2, 30.0)),
    "michaelis_menten": (POSITIVE, (210.0, 1.4)),
    "substrate_inhibition": (np.linspace(0.1, 40, 60), (210.0, 2.0, 12.0)),
    "langmuir": (POSITIVE, (5.0, 0.8)),
    "freundlich": (POSITIVE, (5.0, 2.3)),
    "sips": (np.linspace(0.1, 20, 60), (5.0, 0.4, 1.6)),
    "tight_binding": (POSITIVE, (5.0, 0.4, 2.5)),
    "arrhenius": (TEMPERATURE, (2e6, 4200.0)),
    "sine": (TIME, (2.0, 2.4, 0.7)),
    "damped_sine": (TIME, (3.0, 0.3, 2.9, 0.7)),
    "logistic_step": (UP, (3.0, 0.8, 0.4)),
    "erf_step": (UP, (3.0, 0.8, 0.6)),
    "arctan_step": (UP, (3.0, 0.8, 0.4)),
    "rectangle": (UP, (3.0, -1.8, 2.1, 0.3)),
    "broken_line": (UP, (2.0, 0.3, -0.8, 1.1)),
}
"""For each curve x and its parameters."""


def _hill(x, ec50, slope):
    return np.where(x > 0, 1 / (1 + (ec50 / np.where(x > 0, x, 1)) ** slope), 0)


def _thompson(x, height, centre, sigma, gamma):
    g, l = 2 * np.sqrt(2 * np.log(2)) * sigma, 2 * gamma  # noqa: E741 (the letters of the paper)
    f = (g**5 + 2.69269 * g**4 * l + 2.42843 * g**3 * l**2 + 4.47163 * g**2 * l**3 + 0.07842 * g * l**4 + l**5) ** 0.2
    eta = 1.36603 * (l / f) - 0.47719 * (l / f) ** 2 + 0.11116 * (l / f) ** 3
    z = 2 * (x - centre) / f
    return height * (eta / (1 + z**2) + (1 - eta) * 0.5 ** (z**2))


REFERENCES = {
    "constant": lambda x, c: np.full(len(x), c),
    "line": lambda x, a, b: a + b * x,
    "quadratic": lambda x, *c: np.polyval(c[::-1], x),
    "cubic": lambda x, *c: np.polyval(c[::-1], x),
    "power": lambda x, a, b: a * x**b,
    "gaussian": lambda x, a, m, s: a * np.exp(-((x - m) ** 2) / (2 * s**2)),
    "lorentzian": lambda x, a, m, g: a * g**2 / ((x - m) ** 2 + g**2),
    "pseudo_voigt": lambda x, a, m, g, f: (
        a * (f * g**2 / ((x - m) ** 2 + g**2) + (1 - f) * 0.5 ** (((x - m) / g) ** 2))
    ),
    "voigt": lambda x, a, m, s, g: a * special.voigt_profile(x - m, s, g) / special.voigt_profile(0, s, g),
    "thompson_voigt": _thompson,
    "skewed_gaussian": lambda x, a, m, s, k: (
        a * np.exp(-(((x - m) / s) ** 2) / 2) * (1 + special.erf(k * (x - m) / s / np.sqrt(2)))
    ),
    "exponential_gaussian": lambda x, a, m, s, t: (
        a * np.exp(s**2 / (2 * t**2) - (x - m) / t) * special.erfc((s / t - (x - m) / s) / np.sqrt(2))
    ),
    "log_normal": lambda x, a, m, s: a * np.exp(-(np.log(x / m) ** 2) / (2 * s**2)),
    "pearson7": lambda x, a, c, g, m: a * np.exp(-m * np.log1p(((x - c) / g) ** 2 * np.expm1(np.log(2) / m))),
    "moffat": lambda x, a, c, g, b: a / (1 + ((x - c) / g) ** 2) ** b,
    "fano": lambda x, a, c, g, q: a * (q * g + x - c) ** 2 / (g**2 + (x - c) ** 2),
    "sech_squared": lambda x, a, c, w: a * (1 - np.tanh((x - c) / w) ** 2),
    "exponential": lambda x, a, k: a * np.exp(-k * x),
    "double_exponential": lambda x, a, k, b, q: a * np.exp(-k * x) + b * np.exp(-q * x),
    "stretched_exponential": lambda x, a, k, b: a * np.exp(-((k * x) ** b)),
    "saturating_exponential": lambda x, a, k: -a * np.expm1(-k * x),
    "bateman": lambda x, d, ka, ke: d * ka * (np.exp(-ke * x) - np.exp(-ka * x)) / (ka - ke),
    "logistic": lambda x, a, k, m: a * special.expit(k * (x - m)),
    "gompertz": lambda x, a, k, m: a * np.exp(-np.exp(k * (m - x))),
    "richards": lambda x, a, k, m, s: a * special.expit(k * (x - m)) ** s,
    "von_bertalanffy": lambda x, a, k, o: a * (1 - np.exp(-k * (x - o))),
    "weibull_growth": lambda x, a, s, k: a * (1 - np.exp(-((x / s) ** k))),
    "hill3": lambda x, t, e, h: t * _hill(x, e, h),
    "hill4": lambda x, b, t, e, h: b + (t - b) * _hill(x, e, h),
    "hill5": lambda x, b, t, e, h, s: b + (t - b) * _hill(x, e, h) ** s,
    "inhibition4": lambda x, b, t, e, h: b + (t - b) / (1 + (x / e) ** h),
    "log_hill4": lambda x, b, t, e, h: b + (t - b) / (1 + 10 ** (h * (e - x))),
    "brain_cousens": lambda x, b, t, e, h, f: b + (t - b + f * x) / (1 + (x / e) ** h),
    "michaelis_menten": lambda x, v, k: v * x / (k + x),
    "substrate_inhibition": lambda x, v, k, i: v * x / (k + x * (1 + x / i)),
    "langmuir": lambda x, q, k: q * k * x / (1 + k * x),
    "freundlich": lambda x, q, n: q * x ** (1 / n),
    "sips": lambda x, q, k, n: q * _hill(x, 1 / k, n),
    "tight_binding": lambda x, q, d, s: q * (x + d + s - np.sqrt((x + d - s) ** 2 + 4 * d * s)) / (2 * s),
    "arrhenius": lambda x, a, e: a * np.exp(-e / x),
    "sine": lambda x, a, w, p: a * np.sin(w * x + p),
    "damped_sine": lambda x, a, k, w, p: a * np.exp(-k * x) * np.sin(w * x + p),
    "logistic_step": lambda x, a, c, w: a * special.expit((x - c) / w),
    "erf_step": lambda x, a, c, w: a * special.ndtr((x - c) / w),
    "arctan_step": lambda x, a, c, w: a * (0.5 + np.arctan((x - c) / w) / np.pi),
    "rectangle": lambda x, a, left, right, w: a * (special.expit((x - left) / w) - special.expit((x - right) / w)),
    "broken_line": lambda x, y, b, a, c: y + np.where(x < c, b, a) * (x - c),
}
"""The formula of each curve, written in another way where there is one."""


def example(name):
    """Return x, the parameters and the exact y of the example of a curve."""
    x, parameters = EXAMPLES[name]
    return x, parameters, values_at(curves.RECORDS[name](), x, parameters)


def values_at(curve, x, parameters):
    """Return the values of a curve at x, evaluated with NumPy."""
    names = dict(zip(curve.names, parameters, strict=True))
    values = {Element(name): np.asarray(value, float) for name, value in {**names, curve.variable: x}.items()}
    known = {symbol: Element(symbol.name) for symbol in curve.expression.free_symbols}
    with np.errstate(all="ignore"):
        interpreted = interpret(sympy.sympify(curve.expression).xreplace(known), values, False)
    return np.broadcast_to(np.asarray(interpreted, float), x.shape)

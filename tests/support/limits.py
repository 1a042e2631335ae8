"""Formulas that as written are 0/0 or 0*log(0) where x is 0, and their limits there, with many digits."""

import math
from dataclasses import replace
from functools import cache

import mpmath
import numpy as np
import sympy
from sympy import asin, asinh, atan, cos, cosh, coth, erf, exp, log, sin, sinh, sqrt, tan, tanh

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify

a, b, c, d, x = sympy.symbols("a b c d x")

FORMULAS = {
    "hill": (a * x**b / (c**b + x**b), {a: 2.0, b: 1.5, c: 0.5}),
    "logistic": (d + (a - d) / (1 + (x / c) ** b), {a: 0.125, b: 0.75, c: 0.5, d: 0.25}),
    "power": (a * x**b, {a: 2.0, b: 1.25}),
    "root": (a * x ** (1 / b), {a: 2.0, b: 1.75}),
    "weibull": (b / a * (x / a) ** (b - 1) * exp(-((x / a) ** b)), {a: 2.0, b: 1.5}),
    "power_log": ((x / c) ** b * log(x / c), {b: 1.5, c: 0.5}),
    "power_log_twice": (a * x**b * log(x / c) ** 2, {a: 1.5, b: 0.75, c: 2.0}),
    "power_log_less": ((x / c) ** b * (log(x / c) - 1), {b: 1.5, c: 2.0}),
    "lower_power_log": (c * x ** (b - 1) * log(x) / b, {b: 1.75, c: 2.0}),
    "entropy": (x * (log(x / c) - 1), {c: 2.0}),
    "exponential": (a * exp(b * log(x / c)), {a: 2.0, b: 1.5, c: 0.5}),
    "sinc": (sin(b * x) / (b * x), {b: 1.5}),
    "sinc_square": (a * sin(b * x) ** 2 / (b * x) ** 2, {a: 2.0, b: 1.5}),
    "decay": (a * (1 - exp(-b * x)) / (b * x), {a: 2.0, b: 1.5}),
    "growth": ((exp(b * x) - 1) / x, {b: 1.5}),
    "tanh": (tanh(b * x) / x, {b: 1.5}),
    "sinh": (x / sinh(b * x), {b: 1.5}),
    "atan": (atan(b * x) / (b * x), {b: 1.5}),
    "log": (log(1 + b * x) / x, {b: 1.5}),
    "planck": (x / (exp(b * x) - 1), {b: 1.5}),
    "langevin": (a * (coth(b * x) - 1 / (b * x)), {a: 2.0, b: 1.5}),
    "cosine": ((1 - cos(b * x)) / x**2, {b: 1.5}),
    "debye": (2 * (exp(-b * x**2) - 1 + b * x**2) / (b * x**2) ** 2, {b: 1.5}),
    "sphere": (3 * (sin(b * x) - b * x * cos(b * x)) / (b * x) ** 3, {b: 1.5}),
    "root_log": (sqrt(x) * log(a * x), {a: 2.0}),
    "tan": (tan(b * x) / x, {b: 0.5}),
    "tan_below": (a * x / tan(b * x), {a: 1.5, b: 0.5}),
    "erf": (erf(b * x) / x, {b: 1.5}),
    "asin": (asin(b * x) / x, {b: 0.25}),
    "sine_sine": (sin(a * x) / sin(b * x), {a: 0.75, b: 0.5}),
    "sinh_sinh": (sinh(a * x) / sinh(b * x), {a: 0.75, b: 1.5}),
    "tanh_sine": (a * tanh(a * x) / sin(b * x), {a: 0.75, b: 1.5}),
    "growth_sine": ((exp(a * x) - 1) / sin(b * x), {a: 0.75, b: 1.5}),
    "sine_growth": (sin(a * x) / (exp(b * x) - 1), {a: 0.75, b: 1.5}),
    "growth_growth": ((exp(a * x) - 1) / (exp(b * x) - 1), {a: 0.75, b: 1.5}),
    "log_sine": (log(1 + a * x) / sin(b * x), {a: 0.75, b: 1.5}),
    "log_growth_square": (log(1 + a * x) ** 2 / (1 - exp(-b * x)) ** 2, {a: 0.75, b: 1.5}),
    "products": (a * sin(a * x) * atan(b * x) / (tanh(b * x) * x), {a: 0.75, b: 1.5}),
    "cosine_sine": ((1 - cos(a * x)) / sin(b * x) ** 2, {a: 0.75, b: 0.5}),
    "power_near_one": ((1 + x**2) ** -b, {b: 1.5}),
    "kappa": (a * (1 + (x / c) ** 2) ** b, {a: 2.0, b: -1.5, c: 0.5}),
    "arps": (a / (1 + c * x) ** b, {a: 2.0, b: 1.5, c: 0.5}),
    "cosines": ((cos(a * x) - cos(b * x)) / x**2, {a: 0.75, b: 0.5}),
    "hyperbolic_cosines": (a * (cosh(a * x) - cosh(b * x)) / (b * x) ** 2, {a: 0.75, b: 0.5}),
    "asinh_erf": (asinh(a * x) / erf(b * x), {a: 0.75, b: 1.5}),
}
"""Formulas of x with their parameters, each a number that float32 has."""


@cache
def model_of(name):
    formula, values = FORMULAS[name]
    return nn.Model(name, [x], [], dict.fromkeys(values, 0.5), formula, formula)


class Evaluated:
    """The loss of a model, its gradient and its Hessian: that of each part of the gradient, differentiated again."""

    def __init__(self, model):
        first = nn.compile_model(model, until="differentiate", fit=False)["differentiate"]
        parts = (replace(first, loss=part, gradient=()) for part in first.gradient)
        again = (differentiate(program) for program in parts)
        self.programs = [simplify(program) for program in (first, *again)]

    def __call__(self, numbers, at, y=None, digits=None):
        target = None if y is None else [[y]]
        evaluated = [evaluate(program, numbers, [[at]], target, digits=digits) for program in self.programs]
        rows = [
            np.array([values[e.tensor] for e in p.gradient], dtype=float)
            for p, values in zip(self.programs, evaluated, strict=True)
        ]
        return float(evaluated[0][self.programs[0].loss.tensor]), rows[0], np.array(rows[1:])


class Limits:
    """The value, the gradient and the Hessian of a formula as SymPy derives them, in the limit from above for x = 0."""

    def __init__(self, name):
        formula, values = FORMULAS[name]
        symbols = {symbol: sympy.Symbol(symbol.name, positive=True) for symbol in (*values, x)}
        *parameters, _ = symbols.values()
        written = formula.xreplace(symbols)
        gradient = [sympy.diff(written, p) for p in parameters]
        whole = [written, *gradient, *(sympy.diff(part, p) for part in gradient for p in parameters)]
        self._count = len(parameters)
        self._function = sympy.lambdify(list(symbols.values()), whole, "mpmath", cse=True)

    def __call__(self, numbers, at):
        zeros = 400 if at == 0 else max(0, -math.floor(math.log10(abs(at))))
        with mpmath.workdps(100 + 8 * zeros):  # the digits that cancel in (sin(x) - x*cos(x))/x**3 for a small x
            near = mpmath.mpf(at) if at else mpmath.mpf(10) ** -zeros
            parts = map(float, self._function(*map(mpmath.mpf, map(float, numbers)), near))
            value, *rest = (0.0 if at == 0 and abs(part) < 1e-150 else part for part in parts)
        return value, np.array(rest[: self._count]), np.array(rest[self._count :]).reshape(self._count, self._count)

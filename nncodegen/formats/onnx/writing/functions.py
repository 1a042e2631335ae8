"""The functions of formulas in operators of ONNX.

A function is the operator that its record in ``ir.elementary`` names, or is composed here of exponentials, logarithms,
sines and arithmetic, so that it keeps its digits as the stable forms do. ONNX has no expm1 and no log1p, and not all of
its operators are available in every precision (onnxruntime computes neither erf nor atan nor sinh in float64, before
1.29 no cosine, and ``onnx.reference`` computes erf in float32). In float32 an operator is accurate enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any

import mpmath
import numpy as np

from nncodegen.compiler.ir import faddeeva
from nncodegen.compiler.ir.elementary import Elementary
from nncodegen.formats.onnx.writing.graph import Value

LARGE = 1e10
"""The bound above which 1 + z**2 is rounded to z**2 in every precision."""

DIGITS, TERMS = 30, 26
"""The digits with which polynomials are computed, and their number of terms: enough for float64."""


def call(function: Elementary, values: Sequence[Value]) -> Value | None:
    """Return a function of values; None if ONNX has neither the function nor operators to compose it of."""
    composed = COMPOSED.get(function.name)
    if function.onnx and values[0].graph.has(function.onnx):
        first, *others = values
        operator = _named(function.onnx)
        return reduce(operator, others, first) if others else operator(first)
    return composed(*values) if composed else None


def _operator(name: str, *values: Value | float) -> Value:
    graph = next(value.graph for value in values if isinstance(value, Value))
    return graph.elementwise(name, *values)


def _named(name: str) -> Callable[..., Value]:
    return lambda *values: _operator(name, *values)


exp, log, sin, sqrt, sign = map(_named, ("Exp", "Log", "Sin", "Sqrt", "Sign"))
hyperbolic_tangent, reciprocal = _named("Tanh"), _named("Reciprocal")


def _where(condition: Value, value: Value | float, other: Value | float) -> Value:
    return condition.graph.where(condition, value, other)


def _expm1(z: Value) -> Value:
    """Return tanh(z/2)*(exp(z) + 1)."""
    return hyperbolic_tangent(z * 0.5) * (exp(z) + 1)


def _log1p(z: Value) -> Value:
    """Return log(u)*z/(u - 1) with u = 1 + z as it is rounded (Kahan); z where u is 1."""
    u = z + 1
    d = u - 1
    exact = log(u)
    return _where(d.equals(0), z, _where(d.equals(z), exact, exact * (z / d)))


def _cos(z: Value) -> Value:
    """Return sin(2*z)/(2*sin(z)) where the sine is not small, else 1 - 2*sin(z/2)**2."""
    s, half = sin(z), sin(z * 0.5)
    return _where(abs(s) > 0.5, sin(z * 2) / (s * 2), -(half * half * 2) + 1)


def _cosh(z: Value) -> Value:
    """Return h*h/2 + 1/(2*h*h) with h = exp(|z|/2), which does not overflow before the result."""
    h = exp(abs(z) * 0.5)
    return h * 0.5 * h + (reciprocal(h) * 0.5) / h


def _sinh(z: Value) -> Value:
    return hyperbolic_tangent(z) * _cosh(z)


def _asinh(z: Value) -> Value:
    """Return sign(z)*log1p(a + a**2/(1 + sqrt(1 + a**2))) with a = |z|."""
    a = abs(z)
    square = a * a
    near = _log1p(a + square / (sqrt(square + 1) + 1))
    return sign(z) * _where(a > LARGE, log(a) + math.log(2), near)


def _acosh(z: Value) -> Value:
    """Return log1p(d + sqrt(d*(z + 1))) with d = z - 1."""
    d = z - 1
    return _where(z > LARGE, log(z) + math.log(2), _log1p(d + sqrt(d * (z + 1))))


def _atanh(z: Value) -> Value:
    """Return sign(z)*log1p(2*a/(1 - a))/2 with a = |z|."""
    a = abs(z)
    return sign(z) * 0.5 * _log1p(a * 2 / (-a + 1))


def arctangent(z: Value) -> Value:
    """Return the arctangent in the precision of the graph."""
    return _operator("Atan", z) if z.graph.has("Atan") else _atan(z)


def _atan(z: Value) -> Value:
    """Return sign(z)*atan(a) with a = |z|, and pi/2 - atan(1/a) for a > 1."""
    a = abs(z)
    far = a > 1
    inner = _where(far, reciprocal(a), a)
    angle = inner * _polynomial(inner * inner * 2 - 1, _arctangent())
    return sign(z) * _where(far, -angle + math.pi / 2, angle)


def _asin(z: Value) -> Value:
    """Return 2*atan(z/(1 + sqrt((1 - z)*(1 + z))))."""
    return arctangent(z / (sqrt((-z + 1) * (z + 1)) + 1)) * 2


def _acos(z: Value) -> Value:
    """Return 2*atan(sqrt((1 - z)/(1 + z)))."""
    return arctangent(sqrt((-z + 1) / (z + 1))) * 2


def _atan2(y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y), from -pi to pi; 0 in the origin."""
    slope = arctangent(y / x)
    turned = slope + _where(y < 0, -math.pi, math.pi)
    return _where(x > 0, slope, _where(x < 0, turned, sign(y) * (math.pi / 2)))


def error_function(z: Value) -> Value:
    """Return the error function in the precision of the graph."""
    return _operator("Erf", z) if z.graph.has("Erf") else _erf(z)


def _erf(z: Value) -> Value:
    """Return z*P(z**2) for |z| < 1, else sign(z)*(1 - erfc(|z|))."""
    a = abs(z)
    square = _operator("Min", z * z, 1)
    return _where(a < 1, z * _polynomial(square * 2 - 1, _error()), sign(z) * (-_upper_tail(a) + 1))


def _erfc(z: Value) -> Value:
    a = abs(z)
    tail = _upper_tail(a)
    far = _where(z < 0, -tail + 2, tail)
    return _where(a < 0.5, -error_function(z) + 1, far)


def _upper_tail(a: Value) -> Value:
    """Return erfc(a) = t*exp(P(u) - a**2) for a >= 0, t = 2/(2 + a), u = 2*t - 1 (as in Numerical Recipes, 6.2.2).

    u is computed as (2 - a)/(2 + a), so that no digit is lost where a is large.
    """
    below = a + 2
    exponent = _polynomial((-a + 2) / below, _complement())
    return reciprocal(below) * 2 * exp(exponent - a * a)


def _hypot(x: Value, y: Value) -> Value:
    """Return a*sqrt(1 + (b/a)**2) with a the larger and b the smaller one of |x| and |y|."""
    a, b = _operator("Max", abs(x), abs(y)), _operator("Min", abs(x), abs(y))
    ratio = b / a
    return _where(a.equals(0), 0, a * sqrt(ratio * ratio + 1))


def _cbrt(z: Value) -> Value:
    return sign(z) * _operator("Pow", abs(z), 1 / 3)


def _heaviside(z: Value, at_zero: Value) -> Value:
    return _where(z.equals(0), at_zero, (sign(z) + 1) * 0.5)


def _half_expm1(z: Value) -> Value:
    return _expm1(abs(z) * 2) * 0.5


def _faddeeva(x: Value, y: Value) -> tuple[Value, Value]:
    """Return both parts of the Faddeeva function, whose nodes they share."""
    least = _named("Min")
    floor, where = _named("Floor"), x.graph.where
    if x.graph.precision == "float32":
        largest = float(np.finfo(np.float32).max)
        of = faddeeva.Operations(exp, sin, _cos, floor, where, least, 11, -9, 2.0**30, largest, 2.0**6)
    else:
        of = faddeeva.Operations(exp, sin, _cos, floor, where, least)
    real, imaginary = faddeeva.rule(x, y, of)
    return real, imaginary


COMPOSED: Mapping[str, Callable[..., Value]] = {
    "expm1": _expm1,
    "log1p": _log1p,
    "exp2": lambda z: _operator("Pow", 2.0, z),
    "log2": lambda z: log(z) * (1 / math.log(2)),
    "log10": lambda z: log(z) * (1 / math.log(10)),
    "cos": _cos,
    "tan": lambda z: sin(z) / _cos(z),
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "atan2": _atan2,
    "sinh": _sinh,
    "cosh": _cosh,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "erf": _erf,
    "erfc": _erfc,
    "hypot": _hypot,
    "Cbrt": _cbrt,
    "Heaviside": _heaviside,
    "decay": lambda a: exp(-a),
    "half_expm1": _half_expm1,
    "tanh_of": lambda z, e, r: hyperbolic_tangent(z),
    "faddeeva_real_of": lambda x, y: _faddeeva(x, y)[0],
    "faddeeva_imag_of": lambda x, y: _faddeeva(x, y)[1],
}
"""The functions that have no operator, or none in float64, by their keys in ``ir.elementary``."""


# --- polynomials -------------------------------------------------------------------------------------------------


def _polynomial(u: Value, coefficients: tuple[float, ...]) -> Value:
    """Return a polynomial of u with the given coefficients, the lowest first: all powers at once, times a vector."""
    graph = u.graph
    column = graph.node("Unsqueeze", [u.name, graph.constant([len(u.indices)])])
    powers = graph.node("Pow", [column, graph.constant(np.arange(float(len(coefficients))))])
    return Value(graph, graph.node("MatMul", [powers, graph.constant(np.array(coefficients))]), u.indices)


def _fitted(function: Callable[[Any], Any]) -> tuple[float, ...]:
    """Return the polynomial nearest to a smooth function on [-1, 1], to rounding: coefficients, the lowest first."""
    with mpmath.workdps(DIGITS):
        return tuple(float(c) for c in reversed(mpmath.chebyfit(function, [-1, 1], TERMS)))


@lru_cache(maxsize=1)
def _arctangent() -> tuple[float, ...]:
    """Return atan(x)/x as a polynomial of u = 2*x**2 - 1."""
    return _fitted(lambda u: mpmath.atan(mpmath.sqrt((u + 1) / 2)) / mpmath.sqrt((u + 1) / 2) if u > -1 else 1)


@lru_cache(maxsize=1)
def _error() -> tuple[float, ...]:
    """Return erf(x)/x as a polynomial of u = 2*x**2 - 1."""
    at_zero = 2 / mpmath.sqrt(mpmath.pi)
    return _fitted(lambda u: mpmath.erf(mpmath.sqrt((u + 1) / 2)) / mpmath.sqrt((u + 1) / 2) if u > -1 else at_zero)


@lru_cache(maxsize=1)
def _complement() -> tuple[float, ...]:
    """Return log(erfc(a)/t) + a**2 as a polynomial of u, see ``_upper_tail``."""

    def exponent(u: Any) -> Any:
        t = (u + 1) / 2
        if t < mpmath.mpf(10) ** -6:  # erfc(a) is exp(-a**2)/(a*sqrt(pi))
            return -mpmath.log(2 * mpmath.sqrt(mpmath.pi))
        a = 2 / t - 2
        return mpmath.log(mpmath.erfc(a) / t) + a**2

    return _fitted(exponent)

"""Activations of other libraries that have no name here: each is a function of a SymPy expression.

For each of them, a NaN stays a NaN, since comparisons with it are false. At a corner, the derivative is that of the
branch on the left.
"""

from __future__ import annotations

from typing import Any

from sympy import Expr, Float, Integer, Piecewise, Rational, S, pi, sqrt
from sympy.codegen.cfunctions import expm1

from nncodegen.ir.functions import softplus, tanh

SIXTH = Rational(1, 6)


def number(value: float) -> Expr:
    """Return a number as an exact expression: as an integer or a simple fraction where it is one."""
    numerator, denominator = float(value).as_integer_ratio()
    if denominator == 1 and abs(numerator) < 2**53:
        return Integer(numerator)
    return Rational(numerator, denominator) if denominator <= 64 else Float(float(value))


def clip(z: Any, low: Expr | None, high: Expr | None) -> Expr:
    """Return z between two bounds, either of which may be None. Where low > high it is high, as in ONNX and PyTorch."""
    above = [] if high is None else [(high, z >= high if low is None else (z >= high) | (low >= high))]
    below = [] if low is None else [(low, z <= low)]
    return Piecewise(*above, *below, (z, True))


def hard_sigmoid(z: Any, alpha: Expr = SIXTH, beta: Expr = S.Half) -> Expr:
    """Return alpha*z + beta between 0 and 1."""
    return clip(alpha * z + beta, S.Zero, S.One)


def hard_swish(z: Any) -> Expr:
    """Return z*hard_sigmoid(z) (Howard et al., 2019)."""
    return z * hard_sigmoid(z)


def mish(z: Any) -> Expr:
    """Return z*tanh(softplus(z)) (Misra, 2019)."""
    return z * tanh(softplus(z))


def celu(z: Any, alpha: Expr = S.One) -> Expr:
    """Return z where it is positive, alpha*(exp(z/alpha) - 1) elsewhere (Barron, 2017)."""
    return Piecewise((alpha * expm1(z / alpha), z <= 0), (z, True))


def thresholded(z: Any, threshold: Expr, value: Expr = S.Zero) -> Expr:
    """Return z above a threshold, a constant elsewhere."""
    return Piecewise((value, z <= threshold), (z, True))


def gelu_tanh(z: Any) -> Expr:
    """Return the approximation of gelu by tanh (Hendrycks and Gimpel, 2016)."""
    return z * (1 + tanh(sqrt(2 / pi) * (z + Rational(44715, 1000000) * z**3))) / 2


def log_sigmoid(z: Any) -> Expr:
    """Return log(sigmoid(z))."""
    return -softplus(-z)


def tanh_shrink(z: Any) -> Expr:
    """Return z - tanh(z)."""
    return z - tanh(z)


def shrink(z: Any, bound: Expr, bias: Expr) -> Expr:
    """Return 0 from -bound to bound; elsewhere z, nearer to 0 by the bias."""
    return Piecewise((z + bias, z < -bound), (z - bias, z > bound), (S.Zero, (z >= -bound) & (z <= bound)), (z, True))

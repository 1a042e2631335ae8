"""The Faddeeva function w(z) = exp(-z**2)*erfc(-i*z) of complex numbers z = x + i*y, in its two parts.

Its real part is the Voigt function: a Gaussian convolved with a Lorentzian (NIST Digital Library of Mathematical
Functions, 7.19). Here are its values with NumPy and with mpmath; those in C are in ``functions64.h``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np

NODES = 13
"""The number of pairs of nodes, up to t = 6.25, where exp(-t**2) is 1e-17."""


@dataclass(frozen=True)
class Operations:
    """The functions that the rule needs beside arithmetic and comparisons: of arrays of NumPy, or of values of a graph.

    where(c, u, v)  u where c holds, else v
    least(u, v)     the smaller of two numbers, the second of which is a constant

    The others are functions of one number. The limits of the type of numbers: ``widest``, from which on exp(-x**2) is
    0; ``lowest``, from which on down exp(y**2) leaves the range; ``farthest``, whose fourth power is in it, and from
    which on w(z) is i/(sqrt(pi)*z); the ``largest`` number; and ``grid``, the reciprocal of the distance of numbers up
    to ``widest`` whose squares are exact.
    """

    exp: Callable[[Any], Any]
    sine: Callable[[Any], Any]
    cosine: Callable[[Any], Any]
    floor: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]
    least: Callable[[Any, float], Any]
    widest: float = 28
    lowest: float = -26
    farthest: float = 1e60
    largest: float = float(np.finfo(float).max)
    grid: float = 2.0**20


def values(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the real and the imaginary part of w(x + i*y) as arrays of NumPy, with errors below 1e-14 of each.

    For y < 0 digits are lost where w is far smaller than 2*exp(y**2 - x**2); below -26, it is NaN.
    """
    of = Operations(np.exp, np.sin, np.cos, np.floor, np.where, np.minimum)
    with np.errstate(all="ignore"):  # in branches that are not taken
        return rule(np.asarray(x, float), np.asarray(y, float), of)


def rule(x: Any, y: Any, of: Operations) -> tuple[Any, Any]:
    """Return the real and the imaginary part of w(x + i*y) in other operations.

    They are those of the trapezoidal rule for i/pi times the integral of exp(-t**2)/(z - t), with the correction for
    its pole at t = z (M. Al Azah, S. N. Chandler-Wilde, SIAM J. Numer. Anal. 59, 2346, 2021). The nodes t are 1/2
    apart, at least 1/8 from x; t and -t are added together.
    """
    a, square = abs(x), y * y
    near = of.least(a, of.widest)
    quarters = of.floor(near * 4 + 0.5)
    even = of.floor(quarters * 0.5) * 2 - quarters > -0.5
    total, begin = a * a + square, of.where(even, 0.25, 0.0)
    poles = squares = a * 0
    for k in range(NODES):
        between, at = (float(np.exp(-((k / 2 + shift) ** 2)) / np.pi) for shift in (0.25, 0))
        t, weight = begin + k / 2, of.where(even, between, at if k else at / 2)
        before, after = a - t, a + t
        pole = weight / ((before * before + square) * (after * after + square))
        poles, squares = poles + pole, squares + pole * t * t
    real, imaginary = _correction(near, y, (near - quarters * 0.25) * (4 * np.pi), of)
    real, imaginary = real + y * (total * poles + squares), imaginary + a * (total * poles - squares)
    large = of.where(a > abs(y), a, abs(y))
    divisor = of.where(large > 1e-30, large, 1.0)
    u, v = a / divisor, y / divisor
    scale = (u * u + v * v) * np.sqrt(np.pi)
    far, outside, below = large > of.farthest, large > of.largest, y < of.lowest
    real, imaginary = of.where(far, v / scale / divisor, real), of.where(far, u / scale / divisor, imaginary)
    imaginary = of.where(x < 0, -imaginary, imaginary)
    return tuple(of.where(below, np.nan, of.where(outside, 0.0, part)) for part in (real, imaginary))


def _correction(a: Any, y: Any, theta: Any, of: Operations) -> tuple[Any, Any]:
    """Return both parts of 2*exp(-z**2)/(1 + exp(4*pi*y - i*theta)) for z = a + i*y; 0 from y = 2*pi on."""
    head, above = of.floor(a * of.grid) * (1 / of.grid), of.least(y, 6.5)
    size = of.exp(-(head * head)) * of.exp(above * above - (a - head) * (a + head))
    r, phi = of.exp(of.where(above > -3, above, -3.0) * (-4 * np.pi)), a * above * 2
    factor = size * 2 * (r / (r * r + r * 2 * of.cosine(theta) + 1))
    real, imaginary = r * of.cosine(phi) + of.cosine(theta - phi), of.sine(theta - phi) - r * of.sine(phi)
    none = y > 2 * np.pi
    return of.where(none, 0.0, factor * real), of.where(none, 0.0, factor * imaginary)


# --- with mpmath -------------------------------------------------------------------------------------------------


def exact(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the real and the imaginary part of w(x + i*y), each in the precision of mpmath."""
    x, y = mpmath.mpf(x), mpmath.mpf(y)
    if mpmath.isnan(x) or mpmath.isnan(y):
        return mpmath.nan, mpmath.nan
    return _known(x._mpf_, y._mpf_, mpmath.mp.prec)


def exact_slope(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the real and the imaginary part of w'(z) = 2*i/sqrt(pi) - 2*z*w(z), each in the precision of mpmath."""
    if not (mpmath.isfinite(x) and mpmath.isfinite(y)):
        return mpmath.nan, mpmath.nan

    def slope() -> tuple[Any, ...]:
        real, imaginary = exact(x, y)
        u, v = x * real - y * imaginary, x * imaginary + y * real
        return mpmath.fabs(x * real) + mpmath.fabs(y * imaginary) + 1, -2 * u, 2 / mpmath.sqrt(mpmath.pi) - 2 * v

    return _in_full(slope)


@lru_cache(maxsize=5_000)  # as with erfc, a value takes long
def _known(x: Any, y: Any, _: int) -> tuple[Any, Any]:
    """Return both parts, given the parts of numbers of mpmath, and its precision."""
    x, y = mpmath.make_mpf(x), mpmath.make_mpf(y)
    if mpmath.isinf(x) or mpmath.isinf(y):
        return (mpmath.mpf(0), mpmath.mpf(0)) if y >= 0 else (mpmath.nan, mpmath.nan)
    if y == 0:
        real = mpmath.exp(-x * x)
        return real, real * mpmath.erfi(x)

    def parts() -> tuple[Any, ...]:
        z = mpmath.mpc(x, y)
        if mpmath.fabs(z) < FAR:
            w = mpmath.exp(-z * z) * mpmath.erfc(mpmath.mpc(y, -x))
        else:
            w = _far(z) if y > 0 else 2 * mpmath.exp(-z * z) - _far(-z)
        return mpmath.fabs(w), mpmath.re(w), mpmath.im(w) if x else mpmath.mpf(0)

    return _in_full(parts)


FAR = 1e4
"""The size from which on the series in 1/z has as many digits as anyone asks for: its least term is exp(-1e8)."""


def _far(z: Any) -> Any:
    """Return i/sqrt(pi)*(1/z + 1/(2*z**3) + 3/(4*z**5) + ...) above the real axis."""
    term = mpmath.mpc(0, 1) / (mpmath.sqrt(mpmath.pi) * z)
    total, k = term, 0
    while mpmath.mag(term) > mpmath.mag(total) - mpmath.mp.prec:
        k += 1
        term *= (2 * k - 1) / (2 * z * z)
        total += term
    return total


def _in_full(compute: Callable[[], tuple[Any, ...]]) -> tuple[Any, Any]:
    """Return two numbers in the precision of mpmath. ``compute`` gives the size of what may cancel, and both."""
    extra_bits = 20
    while True:
        with mpmath.extraprec(extra_bits):
            size, real, imaginary = compute()
        lost = max((mpmath.mag(size) - mpmath.mag(part) for part in (real, imaginary) if part), default=0)
        if lost + 15 <= extra_bits:
            return +real, +imaginary
        extra_bits = lost + 40

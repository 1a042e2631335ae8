"""The functions of formulas and their derivatives over numbers of mpmath, written down anew.

Nothing here comes from the stages of the compiler: neither the derivatives of ``passes.derivatives``, nor ``fdiff`` of
``ir.functions``, nor the evaluation of ``ir.evaluate``. A wrong rule there would not be seen otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath

Number = Any
"""A real number of mpmath; NaN where there is none."""

Partials = Callable[..., tuple[Number, ...]]

NAN = mpmath.mpf("nan")
INFINITY = mpmath.inf


def sign(z: Number) -> Number:
    """-1, 0 or 1; NaN of NaN."""
    return mpmath.mpf((z > 0) - (z < 0)) if z == z else z  # noqa: PLR0124 (NaN alone differs from itself)


def reciprocal(z: Number) -> Number:
    """1/z, and infinity at 0."""
    return INFINITY if z == 0 else 1 / z


def power(base: Number, exponent: Number) -> Number:
    """A real power; infinity for a negative power of 0."""
    if base == 0 and exponent < 0:
        return INFINITY
    return base**exponent


def _power_partials(value: Number, base: Number, exponent: Number) -> tuple[Number, Number]:
    by_base = mpmath.mpf(0) if exponent == 0 else exponent * power(base, exponent - 1)
    by_exponent = mpmath.mpf(0) if value == 0 else value * mpmath.log(base)
    return by_base, by_exponent


def _root(z: Number) -> Number:
    return sign(z) * mpmath.cbrt(abs(z))


def _largest(*values: Number) -> Number:
    return NAN if any(v != v for v in values) else max(values)  # noqa: PLR0124


def _smallest(*values: Number) -> Number:
    return NAN if any(v != v for v in values) else min(values)  # noqa: PLR0124


def _shared(value: Number, *values: Number) -> tuple[Number, ...]:
    """1 for the argument that is the value, and equal parts for several."""
    ties = sum(v == value for v in values)
    return tuple(mpmath.mpf(v == value) / ties if ties else NAN for v in values)


def _corner(value: Number, u: Number, v: Number) -> tuple[Number, Number]:
    return (u / value, v / value) if value else (value, value)


def _one(derivative: Callable[[Number], Number]) -> Partials:
    """The derivative of a function of one number, from its argument alone."""
    return lambda value, z: (derivative(z),)


@lru_cache(maxsize=5_000)
def _kept(function: Callable[[Number], Number], parts: Any, bits: int) -> Number:
    return function(mpmath.mpf(parts))


def _slow(function: Callable[[Number], Number]) -> Callable[[Number], Number]:
    """A function whose values are kept: of erfc, one of 800 digits takes a hundredth of a second."""
    return lambda z: _kept(function, z._mpf_, mpmath.mp.prec)


FUNCTIONS: dict[str, tuple[Callable[..., Number], Partials]] = {
    "exp": (mpmath.exp, lambda f, z: (f,)),
    "log": (mpmath.log, _one(reciprocal)),
    "expm1": (mpmath.expm1, lambda f, z: (f + 1,)),
    "log1p": (mpmath.log1p, _one(lambda z: reciprocal(1 + z))),
    "exp2": (lambda z: mpmath.mpf(2) ** z, lambda f, z: (f * mpmath.log(2),)),
    "log2": (lambda z: mpmath.log(z) / mpmath.log(2), _one(lambda z: reciprocal(z * mpmath.log(2)))),
    "log10": (lambda z: mpmath.log(z) / mpmath.log(10), _one(lambda z: reciprocal(z * mpmath.log(10)))),
    "sin": (mpmath.sin, _one(mpmath.cos)),
    "cos": (mpmath.cos, _one(lambda z: -mpmath.sin(z))),
    "tan": (mpmath.tan, lambda f, z: (1 + f * f,)),
    "sec": (lambda z: reciprocal(mpmath.cos(z)), lambda f, z: (f * mpmath.tan(z),)),
    "csc": (lambda z: reciprocal(mpmath.sin(z)), lambda f, z: (-f * f * mpmath.cos(z),)),
    "cot": (lambda z: mpmath.cos(z) * reciprocal(mpmath.sin(z)), lambda f, z: (-1 - f * f,)),
    "asin": (mpmath.asin, _one(lambda z: reciprocal(mpmath.sqrt(1 - z * z)))),
    "acos": (mpmath.acos, _one(lambda z: -reciprocal(mpmath.sqrt(1 - z * z)))),
    "atan": (mpmath.atan, _one(lambda z: reciprocal(1 + z * z))),
    "atan2": (mpmath.atan2, lambda f, y, x: (x * reciprocal(x * x + y * y), -y * reciprocal(x * x + y * y))),
    "sinh": (mpmath.sinh, _one(mpmath.cosh)),
    "cosh": (mpmath.cosh, _one(mpmath.sinh)),
    "tanh": (mpmath.tanh, _one(lambda z: mpmath.sech(z) ** 2)),
    "sech": (mpmath.sech, lambda f, z: (-f * mpmath.tanh(z),)),
    "csch": (mpmath.csch, lambda f, z: (-f * mpmath.coth(z),)),
    "coth": (mpmath.coth, _one(lambda z: -(mpmath.csch(z) ** 2))),
    "asinh": (mpmath.asinh, _one(lambda z: reciprocal(mpmath.sqrt(1 + z * z)))),
    "acosh": (mpmath.acosh, _one(lambda z: reciprocal(mpmath.sqrt(z - 1) * mpmath.sqrt(z + 1)))),
    "atanh": (mpmath.atanh, _one(lambda z: reciprocal(1 - z * z))),
    "erf": (_slow(mpmath.erf), _one(lambda z: 2 * mpmath.exp(-z * z) / mpmath.sqrt(mpmath.pi))),
    "erfc": (_slow(mpmath.erfc), _one(lambda z: -2 * mpmath.exp(-z * z) / mpmath.sqrt(mpmath.pi))),
    "hypot": (mpmath.hypot, _corner),
    "Cbrt": (_root, lambda f, z: (reciprocal(3 * f * f),)),
    "Sqrt": (mpmath.sqrt, lambda f, z: (reciprocal(2 * f),)),
    "Abs": (abs, _one(sign)),
    "sign": (sign, lambda f, z: (mpmath.mpf(0),)),
    "Heaviside": (
        lambda z, at_zero: mpmath.mpf(z > 0) if z else at_zero,
        lambda f, z, at_zero: (mpmath.mpf(0), mpmath.mpf(z == 0)),
    ),
    "Max": (_largest, _shared),
    "Min": (_smallest, _shared),
    "pow": (power, _power_partials),
    # What the compiler calls in C, of whose arguments only the first counts.
    "decay": (lambda a: mpmath.exp(-a), lambda f, a: (-f,)),
    "half_expm1": (lambda z: mpmath.expm1(2 * abs(z)) / 2, lambda f, z: (sign(z) * (2 * f + 1),)),
    "tanh_of": (lambda z, e, r: mpmath.tanh(z), lambda f, z, e, r: (1 - f * f, mpmath.mpf(0), mpmath.mpf(0))),
}
"""Each function by its name in SymPy, and its derivatives by all arguments, given its value and these.

At the tips of Abs, Max and Min, the derivative is the mean of those on both sides.
"""


def call(function: Callable[..., Number], *arguments: Number) -> Number:
    """The value of a function; NaN where it is no real number."""
    try:
        value = function(*arguments)
    except (ValueError, ZeroDivisionError, OverflowError, mpmath.libmp.ComplexResult):
        return NAN
    return NAN if isinstance(value, mpmath.mpc) else value

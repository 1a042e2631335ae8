"""Functions divided by their argument, f(z)/z, which as written are 0/0 at z = 0, where they have a limit.

``sin_quotient(z)`` is sin(z)/z, and so on. Near 0 their derivatives are computed by Taylor series, since
(f'(z) - f(z)/z)/z loses its digits there. The same holds for Langevin's function, a difference of two poles.

Functions of the C library are called everywhere, and their results multiplied by 1 or 0: inside a branch, the compiler
would not call them for whole vectors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sympy
from sympy import Abs, Dummy, Eq, Expr, Piecewise, Rational, S
from sympy.codegen.cfunctions import expm1, log1p

from nncodegen.ir import functions
from nncodegen.ir.functions import StableFunction

NEAR = Rational(1, 4)
"""The series is used where abs(z) is below this."""

TERMS = 28
"""So many terms are enough there for a radius of convergence of 1: (1/4)**27 is below the last digit."""

LAST_DIGIT = 2.0**-56


class Quotient(StableFunction):
    """f(z)/z for the function f in ``numerator``, with f(0) = 0; see QUOTIENTS for each."""

    nargs = 1
    numerator: Any
    slope: Any

    @classmethod
    def definition(cls, z: Expr) -> Expr:
        return Piecewise((_series(cls.numerator)[1], Eq(z, 0)), (cls.numerator(z) / z, True))

    @classmethod
    def stable(cls, z: Expr) -> Expr:
        hole = Piecewise((S.One, Eq(z, 0)), (S.Zero, True))
        return cls.numerator(z) / (z + hole) + _series(cls.numerator)[1] * hole

    def fdiff(self, argindex: int = 1) -> Expr:
        return self.slope(*self.args)


class Slope(StableFunction):
    """The derivative of f(z)/z, (f'(z) - f(z)/z)/z."""

    nargs = 1
    numerator: Any

    @classmethod
    def definition(cls, z: Expr) -> Expr:
        slope = (cls._fdiff(z) - cls.numerator(z) / z) / z
        return Piecewise((_series(cls.numerator)[2], Eq(z, 0)), (slope, True))

    @classmethod
    def stable(cls, z: Expr) -> Expr:
        near = Piecewise((S.One, Abs(z) < NEAR), (S.Zero, True))
        inner = Piecewise((z, Abs(z) < NEAR), (S.Zero, True))
        outer = Piecewise((S.One, Abs(z) < NEAR), (z, True))
        series = _polynomial(inner, NEAR, [(k - 1) * c for k, c in enumerate(_series(cls.numerator))][2:])
        return near * series + (1 - near) * (cls._fdiff(z) - QUOTIENTS[cls.numerator](z)) / outer

    @classmethod
    def _fdiff(cls, z: Expr) -> Expr:
        inner = Dummy()
        return cls.numerator(inner).fdiff().xreplace({inner: z})


class langevin(StableFunction):
    """1/tanh(z) - 1/z, the mean of a dipole's direction in a field."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        return Piecewise((S.Zero, Eq(z, 0)), (1 / sympy.tanh(z) - 1 / z, True))

    @staticmethod
    def stable(z: Expr) -> Expr:
        near = _polynomial(z, 3 * NEAR, list(_series(langevin)))
        return Piecewise((near, Abs(z) < 3 * NEAR), (1 / functions.tanh(z) - 1 / z, True))

    def fdiff(self, argindex: int = 1) -> Expr:
        return langevin_slope(*self.args)


class langevin_slope(StableFunction):
    """The derivative of langevin(z), 1/z**2 - 1/sinh(z)**2."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        return Piecewise((Rational(1, 3), Eq(z, 0)), (1 / z**2 - 1 / sympy.sinh(z) ** 2, True))

    @staticmethod
    def stable(z: Expr) -> Expr:
        near = _polynomial(z, 3 * NEAR, [k * c for k, c in enumerate(_series(langevin))][1:])
        reciprocal = sympy.exp(-Abs(z)) / -expm1(-2 * Abs(z))  # 1/(2*sinh(|z|))
        return Piecewise((near, Abs(z) < 3 * NEAR), (z**-2 - 4 * reciprocal**2, True))


def _polynomial(z: Expr, near: Expr, coefficients: list[Expr]) -> Expr:
    """c[0] + c[1]*z + c[2]*z**2 + ..., by Horner's rule; in z**2 where every other coefficient is 0.

    Terms that do not change the last digit for abs(z) < near are left out.
    """
    sizes = [abs(float(c * near**k)) for k, c in enumerate(coefficients)]
    least = next(size for size in sizes if size) * LAST_DIGIT
    coefficients = coefficients[: max(k for k, size in enumerate(sizes) if size > least) + 1]
    if not any(coefficients[1::2]):
        return _horner(z**2, coefficients[::2])
    if not any(coefficients[::2]):
        return z * _horner(z**2, coefficients[1::2])
    return _horner(z, coefficients)


def _horner(z: Expr, coefficients: list[Expr]) -> Expr:
    total = S.Zero
    for coefficient in reversed(coefficients):
        total = total * z + coefficient
    return total


_WRITTEN = {
    expm1: lambda z: sympy.exp(z) - 1,
    log1p: lambda z: sympy.log(1 + z),
    functions.tanh: sympy.tanh,
    langevin: lambda z: sympy.coth(z) - 1 / z,
}
"""Functions in a form of which SymPy knows the series."""


@lru_cache
def _series(function: Any) -> tuple[Expr, ...]:
    """The coefficients of 1, z, z**2, ... in the series of a function at 0."""
    z = Dummy("z")
    series = sympy.series(_WRITTEN.get(function, function)(z), z, 0, TERMS).removeO()
    return tuple(series.coeff(z, k) for k in range(TERMS))


def _quotient(function: type[Expr]) -> type[Quotient]:
    name = f"{function.__name__}_quotient"
    slope = type(f"{name}_slope", (Slope,), {"__doc__": f"The derivative of {name}.", "numerator": function})
    return type(name, (Quotient,), {"__doc__": f"{function.__name__}(z)/z.", "numerator": function, "slope": slope})


QUOTIENTS: dict[type[Expr], type[Quotient]] = {
    function: _quotient(function)
    for function in (
        sympy.sin,
        sympy.tan,
        sympy.sinh,
        functions.tanh,
        sympy.asin,
        sympy.atan,
        sympy.asinh,
        sympy.atanh,
        sympy.erf,
        expm1,
        log1p,
    )
}
"""From functions with f(0) = 0 to their quotients f(z)/z."""

"""Functions divided by their argument, f(z)/z, which as written are 0/0 at z = 0, where they have a limit.

``sin_quotient(z)`` is sin(z)/z, and so on. Near 0 their derivatives are computed by Taylor series, since
(f'(z) - f(z)/z)/z loses its digits there. The same holds for Langevin's function, a difference of two poles.

``tanh_over(c, u)`` is tanh(c*u)/u, and ``over_sinh(c, u)`` is u/sinh(c*u). Written as c*q(c*u), with the quotient q,
they would have derivatives by c that are sums, q + c*u*q', of which nothing is left far out. ``tanh_apart(c, u)`` is
tanh(c*u)/u as well, but divides by u, for a c that may overflow.

Functions of the C library are called everywhere, and their results multiplied by 1 or 0: inside a branch, the compiler
would not call them for whole vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import sympy
from sympy import Abs, Add, Dummy, Eq, Expr, Piecewise, Rational, S
from sympy.codegen.cfunctions import expm1, log1p

from nncodegen.compiler.ir import functions
from nncodegen.compiler.ir.functions import StableFunction, bose_einstein

NEAR = Rational(1, 4)
"""The series is used where abs(z) is below this."""

TERMS = 28
"""Number of terms, enough for a radius of convergence of 1: (1/4)**27 is below the last digit."""

MORE_TERMS = TERMS + 8
"""Number of terms for derivatives of higher orders, whose coefficients decrease more slowly."""

LAST_DIGIT = 2.0**-56

NOTHING = Rational(1, 2**60)
"""Below it, f(z) has the digits of z for each function with f(0) = 0 and f'(0) = 1."""

EXACT = Rational(1, 1024)
"""Below it, definitions are series, too: these terms are enough for 70 digits, and none of their digits cancel."""


class Quotient(StableFunction):
    """f(z)/z for the function f in ``numerator``, with f(0) = 0; see QUOTIENTS for each."""

    nargs = 1
    numerator: Any

    @classmethod
    def definition(cls, z: Expr) -> Expr:
        return Piecewise((_series(cls.numerator)[1], Eq(z, 0)), (cls.numerator(z) / z, True))

    @classmethod
    def stable(cls, z: Expr) -> Expr:
        hole = Piecewise((S.One, Eq(z, 0)), (S.Zero, True))
        return cls.numerator(z) / (z + hole) + _series(cls.numerator)[1] * hole

    def fdiff(self, argindex: int = 1) -> Expr:
        return _slope(self.numerator, 1)(*self.args)


class Slope(StableFunction):
    """The derivative of q(z) = f(z)/z, taken ``order`` = n times, (f^(n)(z) - n*q^(n-1)(z))/z."""

    nargs = 1
    numerator: Any
    order: int

    @classmethod
    def definition(cls, z: Expr) -> Expr:
        slope = _differentiated(lambda t: cls.numerator(t) / t, cls.order, z)
        return Piecewise((_horner(z, cls._coefficients()), Abs(z) < EXACT), (slope, True))

    @classmethod
    def stable(cls, z: Expr) -> Expr:
        n, function = cls.order, cls.numerator
        end = S.One if function in ENTIRE and (n > 1 or function not in BY_C) else NEAR
        near = Piecewise((S.One, Abs(z) < end), (S.Zero, True))
        inner = Piecewise((z, Abs(z) < end), (S.Zero, True))
        outer = Piecewise((S.One, Abs(z) < end), (z, True))
        lower = QUOTIENTS[function](z) if n == 1 else _slope(function, n - 1)(z)
        far = (_differentiated(function, n, z) - n * lower) / outer
        return near * _polynomial(inner, end, cls._coefficients()) + (1 - near) * far

    @classmethod
    def _coefficients(cls) -> list[Expr]:
        n = cls.order
        series = _series(cls.numerator, TERMS if n == 1 else MORE_TERMS)
        return [sympy.ff(k - 1, n) * c for k, c in enumerate(series)][n + 1 :]

    def fdiff(self, argindex: int = 1) -> Expr:
        return _slope(self.numerator, self.order + 1)(*self.args)


class Over(StableFunction):
    """f(c*u)/u, derived ``order`` = n times by u: c**(n + 1) times the derivative of f(z)/z at z = c*u.

    Its derivative by c is that of f'(c*u), taken n times by u.
    """

    nargs = 2
    numerator: Any
    order: int

    @classmethod
    def _of_quotient(cls) -> Any:
        return _slope(cls.numerator, cls.order) if cls.order else QUOTIENTS[cls.numerator]

    @classmethod
    def definition(cls, c: Expr, u: Expr) -> Expr:
        return c ** (cls.order + 1) * cls._of_quotient().definition(c * u)

    @classmethod
    def stable(cls, c: Expr, u: Expr) -> Expr:
        return c ** (cls.order + 1) * cls._of_quotient()(c * u)

    def fdiff(self, argindex: int = 1) -> Expr:
        c, u = self.args
        if argindex == 2:
            return over(self.numerator, self.order + 1)(c, u)
        return c**self.order * _differentiated(self.numerator, self.order + 1, c * u)


class Apart(Over):
    """f(c*u)/u as this quotient, where c may overflow although c*u and f(c*u) do not; it is c where f(c*u) is c*u."""

    order = 0

    @classmethod
    def stable(cls, c: Expr, u: Expr) -> Expr:
        return Piecewise((c, Abs(c * u) < NOTHING), (cls.numerator(c * u) / u, True))


class Under(StableFunction):
    """u/f(c*u): its derivatives keep their digits, and do not overflow, where f grows like an exponential."""

    nargs = 2
    denominator: Any

    @classmethod
    def definition(cls, c: Expr, u: Expr) -> Expr:
        return 1 / (c * QUOTIENTS[cls.denominator].definition(c * u))

    @classmethod
    def stable(cls, c: Expr, u: Expr) -> Expr:
        return 1 / (c * QUOTIENTS[cls.denominator](c * u))

    def fdiff(self, argindex: int = 1) -> Expr:
        c, u = self.args
        z, function = c * u, self.denominator
        quotient = QUOTIENTS[function]
        if argindex == 2:
            growing = function in GROWING
            return _under_slope(function)(z) if growing else -_slope(function, 1)(z) / quotient(z) ** 2
        divisor = GROWING[function][0](z) if function in GROWING else quotient(z) ** 2 / _differentiated(function, 1, z)
        return -1 / (c**2 * divisor)


class UnderSlope(StableFunction):
    """The derivative of z/f(z), for a function f that grows like an exponential."""

    nargs = 1
    denominator: Any

    @classmethod
    def definition(cls, z: Expr) -> Expr:
        quotient = QUOTIENTS[cls.denominator]
        return -_slope(cls.denominator, 1).definition(z) / quotient.definition(z) ** 2

    @classmethod
    def stable(cls, z: Expr) -> Expr:
        near = Piecewise((S.One, Abs(z) < 1), (S.Zero, True))
        inner = Piecewise((z, Abs(z) < 1), (S.Zero, True))
        outer = Piecewise((S.One, Abs(z) < 1), (z, True))
        series = [k * c for k, c in enumerate(_inverse(_series(cls.denominator, MORE_TERMS)[1:]))][1:]
        return near * _polynomial(inner, S.One, series) + (1 - near) * GROWING[cls.denominator][1](outer)

    def fdiff(self, argindex: int = 1) -> Expr:
        (z,) = self.args
        quotient, slope, curvature = QUOTIENTS[self.denominator](z), *(_slope(self.denominator, n)(z) for n in (1, 2))
        return (2 * slope**2 / quotient - curvature) / quotient**2


class expm1_excess(StableFunction):
    """(exp(z) - 1)/z - 1, which is z/2 near 0."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        near = _horner(z, list(_series(expm1_excess)))
        return Piecewise((near, Abs(z) < EXACT), ((sympy.exp(z) - 1) / z - 1, True))

    @staticmethod
    def stable(z: Expr) -> Expr:
        near = Piecewise((S.One, Abs(z) < 1), (S.Zero, True))
        inner = Piecewise((z, Abs(z) < 1), (S.Zero, True))
        series = _polynomial(inner, S.One, list(_series(expm1_excess)))
        return near * series + (1 - near) * (QUOTIENTS[expm1](z) - 1)

    def fdiff(self, argindex: int = 1) -> Expr:
        return _slope(expm1, 1)(*self.args)


class spherical_bessel(StableFunction):
    """sin(z)/z**2 - cos(z)/z, the spherical Bessel function of order 1, which is -d/dz (sin(z)/z)."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        return -_slope(sympy.sin, 1).definition(z)

    @staticmethod
    def stable(z: Expr) -> Expr:
        return -_slope(sympy.sin, 1)(z)

    def fdiff(self, argindex: int = 1) -> Expr:
        return -_slope(sympy.sin, 2)(*self.args)


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

    def fdiff(self, argindex: int = 1) -> Expr:
        return langevin_curvature(*self.args)


class langevin_curvature(StableFunction):
    """The second derivative of langevin(z), 2/(tanh(z)*sinh(z)**2) - 2/z**3."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        curvature = 2 / (sympy.tanh(z) * sympy.sinh(z) ** 2) - 2 / z**3
        return Piecewise((S.Zero, Eq(z, 0)), (curvature, True))

    @staticmethod
    def stable(z: Expr) -> Expr:
        near = _polynomial(z, 3 * NEAR, [k * (k - 1) * c for k, c in enumerate(_series(langevin))][2:])
        reciprocal = sympy.exp(-Abs(z)) / -expm1(-2 * Abs(z))  # 1/(2*sinh(|z|))
        far = 8 * reciprocal**2 / functions.tanh(z) - 2 / z**3
        return Piecewise((near, Abs(z) < 3 * NEAR), (far, True))


def _differentiated(function: Callable[[Expr], Expr], order: int, z: Expr) -> Expr:
    """Return the derivative of a function of one argument, taken ``order`` times, at z."""
    t = Dummy()
    return sympy.diff(function(t), t, order).xreplace({t: z})


def _polynomial(z: Expr, near: Expr, coefficients: list[Expr]) -> Expr:
    """Return c[0] + c[1]*z + c[2]*z**2 + ..., by Horner's rule; in z**2 if every other coefficient is 0.

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


_TERMS: dict[Any, Callable[[int], Expr]] = {
    expm1: lambda k: _taylor_term(sympy.exp, k) if k else S.Zero,
    log1p: lambda k: _taylor_term(sympy.log, k - 1) if k else S.Zero,
    functions.tanh: lambda k: _taylor_term(sympy.tanh, k),
    langevin: lambda k: _taylor_term(sympy.coth, k) if k else S.Zero,
    expm1_excess: lambda k: _taylor_term(sympy.exp, k + 1) if k else S.Zero,
    spherical_bessel: lambda k: _taylor_term(sympy.sin, k + 2) - _taylor_term(sympy.cos, k + 1),
}
"""The coefficients of z**k of functions of nncodegen, from those that SymPy knows."""


@lru_cache
def _series(function: Any, terms: int = TERMS) -> tuple[Expr, ...]:
    """Return the coefficients of 1, z, z**2, ... in the series of a function at 0."""
    term = _TERMS[function] if function in _TERMS else partial(_taylor_term, function)
    return tuple(term(k) for k in range(terms))


def _taylor_term(function: Any, k: int) -> Expr:
    term: Expr = sympy.sympify(function.taylor_term(k, 1))
    return term


def _inverse(series: tuple[Expr, ...]) -> list[Expr]:
    """Return the coefficients of the reciprocal of a power series whose first coefficient is 1."""
    inverse: list[Expr] = [S.One]
    for n in range(1, len(series)):
        inverse.append(-Add(*(series[k] * inverse[n - k] for k in range(1, n + 1))))
    return inverse


@lru_cache
def _quotient(function: type[Expr]) -> type[Quotient]:
    name = f"{function.__name__}_quotient"
    members = {"__doc__": f"{function.__name__}(z)/z.", "numerator": function, "made_by": (_quotient, (function,))}
    return type(name, (Quotient,), members)


@lru_cache
def _slope(function: type[Expr], order: int) -> type[Slope]:
    name = f"{function.__name__}_quotient_slope" + (f"_{order}" if order > 1 else "")
    about = f"The derivative number {order} of {function.__name__}(z)/z."
    made_by = _slope, (function, order)
    return type(name, (Slope,), {"__doc__": about, "numerator": function, "order": order, "made_by": made_by})


def over(function: type[Expr], order: int = 0) -> type[Over]:
    """Return the function f(c*u)/u of c and u, derived ``order`` times by u."""
    return _over(function, order)  # type: ignore[arg-type]


@lru_cache
def _over(function: type[Expr], order: int) -> type[Over]:
    name = f"{function.__name__}_over" + ("" if not order else f"_slope_{order}")
    about = f"{function.__name__}(c*u)/u" + (f", derived {order} times by u." if order else ".")
    made_by = _over, (function, order)
    return type(name, (Over,), {"__doc__": about, "numerator": function, "order": order, "made_by": made_by})


@lru_cache
def apart(function: type[Expr]) -> type[Apart]:
    """Return the function f(c*u)/u of c and u, for a c that may overflow."""
    members = {"__doc__": f"{function.__name__}(c*u)/u.", "numerator": function, "made_by": (apart, (function,))}
    return type(f"{function.__name__}_apart", (Apart,), members)


@lru_cache
def under(function: type[Expr]) -> type[Under]:
    """Return the function u/f(c*u) of c and u."""
    members = {"__doc__": f"u/{function.__name__}(c*u).", "denominator": function, "made_by": (under, (function,))}
    return type(f"over_{function.__name__}", (Under,), members)


@lru_cache
def _under_slope(function: type[Expr]) -> type[UnderSlope]:
    about = f"The derivative of z/{function.__name__}(z)."
    members = {"__doc__": about, "denominator": function, "made_by": (_under_slope, (function,))}
    return type(f"over_{function.__name__}_slope", (UnderSlope,), members)


BY_C = (
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
"""Functions of the C library, or of primitives, with f(0) = 0 and f'(0) = 1."""

ENTIRE = (sympy.sin, sympy.sinh, sympy.erf, expm1, expm1_excess, spherical_bessel)
"""Functions whose series converge everywhere, and fast up to 1: up to there the series replaces differences."""

QUOTIENTS: dict[type[Expr], type[Quotient]] = {
    function: _quotient(function) for function in (*BY_C, expm1_excess, spherical_bessel)
}
"""From functions with f(0) = 0 to their quotients f(z)/z."""

GROWING: dict[type[Expr], tuple[Callable[[Expr], Expr], Callable[[Expr], Expr]]] = {
    expm1: (
        lambda z: QUOTIENTS[expm1](z) * QUOTIENTS[expm1](-z),
        lambda z: bose_einstein(z) * (1 + z * bose_einstein(-z)),
    ),
    sympy.sinh: (
        lambda z: QUOTIENTS[sympy.sinh](z) * QUOTIENTS[functions.tanh](z),
        lambda z: (1 - z / functions.tanh(z)) / sympy.sinh(z),
    ),
}
"""Functions f that grow like an exponential -> f(z)**2/(z**2*f'(z)), and the derivative of z/f(z) far from 0."""

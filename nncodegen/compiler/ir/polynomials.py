"""Polynomials as functions: parts of Taylor series, whose coefficients no rule has to look at."""

from __future__ import annotations

from functools import lru_cache

from sympy import Expr, S

from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.magnitudes import grouped


class Polynomial(StableFunction):
    """u**power*(c[0] + c[1]*u + c[2]*u**2 + ...), by Horner's rule; ``power`` may be negative."""

    nargs = 1
    power: int
    coefficients: tuple[Expr, ...]

    @classmethod
    def definition(cls, u: Expr) -> Expr:
        return u**cls.power * _horner(u, cls.coefficients)

    @classmethod
    def stable(cls, u: Expr) -> Expr:
        c = cls.coefficients
        inner = _horner(u, c) if any(c[1::2]) else _horner(grouped(u, u), c[::2])
        return u**cls.power * inner

    def fdiff(self, argindex: int = 1) -> Expr:
        slopes = tuple((self.power + k) * c for k, c in enumerate(self.coefficients))
        if self.power == 0:
            return polynomial(0, slopes[1:])(*self.args) if slopes[1:] else S.Zero
        return polynomial(self.power - 1, slopes)(*self.args)


@lru_cache(maxsize=1000)
def polynomial(power: int, coefficients: tuple[Expr, ...]) -> type[Polynomial]:
    """Return the function u**power*(c[0] + c[1]*u + ...)."""
    members: dict[str, object] = {"power": power, "coefficients": coefficients, "__doc__": "A part of a Taylor series."}
    members["made_by"] = polynomial, (power, coefficients)
    return type("series", (Polynomial,), members)


def _horner(u: Expr, coefficients: tuple[Expr, ...]) -> Expr:
    total: Expr = S.Zero
    for coefficient in reversed(coefficients):
        total = total * u + coefficient
    return total

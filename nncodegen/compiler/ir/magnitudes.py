"""Functions whose parts stay in the range of numbers: products in an order, sides of triangles, roots of quadratics.

``x*y/z`` is finite where its parts x*y or 1/z may not be. SymPy sorts the factors of a product; a product of this file
keeps the order in which it multiplies, and is the same number otherwise.
"""

from __future__ import annotations

from sympy import Abs, And, Expr, Max, Min, Ne, Or, Piecewise, S, exp, sqrt
from sympy.codegen.cfunctions import expm1
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.traits import Trait


class grouped(StableFunction):
    """u*v, a product that is computed before others multiply it."""

    nargs = 2
    traits = Trait.GROWING | Trait.CARRYING | Trait.TOTAL

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return u * v

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return u * v

    def fdiff(self, argindex: int = 1) -> Expr:
        return self.args[2 - argindex]


class divided(StableFunction):
    """u/v by one division, of which only the result is rounded.

    Of a quotient, 1/v is a step that others share; where v is tiny or huge, it is out of range. With one division, x/x
    is 1, and x/(x + y) is 1 where y changes no digit.
    """

    nargs = 2
    traits = Trait.SLOW_POLE

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return u / v

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return u / v

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        return 1 / v if argindex == 1 else -divided(u, v) / v


class balanced(StableFunction):
    """u*v*w, whose factors are multiplied in an order in which no part is larger or smaller than all of them.

    If u and v are both larger than 1, or both smaller, w comes between them.
    """

    nargs = 3
    traits = Trait.GROWING | Trait.CARRYING | Trait.TOTAL

    @staticmethod
    def definition(u: Expr, v: Expr, w: Expr) -> Expr:
        return u * v * w

    @staticmethod
    def stable(u: Expr, v: Expr, w: Expr) -> Expr:
        alike = _alike(u, v)
        return grouped(grouped(u, Piecewise((w, alike), (v, True))), Piecewise((v, alike), (w, True)))

    def fdiff(self, argindex: int = 1) -> Expr:
        return grouped(*(part for k, part in enumerate(self.args, 1) if k != argindex))


class balanced_four(StableFunction):
    """u*v*w*z, whose factors are multiplied in an order in which no part is larger or smaller than all of them."""

    nargs = 4
    traits = Trait.GROWING | Trait.CARRYING | Trait.TOTAL

    @staticmethod
    def definition(u: Expr, v: Expr, w: Expr, z: Expr) -> Expr:
        return u * v * w * z

    @staticmethod
    def stable(u: Expr, v: Expr, w: Expr, z: Expr) -> Expr:
        first, second = _alike(u, v), _alike(w, z)
        p, q = grouped(u, v), grouped(w, z)
        one_side = balanced(w, z, p)
        return Piecewise(
            (grouped(grouped(u, w), grouped(v, z)), And(first, second)), (balanced(u, v, q), first), (one_side, True)
        )

    def fdiff(self, argindex: int = 1) -> Expr:
        return balanced(*(part for k, part in enumerate(self.args, 1) if k != argindex))


def _alike(u: Expr, v: Expr) -> Boolean:
    """Return the condition that two numbers are both larger than 1, or both smaller."""
    return Or(And(Abs(u) < 1, Abs(v) < 1), And(Abs(u) >= 1, Abs(v) >= 1))


FAR = 2**30
"""Beside a side that is longer by this factor, another one changes no digit of a hypotenuse."""

LEAST, MOST = S.One / 2**50, S(2) ** 33
"""The sizes of a side that is a number, whose square, and the squares of all sides that are not FAR, are in the range
of both precisions: (2**30 * 2**33)**2 = 2**126, and float32 ends at 2**128. Shorter sides than 2**-50 have squares near
its other end, 2**-126."""


class length(StableFunction):
    """sqrt(u**2 + v**2), whose squares do not overflow: the larger of both, times a root between 1 and sqrt(2).

    Beside a number u of LEAST to MOST, it is |v| where v is far larger, and the root as it is written elsewhere.
    """

    nargs = 2
    traits = Trait.GROWING | Trait.CARRYING

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return sqrt(u**2 + v**2)

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        for number, side in ((u, v), (v, u)):
            if number.is_number and number.is_real and LEAST <= abs(number) <= MOST and not side.is_number:
                far = Abs(side)
                return Piecewise((sqrt(number**2 + side**2), far < FAR * abs(number)), (far, True))
        large, small = Max(Abs(u), Abs(v)), Min(Abs(u), Abs(v))
        ratio = Piecewise((small / large, Ne(small, large)), (S.One, True))  # of zeros, and of infinities, too
        return large * sqrt(1 + grouped(ratio, ratio))

    def fdiff(self, argindex: int = 1) -> Expr:
        return self.args[argindex - 1] / length(*self.args)

    def _eval_is_nonnegative(self) -> bool:
        return True


class leg(StableFunction):
    """sqrt(u**2 - v**2), whose squares neither overflow nor cancel."""

    nargs = 2
    traits = Trait.CARRYING | Trait.STEEP

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return sqrt(u**2 - v**2)

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return sqrt(Abs(u) - Abs(v)) * sqrt(Abs(u) + Abs(v))

    def fdiff(self, argindex: int = 1) -> Expr:
        sign = 1 if argindex == 1 else -1
        return sign * self.args[argindex - 1] / leg(*self.args)

    def _eval_is_nonnegative(self) -> bool:
        return True


class discriminant_root(StableFunction):
    """sqrt(b**2 - p*q), the root in the formula for quadratics: neither the square nor the product overflows."""

    nargs = 3
    traits = Trait.CARRYING | Trait.STEEP

    @staticmethod
    def definition(b: Expr, p: Expr, q: Expr) -> Expr:
        return sqrt(b**2 - p * q)

    @staticmethod
    def stable(b: Expr, p: Expr, q: Expr) -> Expr:
        side = sqrt(Abs(p)) * sqrt(Abs(q))
        same = Or(And(p >= 0, q >= 0), And(p <= 0, q <= 0))
        return Piecewise((leg(b, side), same), (length(b, side), True))

    def fdiff(self, argindex: int = 1) -> Expr:
        b, p, q = self.args
        above = {1: b, 2: -q / 2, 3: -p / 2}[argindex]
        return above / discriminant_root(b, p, q)

    def _eval_is_nonnegative(self) -> bool:
        return True


class difference_of_exponentials(StableFunction):
    """exp(u) - exp(v), given d = u - v: the larger of both, times -expm1(-|d|) with the sign of d."""

    nargs = 3
    traits = Trait.ABRUPT

    @staticmethod
    def definition(u: Expr, v: Expr, d: Expr) -> Expr:
        return exp(u) - exp(v)

    @staticmethod
    def stable(u: Expr, v: Expr, d: Expr) -> Expr:
        size = exp(Max(u, v)) * expm1(-Abs(d))
        return Piecewise((-size, d > 0), (size, True))

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v, _ = self.args
        return {1: exp(u), 2: -exp(v), 3: S.Zero}[argindex]

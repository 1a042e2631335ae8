"""Functions whose value at some points is a limit: derivatives of powers at 0, and products with a factor of 0.

At u = 0, with b > 0, the derivative of u**b by b is u**b*log(u) = 0*(-inf): its limit is 0. If no limit exists, these
functions are infinite or NaN. Their own derivatives are functions of this file again, so that a gradient may be
differentiated, too.
"""

from __future__ import annotations

import sympy
from sympy import Dummy, Eq, Expr, Integer, Mul, Or, Piecewise, S, binomial, exp, log
from sympy.codegen.cfunctions import log1p
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.ir.functions import NAN, StableFunction, plain_conditions
from nncodegen.compiler.ir.traits import Trait

NO_EXPONENT = -10_000
"""The exponential of a number below this is 0 in every precision."""


class power_derivative(StableFunction):
    """The derivative of u**b, taken j times by u and k times by b, for whole numbers j and k.

    By b alone it is u**b*log(u)**k: at u = 0 that is 0 for b > 0, and infinite for b <= 0.
    """

    nargs = 4
    traits = Trait.STEEP

    @classmethod
    def eval(cls, u: Expr, b: Expr, j: Expr, k: Expr) -> Expr | None:
        return u**b if j == k == 0 else None

    @staticmethod
    def definition(u: Expr, b: Expr, j: Expr, k: Expr) -> Expr:
        return _derived(u, b, j, k, log, u)

    @staticmethod
    def stable(u: Expr, b: Expr, j: Expr, k: Expr) -> Expr:
        return _by_base(u, b) if (j, k) == (1, 0) else power_derivative.definition(u, b, j, k)

    def fdiff(self, argindex: int = 1) -> Expr:
        u, b, j, k = self.args
        return power_derivative(u, b, j + 1, k) if argindex == 1 else power_derivative(u, b, j, k + 1)


class power_near_one(StableFunction):
    """The derivative of (1 + w)**b, taken j times by w and k times by b; for j = k = 0 this power itself.

    Its logarithm is log1p(w), which keeps the digits of a small w: the derivative by b is (1 + w)**b*log1p(w).
    """

    nargs = 4
    traits = Trait.STEEP

    @staticmethod
    def definition(w: Expr, b: Expr, j: Expr, k: Expr) -> Expr:
        return _derived(1 + w, b, j, k, log1p, w)

    @staticmethod
    def stable(w: Expr, b: Expr, j: Expr, k: Expr) -> Expr:
        return _by_base(1 + w, b) if (j, k) == (1, 0) else power_near_one.definition(w, b, j, k)

    def fdiff(self, argindex: int = 1) -> Expr:
        w, b, j, k = self.args
        return power_near_one(w, b, j + 1, k) if argindex == 1 else power_near_one(w, b, j, k + 1)


def _derived(u: Expr, b: Expr, j: Expr, k: Expr, logarithm: type[Expr], argument: Expr) -> Expr:
    """Return the derivative of u**b, where the logarithm of u is a function of an argument: log(u), or log1p(u - 1)."""
    if j == 0:  # the branch chooses the argument: compilers do not vectorize calls inside a branch
        if k == 0:
            return u**b
        at_zero = Piecewise((S.One, b > 0), (S.Zero, True))  # of b alone, which is often the same for all samples
        return u**b * logarithm(Piecewise((at_zero + argument - u, Eq(u, 0)), (argument, True))) ** k
    exponent = Dummy()
    factors = Mul(*(exponent - i for i in range(int(j))))  # the derivative by u is u**(b - j) times these
    terms = [
        binomial(k, i) * sympy.diff(factors, exponent, i).xreplace({exponent: b}) * logarithm(argument) ** (k - i)
        for i in range(int(k) + 1)
    ]
    return Piecewise((_at_zero(b, int(j), int(k)), Eq(u, 0)), (u ** (b - j) * sympy.Add(*terms), True))


def _by_base(u: Expr, b: Expr) -> Expr:
    """Return the derivative of u**b by u, which shares the power with its own value."""
    return Piecewise((_at_zero(b, 1, 0), Eq(u, 0)), (u**b * b / u, True))


def _at_zero(b: Expr, j: int, k: int) -> Expr:
    """Return the limit at u = 0, for j > 0: of b*(b - 1)*...*(b - j + 1)*u**(b - j) if k is 0."""
    if k:
        return Piecewise((S.Zero, b > j), (NAN, True))
    constants = [Eq(b, i) for i in range(j)]  # the power is a polynomial of a lower degree
    return Piecewise((S.Zero, Or(b > j, *constants)), (sympy.factorial(j), Eq(b, j)), (NAN, True))


class product_unless_zero(StableFunction):
    """u*v, but 0 where u is 0, even if v is infinite or NaN."""

    nargs = 2
    traits = Trait.GROWING | Trait.ABRUPT | Trait.STEEP

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return _zero_where(_vanishes(u), u * v)

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return product_unless_zero.definition(u, v)

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        return v if argindex == 1 else u


class product_unless_zeros(StableFunction):
    """u*v, but 0 where either of them is 0, even if the other is infinite or NaN."""

    nargs = 2
    traits = Trait.GROWING | Trait.ABRUPT | Trait.STEEP

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return _zero_where(Or(_vanishes(u), _vanishes(v)), u * v)

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return product_unless_zeros.definition(u, v)

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        return v if argindex == 1 else u


def _zero_where(condition: Boolean, product: Expr) -> Expr:
    chosen: Expr = plain_conditions(Piecewise((S.Zero, condition), (product, True)))
    return chosen


def _vanishes(node: Expr) -> Boolean:
    """Return the condition that an expression is 0. Unlike in SymPy, an exponential is 0 where it underflows."""
    if isinstance(node, exp):
        return node.args[0] < Integer(NO_EXPONENT)
    factors = Mul.make_args(node)
    return Or(*map(_vanishes, factors)) if len(factors) > 1 and node.has(exp) else Eq(node, 0)

"""Rules for products that are 0/0, or 0*log(0), at a point where they have a limit."""

from __future__ import annotations

import sympy
from sympy import Abs, Add, Dummy, Eq, Expr, Heaviside, Mul, Piecewise, Pow, S, log

from nncodegen.ir.functions import UNDEFINED, StableFunction, xlogy
from nncodegen.ir.quotients import QUOTIENTS
from nncodegen.passes.rules.factors import as_power, others, without_factors
from nncodegen.passes.rules.powers import reciprocal_of_sum_with_quotients


def function_over_argument(node: Expr) -> Expr | None:
    """sin(c*u)/u = c*sin_quotient(c*u), and u/sin(c*u) = 1/(c*sin_quotient(c*u)), also of powers; see QUOTIENTS."""
    for factor in node.args:
        base, k = as_power(factor)
        quotient = QUOTIENTS.get(base.func)
        if quotient is None or not k.is_Integer:
            continue
        (argument,) = base.args
        c, u = argument.as_coeff_Mul()
        rest = Mul(*(Pow(*as_power(other)) for other in node.args if other is not factor))
        m, left = without_factors(rest, u)
        if not m:  # only a part of the argument may divide: sin(b*x)/x
            for part in Mul.make_args(u):
                m, left = without_factors(rest, part)
                if m:
                    c, u = argument / part, part
                    break
        if not m and isinstance(u, Add):
            reciprocal = reciprocal_of_sum_with_quotients(Pow(u, -1, evaluate=False))
            if reciprocal is not None:  # an earlier rule has written 1/(a + x/b) as b/(a*b + x)
                m, left = without_factors(rest, 1 / reciprocal)
        if k * m < 0:
            count = min(abs(k), abs(m)) * sympy.sign(k)
            return Mul((c * quotient(argument)) ** count, base ** (k - count), u ** (m + count), left)
    return None


def removable_singularity(node: Expr) -> Expr | None:
    """f(u)/u**k = Piecewise((c + d*u, u == 0), (f(u)/u**k, True)) for f(u) = c*u**k + d*u**(k + 1) + ..."""
    for u, m in map(as_power, node.args):
        if not m.is_Integer or m > 0 or u.is_number:
            continue
        t = Dummy("t", real=True)
        derivative = (node * u**-m).xreplace({u: t})
        if not derivative.has(t) or derivative.has(*u.free_symbols, *NOT_SMOOTH):
            continue
        coefficients = []
        for k in range(2 - int(m)):
            value = _plain(derivative.xreplace({t: S.Zero}))
            if value.has(sympy.Derivative, *UNDEFINED) or (k < -m and value != 0):
                break
            coefficients.append(value / sympy.factorial(k))
            derivative = sympy.diff(derivative, t)
        else:
            c, d = coefficients[-2:]
            return Piecewise((c + d * u, Eq(u, 0)), (node, True))
    return None


NOT_SMOOTH = (Abs, sympy.sign, Heaviside, Piecewise, sympy.Max, sympy.Min)
"""Functions that have no Taylor series where they bend."""


def _plain(value: Expr) -> Expr:
    """An expression in which nncodegen's functions of numbers are evaluated."""
    return value.replace(
        lambda part: isinstance(part, StableFunction) and part.is_number, lambda part: part.definition(*part.args)
    )


def vanishing_times_log(node: Expr) -> Expr | None:
    """x*log(x*y) = xlogy(x, x*y), which is 0 where x is."""
    for factor in node.args:
        if isinstance(factor, log):
            powers = {
                part
                for base, k in map(as_power, Mul.make_args(factor.args[0]))
                if k.is_positive
                for part in Mul.make_args(base.args[0] if isinstance(base, Abs) else base)
            }
            rest = others(node, factor)
            shared = [(base, k) for base, k in map(as_power, Mul.make_args(rest)) if base in powers and k.is_positive]
            if shared:
                vanishing = Mul(*(base**k for base, k in shared))  # any of them may be 0
                return rest / vanishing * xlogy(vanishing, factor.args[0])
    return None

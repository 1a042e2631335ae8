"""Rules for products that are 0/0, or 0*log(0), at a point where they have a limit."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import sympy
from sympy import Abs, Add, Dummy, Eq, Expr, Heaviside, Mul, Piecewise, Pow, S, log
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir.functions import UNDEFINED, StableFunction, xlogy
from nncodegen.compiler.ir.limits import power_derivative, product_unless_zero
from nncodegen.compiler.ir.quotients import GROWING, QUOTIENTS, expm1_excess, over, spherical_bessel, under
from nncodegen.compiler.passes.rules.derivative import as_sympy_writes
from nncodegen.compiler.passes.rules.factors import as_power, others, without_factors
from nncodegen.compiler.passes.rules.powers import reciprocal_of_sum_with_quotients


def function_over_function(node: Expr) -> Expr | None:
    """sin(a*x)/sinh(b*x) = sin_over(a, x)*over_sinh(b, x), for functions that are 0 at 0, also of their powers."""
    powers = [(factor, *as_power(factor)) for factor in node.args]
    vanishing = [(*each, each[1].args[0]) for each in powers if each[1].func in QUOTIENTS and each[2].is_Integer]
    dividing = [each for each in vanishing if each[2] <= 0]
    for above, f, k, first in vanishing if dividing else ():
        for below, g, m, second in dividing if k >= 0 else ():
            shared = Mul(*(part for part in Mul.make_args(first) if part in Mul.make_args(second)))
            if shared.is_number:
                continue
            count = min(k, -m)
            left = Mul(f ** (k - count), g ** (m + count), others(node, above, below))
            return _quotient(f, shared, count) * _quotient(g, shared, -count) * left
    return None


def function_over_argument(node: Expr) -> Expr | None:
    """sin(c*u)/u = sin_over(c, u), and u/sin(c*u) = over_sin(c, u), for functions that are 0 at 0, also of powers."""
    for factor in node.args:
        base, k = as_power(factor)
        if base.func not in QUOTIENTS or not k.is_Integer:
            continue
        (argument,) = base.args
        _, u = argument.as_coeff_Mul()
        rest = Mul(*(Pow(*as_power(other)) for other in node.args if other is not factor))
        m, left = without_factors(rest, u)
        if not m:  # only a part of the argument may divide: sin(b*x)/x
            parts = Mul.make_args(u)
            u = Mul(*(part for part in parts if without_factors(rest, part)[0] * k < 0)) if len(parts) > 1 else u
            m, left = without_factors(rest, u) if not u.is_number else (m, left)
        if not m and isinstance(u, Add):
            reciprocal = reciprocal_of_sum_with_quotients(Pow(u, -1, evaluate=False))
            if reciprocal is not None:  # an earlier rule has written 1/(a + x/b) as b/(a*b + x)
                m, left = without_factors(rest, 1 / reciprocal)
        if k * m < 0:
            count = min(abs(k), abs(m)) * sympy.sign(k)
            return Mul(_quotient(base, u, count), base ** (k - count), u ** (m + count), left)
    return None


def _quotient(function: Expr, u: Expr, k: Expr) -> Expr:
    """Return (f(c*u)/u)**k for a function f(c*u)."""
    (argument,), kind = function.args, function.func
    c = argument / u
    if k < 0 and (kind in GROWING or not c.is_number):
        return under(kind)(c, u) ** -k
    return (c * QUOTIENTS[kind](argument) if c.is_number else over(kind)(c, u)) ** k


def difference_over_argument(node: Expr) -> Expr | None:
    """(exp(z) - 1 - z)/z = expm1_excess(z), and (sin(z) - z*cos(z))/z**2 = spherical_bessel(z): no digits cancel."""
    for factor in node.args:
        if not isinstance(factor, Add) or len(factor.args) != 2:
            continue
        for term in factor.args:
            for function in Mul.make_args(term):
                if function.func not in DIFFERENCES:
                    continue
                (z,) = function.args
                less, power, difference = DIFFERENCES[function.func]
                rest = map(as_power, Mul.make_args(others(node, factor)))
                divided = any(k.is_negative and z.has(base) for base, k in rest)
                if divided and sympy.expand(factor - term * (1 - less(z) / function)) == 0:
                    return term / function * z**power * difference(z) * others(node, factor)
    return None


def difference_of_cosines_over_square(node: Expr) -> Expr | None:
    """(cos(a*x) - cos(b*x))/x**2 = -2*sin_over((a + b)/2, x)*sin_over((a - b)/2, x), and the like of cosh."""
    for factor in node.args:
        if not isinstance(factor, Add) or len(factor.args) != 2:
            continue
        if not all(any(isinstance(part, sympy.cos | sympy.cosh) for part in Mul.make_args(t)) for t in factor.args):
            continue  # before SymPy looks for cosines in all parts of the terms
        (p, first), (q, second) = (term.as_independent(sympy.cos, sympy.cosh, as_Add=False) for term in factor.args)
        if p + q != 0 or first.func is not second.func or first.func not in (sympy.cos, sympy.cosh):
            continue
        u, v = first.args[0], second.args[0]
        rest = others(node, factor)
        shared = [
            part for part in Mul.make_args(u) if part in Mul.make_args(v) and without_factors(rest, part)[0] <= -2
        ]
        if shared:
            x = Mul(*shared)
            function, sign = (sympy.sin, -1) if first.func is sympy.cos else (sympy.sinh, 1)
            halves = ((u + sign_of * v) / (2 * x) for sign_of in (1, -1))
            return 2 * sign * p * Mul(*(over(function)(sympy.expand(c), x) for c in halves)) * x**2 * rest
    return None


DIFFERENCES: dict[type[Expr], tuple[Callable[[Expr], Expr], int, type[Expr]]] = {
    expm1: (lambda z: z, 1, expm1_excess),
    sympy.sin: (lambda z: z * sympy.cos(z), 2, spherical_bessel),
}
"""For functions f: (g, k, d), where f(z) - g(z) = z**k*d(z)."""


@lru_cache(maxsize=2_000)  # a search meets the same products many times
def removable_singularity(node: Expr) -> Expr | None:
    """f(u)/u**k = Piecewise((c + d*u + e*u**2, u == 0), (f(u)/u**k, True)) for f(u) = c*u**k + d*u**(k + 1) + ...

    At u = 0, d and e only determine the first and the second derivative.
    """
    for u, m in map(as_power, node.args):
        if not m.is_Integer or m > 0 or u.is_number:
            continue
        derivative = (node * u**-m).xreplace({u: _T})
        if not derivative.has(_T) or derivative.has(*u.free_symbols, *NOT_SMOOTH):
            continue
        coefficients = []
        for k in range(3 - int(m)):
            derivative = as_sympy_writes(derivative, _T) if k else derivative
            value = _plain(derivative.xreplace({_T: S.Zero}))
            if value.has(sympy.Derivative, *UNDEFINED) or (k < -m and value != 0):
                break
            coefficients.append(value / sympy.factorial(k))
        else:
            c, d, e = coefficients[-3:]
            return Piecewise((c + d * u + e * u**2, Eq(u, 0)), (node, True))
    return None


_T = Dummy("t", real=True)
"""The argument of all functions that are differentiated: SymPy remembers the derivatives of the parts they share."""

NOT_SMOOTH = (Abs, sympy.sign, Heaviside, Piecewise, sympy.Max, sympy.Min)
"""Functions that have no Taylor series where they bend."""


def _plain(value: Expr) -> Expr:
    """Return an expression in which nncodegen's functions of numbers are evaluated."""
    return value.replace(
        lambda part: isinstance(part, StableFunction) and part.is_number, lambda part: part.definition(*part.args)
    )


def vanishing_times_log(node: Expr) -> Expr | None:
    """x*log(x*y) = xlogy(x, x*y), which is 0 where x is; and the like of x**b*log(x)**k and of x*(log(x) - 1)."""
    for factor in node.args:
        arguments = _logarithms(factor)
        powers = {part for argument in arguments for part in _vanishing_parts(argument)}
        if not powers:
            continue
        shared = [
            other
            for other, (u, b) in zip(node.args, map(as_power, node.args), strict=True)
            if other is not factor and _may_vanish(u, b) and powers & _parts(u)
        ]
        if not shared:
            continue
        left = others(node, factor, *shared)
        if len(shared) == 1:
            (u, b), (logarithm, k) = as_power(*shared), as_power(factor)
            if logarithm == log(u) and not b.is_number:
                return left * power_derivative(u, b, 0, k)
        vanishing = Mul(*shared)  # any of them may be 0
        if isinstance(factor, log) and all(as_power(other)[1].is_positive for other in shared):
            return left * xlogy(vanishing, factor.args[0])
        return left * product_unless_zero(vanishing, factor)
    return None


def _logarithms(node: Expr) -> list[Expr]:
    """Return the arguments of the logarithms in a power, a product or a sum."""
    if isinstance(node, log):
        return [node.args[0]]
    if isinstance(node, Pow) and not (node.exp.is_Integer and node.exp > 0):
        return []
    return (
        [argument for part in node.args for argument in _logarithms(part)] if isinstance(node, Add | Mul | Pow) else []
    )


def _vanishing_parts(argument: Expr) -> set[Expr]:
    """Return the bases that make a product 0 (used for membership only: a set has no fixed order)."""
    powers = map(as_power, Mul.make_args(argument))
    return {part for base, k in powers if k.is_positive for part in {base} | _parts(base)}


def _parts(base: Expr) -> set[Expr]:
    """Return a base, and the factors that make it 0 where they are 0."""
    inner = base.args[0] if isinstance(base, Abs) else base
    return {base} | {part for part, k in map(as_power, Mul.make_args(inner)) if k.is_positive}


def _may_vanish(base: Expr, exponent: Expr) -> bool:
    """Return whether a power may be 0 where its base is."""
    return bool(not base.is_number and (exponent.is_positive or (not exponent.is_number and not exponent.is_negative)))

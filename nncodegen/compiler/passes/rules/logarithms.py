"""Rules for logarithms: of products, and of sums of exponentials."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Abs, Add, Expr, Mul, Pow, S, exp, log
from sympy.codegen.cfunctions import expm1, log1p

from nncodegen.compiler.ir.functions import (
    log_cosh,
    log_erfc,
    log_one_minus_exp,
    log_softplus,
    logaddexp,
    sech,
    sech2,
    sigmoid,
    softplus,
)
from nncodegen.compiler.ir.limits import power_near_one
from nncodegen.compiler.passes.rules.factors import argument_of_erfc, exponential_terms


def log_of_factors(node: Expr) -> Expr | None:
    """log(c*exp(u)*sigmoid(z)*x...) = log(c) + u - softplus(-z) + log(x) + ..., none of which overflows needlessly."""
    if node.args[0].is_number:
        return None
    logs, rest = [], []
    for factor in Mul.make_args(node.args[0]):
        value = stable_log(factor)
        if value is None:
            rest.append(factor)
        else:
            logs.append(value)
    if rest and all(value.is_number for value in logs):
        return None  # no gain: no logarithm of a factor is known, except those of numbers
    return Add(*logs) + (log(Mul(*rest)) if rest else 0)


def log_of_expm1(node: Expr) -> Expr | None:
    """log(exp(z) - 1) = z + log_one_minus_exp(z), log(1 - exp(-z)) = log_one_minus_exp(z)."""
    (argument,) = node.args
    if isinstance(argument, expm1):
        (z,) = argument.args
        return z + log_one_minus_exp(z)
    if isinstance(-argument, expm1):
        return log_one_minus_exp(-(-argument).args[0])
    return None


def log_near_one(node: Expr) -> Expr | None:
    """log(1 + x) = log1p(x), accurate near 0."""
    (argument,) = node.args
    if isinstance(argument, Add) and S.One in argument.args:
        return log1p(argument - 1)
    return None


def log_of_product(node: Expr) -> Expr | None:
    """xlogy(y, p) = y*log(p), where log(p) is finite for every argument of p."""
    y, p = node.args
    logs = [stable_log(factor) for factor in Mul.make_args(p)]
    return None if any(value is None for value in logs) else y * Add(*logs)


def log_of_sum(terms: list[tuple[Expr, Expr]]) -> Expr:
    """Return log(a*exp(u) + b*exp(v) + ...) as nested logaddexp; log(1 + exp(z)) is the softplus."""
    (a, u), *others = terms
    total = u + log(a)
    for b, v in others:
        added = v + log(b)
        total = softplus(added) if total == 0 else logaddexp(total, added)
    return total


def stable_log(factor: Expr) -> Expr | None:
    """Return the logarithm of a positive factor in a form that neither overflows nor loses digits; None for others."""
    if factor.is_number:
        return log(factor) if factor.is_positive else None
    if factor.func in LOGARITHMS:
        return LOGARITHMS[factor.func](*factor.args)
    z = argument_of_erfc(factor)
    if z is not None:
        return log_erfc(z)
    terms = exponential_terms(factor)
    if terms is not None:
        return log_of_sum(terms)
    if isinstance(factor, Pow):
        inner = stable_log(factor.base)
        if inner is None and isinstance(factor.base, Abs):
            inner = log(factor.base)
        return None if inner is None else factor.exp * inner
    if isinstance(factor, Add) and all(term.is_positive or term.func in LOGARITHMS for term in factor.args):
        return log1p(factor - 1) if S.One in factor.args else log(factor)
    return None


LOGARITHMS: dict[type, Callable[..., Expr | None]] = {
    exp: lambda z: z,
    sigmoid: lambda z: -softplus(-z),
    softplus: log_softplus,
    sech: lambda z: -log_cosh(z),
    sech2: lambda z: -2 * log_cosh(z),
    sympy.cosh: log_cosh,
    power_near_one: lambda w, b, j, k: b * log1p(w) if j == k == 0 and w.is_nonnegative else None,
}
"""The logarithms of positive functions."""

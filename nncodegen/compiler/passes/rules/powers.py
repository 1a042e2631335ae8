"""Rules for powers: reciprocals of sums with exponentials are the logistic function and its relatives."""

from __future__ import annotations

import math

import sympy
from sympy import Add, Expr, Float, Mul, Pow, exp, log
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir import SAMPLE
from nncodegen.compiler.ir.functions import bose_einstein, exponential_ratio, sech, sech2, sigmoid, softplus
from nncodegen.compiler.ir.limits import power_near_one
from nncodegen.compiler.passes.rules.factors import exponential_terms, exponentials
from nncodegen.compiler.passes.rules.logarithms import log_of_sum


def exponential(node: Expr) -> Expr | None:
    """2.71828182845905**z = exp(z), where the base is e to machine precision, and c**z = exp(z*log(c))."""
    base, exponent = node.args
    if not base.is_number or exponent.is_number:
        return None
    if isinstance(base, Float) and abs(float(base) - math.e) < 1e-14:
        return exp(exponent)
    return exp(exponent * log(base)) if base.is_positive else None


def power_of_exponentials(node: Expr) -> Expr | None:
    """1/(c + b*exp(u)) = sigmoid(log(c/b) - u)/c, and (exp(u) + exp(v))**k = exp(k*logaddexp(u, v))."""
    base, k = node.args
    terms = exponential_terms(base)
    if terms is None or (k.is_Integer and k.is_positive):
        return None
    (c, constant), *others = terms
    if k.is_Integer and constant == 0 and len(others) == 1:
        ((b, u),) = others
        return (sigmoid(log(c / b) - u) / c) ** (-k)
    return exp(k * log_of_sum(terms))


def reciprocal_with_any_factors(node: Expr) -> Expr | None:
    """1/(c + b*exp(u)) = exponential_ratio(u, b, c), where b or c is not a positive number."""
    base, k = node.args
    if not isinstance(base, Add) or not k.is_Integer or not k.is_negative:
        return None
    with_exponential = [term for term in base.args if exponentials(term)]
    if len(with_exponential) != 1:
        return None
    (term,) = with_exponential
    (factor,) = exponentials(term)
    return exponential_ratio(factor.args[0], term / factor, base - term) ** (-k)


def power_of_sigmoid(node: Expr) -> Expr | None:
    """sigmoid(z)**k = exp(-k*softplus(-z)), where k is not an integer: the derivative of a power would be infinite."""
    base, k = node.args
    return None if k.is_Integer or not isinstance(base, sigmoid) else exp(-k * softplus(-base.args[0]))


def reciprocal_of_expm1(node: Expr) -> Expr | None:
    """1/(exp(z) - 1)**k = bose_einstein(z)**k."""
    base, k = node.args
    return bose_einstein(*base.args) ** (-k) if isinstance(base, expm1) and k.is_Integer and k.is_negative else None


def reciprocal_of_sum_with_quotients(node: Expr) -> Expr | None:
    """1/(c + b/x)**k = (x/(c*x + b))**k for an input x, which has a value and a derivative at x = 0."""
    base, k = node.args
    if not isinstance(base, Add) or not k.is_Integer or not k.is_negative:
        return None
    for term in base.args:
        for factor in Mul.make_args(term):
            if isinstance(factor, Pow) and factor.exp == -1 and SAMPLE in getattr(factor.base, "indices", ()):
                x = factor.base
                multiplied = Add(*(term * x for term in base.args))
                if not multiplied.has(factor) and all(term.has(factor) or not term.has(x) for term in base.args):
                    return (x / multiplied) ** (-k)
    return None


def power_of_sum_with_one(node: Expr) -> Expr | None:
    """(1 + w)**b = power_near_one(w, b), whose derivative by b has log1p(w), accurate near w = 0."""
    base, b = node.args
    if b.is_number or not isinstance(base, Add) or sympy.S.One not in base.args:
        return None
    return power_near_one(base - 1, b, 0, 0)


def reciprocal_of_cosh(node: Expr) -> Expr | None:
    """1/cosh(z)**(2*k) = sech2(z)**k, and one sech(z) more for odd powers."""
    base, k = node.args
    if not isinstance(base, sympy.cosh) or not k.is_Integer or not k.is_negative:
        return None
    (z,) = base.args
    return sech2(z) ** (-k // 2) * sech(z) ** (-k % 2)

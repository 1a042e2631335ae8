"""Rules for products of exponentials, and of factors that a branch makes 0."""

from __future__ import annotations

import sympy
from sympy import Add, Expr, Mul, Piecewise, Pow, S, exp
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir import SAMPLE
from nncodegen.compiler.ir.functions import bose_einstein, erfcx, exponential_ratio, logaddexp, sech, sigmoid, tanh
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.passes.infinities import is_total
from nncodegen.compiler.passes.rules.factors import argument_of_erfc, others


def product_of_exponentials(node: Expr) -> Expr | None:
    """exp(u)*exp(v) = exp(u + v): a factor may overflow where the product does not."""
    exponents = [factor.args[0] for factor in node.args if isinstance(factor, exp)]
    if len(exponents) < 2:
        return None
    return Mul(exp(Add(*exponents)), *(factor for factor in node.args if not isinstance(factor, exp)))


def exponential_times_sigmoid(node: Expr) -> Expr | None:
    """exp(-k*z)*sigmoid(z)**k = sigmoid(-z)**k, and exp(u)*exponential_ratio(u, b, c) = exponential_ratio(-u, c, b)."""
    for factor in node.args:
        if not isinstance(factor, exp):
            continue
        for other in node.args:
            base, power = other.as_base_exp()
            if not isinstance(base, sigmoid | exponential_ratio) or not power.is_Integer or not power.is_positive:
                continue
            u = -base.args[0] if isinstance(base, sigmoid) else base.args[0]
            k = next((k for k in range(1, power + 1) if sympy.expand(factor.args[0] - k * u) == 0), 0)
            if k:
                flipped = sigmoid(u) if isinstance(base, sigmoid) else exponential_ratio(-u, base.args[2], base.args[1])
                return Mul(base ** (power - k), flipped**k, others(node, factor, other))
    return None


def exponential_times_erfc(node: Expr) -> Expr | None:
    """exp(z**2 + c)*erfc(z) = exp(c)*erfcx(z) for a number c, also of erfc(-z), which SymPy writes as 2 - erfc(z)."""
    for factor in node.args:
        z = argument_of_erfc(factor)
        if z is None:
            continue
        for other in node.args:
            if isinstance(other, exp):
                c = sympy.expand(other.args[0] - z**2)
                if c.is_number:
                    return exp(c) * erfcx(z) * others(node, factor, other)
    return None


def product_with_choice(node: Expr) -> Expr | None:
    """Piecewise((0, c), (v, True))*log(x) = Piecewise((0, c), (v*log(x), True)): 0 also where log(x) is NaN."""
    for factor in node.args:
        if isinstance(factor, Piecewise) and any(value == 0 for value, _ in factor.args):
            rest = others(node, factor)
            if not is_total(rest):
                return Piecewise(*((value * rest, condition) for value, condition in factor.args))
    return None


def exponential_times_bose_einstein(node: Expr) -> Expr | None:
    """exp(z)/(exp(z) - 1) = -bose_einstein(-z)."""
    for factor in node.args:
        if isinstance(factor, exp) and bose_einstein(factor.args[0]) in node.args:
            occupation = bose_einstein(*factor.args)
            return -bose_einstein(-factor.args[0]) * others(node, factor, occupation)
    return None


def sinh_over_cosh(node: Expr) -> Expr | None:
    """sinh(z)/cosh(z) = tanh(z)."""
    for factor in node.args:
        if isinstance(factor, sympy.sinh) and sech(*factor.args) in node.args:
            return tanh(*factor.args) * others(node, factor, sech(*factor.args))
    return None


def tanh_from_exponentials(node: Expr) -> Expr | None:
    """(exp(u) - exp(v))/(exp(u) + exp(v)) = tanh((u - v)/2), also as (exp(z) - 1)*sigmoid(-z) = tanh(z/2)."""
    for factor in node.args:
        if isinstance(factor, sigmoid):
            u, v = S.Zero, -factor.args[0]  # the factor is 1/(1 + exp(v))
        elif isinstance(factor, exp) and isinstance(-factor.args[0], logaddexp):
            u, v = (-factor.args[0]).args
        else:
            continue
        for other in node.args:
            if not isinstance(other, Add | expm1):
                continue
            numerator = other.replace(expm1, lambda z: exp(z) - 1)
            for sign in (1, -1):
                if numerator == sign * (exp(u) - exp(v)):
                    return sign * tanh(sympy.expand(u - v) / 2) * others(node, factor, other)
    return None


def share_of_a_sum(node: Expr) -> Expr | None:
    """u/(u + v) = share(u, v), whose derivative by u loses no digits where u is much the larger."""
    for factor in node.args:
        if not isinstance(factor, Pow) or factor.exp != -1 or not isinstance(factor.base, Add):
            continue
        for term in factor.base.args:
            coefficient, parts = term.as_coeff_mul()
            if parts and set(parts) <= set(node.args) and SAMPLE not in getattr(term, "indices", ()):
                return share(term, factor.base - term) * others(node, factor, *parts) / coefficient
    return None

"""Rules for trigonometric and hyperbolic functions: differences as products, half angles, functions of inverses.

They are alternatives: the search of ``digits`` takes them where they keep more bits at points that it draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Add, Expr, Mul, Pow, S, acos, asin, atan, cos, cosh, exp, sin, sinh, sqrt, tan
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.passes.rules.differences import expanded, pairs
from nncodegen.compiler.passes.rules.factors import others


def _differences(node: Add, kind: type[Expr]) -> Iterator[tuple[Expr, Expr, Expr, Expr]]:
    """Yield (k, u, v, rest) for each pair of terms k*f(u) - k*f(v) of a sum, with a function f and any factors k."""
    for first, second, rest in pairs(node):
        first_call, second_call = _function(first, kind), _function(second, kind)
        if first_call and second_call and first_call[0] == -second_call[0]:
            yield *first_call, second_call[1], rest


def _function(term: Expr, kind: type[Expr]) -> tuple[Expr, Expr] | None:
    """Return (k, z) for a term k*f(z) with a function f and any factors k."""
    for factor in Mul.make_args(term):
        if isinstance(factor, kind):
            return term / factor, factor.args[0]
    return None


def difference_of_sines(node: Add) -> Expr | None:
    """sin(u) - sin(v) = 2*cos((u + v)/2)*sin((u - v)/2)."""
    for k, u, v, rest in _differences(node, sin):
        return 2 * k * cos(expanded((u + v) / 2)) * sin(expanded((u - v) / 2)) + rest
    return None


def difference_of_cosines(node: Add) -> Expr | None:
    """cos(u) - cos(v) = -2*sin((u + v)/2)*sin((u - v)/2)."""
    for k, u, v, rest in _differences(node, cos):
        return -2 * k * sin(expanded((u + v) / 2)) * sin(expanded((u - v) / 2)) + rest
    return None


def difference_of_tangents(node: Add) -> Expr | None:
    """tan(u) - tan(v) = sin(u - v)/(cos(u)*cos(v))."""
    for k, u, v, rest in _differences(node, tan):
        return k * sin(expanded(u - v)) / (cos(u) * cos(v)) + rest
    return None


def sine_of_small_step(node: Add) -> Iterator[Expr]:
    """sin(u + e) - sin(u) = cos(u)*sin(e) - 2*sin(u)*sin(e/2)**2: u + e is not rounded."""
    for k, u, v, rest in _differences(node, sin):
        e = expanded(u - v)
        yield k * (cos(v) * sin(e) - 2 * sin(v) * sin(e / 2) ** 2) + rest


def cosine_of_small_step(node: Add) -> Iterator[Expr]:
    """cos(u + e) - cos(u) = -2*sin(e/2)*(sin(u)*cos(e/2) + cos(u)*sin(e/2)): u + e/2 is not rounded."""
    for k, u, v, rest in _differences(node, cos):
        half = expanded((u - v) / 2)
        yield -2 * k * sin(half) * (sin(v) * cos(half) + cos(v) * sin(half)) + rest


def tangent_of_small_step(node: Add) -> Iterator[Expr]:
    """tan(u + e) - tan(u) = sin(e)/(cos(u)*(cos(u)*cos(e) - sin(u)*sin(e))): u + e is not rounded."""
    for k, u, v, rest in _differences(node, tan):
        e = expanded(u - v)
        yield k * sin(e) / (cos(v) * (cos(v) * cos(e) - sin(v) * sin(e))) + rest


def tangent_as_quotient(node: Add) -> Expr | None:
    """tan(z) - sin(z) = sin(z)*(1 - cos(z))/cos(z): what both share is a factor."""
    if not node.has(tan):
        return None
    product = sympy.factor_terms(sympy.together(node.replace(tan, lambda z: sin(z) / cos(z))))
    return product if isinstance(product, Mul) else None


def double_angle(node: Add) -> Expr | None:
    """1 - cos(z)**2 = sin(z)**2, and cosh(z)**2 - 1 = sinh(z)**2."""
    for first, second, rest in pairs(node):
        k, power = second.as_coeff_Mul()
        for kind, other in ((cos, sin), (sin, cos)):
            if isinstance(power, Pow) and power.exp == 2 and isinstance(power.base, kind) and first == -k:
                return first * other(*power.base.args) ** 2 + rest
    return None


def hyperbolic_from_exponentials(node: Add) -> Expr | None:
    """exp(z) - 2 + exp(-z) = 4*sinh(z/2)**2, exp(z) - exp(-z) = 2*sinh(z), and their sum is 2*cosh(z)."""
    terms = {e: k for k, e in (term.as_coeff_Mul() for term in node.args)}
    for e, k in terms.items():
        if not isinstance(e, exp):
            continue
        (z,) = e.args
        j = terms.get(exp(-z), S.Zero)
        if j == -k:
            return 2 * k * sinh(z) + node - k * e - j * exp(-z)
        if j == k and -2 * k in node.args:
            return 4 * k * sinh(z / 2) ** 2 + node - k * e - j * exp(-z) + 2 * k
        if j == k:
            return 2 * k * cosh(z) + node - k * e - j * exp(-z)
    return None


def expm1_of_both_signs(node: Add) -> Expr | None:
    """expm1(z) + expm1(-z) = 4*sinh(z/2)**2, also with exp(-z) - 1: the form that an earlier rule has made."""
    if not node.has(expm1):
        return None
    plain = sympy.expand(node.replace(expm1, lambda z: exp(z) - 1))
    return hyperbolic_from_exponentials(plain) if plain != node and isinstance(plain, Add) else None


def half_angle_tangent(node: Mul) -> Expr | None:
    """sin(z/2)**2/sin(z) = tan(z/2)/2, and sin(z/2)/cos(z/2) = tan(z/2)."""
    for factor in node.args:
        base, k = factor.as_base_exp()
        if not (isinstance(base, sin) and k.is_Integer and k > 0):
            continue
        (half,) = base.args
        if 1 / sin(2 * half) in node.args and k >= 2:
            return tan(half) / 2 * base ** (k - 2) * others(node, factor, 1 / sin(2 * half))
        if 1 / cos(half) in node.args:
            return tan(half) * base ** (k - 1) * others(node, factor, 1 / cos(half))
    return None


def sine_over_one_and_cosine(node: Mul) -> Expr | None:
    """sin(z)/cos(z/2)**2 = 2*tan(z/2), from sin(z)/(1 + cos(z))."""
    for factor in node.args:
        if isinstance(factor, sin):
            half = factor.args[0] / 2
            if cos(half) ** -2 in node.args:
                return 2 * tan(half) * others(node, factor, cos(half) ** -2)
    return None


def arccosine_near_one(node: acos) -> Expr | None:
    """acos(1 - u) = 2*asin(sqrt(u/2)), which keeps the digits of a small u."""
    (argument,) = node.args
    if not (isinstance(argument, Add) and S.One in argument.args):
        return None
    return 2 * asin(sqrt((1 - argument) / 2))


def cosine_of_arctangent(node: cos) -> Expr | None:
    """cos(atan(u)) = 1/sqrt(1 + u**2), where a rule for the root follows."""
    (argument,) = node.args
    return 1 / sqrt(1 + argument.args[0] ** 2) if isinstance(argument, atan) else None

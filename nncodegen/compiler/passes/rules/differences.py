"""Rules for differences that cancel: of roots, fractions, logarithms, arctangents, powers and exponentials.

They are alternatives: the search of ``digits`` takes them where they keep more bits at points that it draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Abs, Add, And, Expr, Float, Mul, Or, Piecewise, Pow, Rational, S, exp, log
from sympy.codegen.cfunctions import Cbrt, expm1, log1p

from nncodegen.compiler.ir.functions import xlogy
from nncodegen.compiler.ir.limits import power_near_one
from nncodegen.compiler.ir.magnitudes import balanced, difference_of_exponentials
from nncodegen.compiler.ir.quotients import langevin, over, under
from nncodegen.compiler.passes.rules.factors import others

MOST_TERMS = 30
"""The number of terms up to which sums are multiplied out."""

LONGEST = 2**20
"""The largest denominator of a decimal number in polynomials that are factored."""


def pairs(node: Add) -> Iterator[tuple[Expr, Expr, Expr]]:
    """Yield all pairs of terms of a sum, in both orders, with the rest."""
    for u in node.args:
        for v in node.args:
            if u is not v:
                yield u, v, Add(*(term for term in node.args if term is not u and term is not v))


def expanded(node: Expr) -> Expr:
    """Return a sum multiplied out, or as it is if it would have too many terms; functions stay as they are."""
    if node.count_ops() > MOST_TERMS:
        return node
    multiplied: Expr = sympy.expand(node, power_base=False, power_exp=False, log=False, trig=False)
    return multiplied


# --- roots -------------------------------------------------------------------------------------------------------


def _root(term: Expr) -> tuple[Expr, Expr] | None:
    """Return (k, r) for a term k*sqrt(r) with a positive or negative number k; None for others."""
    k, factors = term.as_coeff_mul()
    roots = [f for f in factors if isinstance(f, Pow) and f.exp == S.Half]
    if len(roots) != len(factors) or not roots:
        return None
    return k, Mul(*(f.base for f in roots))


def difference_of_roots(node: Add) -> Expr | None:
    """sqrt(u) - sqrt(v) = (u - v)/(sqrt(u) + sqrt(v)), the conjugate: u - v is simplified before it is computed.

    Where the roots are close to each other, their difference has only the digits in which they differ.
    """
    for u, v, rest in pairs(node):
        first, second = _root(u), _root(v)
        if first and second and first[0] > 0 > second[0]:
            above = expanded(first[0] ** 2 * first[1] - second[0] ** 2 * second[1])
            return above / (u - v) + rest
    return None


def difference_with_root(node: Add) -> Expr | None:
    """sqrt(u) - v = (u - v**2)/(sqrt(u) + v) where v is positive, and as it is where v is negative.

    A branch chooses, since the conjugate would cancel for the other sign: the roots of a quadratic by the sign of b.
    """
    for u, v, rest in pairs(node):
        root = _root(u)
        if root is None or _root(v) is not None:
            continue
        above = sympy.factor_terms(expanded(root[0] ** 2 * root[1] - v**2))
        conjugate = above / (u - v)
        if v.is_number:
            return conjugate + rest if (root[0] > 0) != v.is_positive else None
        close = v < 0 if root[0] > 0 else v > 0
        return Piecewise((conjugate + rest, close), (node, True))
    return None


def quotient_with_root(node: Mul) -> Expr | None:
    """(sqrt(b**2 - p*q) - b)/p = -q/(sqrt(...) + b) where b is positive: p*q is divided before it is multiplied."""
    for factor in node.args:
        if isinstance(factor, Add):
            difference = difference_with_root(factor)
            if isinstance(difference, Piecewise):
                rest = others(node, factor)
                return Piecewise(*((sympy.powsimp(rest * value), condition) for value, condition in difference.args))
    return None


def _cube_root(term: Expr) -> tuple[Expr, Expr, Expr] | None:
    """Return (k, p, u) for a term k*p with the cube root p of u."""
    k, p = term.as_coeff_Mul()
    if isinstance(p, Cbrt) or (isinstance(p, Pow) and p.exp == Rational(1, 3)):
        return k, p, p.args[0]
    return None


def difference_of_cube_roots(node: Add) -> Expr | None:
    """cbrt(u) - cbrt(v) = (u - v)/(p**2 + p*q + q**2) with the roots p and q."""
    for u, v, rest in pairs(node):
        first, second = _cube_root(u), _cube_root(v)
        if first and second and first[0] == -second[0] and first[0] > 0:
            (k, p, a), (_, q, b) = first, second
            return k * expanded(a - b) / (p**2 + p * q + q**2) + rest
    return None


def powers_of_roots(node: Add) -> Expr | None:
    """p**k - q**k = (p - q)*(p**(k - 1) + ... + q**(k - 1)) for roots p and q, also of one of them and a number."""
    if node.count_ops() > MOST_TERMS:
        return None
    names: dict[Expr, sympy.Dummy] = {}

    def named(power: Expr) -> Expr:
        base, e = power.args
        root = Pow(base, Rational(1, e.q)) if e.is_Rational and e.q in (2, 3) else None
        if root is None:
            return power
        return names.setdefault(root, sympy.Dummy(positive=True)) ** e.p

    plain = node.replace(lambda part: isinstance(part, Pow) and not part.exp.is_Integer, named)
    if len(names) < 2:
        return None
    product = sympy.factor(sympy.together(plain))
    return None if product == plain else product.xreplace({name: root for root, name in names.items()})


# --- fractions and polynomials ------------------------------------------------------------------------------------


def one_fraction(node: Add) -> Expr | None:
    """p/q - r/s = (p*s - r*q)/(q*s), whose numerator is multiplied out: what is equal in both products is gone."""
    if node.count_ops() > MOST_TERMS:
        return None
    above, below = sympy.fraction(sympy.together(node))
    if below.is_number:
        return None
    simple = sympy.factor_terms(expanded(above))
    return simple / sympy.factor_terms(below)


def multiplied_out(node: Add) -> Expr | None:
    """(x + 1)**2 - x**2 = 2*x + 1: terms that are equal are gone before they are computed."""
    terms = expanded(node)
    return terms if isinstance(terms, Add) and len(terms.args) <= MOST_TERMS else sympy.factor_terms(terms)


def factored(node: Add) -> Expr | None:
    """x**2 - y**2 = (x - y)*(x + y), and the like of cubes and of higher powers; p/q - r/s as one cancelled fraction.

    Functions and roots are taken for symbols. Polynomials whose coefficients have 17 digits have no factors that help,
    and take seconds to be factored: there are none of these.
    """
    if node.count_ops() > MOST_TERMS:
        return None
    if any(not float(number * LONGEST).is_integer() for number in node.atoms(Float)):
        return None
    names: dict[Expr, sympy.Dummy] = {}

    def hidden(part: Expr) -> Expr:
        if part.is_Atom or part.is_number:
            return part
        if isinstance(part, Add | Mul) or (isinstance(part, Pow) and part.exp.is_Integer):
            return part.func(*map(hidden, part.args))
        return names.setdefault(part, sympy.Dummy(f"d{len(names)}"))

    plain = hidden(node)
    try:
        product: Expr = sympy.factor(plain)
    except (sympy.PolynomialError, NotImplementedError):
        return None
    return None if product == plain else product.xreplace({name: part for part, name in names.items()})


def factor_out(node: Add) -> Expr | None:
    """x*u - x*v = x*(u - v)."""
    product: Expr = sympy.factor_terms(node)
    return product if isinstance(product, Mul) else None


# --- logarithms, arctangents, powers ------------------------------------------------------------------------------


def _logarithm(term: Expr) -> tuple[Expr, Expr] | None:
    """Return (p, u) for a term p*log(u)."""
    for factor in Mul.make_args(term):
        if isinstance(factor, log | log1p):
            argument = factor.args[0] + (1 if isinstance(factor, log1p) else 0)
            return term / factor, argument
        if isinstance(factor, xlogy):
            return term / factor * factor.args[0], factor.args[1]
    return None


def logarithm_of_quotient(u: Expr, v: Expr) -> Expr:
    """Return log(u/v) as log1p((u - v)/v), with u - v simplified."""
    difference = expanded(u - v)
    return log1p(sympy.factor_terms(difference) / v)


def difference_of_logarithms(node: Add) -> Iterator[Expr]:
    """p*log(u) - q*log(v) = q*log1p((u - v)/v) + (p - q)*log(u), where u - v is simpler than u and v."""
    for first, second, rest in pairs(node):
        first_log, second_log = _logarithm(first), _logarithm(second)
        if first_log is None or second_log is None:
            continue
        (p, u), (q, v) = first_log, second_log
        total = expanded(p + q)
        if total.is_number:
            simple = expanded(u - v)
            if simple.is_number or simple.count_ops() < (u - v).count_ops() or total == 0:
                yield -q * logarithm_of_quotient(u, v) + total * log(u) + rest


def logarithm_of_close_numbers(node: log) -> Expr | None:
    """log(u/v) = log1p((u - v)/v), which keeps its digits where u is close to v."""
    above, below = sympy.fraction(node.args[0])
    return None if below.is_number else logarithm_of_quotient(above, below)


def logarithm_of_quotient_apart(node: log) -> Expr | None:
    """log((1 + u)/(1 - u)) = log1p(u) - log1p(-u), where the quotient is rounded to 1."""
    above, below = sympy.fraction(node.args[0])
    if below.is_number:
        return None
    log_above, log_below = (
        log1p(expanded(part - 1)) if isinstance(part, Add) else log(part) for part in (above, below)
    )
    return log_above - log_below


def logarithm_of_odd_quotient(node: log) -> Expr | None:
    """log((1 + u)/(1 - u)) = 2*atanh(u)."""
    above, below = sympy.fraction(node.args[0])
    u = expanded((above - below) / 2)
    return 2 * sympy.atanh(u) if expanded(above + below - 2) == 0 else None


def logarithm_of_power(node: log) -> Expr | None:
    """log(u**p) = p*log(|u|), whose power may overflow."""
    (argument,) = node.args
    if isinstance(argument, Pow) and not argument.base.is_number:
        return argument.exp * log(Abs(argument.base))
    return None


def logarithm_of_product(node: log) -> Expr | None:
    """log(u*v) = log(|u|) + log(|v|), whose product may overflow."""
    (argument,) = node.args
    return Add(*(log(Abs(f)) for f in argument.args)) if isinstance(argument, Mul) else None


def inverse_hyperbolic(node: log) -> Expr | None:
    """log(u + sqrt(u**2 + 1)) = asinh(u), and log(u + sqrt(u**2 - 1)) = acosh(u)."""
    (argument,) = node.args
    if isinstance(argument, Add) and len(argument.args) == 2:
        for u, v in (argument.args, reversed(argument.args)):
            root = _root(v)
            if root and root[0] == 1:
                excess = expanded(root[1] - u**2)
                if excess == 1:
                    return sympy.asinh(u)
                if excess == -1:
                    return sympy.acosh(u)
    return None


def difference_of_arctangents(node: Add) -> Expr | None:
    """atan(u) - atan(v) = atan2(u - v, 1 + u*v), the angle between two directions."""
    for first, second, rest in pairs(node):
        (k, first_angle), (j, second_angle) = first.as_coeff_Mul(), second.as_coeff_Mul()
        if isinstance(first_angle, sympy.atan) and isinstance(second_angle, sympy.atan) and k == -j:
            (u,), (v,) = first_angle.args, second_angle.args
            return k * sympy.atan2(expanded(u - v), 1 + u * v) + rest
    return None


def complement_of_arctangent(node: Add) -> Expr | None:
    """pi/2 - atan(u) = atan2(1, u)."""
    for first, second, rest in pairs(node):
        if first in (sympy.pi / 2, -sympy.pi / 2) and isinstance(second * -sympy.sign(first), sympy.atan):
            return sympy.sign(first) * sympy.atan2(1, (-sympy.sign(first) * second).args[0]) + rest
    return None


def _exponent(term: Expr) -> tuple[Expr, Expr, Expr | None] | None:
    """Return (k, z, u) for k*exp(z), and for k*u**p with z = p*log(u)."""
    k, factor = term.as_coeff_Mul()
    if isinstance(factor, exp):
        return k, factor.args[0], None
    if isinstance(factor, Pow) and not factor.exp.is_Integer and not factor.base.is_number:
        return k, factor.exp, factor.base
    if isinstance(factor, power_near_one) and factor.args[2:] == (0, 0):
        return k, factor.args[1], 1 + factor.args[0]
    return None


def difference_of_powers(node: Add) -> Iterator[Expr]:
    """u**p - v**p = u**p*(1 - exp(-d)) with d = p*log(u/v), and exp(u) - exp(v) with d = u - v."""
    for first, second, rest in pairs(node):
        first_power, second_power = _exponent(first), _exponent(second)
        if (
            first_power is None
            or second_power is None
            or first_power[0] != -second_power[0]
            or (first_power[2] is None) != (second_power[2] is None)
        ):
            continue
        (k, p, u), (_, q, v) = first_power, second_power
        if u is None or v is None:
            yield k * difference_of_exponentials(p, q, expanded(p - q)) + rest
        elif p == q:
            d = p * logarithm_of_quotient(u, v)
            yield k * difference_of_exponentials(p * _log(u), p * _log(v), d) + rest


def _log(u: Expr) -> Expr:
    return log1p(u - 1) if isinstance(u, Add) and S.One in u.args else log(u)


def power_less_one(node: Add) -> Expr | None:
    """u**p - 1 = expm1(p*log(u)), with log1p(u - 1) for a sum with 1."""
    for first, second, rest in pairs(node):
        power = _exponent(first)
        if power and power[2] is not None and power[0] == -second:
            return power[0] * expm1(power[1] * _log(power[2])) + rest
    return None


def power_of_one_and_little(node: power_near_one) -> Expr | None:
    """(1 + w)**p = exp(p*log1p(w)), where a large power p multiplies the rounding of 1 + w."""
    w, p, *orders = node.args
    return exp(p * log1p(w)) if orders == [0, 0] else None


def quotient_of_expm1(node: Mul) -> Expr | None:
    """(A*B - 1)/((A - 1)*(B - 1)) = 1 + 1/(A - 1) + 1/(B - 1) for exponentials A and B, none of which overflows."""
    for factor in node.args:
        if not isinstance(factor, expm1):
            continue
        below = [p for p in node.args if p.func.__name__ == "bose_einstein"]
        for first in below:
            for second in below:
                if first is not second and sympy.expand(factor.args[0] - first.args[0] - second.args[0]) == 0:
                    return (1 + first + second) * others(node, factor, first, second)
    return None


def sum_of_expm1_quotients(node: Mul) -> Iterator[Expr]:
    """x*(A*B - 1)/((A - 1)*(B - 1)) = x + x/(A - 1) + x/(B - 1) for A = exp(a*x) and B = exp(b*x).

    Neither the product of the quotients nor A*B overflows then. With x/(A - 1) = 1/a - x/2 + x/2*L(a*x/2), where L(z) =
    coth(z) - 1/z, x cancels before it is computed, in the derivatives as well: that is for a and b of the same sign,
    and for small x. For others, the sum is even in x, and x + x/(A - 1) = x/(1 - 1/A): there are sizes with the signs
    of a and of b to be added. All of these cancel where a is close to -b; there, the product stays.
    """
    quotients = [factor for factor in node.args if isinstance(factor, under(expm1))]
    for above in node.args:
        if not isinstance(above, over(expm1)):
            continue
        c, x = above.args
        for k, first in enumerate(quotients):
            for second in quotients[k + 1 :]:
                a, b = first.args[0], second.args[0]
                if first.args[1] == second.args[1] == x and a + b == c:
                    rest = others(node, above, first, second)
                    first_size, second_size = (sympy.sign(each) * under(expm1)(Abs(each), Abs(x)) for each in (a, b))
                    total = 1 / a + 1 / b + x / 2 * (langevin(a * x / 2) + langevin(b * x / 2))
                    small = Abs(c * x) < 1
                    same = Or(And(a > 0, b > 0), And(a < 0, b < 0), And(small, Abs(c) > Abs(a)))
                    product = balanced(above, first, second)
                    yield (x + first + second) * rest
                    yield total * rest
                    yield Piecewise((total, same), (product, small), (first_size + second_size, True)) * rest


def branch_of_logarithms(node: Add) -> Iterator[Expr]:
    """log(u) - log(v) = log1p((u - v)/v) where both are close, by a branch, and as it is elsewhere."""
    for first, second, rest in pairs(node):
        first_log, second_log = _logarithm(first), _logarithm(second)
        if first_log and second_log and first_log[0] == -second_log[0]:
            (p, u), (_, v) = first_log, second_log
            near = Or(Abs(u - v) > Abs(v) / 2)
            yield p * Piecewise((log(u) - log(v), near), (logarithm_of_quotient(u, v), True)) + rest

"""Splits products and sums: into powers, into exponentials, or into a part and the rest."""

from __future__ import annotations

from sympy import Add, Expr, Mul, Pow, S, erfc, exp
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir.functions import bose_einstein
from nncodegen.compiler.ir.limits import power_near_one


def others(node: Expr, *factors: Expr) -> Expr:
    """Return a product without some of its factors."""
    return Mul(*(factor for factor in node.args if factor not in factors))


def without_terms(node: Expr, part: Expr) -> tuple[Expr, Expr]:
    """Return (k, rest) with node = rest + k*part, where rest has none of the terms of part; k is 0 if none occurs."""
    coefficients, wanted = node.as_coefficients_dict(), part.as_coefficients_dict()
    ratios = {coefficients.get(term, S.Zero) / number for term, number in wanted.items()}
    k = ratios.pop() if len(ratios) == 1 else S.Zero
    return k, node - k * part


def without_factors(node: Expr, part: Expr) -> tuple[Expr, Expr]:
    """Return (k, rest) with node = rest*part**k for the integer k that is farthest from 0, which may be 0."""
    if isinstance(part, exp):
        powers = [factor.args[0] / part.args[0] for factor in Mul.make_args(node) if isinstance(factor, exp)]
        k = next((power for power in powers if power.is_Integer), S.Zero)
        return k, node / part**k
    if exponentials(part) and not exponentials(node):
        return S.Zero, node  # the rest would have the reciprocal of an exponential that the node does not have
    base, exponent = _base_and_exponent(part)
    if not exponent.is_number:
        for factor in Mul.make_args(node):
            other, power = _base_and_exponent(factor)
            if other == base and (power / exponent).is_Integer:
                return power / exponent, Mul(*(each for each in Mul.make_args(node) if each != factor))
    present, wanted = _powers(node), _powers(part)
    ratios = {present.get(base, S.Zero) / number for base, number in wanted.items()}
    k = min(ratios, key=abs) if ratios and len({ratio > 0 for ratio in ratios}) == 1 else S.Zero
    return (k, node / part**k) if k.is_Integer else (S.Zero, node)


def _base_and_exponent(factor: Expr) -> tuple[Expr, Expr]:
    """Return the base and the exponent of a power, in the form in which it was written."""
    if isinstance(factor, power_near_one) and factor.args[2:] == (0, 0):
        return 1 + factor.args[0], factor.args[1]
    return factor.args if isinstance(factor, Pow) else (factor, S.One)


def _powers(node: Expr) -> dict[Expr, Expr]:
    """Return the integer powers in a product, by base, without numbers and exponentials, each of which SymPy merges."""
    powers = {factor: S.One for factor in Mul.make_args(node) if not isinstance(factor, exp | Pow)}
    powers |= dict(factor.args for factor in Mul.make_args(node) if isinstance(factor, Pow))
    return {base: k for base, k in powers.items() if k.is_Integer and not base.is_number}


def as_power(factor: Expr) -> tuple[Expr, Expr]:
    """Return the base and the exponent of a factor; bose_einstein(z) is 1/(exp(z) - 1)."""
    base, k = (factor, S.One) if isinstance(factor, exp) else factor.as_base_exp()
    return (expm1(*base.args), -k) if isinstance(base, bose_einstein) else (base, k)


def argument_of_erfc(node: Expr) -> Expr | None:
    """Return z for erfc(z), and -z for 2 - erfc(z), which is erfc(-z) as SymPy writes it; None for others."""
    if isinstance(node, erfc):
        return node.args[0]
    if isinstance(node, Add) and len(node.args) == 2 and node.args[0] == 2 and isinstance(-node.args[1], erfc):
        return -(-node.args[1]).args[0]
    return None


def exponentials(term: Expr) -> list[Expr]:
    """Return the factors of a product that are exponentials."""
    return [factor for factor in Mul.make_args(term) if isinstance(factor, exp)]


def exponential_terms(node: Expr) -> list[tuple[Expr, Expr]] | None:
    """Return [(a, u), ...] for a*exp(u) + ... with positive numbers a, constant term first; None if no u varies."""
    if not isinstance(node, Add):
        return None
    terms: list[tuple[Expr, Expr]] = []
    for term in node.args:
        if not all(isinstance(factor, exp) or factor.is_number for factor in Mul.make_args(term)):
            return None  # before SymPy looks for exponentials in all parts of the term
        coefficient, factor = term.as_independent(exp, as_Add=False)
        if not coefficient.is_number or not coefficient.is_positive:
            return None
        if factor is S.One:
            terms.insert(0, (coefficient, S.Zero))
        elif isinstance(factor, exp):
            terms.append((coefficient, factor.args[0]))
        else:
            return None
    return terms if any(u != 0 for _, u in terms) else None

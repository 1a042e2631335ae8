"""Expressions as text, in time that grows with their length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Add, Expr, Mul, default_sort_key
from sympy.core.exprtools import decompose_power
from sympy.printing.str import StrPrinter

LONG = 20
"""Terms from which a sum is sorted here."""


def text_of(expression: Expr) -> str:
    """Return the text of an expression, the same as SymPy's.

    SymPy compares the terms of a sum by the exponents of all factors that any of them has: a thousand products of two
    factors are sorted by a thousand lists of two thousand numbers. Here, each has the list of its own factors.
    """
    return str(_Printer().doprint(expression))


class _Printer(StrPrinter):
    """SymPy's printer, but for the time that it takes to sort the terms of a long sum."""

    def _as_ordered_terms(self, expr: Expr, order: str | None = None) -> list[Expr]:
        if (order or self.order) is None and len(expr.args) >= LONG:
            terms = _ordered(expr)
            if terms is not None:
                return terms
        ordered: list[Expr] = super()._as_ordered_terms(expr, order)
        return ordered


def _ordered(total: Expr) -> list[Expr] | None:
    """Return the terms of a sum in the order of ``as_ordered_terms``; None if one of them is not a usual product."""
    terms: list[tuple[Expr, complex, Mapping[Expr, int]]] = []
    bases: dict[Expr, None] = {}
    for term in Add.make_args(total):
        split = _split(term)
        if split is None:
            return None
        terms.append((term, *split))
        bases.update(dict.fromkeys(split[1]))
    numbers = {base: number for number, base in enumerate(sorted(bases, key=default_sort_key))}

    def key(entry: tuple[Expr, complex, Mapping[Expr, int]]) -> Any:
        # A list of all exponents with the opposite sign, but without the zeros: where one term lacks the factor that
        # another has, its next factor has a larger number, or there is none.
        _, factor, exponents = entry
        powers = sorted((numbers[base], -exponent) for base, exponent in exponents.items())
        return (*powers, (len(numbers), 0)), (bool(factor.imag), factor.imag), (factor.real, factor.imag)

    return [term for term, _, _ in sorted(terms, key=key)]


def _split(term: Expr) -> tuple[complex, Mapping[Expr, int]] | None:
    """Return the number in a product, and the exponents of its other factors; None unless all of them are positive."""
    if term.is_Order or not term.is_commutative:
        return None
    number, product = term.as_coeff_Mul()
    factor, exponents = complex(number), {}
    for each in Mul.make_args(product):
        if each.is_number:
            try:
                factor *= complex(each)
            except (TypeError, ValueError):
                return None
            continue
        base, exponent = decompose_power(each)
        if exponent <= 0:
            return None
        exponents[base] = int(exponent)
    return factor, exponents

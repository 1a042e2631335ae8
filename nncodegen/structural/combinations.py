"""Combinations of unknowns that observations determine: those of symmetries, and polynomials of low degree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from sympy import Add, Expr, Integer, Mul, Rational, Symbol

from nncodegen.structural.fields import Array, Field
from nncodegen.structural.tape import Tape
from nncodegen.structural.taylor import Taylor, constant

MOST_MONOMIALS, MOST_IN_DIGITS = 130, 40
"""The most monomials among which a polynomial is looked for, with residues and with many digits."""

MOST_DEGREE = 3
"""The largest degree of such a polynomial."""


@dataclass(frozen=True)
class Place:
    """A random point: the values of all symbols, (1,) each, and the directions that no observation sees there."""

    values: Mapping[Symbol, Array]
    null_space: Array


def gradients(
    field: Field, formulas: Sequence[Expr], unknowns: Sequence[Symbol], values: Mapping[Symbol, Array]
) -> Array:
    """Return the derivatives of formulas by all unknowns, (points, formulas, unknowns), given values, (points,).

    Raises ModelError, NotRationalError and SingularError.
    """
    points = len(next(iter(values.values())))
    leaves = {
        symbol: constant(
            field, numbers, len(unknowns), [unknowns.index(symbol)] * points if symbol in unknowns else None
        )
        for symbol, numbers in values.items()
    }
    tape = Tape({symbol: (False, series.tangents is not None) for symbol, series in leaves.items()})
    places = tape.add(formulas)
    taylor = Taylor(tape, field, leaves, {}, (1, points, len(unknowns)))
    taylor.advance()
    zeros = field.zeros((points, len(unknowns)))
    tangents = [taylor.of(place).tangents for place in places]
    return np.stack([zeros if each is None else each[0] for each in tangents], axis=1)


class Known:
    """The determined directions at a point: the span of gradients of formulas, which grows by those that are new."""

    def __init__(self, field: Field, unknowns: Sequence[Symbol], place: Place, certain: Sequence[int]) -> None:
        self._field, self._unknowns, self._place = field, unknowns, place
        self._rows = field.zeros((len(certain), len(unknowns)))
        for row, column in enumerate(certain):
            self._rows[row, column] = field.number(Integer(1))

    def add(self, formula: Expr) -> bool:
        """Return whether observations determine a formula, and it does not follow from those before it; add it then."""
        slopes = gradients(self._field, [formula], self._unknowns, self._place.values)[0, 0]
        if not is_determined(self._field, slopes, self._place.null_space):
            return False
        rows = np.concatenate([self._rows, slopes[None]])
        if len(self._field.reduced(rows)[1]) == len(self._rows):
            return False
        self._rows = rows
        return True


def is_determined(field: Field, slopes: Array, null_space: Array) -> bool:
    """Return whether a formula with these derivatives changes in no direction of a null space."""
    slopes, null_space = field.normalized(slopes[None]), field.normalized(null_space)
    return bool(np.all(field.is_zero(field.product(null_space, slopes.T))))


def monomials(symbols: Sequence[Symbol], degree: int) -> list[Expr]:
    """Return all monomials of some symbols up to a degree, those of the highest degree first."""
    return [Mul(*factors) for size in range(degree, 0, -1) for factors in combinations_with_replacement(symbols, size)]


def polynomials(field: Field, terms: Sequence[Expr], unknowns: Sequence[Symbol], places: Sequence[Place]) -> list[Expr]:
    """Return the polynomials of some terms, with small rational coefficients, whose values observations determine."""
    values = {symbol: np.concatenate([place.values[symbol] for place in places]) for symbol in places[0].values}
    slopes = gradients(field, terms, unknowns, values)
    rows = []
    for place, each in zip(places, slopes, strict=True):
        null_space, scaled = field.normalized(place.null_space), field.normalized(each.reshape(1, -1))
        rows.append(field.cleared(field.product(null_space, scaled.reshape(each.shape).T)))
    basis = field.null_space(np.concatenate(rows))
    results = []
    for vector in basis:
        fractions = [field.fraction(each) for each in vector]
        if all(each is not None for each in fractions):
            results.append(_polynomial(terms, fractions))
    return sorted(results, key=lambda formula: (len(Add.make_args(formula)), formula.count_ops(), str(formula)))


def _polynomial(terms: Sequence[Expr], coefficients: Sequence[Any]) -> Expr:
    pairs = zip(coefficients, terms, strict=True)
    formula = Add(*(Rational(each.numerator, each.denominator) * term for each, term in pairs))
    formula = formula.primitive()[1]
    signs = sum(1 if term.as_coeff_Mul()[0] > 0 else -1 for term in Add.make_args(formula))
    return -formula if signs < 0 or (signs == 0 and str(formula).startswith("-")) else formula

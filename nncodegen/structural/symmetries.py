"""Symmetries: changes of the unknowns that no observation sees, in a closed form, and what they leave unchanged.

At each point, the null space of the derivatives has the directions of these changes. A scaling, theta_i -> theta_i *
s**w_i, has the direction w_i*theta_i with the same w at every point, a translation, theta_i -> theta_i + s*v_i, the
direction v_i. So both follow from the null spaces at a few points, by linear algebra. Monomials whose exponents are
orthogonal to all w, of unknowns and of sums that are orthogonal to all v, are invariant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import reduce
from itertools import combinations
from math import comb, gcd, lcm

import numpy as np
from sympy import Add, Expr, Integer, Mul, Rational, Symbol

from nncodegen.structural.fields import Array, Field

Exact = list[list[Fraction]]
"""A matrix of rational numbers, row by row."""

MOST_SUPPORTS = 3000
"""The most sets of columns among which the simplest vectors of a kernel are looked for."""


def constant_directions(field: Field, rows: Sequence[Array], scales: Sequence[Array] | None) -> Exact:
    """Return a basis of the vectors v for which v, or v*scales, is in the null space of the rows at every point.

    rows has a matrix for each point, and scales the values of the unknowns there, (unknowns,): with them, the vectors
    are those of scalings. Vectors that are not of small rational numbers are left out.
    """
    matrices = [
        matrix if scales is None else field.clean(matrix * scales[point][None]) for point, matrix in enumerate(rows)
    ]
    return _exact(field, field.null_space(np.concatenate(matrices)))


def _exact(field: Field, basis: Array) -> Exact:
    """Return the vectors of a basis that are of small rational numbers."""
    exact: Exact = []
    for vector in basis:
        fractions = [field.fraction(each) for each in vector]
        if all(each is not None for each in fractions):
            exact.append([each for each in fractions if each is not None])
    return exact


def constant_combinations(
    field: Field, null_spaces: Sequence[Array], scales: Sequence[Array] | None
) -> list[list[int]]:
    """Return whole vectors c for which sum(c*theta) is determined, or the product of theta**c with ``scales``.

    null_spaces has the directions that no observation sees at several points, and scales the values of the unknowns
    there. The vectors are independent, and the simplest ones.
    """
    matrices = [
        matrix if scales is None else field.clean(matrix * field.inverse(scales[point])[None])
        for point, matrix in enumerate(null_spaces)
    ]
    size = null_spaces[0].shape[1]
    exact = _exact(field, field.null_space(np.concatenate(matrices)))
    return simplest_kernel(_kernel(exact, size), columns=size) if exact else []


def components(field: Field, null_space: Array) -> list[list[int]]:
    """Return the unknowns that are not identifiable, in sets that move together: no direction joins two of them."""
    basis, _ = field.reduced(null_space)
    supports = [{int(k) for k in np.flatnonzero(~field.is_zero(vector))} for vector in basis]
    joined: list[set[int]] = []
    for support in supports:
        touching = [other for other in joined if other & support]
        joined = [other for other in joined if not other & support] + [set().union(support, *touching)]
    return sorted(sorted(each) for each in joined)


def invariants(symbols: Sequence[Symbol], scalings: Exact, translations: Exact) -> list[Expr]:
    """Return products and sums of some unknowns, and products of such sums, that no symmetry changes.

    ``scalings`` and ``translations`` have a row for each symmetry, with an exponent or a step for each of the symbols.
    """
    weights = [tuple(row[k] for row in scalings) for k in range(len(symbols))]
    moved = [k for k in range(len(symbols)) if any(row[k] for row in translations)]
    parts: list[tuple[Expr, tuple[Fraction, ...]]] = [
        (symbols[k], weights[k]) for k in range(len(symbols)) if k not in moved
    ]
    for weight in dict.fromkeys(weights[k] for k in moved):
        group = [k for k in moved if weights[k] == weight]
        for form in simplest_kernel([[row[k] for k in group] for row in translations]):
            terms = zip(form, group, strict=True)
            parts.append((Add(*(Integer(factor) * symbols[k] for factor, k in terms)), weight))
    if not parts:
        return []
    exponents = [[weight[row] for _, weight in parts] for row in range(len(scalings))]
    kernel = simplest_kernel(exponents, columns=len(parts))
    return [
        Mul(*(part ** Integer(exponent) for (part, _), exponent in zip(parts, vector, strict=True)))
        for vector in kernel
    ]


def simplest_kernel(matrix: Exact, columns: int | None = None) -> list[list[int]]:
    """Return a basis of whole vectors that a matrix takes to 0: of those with the fewest elements, the smallest."""
    size = len(matrix[0]) if matrix else columns or 0
    rank = len(_echelon(matrix)[1])
    chosen: list[list[int]] = []
    candidates = sorted(_circuits(matrix, size, rank), key=_complexity)
    for candidate in candidates:
        if len(_echelon([[Fraction(each) for each in row] for row in (*chosen, candidate)])[1]) > len(chosen):
            chosen.append(candidate)
        if len(chosen) == size - rank:
            break
    return chosen


def _complexity(vector: Sequence[int]) -> tuple[int, int, int, list[int]]:
    """Return what orders vectors from the simplest on: few elements, few quotients, small numbers, first symbols."""
    places = [k for k, each in enumerate(vector) if each]
    return len(places), sum(map(abs, vector)), sum(each < 0 for each in vector), places


def _circuits(matrix: Exact, size: int, rank: int) -> Iterator[list[int]]:
    """Yield the vectors of a kernel that have as few elements as possible, or those of one basis if these are many."""
    if comb(size, min(rank + 1, size)) > MOST_SUPPORTS:
        yield from (_whole(vector) for vector in _kernel(matrix, size))
        return
    for support in combinations(range(size), min(rank + 1, size)):
        for vector in _kernel([[row[k] for k in support] for row in matrix], len(support)):
            placed = [Fraction(0)] * size
            for k, each in zip(support, vector, strict=True):
                placed[k] = each
            yield _whole(placed)


def _whole(vector: Sequence[Fraction]) -> list[int]:
    """Return a multiple of a vector in whole numbers without a common factor, with more of them above 0 than below."""
    below = lcm(*(each.denominator for each in vector))
    whole = [int(each * below) for each in vector]
    common = reduce(gcd, whole)
    signs = sum((each > 0) - (each < 0) for each in whole)
    first = next((each for each in whole if each), 1)
    sign = -1 if signs < 0 or (signs == 0 and first < 0) else 1
    return [sign * each // common for each in whole] if common else whole


def _echelon(matrix: Exact) -> tuple[Exact, list[int]]:
    """Return the reduced echelon form of a matrix of rational numbers, and the columns of its 1s."""
    rows, pivots = [list(row) for row in matrix], list[int]()
    for column in range(len(rows[0]) if rows else 0):
        at = len(pivots)
        chosen = next((k for k in range(at, len(rows)) if rows[k][column]), None)
        if chosen is None:
            continue
        rows[at], rows[chosen] = rows[chosen], rows[at]
        pivot = rows[at][column]
        rows[at] = [each / pivot for each in rows[at]]
        for k, row in enumerate(rows):
            if k != at and row[column]:
                factor = row[column]
                rows[k] = [each - factor * other for each, other in zip(row, rows[at], strict=True)]
        pivots.append(column)
    return rows[: len(pivots)], pivots


def _kernel(matrix: Exact, size: int) -> list[list[Fraction]]:
    """Return a basis of the vectors that a matrix takes to 0."""
    rows, pivots = _echelon(matrix)
    basis = []
    for column in (k for k in range(size) if k not in pivots):
        vector = [Fraction(0)] * size
        vector[column] = Fraction(1)
        for row, pivot in zip(rows, pivots, strict=True):
            vector[pivot] = -row[column]
        basis.append(vector)
    return basis


def direction(symbols: Sequence[Symbol], vector: Sequence[Fraction], scaling: bool) -> dict[str, Expr]:
    """Return the direction of a symmetry: for each unknown that it moves, how fast."""
    return {
        symbol.name: Rational(each.numerator, each.denominator) * (symbol if scaling else 1)
        for symbol, each in zip(symbols, _whole(vector), strict=True)
        if each
    }

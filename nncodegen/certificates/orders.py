"""The conditions of order of methods for differential equations, which their tables of coefficients must meet.

A Runge-Kutta method has the order p if for each rooted tree of up to p vertices the sum of its weights times the
elementary weights of the tree is 1/gamma, with the density gamma of the tree (J. C. Butcher, Numerical Methods for
Ordinary Differential Equations, section 31). For a Rosenbrock method, a vertex with one child has other coefficients
than others (E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, section IV.7). So a changed
coefficient is found, however small the error is that a control of the steps leaves of it. What no condition tells is
the size of an estimate of the error: any multiple of it is another estimate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import mpmath

from nncodegen.compiler.ir.systems import LinearlyImplicit, Table

ALLOWED = 5e-14
"""The largest violation of a condition by coefficients that are rounded to doubles."""

INSIDE = ("0.1", "0.5", "0.77", "1")
"""The parts of a step at which an interpolant is examined."""

DIGITS = 30

Tree = tuple[Any, ...]
"""A rooted tree: the trees of its children, sorted."""


def trees(order: int) -> list[Tree]:
    """Return all rooted trees with a number of vertices."""
    several = (itertools.product(*map(trees, sizes)) for sizes in _partitions(order - 1, order - 1))
    return sorted({tuple(sorted(children)) for each in several for children in each})


def _partitions(n: int, most: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to write n as a sum of numbers that do not grow, up to ``most``."""
    if n == 0:
        yield ()
    for first in range(min(n, most), 0, -1):
        yield from ((first, *rest) for rest in _partitions(n - first, first))


def density(tree: Tree) -> Any:
    """Return the density of a tree: the product of the numbers of vertices above and at each of its vertices."""
    return _size(tree) * mpmath.fprod(map(density, tree))


def _size(tree: Tree) -> int:
    return 1 + sum(map(_size, tree))


class Coefficients:
    """The coefficients of a method as its conditions have them: alpha, beta and Gamma.

    Those of a Rosenbrock method follow from those of its stages U. For an explicit method alpha and beta are its rows,
    and Gamma is 1.
    """

    def __init__(self, table: Table) -> None:
        self.stages = len(table.rows)
        self.gamma, self.alpha = mpmath.eye(self.stages), self._square(table.rows)
        self.beta = self.alpha
        if isinstance(table, LinearlyImplicit):
            couplings = self._square(table.couplings)
            self.gamma = (mpmath.eye(self.stages) / mpmath.mpf(table.gamma) - couplings) ** -1
            self.alpha *= self.gamma
            self.beta = self.alpha + self.gamma

    def _square(self, rows: Sequence[Sequence[float]]) -> Any:
        return mpmath.matrix([[*map(mpmath.mpf, row), *[0] * (self.stages - len(row))] for row in rows])

    def elementary(self, tree: Tree) -> list[Any]:
        """Return the weights of a tree: those of a vertex with one child follow from beta, of others from alpha."""
        if len(tree) == 1:
            return [*(self.beta * mpmath.matrix(self.elementary(tree[0])))]
        result = [mpmath.mpf(1)] * self.stages
        for child in tree:
            factors = self.alpha * mpmath.matrix(self.elementary(child))
            result = [a * b for a, b in zip(result, factors, strict=True)]
        return result

    def worst(self, weights: Sequence[Any], order: int, x: Any = 1) -> Any:
        """Return the largest violation of the conditions of an order by weights, at the part x of a step.

        Where x is 0, the weights are those of an estimate of the error, whose sums must be 0.
        """
        b = mpmath.matrix([[*weights]]) * self.gamma
        values = ((mpmath.fdot(b, self.elementary(tree)), density(tree)) for tree in trees(order))
        return max(abs(value - x**order / divisor if x else value) for value, divisor in values)


@lru_cache(maxsize=16)
def violation(table: Table) -> str:
    """Return the first condition that a table of coefficients does not meet, in words; an empty text if it meets all.

    A method with two tables, whose steps are explicit or implicit, is examined by both.
    """
    with mpmath.workdps(DIGITS):
        first = next(_violations(table), "")
    explicit = table.explicit if isinstance(table, LinearlyImplicit) else None
    return first or (violation(explicit) if explicit else "")


def _violations(table: Table) -> Iterator[str]:
    coefficients = Coefficients(table)
    sums = [("times", table.times, coefficients.alpha)]
    if isinstance(table, LinearlyImplicit):
        sums.append(("drifts", table.drifts, coefficients.gamma))
    for name, numbers, rows in sums:
        for stage, number in enumerate(numbers):
            if abs(mpmath.fsum(rows[stage, :]) - number) > ALLOWED:
                yield f"the {name} of {table.name} are not the sums of its coefficients, at stage {stage + 1}"
    weights = table.weights if isinstance(table, LinearlyImplicit) else (*table.rows[-1], 0.0)
    examined: list[tuple[str, Sequence[Any], int, Any]] = [("weights", weights, table.exponent, mpmath.mpf(1))]
    if table.errors:
        examined.append(("estimate of the error", table.errors, table.exponent - 1, 0))
    for part in INSIDE if table.interpolant else ():
        x = mpmath.mpf(part)
        inside = [
            mpmath.fsum(coefficient * x ** (k + 1) for k, coefficient in enumerate(row)) for row in table.interpolant
        ]
        examined.append((f"interpolant at {part} of a step", inside, table.exponent - 1, x))
    ends = [mpmath.fsum(row) for row in table.interpolant]  # the weights at the end of a step
    if any(abs(end - weight) > ALLOWED for end, weight in zip(ends, weights, strict=False)):
        yield f"the interpolant of {table.name} does not end at the end of a step"
    for name, values, most, x in examined:
        for order in range(1, most + 1):
            if (worst := coefficients.worst(values, order, x)) > ALLOWED:
                yield f"the {name} of {table.name} misses a condition of order {order} by {float(worst):.2g}"

"""Find out whether one formula contains another: becomes it where some of its parameters are 0 or 1."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import Any, NamedTuple

import numpy as np
from sympy import Expr, Integer, Symbol

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.curves.fitting.formula import Formula

Array = np.ndarray[Any, np.dtype[Any]]

MOST_EXTRA, MOST_RENAMED = 4, 6
"""The most parameters that are fixed, and the most parameters of a formula in which others may have other names."""

POINTS, CLOSE = 12, 1e-9
"""The points at which formulas are compared, and how close they are there, relative to their size, if they are one."""


class Containment(NamedTuple):
    """The values of parameters, by name, with which a formula becomes another.

    ``regular`` says that each of these values is a restriction within the bounds: otherwise the distribution of the
    likelihood ratio is another than chi-square, and its probability only an estimate.
    """

    values: dict[str, int]
    regular: bool


def containment(large: Formula, small: Formula) -> Containment | None:
    """Return how a formula with more parameters becomes another one; None where no values of 0 and 1 do that.

    Parameters of the same names are compared first; in formulas of few parameters, those of other names as well.
    """
    extra = len(large.parameters) - len(small.parameters)
    if not 0 < extra <= MOST_EXTRA or large.ties or small.ties or large.columns != small.columns:
        return None
    compared = _Compared(small)
    for fixed, names in _choices(large, small, extra):
        for values in product((0, 1), repeat=extra):
            at = dict(zip(fixed, values, strict=True))
            reduced = _reduced(large.expression, at)
            if reduced is not None and compared.equals(reduced, names):
                return Containment(at, _is_regular(large, at))
    return None


def _choices(large: Formula, small: Formula, extra: int) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield the parameters to fix, and those that stand for the parameters of the smaller formula, in their order."""
    if {*small.parameters} < {*large.parameters}:
        yield tuple(name for name in large.parameters if name not in small.parameters), small.parameters
    if len(large.parameters) <= MOST_RENAMED:
        for fixed in combinations(large.parameters, extra):
            for names in permutations([name for name in large.parameters if name not in fixed]):
                yield fixed, names


def _reduced(expression: Expr, values: dict[str, int]) -> Expr | None:
    """Return the formula at some values; None where it is not finite."""
    reduced = expression.xreplace({Symbol(name): Integer(value) for name, value in values.items()})
    return None if not isinstance(reduced, Expr) or reduced.is_finite is False or reduced.has(*_INFINITE) else reduced


_INFINITE = (Integer(1) / Integer(0), Integer(0) * (Integer(1) / Integer(0)))


class _Compared:
    """A formula whose values at some points others are compared with."""

    def __init__(self, formula: Formula) -> None:
        random = np.random.default_rng(0)
        self._columns = {Element(name): random.uniform(0.2, 3, POINTS) for name in formula.columns}
        self._values = random.uniform(0.3, 2.5, (len(formula.parameters), POINTS))
        self._expected = self._value(formula.expression, formula.parameters)

    def equals(self, expression: Expr, names: tuple[str, ...]) -> bool:
        """Return whether an expression, with names for the parameters in their order, has the values of the formula."""
        value = self._value(expression, names)
        good = np.isfinite(self._expected)
        return bool(good.any()) and bool(
            (np.abs(value - self._expected)[good] <= CLOSE * np.maximum(1, np.abs(self._expected[good]))).all()
        )

    def _value(self, expression: Expr, names: tuple[str, ...]) -> Array:
        values = {**self._columns, **{Element(name): row for name, row in zip(names, self._values, strict=True)}}
        known = {symbol: Element(symbol.name) for symbol in symbols_of(expression)}
        if not {*known.values()} <= {*values}:
            return np.full(POINTS, np.nan)
        with np.errstate(all="ignore"):
            value = np.asarray(interpret(expression.xreplace(known), values, False), float)
        return np.broadcast_to(value, (POINTS,))


def _is_regular(large: Formula, values: dict[str, int]) -> bool:
    """Return whether no value lies at a bound, and none makes another of the fixed parameters without effect."""
    bounds = {} if large.curve is None else large.curve.bounds
    if any(value in bounds.get(name, ()) for name, value in values.items()):
        return False
    return all(
        {Symbol(other) for other in values if other != name}
        <= {*symbols_of(large.expression.xreplace({Symbol(name): Integer(value)}))}
        for name, value in values.items()
    )

"""The cheap test that finds most formulas sound: one evaluation that watches for what costs digits.

A sum that is much smaller than its terms, a logarithm close to 0, a product that leaves the range of numbers on the
way: only where a formula has such points are a few exact values computed, and only where these show that bits are lost
does the search begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy
from sympy import Add, Expr, Mul, Pow

from nncodegen.ir.arithmetics import Arrays
from nncodegen.ir.elementary import Elementary
from nncodegen.ir.walk import Asking, walk
from nncodegen.passes.digits.measure import bits_lost, exact_values, values
from nncodegen.passes.digits.points import Array, Points

CANCELLED = 2.0**-10
"""A sum is suspicious where it is smaller than this part of its largest term."""

EXAMINED = 8
"""The number of suspicious points at which exact values are computed."""

LEAST = 0.02
"""The part of the points that must be suspicious."""

LOST = 2.0
"""The mean bits that must be lost at suspicious points."""


class _Watched(Arrays):
    """Arrays that are watched: ``suspicious`` says at which points digits may be lost."""

    def __init__(self, points: Points) -> None:
        super().__init__(points)
        self.suspicious = np.zeros(np.shape(next(iter(points.values()))), bool)

    def sum(self, node: Add) -> Asking[Any]:
        """Return a sum; it is suspicious where it is small, unless its terms are exact."""
        terms = yield from self.parts(node)
        total = self.add(terms)
        if not all(term.is_Atom for term in node.args):
            largest = np.max([np.abs(np.broadcast_to(t, self.suspicious.shape)) for t in terms], axis=0)
            self._note(np.abs(total) < CANCELLED * largest)
        return total

    def product(self, node: Mul) -> Asking[Any]:
        """Return a product; it is suspicious where a part of it is out of range, but no factor is."""
        factors = yield from self.parts(node)
        value = self.multiply(factors)
        self._range(value, factors)
        return value

    def raised(self, node: Pow) -> Asking[Any]:
        """Return a power; it is suspicious where it is out of range, and a large power where its base is rounded."""
        base, exponent = yield from self.parts(node)
        value = self.power(base, exponent, node.exp)
        self._range(value, (base, exponent))
        if not node.base.is_Atom and not node.exp.is_number:
            self._note((np.abs(exponent) > 1024) & (np.abs(value) != 0) & np.isfinite(value))
        return value

    def call(self, function: Elementary, operands: Sequence[Any]) -> Any:
        """Return the values of a function; a logarithm is suspicious where it is close to 0."""
        value = super().call(function, operands)
        if function.function in (sympy.log, sympy.acos):
            self._note(np.abs(value) < CANCELLED)
        return value

    def _range(self, value: Any, operands: Sequence[Any]) -> None:
        usual: Any = True
        for operand in operands:
            usual = usual & np.isfinite(operand) & (np.asarray(operand) != 0)
        self._note(usual & (~np.isfinite(value) | (np.abs(value) < np.finfo(float).tiny)))
        self._note(np.isnan(value) & ~np.any([np.isnan(np.broadcast_to(o, np.shape(value))) for o in operands], axis=0))

    def _note(self, where: Any) -> None:
        self.suspicious |= np.broadcast_to(where, self.suspicious.shape)


def suspicious_points(form: Expr, points: Points) -> Array:
    """Return at which points a form may lose digits."""
    watched = _Watched(points)
    with np.errstate(all="ignore"):
        walk(form, watched)
    return watched.suspicious


def is_sound(written: Expr, form: Expr, points: Points) -> bool:
    """Return whether a form of a formula keeps its digits, as far as a cheap test can tell."""
    if not points:
        return True
    suspicious = np.flatnonzero(suspicious_points(form, points))
    if len(suspicious) < LEAST * np.size(next(iter(points.values()))):
        return True
    chosen = suspicious[:: max(1, len(suspicious) // EXAMINED)][:EXAMINED]
    few = {name: column[chosen] for name, column in points.items()}
    exact = exact_values(written, few, once=True)
    known = np.isfinite(exact)
    lost = bits_lost(values(form, few), exact)[known]
    return not known.any() or float(np.mean(lost)) < LOST

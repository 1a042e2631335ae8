"""The cheap test that finds most formulas sound: one evaluation that watches for what costs digits.

A sum that is much smaller than its terms, a logarithm close to 0, a product that leaves the range of numbers on the
way: only where a formula has such points are a few exact values computed, and only where these show that bits are lost
does the search begin. The derivatives are watched in the same way, by numbers: no formula for them is derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Add, Expr, Mul, Piecewise, Pow

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.arithmetics import Arrays
from nncodegen.compiler.ir.elementary import Elementary
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.walk import Asking, walk
from nncodegen.compiler.passes.derivatives import partial
from nncodegen.compiler.passes.digits.exact import Truth
from nncodegen.compiler.passes.digits.formats import bits_lost
from nncodegen.compiler.passes.digits.measure import Sample, Stepwise
from nncodegen.compiler.passes.digits.points import Points, chosen, count_of, type_of

Mask = NDArray[np.bool_]

CANCELLED = 2.0**-10
"""A sum is suspicious where it is smaller than this part of its largest term."""

EXAMINED, TRIED = 8, 32
"""The number of suspicious points at which a form is compared with exact values, and of those that are tried for it: at
some, there is none."""

LEAST, FEWEST = 0.02, 2
"""The part of the points that must be suspicious, and their number."""

LOST = 2.0
"""The mean bits that must be lost at suspicious points."""


class _Watched(Stepwise):
    """Arrays that are watched: ``suspicious`` says at which points digits may be lost."""

    def __init__(self, points: Points) -> None:
        super().__init__(points, type_of(points))
        self.suspicious = np.zeros(count_of(points), bool)
        self.tiny = np.finfo(self.dtype).tiny

    def sum(self, node: Add) -> Asking[Any]:
        """Return a sum; it is suspicious where it is small, unless its terms are exact."""
        terms = yield from self.parts(node)
        total = self.add(terms)
        if not all(term.is_Atom for term in node.args):
            self.suspicious |= cancelled(total, terms)
        return total

    def product(self, node: Mul) -> Asking[Any]:
        """Return a product; it is suspicious where a part of it is out of range, but no factor is."""
        factors = yield from self.parts(node)
        value = self.multiply(factors)
        self.suspicious |= self.out_of_range(value, factors)
        return value

    def raised(self, node: Pow) -> Asking[Any]:
        """Return a power; it is suspicious where it is out of range, and a large power where its base is rounded."""
        base, exponent = yield from self.parts(node)
        value = self.power(base, exponent, node.exp)
        self.suspicious |= self.out_of_range(value, (base, exponent)) & ((base >= 0) | ~np.isnan(value))
        if not node.base.is_Atom and not node.exp.is_number:
            self.suspicious |= (np.abs(exponent) > 1024) & (np.abs(value) != 0) & np.isfinite(value)
        return value

    def call(self, function: Elementary, operands: Sequence[Any]) -> Any:
        """Return the values of a function; a logarithm is suspicious where it is close to 0."""
        value = super().call(function, operands)
        if function.function in (sympy.log, sympy.acos):
            self.suspicious |= np.abs(value) < CANCELLED
        return value

    def function(self, node: StableFunction, values: Sequence[Any]) -> Any:
        """Return the values of a function of nncodegen; it is suspicious where it is NaN, but no argument is."""
        value = super().function(node, values)
        self.suspicious |= np.isnan(value) & ~_is_nan(values)
        return value

    def out_of_range(self, value: Any, operands: Sequence[Any]) -> Any:
        """Return where a value is infinite, NaN or nearly 0 although no operand is."""
        size = np.abs(value)
        beyond = ~((size >= self.tiny) & (size < np.inf))
        if not np.any(beyond):
            return False
        usual: Any = True
        for operand in operands:
            usual = usual & np.isfinite(operand) & (np.asarray(operand) != 0)
        return (usual & beyond) | (np.isnan(value) & ~_is_nan(operands))


def _is_nan(operands: Sequence[Any]) -> Any:
    """Return where any operand is NaN."""
    is_nan: Any = np.False_
    for operand in operands:
        is_nan = is_nan | np.isnan(operand)
    return is_nan


def cancelled(total: Any, terms: Sequence[Any]) -> Any:
    """Return where a sum is much smaller than its largest term."""
    largest: Any = np.abs(terms[0])
    for term in terms[1:]:
        largest = np.maximum(largest, np.abs(term))
    return np.abs(total) < CANCELLED * largest


class _Slopes(Arrays):
    """Derivatives of arrays by elements: of each node those that are not 0, by element.

    ``suspicious`` says for each element at which points they may lose digits: where terms cancel that the chain rule
    adds up, and where a product is out of range of which no factor is.
    """

    def __init__(self, watched: _Watched, by: Sequence[Element]) -> None:
        super().__init__({})
        self._watched, self._by = watched, by
        self._known: dict[Any, Any] = {}
        self.suspicious = {element: np.zeros_like(watched.suspicious) for element in by}

    def leaf(self, node: Any) -> Any:
        """Return the derivative of an element by itself."""
        return {node: 1.0} if node in self._by else {}

    def visit(self, node: Any) -> Asking[Any]:
        """Ask for the derivatives of the parts of a node; return its own."""
        if not node.args:
            return self.leaf(node)
        if isinstance(node, Piecewise):
            return (yield from self.choose(node.args))
        inner = []
        for part in node.args:
            inner.append((yield part))  # noqa: PERF401 (a comprehension cannot ask)
        outer = [self._partial(node, k) if slopes else 0.0 for k, slopes in enumerate(inner)]
        return {element: self._chained(element, inner, outer) for element in self._by if _has(inner, element)}

    def choose(self, branches: Sequence[Any]) -> Asking[Any]:
        """Ask for the derivatives of all branches; return those of the first whose condition holds."""
        parts = []
        for value, condition in branches:
            parts.append(((yield value), self.value(condition)))
        by_element = {}
        for element in self._by:
            if any(element in slopes for slopes, _ in parts):
                result: Any = self._watched.dtype.type(np.nan)
                for slopes, holds in reversed(parts):
                    result = np.where(holds, slopes.get(element, self._watched.dtype.type(0)), result)
                by_element[element] = result
        return by_element

    def value(self, node: Any) -> Any:
        """Return the values of a node."""
        return walk(node, self._watched, self._known)

    def _partial(self, node: Expr, k: int) -> Any:
        """Return the derivative of a node by an argument; of the usual nodes by numbers alone."""
        if isinstance(node, Add):
            return 1.0
        if isinstance(node, Mul):
            return self.multiply([self.value(part) for j, part in enumerate(node.args) if j != k])
        if isinstance(node, Pow) and node.exp.is_number:
            b = float(node.exp)
            return b * np.power(self.value(node.base), b - 1)
        return self.value(partial(node, k))

    def _chained(self, element: Element, inner: Sequence[Any], outer: Sequence[Any]) -> Any:
        """Return the derivative by the chain rule."""
        suspicious = self.suspicious[element]
        terms = []
        for slopes, factor in zip(inner, outer, strict=True):
            if element in slopes:
                term = factor * slopes[element]
                suspicious |= self._watched.out_of_range(term, (factor, slopes[element]))
                terms.append(term)
        total = self.add(terms)
        if len(terms) > 1:
            suspicious |= cancelled(total, terms)
        return total


def _has(inner: Sequence[Any], element: Element) -> bool:
    return any(element in slopes for slopes in inner)


def suspicious_points(form: Expr, points: Points) -> Mask:
    """Return at which points a form may lose digits."""
    watched = _Watched(points)
    with np.errstate(all="ignore"):
        walk(form, watched)
    return watched.suspicious


def suspicious_slopes(form: Expr, points: Points, by: Sequence[Element]) -> dict[Element, Mask]:
    """Return for each of some elements at which points the derivative of a form by it may lose digits."""
    watched = _Watched(points)
    slopes = _Slopes(watched, by)
    with np.errstate(all="ignore"):
        walk(form, slopes)
        unknown = np.isnan(slopes.value(form))  # there is no value, so there is no derivative
    return {element: (mask | watched.suspicious) & ~unknown for element, mask in slopes.suspicious.items()}


def are_few(suspicious: Mask, count: int) -> bool:
    """Return whether there are so few suspicious points, of some number, that nothing more is examined."""
    return int(suspicious.sum()) < max(FEWEST, LEAST * count)


def _spread(places: NDArray[np.intp]) -> list[int]:
    """Return places in an order whose beginning is spread over all of them."""
    step = max(1, len(places) // EXAMINED)
    return [*map(int, places[::step]), *(int(place) for k, place in enumerate(places) if k % step)]


def is_sound(form: Expr, points: Points, suspicious: Mask, truth: Truth, count: int) -> bool:
    """Return whether a form has its digits at a few of the suspicious points, or there are hardly any of a number."""
    if are_few(suspicious, count):
        return True
    suspects = np.flatnonzero(suspicious)
    finite = np.isfinite(Sample(chosen(points, suspects)).values(form))
    places: list[int] = []
    values: list[float] = []
    for place in _spread(suspects[~finite])[: TRIED // 4] + _spread(suspects[finite])[:TRIED]:
        (exact,) = truth.at([place])
        if np.isfinite(exact):
            places.append(place)
            values.append(exact)
        if len(places) == EXAMINED:
            break
    if not places:
        return True
    lost = bits_lost(Sample(chosen(points, places)).values(form), np.array(values, type_of(points)))
    return float(np.mean(lost)) < LOST

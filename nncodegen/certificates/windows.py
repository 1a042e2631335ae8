"""Steps whose indices move against each other, or are read from data: all their terms, in many digits.

The terms are found independently of the compiler: indices get values one after the other, an equation with one unknown
index gives its value, and a term does not exist if an equation does not hold for it. The compiler's way to solve
equations is not used, except for the order in which ``first`` counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.expressions import formula, scaled
from nncodegen.certificates.products import Array, array_of, summed_at, zeros
from nncodegen.compiler.ir import Element, Equation, Step, solve
from nncodegen.compiler.ir.reductions import NORMALIZATIONS, reduction
from nncodegen.errors import ProgramError

Numbers = NDArray[np.int64]

KEPT: dict[Any, Terms] = {}
"""The terms of steps whose equations read no data: they are the same for all values of tensors."""

MOST_KEPT = 50


@dataclass(frozen=True)
class Terms:
    """The terms of a step: for each index its value in every term."""

    step: Step
    numbers: Mapping[str, Numbers]
    count: int
    lengths: Mapping[str, int]

    def places(self, element: Element, shape: Sequence[int], first: Mapping[str, int]) -> Numbers:
        """Return the place of an element in its tensor for each term; ``first`` is where an axis begins."""
        place = np.zeros(self.count, np.int64)
        for index, length in zip(element.indices, shape, strict=True):
            place = place * length + (self.numbers[index] - first.get(index, 0))
        return place

    def read(self, element: Element, values: Mapping[str, Array]) -> Array:
        """Return the values of an element, one for each term."""
        array = values[element.tensor]
        return np.asarray(array.reshape(-1)[self.places(element, array.shape, {})], dtype=object)

    @cached_property
    def order(self) -> Numbers:
        """Return the numbers by which ``first`` counts the terms of a result."""
        number = np.zeros(self.count, np.int64)
        for index in solve(self.step.where, self.step.over, self.lengths).free:
            number = number * self.lengths[index] + self.numbers[index]
        return number


def compute_terms(
    step: Step,
    factors: list[Element] | None,
    values: Mapping[str, Array],
    lengths: Mapping[str, int],
    at: Mapping[str, int],
) -> Array:
    """Return the tensor that a step with equations defines; if ``at`` holds an index, only that part of it.

    ``factors`` are those of its expression, if that is a product of elements and a number.
    """
    terms = _terms_of(step, values, lengths, at)
    shape = [1 if index in at else lengths[index] for index in step.target.indices]
    places, size = terms.places(step.target, shape, at), int(np.prod(shape, dtype=int))
    if factors is not None:
        total = summed_at([terms.read(element, values) for element in factors], places, size)
        return np.asarray(scaled(step.expression, total), dtype=object).reshape(shape)
    term_values = _values(terms, formula(step.expression).value, values)
    rule = reduction(step.operator or "sum")
    if rule.join is not None:
        total = np.full(size, mpmath.mpf(rule.neutral), dtype=object)
        rule.join.at(total, places, term_values)
    elif step.operator in NORMALIZATIONS:
        total = zeros([size])
        for row in _rows(terms, shape, at):
            total[places[row]] = rule.array(term_values[row], (0,))
    elif step.operator == "first":
        most = int(np.prod([lengths[i] for i in solve(step.where, step.over, lengths).free], dtype=int))
        number = np.full(size, most)
        np.minimum.at(number, places, np.where(np.asarray(term_values != 0, bool), terms.order, most))
        total = array_of(map(mpmath.mpf, number.tolist()), [size])
    else:
        raise ProgramError(f"a certificate does not know the operator {step.operator}, in: {step}")
    return np.asarray(total, dtype=object).reshape(shape)


def backward_of_terms(
    step: Step,
    factors: list[Element] | None,
    values: Mapping[str, Array],
    lengths: Mapping[str, int],
    received: Array,
    at: Mapping[str, int],
) -> Iterator[tuple[Element, Array]]:
    """Yield the derivatives by the operands of such a step, given that by its result, in the shape of their tensors."""
    terms = _terms_of(step, values, lengths, at)
    shape = [1 if index in at else lengths[index] for index in step.target.indices]
    places = terms.places(step.target, shape, at)
    inner = np.asarray(received, dtype=object).reshape(-1)[places]
    operands = formula(step.expression).operands
    if factors is not None and len(set(factors)) == len(factors):
        for element in factors:
            others = [terms.read(other, values) for other in factors if other != element]
            yield element, scaled(step.expression, _at_places([inner, *others], terms, element, values))
        return
    rule = reduction(step.operator or "sum")
    if rule.received is None:
        raise ProgramError(f"{step.operator} has no derivative, in: {step}")
    if rule.chooses:
        term_values = _values(terms, formula(step.expression).value, values)
        inner = _of_first_chosen(terms, inner, term_values, places, rule.join)
    elif step.operator in NORMALIZATIONS:
        term_values = _values(terms, formula(step.expression).value, values)
        for row in _rows(terms, shape, at):
            inner[row] = rule.received(term_values[row], inner[row], (0,))
    partials = _values(terms, formula(step.expression).partials, values)
    for k, element in enumerate(operands):
        yield (
            element,
            _at_places([inner, array_of((row[k] for row in partials), [terms.count])], terms, element, values),
        )


def _at_places(arrays: Sequence[Array], terms: Terms, element: Element, values: Mapping[str, Array]) -> Array:
    shape = values[element.tensor].shape
    return summed_at(arrays, terms.places(element, shape, {}), values[element.tensor].size).reshape(shape)


def _values(terms: Terms, function: Any, values: Mapping[str, Array]) -> Array:
    """Return the values of an expression, or its derivatives, for each term."""
    operands = [terms.read(element, values) for element in formula(terms.step.expression).operands]
    rows = zip(*operands, strict=True) if operands else ((),) * terms.count
    return array_of((function(row) for row in rows), [terms.count])


def _rows(terms: Terms, shape: Sequence[int], at: Mapping[str, int]) -> Iterator[Numbers]:
    """Yield the terms of each row of a normalization, by their numbers."""
    sizes = dict(zip(terms.step.target.indices, shape, strict=True))
    row = Element("row", (index for index in terms.step.target.indices if index not in terms.step.over))
    number = terms.places(row, [sizes[index] for index in row.indices], at)
    for each in np.unique(number):
        yield np.flatnonzero(number == each)


def _of_first_chosen(terms: Terms, inner: Array, term_values: Array, places: Numbers, join: Any) -> Array:
    """Return the derivatives by the terms of a maximum or minimum: the first term equal to it receives everything."""
    best: dict[int, int] = {}
    for k in np.argsort(terms.order, kind="stable").tolist():
        place = int(places[k])
        if place not in best or join(term_values[best[place]], term_values[k]) != term_values[best[place]]:
            best[place] = k
    kept = zeros([terms.count])
    chosen = list(best.values())
    kept[chosen] = inner[chosen]
    return kept


# --- the terms ---------------------------------------------------------------------------------------------------


def _terms_of(step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int]) -> Terms:
    """Return all terms of a step that exist."""
    key = None
    if all(equation.data is None for equation in step.where):
        key = step, tuple(lengths[index] for index in step.indices), tuple(at.items())
        if key in KEPT:
            return KEPT[key]
    all_terms = _Finding(step, values, lengths, at).terms()
    if key is not None:
        if len(KEPT) >= MOST_KEPT:
            KEPT.pop(next(iter(KEPT)))
        KEPT[key] = all_terms
    return all_terms


class _Finding:
    """The search for the terms of a step: rows of values of the indices that are known so far."""

    def __init__(
        self, step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int]
    ) -> None:
        self._step, self._values, self._lengths = step, values, lengths
        self._known: dict[str, Numbers] = {index: np.array([place]) for index, place in at.items()}
        self._count = 1
        self._open = [*step.where]

    def terms(self) -> Terms:
        """Return all terms."""
        while self._open or any(index not in self._known for index in self._step.indices):
            if not self._use_an_equation():
                unknown = [index for index in self._step.indices if index not in self._known]
                self._count_through(min(unknown, key=lambda index: self._lengths[index]))
        return Terms(self._step, self._known, self._count, self._lengths)

    def _use_an_equation(self) -> bool:
        """Use an equation that has at most one unknown index; return whether there was one."""
        for equation in self._open:
            unknown = {index for index in equation.indices if index not in self._known}
            if not unknown:
                left, right = self._left(equation), self._right(equation, None)
                self._keep(np.asarray(left == right))
            elif len(unknown) == 1 and equation.names.count(*unknown) == 1:
                self._solve(equation, *unknown)
            else:
                continue
            self._open.remove(equation)
            return True
        return False

    def _left(self, equation: Equation) -> Numbers:
        """Return the left side; a negative number that no index has in place of a number that is not whole."""
        if isinstance(equation.left, str):
            return self._known[equation.left]
        array = self._values[equation.left.tensor]
        place = np.zeros(self._count, np.int64)
        for index, length in zip(equation.left.indices, array.shape, strict=True):
            place = place * length + self._known[index]
        numbers = [float(number) for number in array.reshape(-1)[place]]
        return np.array([int(x) if x.is_integer() and abs(x) < 2**53 else -(2**60) for x in numbers], np.int64)

    def _right(self, equation: Equation, but: str | None) -> Numbers:
        """Return the right side without one of its indices."""
        parts = [factor * self._known[index] for index, factor in equation.terms if index != but]
        return np.asarray(sum(parts, np.full(self._count, equation.offset)))

    def _solve(self, equation: Equation, index: str) -> None:
        """Set an index to the value that an equation gives, and keep the rows where it has one."""
        if equation.left == index:
            dividend, divisor = self._right(equation, None), 1
        else:
            factor = next(factor for name, factor in equation.terms if name == index)
            sign = 1 if factor > 0 else -1
            dividend, divisor = sign * (self._left(equation) - self._right(equation, index)), abs(factor)
        self._known[index] = dividend // divisor
        inside = (self._known[index] >= 0) & (self._known[index] < self._lengths[index])
        self._keep((dividend % divisor == 0) & inside)

    def _count_through(self, index: str) -> None:
        """Repeat each row for all values of an index."""
        length = self._lengths[index]
        self._known = {name: np.repeat(numbers, length) for name, numbers in self._known.items()}
        self._known[index] = np.tile(np.arange(length), self._count)
        self._count *= length

    def _keep(self, holds: NDArray[np.bool_]) -> None:
        self._known = {name: numbers[holds] for name, numbers in self._known.items()}
        self._count = int(np.sum(holds))

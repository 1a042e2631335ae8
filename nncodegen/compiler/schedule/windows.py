"""Sums of products in which indices move against each other, as those of a convolution, by lists of places.

For each position of a window, rows of the result are sums over the same terms: ``out[row] += a[row, term]*b[term]``,
where a has no samples, and b has them along its vectors. If the values of an index do not follow each other in memory,
a list has their places: rows have a place in a and in the result, terms in a and in b. So one function serves windows
with any stride, dilation and padding, their transposes, which scatter their terms, and layers after them. Values
outside of an array are left out of the lists, which then are made for each position. Otherwise lists are made once, and
positions that follow each other in memory share their loop with the samples.

The derivative by the weights of a window is a sum over samples and positions, for each row and column of the weights:
``out[row, column] += first[row, term]*second[column, term]``, where the terms are the positions of the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Program, Step
from nncodegen.compiler.schedule.extents import BEGIN
from nncodegen.compiler.schedule.storage import Storage

LISTS = ("rows", "terms", "columns")
"""The kinds of lists."""

LONGEST = 4096
"""Most entries of a list: lists lie on the stack."""

Sizes = Mapping[str, int | None]
"""The number of values of each index."""

Linear = tuple[dict[str, int], int]
"""A place in memory as a linear function: the factor of each index, and the constant."""


@dataclass(frozen=True)
class Window:
    """The lists of places by which a sum of products runs.

    ``first`` and ``second`` are its factors. Loops go over ``positions``; ``listed`` are the indices of the lists: of
    rows, of terms and, in a sum over samples, of columns. ``tests`` are equations for indices whose value may be out of
    range, each with the number of its list. ``along`` are positions that follow each other in memory, together with the
    samples. ``given`` are indices that have one value, as in a loop around the whole sum.
    """

    first: Element
    second: Element
    positions: tuple[str, ...]
    listed: tuple[tuple[str, ...], ...]
    tests: tuple[tuple[int, Equation], ...]
    equations: tuple[Equation, ...]
    along: tuple[str, ...] = ()
    scatters: bool = False
    given: tuple[str, ...] = ()
    time: str = ""
    """The index that goes over the steps of a segment."""

    def __str__(self) -> str:
        parts = {"positions": self.positions, **dict(zip(LISTS, self.listed, strict=False)), "along": self.along}
        return "; ".join(f"{name} {', '.join(indices)}" for name, indices in parts.items() if indices)

    def at(self, index: str) -> Window:
        """Return the window for one value of an index."""
        positions = tuple(other for other in self.positions if other != index)
        listed = tuple(tuple(other for other in indices if other != index) for indices in self.listed)
        return replace(self, positions=positions, listed=listed, given=(index,))

    def counted(self, indices: tuple[str, ...]) -> tuple[str, ...]:
        """Return the indices and, if one of them goes over the steps of a segment, BEGIN, where its arrays begin."""
        return (*indices, BEGIN) if self.time in indices else indices

    def place(self, element: Element, storage: Storage) -> Linear:
        """Return the place of an element, by the indices of loops and lists."""
        counts: dict[str, int] = {}
        rest = storage.offset
        solved = {equation.left: equation for equation in self.equations}
        for index, stride in zip(element.indices, storage.strides, strict=True):
            equation = solved.get(index)
            for name, factor in equation.terms if equation else [(index, 1)]:
                counts[name] = counts.get(name, 0) + factor * stride
            rest += equation.offset * stride if equation else 0
        counts.pop(SAMPLE, None)
        return counts | ({BEGIN: -counts[storage.within]} if counts.get(storage.within) else {}), rest


def window_of(step: Step, program: Program, lengths: Mapping[str, int] | None = None) -> Window | None:
    """Return the lists by which a step runs; None if it is no such sum of products.

    ``lengths`` are the lengths of segments, by the indices that have one segment at a time.
    """
    sizes = {**program.sizes, **(lengths or {})}
    read = step.operands
    if step.operator == "sum" and step.expression in read and SAMPLE in step.over:
        return _total(step, read[0], sizes)
    if step.operator != "sum" or step.expression.as_coeff_Mul()[0] != 1 or len(read) != 2:
        return None
    if not step.expression.is_Mul or set(step.expression.args) != set(read):
        return None
    lefts = [equation.left for equation in step.where]
    if len(set(lefts)) < len(lefts) or any(not isinstance(left, str) for left in lefts):
        return None
    if any(index in lefts for equation in step.where for index, _ in equation.terms):
        return None
    sampled = [element for element in read if SAMPLE in element.indices]
    if any(len(element.indices) < 2 for element in sampled):
        return None
    if SAMPLE in step.target.indices and len(sampled) == 1:
        first = next(element for element in read if element not in sampled)
        if not first.indices:  # a number, which has no place in memory
            return None
        return _product(step, first, sampled[0], program, sizes)
    if SAMPLE in step.over and len(sampled) == 2:
        factor, other = read
        return _sum(step, factor, other, program, sizes) or _sum(step, other, factor, program, sizes)
    return None


def _is_long(indices: Iterable[str], sizes: Sizes) -> bool:
    """Return whether a list over some indices would have too many entries."""
    return prod(sizes[index] or 1 for index in indices) > LONGEST


def _depends(element: Element, step: Step) -> frozenset[str]:
    """Return the indices of loops on which the place of an element depends."""
    solved = {equation.left: equation for equation in step.where}
    names: set[str] = set()
    for index in element.indices:
        names |= {name for name, _ in solved[index].terms} if index in solved else {index}
    return frozenset(names - {SAMPLE})


def _free(step: Step) -> tuple[str, ...]:
    """Return the indices of a step that no equation gives."""
    lefts = {equation.left for equation in step.where}
    return tuple(index for index in step.indices if index not in lefts and index != SAMPLE)


def _product(step: Step, a: Element, b: Element, program: Program, sizes: Sizes) -> Window | None:
    of_a, of_b, out = (_depends(element, step) for element in (a, b, step.target))
    rows, terms, positions = [], [], []
    for index in _free(step):
        kind = (index in of_a, index in of_b, index in out)
        if kind in ((True, False, True), (False, False, True)):
            rows.append(index)
        elif not kind[2] and (kind[0] or kind[1]):
            terms.append(index)
        elif kind[1] and kind[2]:
            positions.append(index)
        else:
            return None
    lists = (tuple(rows), tuple(terms))
    tests = _tests(step, lists, program)
    if tests is None or any(_is_long(indices, sizes) for indices in lists):
        return None
    scatters = any(equation.left in step.target.indices for equation in step.where)
    return Window(a, b, tuple(positions), lists, tests, step.where, scatters=scatters)


def _sum(step: Step, first: Element, second: Element, program: Program, sizes: Sizes) -> Window | None:
    of_first, of_second, out = (_depends(element, step) for element in (first, second, step.target))
    rows, places, columns = [], [], []
    for index in _free(step):
        if index not in out:
            places.append(index)
        elif index in of_first and index not in of_second:
            rows.append(index)
        elif index in of_second:
            columns.append(index)
        else:
            return None
    lists = (tuple(rows), tuple(places))
    tests = _tests(step, lists, program)
    if tests is None or any(number == 0 for number, _ in tests):
        return None
    if any(_is_long(indices, sizes) for indices in lists):
        return None
    together = [index for index in columns if index not in of_first] if not tests else []
    listed = (*lists, tuple(together))
    if _is_long(together, sizes):
        return None
    return Window(first, second, tuple(i for i in columns if i not in together), listed, tests, step.where)


def _total(step: Step, summed: Element, sizes: Sizes) -> Window | None:
    """Return the sum over samples and other indices of a single array, which has no second factor.

    An array without any of the other indices may be that of the weights of samples, which has no place of its own.
    """
    terms = tuple(index for index in step.over if index != SAMPLE)
    lists = (step.target.indices, terms)
    if step.where or not {*terms} & {*summed.indices} or any(_is_long(indices, sizes) for indices in lists):
        return None
    return Window(summed, summed, (), lists, (), ())


def _tests(step: Step, lists: Sequence[tuple[str, ...]], program: Program) -> tuple[tuple[int, Equation], ...] | None:
    """Return the equations that need not hold, with the list of each; None if one belongs to two lists."""
    tests = []
    for equation in step.where:
        if always(equation, program):
            continue
        of = [
            number
            for number, coefficients in enumerate(lists)
            if any(index in coefficients for index, _ in equation.terms)
        ]
        if len(of) > 1:
            return None
        tests.append((of[0] if of else 1, equation))
    return tuple(tests)


def always(equation: Equation, program: Program) -> bool:
    """Return whether an equation gives an index a valid value for all values of the others."""
    ends = [(factor * ((program.sizes[index] or 1) - 1)) for index, factor in equation.terms]
    low, high = (equation.offset + sum(pick(0, end) for end in ends) for pick in (min, max))
    size = program.sizes[str(equation.left)] or 0
    return low >= 0 and high < size


def along(window: Window, target: Element, storage: Mapping[str, Storage], program: Program, tile: int) -> Window:
    """Return the window with the positions that are contiguous in the factor with samples and in the result."""
    if window.tests or SAMPLE not in target.indices:
        return window
    places = [window.place(element, storage[element.tensor])[0] for element in (window.second, target)]
    of_first = window.place(window.first, storage[window.first.tensor])[0]
    chosen: list[str] = []
    width = tile
    for index in reversed(window.positions):
        if index in of_first or any(place.get(index) != width for place in places):
            break
        chosen.append(index)
        width *= program.sizes[index] or 1
    positions = tuple(index for index in window.positions if index not in chosen)
    return replace(window, positions=positions, along=tuple(chosen))

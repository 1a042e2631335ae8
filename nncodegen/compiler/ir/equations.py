"""Affine equations between indices, which the terms of a step must meet: ``x[n, 2*i + r - 1]``.

A step keeps plain indices, and relates them by equations in ``where``:

    s[n, i] = sum(r, u) W[r]*x[n, u] where u = 2*i + r - 1       a window that moves by 2, over one value of padding

Terms for which no index has the value that an equation asks for do not exist: padding is a sum or a maximum without
them. The derivative of such a step has the same equations, with other indices summed over, so that one rule of the
reverse sweep serves windows, their transposes, slices, concatenations, reshaped arrays and mirrored ones. The left side
may also be an element that holds whole numbers, ``v = x[n, t]``: what embeddings gather, and what pools pass back.

An index that a step reduces needs no loop if an equation gives its value: the equation is *solved* for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from nncodegen.compiler.ir.element import Element, Size


@dataclass(frozen=True)
class Equation:
    """``left = sum of factor*index + offset``; left is an index, or an element of whole numbers.

    ``terms`` has pairs (index, factor).
    """

    left: str | Element
    terms: tuple[tuple[str, int], ...] = ()
    offset: int = 0

    @property
    def data(self) -> Element | None:
        """Return the element whose value counts, if the left side is one; else None."""
        return None if isinstance(self.left, str) else self.left

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the indices whose values the equation relates, without those of an element on the left side."""
        left = [self.left] if isinstance(self.left, str) else []
        return (*left, *(index for index, _ in self.terms))

    @cached_property
    def indices(self) -> tuple[str, ...]:
        """Return all indices in the equation."""
        read = () if isinstance(self.left, str) else self.left.indices
        return tuple(dict.fromkeys((*self.names, *read)))

    @property
    def holds(self) -> bool | None:
        """Return whether the equation holds, if all of its indices are numbers; else None."""
        if not isinstance(self.left, str) or not all(index.isdigit() for index in self.names):
            return None
        return int(self.left) == sum(factor * int(index) for index, factor in self.terms) + self.offset

    def at(self, index: str, value: int) -> Equation:
        """Return the equation for one value of an index, without this index on its right side."""
        offset = self.offset + value * sum(factor for name, factor in self.terms if name == index)
        terms = tuple(term for term in self.terms if term[0] != index)
        left = str(value) if self.left == index else self.left
        if left != self.left and len(terms) == 1 and terms[0][1] == 1:  # 3 = j + 1 is written j = 2
            return Equation(terms[0][0], (), value - offset)
        return Equation(left, terms, offset)

    @property
    def right(self) -> str:
        """Return the right side as text."""
        return affine(self.terms, self.offset)

    def xreplace(self, known: Mapping[Any, Any]) -> Equation:
        """Return the equation with a replaced element on the left side."""
        return self if isinstance(self.left, str) else replace(self, left=known.get(self.left, self.left))

    def renamed(self, names: Mapping[str, str]) -> Equation:
        """Return the equation with other names of indices, also those of its element."""
        if isinstance(self.left, str):
            left: str | Element = names.get(self.left, self.left)
        else:
            left = self.left.renamed(names)
        return Equation(left, tuple((names.get(index, index), factor) for index, factor in self.terms), self.offset)

    def solved(self, index: str) -> Solution:
        """Return the equation solved for one of its indices."""
        coefficients: dict[str | Element, int] = {self.left: -1}
        for name, factor in self.terms:
            coefficients[name] = coefficients.get(name, 0) + factor
        coefficient = coefficients.pop(index)
        sign = -1 if coefficient > 0 else 1
        terms = tuple((name, sign * factor) for name, factor in coefficients.items() if factor)
        return Solution(index, terms, sign * self.offset, abs(coefficient))

    def __str__(self) -> str:
        return f"{self.left} = {self.right}"


@dataclass(frozen=True)
class Solution:
    """The value of an index: ``(sum of factor*name + offset)/divisor``, where that is a whole number in its range.

    A name is that of an index, or an element of whole numbers.
    """

    index: str
    terms: tuple[tuple[str | Element, int], ...]
    offset: int
    divisor: int

    @property
    def gathers(self) -> bool:
        """Return whether the value is that of an element."""
        return any(not isinstance(name, str) for name, _ in self.terms)

    @property
    def dividend(self) -> str:
        """Return the dividend as text."""
        return affine(self.terms, self.offset)

    def __str__(self) -> str:
        return self.dividend if self.divisor == 1 else f"({self.dividend})/{self.divisor}"


@dataclass(frozen=True)
class Solved:
    """The equations of a step, divided into ``solutions``, each of which may read earlier ones, and ``conditions``.

    ``free`` are the reduced indices that still have loops.
    """

    solutions: tuple[Solution, ...]
    conditions: tuple[Equation, ...]
    free: tuple[str, ...]


def solve(equations: Iterable[Equation], over: Sequence[str], sizes: Mapping[str, Size]) -> Solved:
    """Solve equations for reduced indices: each for the index with most values, which avoids the longest loop.

    An equation with an element is solved only for an index that is its whole right side, as that of a gathered row.
    """
    solutions: list[Solution] = []
    conditions: list[Equation] = []
    used: set[str] = set()  # indices that solutions read: no later equation may be solved for them
    for equation in sorted(equations, key=lambda equation: equation.data is not None):
        solved = {solution.index for solution in solutions}
        gathers = equation.data is None or [abs(factor) for _, factor in equation.terms] == [1]
        able = [i for i in equation.names if i in over and i not in solved and i not in used and sizes[i] and gathers]
        able = [i for i in able if equation.data is None or i not in equation.data.indices]
        if not able or len({*equation.names}) < len(equation.names):
            conditions.append(equation)
            continue
        chosen = max(able, key=lambda index: sizes[index] or 0)
        used.update(index for index in equation.indices if index != chosen)
        solutions.append(equation.solved(chosen))
    solved = {solution.index for solution in solutions}
    return Solved(tuple(solutions), tuple(conditions), tuple(index for index in over if index not in solved))


def affine(terms: Iterable[tuple[object, int]], offset: int) -> str:
    """Return a sum of multiples and a number as text, such as ``2*i + r - 1``."""
    parts = [(factor < 0, f"{name}" if abs(factor) == 1 else f"{abs(factor)}*{name}") for name, factor in terms]
    parts += [(offset < 0, str(abs(offset)))] if offset or not parts else []
    parts.sort(key=lambda part: part[0])  # positive parts come first
    text = "".join(f" {'-' if negative else '+'} {part}" for negative, part in parts)
    return text.removeprefix(" + ").replace(" - ", "-", 1) if text.startswith(" - ") else text.removeprefix(" + ")

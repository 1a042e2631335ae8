"""The values of indices when loops are evaluated as arrays: along an axis, a constant, or a function of others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Element, Equation, Solved
from nncodegen.compiler.schedule.extents import BEGIN, END, index_of_neighbour

Array = NDArray[Any]
Read = Callable[[Element, "Grid"], Array]
"""A function that returns the values of an element in a grid."""


@dataclass(frozen=True)
class Grid:
    """Loops carried out at once.

    axes    the loops, from the outermost to the innermost, and how often each of them runs
    given   the values of other indices: one number, or numbers along the axes
    holds   along the axes, whether the equations between indices hold
    begins  where loops begin that do not begin at 0
    """

    axes: Mapping[str, int]
    given: Mapping[str, Array] = field(default_factory=dict)
    holds: Array = field(default_factory=lambda: np.asarray(True))
    begins: Mapping[str, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return how often each loop runs."""
        return tuple(self.axes.values())

    def axes_beside(self, indices: Collection[str]) -> tuple[int, ...]:
        """Return the places of the axes that have none of these indices: sums run over them."""
        return tuple(k for k, index in enumerate(self.axes) if index not in indices)

    def number(self, index: str) -> Array:
        """Return the values of an index, along the axes."""
        if index.isdigit():
            return np.asarray(int(index))
        if index in self.given:
            return self.given[index]
        if neighbour := index_of_neighbour(index):
            return self.number(neighbour[0]) + neighbour[1]
        begin = self.begins.get(index, 0)
        return _along(begin, begin + self.axes[index], list(self.axes).index(index), len(self.axes))

    def of(self, index: str, value: int) -> Grid:
        """Return the grid for one value of an index."""
        return replace(self, given={**self.given, index: np.asarray(value)})

    def along(self, index: str, begin: int, end: int) -> Grid:
        """Return the grid with another loop, inside of those that it has."""
        index_values = {name: value[..., None] if value.ndim else value for name, value in self.given.items()}
        holds = self.holds[..., None] if self.holds.ndim else self.holds
        return Grid({**self.axes, index: end - begin}, index_values, holds, {**self.begins, index: begin})

    def of_segment(self, time: str) -> Grid:
        """Return the grid of one given segment: its axis of time has the steps of this segment alone."""
        if time not in self.axes or time in self.given:
            return self
        begin, end = int(self.given[BEGIN]), int(self.given[END])
        axes = {index: end - begin if index == time else length for index, length in self.axes.items()}
        steps = np.arange(begin, end).reshape([-1 if index == time else 1 for index in axes])
        return replace(self, axes=axes, given={**self.given, time: steps})

    def right(self, equation: Equation) -> Array:
        """Return the right side of an equation."""
        return np.asarray(
            sum((f * self.number(index) for index, f in equation.terms), start=np.asarray(equation.offset))
        )

    def solved(self, solved: Solved, ends: Mapping[str, int], read: Read, time: str = "") -> Grid:
        """Return the grid with the indices that equations give, below their ``ends``, and with conditions that hold.

        If ``time`` is one of these indices, it is within the given segment.
        """
        grid = self
        for solution in solved.solutions:
            terms = ((read(e, grid) if isinstance(e, Element) else grid.number(e), f) for e, f in solution.terms)
            value = np.asarray(sum((factor * each for each, factor in terms), start=np.asarray(solution.offset)))
            whole = np.where(np.isfinite(value) & (value == np.floor(value)), value, -1)
            inside = (whole >= 0) & (whole < solution.divisor * ends[solution.index]) & (whole % solution.divisor == 0)
            if solution.index == time:
                inside = inside & (self.given[BEGIN] <= whole) & (whole < self.given[END])
            number = np.where(inside, whole, 0).astype(np.int64) // solution.divisor
            grid = replace(grid, given={**grid.given, solution.index: number}, holds=grid.holds & inside)
        return grid.where(solved.conditions, read)

    def where(self, equations: Iterable[Equation], read: Read) -> Grid:
        """Return the grid in which these equations hold as well."""
        equations = tuple(equations)
        if not equations:
            return self
        holds = self.holds
        for equation in equations:
            left = read(equation.left, self) if isinstance(equation.left, Element) else self.number(equation.left)
            holds = holds & (left == self.right(equation))
        return replace(self, holds=np.asarray(holds))

    @property
    def everywhere(self) -> Grid:
        """Return the grid with all values of its indices, whether equations hold or not."""
        return self if self.holds.ndim == 0 and self.holds else replace(self, holds=np.asarray(True))

    def kept(self, value: Array, otherwise: float) -> Array:
        """Return values where equations hold, and another value where they do not."""
        return value if self.holds.ndim == 0 and self.holds else np.where(self.holds, value, otherwise)


@lru_cache(maxsize=1000)
def _along(begin: int, end: int, axis: int, axes: int) -> Array:
    """Return the values of an index along its axis, out of a number of axes."""
    return np.arange(begin, end).reshape([-1 if k == axis else 1 for k in range(axes)])

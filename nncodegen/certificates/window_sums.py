"""Sums of products by lists of places, carried out: the windows of a schedule, one position after the other.

The entries of the lists give the places of values, as ``emit`` prints them. Values that follow in memory (``along``)
are read in place, independently of the program: so each value that is read is compared with the intended one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np

from nncodegen.certificates.index_values import Array, Grid
from nncodegen.certificates.memory import Memory, norm_of
from nncodegen.compiler.ir import SAMPLE, Element, Program
from nncodegen.compiler.schedule import Place
from nncodegen.compiler.schedule.extents import BEGIN, END
from nncodegen.compiler.schedule.windows import Window

LISTS = ("rows", "terms", "columns")
"""The axes of a grid that correspond to the lists."""

ALONG = "along"
"""The axis of values that follow in memory: the rows of a tile, and the positions next to them."""

MOST = 2**22
"""Most values of a factor that are read at once."""


@dataclass(frozen=True)
class Listed:
    """The execution of a window; ``given`` is the time of a loop around it."""

    window: Window
    target: Element
    memory: Memory
    program: Program
    given: Mapping[str, Array]

    def carry_out(self) -> None:
        """Compute all positions, and then check their results. Raises OtherValueError."""
        memory, window, target = self.memory, self.window, self.target
        place = memory.kernel.place(target)
        whole = Grid({index: self._size(index) for index in target.indices if index not in self.given}, self.given)
        whole = whole.of_segment(window.time)
        positions = memory.position(target, whole)
        memory.forget(target, whole)
        if window.scatters:  # the whole array is 0 at first; its begin does not depend on padding
            begin = int(np.min(positions))
            sizes = [self._size(index) for index in target.indices[1:] if index not in window.given]
            memory.flat[place][begin : begin + prod(sizes) * memory.rows] = 0
        scale = 0.0
        for values in product(*(range(self._begin(i), self._begin(i) + self._size(i)) for i in window.positions)):
            at = {**self.given, **dict(zip(window.positions, map(np.asarray, values), strict=True))}
            scale += sum(self._position(grid, place) for grid in self._grids(at))
        what = "sums up to" if self._sums else "gives"
        sums = memory.at(place, positions)
        memory.flat[place][positions] = memory.check(
            target, sums, whole, f"{what} another value", target, memory.grown(target, scale, not self._sums)
        )

    def _position(self, grid: Grid, place: Place) -> float:
        """Add the sums of one position; return a bound for the norm of their terms."""
        window, (rows, terms, columns, along) = self.window, grid.shape
        first = self._read(window.first, grid, self._sums)
        out = self._places(self.target, grid, not self._sums)
        if window.second == window.first:
            a, b = np.broadcast_to(first, grid.shape), np.ones(terms * along)
            sums = a.sum(axis=(1, 3), keepdims=True)
        elif self._sums:
            a = np.broadcast_to(first[:, :, 0], (rows, terms, along)).reshape(rows, -1)
            b = np.broadcast_to(self._read(window.second, grid, True)[0], (terms, columns, along))
            sums = (a @ b.transpose(0, 2, 1).reshape(-1, columns)).reshape(rows, 1, columns, 1)
        else:
            a = np.broadcast_to(first[:, :, 0, 0], (rows, terms))
            b = np.broadcast_to(self._read(window.second, grid, True)[0, :, 0], (terms, along))
            sums = (a @ b).reshape(rows, 1, 1, along)
        flat, out = self.memory.flat[place], np.broadcast_to(out, sums.shape)
        if np.min(out, initial=0) < 0 or np.max(out, initial=0) >= len(flat):
            raise IndexError(f"a window ends at {np.max(out)} of {len(flat)} in {place.value}")
        if window.scatters or self._sums:
            np.add.at(flat, out, sums)
        else:
            flat[out] = sums
        return norm_of(a) * norm_of(b)

    def _read(self, element: Element, grid: Grid, along: bool) -> Array:
        """Return the values of a factor, along the axes of a grid."""
        places = self._places(element, grid, along)
        values = self.memory.at(self.memory.kernel.place(element), places)
        values = self.memory.check(element, values, grid, f"reads {element}, where another value lies", self.target)
        return values.reshape((1,) * (len(grid.shape) - values.ndim) + values.shape)

    def _places(self, element: Element, grid: Grid, along: bool) -> Array:
        """Return the places of an element, by the indices of loops and lists, and by the values that follow it."""
        storage = self.memory.storage(element)
        shifted = replace(storage, offset=storage.offset + storage.shift)
        counts, rest = self.window.place(element, shifted)
        places = np.asarray(rest)
        for index, count in counts.items():
            if index not in self.window.along:
                places = places + count * grid.number(index)
        return places + grid.number(ALONG) if along else places

    # Lists.

    @property
    def _sums(self) -> bool:
        """Return whether the step sums over the samples."""
        return SAMPLE not in self.target.indices

    def _begin(self, index: str) -> int:
        """Return the first value of an index: that of a segment, if it goes over the steps of one."""
        return int(self.given[BEGIN]) if index == self.window.time != "" else 0

    def _size(self, index: str) -> int:
        rows = self.memory.padded if self._sums else self.memory.rows  # products are computed for all rows of a tile
        size = self.program.sizes[index] or rows
        return int(self.given[END]) - self._begin(index) if index == self.window.time != "" else size

    def _grids(self, at: Mapping[str, Array]) -> Iterator[Grid]:
        """Yield the lists of a position as axes, in parts that limit the number of values read at once."""
        lists = [self._list(number, at) for number in range(len(LISTS))]
        lengths = [len(next(iter(each.values()))) if each else 1 for each in lists]
        width = prod(self._size(index) for index in (*self.window.along, SAMPLE))
        many, axis = (lengths[2], LISTS[2]) if self._sums else (width, ALONG)
        step = max(1, MOST * many // max(1, lengths[1] * lengths[2] * width))
        for begin in range(0, many if lengths[0] else 0, step):
            part = np.arange(begin, min(begin + step, many))
            axes = {**dict(zip(LISTS, lengths, strict=True)), ALONG: width, axis: len(part)}
            rest = part if axis == ALONG else np.arange(width)
            index_values = dict(at)
            for number, numbers in enumerate(lists):
                shape = [-1 if k == number else 1 for k in range(len(axes))]
                for index, array in numbers.items():
                    index_values[index] = (array[part] if LISTS[number] == axis else array).reshape(shape)
            index_values |= {ALONG: rest}
            for index in (SAMPLE, *self.window.along):  # the first of these lies innermost
                rest, index_values[index] = np.divmod(rest, self._size(index))
            grid = Grid(axes, index_values)
            rights = {str(equation.left): grid.right(equation) for equation in self.window.equations}
            yield replace(grid, given={**index_values, **rights})

    def _list(self, number: int, at: Mapping[str, Array]) -> dict[str, Array]:
        """Return the indices of the entries of a list, without entries outside of an array."""
        indices = self.window.listed[number] if number < len(self.window.listed) else ()
        sizes = [self._size(index) for index in indices]
        parts = np.indices(sizes).reshape(len(sizes), prod(sizes))
        numbers: dict[str, Array] = {i: part + self._begin(i) for i, part in zip(indices, parts, strict=True)}
        grid = Grid({LISTS[number]: prod(sizes)}, {**at, **numbers})
        inside = np.ones(prod(sizes), bool)
        for of, equation in self.window.tests:
            if of == number:
                value = grid.right(equation)
                inside = inside & (value >= 0) & (value < self._size(str(equation.left)))
        if not indices and not inside.all():
            return {"none": np.arange(0)}
        return {index: array[inside] for index, array in numbers.items()}

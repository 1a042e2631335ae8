"""The axes of tensors as indices of the index notation.

An axis consists of *sections* which follow each other, as those of a Concat. The values of a section are numbered by
some indices in row-major order, as for an axis that a Reshape merged from several. At first, every axis of an input or
of a weight is one index. If this is not enough for a Slice, a Concat or a Reshape, its *cuts* say how the index is cut
into sections, or split into several indices, and the graph is read again with them: every axis that meets this one
is cut in the same way.

A tensor is read under the indices that it is defined with. So indices of different tensors that meet become one index
of the whole program, unless two indices of one tensor would become one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NoReturn

from nncodegen.compiler.ir import SAMPLE
from nncodegen.errors import ModelError

Section = tuple[str, ...]
Sections = tuple[Section, ...]

UNIT: Sections = ((),)
"""An axis of size one, which has no index."""

SAMPLES: Sections = ((SAMPLE,),)
"""The axis of the samples."""

MOST_COLUMNS = 256
"""The size up to which an axis is cut into single columns."""

MOST_REFINEMENTS = 200
"""The largest number of refinements of indices."""

TOO_FINE = f"the graph takes an axis apart, or puts one together, in more than {MOST_COLUMNS} parts"

Cuts = dict[str, tuple[bool, tuple[int, ...]]]
"""By the name of an index: whether it is cut into sections (else split into several indices), and their sizes."""


class RefinedError(Exception):
    """The cuts have changed: the graph must be read again."""


class Axes:
    """The indices of a graph while it is read."""

    def __init__(self, cuts: Cuts) -> None:
        self.cuts = cuts
        self.sizes: dict[str, int] = {}
        self._parents: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._groups: dict[str, set[int]] = {}
        self._count = 0

    # --- sections ------------------------------------------------------------------------------------------------

    def sections(self, key: str, size: int) -> Sections:
        """Return the sections of a new axis, by its name and size."""
        if size == 1:
            return UNIT
        if key not in self.cuts:
            self.sizes[key] = size
            return ((key,),)
        cut, sizes = self.cuts[key]
        parts = [self.sections(f"{key}.{k}", part) for k, part in enumerate(sizes)]
        return tuple(section for part in parts for section in part) if cut else self.merged(parts)

    def copy_of(self, index: str) -> str:
        """Return a new index of the same size. If the copy has to be refined, the original is."""
        self._count += 1
        copy = f"{index}'{self._count}"
        self.sizes[copy] = self.sizes[index]
        self._origins[copy] = self._origins.get(index, index)
        return copy

    def size(self, section: Section) -> int:
        """Return the number of values in a section; the index of the samples counts as 1."""
        return math.prod(self.sizes.get(index, 1) for index in section)

    def length(self, sections: Sections) -> int | None:
        """Return the size of an axis; None for that of the samples, also where other axes are merged with it."""
        return None if SAMPLE in sections[0] else sum(map(self.size, sections))

    def around_samples(self, sections: Sections) -> tuple[int, int]:
        """Return how many values of an axis, with which the samples are merged, are before and after them."""
        (section,) = sections
        at = section.index(SAMPLE)
        return self.size(section[:at]), self.size(section[at + 1 :])

    def merged(self, axes: Sequence[Sections]) -> Sections:
        """Return one axis in place of several that follow each other."""
        result = axes[0]
        for sections in axes[1:]:
            if len(sections) > 1:
                for section in result:
                    if section:
                        self.into_columns(section)
            result = tuple(first + second for first in result for second in sections)
        return result

    # --- refinements ---------------------------------------------------------------------------------------------

    def cut(self, section: Section, positions: Sequence[int]) -> NoReturn:
        """Cut a section at several positions, which are numbers of values."""
        inner = self.size(section[1:])
        if any(position % inner for position in positions):
            self.into_columns(section)
        if len(positions) >= MOST_COLUMNS:
            raise ModelError(TOO_FINE)
        ends = [*(position // inner for position in positions), self.sizes[section[0]]]
        self._refine(section[0], True, tuple(end - start for start, end in zip((0, *ends), ends, strict=False)))

    def split(self, index: str, outer: int) -> NoReturn:
        """Split an index into two, the first of a given size."""
        self._refine(index, False, (outer, self.sizes[index] // outer))

    def into_columns(self, section: Section) -> NoReturn:
        """Cut the first index of a section into single values."""
        if section[0] == SAMPLE:
            raise ModelError("rows of a batch meet rows that other axes are folded into")
        size = self.sizes[section[0]]
        if size > MOST_COLUMNS:
            raise ModelError(TOO_FINE)
        self._refine(section[0], True, (1,) * size)

    def _refine(self, index: str, cut: bool, sizes: tuple[int, ...]) -> NoReturn:
        if len(self.cuts) >= MOST_REFINEMENTS:
            raise ModelError("the graph cuts and merges axes in too many ways to be written in index notation")
        self.cuts[self._origins.get(index, index)] = cut, sizes
        raise RefinedError

    def same_sections(self, axes: Sequence[Sections]) -> None:
        """Refine axes of one size until all have sections of the same sizes, made of indices of the same sizes."""
        ends = sorted({end for sections in axes for end in self._ends(sections)})
        for sections in axes:
            start = 0
            for section, end in zip(sections, self._ends(sections), strict=True):
                inside = [position for position in ends if start < position < end]
                if inside:
                    self.cut(section, [position - start for position in inside])
                start = end
        for together in zip(*axes, strict=True):
            self._same_indices(together)

    def _ends(self, sections: Sections) -> list[int]:
        ends, end = [], 0
        for section in sections:
            end += self.size(section)
            ends.append(end)
        return ends

    def _same_indices(self, sections: Sequence[Section]) -> None:
        """Refine sections of one size until all are made of indices of the same sizes."""
        strides = {self.size(s[k:]) for s in sections for k in range(len(s) + 1)}
        for section in sections:
            self._with_strides(section, strides)

    def into_indices(self, section: Section, sizes: Sequence[int]) -> None:
        """Split the indices of a section until it can be divided among several axes of these sizes."""
        self._with_strides(section, {math.prod(sizes[k:]) for k in range(len(sizes) + 1)})

    def _with_strides(self, section: Section, strides: set[int]) -> None:
        """Split the indices of a section until each stride is that of an index."""
        present = {self.size(section[k:]) for k in range(len(section) + 1)}
        chain = sorted(present | strides)
        if any(large % small for small, large in pairwise(chain)):
            self.into_columns(section)
        for k, index in enumerate(section):
            inner = self.size(section[k + 1 :])
            between = [stride for stride in chain if inner < stride < inner * self.sizes.get(index, 1)]
            if between:
                self.split(index, self.sizes[index] * inner // between[-1])

    # --- one index for several -----------------------------------------------------------------------------------

    def find(self, index: str) -> str:
        """Return the index that represents all indices united with this one."""
        while index in self._parents:
            index = self._parents[index]
        return index

    def together(self, indices: Iterable[str]) -> None:
        """Note that these are indices of one tensor, or of one step: they stay different."""
        self._count += 1
        for index in indices:
            self._groups.setdefault(self.find(index), set()).add(self._count)

    def unite(self, index: str, other: str) -> bool:
        """Make two indices one, unless a tensor has both. Return whether they are one."""
        index, other = self.find(index), self.find(other)
        if index == other:
            return True
        mine, theirs = self._groups.get(index, set()), self._groups.get(other, set())
        if mine & theirs:
            return False
        self._parents[other] = index
        self._groups[index] = mine | theirs
        return True

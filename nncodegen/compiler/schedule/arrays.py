"""Arrays of a tile share memory: the less a tile needs, the more of it stays in the first-level cache.

The memory of an array is free after the array has been read for the last time, and the next array takes it. Plain loops
may even overwrite an array in the loop that reads it last, if each value has been read before the new one takes its
place.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import groupby

from nncodegen.compiler.ir import Step
from nncodegen.compiler.schedule.tree import Compute, Loop
from nncodegen.compiler.schedule.tree_walks import Site


@dataclass
class _Slot:
    """A part of work memory, the array that currently lies in it, and the number of the last place that reads it."""

    offset: int
    size: int
    tensor: str
    strides: tuple[int, ...]
    last: float


class Arrays:
    """The parts of work memory, given to arrays in the order in which they are computed.

    The places where steps are computed are numbered; those in ``tile`` run once for each tile. Arrays that are computed
    at other places, and arrays in ``kept``, last until everything is done. In a loop over time, an array in ``single``
    has one row for all times; its memory is free for other arrays in ``single`` once it has been read. All other arrays
    of such a loop last from its begin to its end. In a loop over segments, so do the arrays that are not ``local``;
    those in ``local`` have the values of one segment. ``parts`` maps a tensor without a separate array to the tensor in
    whose array it lies.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        tile: range,
        kept: Container[str],
        aligned: int,
        single: Container[str] = (),
        parts: Mapping[str, str] | None = None,
        local: Iterable[str] = (),
    ) -> None:
        self.size = 0
        self._busy: list[tuple[float, int, _Slot]] = []  # a heap, by the last place that reads each
        self._free: dict[int, list[_Slot]] = {}  # by size, in the order in which they are taken
        self._reads: _Reads | None = None
        self._aligned, self._tile, self._single = aligned, tile, single
        self._last: dict[str, float] = {}
        self._loops = [loop for loop in _loops(sites, lambda site: site.time) for _ in loop]
        self._around = [loop for loop in _loops(sites, lambda site: site.around) for _ in loop]
        self._parts = parts or {}
        self._local = frozenset(local).difference((parts or {}).values())
        for number, site in enumerate(sites):
            for read in (operand.tensor for step in site.compute.steps for operand in step.operands):
                name = (parts or {}).get(read, read)
                end = number if name in single else self._span(name, number)[-1]
                self._last[name] = math.inf if name in kept else end

    def _span(self, name: str, number: int) -> range:
        """Return the places between which an array must not change, if the place ``number`` reads or writes it.

        These are the places of the loop over time around it, and also those of the loop over segments, unless the array
        has the values of one segment alone.
        """
        return self._loops[number] if name in self._local else self._around[number]

    def of_rows(self, name: str, size: int, last: int) -> int:
        """Return the offset of rows that exist from the begin until the loop around place ``last`` is done."""
        return self._new(name, (), size, self._around[last][-1]).offset

    def place(self, step: Step, site: Site, number: int, strides: tuple[int, ...], size: int) -> int:
        """Return the offset of the array that a step computes at the place ``number``."""
        name = step.target.tensor
        last = self._last.get(name, math.inf) if number in self._tile else math.inf
        wide = site.segments is not None and name not in self._local
        alone = not wide and (site.time is None or name in self._single)
        first = number if alone else self._span(name, number)[0]
        while self._busy and self._busy[0][0] <= number:
            self._release(heappop(self._busy)[-1])

        def fits(slot: _Slot) -> bool:
            """Return whether an array is free, or is read for the last time at this place and may be overwritten.

            The last place of a loop over time does not free arrays that last to its end: the next time reads them.
            """
            return slot.last < first or (
                alone
                and slot.strides == strides
                and slot.last == number
                and (site.time is None or slot.tensor in self._single)
                and (not site.segments or slot.tensor in self._local)
                and self._reads_of(site.compute, number).may_write_over(slot.tensor, step)
                and not (self._parts and any(self._parts.get(e.tensor) == slot.tensor for e in site.compute.read))
            )

        sizes = (offset for offset in sorted(self._free) if offset >= size)  # the least memory first
        slot = next((slot for offset in sizes for slot in self._free[offset] if fits(slot)), None)
        if slot is None:
            return self._new(name, strides, size, last).offset
        self._free[slot.size].remove(slot)
        slot.tensor, slot.strides, slot.last = name, strides, last
        self._occupy(slot)
        return slot.offset

    def _new(self, name: str, strides: tuple[int, ...], size: int, last: float) -> _Slot:
        """Return a new slot at the end of work memory."""
        slot = _Slot(self.size, size, name, strides, last)
        self.size += -(-size // self._aligned) * self._aligned
        self._occupy(slot)
        return slot

    def _occupy(self, slot: _Slot) -> None:
        heappush(self._busy, (slot.last, slot.offset, slot))

    def _release(self, slot: _Slot) -> None:
        """Free the memory of an array.

        Among free slots of one size, the one read last comes first: it is still in the cache.
        """
        insort(self._free.setdefault(slot.size, []), slot, key=lambda other: (-other.last, other.offset))

    def _reads_of(self, compute: Compute, number: int) -> _Reads:
        """Return the reads of steps computed together; those of the last place are cached."""
        if self._reads is None or self._reads.number != number:
            self._reads = _Reads(compute, number)
        return self._reads


class _Reads:
    """The indices with which steps that are computed together read each tensor, and the last step that reads it."""

    def __init__(self, compute: Compute, number: int) -> None:
        self.number = number
        self._again = bool(compute.reduced)  # it repeats its reads for the next term
        self._places = {step.target: place for place, step in enumerate(compute.steps)}
        self._indices: dict[str, set[tuple[str, ...]]] = {}
        self._last: dict[str, int] = {}
        for place, step in enumerate(compute.steps):
            for element in step.operands:
                self._indices.setdefault(element.tensor, set()).add(element.indices)
                self._last[element.tensor] = place

    def may_write_over(self, tensor: str, step: Step) -> bool:
        """Return whether a step may overwrite an array that is read for the last time where the step is computed.

        Then each value is read in the same loop iteration that overwrites it, by this step or an earlier one.
        """
        if self._again:
            return False
        alike = self._indices.get(tensor, set()) <= {step.target.indices}
        return alike and self._last.get(tensor, 0) <= self._places[step.target]


def _loops(sites: Sequence[Site], around: Callable[[Site], Loop | None]) -> Iterator[range]:
    """Yield the numbers of the places in each loop; a place without a loop yields a range with its number alone."""
    begin = 0
    for _, members in groupby(map(around, sites), key=id):
        loop = list(members)
        end = begin + len(loop)
        yield from [range(begin, end)] if loop[0] else (range(number, number + 1) for number in range(begin, end))
        begin = end

"""Which arrays of a tile share memory: the less a tile needs, the more of it stays in the first-level cache.

The memory of an array is free when the last nest that reads it is done, and the next array takes it. A nest of plain
loops may even write where it reads for the last time, if it has read each value when the new one takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from nncodegen.ir import Element, Step
from nncodegen.schedule.nest import Nest


@dataclass
class _Slot:
    """A part of work memory, the array that lies there now, and the number of the last nest that reads it."""

    offset: int
    size: int
    tensor: str
    strides: tuple[int, ...]
    last: float


class Arrays:
    """The parts of work memory, given to arrays in the order in which nests compute them.

    Nests are numbered; those of ``tile`` run once for each tile. What others compute, and what is ``kept``, lasts until
    all are done. In a loop over time, what is ``single`` has one row for all times, which is free for others of that
    kind when it has been read; all others are there from the begin of the loop to its end. So are, in a loop over
    segments, those that are not ``local``, which have the values of one segment. ``parts`` maps what has no
    array of its own to the tensor in whose array it lies.
    """

    def __init__(
        self,
        nests: Sequence[Nest],
        tile: range,
        kept: Container[str],
        aligned: int,
        single: Container[str] = (),
        parts: Mapping[str, str] | None = None,
        local: Iterable[str] = (),
    ) -> None:
        self.size = 0
        self._slots: list[_Slot] = []
        self._aligned, self._tile, self._single = aligned, tile, single
        self._last: dict[str, float] = {}
        self._loops = [loop for loop in _loops(nests, lambda nest: nest.repeat) for _ in loop]
        self._around = [loop for loop in _loops(nests, lambda nest: nest.segments or nest.repeat) for _ in loop]
        self._parts = parts or {}
        self._local = frozenset(local).difference((parts or {}).values())
        for number, nest in enumerate(nests):
            for read in (operand.tensor for step in nest.steps for operand in step.operands):
                name = (parts or {}).get(read, read)
                end = number if name in single else self._span(name, number)[-1]
                self._last[name] = math.inf if name in kept else end

    def _span(self, name: str, number: int) -> range:
        """The nests between which an array must not change, if this one reads or writes it.

        Those are of the loop over time around it, and of that over segments, if its values are not those of one alone.
        """
        return self._loops[number] if name in self._local else self._around[number]

    def of_rows(self, name: str, size: int, last: int) -> int:
        """The offset for rows that are there from the begin, and are read until the loop around this nest is done."""
        self._slots.append(_Slot(self.size, size, name, (), self._around[last][-1]))
        self.size += -(-size // self._aligned) * self._aligned
        return self._slots[-1].offset

    def place(self, step: Step, nest: Nest, number: int, strides: tuple[int, ...], size: int) -> int:
        """The offset for the array that a step of the nest of this number computes."""
        name = step.target.tensor
        last = self._last.get(name, math.inf) if number in self._tile else math.inf
        wide = nest.segments is not None and name not in self._local
        alone = not wide and (nest.repeat is None or name in self._single)
        first = number if alone else self._span(name, number)[0]
        free = [
            slot
            for slot in self._slots
            if slot.size >= size
            and (
                slot.last < first
                or (
                    alone
                    and slot.strides == strides
                    and slot.last == number
                    and (not nest.segments or slot.tensor in self._local)
                    and _over(slot, step, nest)
                    and not any(self._parts.get(e.tensor) == slot.tensor for s in nest.steps for e in s.operands)
                )
            )
        ]
        if not free:
            self._slots.append(_Slot(self.size, size, name, strides, last))
            self.size += -(-size // self._aligned) * self._aligned
            return self._slots[-1].offset
        slot = min(free, key=lambda slot: (slot.size, -slot.last))  # of those alike, what was read last is still near
        slot.tensor, slot.strides, slot.last = name, strides, last
        return slot.offset


def _loops(nests: Sequence[Nest], around: Callable[[Nest], object]) -> Iterator[range]:
    """The numbers of the nests in each loop around some, and those of the others, each for itself."""
    begin = 0
    for loop, members in groupby(nests, key=around):
        end = begin + sum(1 for _ in members)
        yield from [range(begin, end)] if loop else (range(number, number + 1) for number in range(begin, end))
        begin = end


def _over(slot: _Slot, step: Step, nest: Nest) -> bool:
    """Whether a step may write over the array that its nest reads for the last time.

    Each value is then read in the same iteration of the loops that writes over it, by this step or one before it.
    """
    if nest.reduced:  # what it reads, it reads again for the next term
        return False
    done = nest.steps.index(step)
    return all(
        _reads(other, slot.tensor) <= {step.target.indices} and (number <= done or not _reads(other, slot.tensor))
        for number, other in enumerate(nest.steps)
    )


def _reads(step: Step, tensor: str) -> set[tuple[str, ...]]:
    """The indices with which a step reads a tensor."""
    found: set[Element] = set(step.operands)
    return {element.indices for element in found if element.tensor == tensor}

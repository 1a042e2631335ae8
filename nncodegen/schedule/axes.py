"""Where each loop of a nest ends, and what pads the arrays that it leaves.

All of that follows from the places of the tensors, so that it is decided last. A loop along the vectors runs to the end
of the last vector, also over what pads a row or a tile, unless it reads inputs or targets or writes outputs, whose
arrays have no padding. A tile is padded with values of its last sample; but what has the weight of a sample as a factor
is padded with 0, which is the weight of the samples that pad.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from nncodegen.ir import SAMPLE, Element, Program
from nncodegen.schedule.kernel import SINGLE_SAMPLE, TILE, Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.nest import Filling, Nest, Place, Shape
from nncodegen.schedule.statements import written_out
from nncodegen.schedule.tree import Extent
from nncodegen.schedule.windows import Window, along, window_of

OUTSIDE = (Place.INPUT, Place.TARGET, Place.OUTPUT, Place.NOISE, Place.GRADIENT)
"""Places of the caller, without padding: nothing may be read or written behind their last value."""

GIVEN, PADDED, SEGMENT = "count", "padded", "end"
"""Ends of loops over the samples of a tile, and those that pad it, and over the steps of a segment."""


def transposes(nest: Nest, kernel: Kernel) -> bool:
    """Whether a nest with the samples along its vectors reads their rows and transposes them: a copy or a product."""
    if nest.shape is not Shape.CONTRACT:
        return nest.shape is Shape.PACK
    (read,) = (operand for operand in nest.steps[0].operands if SAMPLE in operand.indices)
    return kernel.stride(read, SAMPLE) != 1


def read_along(nest: Nest, kernel: Kernel) -> Iterator[Element]:
    """What a nest reads in vectors along the samples."""
    if nest.innermost == SAMPLE:
        steps = nest.steps[1:] if transposes(nest, kernel) else nest.steps
        yield from (operand for step in steps for operand in step.operands)


def _weighted(kernel: Kernel) -> frozenset[str]:
    """The tensors that are 0 where there is no sample: multiples of its weight, as derivatives of the loss are."""
    outside = (Place.WEIGHT, Place.PRESENT)
    weighted = {name for name, storage in kernel.storage.items() if storage.place in outside}
    for nest in kernel.nests:
        for step in nest.steps:
            if SAMPLE in step.target.indices and weighted & {element.tensor for element in step.operands}:
                weighted.add(step.target.tensor)
    return frozenset(weighted)


@dataclass(frozen=True)
class Padding:
    """What some arrays have behind their values when a nest is done."""

    filling: Filling
    arrays: tuple[Element, ...]


@dataclass(frozen=True)
class Ends:
    """Where the loops of a kernel end, and what lies behind."""

    kernel: Kernel
    program: Program
    layout: Layout

    @cached_property
    def weighted(self) -> frozenset[str]:
        """The tensors that are 0 where there is no sample."""
        return _weighted(self.kernel)

    @cached_property
    def along(self) -> frozenset[str]:
        """The tensors that nests read in vectors along the samples."""
        return frozenset(e.tensor for nest in self.kernel.nests_with_metrics for e in read_along(nest, self.kernel))

    def of(self, nest: Nest) -> dict[str, Extent]:
        """Return where the loop of a nest over each index ends."""
        return {index: self.end(index, nest) for index in (*nest.loops, *nest.unrolled)}

    def end(self, index: str, nest: Nest) -> Extent:
        """Return where the loop of a nest over an index ends."""
        kernel, size = self.kernel, self.program.sizes[index]
        if nest.segments and nest.segments.index == index:
            return SEGMENT
        if kernel.plan is not TILE and (kernel.plan is not SINGLE_SAMPLE or kernel.name == "predict"):
            return GIVEN if size is None else size
        if size is None:
            return PADDED if self._covers_padding(nest) else GIVEN
        elements = [e for step in nest.steps for e in (step.target, *step.operands) if index in e.indices]
        outside = any(kernel.place(element) in OUTSIDE for element in elements)
        loops = nest.shape is Shape.LOOPS and index == nest.innermost
        return self.layout.padded(size) if loops and not outside else size

    def _covers_padding(self, nest: Nest) -> bool:
        """Whether a loop over the samples runs over those that pad a tile."""
        if nest.innermost != SAMPLE:
            return False
        if nest.shape is not Shape.LOOPS:
            return not transposes(nest, self.kernel)
        writes = any(self.kernel.place(step.target) is Place.OUTPUT for step in nest.steps)
        return self.kernel.padded and not writes and not self._copies_rows(nest)

    def _copies_rows(self, nest: Nest) -> bool:
        """Whether a nest copies inputs for others that run over whole vectors."""
        read = (self.kernel.place(operand) for step in nest.steps for operand in step.operands)
        return self.kernel.in_vectors and any(place is Place.INPUT for place in read)

    def ragged(self, nest: Nest) -> bool:
        """Return whether a nest writes sums in place, in rows without padding that are no whole vectors."""
        size = self.program.sizes[nest.innermost]
        in_place = nest.steps[-1].target.tensor in self.kernel.in_place
        return nest.shape is not Shape.LOOPS and in_place and size is not None and size != self.layout.padded(size)

    def window(self, nest: Nest) -> Window | None:
        """Return how a nest runs by lists of places; within a loop around it, for one value of its index."""
        found = window_of(nest.steps[0], self.program, self.layout.lengths) if nest.shape is Shape.PLACES else None
        if not found:
            return None
        found = found.at(nest.repeat.index) if nest.repeat else found
        found = replace(found, time=nest.segments.index) if nest.segments else found
        if nest.segments and not nest.repeat:  # no step is sure to have a neighbour in its segment
            return found
        return along(found, nest.steps[0].target, self.kernel.storage, self.program, self.layout.tile)

    def padding(self, nest: Nest) -> Iterator[Padding]:
        """Yield what lies behind the values that a nest of a tile computes."""
        arrays = [step.target for step in nest.steps if self.kernel.place(step.target) is Place.ARRAY]
        if nest.shape is Shape.LOOPS and not nest.sums and not nest.reduced:
            if nest.innermost == SAMPLE and self._copies_rows(nest):
                yield Padding(Filling.LAST_SAMPLE, tuple(self._written_out(nest)))
            elif nest.innermost != SAMPLE and arrays and self._ends_early(nest):
                yield Padding(Filling.ZERO_ENDS, tuple(arrays))
        if (nest.shape is Shape.LOOPS and nest.innermost == SAMPLE) or (
            nest.innermost == SAMPLE and not transposes(nest, self.kernel)
        ):
            return
        along = [e for e in arrays if SAMPLE in e.indices and e.tensor in self.along]
        for element in along:
            if element.tensor in self.weighted:
                yield Padding(Filling.ZERO_SAMPLES, (element,))
            elif nest.innermost != SAMPLE:
                yield Padding(Filling.LAST_SAMPLE, (element,))

    def _ends_early(self, nest: Nest) -> bool:
        """Whether the innermost loop of a nest ends before the last vector does."""
        return self.end(nest.innermost, nest) != self.layout.padded(self.program.sizes[nest.innermost] or 1)

    def _written_out(self, nest: Nest) -> Iterator[Element]:
        for step in nest.steps:
            yield from (each.target for each in written_out(step, nest.unrolled, self.program))

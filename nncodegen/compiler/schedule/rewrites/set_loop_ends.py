"""Ends of loops, which follow from the places of the tensors.

A loop along the vectors runs to the end of the last vector, and so over the padding of a row or a tile, unless it reads
inputs or targets or writes outputs, whose arrays have no padding, or reads an array across its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from nncodegen.compiler.ir import SAMPLE, Element, Program
from nncodegen.compiler.schedule.axes import copies_rows, read_along, transposes
from nncodegen.compiler.schedule.extents import COUNT, END, PADDED, Extent
from nncodegen.compiler.schedule.kernel import Kernel, Role
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Compute, Tree
from nncodegen.compiler.schedule.tree_walks import Site, computed, computes

OUTSIDE = (Place.INPUT, Place.TARGET, Place.OUTPUT, Place.NOISE, Place.GRADIENT)
"""Places of the caller, without padding: nothing may be read or written after their last value."""


def set_loop_ends(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose steps know the ends of their loops, with the tensors that are read along the samples."""
    along = (e for tree in kernel.trees.in_turn for each in computes(tree) for e in read_along(each, kernel))
    rule = _Bound(kernel, program, layout)
    trees = kernel.trees.each(partial(computed, rule=rule))
    return replace(kernel, trees=trees, along=frozenset(element.tensor for element in along))


@dataclass(frozen=True)
class _Bound:
    """Finds the ends of loops."""

    kernel: Kernel
    program: Program
    layout: Layout

    def __call__(self, site: Site) -> Tree:
        indices = (*site.compute.loops, *site.compute.unrolled)
        return (replace(site.compute, ends=tuple((index, self._end(index, site)) for index in indices)),)

    def _end(self, index: str, site: Site) -> Extent:
        """Return the end of the loop over an index."""
        kernel, compute, size = self.kernel, site.compute, self.program.sizes[index]
        if site.limits and site.limits.index == index:
            return END
        if self.layout.one_by_one:
            return COUNT if size is None else size
        if kernel.plan.models is Role.VECTOR or (kernel.plan.units is Role.VECTOR and kernel.name == "predict"):
            return COUNT if size is None else size
        if size is None:
            return PADDED if self._covers_padding(compute) else COUNT
        elements = [e for step in compute.steps for e in (step.target, *step.operands) if index in e.indices]
        outside = any(kernel.place(element) in OUTSIDE or self._is_across(element, index) for element in elements)
        loops = compute.shape is Shape.LOOPS and index == compute.innermost
        return self.layout.padded(size) if loops and not outside else size

    def _is_across(self, element: Element, index: str) -> bool:
        """Return whether an index leads from row to row of an array, of which none follows the last."""
        known = self.kernel.storage[element.tensor]
        strides = dict(zip(element.indices, known.strides, strict=False))
        return known.place is Place.ARRAY and strides.get(index, 1) != 1

    def _covers_padding(self, compute: Compute) -> bool:
        """Return whether a loop over the samples also runs over those that pad a tile."""
        if compute.innermost != SAMPLE:
            return False
        if compute.shape is not Shape.LOOPS:
            return not transposes(compute, self.kernel)
        writes = any(self.kernel.place(step.target) is Place.OUTPUT for step in compute.steps)
        return self.kernel.padded and not writes and not copies_rows(compute, self.kernel)

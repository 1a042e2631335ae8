"""Padding after the values of arrays, up to the end of the last vector.

A tile is padded with values of its last sample; but a tensor that has the weight of a sample as a factor is padded with
0, which is the weight of the padding samples. The rows of a layer are padded with 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

from sympy import S

from nncodegen.compiler.ir import SAMPLE, Element, Program
from nncodegen.compiler.schedule.axes import copies_rows, transposes
from nncodegen.compiler.schedule.extents import COUNT, PADDED
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.nesting import around
from nncodegen.compiler.schedule.shapes import Filling, Shape
from nncodegen.compiler.schedule.statements import written_out
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Compute, Fill, Loop, Store, Tree, Value
from nncodegen.compiler.schedule.tree_walks import Site, computed, steps_in


def pad(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which arrays are padded after they have been computed."""
    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=_Pad(kernel, program, layout))))


@dataclass(frozen=True)
class _Pad:
    """Pads the results of steps."""

    kernel: Kernel
    program: Program
    layout: Layout

    def __call__(self, site: Site) -> Tree:
        compute = site.compute
        return (compute, *self._after_loops(compute), *self._after_samples(compute))

    def _after_loops(self, compute: Compute) -> Tree:
        """Return the padding after loops that store each value."""
        if compute.shape is not Shape.LOOPS or compute.sums or compute.reduced:
            return ()
        samples = (SAMPLE,) if compute.samples else ()
        if compute.innermost == SAMPLE and copies_rows(compute, self.kernel):
            steps = (each for step in compute.steps for each in written_out(step, compute.unrolled, self.program))
            copies = tuple(Store(step.target, Value((_last(step.target),))) for step in steps)
            return around(compute.outer, compute, self.program, (Loop(SAMPLE, PADDED, copies, begin=COUNT),))
        arrays = self._arrays(compute)
        size = self.program.sizes[compute.innermost] or 1
        end = self.layout.padded(size)
        if compute.innermost != SAMPLE and arrays and compute.end(compute.innermost) != end:
            zeros = tuple(Store(element, Value((S.Zero,))) for element in arrays)
            padding = Loop(compute.innermost, end, zeros, begin=size)
            return around(samples, compute, self.program, (padding,))
        return ()

    def _after_samples(self, compute: Compute) -> Tree:
        """Return the padding of the samples of arrays that other steps read along these."""
        along = compute.innermost == SAMPLE
        if (compute.shape is Shape.LOOPS and along) or (along and not transposes(compute, self.kernel)):
            return ()
        padding = []
        for element in self._arrays(compute):
            if SAMPLE in element.indices and element.tensor in self.kernel.along:
                zeros = element.tensor in self._weighted
                if zeros or not along:
                    filling = Filling.ZERO_SAMPLES if zeros else Filling.LAST_SAMPLE
                    padding.append(Fill(filling, element, compute.innermost, compute.ends))
        return tuple(padding)

    def _arrays(self, compute: Compute) -> list[Element]:
        return [step.target for step in compute.steps if self.kernel.place(step.target) is Place.ARRAY]

    @cached_property
    def _weighted(self) -> frozenset[str]:
        """Return the tensors that are 0 for padding samples: multiples of the weight, as derivatives of the loss."""
        outside = (Place.WEIGHT, Place.PRESENT)
        weighted = {name for name, storage in self.kernel.storage.items() if storage.place in outside}
        for step in (step for tree in self.kernel.trees.without_metrics for step in steps_in(tree)):
            if SAMPLE in step.target.indices and weighted & {element.tensor for element in step.operands}:
                weighted.add(step.target.tensor)
        return frozenset(weighted)


def _last(element: Element) -> Element:
    """Return the element of the last sample."""
    return Element(element.tensor, [f"{COUNT} - 1" if index == SAMPLE else index for index in element.indices])

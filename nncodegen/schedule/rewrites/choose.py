"""What runs depends on the call: on the number of samples, and on whether there is a BLAS.

A product reads a transposed copy of its weights. Where samples are few, the copy would take longer than the product,
which then reads the weights as they are. So does a product that is left to BLAS, which makes copies of its own; where
there is no BLAS, it runs in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from nncodegen.ir import SAMPLE, Element, Program
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.products import factors, rest_of
from nncodegen.schedule.shapes import Filling, Shape
from nncodegen.schedule.tree import Compute, Fill, If, Tree, When
from nncodegen.schedule.walks import Site, computed, computes


def choose(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which products and copies run in the way that suits the call."""
    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=_Choose(kernel))))


@dataclass(frozen=True)
class _Choose:
    """What runs in the place of steps of a kernel."""

    kernel: Kernel

    def __call__(self, site: Site) -> Tree:
        compute = site.compute
        if compute.shape is Shape.BLAS:
            given = self._with_originals(compute)
            return (If(When.BLAS, (given, *self._ends_of_rows(given)), (self._without_blas(compute),)),)
        if compute.shape is Shape.PACK and {step.target for step in compute.steps} <= self.copies.keys():
            readers = self._readers(compute)
            if {reader.shape for reader in readers} == {Shape.BLAS}:
                return (If(When.NO_BLAS, (compute,)),)
            return (If(When.MANY, (compute,)),) if all(map(self._original, readers)) else (compute,)
        products = self._dot_products(compute)
        return (If(When.FEW, (products,), (compute,)),) if products else (compute,)

    @cached_property
    def _all(self) -> tuple[Compute, ...]:
        return tuple(each for tree in self.kernel.trees.in_turn for each in computes(tree))

    @cached_property
    def copies(self) -> Mapping[Element, Element]:
        """The copies in padded rows that are made before the tiles, and what they are copies of."""
        packs = (each for tree in self.kernel.trees.before for each in computes(tree) if each.shape is Shape.PACK)
        return {step.target: operand for each in packs for step in each.steps for operand in step.operands}

    def _readers(self, compute: Compute) -> list[Compute]:
        """What reads the results of steps."""
        targets = {step.target for step in compute.steps}
        return [each for each in self._all if targets & each.read]

    def _original(self, compute: Compute) -> Element | None:
        """The matrix of parameters of which a product reads a copy that is transposed, if it does."""
        if not _is_layer(compute):
            return None
        (inner,), (a, b) = compute.steps[0].over, factors(compute)
        original = self.copies.get(b)
        along = original and self.kernel.stride(original, inner) == self.kernel.stride(a, inner) == 1
        return original if along else None

    def _dot_products(self, compute: Compute) -> Compute | None:
        """The product of a layer for a few samples, one by one, if both factors lie along what is summed up; else none.

        Blocks would first transpose one of them, which takes longer than the product itself.
        """
        if not _is_layer(compute):
            return None
        (step,) = compute.steps
        (inner,), (a, b) = step.over, factors(compute)
        original = self._original(compute) or b
        if self.kernel.stride(a, inner) != 1 or self.kernel.stride(original, inner) != 1:
            return None
        given = replace(step, expression=step.expression.xreplace({b: original}))
        return replace(compute, steps=(given,), shape=Shape.DOT_PRODUCTS)

    def _with_originals(self, compute: Compute) -> Compute:
        """The product that BLAS computes, of matrices as they are."""
        (step,) = compute.steps
        return replace(compute, steps=(replace(step, expression=step.expression.xreplace(dict(self.copies))),))

    def _without_blas(self, compute: Compute) -> Compute:
        """The product that is left to BLAS where there is none.

        No block sums over an index that lies along the rows of both factors, as the samples may.
        """
        (step,) = compute.steps
        if step.over != (SAMPLE,):
            return replace(compute, shape=Shape.CONTRACT)
        along = all(self.kernel.stride(element, SAMPLE) == 1 for element in step.operands)
        return replace(compute, shape=Shape.DOT_PRODUCTS_OF_SAMPLES if along else Shape.ACCUMULATE)

    def _ends_of_rows(self, compute: Compute) -> Tree:
        """What pads the rows of a result of BLAS, which ends where its values do."""
        (step,), (row, *_) = compute.steps, rest_of(compute)
        size = compute.end(compute.innermost)
        early = SAMPLE not in step.over and isinstance(size, int) and self.kernel.stride(step.target, row) > size
        return (Fill(Filling.ZERO_ENDS, step.target, compute.innermost, compute.ends),) if early else ()


def _is_layer(compute: Compute) -> bool:
    """Whether steps are the product of a layer with samples, and no more."""
    return compute.shape is Shape.CONTRACT and len(compute.steps) == 1 and SAMPLE in compute.steps[0].target.indices

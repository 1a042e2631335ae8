"""Statements that depend on the call: on the number of samples, and on whether a BLAS is available.

A product reads a transposed copy of its weights. For few samples, the copy would take longer than the product, which
then reads the weights as they are. So does a product that is left to BLAS, which makes its own copies; without a BLAS,
it runs in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from nncodegen.compiler.ir import SAMPLE, Element, Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.products import factors, rest_of
from nncodegen.compiler.schedule.shapes import Filling, Shape
from nncodegen.compiler.schedule.tree import Compute, Fill, If, Tree, When
from nncodegen.compiler.schedule.tree_walks import Site, computed, computes


def specialize_for_call(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which products and copies run in the way that suits the call."""
    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=_Choose(kernel))))


@dataclass(frozen=True)
class _Choose:
    """Replaces steps of a kernel by statements that depend on the call."""

    kernel: Kernel

    def __call__(self, site: Site) -> Tree:
        compute = site.compute
        if compute.shape is Shape.BLAS:
            original = self._with_originals(compute)
            return (If(When.BLAS, (original, *self._ends_of_rows(original)), (self._without_blas(compute),)),)
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
        """Return the copies in padded rows made before the tiles, each with the original."""
        packs = (each for tree in self.kernel.trees.before for each in computes(tree) if each.shape is Shape.PACK)
        return {step.target: operand for each in packs for step in each.steps for operand in step.operands}

    def _readers(self, compute: Compute) -> list[Compute]:
        """Return the steps that read the results of steps."""
        targets = {step.target for step in compute.steps}
        return [each for each in self._all if targets & each.read]

    def _original(self, compute: Compute) -> Element | None:
        """Return the matrix of parameters of which a product reads a transposed copy; None if it reads no such copy."""
        if not _is_layer(compute):
            return None
        (inner,), (a, b) = compute.steps[0].over, factors(compute)
        original = self.copies.get(b)
        along = original and self.kernel.stride(original, inner) == self.kernel.stride(a, inner) == 1
        return original if along else None

    def _dot_products(self, compute: Compute) -> Compute | None:
        """Return the product of a layer for few samples as dot products if both factors lie along the sum; else None.

        Blocks would first transpose one of them, which takes longer than the product itself.
        """
        if not _is_layer(compute):
            return None
        (step,) = compute.steps
        (inner,), (a, b) = step.over, factors(compute)
        original = self._original(compute) or b
        if self.kernel.stride(a, inner) != 1 or self.kernel.stride(original, inner) != 1:
            return None
        untransposed = replace(step, expression=step.expression.xreplace({b: original}))
        return replace(compute, steps=(untransposed,), shape=Shape.DOT_PRODUCTS)

    def _with_originals(self, compute: Compute) -> Compute:
        """Return the product that BLAS computes, of the original matrices instead of copies."""
        (step,) = compute.steps
        return replace(compute, steps=(replace(step, expression=step.expression.xreplace(dict(self.copies))),))

    def _without_blas(self, compute: Compute) -> Compute:
        """Return the product that runs instead of one left to BLAS if no BLAS is available.

        No block sums over an index that lies along the rows of both factors, as the samples may.
        """
        (step,) = compute.steps
        if step.over != (SAMPLE,):
            return replace(compute, shape=Shape.CONTRACT)
        along = all(self.kernel.stride(element, SAMPLE) == 1 for element in step.operands)
        return replace(compute, shape=Shape.DOT_PRODUCTS_OF_SAMPLES if along else Shape.ACCUMULATE)

    def _ends_of_rows(self, compute: Compute) -> Tree:
        """Return the call that pads the rows of a result of BLAS with zeros, if its rows have padding."""
        (step,), (row, *_) = compute.steps, rest_of(compute)
        size = compute.end(compute.innermost)
        early = SAMPLE not in step.over and isinstance(size, int) and self.kernel.stride(step.target, row) > size
        return (Fill(Filling.ZERO_ENDS, step.target, compute.innermost, compute.ends),) if early else ()


def _is_layer(compute: Compute) -> bool:
    """Return whether steps are only the product of a layer with samples."""
    return compute.shape is Shape.CONTRACT and len(compute.steps) == 1 and SAMPLE in compute.steps[0].target.indices

"""Use of the samples of a tile by steps, given the places of their tensors."""

from __future__ import annotations

from collections.abc import Iterator

from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Compute


def transposes(compute: Compute, kernel: Kernel) -> bool:
    """Return whether steps with the samples along their vectors read rows and transpose them: a copy or a product."""
    if compute.shape is not Shape.CONTRACT:
        return compute.shape is Shape.PACK
    (read,) = (operand for operand in compute.steps[0].operands if SAMPLE in operand.indices)
    return kernel.stride(read, SAMPLE) != 1


def read_along(compute: Compute, kernel: Kernel) -> Iterator[Element]:
    """Yield the elements that steps read in vectors along the samples."""
    if compute.innermost == SAMPLE:
        steps = compute.steps[1:] if transposes(compute, kernel) else compute.steps
        yield from (operand for step in steps for operand in step.operands)


def copies_rows(compute: Compute, kernel: Kernel) -> bool:
    """Return whether steps copy inputs for others that run over whole vectors."""
    return bool(kernel.vector) and any(kernel.place(element) is Place.INPUT for element in compute.read)

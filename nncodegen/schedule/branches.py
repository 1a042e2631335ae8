"""Which nests are replaced by others depending on the call: on the number of samples, on BLAS, or on the loss.

A product reads a transposed copy of its weights. Where samples are few, the copy would take longer than the product,
which then reads the weights as they are. So does a product that is left to BLAS, which makes copies of its own; where
there is no BLAS, it runs in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nncodegen.ir import SAMPLE, Element
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.nest import Nest, Shape, When
from nncodegen.schedule.tree import Call

REDUCED_ROWS = ("sum", "max")
"""The reductions of a row for which the runtime has a function."""


@dataclass(frozen=True)
class Choice:
    """The nest that runs where a condition holds, and the one that runs elsewhere, if any."""

    when: When
    then: Nest
    otherwise: Nest | None = None


def choice(nest: Nest, kernel: Kernel) -> Choice | None:
    """Return what runs in the place of a nest of a tile, depending on the call; None where nothing does."""
    if nest.shape is Shape.BLAS:
        return Choice(When.BLAS, _with_originals(nest, kernel), _without_blas(nest, kernel))
    if nest.shape is Shape.PACK and {step.target for step in nest.steps} <= kernel.copies.keys():
        readers = kernel.readers(nest)
        if {reader.shape for reader in readers} == {Shape.BLAS}:
            return Choice(When.NO_BLAS, nest)
        return Choice(When.MANY, nest) if all(_original(reader, kernel) for reader in readers) else None
    products = _dot_products(nest, kernel)
    return Choice(When.FEW, products, nest) if products else None


def factors(nest: Nest | Call) -> tuple[Element, Element]:
    """The factors of a product: the one without the innermost index of its result, and the one that has it."""
    step = nest.steps[0]
    b = next(element for element in step.operands if nest.innermost in element.indices)
    return next(element for element in step.operands if element is not b), b


def rest_of(nest: Nest | Call) -> tuple[str, ...]:
    """The indices of the result of a product without the innermost one."""
    return tuple(index for index in nest.steps[0].target.indices if index != nest.innermost)


def _is_layer(nest: Nest) -> bool:
    """Whether a nest is the product of a layer with samples, and no more."""
    return nest.shape is Shape.CONTRACT and len(nest.steps) == 1 and SAMPLE in nest.steps[0].target.indices


def _original(nest: Nest, kernel: Kernel) -> Element | None:
    """The matrix of parameters of which a product reads a copy that is transposed, if it does."""
    if not _is_layer(nest):
        return None
    (inner,), (a, b) = nest.steps[0].over, factors(nest)
    original = kernel.copies.get(b)
    along = original and kernel.stride(original, inner) == kernel.stride(a, inner) == 1
    return original if along else None


def _dot_products(nest: Nest, kernel: Kernel) -> Nest | None:
    """The product of a layer for a few samples, one by one, if both factors lie along what is summed up; else none.

    Blocks would first transpose one of them, which takes longer than the product itself.
    """
    if not _is_layer(nest):
        return None
    (step,) = nest.steps
    (inner,), (a, b) = step.over, factors(nest)
    original = _original(nest, kernel) or b
    if kernel.stride(a, inner) != 1 or kernel.stride(original, inner) != 1:
        return None
    given = replace(step, expression=step.expression.xreplace({b: original}))
    return replace(nest, steps=(given,), shape=Shape.DOT_PRODUCTS)


def _with_originals(nest: Nest, kernel: Kernel) -> Nest:
    """The product that BLAS computes, of matrices as they are."""
    (step,) = nest.steps
    given = replace(step, expression=step.expression.xreplace(kernel.copies))
    return replace(nest, steps=(given,))


def _without_blas(nest: Nest, kernel: Kernel) -> Nest:
    """The product that is left to BLAS where there is none.

    No block sums over an index that lies along the rows of both factors, as the samples may.
    """
    (step,) = nest.steps
    if step.over != (SAMPLE,):
        return replace(nest, shape=Shape.CONTRACT)
    along = all(kernel.stride(element, SAMPLE) == 1 for element in step.operands)
    return replace(nest, shape=Shape.DOT_PRODUCTS_OF_SAMPLES if along else Shape.ACCUMULATE)


def of_one_sample(nest: Nest, kernel: Kernel) -> Nest:
    """Return how a nest of a single sample is run: as a product with a vector, a reduction of a row, or loops."""
    step = nest.steps[0]
    if nest.shape is Shape.CONTRACT:
        (inner,) = step.over
        (matrix,) = (element for element in step.operands if len(element.indices) > 1)
        if kernel.stride(matrix, inner) == 1:
            return replace(nest, shape=Shape.MATRIX_BY_ROW)
        # outputs are of parameters of the caller, and nothing behind these may be read
        return replace(nest, shape=Shape.ROW_BY_MATRIX if kernel.name == "gradient" else Shape.LOOPS)
    row = isinstance(step.expression, Element) and kernel.storage[step.expression.tensor].strides == (1,)
    row = row and step.operator in REDUCED_ROWS
    return replace(nest, shape=Shape.REDUCE_ROW) if nest.reduced and not nest.outer and row else nest

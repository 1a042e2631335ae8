"""Which nests are replaced by others depending on the call: on the number of samples, on BLAS, or on the loss.

A product reads a transposed copy of its weights. Where samples are few, the copy would take longer than the product,
which then reads the weights as they are. So does a product that is left to BLAS, which makes copies of its own; where
there is no BLAS, it runs in blocks.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.ir import SAMPLE, Element
from nncodegen.schedule.kernel import SINGLE_SAMPLE, TILE, Kernel
from nncodegen.schedule.nest import Branch, Filling, Nest, Padding, Place, Role, Shape, When
from nncodegen.schedule.tree import Call


def with_loss(whole: Nest, rest: Nest | None = None) -> Nest:
    """A nest that runs as a whole where the loss is wanted, and otherwise without what only the loss needs."""
    return replace(whole, padding=(), branch=Branch(When.LOSS, whole, rest))


def with_branch(nest: Nest, kernel: Kernel) -> Nest:
    """A nest of which everything else is decided, with what runs in its place."""
    plain = replace(nest, padding=())
    branch: Branch | None = None
    if kernel.plan is SINGLE_SAMPLE:
        nest = plain = _of_one_sample(plain, kernel)
        if kernel.place(nest.steps[0].target) is Place.GRADIENT:
            branch = Branch(When.ADDED, replace(plain, added=True), plain)
    elif kernel.plan is not TILE:
        return nest
    elif nest.shape is Shape.BLAS:
        branch = Branch(When.BLAS, _with_originals(plain, kernel), _without_blas(plain, kernel))
    elif nest.shape is Shape.PACK and {step.target for step in nest.steps} <= kernel.copies.keys():
        readers = kernel.readers(nest)
        if {reader.shape for reader in readers} == {Shape.BLAS}:
            branch = Branch(When.NO_BLAS, plain)
        elif all(_original(reader, kernel) for reader in readers):
            branch = Branch(When.MANY, plain)
    elif products := _dot_products(plain, kernel):
        branch = Branch(When.FEW, products, plain)
    return replace(nest, branch=branch)


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
    return _along(inner, replace(nest, steps=(given,), shape=Shape.DOT_PRODUCTS))


def _along(inner: str, nest: Nest) -> Nest:
    """The nest with an index along the vectors, although it is summed up, and all others one by one."""
    axes = (replace(a, role=Role.VECTOR if a.index == inner else Role.ONE_BY_ONE) for a in nest.axes)
    return replace(nest, axes=tuple(axes))


def _with_originals(nest: Nest, kernel: Kernel) -> Nest:
    """The product that BLAS computes, of matrices as they are."""
    (step,), (row,) = nest.steps, rest_of(nest)
    size = nest.axis(nest.innermost).end
    early = SAMPLE not in step.over and isinstance(size, int) and kernel.stride(step.target, row) > size
    padding = (Padding(Filling.ZERO_ENDS, (step.target,)),) if early else ()
    given = replace(step, expression=step.expression.xreplace(kernel.copies))
    return replace(nest, steps=(given,), padding=padding)


def _without_blas(nest: Nest, kernel: Kernel) -> Nest:
    """The product that is left to BLAS where there is none.

    No block sums over an index that lies along the rows of both factors, as the samples may.
    """
    (step,) = nest.steps
    if step.over != (SAMPLE,):
        return replace(nest, shape=Shape.CONTRACT)
    along = all(kernel.stride(element, SAMPLE) == 1 for element in step.operands)
    return replace(nest, shape=Shape.DOT_PRODUCTS_OF_SAMPLES if along else Shape.ACCUMULATE)


def _of_one_sample(nest: Nest, kernel: Kernel) -> Nest:
    """How a nest of a single sample is run: as a product of a matrix and a vector, a reduction of a row, or loops."""
    step = nest.steps[0]
    if nest.shape is Shape.CONTRACT:
        (inner,) = step.over
        (matrix,) = (element for element in step.operands if len(element.indices) > 1)
        if kernel.stride(matrix, inner) == 1:
            return _along(inner, replace(nest, shape=Shape.MATRIX_BY_ROW))
        # outputs are of parameters of the caller, and nothing behind these may be read
        return replace(nest, shape=Shape.ROW_BY_MATRIX if kernel.name == "gradient" else Shape.LOOPS)
    row = isinstance(step.expression, Element) and kernel.storage[step.expression.tensor].strides == (1,)
    return replace(nest, shape=Shape.REDUCE_ROW) if nest.reduced and not nest.outer and row else nest

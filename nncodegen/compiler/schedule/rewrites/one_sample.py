"""A single sample uses special functions: products of a matrix and a vector, and reductions of a row."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nncodegen.compiler.ir import Element, Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Compute, Tree
from nncodegen.compiler.schedule.tree_walks import Site, computed

REDUCED_ROWS = ("sum", "max")
"""The reductions of a row for which the runtime has a function."""


def one_sample(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose products and reductions use the functions for one sample."""

    def rule(site: Site) -> Tree:
        return (replace(site.compute, shape=_shape(site.compute, kernel)),)

    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=rule)))


def _shape(compute: Compute, kernel: Kernel) -> Shape:
    """Return the shape in which steps are computed for one sample."""
    step = compute.steps[0]
    if compute.shape is Shape.CONTRACT:
        (inner,) = step.over
        (matrix,) = (element for element in step.operands if len(element.indices) > 1)
        if kernel.stride(matrix, inner) == 1:
            return Shape.MATRIX_BY_ROW
        # outputs use the caller's parameters, and nothing after these may be read
        return Shape.ROW_BY_MATRIX if kernel.name == "gradient" else Shape.LOOPS
    row = isinstance(step.expression, Element) and kernel.storage[step.expression.tensor].strides == (1,)
    row = row and step.operator in REDUCED_ROWS and not step.where  # equations leave a part of the row
    return Shape.REDUCE_ROW if compute.reduced and not compute.outer and row else compute.shape

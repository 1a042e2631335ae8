"""The factors and the indices of a product."""

from __future__ import annotations

from nncodegen.compiler.ir import Element
from nncodegen.compiler.schedule.tree import Call, Compute


def factors(product: Compute | Call) -> tuple[Element, Element]:
    """Return the factors of a product: the one without the innermost index of its result, and the one that has it."""
    step = product.steps[0]
    b = next(element for element in step.operands if product.innermost in element.indices)
    return next(element for element in step.operands if element is not b), b


def rest_of(product: Compute | Call) -> tuple[str, ...]:
    """Return the indices of the result of a product without the innermost one."""
    return tuple(index for index in product.steps[0].target.indices if index != product.innermost)

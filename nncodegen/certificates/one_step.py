"""One step of a program in many digits: its values, and the derivatives of the loss by its operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from sympy import Expr

from nncodegen.certificates.expressions import formula, scaled
from nncodegen.certificates.products import Array, each, summed_over, zeros
from nncodegen.certificates.windows import backward_of_terms, compute_terms
from nncodegen.compiler.ir import RECURRENCES, Element, Step
from nncodegen.compiler.ir.reductions import reduction
from nncodegen.compiler.ir.steps import ALL, Evaluation, aligned, factors_of, held
from nncodegen.errors import ProgramError


class _Certain(Evaluation):
    """Numbers of mpmath, as certificates compute with them: sums of products are exact."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Return an array of zeros."""
        return zeros(shape)

    def elementwise(self, expression: Expr, operands: Mapping[Element, Array]) -> Array:
        """Return an expression of arrays that NumPy can broadcast."""
        return _each(formula(expression).value, list(operands.values()))

    def contracted(
        self, step: Step, factors: Sequence[Element], values: Mapping[str, Array], lengths: Mapping[str, int]
    ) -> Array:
        """Return a sum of products."""
        arrays = [aligned(values[e.tensor], e.indices, step.indices) for e in factors]
        shape = [lengths[index] for index in step.indices]
        return np.asarray(scaled(step.expression, _summed(arrays, step.target, step, shape)), dtype=object)

    def with_equations(
        self, step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int]
    ) -> Array:
        """Return the value of a step with equations, by terms that are found independently of the compiler."""
        return compute_terms(step, _product_of(step), values, lengths, at)


CERTAIN = _Certain()
compute = CERTAIN.compute


def backward(
    step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], received: Array, at: Mapping[str, int] = ALL
) -> Iterator[tuple[Element, Array, Mapping[str, int]]]:
    """Yield the derivatives by a step's operands, given that by its result; each with the part it belongs to."""
    if step.operator in RECURRENCES:
        yield from _backward_to_neighbour(step, received, lengths, at)
    elif step.where:
        product_of = _product_of(step)
        for element, part in backward_of_terms(step, product_of, values, lengths, received, at):
            yield element, part, ALL
    else:
        lengths = {**lengths, **dict.fromkeys(at, 1)}
        for element, part in _backward(step, held(step, values, at) if at else values, lengths, received):
            yield element, part, at


# --- recurrences -------------------------------------------------------------------------------------------------


def _backward_to_neighbour(
    step: Step, received: Array, lengths: Mapping[str, int], at: Mapping[str, int]
) -> Iterator[tuple[Element, Array, Mapping[str, int]]]:
    (index,), (element,) = step.over, step.operands
    axis, move = step.target.indices.index(index), -1 if step.operator == "before" else 1
    for place in [at[index]] if index in at else range(lengths[index]):
        if 0 <= place + move < lengths[index]:
            part = received if index in at else np.take(received, [place], axis)
            yield element, part, {index: place + move}


# --- other steps -------------------------------------------------------------------------------------------------


def _each(function: Any, operands: Sequence[Array]) -> Array:
    """Return a function of numbers at the same place of arrays that NumPy can broadcast."""
    together = np.broadcast_arrays(*operands) if operands else []
    shape = together[0].shape if together else ()
    array = np.empty(shape, dtype=object)
    for place in product(*map(range, shape)):
        array[place] = function(tuple(operand[place] for operand in together))
    return array


def _axes(step: Step) -> tuple[int, ...]:
    return tuple(step.indices.index(index) for index in step.over)


def _backward(
    step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], received: Array
) -> Iterator[tuple[Element, Array]]:
    """Yield the derivatives by the operands of a step, given the derivative by its result."""
    lost = [index for index in step.indices if index not in step.target.indices]
    shape = [lengths[index] for index in step.indices]
    inner = np.asarray(received, dtype=object).reshape([1 if i in lost else lengths[i] for i in step.indices])
    product_of = _product_of(step)
    if product_of is not None and len(set(product_of)) == len(product_of):
        for element in product_of:
            others = [aligned(values[e.tensor], e.indices, step.indices) for e in product_of if e != element]
            yield element, scaled(step.expression, _summed([inner, *others], element, step, shape))
        return
    if step.operator not in (None, "sum"):
        received_by = reduction(step.operator).received
        if received_by is None:
            raise ProgramError(f"{step.operator} has no derivative, in: {step}")
        inner = received_by(CERTAIN.terms(step, values, lengths), inner, _axes(step))
    operands = formula(step.expression).operands
    partials = _each(
        formula(step.expression).partials, [aligned(values[e.tensor], e.indices, step.indices) for e in operands]
    )
    partials = np.broadcast_to(partials, shape)
    for k, element in enumerate(operands):
        partial_of = each(lambda row, k=k: row[k], partials)
        yield element, _summed([np.broadcast_to(inner, shape), partial_of], element, step, shape)


# --- sums of products --------------------------------------------------------------------------------------------


def _product_of(step: Step) -> list[Element] | None:
    """Return the elements whose product, times a number, a step sums or equals; None for another step."""
    return (factors_of(step.expression) or None) if step.operator in (None, "sum") else None


def _summed(arrays: Sequence[Array], element: Element, step: Step, shape: Sequence[int]) -> Array:
    """Return a product of arrays, summed over all indices that an element lacks, with the axes of the element."""
    lost = tuple(k for k, index in enumerate(step.indices) if index not in element.indices)
    repeated = 1
    for k in lost:  # an index that no factor has
        if all(array.shape[k] == 1 for array in arrays):
            repeated *= shape[k]
    total = summed_over(arrays, lost)
    kept = [k for k in range(len(shape)) if k not in lost]
    full = np.broadcast_to(np.asarray(total, dtype=object), [shape[k] for k in kept])
    full = full if repeated == 1 else np.asarray(full * repeated, dtype=object)
    names = [step.indices[k] for k in kept]
    return np.transpose(full, [names.index(index) for index in element.indices]) if names else full

"""One step of a program in many digits: its values, and what its operands receive of the derivative of the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np
from sympy import Mul

from nncodegen.certify.expressions import formula, scaled
from nncodegen.certify.products import Array, each, summed_over, zeros
from nncodegen.certify.windows import backward_of_terms, compute_terms
from nncodegen.errors import ProgramError
from nncodegen.ir import RECURRENCES, Element, Step
from nncodegen.ir.reductions import reduction

ALL: Mapping[str, int] = MappingProxyType({})
"""No index is held at a value: a step is computed for all values of its indices."""


def compute(step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int] = ALL) -> Array:
    """The tensor that a step defines, from the values of its operands; where ``at`` holds an index, only that part."""
    if step.operator in RECURRENCES:
        return _neighbour(step, values, at)
    if step.where:
        return compute_terms(step, factors(step) if step.operator in (None, "sum") else None, values, lengths, at)
    values, lengths = held(step, values, at), {**lengths, **dict.fromkeys(at, 1)}
    if step.operator == "sum" and factors(step) is not None:
        return _contract(step, values, lengths)
    terms = _elementwise(step, values, lengths)
    if step.operator is None:
        return terms
    return np.asarray(reduction(step.operator).array(terms, _axes(step)), dtype=object)


def held(step: Step, values: Mapping[str, Array], at: Mapping[str, int]) -> Mapping[str, Array]:
    """The parts of the operands of a step at some values of indices, which keep an axis of length 1."""
    return {e.tensor: part_of(values[e.tensor], e, at) for e in step.operands} if at else values


def part_of(array: Array, element: Element, at: Mapping[str, int]) -> Array:
    """The part of a tensor at some values of indices."""
    places = tuple(slice(at[index], at[index] + 1) if index in at else slice(None) for index in element.indices)
    return np.asarray(array[places], dtype=object) if places else array


def backward(
    step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], received: Array, at: Mapping[str, int] = ALL
) -> Iterator[tuple[Element, Array, Mapping[str, int]]]:
    """What the operands of a step receive of what its result has received; each with the part of it that this is."""
    if step.operator in RECURRENCES:
        yield from _backward_to_neighbour(step, received, lengths, at)
    elif step.where:
        product_of = factors(step) if step.operator in (None, "sum") else None
        for element, part in backward_of_terms(step, product_of, values, lengths, received, at):
            yield element, part, ALL
    else:
        lengths = {**lengths, **dict.fromkeys(at, 1)}
        for element, part in _backward(step, held(step, values, at), lengths, received):
            yield element, part, at


# --- recurrences -------------------------------------------------------------------------------------------------


def _neighbour(step: Step, values: Mapping[str, Array], at: Mapping[str, int]) -> Array:
    """The values at the index before, or after, with 0 at the end."""
    (index,) = step.over
    read, axis = values[step.operands[0].tensor], step.target.indices.index(index)
    move, length = (-1 if step.operator == "before" else 1), read.shape[axis]
    parts = [
        np.take(read, [place + move], axis) if 0 <= place + move < length else zeros(np.take(read, [0], axis).shape)
        for place in ([at[index]] if index in at else range(length))
    ]
    return np.asarray(np.concatenate(parts, axis), dtype=object)


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


def _aligned(array: Array, own: Sequence[str], wanted: Sequence[str]) -> Array:
    """An array with one axis for each wanted index; an axis that it lacks has length 1."""
    order = sorted(range(len(own)), key=lambda axis: wanted.index(own[axis]))
    lengths = dict(zip(own, array.shape, strict=True))
    return np.transpose(array, order).reshape([lengths.get(index, 1) for index in wanted])


def _operands(step: Step, values: Mapping[str, Array]) -> list[Array]:
    return [_aligned(values[e.tensor], e.indices, step.indices) for e in formula(step.expression).operands]


def _elementwise(step: Step, values: Mapping[str, Array], lengths: Mapping[str, int]) -> Array:
    """The expression of a step for all its indices."""
    return _each(step, formula(step.expression).value, values, lengths)


def _each(step: Step, function: Any, values: Mapping[str, Array], lengths: Mapping[str, int]) -> Array:
    operands = np.broadcast_arrays(*_operands(step, values)) if step.operands else []
    shape = operands[0].shape if operands else (1,) * len(step.indices)
    found = np.empty(shape, dtype=object)
    for place in product(*map(range, shape)):
        found[place] = function(tuple(operand[place] for operand in operands))
    return np.broadcast_to(found, [lengths[index] for index in step.indices])


def _axes(step: Step) -> tuple[int, ...]:
    return tuple(step.indices.index(index) for index in step.over)


def _backward(
    step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], received: Array
) -> Iterator[tuple[Element, Array]]:
    """What the operands of a step receive of what its result has received."""
    lost = [index for index in step.indices if index not in step.target.indices]
    shape = [lengths[index] for index in step.indices]
    inner = np.asarray(received, dtype=object).reshape([1 if i in lost else lengths[i] for i in step.indices])
    product_of = factors(step) if step.operator in (None, "sum") else None
    if product_of is not None and len(set(product_of)) == len(product_of):
        for element in product_of:
            others = [_aligned(values[e.tensor], e.indices, step.indices) for e in product_of if e != element]
            yield element, scaled(step.expression, _summed([inner, *others], element, step, shape))
        return
    if step.operator not in (None, "sum"):
        received_by = reduction(step.operator).received
        if received_by is None:
            raise ProgramError(f"{step.operator} has no derivative, in: {step}")
        inner = received_by(_elementwise(step, values, lengths), inner, _axes(step))
    partials = _each(step, formula(step.expression).partials, values, lengths)
    for k, element in enumerate(formula(step.expression).operands):
        one = each(lambda row, k=k: row[k], partials)
        yield element, _summed([np.broadcast_to(inner, shape), one], element, step, shape)


# --- sums of products --------------------------------------------------------------------------------------------


def factors(step: Step) -> list[Element] | None:
    """The elements whose product, times a number, a step consists of; None for another step."""
    coefficient, rest = step.expression.as_coeff_Mul()
    parts = Mul.make_args(rest)
    plain = coefficient.is_number and all(isinstance(part, Element) for part in parts)
    return list(parts) if plain else None


def _contract(step: Step, values: Mapping[str, Array], lengths: Mapping[str, int]) -> Array:
    arrays = [_aligned(values[e.tensor], e.indices, step.indices) for e in factors(step) or []]
    shape = [lengths[index] for index in step.indices]
    return np.asarray(scaled(step.expression, _summed(arrays, step.target, step, shape)), dtype=object)


def _summed(arrays: Sequence[Array], element: Element, step: Step, shape: Sequence[int]) -> Array:
    """A product of arrays, added up over all indices that an element lacks, with the axes of the element."""
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

"""What a program means, in many digits: the values of all its tensors, and the derivatives of its loss by them.

The derivatives are accumulated in reverse, by the chain rule over the steps as they stand, with the functions and
derivatives of ``functions``. It knows nothing of the stages of the compiler, of which it is the judge. Products of
numbers are added up as integers with one exponent, which is exact and three times as fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray
from sympy import Mul

from nncodegen.certify.expressions import formula
from nncodegen.errors import ProgramError
from nncodegen.ir import Element, Program, Step

Array = NDArray[Any]
"""An array of numbers of mpmath."""

WIDEST = 20_000
"""The bits between the largest and the smallest of some numbers, beyond which they are not added as integers."""


def bind(program: Program, parameters: Array, X: Array, Y: Array) -> dict[str, Array]:
    """The tensors from outside, by name: parameters (P,), inputs (N, columns), targets (N, columns), equal weights.

    The arguments may be floating-point numbers, which are taken as they are, or numbers of mpmath. Noise is 0.
    """
    samples = len(X)
    values = {program.weight.name: np.full(samples, mpmath.mpf(1) / samples, dtype=object)}
    for source in program.noise:
        values[source.tensor.name] = np.full((samples, source.tensor.size), mpmath.mpf(0), dtype=object)
    start = 0
    numbers = many(parameters)
    for tensor in program.parameters:
        values[tensor.name] = numbers[start : start + tensor.size].reshape([size or 1 for size in tensor.shape])
        start += tensor.size
    for tensors, given in ((program.inputs, X), (program.targets, Y)):
        columns, start = many(given), 0
        for tensor in tensors:
            part = columns[:, start : start + tensor.size]
            values[tensor.name] = part.reshape([samples, *(size or 1 for size in tensor.shape[1:])])
            start += tensor.size
    return values


def many(given: Any) -> Array:
    """An array as numbers of mpmath, which have the very values of floating-point numbers."""
    array = np.asarray(given)
    if array.dtype == object and all(type(number) is mpmath.mpf for number in array.flat):
        return array
    wide = array if array.dtype == object else array.astype(float).astype(object)
    return array_of((mpmath.mpf(number) for number in wide.flat), wide.shape)


def array_of(numbers: Iterable[Any], shape: Sequence[int]) -> Array:
    """An array of objects, given row by row."""
    row = list(numbers)
    found = np.empty(len(row), dtype=object)
    found[:] = row
    return found.reshape(shape)


def run(program: Program, given: Mapping[str, Array], until: str | None = None) -> dict[str, Array]:
    """The values of all tensors, of those that are given and of all steps up to one."""
    values = dict(given)
    for step in program.steps:
        values[step.target.tensor] = compute(step, values, lengths_of(program, len(values[program.weight.name])))
        if step.target.tensor == until:
            break
    return values


def lengths_of(program: Program, samples: int) -> dict[str, int]:
    """The length of each index."""
    return {index: samples if size is None else size for index, size in program.sizes.items()}


def compute(step: Step, values: Mapping[str, Array], lengths: Mapping[str, int]) -> Array:
    """The tensor that a step defines, from the values of its operands."""
    if step.operator == "sum" and _factors(step) is not None:
        return _contract(step, values, lengths)
    terms = _elementwise(step, values, lengths)
    return terms if step.operator is None else _reduce(step, terms)


def derivatives(program: Program, values: Mapping[str, Array]) -> dict[str, Array]:
    """The derivatives of the loss by all tensors that it depends on, given their values."""
    lengths = lengths_of(program, len(values[program.weight.name]))
    received: dict[str, Array] = {program.loss.tensor: np.asarray(mpmath.mpf(1), dtype=object)}
    for step in reversed(program.steps):
        if step.target.tensor in received:
            for element, part in _backward(step, values, lengths, received[step.target.tensor]):
                known = received.get(element.tensor)
                received[element.tensor] = part if known is None else known + part
    for tensor in program.parameters:
        if tensor.name not in received or not tensor.trained:
            received[tensor.name] = many(np.zeros([size or 1 for size in tensor.shape]))
    return received


# --- one step ----------------------------------------------------------------------------------------------------


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


def _reduce(step: Step, terms: Array) -> Array:
    axes = _axes(step)
    if step.operator == "sum":
        return np.asarray(np.sum(terms, axis=axes), dtype=object)
    if step.operator == "max":
        return np.asarray(np.max(terms, axis=axes), dtype=object)
    largest = np.max(terms, axis=axes, keepdims=True)
    parts = _map(mpmath.exp, terms - largest)
    total = np.sum(parts, axis=axes, keepdims=True)
    if step.operator == "softmax":
        return np.asarray(parts / total, dtype=object)
    if step.operator == "log_softmax":
        return np.asarray(terms - largest - _map(mpmath.log, total), dtype=object)
    if step.operator == "softmax_complement":
        return np.asarray(1 - parts / total, dtype=object)
    raise ProgramError(f"a certificate does not know the operator {step.operator}, in: {step}")


def _map(function: Any, array: Array) -> Array:
    return np.asarray(np.frompyfunc(function, 1, 1)(array), dtype=object)


def _backward(
    step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], received: Array
) -> Iterator[tuple[Element, Array]]:
    """What the operands of a step receive of what its result has received."""
    lost = [index for index in step.indices if index not in step.target.indices]
    shape = [lengths[index] for index in step.indices]
    inner = np.asarray(received, dtype=object).reshape([1 if i in lost else lengths[i] for i in step.indices])
    factors = _factors(step) if step.operator in (None, "sum") else None
    if factors is not None and len(set(factors)) == len(factors):
        coefficient = _coefficient(step)
        for k, element in enumerate(factors):
            others = [_aligned(values[e.tensor], e.indices, step.indices) for j, e in enumerate(factors) if j != k]
            part = _summed([inner, *others], element, step, shape)
            yield element, part if coefficient == 1 else np.asarray(coefficient * part, dtype=object)
        return
    if step.operator not in (None, "sum"):
        inner = _through(step, _elementwise(step, values, lengths), inner)
    partials = _each(step, formula(step.expression).partials, values, lengths)
    for k, element in enumerate(formula(step.expression).operands):
        one = _map(lambda row, k=k: row[k], partials)
        yield element, _summed([np.broadcast_to(inner, shape), one], element, step, shape)


def _through(step: Step, terms: Array, received: Array) -> Array:
    """What the arguments of an operator receive."""
    axes = _axes(step)
    if step.operator == "max":
        at_top = terms == np.max(terms, axis=axes, keepdims=True)
        return np.asarray(received * at_top / np.sum(at_top, axis=axes, keepdims=True))
    p = _reduce(Step(step.target, step.expression, "softmax", step.over), terms)
    if step.operator == "softmax":
        return np.asarray(p * (received - np.sum(received * p, axis=axes, keepdims=True)))
    if step.operator == "softmax_complement":
        return np.asarray(-p * (received - np.sum(received * p, axis=axes, keepdims=True)))
    return np.asarray(received - p * np.sum(received, axis=axes, keepdims=True))


# --- sums of products --------------------------------------------------------------------------------------------


def _factors(step: Step) -> list[Element] | None:
    """The elements whose product, times a number, a step consists of; None for another step."""
    coefficient, rest = step.expression.as_coeff_Mul()
    factors = Mul.make_args(rest)
    plain = coefficient.is_number and all(isinstance(factor, Element) for factor in factors)
    return list(factors) if plain else None


def _coefficient(step: Step) -> Any:
    return formula(step.expression.as_coeff_Mul()[0]).value(())


def _contract(step: Step, values: Mapping[str, Array], lengths: Mapping[str, int]) -> Array:
    arrays = [_aligned(values[e.tensor], e.indices, step.indices) for e in _factors(step) or []]
    shape = [lengths[index] for index in step.indices]
    total, coefficient = _summed(arrays, step.target, step, shape), _coefficient(step)
    return total if coefficient == 1 else np.asarray(coefficient * total, dtype=object)


def _summed(arrays: Sequence[Array], element: Element, step: Step, shape: Sequence[int]) -> Array:
    """A product of arrays, added up over all indices that an element lacks, with the axes of the element."""
    lost = tuple(k for k, index in enumerate(step.indices) if index not in element.indices)
    repeated = 1
    for k in lost:  # an index that no factor has
        if all(array.shape[k] == 1 for array in arrays):
            repeated *= shape[k]
    whole = _as_integers(arrays)
    if whole is None:
        total = np.sum(_product(arrays), axis=lost)
    else:
        integers, exponent = whole
        total = _map(lambda n: mpmath.mpf((n, exponent)), np.sum(_product(integers), axis=lost))
    kept = [k for k in range(len(shape)) if k not in lost]
    full = np.broadcast_to(np.asarray(total, dtype=object), [shape[k] for k in kept])
    full = full if repeated == 1 else np.asarray(full * repeated, dtype=object)
    names = [step.indices[k] for k in kept]
    return np.transpose(full, [names.index(index) for index in element.indices]) if names else full


def _product(arrays: Sequence[Array]) -> Array:
    total = arrays[0]
    for array in arrays[1:]:
        total = total * array
    return total


def _as_integers(arrays: Sequence[Array]) -> tuple[list[Array], int] | None:
    """Arrays as integers, and the exponent of two that their product has in common; None where that cannot be."""
    found, exponents = [], 0
    for array in arrays:
        parts = [number._mpf_ if isinstance(number, mpmath.mpf) else mpmath.mpf(number)._mpf_ for number in array.flat]
        used = [part for part in parts if part[1]]
        if any(not part[1] and part[2] for part in parts):  # infinity or NaN
            return None
        low = min((part[2] for part in used), default=0)
        if max((part[2] + part[3] for part in used), default=0) - low > WIDEST:
            return None
        whole = ((-1 if s else 1) * (int(man) << (exponent - low)) if man else 0 for s, man, exponent, _ in parts)
        found.append(array_of(whole, array.shape))
        exponents += low
    return found, exponents

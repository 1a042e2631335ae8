"""Evaluates a Program with NumPy, or with mpmath to any number of digits. Every stage is tested against it.

Expressions are interpreted node by node. NumPy evaluates a node for all indices at once, and stable functions by their
stable forms; mpmath evaluates one value at a time, and stable functions by their definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import mpmath
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, Mul

from nncodegen.ir.arithmetics import Arrays, Exact
from nncodegen.ir.equations import solve
from nncodegen.ir.program import Element, Program, Step, Tensor, elements
from nncodegen.ir.recurrence import RECURRENCES, Group, grouped
from nncodegen.ir.reductions import reduction
from nncodegen.ir.walk import walk

Array = NDArray[Any]


def evaluate(
    program: Program,
    parameters: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    digits: int | None = None,
    noise: Mapping[str, ArrayLike] | None = None,
) -> dict[str, Array]:
    """The values of all tensors of a program, by name, computed with NumPy, or with ``digits`` by mpmath.

    parameters has shape (P,), X (N, inputs), Y (N, targets), weight (N,), by default 1/N each; noise maps names to
    arrays (N, ...), by default 0. With ``digits``, the results hold mpmath numbers; give decimal numbers as mpmath
    numbers then, since a float such as 0.1 is not exactly 0.1.
    """
    with mpmath.workdps(digits or mpmath.mp.dps), np.errstate(all="ignore"):
        values = _bind(program, parameters, X, Y, weight, digits)
        samples = len(values[program.weight.name])
        for tensor in (source.tensor for source in program.noise):
            values[tensor.name] = np.broadcast_to(
                np.asarray((noise or {}).get(tensor.name, 0.0)), (samples, *(size or 0 for size in tensor.shape[1:]))
            )
        lengths = {index: samples if size is None else size for index, size in program.sizes.items()}
        for item in grouped(program.steps):
            add_values(item, values, lengths, digits)
    return values


def add_values(
    item: Step | Group, values: dict[str, Array], lengths: Mapping[str, int], digits: int | None = None
) -> None:
    """Adds what a step defines, or steps that depend on each other, to the values of tensors by name.

    lengths has the size of every index, that of the samples included.
    """
    if isinstance(item, Group):
        _repeat(item, values, lengths, digits)
    else:
        values[item.target.tensor] = _evaluate_step(item, values, lengths, digits)


def _bind(
    program: Program,
    parameters: ArrayLike,
    X: ArrayLike | None,
    Y: ArrayLike | None,
    weight: ArrayLike | None,
    digits: int | None,
) -> dict[str, Array]:
    """The values of inputs, targets, parameters, weights and noise."""

    def convert(given: ArrayLike) -> Array:
        array = np.asarray(given)
        return array.astype(float) if digits is None else np.frompyfunc(mpmath.mpf, 1, 1)(array.astype(object))

    samples = next((len(np.asarray(given)) for given in (X, Y) if given is not None), 1)
    equal = np.full(samples, convert(1) / samples)
    values: dict[str, Array] = {program.weight.name: equal if weight is None else convert(weight)}
    if program.present:
        values[program.present.name] = np.full(len(values[program.weight.name]), convert(1))
    for tensor, part in _parts(program.parameters, convert(parameters).reshape(1, -1)):
        values[tensor.name] = part.reshape([size or 0 for size in tensor.shape])
    for tensors, given in ((program.inputs, X), (program.targets, Y)):
        if tensors and given is not None:
            for tensor, part in _parts(tensors, convert(given).reshape(samples, -1)):
                values[tensor.name] = part.reshape([samples, *(size or 0 for size in tensor.shape[1:])])
    return values


def _parts(tensors: Iterable[Tensor], matrix: Array) -> Iterator[tuple[Tensor, Array]]:
    """Each tensor with its columns of a matrix."""
    start = 0
    for tensor in tensors:
        yield tensor, matrix[:, start : start + tensor.size]
        start += tensor.size


# --- steps -------------------------------------------------------------------------------------------------------


def _evaluate_step(
    step: Step,
    values: Mapping[str, Array],
    lengths: Mapping[str, int],
    digits: int | None,
    at: Mapping[str, int] = MappingProxyType({}),
) -> Array:
    """The values of a step; those at which its index of a recurrence is, where ``at`` gives one."""
    if step.operator in RECURRENCES:
        return _neighbour(step, values, digits, at)
    if step.where or at:
        return _evaluate_where(step, values, lengths, digits, at)
    shape = [lengths[index] for index in step.indices]
    factors = _factors(step.expression)
    if digits is None and step.operator == "sum" and factors:
        return _einsum(step, factors, values, shape)
    operands = {e: _align(values[e.tensor], e.indices, step.indices) for e in step.operands}
    result = np.broadcast_to(_of_operands(step.expression, operands, digits), shape)
    return result if step.operator is None else _reduced(step, result, step.over)


def _of_operands(expression: Expr, operands: Mapping[Element, Array], digits: int | None) -> Any:
    """The values of an expression of arrays that fit each other."""
    read = {element: operands[element] for element in elements(expression)}
    return interpret(expression, read, exact=False) if digits is None else _one_by_one(expression, read)


def _reduced(step: Step, values: Array, over: tuple[str, ...], indices: tuple[str, ...] | None = None) -> Array:
    """What an operator makes of values under indices, by default those of the step."""
    found = step.indices if indices is None else indices
    return reduction(step.operator).array(values, tuple(found.index(index) for index in over))


def _neighbour(step: Step, values: Mapping[str, Array], digits: int | None, at: Mapping[str, int]) -> Array:
    """The values before or after, with 0 at the end: all of them, or those at one value of the index."""
    (index,) = step.over
    read = np.asarray(values[step.operands[0].tensor])
    axis, move = step.target.indices.index(index), -1 if step.operator == "before" else 1
    zero = np.zeros_like(np.take(read, [0], axis))
    if index in at:
        place = at[index] + move
        return np.take(read, [place], axis) if 0 <= place < read.shape[axis] else zero
    parts = [zero, np.delete(read, -1, axis)] if move < 0 else [np.delete(read, 0, axis), zero]
    return np.concatenate(parts, axis)


def _repeat(group: Group, values: dict[str, Array], lengths: Mapping[str, int], digits: int | None) -> None:
    """Adds the values of steps that depend on each other, for one value of their index after the other."""
    kind = float if digits is None else object
    for step in group.steps:
        values[step.target.tensor] = np.zeros([lengths[index] for index in step.target.indices], kind)
        if digits is not None:
            values[step.target.tensor][...] = mpmath.mpf(0)
    times = range(lengths[group.index])
    for time in times if group.forward else reversed(times):
        for step in group.steps:
            found = _evaluate_step(step, values, lengths, digits, {group.index: time})
            axis = step.target.indices.index(group.index)
            values[step.target.tensor][(slice(None),) * axis + (slice(time, time + 1),)] = found


def _whole(number: Any) -> int:
    """A whole number, or -1, which no index has."""
    value = float(number)
    return int(value) if value.is_integer() and abs(value) < 2**53 else -1


def _evaluate_where(
    step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], digits: int | None, at: Mapping[str, int]
) -> Array:
    """The values of a step with equations: its terms are gathered, and those that do not exist leave no trace."""
    solved = solve(step.where, step.over, lengths)
    indices = tuple(index for index in step.indices if index not in {s.index for s in solved.solutions})
    grid: dict[str, Array] = {}
    for axis, index in enumerate(indices):
        along = np.arange(lengths[index]) if index not in at else np.array([at[index]])
        grid[index] = along.reshape([-1 if k == axis else 1 for k in range(len(indices))])

    def read(element: Element) -> Array:
        if not element.indices:
            return np.asarray(values[element.tensor])
        return np.asarray(values[element.tensor][tuple(grid[index] for index in element.indices)])

    def total(terms: Iterable[tuple[str | Element, int]], offset: int) -> Any:
        named = ((read(name) if isinstance(name, Element) else grid[name], factor) for name, factor in terms)
        return sum((factor * value for value, factor in named), start=np.asarray(offset))

    holds = np.asarray(True)
    for solution in solved.solutions:
        value = total(solution.terms, solution.offset)
        value = np.asarray([_whole(number) for number in value.flat], np.int64).reshape(value.shape)
        inside = (value % solution.divisor == 0) & (value >= 0) & (value < solution.divisor * lengths[solution.index])
        holds = holds & inside
        grid[solution.index] = np.where(inside, value // solution.divisor, 0)
    for equation in solved.conditions:
        left = read(equation.left) if isinstance(equation.left, Element) else grid[equation.left]
        holds = holds & np.asarray(left == total(equation.terms, equation.offset), bool)
    result = _of_operands(step.expression, {element: read(element) for element in step.operands}, digits)
    neutral = reduction(step.operator).neutral if step.operator else 0.0
    shape = [1 if index in at else lengths[index] for index in indices]
    terms = np.broadcast_to(np.where(holds, result, neutral if digits is None else mpmath.mpf(neutral)), shape)
    reduced = tuple(index for index in step.over if index in indices)
    if step.operator is None or (not reduced and step.operator != "first"):
        return terms
    return _reduced(step, terms, reduced, indices)


def _one_by_one(expression: Expr, operands: Mapping[Element, Array]) -> Array:
    """An expression of mpmath numbers."""
    if not operands:
        return np.asarray(interpret(expression, {}, exact=True), dtype=object)
    function = np.frompyfunc(
        lambda *numbers: interpret(expression, dict(zip(operands, numbers, strict=True)), exact=True), len(operands), 1
    )
    return np.asarray(function(*operands.values()), dtype=object)


def _factors(expression: Expr) -> list[Element]:
    """The elements in a product of a number and elements; an empty list for any other expression."""
    coefficient, rest = expression.as_coeff_Mul()
    factors = Mul.make_args(rest)
    return list(factors) if coefficient.is_number and all(isinstance(f, Element) for f in factors) else []


def _einsum(step: Step, factors: list[Element], values: Mapping[str, Array], shape: list[int]) -> Array:
    letters = {index: chr(ord("a") + k) for k, index in enumerate(step.indices)}
    arrays = [values[element.tensor] for element in factors]
    terms = ["".join(letters[index] for index in element.indices) for element in factors]
    for index, length in zip(step.indices, shape, strict=True):
        if not any(index in element.indices for element in factors):  # a sum of equal terms
            arrays.append(np.ones(length))
            terms.append(letters[index])
    result = "".join(letters[index] for index in step.target.indices)
    coefficient = float(step.expression.as_coeff_Mul()[0])
    total: Array = np.einsum(f"{','.join(terms)}->{result}", *arrays, optimize=True)
    return np.asarray(coefficient * total)


def _align(array: Array, indices: tuple[str, ...], wanted: tuple[str, ...]) -> Array:
    """The array with one axis for each wanted index; an axis that it lacks has length 1."""
    order = sorted(range(len(indices)), key=lambda axis: wanted.index(indices[axis]))
    lengths = dict(zip(indices, array.shape, strict=True))
    return np.transpose(array, order).reshape([lengths.get(index, 1) for index in wanted])


# --- expressions -------------------------------------------------------------------------------------------------


def interpret(node: Any, values: Mapping[Element, Any], exact: bool) -> Any:
    """The value of an expression: over arrays, or (``exact``) over mpmath numbers, one value at a time."""
    return walk(node, Exact(values) if exact else Arrays(values))

"""Evaluates a Program with NumPy, or with mpmath to any number of digits. Every stage is tested against it.

Expressions are interpreted node by node. NumPy evaluates a node for all indices at once, and stable functions by their
stable forms; mpmath evaluates one value at a time, and stable functions by their definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, S, sympify

from nncodegen.compiler.ir.arithmetics import Arrays, Exact
from nncodegen.compiler.ir.element import SAMPLE, Element, elements
from nncodegen.compiler.ir.equations import solve
from nncodegen.compiler.ir.program import Program, slices_of
from nncodegen.compiler.ir.recurrence import Group, grouped
from nncodegen.compiler.ir.reductions import NORMALIZATIONS, reduction
from nncodegen.compiler.ir.step import Step, needed
from nncodegen.compiler.ir.steps import Evaluation, contraction
from nncodegen.compiler.ir.systems import INTEGRATE
from nncodegen.compiler.ir.walk import walk
from nncodegen.errors import ProgramError

Array = NDArray[Any]


def evaluate(
    program: Program,
    parameters: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    digits: int | None = None,
    noise: Mapping[str, ArrayLike] | None = None,
    results: Sequence[Element] = (),
    present: ArrayLike | None = None,
) -> dict[str, Array]:
    """Return the values of all tensors of a program, by name, computed with NumPy, or with ``digits`` by mpmath.

    parameters has shape (P,), X (N, inputs), Y (N, targets), weight (N,), by default 1/N each; noise maps names to
    arrays (N, ...), by default 0; present (N,) is 0 for rows that no statistics of a batch count, by default 1. With
    ``digits``, the results hold mpmath numbers; pass decimal numbers as mpmath numbers then, since a float such as 0.1
    is not exactly 0.1. Where ``results`` are given, only what they need is computed; without Y, what the outputs need,
    which is the whole program if it has no targets. Raises ProgramError where X or Y is missing and needed.
    """
    if Y is None and program.targets and not results:
        results = program.outputs
    steps = needed(program.steps, results) if results else program.steps
    _check_given(program, steps, results, X, Y)
    with mpmath.workdps(digits or mpmath.mp.dps), np.errstate(all="ignore"):
        values = _bind(program, parameters, X, Y, weight, present, digits)
        samples = len(values[program.weight.name])
        for tensor in (source.tensor for source in program.noise):
            values[tensor.name] = np.broadcast_to(
                np.asarray((noise or {}).get(tensor.name, 0.0)), (samples, *(size or 0 for size in tensor.shape[1:]))
            )
        lengths = {index: samples if size is None else size for index, size in program.sizes.items()}
        for item in grouped(steps):
            add_values(item, values, lengths, digits)
    return values


def outcomes(program: Program, parameters: ArrayLike, X: ArrayLike) -> tuple[str, ...]:
    """Return for each sample in a word how the steps of its differential equations ended (see ``integrate``)."""
    (step,) = (each for each in program.steps if each.operator == INTEGRATE)
    of_operands = replace(program, steps=needed(program.steps, step.operands), outputs=(), loss=None)
    values = evaluate(of_operands, parameters, X, results=step.operands)
    with np.errstate(all="ignore"):
        return tuple(outcome for _, outcome in FLOATS.paths(step, values))


def columns_of(arrays: Sequence[Array], elements: Sequence[Element], samples: int) -> Array:
    """Return results of each sample, side by side: (samples, columns)."""
    parts = []
    for array, element in zip(arrays, elements, strict=True):
        if SAMPLE in element.indices:
            parts.append(np.moveaxis(array, element.indices.index(SAMPLE), 0).reshape(samples, -1))
        else:
            parts.append(np.broadcast_to(array.ravel(), (samples, array.size)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def add_values(
    item: Step | Group, values: dict[str, Array], lengths: Mapping[str, int], digits: int | None = None
) -> None:
    """Add the value of a step, or of steps that depend on each other, to the values of tensors by name.

    lengths has the size of every index, including that of the samples.
    """
    evaluation = FLOATS if digits is None else MANY
    if isinstance(item, Group):
        evaluation.repeat(item, values, lengths)
    else:
        values[item.target.tensor] = evaluation.compute(item, values, lengths)


def _check_given(
    program: Program, steps: Iterable[Step], results: Iterable[Element], X: ArrayLike | None, Y: ArrayLike | None
) -> None:
    """Raise ProgramError where steps read inputs or targets that were not given."""
    for data, tensors, data_array in (("X", program.inputs, X), ("Y", program.targets, Y)):
        if data_array is not None or not tensors:
            continue
        read = {element.tensor for step in steps for element in step.operands} | {result.tensor for result in results}
        missing = [tensor.name for tensor in tensors if tensor.name in read]
        if missing:
            columns = sum(tensor.size for tensor in tensors)
            raise ProgramError(f"the program reads {', '.join(missing)}: give {data}, of shape (N, {columns})")


def _bind(
    program: Program,
    parameters: ArrayLike,
    X: ArrayLike | None,
    Y: ArrayLike | None,
    weight: ArrayLike | None,
    present: ArrayLike | None,
    digits: int | None,
) -> dict[str, Array]:
    """Return the values of inputs, targets, parameters, weights and noise."""

    def convert(numbers: ArrayLike) -> Array:
        array = np.asarray(numbers)
        return array.astype(float) if digits is None else np.frompyfunc(mpmath.mpf, 1, 1)(array.astype(object))

    samples = next((len(np.asarray(data_array)) for data_array in (X, Y) if data_array is not None), 1)
    equal = np.full(samples, convert(1) / samples)
    values: dict[str, Array] = {program.weight.name: equal if weight is None else convert(weight)}
    if program.present:
        every = np.full(len(values[program.weight.name]), convert(1))
        values[program.present.name] = every if present is None else convert(present)
    flat = convert(parameters).ravel()
    for tensor, place in slices_of(program.parameters):
        values[tensor.name] = flat[place].reshape([size or 0 for size in tensor.shape])
    for tensors, data_array in ((program.inputs, X), (program.targets, Y)):
        if tensors and data_array is not None:
            columns = convert(data_array).reshape(samples, -1)
            for tensor, place in slices_of(tensors):
                values[tensor.name] = columns[:, place].reshape([samples, *(size or 0 for size in tensor.shape[1:])])
    return values


# --- steps -------------------------------------------------------------------------------------------------------


class _Arrays(Evaluation):
    """Arrays of numbers: the existing terms of steps with equations are gathered, the others are left out."""

    gathers = True

    def with_equations(
        self, step: Step, values: Mapping[str, Array], lengths: Mapping[str, int], at: Mapping[str, int]
    ) -> Array:
        """Return the value of a step with equations; if ``at`` holds an index, only that part."""
        keeps = step.operator in NORMALIZATIONS
        solved = solve(step.where, step.given if keeps else step.over, lengths)
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
            inside = (value >= 0) & (value < solution.divisor * lengths[solution.index])
            inside = inside & (value % solution.divisor == 0)
            holds = holds & inside
            grid[solution.index] = np.where(inside, value // solution.divisor, 0)
        for equation in solved.conditions:
            left = read(equation.left) if isinstance(equation.left, Element) else grid[equation.left]
            holds = holds & np.asarray(left == total(equation.terms, equation.offset), bool)
        result = self.elementwise(step.expression, {element: read(element) for element in elements(step.expression)})
        neutral = reduction(step.operator).neutral if step.operator else 0.0
        shape = [1 if index in at else lengths[index] for index in indices]
        terms = np.broadcast_to(np.where(holds, result, self.zeros(()) + neutral), shape)
        over = tuple(indices.index(index) for index in step.over if index in indices)
        if step.operator is None or (not over and step.operator != "first"):
            return terms
        reduced = reduction(step.operator).array(terms, over)
        return np.where(holds, reduced, self.zeros(())) if keeps else reduced


class _Floats(_Arrays):
    """Floating-point numbers, which NumPy computes for all indices at once."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Return an array of zeros."""
        return np.zeros(shape)

    def elementwise(self, expression: Expr, operands: Mapping[Element, Array]) -> Array:
        """Return the value of an expression of arrays."""
        return np.asarray(interpret(expression, operands, exact=False))

    def contracted(
        self, step: Step, factors: Sequence[Element], values: Mapping[str, Array], lengths: Mapping[str, int]
    ) -> Array:
        """Return a sum of products by NumPy's einsum."""
        text, lone = contraction(step, factors)
        arrays = [*(values[element.tensor] for element in factors), *(np.ones(lengths[index]) for index in lone)]
        total: Array = np.einsum(text, *arrays, optimize=True)
        return np.asarray(float(step.expression.as_coeff_Mul()[0]) * total)


class _Many(_Arrays):
    """Numbers of mpmath, one after the other."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Return an array of zeros."""
        return np.full(shape, mpmath.mpf(0), dtype=object)

    def elementwise(self, expression: Expr, operands: Mapping[Element, Array]) -> Array:
        """Return the value of an expression of arrays."""
        if not operands:
            return np.asarray(interpret(expression, {}, exact=True), dtype=object)
        function = np.frompyfunc(
            lambda *numbers: interpret(expression, dict(zip(operands, numbers, strict=True)), exact=True),
            len(operands),
            1,
        )
        return np.asarray(function(*operands.values()), dtype=object)


class _Formulas(_Arrays):
    """Formulas of scalars, one after the other; sums are the only reductions that these have."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Return an array of zeros."""
        return np.full(shape, S.Zero, dtype=object)

    def elementwise(self, expression: Expr, operands: Mapping[Element, Array]) -> Array:
        """Return an array of formulas: an expression with formulas in place of its elements."""
        if not operands:
            return np.asarray(expression, dtype=object)
        function = np.frompyfunc(
            lambda *parts: expression.xreplace(dict(zip(operands, map(sympify, parts), strict=True))), len(operands), 1
        )
        return np.asarray(function(*operands.values()), dtype=object)


FLOATS, MANY, FORMULAS = _Floats(), _Many(), _Formulas()


def _whole(number: Any) -> int:
    """Return a whole number; -1, which no index has, for any other number."""
    value = float(number)
    return int(value) if value.is_integer() and abs(value) < 2**53 else -1


# --- expressions -------------------------------------------------------------------------------------------------


def interpret(node: Any, values: Mapping[Element, Any], exact: bool) -> Any:
    """Return the value of an expression: over arrays, or (``exact``) over mpmath numbers, one value at a time."""
    return walk(node, Exact(values) if exact else Arrays(values))

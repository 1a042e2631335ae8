"""The steps of a program that some results need, as functions that NumPy runs one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import RECURRENCES, SAMPLE, Element, Group, Program, Step, Tensor, grouped, needed
from nncodegen.ir.evaluate import add_values
from nncodegen.ir.reductions import reduction
from nncodegen.ir.steps import contraction, factors_of
from nncodegen.slow.expressions import Function, translated

Array = NDArray[Any]
Lengths = Mapping[str, int]
"""The length of each index, including that of the samples."""

LARGE = 20_000
"""From this number of multiplications on, a product of arrays is worth BLAS and the search for an order of factors."""


@dataclass(frozen=True)
class Samples:
    """The samples: inputs and targets (N, columns), or None; weights (N,); noise by name, 0 if there is none.

    All arrays are float64. The inputs may be sparse: then a part of them at a time is made full (``batches.py``).
    """

    X: Any
    Y: Array | None
    weight: Array
    noise: Mapping[str, Array] | None = None


class Plan:
    """A function that computes some results of a program."""

    def __init__(self, program: Program, results: Sequence[Element]) -> None:
        self.program, self.results = program, tuple(results)
        steps = needed(program.steps, results)
        self._steps = [_added(item) for item in grouped(steps)]
        self._sizes = {index: size for index, size in program.sizes.items() if size is not None}
        self._read = {element.tensor for step in steps for element in step.operands} | {e.tensor for e in results}

    def __call__(self, parameters: Array, samples: Samples) -> list[Array]:
        """Return the values of the results, each with the axes of its indices. parameters is (P,), float64."""
        count = len(samples.weight)
        lengths = {SAMPLE: count, **self._sizes}
        values = self._bound(parameters, samples, count)
        with np.errstate(all="ignore"):
            for step in self._steps:
                step(values, lengths)
        return [values[element.tensor] for element in self.results]

    def _bound(self, parameters: Array, samples: Samples, count: int) -> dict[str, Any]:
        """Return the values of the tensors that no step computes: parameters, inputs, targets, weights, noise."""
        program, values = self.program, dict[str, Any]({self.program.weight.name: samples.weight})
        if program.present:
            values[program.present.name] = np.ones(count)
        for name, place, shape in _parts(program.parameters):
            values[name] = parameters[place].reshape(shape)
        for tensors, rows in ((program.inputs, samples.X), (program.targets, samples.Y)):
            for name, place, shape in _parts(tensors):
                if rows is not None and name in self._read:
                    values[name] = rows[:, place].reshape(count, *shape)
        for source in program.noise:
            given = (samples.noise or {}).get(source.tensor.name)
            zeros = np.broadcast_to(0.0, (count, *(size for size in source.tensor.shape if size is not None)))
            values[source.tensor.name] = zeros if given is None else given.reshape(zeros.shape)
        return values


def columns_of(arrays: Sequence[Array], elements: Sequence[Element], samples: int) -> Array:
    """Return the results for each sample, side by side: (samples, columns)."""
    parts = []
    for array, element in zip(arrays, elements, strict=True):
        if SAMPLE in element.indices:
            parts.append(np.moveaxis(array, element.indices.index(SAMPLE), 0).reshape(samples, -1))
        else:
            parts.append(np.broadcast_to(array.ravel(), (samples, array.size)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _parts(tensors: Iterable[Tensor]) -> list[tuple[str, slice, tuple[int, ...]]]:
    """Return the name of each tensor, its columns, and its shape without the axis of the samples."""
    found, start = [], 0
    for tensor in tensors:
        shape = tuple(size for size in tensor.shape if size is not None)
        found.append((tensor.name, slice(start, start + tensor.size), shape))
        start += tensor.size
    return found


# --- steps -------------------------------------------------------------------------------------------------------

Runnable = Callable[[Mapping[str, Array], Lengths], Array]


def _added(item: Step | Group) -> Callable[[dict[str, Array], Lengths], None]:
    """Return a function that runs a step, or the steps of a recurrence, and adds their values to ``values``."""
    if isinstance(item, Group) or item.where or item.operator in RECURRENCES:
        return lambda values, lengths: add_values(item, values, lengths)
    name, step = item.target.tensor, _translated(item)

    def add(values: dict[str, Array], lengths: Lengths) -> None:
        values[name] = step(values, lengths)

    return add


def _translated(step: Step) -> Runnable:
    """Return a step as a function of the values computed before it and of the lengths of the indices."""
    factors = factors_of(step.expression)
    if step.operator == "sum" and factors:
        return _product(step, factors)
    operands, indices = step.operands, step.indices
    views = [(element.tensor, _alignment(element.indices, indices)) for element in operands]
    function: Function = translated(step.expression, operands)

    def values_of(values: Mapping[str, Array], lengths: Lengths) -> Array:
        found = function([values[name] if view is None else view(values[name]) for name, view in views])
        shape = tuple(lengths[index] for index in indices)
        return found if found.shape == shape else np.broadcast_to(found, shape)

    if step.operator is None:
        return values_of
    combine, axes = reduction(step.operator).array, tuple(indices.index(index) for index in step.over)
    return lambda values, lengths: combine(values_of(values, lengths), axes)


def _product(step: Step, factors: list[Element]) -> Runnable:
    """Return a function that computes a sum of products with NumPy's einsum."""
    text, lone = contraction(step, factors)
    names, coefficient = [element.tensor for element in factors], float(step.expression.as_coeff_Mul()[0])

    def total(values: Mapping[str, Array], lengths: Lengths) -> Array:
        arrays = [values[name] for name in names] + [np.ones(lengths[index]) for index in lone]
        multiplications = 1
        for index in step.indices:
            multiplications *= lengths[index]
        found = np.einsum(text, *arrays, optimize=multiplications > LARGE)
        return np.asarray(found if coefficient == 1 else coefficient * found)

    return total


def _alignment(indices: tuple[str, ...], wanted: tuple[str, ...]) -> Callable[[Array], Array] | None:
    """Return a function that gives an array one axis for each wanted index, or None if that is not necessary."""
    if indices == wanted or not indices:
        return None
    order = sorted(range(len(indices)), key=lambda axis: wanted.index(indices[axis]))
    places: Any = tuple(slice(None) if index in indices else None for index in wanted)
    if order == list(range(len(indices))):
        return lambda array: array[places]
    return lambda array: np.transpose(array, order)[places]

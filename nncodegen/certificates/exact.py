"""The exact values of a program, in many digits: all its tensors, and the derivatives of its loss by them.

The derivatives are accumulated in reverse, by the chain rule over the steps as they are, with the functions and
derivatives of ``ir.elementary``. This module uses no stage of the compiler, as it judges these. Steps that depend on
each other are computed for one value of their index after the other, and back in the other order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.one_step import CERTAIN, backward, compute
from nncodegen.certificates.products import Array, array_of, zeros
from nncodegen.compiler.ir import Group, Program, Step, grouped, slices_of, steps_of
from nncodegen.compiler.ir.steps import as_computed, part_of, times_of


def bind(program: Program, parameters: Array, X: Array, Y: Array) -> dict[str, Array]:
    """Return the tensors from outside, by name: parameters (P,), inputs and targets (N, columns), equal weights.

    The arguments may be floating-point numbers, which are taken as they are, or numbers of mpmath. Noise is 0.
    """
    samples = len(X)
    values = {program.weight.name: np.full(samples, mpmath.mpf(1) / samples, dtype=object)}
    if program.present:
        values[program.present.name] = np.full(samples, mpmath.mpf(1), dtype=object)
    for source in program.noise:
        values[source.tensor.name] = zeros([samples, *(size or 1 for size in source.tensor.shape[1:])])
    numbers = many(parameters)
    for tensor, value_range in slices_of(program.parameters):
        values[tensor.name] = numbers[value_range].reshape([size or 1 for size in tensor.shape])
    for tensors, matrix in ((program.inputs, X), (program.targets, Y)):
        columns = many(matrix)
        for tensor, value_range in slices_of(tensors):
            values[tensor.name] = columns[:, value_range].reshape([samples, *(size or 1 for size in tensor.shape[1:])])
    return values


def many(values: Any) -> Array:
    """Return an array as numbers of mpmath, exactly equal to the given floating-point numbers."""
    array = np.asarray(values)
    if array.dtype == object and all(type(number) is mpmath.mpf for number in array.flat):
        return array
    wide = array if array.dtype == object else array.astype(float).astype(object)
    return array_of((mpmath.mpf(number) for number in wide.flat), wide.shape)


def run(
    program: Program, bound: Mapping[str, Array], then: Callable[[Step, Array], Array] = as_computed
) -> dict[str, Array]:
    """Return the values of all given tensors and of all steps; ``then`` may change the value of a step."""
    return computed(program.steps, bound, lengths_of(program, len(bound[program.weight.name])), then)


def computed(
    steps: Iterable[Step],
    bound: Mapping[str, Array],
    lengths: Mapping[str, int],
    then: Callable[[Step, Array], Array] = as_computed,
) -> dict[str, Array]:
    """Return the values of given tensors and of steps, with the length of each index."""
    values = dict(bound)
    for item in grouped(steps):
        if isinstance(item, Group):
            CERTAIN.repeat(item, values, lengths, then)
        else:
            values[item.target.tensor] = then(item, compute(item, values, lengths))
    return values


def lengths_of(program: Program, samples: int) -> dict[str, int]:
    """Return the length of each index."""
    return {index: samples if size is None else size for index, size in program.sizes.items()}


def derivatives(
    program: Program, values: Mapping[str, Array], seeds: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Return the derivatives of the loss by all tensors that it depends on, given their values.

    With ``seeds``, they are those of the sum of other tensors times these numbers.
    """
    lengths = lengths_of(program, len(values[program.weight.name]))
    seeds = seeds or {program.required_loss.tensor: np.asarray(mpmath.mpf(1), dtype=object)}
    received = received_by(program.steps, values, lengths, seeds)
    for tensor in program.parameters:
        if tensor.name not in received or not tensor.trained:
            received[tensor.name] = zeros([size or 1 for size in tensor.shape])
    return received


def received_by(
    steps: Iterable[Step], values: Mapping[str, Array], lengths: Mapping[str, int], seeds: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the derivatives of the sum of tensors times their seeds, by all tensors that steps lead to them from."""
    received: dict[str, Array] = dict(seeds)

    def back(step: Step, at: Mapping[str, int]) -> None:
        if step.target.tensor in received:
            received_part = part_of(received[step.target.tensor], step.target, at)
            for element, part, where in backward(step, values, lengths, received_part, at):
                known = received.get(element.tensor)
                if not where:
                    received[element.tensor] = part if known is None else known + part
                    continue
                whole = zeros(values[element.tensor].shape) if known is None else np.array(known, dtype=object)
                place = part_of(whole, element, where)
                place[...] = place + part
                received[element.tensor] = whole

    for item in reversed(grouped(steps)):
        for at in reversed(times_of(item, lengths)) if isinstance(item, Group) else [{}]:
            for step in reversed(steps_of(item)):
                back(step, at)
    return received

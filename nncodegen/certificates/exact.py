"""The exact values of a program, in many digits: all its tensors, and the derivatives of its loss by them.

The derivatives are accumulated in reverse, by the chain rule over the steps as they are, with the functions and
derivatives of ``ir.elementary``. This module uses no stage of the compiler, as it judges these. Steps that depend on
each other are computed for one value of their index after the other, and back in the other order.

The last steps of a program may contain derivatives of other steps by inputs: those are accumulated in the same way, and
second ones are differences of these at a distance of 10**-60.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import mpmath
import numpy as np
from sympy import Derivative

from nncodegen.certificates.one_step import CERTAIN, backward, compute
from nncodegen.certificates.products import Array, array_of, zeros
from nncodegen.compiler.ir import SAMPLE, Element, Group, Program, Step, grouped, slices_of, steps_of
from nncodegen.compiler.ir.steps import as_computed, part_of, times_of

DISTANCE = "1e-60"
"""The distance of the inputs between which first derivatives are subtracted."""

MORE_DIGITS = 200
"""The digits that such a difference takes in addition to those of a first derivative."""


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
    lengths = lengths_of(program, len(bound[program.weight.name]))
    count = len(program.steps)
    while count and program.steps[count - 1].expression.has(Derivative):
        count -= 1
    values = computed(program.steps[:count], bound, lengths, then)
    derived = _ByInputs(program.steps[:count], bound, values, lengths)
    for step in program.steps[count:]:
        values[step.target.tensor] = derived.of(step)
    return values


class _ByInputs:
    """Derivatives of steps by inputs, one for each sample; those of a step by all inputs come from one sweep."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        bound: Mapping[str, Array],
        values: Mapping[str, Array],
        lengths: Mapping[str, int],
    ) -> None:
        self._steps, self._bound, self._values, self._lengths = steps, bound, values, lengths
        self._first: dict[str, dict[str, Array]] = {}
        self._ends: dict[tuple[str, str], tuple[dict[str, Array], dict[str, Array]]] = {}

    def of(self, step: Step) -> Array:
        """Return the value of a step that contains derivatives."""
        nodes = sorted(step.expression.atoms(Derivative), key=str)
        known = {node: Element(f"derivative {k}", (SAMPLE,)) for k, node in enumerate(nodes)}
        values = dict(self._values) | {known[node].tensor: self._derivative(node) for node in nodes}
        return compute(step.xreplace(known), values, self._lengths)

    def _derivative(self, node: Derivative) -> Array:
        """Return a derivative of first or second order."""
        by = [variable.tensor for variable, order in node.variable_count for _ in range(int(order))]
        tensor = node.expr.tensor
        if len(by) == 1:
            if tensor not in self._first:
                self._first[tensor] = self._received(tensor, self._values)
            return self._of_input(by[0], self._first[tensor])
        first, moved = by
        with mpmath.workdps(mpmath.mp.dps + MORE_DIGITS):
            if (tensor, moved) not in self._ends:
                upper, lower = (self._beside(tensor, moved, side) for side in (1, -1))
                self._ends[tensor, moved] = upper, lower
            above, below = (self._of_input(first, end) for end in self._ends[tensor, moved])
            return np.asarray((above - below) / mpmath.mpf(DISTANCE), dtype=object)

    def _beside(self, tensor: str, moved: str, side: int) -> dict[str, Array]:
        """Return the first derivatives of a step where an input is moved by half the distance."""
        bound = {**self._bound, moved: self._bound[moved] + side * mpmath.mpf(DISTANCE) / 2}
        return self._received(tensor, computed(self._steps, bound, self._lengths))

    def _received(self, tensor: str, values: Mapping[str, Array]) -> dict[str, Array]:
        ones = np.full(values[tensor].shape, mpmath.mpf(1), dtype=object)
        return received_by(self._steps, values, self._lengths, {tensor: ones})

    def _of_input(self, name: str, received: Mapping[str, Array]) -> Array:
        shape = self._bound[name].shape
        return np.broadcast_to(received[name], shape) if name in received else zeros(shape)


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

"""Recurrent steps as one Scan: its body computes one time step from the results of the previous one.

Values from outside that have the index of time are sliced along it; all others that the body reads are captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Group, Program, Step
from nncodegen.formats.onnx.writing.graph import Body, OnnxGraph, Value

ROWS = "N"
"""The name of the size of a batch, which is known when the model runs."""


class Writer(Protocol):
    """A writer of steps to a graph."""

    graph: OnnxGraph

    def read(self, element: Element) -> Value:
        """Return the value of an element."""

    def zeros(self, indices: Sequence[str]) -> Value:
        """Return zeros with all of these indices."""

    def inside(self, steps: Sequence[Step], values: Mapping[str, Value]) -> Writer:
        """Return a writer of other steps, which read these values by name."""


def scanned(group: Group, program: Program, outside: Sequence[str], writer: Writer) -> dict[str, Value]:
    """Write a group of steps; return the values of those of its tensors that are read outside, by name."""
    graph, t = writer.graph, group.index
    targets = {step.target.tensor: step.target for step in group.steps}
    recurrences = [step for step in group.steps if step.operator in RECURRENCES]
    states = list(dict.fromkeys(step.operands[0].tensor for step in recurrences))
    read = {e.tensor: e for step in group.steps for e in step.operands if e.tensor not in targets}
    values = {name: writer.read(element) for name, element in read.items()}
    sliced = [name for name, element in read.items() if t in element.indices]
    begun = [writer.zeros(_without(targets[name].indices, t)) for name in states]
    sequences = [graph.transposed(values[name], (t, *_without(read[name].indices, t))).name for name in sliced]
    if not sliced:  # a Scan has at least one input, whose length is the number of iterations
        sequences = [graph.constant(np.zeros(program.sizes[t] or 1))]
    body = Body()
    for name in states:
        body.add_input(graph, f"{name}_before", _shape(_without(targets[name].indices, t), program))
    for name in sliced or ["time"]:
        indices = _without(read[name].indices, t) if sliced else ()
        body.add_input(graph, f"{name}_now", _shape(indices, program))
    held = dict(zip(states, body.inputs, strict=False))
    slices = dict(zip(sliced, list(body.inputs)[len(states) :], strict=False))
    for name, element in read.items():
        values[name] = Value(graph, slices.get(name, values[name].name), _without(element.indices, t))
    for step in recurrences:
        name = step.operands[0].tensor
        values[step.target.tensor] = Value(graph, held[name], _without(step.target.indices, t))
    inner = [_at_one_time(step, t) for step in group.steps if step.operator not in RECURRENCES]
    with graph.inside(body):
        in_body = writer.inside(inner, values)
        for name in (*states, *outside):
            target = targets[name]
            state = in_body.read(Element(name, _without(target.indices, t)))
            body.add_output(graph, state.name, _shape(state.indices, program))
    backwards = {"scan_input_directions": [1] * len(sequences), "scan_output_directions": [1] * len(outside)}
    results = graph.scan(
        body,
        [*(value.name for value in begun), *sequences],
        [*(f"{name}_end" for name in states), *outside],
        num_scan_inputs=len(sequences),
        **({} if group.forward else backwards),
    )
    ends = zip(outside, results[len(states) :], strict=True)
    return {
        name: graph.transposed(Value(graph, result, (t, *_without(targets[name].indices, t))), targets[name].indices)
        for name, result in ends
    }


def _without(indices: Sequence[str], t: str) -> tuple[str, ...]:
    return tuple(index for index in indices if index != t)


def _at_one_time(step: Step, t: str) -> Step:
    """Return a step for one value of the index of time."""
    target = Element(step.target.tensor, _without(step.target.indices, t))
    known = {e: Element(e.tensor, _without(e.indices, t)) for e in step.operands}
    return Step(target, step.expression.xreplace(known), step.operator, step.over, step.where)


def _shape(indices: Sequence[str], program: Program) -> list[int | str]:
    """Return the sizes of axes, as a file gives them."""
    return [ROWS if index == SAMPLE else program.sizes[index] or 0 for index in indices]

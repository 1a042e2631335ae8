"""The operator Scan, as steps that recur: see ``ir.recurrence``.

Its body is read once, for all times: what it reads and gives has the index of time, but no axis for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nncodegen.errors import ModelError
from nncodegen.imports.onnx.axes import UNIT, Segments
from nncodegen.imports.onnx.call import Call, Operand
from nncodegen.imports.onnx.shapes import as_operand
from nncodegen.imports.onnx.values import Value
from nncodegen.ir import SAMPLE, Element, Equation, Step
from nncodegen.ir.program import renamed


def scan(call: Call) -> list[Value]:
    """The final states, and the outputs of all steps."""
    builder, body = call.builder, call.node.body
    count = call.whole("num_scan_inputs", 0)
    states, given = len(call.inputs) - count, range(len(call.inputs) - count, len(call.inputs))
    if body is None or count < 1 or states < 0 or len(body.inputs) != len(call.inputs) or len(body.outputs) < states:
        raise ModelError(f"{call.node} has a body that does not fit its inputs and outputs")
    backwards = _backwards(call, count, len(body.outputs) - states)
    read = [call.value(k) for k in given]
    lengths = {builder.axes.length(value.axes[0]) if value.axes else None for value in read}
    if len(lengths) > 1 or None in lengths:
        raise ModelError(f"{call.node} runs over axes of different lengths, or over the samples of a batch")
    steps, T = lengths.pop() or 1, call.node.name or call.node.outputs[0]
    segments = builder.axes.segments(f"{T}:steps", steps)
    whole = segments
    if segments != UNIT and (len(segments) > 1 or len(segments[0]) > 1):  # what other nodes cut it into
        whole = builder.axes.segments(f"{T}:steps together", steps)
    now = [builder.without(_at_once(builder.together(builder.held(one, "x"), 0, whole)), 0) for one in read]
    recurring = _States(call, states, whole, steps, backwards)
    known: dict[str, Operand] = dict(call.scope)
    known |= {name: as_operand(name, array) for name, array in body.constants.items()}
    known |= dict(zip(body.inputs, [*recurring.before, *now], strict=True))
    builder.time = whole[0][0] if whole != UNIT else None
    try:
        call.evaluate(body.nodes, body.outputs, known)
        results = [_result(call, name, known[name]) for name in body.outputs]
        results = [builder.held(value, "y") for value in results]
    finally:
        builder.time = None
    ends = recurring.defined(results[:states])
    outputs = [_with_axis(value, whole) for value in results[states:]]
    return [*ends, *(builder.apart(value, 0, segments) for value in outputs)]


def _backwards(call: Call, inputs: int, outputs: int) -> bool:
    """Whether time runs backwards. Raises ModelError for other axes than the first, and for both ways at once."""
    axes = {*call.wholes("scan_input_axes", ()), *call.wholes("scan_output_axes", ())} - {0}
    ways = {
        *call.wholes("scan_input_directions", (0,) * inputs), *call.wholes("scan_output_directions", (0,) * outputs)
    }  # fmt: skip
    if axes or len(ways) > 1 or not ways <= {0, 1}:
        raise ModelError(f"{call.node} runs over other axes than the first, or in both directions at once")
    return ways == {1}


def _result(call: Call, name: str, found: Operand) -> Value:
    if isinstance(found, Value):
        return found
    raise ModelError(f"{call.node} gives {name!r}, which its body does not compute")


def _at_once(value: Value) -> Value:
    """The same without an axis for time: the index of time is only in what its blocks read."""
    return replace(value, axes=(UNIT, *value.axes[1:]))


def _with_axis(value: Value, whole: Segments) -> Value:
    """The same with an axis for time, the first."""
    return replace(value, axes=(whole, *value.axes), blocks={(0, *p): block for p, block in value.blocks.items()})


class _States:
    """The states of a Scan: what the time before has left of them, and what this time makes of them.

    A recurrence reads a state under the indices that it is defined with, which are known when the body has been read:
    its steps are put in then, before those of the body.
    """

    def __init__(self, call: Call, count: int, whole: Segments, steps: int, backwards: bool) -> None:
        self._call, self._time, self._backwards = call, whole[0], backwards
        self._first, self._last = (steps - 1, 0) if backwards else (0, steps - 1)
        builder = call.builder
        self._starts = [builder.held(call.value(k), "start") for k in range(count)]
        self._names = [{position: builder.fresh("before") for position in start.blocks} for start in self._starts]
        self._place = len(builder.steps)
        self.before = [self._before(*one) for one in zip(self._starts, self._names, strict=True)]

    def _before(self, start: Value, names: dict[tuple[int, ...], str]) -> Value:
        """A state as the time before has left it, or as it begins."""
        if not self._time:  # a single step
            return start
        blocks = {p: Element(name, self._indices(start, p)) for p, name in names.items()}
        for block in blocks.values():
            self._call.builder.axes.together(block.indices)
        return replace(start, blocks=blocks, of_inputs=True, trained=True, undecided=frozenset())

    def _indices(self, value: Value, position: tuple[int, ...]) -> tuple[str, ...]:
        return (SAMPLE, *self._time, *(index for index in value.indices(position) if index != SAMPLE))

    def defined(self, results: Sequence[Value]) -> list[Value]:
        """The final states, after the steps that define those of all times."""
        return [self._final(*one) for one in zip(self._starts, results, self._names, strict=True)]

    def _final(self, start: Value, result: Value, names: dict[tuple[int, ...], str]) -> Value:
        builder, time = self._call.builder, self._time
        if builder.shape(start) != builder.shape(result):
            raise ModelError(f"{self._call.node} has a state that changes its shape from step to step")
        for one, other in zip(start.axes, result.axes, strict=True):
            if builder.axes.length(one) is not None:
                builder.axes.same_segments([one, other])
        if not time:
            return result
        blocks: dict[tuple[int, ...], Any] = {}
        for position, block in result.blocks.items():
            state = Element(builder.fresh("state"), self._indices(result, position))
            builder.axes.together(state.indices)
            builder.steps.append(Step(state, block))
            recurrence = self._recurrence(state, start, position, names[position])
            builder.steps[self._place : self._place] = recurrence
            where = (Equation(time[0], (), self._last),)
            indices = [index for index in state.indices if index not in time]
            blocks[position] = builder.step("last", indices, state, "sum", time, where=where)
        return replace(result, blocks=blocks)

    def _recurrence(self, state: Element, start: Value, position: tuple[int, ...], name: str) -> list[Step]:
        """The steps that read a state of the time before, with what it begins with."""
        builder, begun = self._call.builder, start.blocks[position]
        operator = "after" if self._backwards else "before"
        if begun.is_zero:
            return [Step(Element(name, state.indices), state, operator, self._time)]
        known = dict(zip(self._indices(start, position), state.indices, strict=True))
        before, begin = (Element(builder.fresh(each), state.indices) for each in ("kept", "begin"))
        where = (Equation(self._time[0], (), self._first),)
        return [
            Step(before, state, operator, self._time),
            Step(begin, renamed(begun, known), where=where),
            Step(Element(name, state.indices), before + begin),
        ]

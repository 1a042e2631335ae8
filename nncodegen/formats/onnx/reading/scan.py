"""The operators Scan and Loop, as steps with a recurrence: see ``ir.recurrence``.

The body is read once, for all times: its operands and results have the index of time, but no axis for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Step
from nncodegen.compiler.ir.element import renamed
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import UNIT
from nncodegen.formats.onnx.reading.call import MOST_WHOLE, Clock, OnnxCall, Operand
from nncodegen.formats.onnx.reading.file import Body
from nncodegen.formats.onnx.reading.shapes import as_operand
from nncodegen.formats.onnx.reading.values import Value, Weights

COUNTED: dict[str, tuple[Callable[..., Any], int]] = {
    **dict.fromkeys(("Cast", "Identity", "Squeeze", "Unsqueeze"), (np.asarray, 1)),
    "Add": (np.add, 2),
    "And": (np.logical_and, 2),
    "Equal": (np.equal, 2),
    "Greater": (np.greater, 2),
    "GreaterOrEqual": (np.greater_equal, 2),
    "Less": (np.less, 2),
    "LessOrEqual": (np.less_equal, 2),
    "Mul": (np.multiply, 2),
    "Not": (np.logical_not, 1),
    "Or": (np.logical_or, 2),
    "Sub": (np.subtract, 2),
}
"""Functions of the numbers of rounds that are supported, each with its number of operands."""


def scan(call: OnnxCall) -> list[Operand]:
    """Return the final states, and the outputs of all steps."""
    body, count = call.node.body, call.whole("num_scan_inputs", 0)
    states = len(call.inputs) - count
    if body is None or count < 1 or states < 0 or len(body.inputs) != len(call.inputs) or len(body.outputs) < states:
        raise ModelError(f"{call.node} has a body that does not fit its inputs and outputs")
    backwards = _backwards(call, count, len(body.outputs) - states)
    read = [call.value(k) for k in range(states, len(call.inputs))]
    lengths = {call.builder.axes.length(value.axes[0]) if value.axes else None for value in read}
    if len(lengths) > 1 or None in lengths:
        raise ModelError(f"{call.node} runs over axes of different lengths, or over the samples of a batch")
    time = Rounds(call, lengths.pop() or 1)
    recurring = _States(call, [call.value(k) for k in range(states)], time, backwards)
    known = time.run(body, [*recurring.before, *map(time.now, read)])
    results = [time.result(known[name], name) for name in body.outputs]
    ends = recurring.defined(results[:states])
    return [*ends, *map(time.all, results[states:])]


def loop(call: OnnxCall) -> list[Operand]:
    """Return the final states of a Loop with a fixed number of rounds, and the outputs of all rounds.

    States that are integers count the rounds; those that the body returns unchanged keep their values.
    """
    body, trips = call.node.body, call.inputs[0] if call.inputs else None
    count = len(call.inputs) - 2
    if body is None or count < 0 or len(body.inputs) != count + 2 or len(body.outputs) < count + 1:
        raise ModelError(f"{call.node} has a body that does not fit its inputs and outputs")
    if not isinstance(trips, np.ndarray) or trips.size != 1 or not 0 < int(trips.item()) <= MOST_WHOLE:
        raise ModelError(
            f"{call.node} has a number of rounds that is not in the file, none, or more than {MOST_WHOLE:,}"
        )
    if call.given(1) and not _holds(call, call.inputs[1]):
        raise ModelError(f"{call.node} may have no round at all, which nncodegen does not know")
    rounds = int(trips.item())
    time = Rounds(call, rounds)
    moving: list[int] = []
    carried: list[Operand] = []
    for k, state in enumerate(call.inputs[2:]):
        stays = body.outputs[k + 1] == body.inputs[k + 2]
        if isinstance(state, np.ndarray) and state.size == 1 and not stays:
            state = Clock(int(state.item()) + np.arange(rounds))
        elif not stays:
            moving.append(k)
        carried.append(state)
    recurring = _States(call, [call.value(k + 2) for k in moving], time, False)
    for k, value in zip(moving, recurring.before, strict=True):
        carried[k] = value
    known = time.run(body, [Clock(np.arange(rounds)), Clock(np.ones(rounds, bool)), *carried])
    if not _goes_on(known[body.outputs[0]]):
        raise ModelError(f"{call.node} may end before its last round, which nncodegen does not know")
    ends = dict(zip(moving, recurring.defined([_of(time, known, body, k) for k in moving]), strict=True))
    finals: list[Operand] = []
    for k, state in enumerate(carried):
        result = known[body.outputs[k + 1]]
        if isinstance(state, Clock):
            if not isinstance(result, Clock) or not np.array_equal(result.values, state.values + 1):
                raise ModelError(f"{call.node} has a whole number among its states that does not count its rounds")
            finals.append(np.array(int(result.values[-1]), dtype=np.int64))
        else:
            finals.append(ends.get(k, state))
    outputs = [time.all(time.result(known[name], name)) for name in body.outputs[count + 1 :]]
    return [*finals, *outputs]


def _of(time: Rounds, known: dict[str, Operand], body: Body, k: int) -> Value:
    name = body.outputs[k + 1]
    return time.result(known[name], name)


def _holds(call: OnnxCall, condition: Operand) -> bool:
    """Return whether a condition is known to hold."""
    if isinstance(condition, Value):
        return condition.is_number and all(bool(block != 0) for block in condition.blocks.values())
    return isinstance(condition, np.ndarray) and bool(condition.all())


def _goes_on(condition: Operand) -> bool:
    """Return whether the condition after each round but the last is known to hold."""
    values = condition.values[:-1] if isinstance(condition, Clock) else condition
    return isinstance(values, np.ndarray) and bool(values.all())


def counted(call: OnnxCall) -> Clock:
    """Compute the result of a node from numbers of rounds, and other constants."""
    function, count = COUNTED.get(call.node.kind, (None, 0))
    operands = []
    for operand in call.inputs[:count]:
        if isinstance(operand, Value) and operand.is_number:
            operand = np.array([float(block) for block in operand.blocks.values()])
        array = operand.array if isinstance(operand, Weights) else operand
        if isinstance(operand, Clock):
            operands.append(operand.values)
        elif isinstance(array, np.ndarray) and array.size == 1:
            operands.append(array.ravel())
    if function is None or len(operands) != count:
        raise ModelError(f"{call.node} computes with the rounds of a Loop")
    return Clock(np.asarray(function(*operands)))


class Rounds:
    """The time of a Scan or Loop: its index, while its body is read, and its sections for other nodes."""

    def __init__(self, call: OnnxCall, count: int) -> None:
        self._call, self.count = call, count
        key = call.node.name or call.node.outputs[0]
        self._sections, self.whole = call.builder.axis(f"{key}:steps", count)

    def now(self, value: Value) -> Value:
        """Return the values at this time: the first axis is removed, but its index stays in the blocks."""
        builder = self._call.builder
        held = builder.together(builder.held(value, "x"), 0, self.whole)
        return builder.without(replace(held, axes=(UNIT, *held.axes[1:])), 0)

    def at(self, value: Value, places: NDArray[Any]) -> Value:
        """Return the values at a place of the first axis that each round chooses."""
        builder = self._call.builder
        if not value.axes:
            raise ModelError(f"{self._call.node} takes what belongs to each round out of a single number")
        rounds = np.arange(self.count)
        if builder.axes.length(value.axes[0]) != self.count or not np.array_equal(places, rounds):
            value = builder.gathered(value, 0, [int(place) for place in places])
        return self.now(value)

    def run(self, body: Body, operands: Sequence[Operand]) -> dict[str, Operand]:
        """Read the body, and return everything that is then known in it, by name."""
        builder = self._call.builder
        known: dict[str, Operand] = dict(self._call.scope)
        known |= {name: as_operand(name, array) for name, array in body.constants.items()}
        known |= dict(zip(body.inputs, operands, strict=True))
        builder.time, builder.rounds = (self.whole[0][0] if self.whole != UNIT else None), self
        try:
            self._call.evaluate(body.nodes, body.outputs, known)
            for name in body.outputs:
                result = known.get(name)
                if isinstance(result, Value):
                    known[name] = builder.held(result, "y")
        finally:
            builder.time, builder.rounds = None, None
        return known

    def result(self, operand: Operand, name: str) -> Value:
        """Return a result of the body. Raise ModelError for one that the body does not compute."""
        if isinstance(operand, Value):
            return operand
        raise ModelError(f"{self._call.node} gives {name!r}, which its body does not compute")

    def all(self, value: Value) -> Value:
        """Return the values of all times, along a first axis."""
        blocks = {(0, *position): block for position, block in value.blocks.items()}
        whole = replace(value, axes=(self.whole, *value.axes), blocks=blocks)
        return self._call.builder.apart(whole, 0, self._sections)


def _backwards(call: OnnxCall, inputs: int, outputs: int) -> bool:
    """Return whether time runs backwards. Raise ModelError for axes but the first, and both ways at once."""
    axes = {*call.wholes("scan_input_axes", ()), *call.wholes("scan_output_axes", ())} - {0}
    ways = {
        *call.wholes("scan_input_directions", (0,) * inputs),
        *call.wholes("scan_output_directions", (0,) * outputs),
    }
    if axes or len(ways) > 1 or not ways <= {0, 1}:
        raise ModelError(f"{call.node} runs over other axes than the first, or in both directions at once")
    return ways == {1}


class _States:
    """The states of a Scan: their values after the time before, and after this time.

    A recurrence reads a state under the indices that it is defined with, which are known only after the body has been
    read. Then its steps are inserted before those of the body.
    """

    def __init__(self, call: OnnxCall, starts: Sequence[Value], time: Rounds, backwards: bool) -> None:
        self._call, self._time, self._backwards = call, time.whole[0], backwards
        self._first, self._last = (time.count - 1, 0) if backwards else (0, time.count - 1)
        builder = call.builder
        self._starts = [builder.held(start, "start") for start in starts]
        self._names = [{position: builder.fresh("before") for position in start.blocks} for start in self._starts]
        self._place = len(builder.steps)
        self.before = [self._before(*state) for state in zip(self._starts, self._names, strict=True)]

    def _before(self, start: Value, names: dict[tuple[int, ...], str]) -> Value:
        """Return a state after the time before, or the initial one."""
        if not self._time:  # a single step
            return start
        blocks = {p: Element(name, self._indices(start, p)) for p, name in names.items()}
        for block in blocks.values():
            self._call.builder.axes.together(block.indices)
        return replace(start, blocks=blocks, of_inputs=True, trained=True, undecided=frozenset())

    def _indices(self, value: Value, position: tuple[int, ...]) -> tuple[str, ...]:
        return (SAMPLE, *self._time, *(index for index in value.indices(position) if index != SAMPLE))

    def defined(self, results: Sequence[Value]) -> list[Value]:
        """Return the final states, after adding the steps that define the states of all times."""
        return [self._final(*state) for state in zip(self._starts, results, self._names, strict=True)]

    def _final(self, start: Value, result: Value, names: dict[tuple[int, ...], str]) -> Value:
        builder, time = self._call.builder, self._time
        if builder.shape(start) != builder.shape(result):
            raise ModelError(f"{self._call.node} has a state that changes its shape from step to step")
        for before, after in zip(start.axes, result.axes, strict=True):
            if builder.axes.length(before) is not None:
                builder.axes.same_sections([before, after])
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
        """Return the steps that read a state of the time before, and the initial one at the first time."""
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

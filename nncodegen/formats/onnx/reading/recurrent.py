"""The operators RNN, LSTM and GRU as layers of ours, one for each direction.

The axis of time is one index in these. Where other nodes cut that axis, such as one that takes the last step, the parts
of the operands are joined before the layer, and the results are cut in the same way after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, S

from nncodegen.compiler.describe.recurrent import GRU, LSTM, Recurrent, SimpleRNN
from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import SAMPLES, Section, Sections
from nncodegen.formats.onnx.reading.builder import Builder
from nncodegen.formats.onnx.reading.call import OnnxCall
from nncodegen.formats.onnx.reading.layer import NodeCall, Weight
from nncodegen.formats.onnx.reading.values import Value, Weights


class _LSTM(LSTM):
    """The layer with its gates in the order of ONNX."""

    gate_names: ClassVar[tuple[str, ...]] = ("i", "o", "f", "c")


LAYERS: Mapping[str, type[Recurrent]] = {"RNN": SimpleRNN, "LSTM": _LSTM, "GRU": GRU}
ACTIVATIONS = {"RNN": ("Tanh",), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
"""The default activations for one direction."""


def recurrent(kind: str) -> Callable[[OnnxCall], list[Value]]:
    """Return the operator of a kind: the outputs of all steps (T, directions, N, units), and the final states."""

    def operator(call: OnnxCall) -> list[Value]:
        x = _sequence(call)
        directions = call.text("direction", "forward")
        sides = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}.get(directions, ())
        if not sides:
            raise ModelError(f"{call.node} has the direction {directions!r}")
        lengths = _lengths(call, x)
        layer = replace(_layer(call, kind, len(sides)), lengths=bool(lengths))
        results = [
            _results(call, replace(layer, go_backwards=backwards), (x, *lengths), side)
            for side, backwards in enumerate(sides)
        ]
        builder = call.builder
        first, *rest = zip(*results, strict=True)
        outputs = builder.concatenated([builder.inserted(value, 1) for value in first], 1)
        return [outputs, *(builder.concatenated([builder.inserted(v, 0) for v in values], 0) for values in rest)]

    return operator


def _sequence(call: OnnxCall) -> Value:
    """Return the first operand, (T, N, features)."""
    x = call.builder.held(call.value(0), "x")
    if call.whole("layout", 0) or len(x.axes) != 3 or x.axes[1] != SAMPLES or SAMPLES in (x.axes[0], x.axes[2]):
        raise ModelError(f"{call.node} takes a tensor of the shape (steps, samples, features)")
    if call.builder.time is not None:
        raise ModelError(f"{call.node} is in the body of a Scan or Loop, which has a time of its own")
    return x


def _lengths(call: OnnxCall, x: Value) -> tuple[Value, ...]:
    """Return the operand with the number of steps of each sample; none where all samples have all steps."""
    if not call.given(4):
        return ()
    steps, operand = call.builder.axes.length(x.axes[0]) or 1, call.inputs[4]
    if isinstance(operand, np.ndarray | Weights):
        numbers = operand if isinstance(operand, np.ndarray) else operand.array
        if np.all(numbers == steps):
            return ()
        raise ModelError(
            f"{call.node} has lengths of sequences that are in the file, for a fixed number of samples: give them as "
            f"an input of the graph, a number for each sample"
        )
    lengths = call.value(4)
    if lengths.axes != (SAMPLES,):
        raise ModelError(f"{call.node} takes lengths of sequences of the shape (samples,)")
    return (call.builder.held(lengths, "lengths"),)


def _layer(call: OnnxCall, kind: str, sides: int) -> Recurrent:
    """Return the layer of a node. Raise ModelError for options that are not supported."""
    if kind == "LSTM" and call.given(7):
        raise ModelError(f"{call.node} has peepholes, which nncodegen does not know")
    if "clip" in call.attributes or call.whole("input_forget", 0):
        raise ModelError(f"{call.node} has the attribute clip or input_forget, which nncodegen does not know")
    _, array = _array(call, 2, 0)
    units = array.shape[-1]
    if array.shape[0] != len(LAYERS[kind].gate_names) * units or not units:
        raise ModelError(
            f"{call.node} has recurrent weights of the shape {array.shape}: they are no square matrix for each gate"
        )
    options: dict[str, Any] = {"return_sequences": True, "return_state": True, "use_bias": call.given(3)}
    if kind == "GRU":
        options["reset_after"] = bool(call.whole("linear_before_reset", 0))
    return LAYERS[kind](units, _activation(call, kind, sides), **options)


def _activation(call: OnnxCall, kind: str, sides: int) -> str:
    """Return the activation of a layer; only an RNN may have another one than the usual. Raise ModelError."""
    attribute = call.attributes.get("activations", ())
    names = (
        tuple(name.decode("ascii", "replace") if isinstance(name, bytes) else str(name) for name in attribute)
        if (isinstance(attribute, tuple | list))
        else ("?",)
    )
    if kind == "RNN" and names == ("Relu",) * sides:
        return "relu"
    if names and names != ACTIVATIONS[kind] * sides:
        raise ModelError(f"{call.node} has the activations {', '.join(names)}; those known are the usual ones")
    return "tanh"


def _results(call: OnnxCall, layer: Recurrent, operands: Sequence[Value], side: int) -> list[Value]:
    """Return the outputs of one direction, (T, N, units), and its final states, (N, units).

    ``operands`` are the sequence, and the lengths of the sequences of samples, if there are any.
    """
    x, *lengths = operands
    builder, key = call.builder, call.node.name or call.node.outputs[0]
    steps = builder.axes.length(x.axes[0]) or 1
    time, whole = builder.axis(f"{key}:steps", steps)
    x = builder.together(x, 0, whole)
    x = builder.whole(x, 2, f"{key}:features") if len(x.axes[2]) > 1 else x
    (sequence,), (features,) = x.blocks.values(), x.axes[2]
    t, u = whole[0] or (builder.index(1),), (builder.index(layer.units),)
    weights = _weights(call, layer, side, x.axes[2])
    builder.trained |= x.undecided
    starts = _starts(call, layer, side, u)
    ends = [block for value in lengths for block in value.blocks.values()]
    use = NodeCall(
        call,
        (sequence, *starts, *ends),
        ((SAMPLE, *t, *features), *[(SAMPLE, *u)] * len(starts), *[(SAMPLE,)] * len(ends)),
        ((steps, builder.axes.length(x.axes[2]) or 1), *[(layer.units,)] * len(starts), *[(1,)] * len(ends)),
        weights,
    )
    output, states = layer.output(use, "", in_time=True, padded=True)
    axes = time, SAMPLES, builder.axes.sections(f"{key}:units{side}", layer.units)
    return [_value(call, output, axes), *(_value(call, state, axes[1:]) for state in states)]


def _value(call: OnnxCall, element: Element, axes: Sequence[Sections]) -> Value:
    """Return a tensor that a layer has computed, with its axes as other nodes see them; samples come before units."""
    n, *others = element.indices
    indices = (*others[:-1], n, others[-1])
    blocks = {(0,) * len(axes): element}
    value = Value(tuple(((index,),) for index in indices), blocks, of_inputs=True, trained=True)
    for axis, sections in enumerate(axes):
        value = call.builder.apart(value, axis, sections)
    return value


def _array(call: OnnxCall, k: int, side: int) -> tuple[str, NDArray[Any]]:
    """Return the name and the values of a weight of one direction."""
    weights = call.as_real(k)
    axes = 2 if k == 3 else 3
    if not isinstance(weights, Weights) or weights.array.ndim != axes or len(weights.array) <= side:
        raise ModelError(f"{call.node} takes weights of {axes} axes that are in the file, the first for directions")
    name = f"{weights.name}[{side}]" if len(weights.array) > 1 else weights.name
    return name, weights.array[side]


def _weights(call: OnnxCall, layer: Recurrent, side: int, features: Sections) -> dict[str, Weight]:
    """Return the parameters of one direction; both biases are one sum, except in a GRU that resets after its product.

    W has the indices of the features that it multiplies.
    """
    builder, rows = call.builder, (layer.gates, layer.units) if layer.gates > 1 else (layer.units,)
    weights: dict[str, Weight] = {}
    for letters, k in (("W", 1), ("U", 2), *([("b", 3)] if layer.use_bias else [])):
        name, array = _array(call, k, side)
        columns = {"W": builder.axes.length(features), "U": layer.units, "b": 2}[letters]
        if array.size != math.prod(rows) * (columns or 0):
            raise ModelError(f"{call.node} has weights of the shape {array.shape} for {rows} gates and units")
        if letters == "b":
            array = array.reshape(2, *rows)
            array = array if isinstance(layer, GRU) and layer.reset_after else array.sum(axis=0)
        value = builder.parameter(name, array if letters == "b" else array.reshape(*rows, -1))
        builder.trained |= value.undecided
        if letters == "W":
            builder.axes.same_sections([value.axes[-1], features])
        for axis in range(len(value.axes) - (letters == "W")):
            value = builder.whole(value, axis, f"{name}:{axis} of all gates")
        (block,), axes = builder.held(value, "weights").blocks.values(), [section for (section,) in value.axes]
        weights[letters] = block, [*axes[:-1], *((i,) for i in axes[-1])] if letters == "W" else axes
    return weights


def _starts(call: OnnxCall, layer: Recurrent, side: int, units: Section) -> list[Element]:
    """Return the initial states of one direction under the indices of samples and units; none where all are zeros."""
    builder, values = call.builder, list[Value | None]()
    for k in (5, 6)[: layer.states]:
        value = call.value(k) if call.given(k) else None
        if value is not None and all(block.is_zero for block in value.blocks.values()):
            value = None
        if value is not None:
            if builder.shape(value)[1:] != (None, layer.units):
                raise ModelError(f"{call.node} has an initial state that is no tensor of samples and units")
            value = builder.without(builder.gathered(value, 0, [side]), 0)
            value = builder.whole(value, 1, f"{call.node.inputs[k]}:units of {side}")
        values.append(value)
    return [_start(builder, value, units) for value in values] if any(values) else []


def _start(builder: Builder, value: Value | None, units: Section) -> Element:
    """Return an initial state as a tensor of samples and units."""
    block: Expr = S.Zero
    if value is not None:
        builder.trained |= value.undecided
        (block,) = builder.together(value, 1, (units,)).blocks.values()
    if isinstance(block, Element) and block.indices == (SAMPLE, *units):
        return block
    return builder.step("start", (SAMPLE, *units), block)

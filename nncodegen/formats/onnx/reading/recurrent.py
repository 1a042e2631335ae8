"""The operators RNN, LSTM and GRU, as steps with a recurrence: see ``ir.recurrence``.

The axis of time is one index in these. Where other nodes cut that axis, such as one that takes the last step, the parts
of the operands are joined before the layer, and the results are cut in the same way after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray
from sympy import Expr, Mul

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Step
from nncodegen.compiler.ir.functions import relu, sigmoid, tanh
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import SAMPLES, UNIT, Sections
from nncodegen.formats.onnx.reading.builder import Builder
from nncodegen.formats.onnx.reading.call import OnnxCall
from nncodegen.formats.onnx.reading.values import Value, Weights

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
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
        activation = _checked(call, kind, len(sides))
        results = [_Layer(call, kind, side, backwards, activation).results(x) for side, backwards in enumerate(sides)]
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
    return x


def _checked(call: OnnxCall, kind: str, sides: int) -> str:
    """Return the activation of an RNN. Raise ModelError for options that are not supported."""
    if call.given(4) or (kind == "LSTM" and call.given(7)):
        raise ModelError(f"{call.node} has {'peepholes' if call.given(7) else 'lengths of its sequences'}")
    if "clip" in call.attributes or call.whole("input_forget", 0):
        raise ModelError(f"{call.node} has the attribute clip or input_forget, which nncodegen does not know")
    given = call.attributes.get("activations", ())
    names = tuple(one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in given) if (
        isinstance(given, tuple | list)) else ("?",)  # fmt: skip
    if kind == "RNN" and names == ("Relu",) * sides:
        return "Relu"
    if names and names != ACTIVATIONS[kind] * sides:
        raise ModelError(f"{call.node} has the activations {', '.join(names)}; those known are the usual ones")
    return "Tanh"


@dataclass
class _Layer:
    """One direction of a node."""

    call: OnnxCall
    kind: str
    side: int
    backwards: bool
    activation: str

    def results(self, x: Value) -> list[Value]:
        """Return the outputs (T, N, units), and the final states (N, units)."""
        builder = self.builder
        W, R = (self._weights(k) for k in (1, 2))
        self.units = R.axes[-2:]
        if builder.shape(R)[-1] != builder.shape(R)[-2]:
            raise ModelError(f"{self.call.node} has recurrent weights that are no square matrices")
        builder.axes.same_sections(self.units)
        self.T = builder.axes.length(x.axes[0]) or 1
        key = f"{self.call.node.name or self.call.node.outputs[0]}:steps"
        steps = self.t = builder.axes.sections(key, self.T)
        if steps != UNIT and (len(steps) > 1 or len(steps[0]) > 1):
            self.t = builder.axes.sections(f"{key} together", self.T)
        whole = builder.together(x, 0, self.t)
        self.names: dict[str, list[str]] = {}
        inputs = _product(builder, W, whole)
        h_in, h_out = self._before("h", 5, self.units)
        outputs = {"RNN": self._rnn, "LSTM": self._lstm, "GRU": self._gru}[self.kind](inputs, R, h_in, h_out)
        states = [self._defined(letter, value) for letter, value in outputs.items()]
        ends = [self._final(state) for state in states]
        return [builder.apart(states[0], 0, steps), *ends]

    @property
    def builder(self) -> Builder:
        """Return the builder, to which the steps are added."""
        return self.call.builder

    # --- weights -------------------------------------------------------------------------------------------------

    def _array(self, k: int) -> tuple[str, NDArray[Any]]:
        """Return the name and the values of a weight of this direction."""
        weights = self.call.as_real(k)
        axes = 2 if k == 3 else 3
        if not isinstance(weights, Weights) or weights.array.ndim != axes or len(weights.array) <= self.side:
            raise ModelError(
                f"{self.call.node} takes weights of {axes} axes that are in the file, the first for directions"
            )
        name = f"{weights.name}[{self.side}]" if len(weights.array) > 1 else weights.name
        return name, weights.array[self.side]

    def _parameter(self, name: str, array: NDArray[Any]) -> Value:
        """Return rows of all gates as a parameter, (gates, units, ...); for one gate without that axis."""
        gates = GATES[self.kind]
        if len(array) % gates or not array.size:
            raise ModelError(f"{self.call.node} has weights of {len(array)} rows for {gates} gates")
        shaped = array.reshape(gates, -1, *array.shape[1:])
        value = self.builder.parameter(name, shaped[0] if gates == 1 else shaped)
        self.builder.trained |= value.undecided
        return replace(value, undecided=frozenset(), trained=True)

    def _weights(self, k: int) -> Value:
        return self._parameter(*self._array(k))

    def _biases(self) -> list[Value]:
        """Return the sum of both biases; for a GRU that resets after its product, each of them."""
        if not self.call.given(3):
            return []
        name, array = self._array(3)
        half = len(array) // 2
        if self.kind == "GRU" and self.call.whole("linear_before_reset", 0):
            parts = (slice(0, half), slice(half, 2 * half))
            return [self._parameter(f"{name}[{part.start}:{part.stop}]", array[part]) for part in parts]
        return [self._parameter(name, array[:half] + array[half:])]

    # --- one step ------------------------------------------------------------------------------------------------

    def _rnn(self, inputs: Value, R: Value, h_in: Value, h_out: Value) -> dict[str, Value]:
        z = self._sum(inputs, _product(self.builder, R, h_in), *self._biases())
        return {"h": self._do({"Relu": relu, "Tanh": tanh}[self.activation], z)}

    def _lstm(self, inputs: Value, R: Value, h_in: Value, h_out: Value) -> dict[str, Value]:
        """Return the states h and c after one step. The gates are i, o, f, c in this order."""
        _, c_0 = self._before("c", 6, self.units)
        z = self._sum(inputs, _product(self.builder, R, h_in), *self._biases())
        i, o, f = (self._do(sigmoid, self._gate(z, k)) for k in (0, 1, 2))
        c = self._do(lambda f, c_0, i, g: f * c_0 + i * g, f, c_0, i, self._do(tanh, self._gate(z, 3)))
        c = self._defined("c", c)
        return {"h": self._do(lambda o, c: o * tanh(c), o, c), "c": c}

    def _gru(self, inputs: Value, R: Value, h_in: Value, h_out: Value) -> dict[str, Value]:
        """Return the state after one step. The gates are z, r, h in this order."""
        products, biases = _product(self.builder, R, h_in), self._biases()
        after = bool(self.call.whole("linear_before_reset", 0))
        s = self._sum(inputs, *biases[:1])
        r = self._sum(products, *biases[1:])
        update, reset = (self._do(lambda p, q: sigmoid(p + q), self._gate(s, k), self._gate(r, k)) for k in (0, 1))
        if after:
            inner = self._do(lambda p, r, q: tanh(p + r * q), self._gate(s, 2), reset, self._gate(r, 2))
        else:
            held = self._do(lambda r, h: r * h, reset, h_out)
            under = replace(held, axes=(*held.axes[:2], self.units[1]), blocks={
                p: self._read(block, self.units[1][p[2]]) for p, block in held.blocks.items()})  # fmt: skip
            product = _product(self.builder, R, under)
            inner = self._do(lambda p, q: tanh(p + q), self._gate(s, 2), self._gate(product, 2))
        return {"h": self._do(lambda z, h, g: z * h + (1 - z) * g, update, h_out, inner)}

    def _do(self, function: Callable[..., Expr], *values: Value) -> Value:
        return self.builder.held(self.builder.elementwise(function, *values), "u")

    def _sum(self, *values: Value) -> Value:
        return self.builder.held(self.builder.elementwise(lambda *z: sum(z), *values), "z")

    def _gate(self, z: Value, number: int) -> Value:
        """Return one gate of (T, N, gates, units)."""
        ((gate,),) = z.axes[2]
        blocks: dict[tuple[int, ...], Any] = {
            (p[0], p[1], p[3]): self.builder.step(
                "gate", [i for i in z.indices(p) if i != gate], block, "sum", (gate,),
                where=(Equation(gate, (), number),))
            for p, block in z.blocks.items()
        }  # fmt: skip
        return replace(z, axes=(*z.axes[:2], z.axes[3]), blocks=blocks)

    # --- states --------------------------------------------------------------------------------------------------

    def _read(self, element: Any, section: Sequence[str]) -> Element:
        """Return a state under other indices of its units."""
        return Element(element.tensor, (*element.indices[: len(element.indices) - len(section)], *section))

    def _before(self, letter: str, k: int, units: Sequence[Sections]) -> tuple[Value, Value]:
        """Return a state of the step before: under the indices that sums run over, and under those of the result."""
        builder, (out, inner) = self.builder, units
        start = self._start(k)
        self.names[letter] = [builder.fresh(letter) for _ in out]
        blocks: dict[tuple[int, ...], Any] = {}
        for p, section in enumerate(out):
            time = self.t[0]
            begun = None if start is None else start.blocks[0, p]
            if not time:  # a single step
                blocks[0, 0, p] = builder.number(0.0).blocks[()] if begun is None else begun
                continue
            state = Element(self.names[letter][p], (SAMPLE, *time, *section))
            operator = "after" if self.backwards else "before"
            earlier = builder.step(f"{letter}_0", state.indices, state, operator, tuple(time))
            if begun is not None:
                first = self.T - 1 if self.backwards else 0
                where = (Equation(time[0], (), first),)
                begin = builder.step(f"{letter}_start", state.indices, self._read(begun, section), where=where)
                earlier = builder.step(f"{letter}_begun", state.indices, earlier + begin)
            blocks[0, 0, p] = earlier
        value = Value((self.t, SAMPLES, out), blocks, of_inputs=True, trained=True)
        moved = {p: self._read(b, inner[p[2]]) if isinstance(b, Element) else b for p, b in blocks.items()}
        return replace(value, axes=(self.t, SAMPLES, inner), blocks=moved), value

    def _start(self, k: int) -> Value | None:
        """Return an initial state (N, units) of this direction; None for zeros."""
        if not self.call.given(k):
            return None
        value = self.call.value(k)
        if all(block.is_zero for block in value.blocks.values()):
            return None
        if len(value.axes) != 3 or value.axes[1] != SAMPLES:
            raise ModelError(f"{self.call.node} has an initial state that is no tensor of samples")
        value = self.builder.gathered(value, 0, [self.side])
        self.builder.axes.same_sections([value.axes[2], self.units[0]])
        return self.builder.held(self.builder.without(value, 0), "start")

    def _defined(self, letter: str, value: Value) -> Value:
        """Define a state by steps, under the names that were reserved for it."""
        builder, blocks = self.builder, dict(value.blocks)
        for p, section in enumerate(self.units[0]):
            target = Element(self.names[letter][p], (SAMPLE, *self.t[0], *section))
            if blocks[0, 0, p] != target:
                builder.axes.together(target.indices)
                builder.steps.append(Step(target, blocks[0, 0, p]))
            blocks[0, 0, p] = target
        return replace(value, axes=(self.t, SAMPLES, self.units[0]), blocks=blocks)

    def _final(self, state: Value) -> Value:
        """Return the state after the last step."""
        time = tuple(self.t[0])
        where = (Equation(time[0], (), 0 if self.backwards else self.T - 1),) if time else ()
        blocks: dict[tuple[int, ...], Any] = {
            (0, p[2]): self.builder.step("last", [i for i in state.indices(p) if i not in time], block, "sum", time,
                                         where=where) if time else block
            for p, block in state.blocks.items()
        }  # fmt: skip
        return replace(state, axes=state.axes[1:], blocks=blocks)


def _product(builder: Builder, weights: Value, x: Value) -> Value:
    """Return the sums over the last axis of weights times x, (T, N, ...)."""
    for _ in weights.axes[:-1]:
        x = builder.inserted(x, 2)
    terms = builder.elementwise(Mul, weights, x)
    last = len(x.axes) - 1
    return builder.held(builder.without(builder.reduce("sum", terms, [last]), last), "s")

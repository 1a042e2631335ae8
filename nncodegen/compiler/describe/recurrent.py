"""Layers for sequences, of the shape (steps, features): SimpleRNN, LSTM and GRU, as in Keras.

The state of each step follows from that of the step before; ``ir.recurrence`` says how this is written. The weights of
all gates are in one array, so that a step has one product with its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sympy import S

from nncodegen.compiler.describe.activations import Activation
from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.initial_values import initial_values
from nncodegen.compiler.describe.layer import Array, with_old_names
from nncodegen.compiler.describe.recurrence import Options, Recurrence
from nncodegen.compiler.ir import Element, Initial


@dataclass(frozen=True)
class Recurrent(Options):
    """A layer whose state at one step follows from that of the step before; ``Options`` documents its options."""

    kind: ClassVar[str] = ""

    @property
    def elsewhere(self) -> Mapping[str, tuple[str, str | tuple[str, ...]]]:  # type: ignore[override]
        """Return the names of the weights in Keras and PyTorch."""
        return self.elsewhere_in("", "")

    def elsewhere_in(self, folder: str, suffix: str) -> Mapping[str, tuple[str, str | tuple[str, ...]]]:
        """Return the names of the weights in a folder of Keras, and in PyTorch, where ``suffix`` is appended."""
        cell = f"{folder}{self.kind}_cell"
        return {
            "W": (f"{cell}/kernel", f"weight_ih_l0{suffix}"),
            "U": (f"{cell}/recurrent_kernel", f"weight_hh_l0{suffix}"),
            "b": (f"{cell}/bias", (f"bias_ih_l0{suffix}", f"bias_hh_l0{suffix}")),
        }

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the weights as (gates, units, inputs).

        Keras has (inputs, gates*units), PyTorch (gates*units, inputs). PyTorch has two biases, which are added.
        """
        if letters[0] == "b":
            return self._in_order(values.sum(axis=0) if origin == "torch" else values, origin)
        return self._in_order(values.T if origin == "keras" else values, origin)

    def _in_order(self, values: Array, origin: str) -> Array:
        """Return rows of all gates, one gate after the other, with a separate axis of gates."""
        return values.reshape(self.gates, -1, *values.shape[1:]) if len(values) % self.gates == 0 else values

    def describe(self, call: Call) -> Part:
        """Write the outputs of all steps, or of the last; with return_state, the final states are further results."""
        output, states = self.output(call, "")
        return call.part(output, further=states)

    def output(
        self, call: Call, suffix: str, in_time: bool = False, padded: bool = False
    ) -> tuple[Element, list[Element]]:
        """Return the element with the result, and those of the final states.

        ``suffix`` follows the letters of all tensors. in_time: the outputs of all steps are in the order of time even
        if the layer goes backwards. padded: the outputs of steps that are left out are 0, as in ONNX.
        """
        recurrence = Recurrence(call, self, suffix)
        self.recur(recurrence)
        return recurrence.result(in_time, padded), [recurrence.final(letter) for letter in self.returned]

    def recur(self, at: Recurrence) -> None:
        """Describe one step."""
        raise NotImplementedError


@with_old_names
@dataclass(frozen=True)
class SimpleRNN(Recurrent):
    """h = activation(W x + U h_0 + b), with the output h_0 of the step before.

    (Elman, 1990.) W has the shape (1, units, inputs), U (1, units, units) and b (1, units).
    """

    kind: ClassVar[str] = "simple_rnn"

    def recur(self, at: Recurrence) -> None:
        """Write the steps s = W x, r = U h_0, z = s + r + b."""
        (h_0,) = at.before("h")
        z = at.gate(at.step("z", at.gated, at.inputs() + at.products(h_0) + at.bias()), "h")
        at.define("h", at.activated(self.activation, z), h_0)


@with_old_names
@dataclass(frozen=True)
class LSTM(Recurrent):
    """Long short-term memory: c = f*c_0 + i*activation(z_c), h = o*activation(c), with the gates i, f, c and o.

    (Hochreiter and Schmidhuber, 1997; Gers et al., 2000.) Each gate is recurrent_activation of its part of
    z = W x + U h_0 + b. W has the shape (4, units, inputs), U (4, units, units) and b (4, units). unit_forget_bias: b
    of the gate f starts with 1. The initial states are those of h and c.
    """

    recurrent_activation: Activation = "sigmoid"
    unit_forget_bias: bool = field(default=True, kw_only=True)

    gate_names: ClassVar[tuple[str, ...]] = ("i", "f", "c", "o")
    states: ClassVar[int] = 2
    kind: ClassVar[str] = "lstm"

    def recur(self, at: Recurrence) -> None:
        """Write the steps s = W x, r = U h_0, z = s + r + b, and the four gates of z."""
        h_0, c_0 = at.before("h", "c")
        z = at.step("z", at.gated, at.inputs() + at.products(h_0) + at.bias(self._start(at)))
        i, f, o = (at.activated(self.recurrent_activation, at.gate(z, gate)) for gate in ("i", "f", "o"))
        c = at.define("c", f * c_0 + i * at.activated(self.activation, at.gate(z, "c")), c_0)
        at.define("h", o * at.activated(self.activation, c), h_0)

    def _start(self, at: Recurrence) -> str | float | Initial:
        """Return the initial value of the bias."""
        if not self.unit_forget_bias or self.bias_initializer != "zeros":
            return self.bias_initializer
        values = [[float(gate == 1)] * at.units for gate in range(4)]
        return initial_values(values, (4, at.units), "the bias")


@with_old_names
@dataclass(frozen=True)
class GRU(Recurrent):
    """Gated recurrent unit: h = z*h_0 + (1 - z)*activation(...), with the gates z (update) and r (reset).

    (Cho et al., 2014.) By default (reset_after) the argument is W_h x + b_h + r*(U_h h_0 + b'_h), as in PyTorch; b then
    has the shape (2, 3, units), for both biases. Otherwise it is W_h x + U_h (r*h_0) + b_h, and b has the shape
    (3, units). W has the shape (3, units, inputs), U (3, units, units), in the order z, r, h.
    """

    recurrent_activation: Activation = "sigmoid"
    reset_after: bool = field(default=True, kw_only=True)

    gate_names: ClassVar[tuple[str, ...]] = ("update", "reset", "h")
    kind: ClassVar[str] = "gru"

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the values in the order z, r, h; that of PyTorch is r, z, h. Both of its biases are kept."""
        if letters[0] != "b" or not self.reset_after:
            return super().taken_over(letters, values, origin)
        both_biases = values.reshape(2, -1)
        return both_biases if both_biases.shape[1] % 3 else self._in_order(both_biases.T, origin).transpose(2, 0, 1)

    def _in_order(self, values: Array, origin: str) -> Array:
        gates = super()._in_order(values, origin)
        return gates[[1, 0, 2]] if origin == "torch" and len(gates) == 3 else gates

    def recur(self, at: Recurrence) -> None:
        """Write the steps s = W x + b, r = U h_0 + b', and the three gates of these."""
        (h_0,) = at.before("h")
        inputs, products = at.inputs(), at.products(h_0)
        first, second = at.two_biases() if self.reset_after else (at.bias(), S.Zero)
        s, r = at.step("s_b", at.gated, inputs + first), at.step("r_b", at.gated, products + second)
        update, reset = (
            at.activated(self.recurrent_activation, at.step(f"z_{gate}", at.own, at.gate(s, gate) + at.gate(r, gate)))
            for gate in ("update", "reset")
        )
        if self.reset_after:
            inner = at.gate(s, "h") + reset * at.gate(r, "h")
        else:
            inner = at.gate(s, "h") + at.product_of_gate(reset * h_0, "h")
        update = at.step("update", at.own, update)
        at.define("h", update * h_0 + (1 - update) * at.activated(self.activation, at.step("z_h", at.own, inner)), h_0)

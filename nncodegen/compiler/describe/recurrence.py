"""One use of a recurrent layer as steps: states, products of all gates, and masked steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sympy import Expr, Ne, Piecewise, S

from nncodegen.compiler.describe.activate import activation_formula
from nncodegen.compiler.describe.activations import Activation
from nncodegen.compiler.describe.call import Call
from nncodegen.compiler.describe.checks import is_finite
from nncodegen.compiler.describe.layer import Node, Standard, positive_integer
from nncodegen.compiler.ir import Element, Equation, Initial
from nncodegen.errors import ModelError


@dataclass(frozen=True)
class Options(Standard):
    """The options of all recurrent layers. The first input has the shape (steps, features).

    return_sequences: whether the result is the output of every step, (steps, units), or that of the last one, (units,).
    go_backwards: from the last step to the first, and outputs in that order. mask_value: a step whose features all have
    this value is left out: its output is that of the step before. lengths: whether the last input is the number of
    steps of each sample, of the shape (1,), from 1 on; later steps are left out. The inputs between the first and the
    lengths are the initial states, each of the shape (units,), by default 0.

    return_state: called on a node, the layer returns several: the output, then the final states after the last step, h,
    and c of an LSTM. These may be the initial states of another layer, also by the name initial_state.
    """

    units: int
    activation: Activation = "tanh"
    kernel_initializer: str | float = field(default="glorot_uniform", kw_only=True)
    recurrent_initializer: str | float = field(default="orthogonal", kw_only=True)
    bias_initializer: str | float = field(default="zeros", kw_only=True)
    use_bias: bool = field(default=True, kw_only=True)
    return_sequences: bool = field(default=False, kw_only=True)
    return_state: bool = field(default=False, kw_only=True)
    go_backwards: bool = field(default=False, kw_only=True)
    mask_value: float | None = field(default=None, kw_only=True)
    lengths: bool = field(default=False, kw_only=True)

    gate_names: ClassVar[tuple[str, ...]] = ("h",)
    states: ClassVar[int] = 1

    @property
    def gates(self) -> int:
        """Return the number of gates, including the candidate state, which is computed like one."""
        return len(self.gate_names)

    def __call__(self, *inputs: Node, initial_state: Node | Sequence[Node] = ()) -> Any:
        """Return the result as a node; with return_state, a tuple of it and the nodes of the final states."""
        return with_further(Node.of(self, with_states(inputs, initial_state, self.lengths)), self.returned)

    @property
    def returned(self) -> tuple[str, ...]:
        """Return the letters of the final states that are results in addition to the output: h, and c of an LSTM."""
        return ("h", "c")[: self.states] if self.return_state else ()


def with_further(node: Node, names: Sequence[str]) -> Node | tuple[Node, ...]:
    """Return a node; if its layer has further results, a tuple of the node and one for each of these, by its name."""
    further = [node.further(place, name) for place, name in enumerate(names, start=1)]
    return (node, *further) if further else node


def with_states(inputs: Sequence[Any], states: Node | Sequence[Node], lengths: bool) -> tuple[Any, ...]:
    """Return the inputs of a recurrent layer, with initial states inserted before the lengths, else at the end."""
    initial_states = (states,) if isinstance(states, Node) else tuple(states)
    if not initial_states:
        return tuple(inputs)
    (first, *rest) = inputs or (None,)
    flat = tuple(first) if isinstance(first, list | tuple) and not rest else tuple(inputs)
    at = len(flat) - bool(lengths and len(flat) > 1)
    return (*flat[:at], *initial_states, *flat[at:])


class Recurrence:
    """Writes one use of a recurrent layer as steps; ``suffix`` follows the letters of all its tensors.

    ``own`` are the indices of a state: samples, time and units; ``gated`` are those of all gates. Raises ModelError for
    inputs that do not fit.
    """

    def __init__(self, call: Call, layer: Options, suffix: str = "") -> None:
        self._call, self._layer, self._suffix = call, layer, suffix
        self.units = positive_integer(layer.units, f"the units of {call.role}")
        self._check()
        self._x = call.inputs[0]
        self._n, self._t, *features = call.axes(0)
        self._features = tuple(features)
        self._g, self._j, self._k = call.axis(layer.gates), call.index(self.units), call.index(self.units)
        self.own = (self._n, self._t, self._j)
        self.gated = (self._n, self._t, *self._g, self._j)
        self._steps = call.size(self._t)
        self._first, self._last = (self._steps - 1, 0) if layer.go_backwards else (0, self._steps - 1)
        self._exists = self._mask()
        self._U: Element | None = None
        self._final: dict[str, Element] = {}

    def _check(self) -> None:
        call, layer = self._call, self._layer
        if len(call.shapes[0]) != 2:
            raise call.refuse("a sequence of the shape (steps, features) as its first input")
        states = call.shapes[1 : len(call.shapes) - bool(layer.lengths)]
        wanted = (
            f"{layer.states} initial states of the shape ({self.units},)"
            if layer.states > 1
            else (f"an initial state of the shape ({self.units},)")
        )
        if layer.lengths and (len(call.shapes) < 2 or call.shapes[-1] != (1,)):
            raise call.refuse("the number of steps of each sample as its last input, of the shape (1,)")
        if states and (len(states) != layer.states or any(shape != (self.units,) for shape in states)):
            raise call.refuse(f"a sequence alone, or a sequence followed by {wanted}")
        if layer.mask_value is not None and not is_finite(layer.mask_value):
            raise ModelError(f"the mask_value of {call.role} must be a finite number, not {layer.mask_value!r}")

    # --- tensors -------------------------------------------------------------------------------------------------

    def _named(self, letters: str) -> str:
        between = "_" if "_" in letters and not letters.endswith("_") else ""  # z_i of the forward direction is z_i_f_1
        return letters + (f"{between}{self._suffix}_" if self._suffix else "")

    def step(
        self,
        letters: str,
        indices: tuple[str, ...],
        value: Expr,
        operator: str | None = None,
        over: tuple[str, ...] = (),
        where: tuple[Equation, ...] = (),
    ) -> Element:
        """Define a tensor by a step, and return its element."""
        return self._call.step(self._named(letters), indices, value, operator, over, where)

    def activated(self, activation: Activation, z: Element) -> Expr:
        """Return the value of an activation."""
        return activation_formula(activation, z, self._call.role)

    # --- products of all gates -----------------------------------------------------------------------------------

    def inputs(self) -> Element:
        """Return W x, for all gates."""
        layer, inputs = self._layer, math.prod(map(self._call.size, self._features))
        W = self._parameter("W", (*self._g, self._j, *self._features), layer.kernel_initializer, inputs)
        return self.step("s", self.gated, W * self._x, "sum" if self._features else None, self._features)

    def products(self, h_0: Element) -> Element:
        """Return U h_0, for all gates."""
        indices = (*self._g, self._j, self._k)
        self._U = self._parameter("U", indices, self._layer.recurrent_initializer, self.units)
        return self.step("r", self.gated, self._U * self._of_others(h_0), "sum", (self._k,))

    def product_of_gate(self, value: Expr, name: str) -> Element:
        """Return the product of U with a value other than the state, for one gate."""
        assert self._U
        held = self._of_others(self.step("held", self.own, value))
        return self.step("a", self.own, self._U * held, "sum", (*self._g, self._k), self._is_gate(name))

    def bias(self, start: str | float | Initial | None = None) -> Expr:
        """Return b, for all gates; 0 for a layer without biases."""
        layer = self._layer
        start = layer.bias_initializer if start is None else start
        return (
            self._parameter("b", (*self._g, self._j), start, self.units, penalized=False) if layer.use_bias else S.Zero
        )

    def two_biases(self) -> tuple[Expr, Expr]:
        """Return the biases of both products, which are one parameter; 0 for a layer without biases."""
        if not self._layer.use_bias:
            return S.Zero, S.Zero
        p, rest = self._call.index(2), (*self._g, self._j)
        b = self._parameter("b", (p, *rest), self._layer.bias_initializer, self.units, penalized=False)
        first, second = (self.step(f"b{k + 1}_", rest, b, "sum", (p,), (Equation(p, (), k),)) for k in (0, 1))
        return first, second

    def _parameter(
        self, letters: str, indices: tuple[str, ...], start: str | float | Initial, inputs: int, penalized: bool = True
    ) -> Element:
        fans = inputs, self._layer.gates * self.units
        return self._call.parameter(letters + self._suffix, indices, start, fans, penalized)

    def _of_others(self, element: Element) -> Element:
        """Return a state under the index of units that is summed over."""
        return Element(element.tensor, (self._n, self._t, self._k))

    def gate(self, z: Element, name: str) -> Element:
        """Return the values of one gate in a tensor named after it: z_i is that of z for the gate i."""
        operator = "sum" if self._g else None
        return self.step(f"{z.tensor[:1]}_{name}", self.own, z, operator, self._g, self._is_gate(name))

    def _is_gate(self, name: str) -> tuple[Equation, ...]:
        """Return the equation of a gate, whose place among all of them is that in ``gate_names`` of the layer."""
        return tuple(Equation(index, (), self._layer.gate_names.index(name)) for index in self._g)

    # --- states --------------------------------------------------------------------------------------------------

    def before(self, *letters: str) -> tuple[Element, ...]:
        """Return the states of the step before; the first step reads the initial states, where these are given."""
        operator = "after" if self._layer.go_backwards else "before"
        starts = self._call.inputs[1 : len(self._call.inputs) - bool(self._layer.lengths)]
        states = []
        for number, name in enumerate(letters):
            state = self.step(f"{name}_before", self.own, self._state(name), operator, (self._t,))
            if starts:
                start = Element(starts[number].tensor, (self._n, self._j))
                begun = self.step(f"{name}_start", self.own, start, None, (), (Equation(self._t, (), self._first),))
                state = self.step(f"{name}_begun", self.own, state + begun)
            states.append(state)
        return tuple(states)

    def define(self, letters: str, value: Expr, old: Element) -> Element:
        """Define a state; where a step is left out, it keeps the old value."""
        next_state = value if self._exists is None else Piecewise((value, self._exists > 0), (old, True))
        return self.step(letters, self.own, next_state)

    def _state(self, letters: str) -> Element:
        return Element(self._call.named(self._named(letters)), self.own)

    def result(self, in_time: bool, padded: bool = False) -> Element:
        """Return the states of all steps, in the order of time or of the computation, or only the last one.

        padded: those of steps that are left out are 0.
        """
        h, layer = self._state("h"), self._layer
        if padded and self._exists is not None:
            h = self.step("padded", self.own, h * self._exists)
        if not layer.return_sequences:
            return self.final("h")
        if in_time or not layer.go_backwards:
            return h
        u = self._call.index(self._steps)
        mirrored = (Equation(self._t, ((u, -1),), self._steps - 1),)
        return self.step("mirrored", (self._n, u, self._j), h, "sum", (self._t,), mirrored)

    def final(self, letters: str) -> Element:
        """Return a state after the last step."""
        if letters not in self._final:
            last = (Equation(self._t, (), self._last),)
            name = "last" if letters == "h" else f"last_{letters}_"
            self._final[letters] = self.step(name, (self._n, self._j), self._state(letters), "sum", (self._t,), last)
        return self._final[letters]

    # --- masked steps --------------------------------------------------------------------------------------------

    def _mask(self) -> Element | None:
        """Return an element that is above 0 where a step is not left out; None if none is ever left out."""
        indices = (self._n, self._t)
        mask: Element | None = None
        if self._layer.mask_value is not None:
            other = Piecewise((S.One, Ne(self._x, float(self._layer.mask_value))), (S.Zero, True))
            mask = self.step("differ", indices, other, "sum" if self._features else None, self._features)
        if self._layer.lengths:
            length, call = self._call.inputs[-1], self._call
            n, *single = length.indices  # an input from elsewhere has no index for its axis of size 1
            number = self.step("length", (n,), length, "sum" if single else None, tuple(single))
            ended = Element(call.named(self._named("ended")), indices)
            before = self.step("ended_before", indices, ended, "before", (self._t,))
            ends = self.step("ends", indices, S.One, None, (), (Equation(number, ((self._t, 1),), 1),))
            self.step("ended", indices, before + ends)  # 1 from the last step on
            mask = self.step("exists", indices, 1 - before if mask is None else mask * (1 - before))
        return mask

"""A recurrent layer that goes over a sequence in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.layer import Array, Node, Standard
from nncodegen.compiler.describe.recurrence import with_further, with_states
from nncodegen.compiler.describe.recurrent import Recurrent
from nncodegen.compiler.ir import Element, Equation
from nncodegen.errors import ModelError

MERGES = ("concat", "sum", "mul", "ave")
"""The ways to merge the results of both directions."""


@dataclass(frozen=True)
class Bidirectional(Standard):
    """A recurrent layer, and a second one like it that goes backwards; each has separate weights.

    (Schuster and Paliwal, 1997.) merge_mode: "concat" concatenates their results along the last axis, "sum", "mul" and
    "ave" add them, multiply them, and take their mean. The parameters are those of the layer with f for forwards and b
    for backwards in their names: Wf1, Uf1, bf1, Wb1, Ub1 and bb1. Initial states are those of the forward layer, then
    those of the backward layer; so are the final ones, where the layer has return_state=True.
    """

    layer: Recurrent
    merge_mode: str = field(default="concat", kw_only=True)

    @property
    def elsewhere(self) -> Mapping[str, tuple[str, str | tuple[str, ...]]]:  # type: ignore[override]
        """Return what Keras and PyTorch call the weights."""
        kind = self.layer.name or self.layer.kind
        weight_names: dict[str, tuple[str, str | tuple[str, ...]]] = {}
        for letter, word, suffix in (("f", "forward", ""), ("b", "backward", "_reverse")):
            names = self.layer.elsewhere_in(f"{word}_{kind}/", suffix)
            weight_names |= {f"{letters}{letter}": pair_of_names for letters, pair_of_names in names.items()}
        return weight_names

    def __call__(self, *inputs: Node, initial_state: Node | Sequence[Node] = ()) -> Any:
        """Return the result as a node; with return_state of the layer, a tuple of it and the final states."""
        layer = self.layer
        if not isinstance(layer, Recurrent):
            return Node.of(self, inputs)  # describe refuses it
        node = Node.of(self, with_states(inputs, initial_state, layer.lengths))
        return with_further(node, [f"{side}_{letter}" for side in ("forward", "backward") for letter in layer.returned])

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the values of a parameter as the layer itself converts them."""
        return self.layer.taken_over(letters[0], values, origin)

    def describe(self, call: Call) -> Part:
        """Write both results and merge them."""
        layer = self.layer
        if not isinstance(layer, Recurrent):
            raise ModelError(f"{call.role}, Bidirectional, takes a recurrent layer such as LSTM(8), not {layer!r}")
        if layer.go_backwards:
            raise ModelError(f"{call.role}, Bidirectional, goes both ways: leave out go_backwards of its layer")
        if self.merge_mode not in MERGES:
            raise ModelError(f"the merge_mode of {call.role} is one of {', '.join(MERGES)}, not {self.merge_mode!r}")
        first, second, states = self._both(call)
        merged = self._merged(call, first, second)
        return replace(merged, further=tuple((element, call.shape_of(element)) for element in states))

    def _merged(self, call: Call, first: Element, second: Element) -> Part:
        """Return the part that merges both results."""
        if self.merge_mode != "concat":
            second = Element(second.tensor, first.indices)
            value = first * second if self.merge_mode == "mul" else first + second
            return call.output(value / 2 if self.merge_mode == "ave" else value, first.indices)
        *rest, j = first.indices
        k, size = call.index(2 * call.size(j)), call.size(j)
        parts = [
            call.step(
                f"side{number + 1}_",
                (*rest, k),
                Element(side.tensor, (*rest, j)),
                "sum",
                (j,),
                (Equation(k, ((j, 1),), number * size),),
            )
            for number, side in enumerate((first, second))
        ]
        return call.output(parts[0] + parts[1], (*rest, k))

    def _both(self, call: Call) -> tuple[Element, Element, list[Element]]:
        """Return the results of both layers, in the order of time of the first, and their final states."""
        inputs, shapes, lengths = call.inputs, call.shapes, self.layer.lengths
        last = len(inputs) - bool(lengths)
        if (last - 1) % 2:
            raise call.refuse("the same number of initial states for each direction")
        half = (last - 1) // 2
        outputs, states = [], list[Element]()
        for suffix, backwards, begin in (("f", False, 1), ("b", True, 1 + half)):
            layer = replace(self.layer, go_backwards=backwards)
            chosen = (0, *range(begin, begin + half), *([len(inputs) - 1] if lengths else []))
            call.inputs, call.shapes = tuple(inputs[k] for k in chosen), tuple(shapes[k] for k in chosen)
            output, final = layer.output(call, suffix, in_time=True)
            outputs.append(output)
            states += final
        call.inputs, call.shapes = inputs, shapes
        first, second = outputs
        return first, second, states

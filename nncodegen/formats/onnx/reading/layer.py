"""A node that is a layer of ours: the layer writes its steps, with indices and weights of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sympy import Expr

from nncodegen.compiler.describe.call import Call
from nncodegen.compiler.ir import Element, Equation
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.call import OnnxCall

Weight = tuple[Any, Sequence[tuple[str, ...]]]
"""A weight as a tensor, and the index of each of its axes: none for an axis of size 1."""


class NodeCall(Call):
    """The use of a layer for a node: its steps are added to those of the graph.

    An input is an element of a tensor of the graph, whose indices may be in any order, with those that an axis of size
    1 does not have left out; ``axes`` has the indices of its axes in order, that of the samples first. ``weights`` are
    the parameters by the letters that the layer has for them.
    """

    def __init__(
        self,
        call: OnnxCall,
        inputs: Sequence[Any],
        axes: Sequence[tuple[str, ...]],
        shapes: Sequence[tuple[int, ...]],
        weights: Mapping[str, Weight],
    ) -> None:
        super().__init__((), (), 0, lambda: "")
        self.inputs, self.shapes, self.role = tuple(inputs), tuple(shapes), str(call.node)
        self._builder, self._axes, self._weights = call.builder, tuple(axes), weights
        self._tensors: dict[str, str] = {}

    def axes(self, number: int) -> tuple[str, ...]:
        """Return the indices of the axes of an input, the first of which is that of the samples."""
        return self._axes[number]

    def size(self, index: str) -> int:
        """Return the size of an index."""
        return self._builder.axes.sizes[index]

    def index(self, size: int) -> str:
        """Return an unused index of the given size."""
        return self._builder.index(size)

    def axis(self, size: int) -> tuple[str, ...]:
        """Return the indices of a new axis: none for the size 1."""
        return () if size == 1 else (self.index(size),)

    def named(self, letters: str) -> str:
        """Return the name of a tensor of this use."""
        if letters not in self._tensors:
            self._tensors[letters] = self._builder.fresh(letters)
        return self._tensors[letters]

    def parameter(self, letters: str, indices: Iterable[str], *options: Any, **named: Any) -> Element:
        """Return a weight of the node under the indices of its axes; those of size 1 have none."""
        weight, axes = self._weights[letters]
        new = {index: wanted for axis, wanted in zip(axes, indices, strict=True) for index in axis}
        if not all(self._builder.axes.unite(*pair) for pair in new.items()):
            raise ModelError(f"{self.role} has weights that are used under other axes elsewhere")
        element: Element = weight.renamed(new)
        return element

    def step(
        self,
        letters: str,
        indices: Iterable[str],
        value: Expr,
        operator: str | None = None,
        over: Iterable[str] = (),
        where: Iterable[Equation] = (),
    ) -> Element:
        """Define a tensor of the graph; return its element."""
        target = Element(self.named(letters), indices)
        self._builder.define(target, value, operator, tuple(over), tuple(where))
        return target

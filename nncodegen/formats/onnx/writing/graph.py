"""An ONNX graph under construction: nodes over values that know their axes, each computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from nncodegen.compiler.emit import identifier
from nncodegen.compiler.ir.names import numbered
from nncodegen.formats.onnx.reading.operators import OPERATORS

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
"""The floating-point types in a file, by the precision of the model."""

PRODUCER, NOT_TRAINED = "nncodegen", "not trained"
"""The producer of the files, and the note at a constant that no training may change: ``from_onnx`` reads both."""

_TYPES = {"i": "int64", "u": "int64", "b": "bool"}


@dataclass(frozen=True)
class Value:
    """A tensor of a graph, by its name, and the index of each of its axes; a scalar has none.

    Arithmetic and comparisons add nodes to the graph. Values whose axes differ are broadcast.
    """

    graph: OnnxGraph
    name: str
    indices: tuple[str, ...] = ()

    def __add__(self, other: Value | float) -> Value:
        return self.graph.elementwise("Add", self, other)

    def __sub__(self, other: Value | float) -> Value:
        return self.graph.elementwise("Sub", self, other)

    def __mul__(self, other: Value | float) -> Value:
        return self.graph.elementwise("Mul", self, other)

    def __truediv__(self, other: Value | float) -> Value:
        return self.graph.elementwise("Div", self, other)

    def __neg__(self) -> Value:
        return self.graph.elementwise("Neg", self)

    def __abs__(self) -> Value:
        return self.graph.elementwise("Abs", self)

    def __lt__(self, other: Value | float) -> Value:
        return self.graph.elementwise("Less", self, other)

    def __gt__(self, other: Value | float) -> Value:
        return self.graph.elementwise("Greater", self, other)

    def equals(self, other: Value | float) -> Value:
        """Return where the two are equal."""
        return self.graph.elementwise("Equal", self, other)


class Body:
    """The body of a Scan under construction: its inputs and outputs, by name with their shapes, and its nodes."""

    def __init__(self) -> None:
        self.inputs: dict[str, list[int | str]] = {}
        self.outputs: dict[str, list[int | str]] = {}
        self.nodes: list[Entry] = []
        self.names: set[str] = set()

    def add_input(self, graph: OnnxGraph, name: str, shape: list[int | str]) -> None:
        """Add an input, with a name that resembles the given one."""
        free_name = graph.free(name)
        self.inputs[free_name] = shape
        self.names.add(free_name)

    def add_output(self, graph: OnnxGraph, value: str, shape: list[int | str]) -> None:
        """Add an output that has the given value."""
        free_name = graph.free("result")
        self.nodes.append(("Identity", (value,), (free_name,), {}))
        self.outputs[free_name] = shape


Entry = tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any]]
"""A node: its operator, its inputs, its outputs and its attributes."""


class OnnxGraph:
    """Nodes and constants, in the order in which they were added. The same operation on the same values is one node.

    ``order`` contains all indices: the axes of values follow it, except those of tensors as they are declared.
    ``opset`` is the version of the operators.
    """

    def __init__(self, precision: str, order: Sequence[str], opset: int) -> None:
        self.precision, self.opset = precision, opset
        self.order = tuple(order)
        self._nodes: list[Entry] = []
        self._body: Body | None = None
        self._constants: dict[str, TensorProto] = {}
        self._known: dict[Any, str] = {}
        self._made = 0
        self._taken: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._nameless: set[str] = set()

    # --- names and constants -----------------------------------------------------------------------------------

    def free(self, name: str) -> str:
        """Return an identifier that resembles a name and is unused in the graph; from now on it is taken."""
        return numbered(identifier(name), self._taken)

    def constant(self, value: Any, name: str = "constant", trained: bool = False) -> str:
        """Return the name of a constant tensor: floats in the precision of the graph, integers and booleans unchanged.

        The file notes at floats that are not ``trained`` that no training may change them.
        """
        array = np.asarray(value)
        with np.errstate(over="ignore"):
            array = np.asarray(array, _TYPES.get(array.dtype.kind, self.precision))
        key = (array.dtype.str, array.shape, array.tobytes())
        if name != "constant" or key not in self._known:
            free_name = self.free(name if name != "constant" else f"constant{len(self._constants) + 1}")
            tensor = self._constants[free_name] = numpy_helper.from_array(array, free_name)
            if array.dtype.kind == "f" and not trained:
                tensor.doc_string = NOT_TRAINED
            if name != "constant":  # a parameter is never merged with an equal one
                return free_name
            self._known[key] = free_name
        return self._known[key]

    def number(self, value: float) -> Value:
        """Return a number as a value."""
        return Value(self, self.constant(float(value)))

    # --- nodes -------------------------------------------------------------------------------------------------

    def has(self, operator: str) -> bool:
        """Return whether an operator may be in the graph, by its precision and version."""
        return OPERATORS[operator].is_written(self.precision, self.opset)

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Return the name of the result of an operator, after adding its node if it is new."""
        assert self.has(operator), f"{operator} is not written in {self.precision} with opset {self.opset}"
        key = (operator, tuple(inputs), repr(sorted(attributes.items())))
        if key not in self._known:
            self._made += 1
            self._known[key] = self.free(f"t{self._made}")
            self._nameless.add(self._known[key])
            entry: Entry = (operator, tuple(inputs), (self._known[key],), attributes)
            if self._body and not self._body.names.isdisjoint(inputs):
                self._body.nodes.append(entry)
                self._body.names.add(self._known[key])
            else:  # even while a body is written, a node that does not depend on it is computed once, outside
                self._nodes.append(entry)
        return self._known[key]

    @contextmanager
    def inside(self, body: Body) -> Iterator[None]:
        """Add the nodes that depend on values of a body to it, inside the context."""
        self._body = body
        yield
        self._body = None

    def scan(self, body: Body, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> list[str]:
        """Add a Scan; return the names of its results, which resemble those in ``outputs``."""
        names = tuple(self.free(name) for name in outputs)
        self._nodes.append(("Scan", tuple(inputs), names, {"body": body, **attributes}))
        return list(names)

    def elementwise(self, operator: str, *values: Value | float, **attributes: Any) -> Value:
        """Return the result of an operator that broadcasts, over values or numbers."""
        operands = [value if isinstance(value, Value) else self.number(value) for value in values]
        indices = self.sorted(index for value in operands for index in value.indices)
        names = [self.aligned(value, indices) for value in operands]
        return Value(self, self.node(operator, names, **attributes), indices)

    def where(self, condition: Value, value: Value | float, other: Value | float) -> Value:
        """Return a value where a condition holds, and another one elsewhere."""
        return self.elementwise("Where", condition, value, other)

    def sorted(self, indices: Iterable[str]) -> tuple[str, ...]:
        """Return indices in the order of the graph, each once."""
        return tuple(sorted(set(indices), key=self.order.index))

    # --- axes --------------------------------------------------------------------------------------------------

    def transposed(self, value: Value, indices: Sequence[str]) -> Value:
        """Return the value with its axes in another order."""
        if tuple(indices) == value.indices:
            return value
        places = [value.indices.index(index) for index in indices]
        return Value(self, self.node("Transpose", [value.name], perm=places), tuple(indices))

    def aligned(self, value: Value, wanted: Sequence[str]) -> str:
        """Return the name of the value with axes of length 1 between its own, to broadcast over the wanted indices.

        Axes in front of all others may be missing.
        """
        value = self.transposed(value, [index for index in wanted if index in value.indices])
        start = wanted.index(value.indices[0]) if value.indices else len(wanted)
        missing = [axis - start for axis in range(start, len(wanted)) if wanted[axis] not in value.indices]
        return self.node("Unsqueeze", [value.name, self.constant(missing)]) if missing else value.name

    def spread(self, value: Value, wanted: Sequence[str], sizes: dict[str, int | None], samples: str) -> Value:
        """Return the value with all wanted axes at full length. ``samples`` names a tensor whose axis 0 has N rows."""
        if set(wanted) <= set(value.indices):
            return self.transposed(value, wanted)
        lengths = [self._length(sizes[index], samples) for index in wanted]
        shape = self.node("Concat", lengths, axis=0) if len(lengths) > 1 else lengths[0]
        return Value(self, self.node("Expand", [self.aligned(value, wanted), shape]), tuple(wanted))

    def _length(self, size: int | None, samples: str) -> str:
        """Return the length of an axis, as a vector of one integer."""
        if size is not None:
            return self.constant(np.array([size]))
        return self.node("Gather", [self.node("Shape", [samples]), self.constant(np.array([0]))], axis=0)

    # --- the end -----------------------------------------------------------------------------------------------

    def named(self, value: Value, name: str) -> Value:
        """Give a value a readable name, if it has none yet, and return it."""
        if value.name in self._nameless:
            self._nameless.remove(value.name)
            self._renamed[value.name] = self.free(name)
        return value

    def output(self, value: Value, name: str) -> str:
        """Make a value a result of the graph, under exactly this name, which must come from ``free``."""
        is_made = value.name in self._nameless or value.name in self._renamed
        self._renamed[value.name if is_made else self.node("Identity", [value.name])] = name
        return name

    @property
    def nodes(self) -> list[NodeProto]:
        """Return the nodes."""
        return [self._as_node(entry) for entry in self._nodes]

    def _as_node(self, entry: Entry) -> NodeProto:
        operator, inputs, outputs, attributes = entry
        if isinstance(body := attributes.get("body"), Body):
            info, kind = helper.make_tensor_value_info, TYPES[self.precision]
            ends = [
                [info(self._last(name), kind, shape) for name, shape in these.items()]
                for these in (body.inputs, body.outputs)
            ]
            graph = helper.make_graph([self._as_node(inner) for inner in body.nodes], "step", *ends)
            attributes = {**attributes, "body": graph}
        return helper.make_node(operator, list(map(self._last, inputs)), list(map(self._last, outputs)), **attributes)

    def _last(self, name: str) -> str:
        """Return the final name of a value."""
        return self._renamed.get(name, name)

    @property
    def initializers(self) -> list[TensorProto]:
        """Return the constants and parameters."""
        return list(self._constants.values())

    @property
    def operators(self) -> Counter[str]:
        """Return how often each operator occurs."""
        bodies = [entry[3]["body"].nodes for entry in self._nodes if isinstance(entry[3].get("body"), Body)]
        return Counter(operator for entries in (self._nodes, *bodies) for operator, *_ in entries)

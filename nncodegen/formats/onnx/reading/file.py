"""Reads files of the format ONNX as plain data. They may come from anywhere: nothing in them is trusted.

The only paths in a file that are followed are those of weights in its own folder. Nothing is evaluated, and nothing is
made that is much larger than the files.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.external import MOST_BYTES, Beside
from nncodegen.runtime.python.ground.missing import needed

MOST_NODES, MOST_RANK, MOST_SIZE, LONGEST_NAME = 5_000, 8, 2**24, 300
"""Upper bounds for the nodes of a graph, the axes of a tensor, the values of one, and the length of a name."""

PRODUCER, NOT_TRAINED = "nncodegen", "not trained"
"""The producer name of a file that nncodegen wrote, and the note in such files on constants that are not trained."""

OPSETS = range(7, 29)
"""The versions of ai.onnx whose operators have the meaning that is assumed here."""

FLOATS = ("float32", "float64", "float16")
"""The types of numbers that are real numbers here."""

SHORT = "bfloat16, whose numbers have 8 binary digits: convert the network to float32 before it is exported"
"""The message on a type that is not read, as its networks compute with rounding that no other type has."""

Size = int | str | None
"""The size of an axis: a number, a name, or None if it is not known."""


@dataclass(frozen=True)
class Body:
    """The graph of one step of a Scan or Loop: its nodes in their order, its constants, its inputs and outputs."""

    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captured: tuple[str, ...]
    """The names that its nodes read from outside."""


@dataclass(frozen=True)
class OnnxNode:
    """One use of an operator: the names of its operands ("" for one that is left out) and of its results."""

    domain: str
    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def body(self) -> Body | None:
        """Return the graph within the node, of a Scan or Loop."""
        body = self.attributes.get("body")
        return body if isinstance(body, Body) else None

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the names of all tensors that the node reads, also within its body."""
        return self.inputs if self.body is None else (*self.inputs, *self.body.captured)

    @property
    def kind(self) -> str:
        """Return the operator, with its domain unless that is ai.onnx."""
        return f"{self.domain}.{self.operator}" if self.domain else self.operator

    def __str__(self) -> str:
        return f"the node {self.name or self.outputs[0]!r} ({self.kind})"


@dataclass(frozen=True)
class Declared:
    """An input or output: its name, its type ("float32", "int64", ... or "" for no tensor), its shape if known."""

    name: str
    type: str
    shape: tuple[Size, ...] | None


@dataclass(frozen=True)
class File:
    """A graph: nodes in their order, constants by name, inputs and outputs, and the version of ai.onnx."""

    name: str
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    opset: int
    producers: Mapping[str, OnnxNode] = field(default_factory=dict)
    """The node that defines each name."""
    ours: bool = False
    """True if nncodegen wrote the file."""
    fixed: frozenset[str] = frozenset()
    """The names of constants that are not trained, according to the file."""
    trained: frozenset[str] = frozenset()
    """The names of constants that are known to be parameters: in a file of nncodegen, all that are not ``fixed``."""


def read(source: Any) -> File:
    """Return the graph in a file (its path), in bytes, or in an onnx.ModelProto.

    Raise ModelError, OSError, MissingDependencyError.
    """
    model, external = _parsed(source)
    graph = model.graph
    _check_size(graph)
    constants = _constants(graph, external)
    nodes = tuple(_node(node, external) for node in graph.node)
    inputs = tuple(declared for declared in _declared(graph.input, "an input") if declared.name not in constants)
    known = {*constants, *(declared.name for declared in inputs), ""}
    producers = _producers(nodes, known)
    nodes = _sorted(nodes, producers)
    known |= {*producers}
    outputs = tuple(_declared(graph.output, "an output"))
    for declared in outputs:
        if declared.name not in known:
            raise ModelError(f"nothing defines the output {declared.name!r} of the ONNX file")
    ours = model.producer_name == PRODUCER
    fixed = frozenset(tensor.name for tensor in graph.initializer if tensor.doc_string == NOT_TRAINED)
    real = (name for name, array in constants.items() if array.dtype == np.float64)
    trained = frozenset(name for name in real if ours and name not in fixed)
    opset = _opset(model.opset_import)
    return File(graph.name, nodes, constants, inputs, outputs, opset, producers, ours, fixed, trained)


def _check_size(graph: Any) -> None:
    """Raise ModelError for a graph that is too large, or has sparse initializers."""
    if len(graph.node) > MOST_NODES:
        raise ModelError(f"the ONNX file has {len(graph.node)} nodes; nncodegen reads {MOST_NODES} at most")
    if graph.sparse_initializer:
        raise ModelError("the ONNX file has sparse initializers, which nncodegen does not read: make them dense")


def _constants(graph: Any, external: Beside) -> dict[str, NDArray[Any]]:
    """Return the initializers of a graph by name."""
    constants: dict[str, NDArray[Any]] = {}
    for tensor in graph.initializer:
        name = _name(tensor.name, "an initializer")
        if name in constants:
            raise ModelError(f"the ONNX file has two initializers named {name!r}")
        constants[name] = array_of(tensor, f"the initializer {name!r}", external)
    return constants


def _body(graph: Any, role: str, external: Beside) -> Body:
    """Read the body of a Scan or Loop."""
    _check_size(graph)
    constants = _constants(graph, external)
    nodes = tuple(_node(node, external) for node in graph.node)
    if any(node.body for node in nodes):
        raise ModelError(f"{role} holds a further Scan, which nncodegen does not read")
    inputs = tuple(_name(declared.name, "an input") for declared in graph.input)
    outputs = tuple(_name(declared.name, "an output") for declared in graph.output)
    if len({*inputs}) < len(inputs) or {*inputs} & constants.keys():
        raise ModelError(f"{role} declares an input twice")
    defined = {*inputs, *constants}
    computed = {name for node in nodes for name in node.outputs}
    captured = dict.fromkeys(name for node in nodes for name in node.inputs if name and name not in defined | computed)
    captured |= dict.fromkeys(name for name in outputs if name not in defined | computed)
    producers = _producers(nodes, {*defined, *captured, ""})
    return Body(_sorted(nodes, producers), constants, inputs, outputs, tuple(captured))


def _producers(nodes: Iterable[OnnxNode], known: Container[str]) -> dict[str, OnnxNode]:
    """Return the node that defines each name. Raise ModelError for a name with two definitions, or with none.

    ``known`` are the names that are defined otherwise.
    """
    producers: dict[str, OnnxNode] = {}
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in known or name in producers:
                raise ModelError(f"{node} defines {name!r}, which is defined already")
            producers[name] = node
    for node in nodes:
        for name in node.reads:
            if name not in known and name not in producers:
                raise ModelError(f"{node} reads {name!r}, which nothing defines")
    return producers


def _sorted(nodes: Iterable[OnnxNode], producers: Mapping[str, OnnxNode]) -> tuple[OnnxNode, ...]:
    """Sort the nodes, each after those that it reads, else in their order. Raise ModelError for a circle of nodes."""
    order: dict[int, OnnxNode] = {}
    entered: set[int] = set()
    for first in nodes:
        waiting = [(first, iter(first.reads))]
        while waiting:
            node, names = waiting[-1]
            entered.add(id(node))
            read = next((producers[name] for name in names if name in producers), None)
            if read is None:
                order[id(node)] = node
                waiting.pop()
            elif id(read) not in entered:
                waiting.append((read, iter(read.reads)))
            elif id(read) not in order:
                raise ModelError(f"the nodes of the ONNX file run in a circle: {node} reads what depends on it")
    return tuple(order.values())


def _parsed(source: Any) -> tuple[Any, Beside]:
    """Return the source as an onnx.ModelProto, and the files beside it."""
    with needed("from_onnx", "onnx", "'nncodegen[onnx]'"):
        import onnx  # noqa: PLC0415 (an extra)
        from google.protobuf.message import DecodeError  # noqa: PLC0415

    external = Beside(None)
    if isinstance(source, onnx.ModelProto):
        return source, external
    if isinstance(source, str | PathLike):
        size = Path(source).stat().st_size
        if size > MOST_BYTES:
            raise ModelError(f"{source} has {size:,} bytes; nncodegen reads files of up to {MOST_BYTES:,}")
        external = Beside(Path(source).parent)
        source = Path(source).read_bytes()
    if not isinstance(source, bytes | bytearray | memoryview):
        raise ModelError(f"from_onnx takes a path, bytes or an onnx.ModelProto, not a {type(source).__name__}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(source))
    except (DecodeError, ValueError, RecursionError, UnicodeDecodeError) as error:
        raise ModelError(f"this is no ONNX file, or a damaged one: {error}") from error
    if not model.HasField("graph") or not model.graph.node:
        raise ModelError("this is no ONNX file, or one without a graph")
    return model, external


def _opset(imports: Iterable[Any]) -> int:
    """Return the version of ai.onnx. Raise ModelError for an unknown one."""
    versions = [entry.version for entry in imports if entry.domain in ("", "ai.onnx")]
    version = max(versions, default=OPSETS[0])
    if version not in OPSETS:
        raise ModelError(
            f"the ONNX file uses version {version} of ai.onnx; nncodegen knows {OPSETS[0]} to {OPSETS[-1]}: "
            f"convert it with onnx.version_converter"
        )
    return int(version)


def _name(name: Any, role: str) -> str:
    """Return a name. Raise ModelError unless it can be read and shown; protobuf may give invalid UTF-8 as bytes."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise ModelError(f"the ONNX file calls {role} {name[:40]!a}...: a name is a line of text, and shorter")
    return name


def _node(node: Any, external: Beside) -> OnnxNode:
    inputs = tuple(_name(name, "a tensor") for name in node.input)
    outputs = tuple(_name(name, "a tensor") for name in node.output)
    name = _name(node.name, "a node")
    operator, domain = _name(node.op_type, "an operator"), _name(node.domain, "a domain")
    if not any(outputs):
        raise ModelError(f"the ONNX file has a node {name!r} ({operator}) without outputs")
    role = f"the node {name or outputs[0]!r} ({operator})"
    attributes = {
        _name(attribute.name, "an attribute"): _attribute(attribute, f"{attribute.name!r} of {role}", external)
        for attribute in node.attribute
    }
    return OnnxNode("" if domain == "ai.onnx" else domain, operator, name, inputs, outputs, attributes)


def _attribute(attribute: Any, role: str, external: Beside) -> Any:
    """Return the value of an attribute; an ellipsis for a kind that no operator here has, such as another graph."""
    import onnx  # noqa: PLC0415 (an extra)

    kind = onnx.AttributeProto
    if attribute.ref_attr_name:
        return ...
    if attribute.type == kind.TENSOR:
        return array_of(attribute.t, role, external)
    if attribute.type == kind.GRAPH and attribute.name == "body":
        return _body(attribute.g, role, external)
    plain = {kind.FLOAT: float(attribute.f), kind.INT: int(attribute.i), kind.STRING: bytes(attribute.s)}
    several = {kind.FLOATS: attribute.floats, kind.INTS: attribute.ints, kind.STRINGS: attribute.strings}
    if attribute.type in several:
        return tuple(several[attribute.type])
    return plain.get(attribute.type, ...)


def _declared(values: Iterable[Any], role: str) -> list[Declared]:
    declared: dict[str, Declared] = {}
    for value in values:
        name = _name(value.name, role)
        if name in declared:
            raise ModelError(f"the ONNX file declares {name!r} twice")
        tensor = value.type.tensor_type if value.type.HasField("tensor_type") else None
        shape = None
        if tensor is not None and tensor.HasField("shape"):
            shape = tuple(_size(size) for size in tensor.shape.dim)
            if len(shape) > MOST_RANK:
                raise ModelError(f"{role} of the ONNX file, {name!r}, has {len(shape)} axes; {MOST_RANK} at most")
        declared[name] = Declared(name, "" if tensor is None else _type(tensor.elem_type), shape)
    return list(declared.values())


def _size(dimension: Any) -> Size:
    which = dimension.WhichOneof("value")
    if which == "dim_value":
        return int(dimension.dim_value)
    return str(dimension.dim_param) if which == "dim_param" and dimension.dim_param else None


ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
              "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1}  # fmt: skip
"""The bytes of one number of each type."""


def _type(number: int) -> str:
    """Return the name of a type of numbers, such as "float32"; "?" for others."""
    import onnx  # noqa: PLC0415 (an extra)

    names = {
        "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16", "INT64": "int64",
        "INT32": "int32", "INT16": "int16", "INT8": "int8", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32",
        "UINT64": "uint64", "BOOL": "bool", "STRING": "str",
    }  # fmt: skip
    return next((name for key, name in names.items() if getattr(onnx.TensorProto, key) == number), "?")


def type_of(number: Any) -> str:
    """Return the name of the type that an operator such as Cast asks for."""
    return _type(number) if isinstance(number, int) else "?"


def array_of(tensor: Any, role: str, external: Beside) -> NDArray[Any]:
    """Return the values of a tensor, in the file or beside it. Raise ModelError unless they fit its shape."""
    from onnx import TensorProto, numpy_helper  # noqa: PLC0415 (an extra)

    kind, shape = _type(tensor.data_type), tuple(tensor.dims)
    if kind == "?" or tensor.HasField("segment"):
        raise ModelError(f"{role} has a type that nncodegen does not read ({tensor.data_type})")
    if kind == "bfloat16":
        raise ModelError(f"{role} is in {SHORT}")
    if len(shape) > MOST_RANK or any(size < 0 for size in shape) or math.prod(shape) > MOST_SIZE:
        raise ModelError(f"{role} has the shape {_shown(shape)}; it may have {MOST_SIZE:,} values at most")
    if kind == "str":
        return np.empty(0, dtype=object)  # only labels of classes are texts, and no operator here computes with these
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        size = math.prod(shape) * ITEM_BYTES[kind]
        tensor = TensorProto(dims=shape, data_type=tensor.data_type, raw_data=external.read(tensor, size, role))
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise ModelError(f"{role} is damaged: {error}") from error
    if array.shape != shape:
        raise ModelError(f"{role} holds the shape {array.shape}, and says {_shown(shape)}")
    if kind == "bool":
        return array.astype(np.bool_)
    if kind not in FLOATS:
        return array.astype(np.int64) if kind != "uint64" or not array.size or array.max() < 2**63 else _large(role)
    array = array.astype(np.float64)
    if not (np.isfinite(array) | np.isneginf(array)).all() and array.size > 1:  # a mask may hide by minus infinity
        raise ModelError(f"{role} has values that are not finite")
    return array


def _large(role: str) -> NDArray[Any]:
    raise ModelError(f"{role} has values that are too large")


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape[:MOST_RANK]))}{', ...' if len(shape) > MOST_RANK else ''})"

"""Reads files of the format ONNX as plain data. They may come from anywhere: nothing in them is taken on trust.

No path in a file is followed, nothing is evaluated, and nothing is made that is much larger than the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.errors import ModelError

MOST_BYTES = 512 * 2**20
"""The size of a file that is read at all."""

MOST_NODES, MOST_RANK, MOST_SIZE, LONGEST_NAME = 5_000, 8, 2**24, 300
"""Upper bounds for the nodes of a graph, the axes of a tensor, the values of one, and the length of a name."""

OPSETS = range(7, 29)
"""The versions of ai.onnx whose operators mean what they are taken for here."""

FLOATS = ("float32", "float64", "float16")
"""The types of numbers that are real numbers here."""

SHORT = "bfloat16, whose numbers have 8 binary digits: convert the network to float32 before it is exported"
"""What is said of a type that is not read, as its networks compute with rounding that no other type has."""

Size = int | str | None
"""The size of an axis: a number, a name, or nothing that is known."""


@dataclass(frozen=True)
class Node:
    """An operator at work: the names of what it reads ("" for what is left out) and of what it gives."""

    domain: str
    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The operator, with its domain unless that is ai.onnx."""
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
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    opset: int
    producers: Mapping[str, Node] = field(default_factory=dict)
    """The node that gives each name."""


def read(source: Any) -> File:
    """The graph in a file (its path), in bytes, or in an onnx.ModelProto. Raises ModelError, OSError, ImportError."""
    model = _parsed(source)
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise ModelError(f"the ONNX file has {len(graph.node)} nodes; nncodegen reads {MOST_NODES} at most")
    if graph.sparse_initializer:
        raise ModelError("the ONNX file has sparse initializers, which nncodegen does not read: make them dense")
    constants: dict[str, NDArray[Any]] = {}
    for tensor in graph.initializer:
        name = _name(tensor.name, "an initializer")
        if name in constants:
            raise ModelError(f"the ONNX file has two initializers named {name!r}")
        constants[name] = array_of(tensor, f"the initializer {name!r}")
    nodes = tuple(_node(node) for node in graph.node)
    inputs = tuple(one for one in _declared(graph.input, "an input") if one.name not in constants)
    producers: dict[str, Node] = {}
    known = {*constants, *(one.name for one in inputs), ""}
    for node in nodes:
        for name in node.inputs:
            if name not in known:
                raise ModelError(f"{node} reads {name!r}, which nothing before it defines")
        for name in node.outputs:
            if name in known and name:
                raise ModelError(f"{node} defines {name!r}, which is defined already")
            known.add(name)
            producers[name] = node
    outputs = tuple(_declared(graph.output, "an output"))
    for one in outputs:
        if one.name not in known:
            raise ModelError(f"nothing defines the output {one.name!r} of the ONNX file")
    return File(graph.name, nodes, constants, inputs, outputs, _opset(model.opset_import), producers)


def _parsed(source: Any) -> Any:
    """The source as an onnx.ModelProto."""
    import onnx  # noqa: PLC0415 (an extra)
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    if isinstance(source, onnx.ModelProto):
        return source
    if isinstance(source, str | PathLike):
        size = Path(source).stat().st_size
        if size > MOST_BYTES:
            raise ModelError(f"{source} has {size:,} bytes; nncodegen reads files of up to {MOST_BYTES:,}")
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
    return model


def _opset(imports: Iterable[Any]) -> int:
    """The version of ai.onnx."""
    versions = [one.version for one in imports if one.domain in ("", "ai.onnx")]
    version = max(versions, default=OPSETS[0])
    if version not in OPSETS:
        raise ModelError(
            f"the ONNX file uses version {version} of ai.onnx; nncodegen knows {OPSETS[0]} to {OPSETS[-1]}: "
            f"convert it with onnx.version_converter"
        )
    return int(version)


def _name(name: Any, role: str) -> str:
    """A name. Raises ModelError unless it can be read and shown: what is no UTF-8, protobuf may give as bytes."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise ModelError(f"the ONNX file calls {role} {name[:40]!a}...: a name is a line of text, and shorter")
    return name


def _node(node: Any) -> Node:
    inputs = tuple(_name(name, "a tensor") for name in node.input)
    outputs = tuple(_name(name, "a tensor") for name in node.output)
    name = _name(node.name, "a node")
    operator, domain = _name(node.op_type, "an operator"), _name(node.domain, "a domain")
    if not any(outputs):
        raise ModelError(f"the ONNX file has a node {name!r} ({operator}) without outputs")
    role = f"the node {name or outputs[0]!r} ({operator})"
    attributes = {_name(one.name, "an attribute"): _attribute(one, f"{one.name!r} of {role}") for one in node.attribute}
    return Node("" if domain == "ai.onnx" else domain, operator, name, inputs, outputs, attributes)


def _attribute(attribute: Any, role: str) -> Any:
    """The value of an attribute; an ellipsis for what no operator here has, as a graph within the graph."""
    import onnx  # noqa: PLC0415 (an extra)

    kind = onnx.AttributeProto
    if attribute.ref_attr_name:
        return ...
    if attribute.type == kind.TENSOR:
        return array_of(attribute.t, role)
    plain = {kind.FLOAT: float(attribute.f), kind.INT: int(attribute.i), kind.STRING: bytes(attribute.s)}
    several = {kind.FLOATS: attribute.floats, kind.INTS: attribute.ints, kind.STRINGS: attribute.strings}
    if attribute.type in several:
        return tuple(several[attribute.type])
    return plain.get(attribute.type, ...)


def _declared(values: Iterable[Any], role: str) -> list[Declared]:
    found: dict[str, Declared] = {}
    for value in values:
        name = _name(value.name, role)
        if name in found:
            raise ModelError(f"the ONNX file declares {name!r} twice")
        tensor = value.type.tensor_type if value.type.HasField("tensor_type") else None
        shape = None
        if tensor is not None and tensor.HasField("shape"):
            shape = tuple(_size(one) for one in tensor.shape.dim)
            if len(shape) > MOST_RANK:
                raise ModelError(f"{role} of the ONNX file, {name!r}, has {len(shape)} axes; {MOST_RANK} at most")
        found[name] = Declared(name, "" if tensor is None else _type(tensor.elem_type), shape)
    return list(found.values())


def _size(dimension: Any) -> Size:
    which = dimension.WhichOneof("value")
    if which == "dim_value":
        return int(dimension.dim_value)
    return str(dimension.dim_param) if which == "dim_param" and dimension.dim_param else None


def _type(number: int) -> str:
    """The name of a type of numbers, such as "float32"; "?" for others."""
    import onnx  # noqa: PLC0415 (an extra)

    names = {
        "FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16", "INT64": "int64",
        "INT32": "int32", "INT16": "int16", "INT8": "int8", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32",
        "UINT64": "uint64", "BOOL": "bool", "STRING": "str",
    }  # fmt: skip
    return next((name for key, name in names.items() if getattr(onnx.TensorProto, key) == number), "?")


def type_of(number: Any) -> str:
    """The name of the type that an operator such as Cast asks for."""
    return _type(number) if isinstance(number, int) else "?"


def array_of(tensor: Any, role: str) -> NDArray[Any]:
    """The values of a tensor. Raises ModelError unless they are all in the file, and as many as its shape says."""
    from onnx import TensorProto, numpy_helper  # noqa: PLC0415 (an extra)

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(f"{role} lies in another file, which is not read: save the network in one file")
    kind, shape = _type(tensor.data_type), tuple(tensor.dims)
    if kind == "?" or tensor.HasField("segment"):
        raise ModelError(f"{role} has a type that nncodegen does not read ({tensor.data_type})")
    if kind == "bfloat16":
        raise ModelError(f"{role} is in {SHORT}")
    if len(shape) > MOST_RANK or any(size < 0 for size in shape) or math.prod(shape) > MOST_SIZE:
        raise ModelError(f"{role} has the shape {_shown(shape)}; it may have {MOST_SIZE:,} values at most")
    if kind == "str":
        return np.empty(0, dtype=object)  # only labels of classes are texts, and these are not computed with
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise ModelError(f"{role} is damaged: {error}") from error
    if array.shape != shape:
        raise ModelError(f"{role} holds the shape {array.shape}, and says {_shown(shape)}")
    if kind not in FLOATS:
        return array.astype(np.int64) if kind != "uint64" or not array.size or array.max() < 2**63 else _large(role)
    array = array.astype(np.float64)
    if not np.isfinite(array).all() and array.size > 1:
        raise ModelError(f"{role} has values that are not finite")
    return array


def _large(role: str) -> NDArray[Any]:
    raise ModelError(f"{role} has values that are too large")


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape[:MOST_RANK]))}{', ...' if len(shape) > MOST_RANK else ''})"

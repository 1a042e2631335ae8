"""The types of elements: each operator's results have those that ONNX declares for it.

A reader of a tensor asks for its type; nothing is concluded from the operator that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from nncodegen.formats.onnx.reading.file import OnnxNode, type_of

BOOL = "bool"
"""The type of truth values, which are 1 and 0 here."""

FLOAT, DOUBLE, WHOLE = "float32", "float64", "int64"
"""The types of single and double precision, and of the whole numbers that the file holds."""

ATTRIBUTES = {"Cast": "to", "ConstantOfShape": "value"}
"""Operators whose attribute says the type of the result."""

USUAL = {"ConstantOfShape": FLOAT}
"""The types of results where this attribute is left out."""

NAMES = {"float": FLOAT, "double": DOUBLE}
"""Types that ONNX writes otherwise than NumPy."""


def is_whole(kind: str) -> bool:
    """Return whether a type is one of whole numbers."""
    return kind.startswith(("int", "uint"))


def is_exact(kind: str) -> bool:
    """Return whether a type is one of whole numbers or truth values, which are no parameters."""
    return kind == BOOL or is_whole(kind)


def types_of_results(node: OnnxNode, operands: Sequence[str], opset: int) -> tuple[str, ...]:
    """Return the types of a node's results, given those of its operands; "" where ONNX leaves them to the operator.

    An operator that ONNX does not have, such as the Erfc of tf2onnx, keeps the type of its first operand.
    """
    if node.operator in ATTRIBUTES and not node.domain:
        return (_by_attribute(node),)
    known = _signature(node.operator, node.domain, opset)
    if known is None:
        return (*operands[:1],) * len(node.outputs)
    inputs, outputs = known
    bound: dict[str, str] = {}
    for place, kind in enumerate(operands):
        variable = inputs[min(place, len(inputs) - 1)] if inputs else ""
        if kind and variable:
            bound.setdefault(variable, kind)
    declared = (outputs[min(place, len(outputs) - 1)] for place in range(len(node.outputs)))
    return tuple(_plain(name) or bound.get(name, "") for name in declared)


def _by_attribute(node: OnnxNode) -> str:
    attribute = node.attributes.get(ATTRIBUTES[node.operator])
    if isinstance(attribute, np.ndarray):
        return str(attribute.dtype.name)
    return USUAL.get(node.operator, "") if attribute is None else type_of(attribute)


@lru_cache(maxsize=1024)
def _signature(operator: str, domain: str, opset: int) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the types of an operator's operands and results, or the names of what stands for a type; None if unknown.

    A name that stands for one type alone is that type; "" is for operands that each may have another one.
    """
    from onnx import defs  # noqa: PLC0415 (an extra)

    try:
        schema = defs.get_schema(operator, *(() if domain else (opset,)), domain=domain)
    except defs.SchemaError:
        return None
    alone = {constraint.type_param_str: tuple(constraint.allowed_type_strs) for constraint in schema.type_constraints}

    def kinds(formal: Sequence[Any]) -> tuple[str, ...]:
        names = (operand.type_str if operand.is_homogeneous else "" for operand in formal)
        return tuple(alone[name][0] if len(alone.get(name, ())) == 1 else name for name in names)

    return kinds(schema.inputs), kinds(schema.outputs)


def _plain(declared: str) -> str:
    """Return the type in "tensor(int64)"; "" for the name of what stands for a type."""
    kind = declared.removeprefix("tensor(").removesuffix(")") if declared.startswith("tensor(") else ""
    return NAMES.get(kind, kind)

"""Activations that are an operator of ONNX, as a reader of a network expects them.

They are recognized by their formulas. Formulas of scalars use only relu and tanh of these operators: a runtime computes
the others to an absolute error, and a formula may need the digits of a sigmoid that is nearly 0.
"""

from __future__ import annotations

import math

from sympy import Expr, Symbol

from nncodegen.compiler.describe.activations import RECORDS
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.element import elements
from nncodegen.compiler.ir.functions import leaky_relu
from nncodegen.compiler.passes.rules.forms import stable_form
from nncodegen.formats.onnx.reading.operators import OPERATORS
from nncodegen.formats.onnx.writing.functions import error_function
from nncodegen.formats.onnx.writing.graph import OnnxGraph, Value

Z = Symbol("z", real=True)


GELU = "gelu"
"""An activation for which a graph has an error function: its operator is newer than the versions that are written."""

WRITTEN = {
    record.name: record
    for record in RECORDS
    if record.name == GELU or (record.onnx and not record.onnx.texts and OPERATORS[record.onnx.name].written)
}
"""The activations that are recognized, by name."""

_FORMS = {stable_form(record(Z)): name for name, record in WRITTEN.items()}


def activation(expression: Expr, layered: bool, graph: OnnxGraph) -> tuple[str, Element] | None:
    """Return the name of the activation that an expression is, and its argument; None if no operator is used for it."""
    operands = elements(expression)
    if len(operands) != 1:
        return None
    name = _FORMS.get(expression.xreplace({operands[0]: Z}))
    if name is None or not (layered or name == "relu"):
        return None
    return (name, operands[0]) if graph.has(_operator_of(name)) else None


def _operator_of(name: str) -> str:
    form = WRITTEN[name].onnx
    return "Erf" if name == GELU or form is None else form.name


def slope_of(expression: Expr, graph: OnnxGraph) -> tuple[Element, Element] | None:
    """Return the argument and the slope of a PReLU: x where it is positive, else a slope times x. None for others."""
    operands = elements(expression)
    for slope, z in (operands, operands[::-1]) if len(operands) == 2 else ():
        if set(slope.indices) <= set(z.indices) and expression == leaky_relu(z, slope):
            return (z, slope) if graph.has("PRelu") else None
    return None


def activated(name: str, z: Value) -> Value:
    """Return the activation of a value."""
    if name == GELU:
        return z * 0.5 * (error_function(z * math.sqrt(0.5)) + 1)
    record = WRITTEN[name]
    names = record.onnx.parameters if record.onnx else {}
    return z.graph.elementwise(_operator_of(name), z, **dict(zip(names, record.usual, strict=False)))

"""Activations that are an operator of ONNX, as a reader of a network expects them.

They are recognized by their formulas. Formulas of scalars use only relu and tanh of these operators: a runtime computes
the others to an absolute error, and a formula may need the digits of a sigmoid that is nearly 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sympy import Expr, Symbol

from nncodegen.describe.activations import ACTIVATIONS
from nncodegen.exports.onnx.functions import error_function
from nncodegen.exports.onnx.graph import Value
from nncodegen.ir import Element
from nncodegen.ir.element import elements
from nncodegen.ir.functions import leaky_relu
from nncodegen.passes.rules.forms import stable_form

Z = Symbol("z", real=True)


@dataclass(frozen=True)
class Operator:
    """An operator and its attributes; ``precisions`` are those in which onnxruntime computes it accurately."""

    name: str
    attributes: Mapping[str, float] = field(default_factory=dict)
    precisions: tuple[str, ...] = ("float32",)


OPERATORS = {
    "relu": Operator("Relu", precisions=("float32", "float64")),
    "sigmoid": Operator("Sigmoid", precisions=("float32", "float64")),
    "leaky_relu": Operator("LeakyRelu", {"alpha": 0.01}),
    "elu": Operator("Elu", {"alpha": 1.0}),
    "selu": Operator("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "softplus": Operator("Softplus"),
    "softsign": Operator("Softsign"),
}
"""Operators by the names of activations. Attributes are float32 in every precision, so their results are, too."""

GELU = "gelu"

_FORMS = {stable_form(ACTIVATIONS[name](Z)): name for name in (*OPERATORS, GELU)}


def activation(expression: Expr, layered: bool, precision: str) -> tuple[str, Element] | None:
    """Return the name of the activation that an expression is, and its argument; None if no operator is used for it."""
    found = elements(expression)
    if len(found) != 1:
        return None
    name = _FORMS.get(expression.xreplace({found[0]: Z}))
    if name is None or not (layered or name == "relu"):
        return None
    precisions = ("float32",) if name == GELU else OPERATORS[name].precisions
    return (name, found[0]) if precision in precisions else None


def slope_of(expression: Expr, precision: str) -> tuple[Element, Element] | None:
    """Return the argument and the slope of a PReLU: x where it is positive, else a slope times x. None for others."""
    found = elements(expression)
    for slope, z in (found, found[::-1]) if len(found) == 2 else ():
        if set(slope.indices) <= set(z.indices) and expression == leaky_relu(z, slope):
            return (z, slope) if precision == "float32" else None
    return None


def activated(name: str, z: Value) -> Value:
    """Return the activation of a value."""
    if name == GELU:
        return z * 0.5 * (error_function(z * math.sqrt(0.5)) + 1)
    operator = OPERATORS[name]
    return z.graph.elementwise(operator.name, z, **operator.attributes)

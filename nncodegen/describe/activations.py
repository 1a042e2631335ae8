"""Activations by name: each is one function of a SymPy expression. To add one, add an entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sympy import Expr

from nncodegen.ir.functions import elu, gelu, leaky_relu, relu, selu, sigmoid, silu, softplus, softsign, tanh
from nncodegen.runtime.python.ground.habits import spelled

Activation = str | Callable[[Expr], Expr]

SOFTMAX = "softmax"
"""The only activation that is not a function of one number: it normalizes over the units of a layer."""

ACTIVATIONS: dict[str, Callable[[Expr], Expr]] = {
    "linear": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "softplus": softplus,
    "softsign": softsign,
    "silu": silu,
    "swish": silu,
    "gelu": gelu,
}


def usual_activation(activation: Any) -> Any:
    """Return the name of an activation for another spelling of it, "ReLU"; return any other object unchanged."""
    return spelled(activation, (*ACTIVATIONS, SOFTMAX))

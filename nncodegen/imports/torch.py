"""Stacks of layers of PyTorch, which is never imported here: whoever has such a stack has PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sympy import S

from nncodegen.describe import Dense, Dropout, Optimizer, Sequential
from nncodegen.describe.activations import ACTIVATIONS, SOFTMAX, Activation
from nncodegen.describe.layer import Layer
from nncodegen.describe.losses import LossFunction
from nncodegen.errors import ModelError
from nncodegen.imports.activations import (
    celu,
    clip,
    gelu_tanh,
    hard_sigmoid,
    hard_swish,
    log_sigmoid,
    mish,
    number,
    shrink,
    tanh_shrink,
    thresholded,
)
from nncodegen.ir.functions import elu, gelu, leaky_relu, softplus

NAMED = {
    "ReLU": "relu", "SELU": "selu", "SiLU": "silu", "Sigmoid": "sigmoid", "Softsign": "softsign", "Tanh": "tanh",
}  # fmt: skip
"""Modules of PyTorch that are activations with a name."""

ACTIVATION_OF: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "CELU": lambda m: lambda z: celu(z, number(m.alpha)),
    "ELU": lambda m: lambda z: elu(z, number(m.alpha)),
    "GELU": lambda m: gelu_tanh if m.approximate == "tanh" else gelu,
    "Hardshrink": lambda m: lambda z: shrink(z, number(m.lambd), S.Zero),
    "Hardsigmoid": lambda m: hard_sigmoid,
    "Hardswish": lambda m: hard_swish,
    "Hardtanh": lambda m: lambda z: clip(z, number(m.min_val), number(m.max_val)),
    "LeakyReLU": lambda m: lambda z: leaky_relu(z, number(m.negative_slope)),
    "LogSigmoid": lambda m: log_sigmoid,
    "Mish": lambda m: mish,
    "ReLU6": lambda m: lambda z: clip(z, S.Zero, number(6)),
    "Softplus": lambda m: lambda z: softplus(number(m.beta) * z) / number(m.beta),
    "Softshrink": lambda m: lambda z: shrink(z, number(m.lambd), number(m.lambd)),
    "Tanhshrink": lambda m: tanh_shrink,
    "Threshold": lambda m: lambda z: thresholded(z, number(m.threshold), number(m.value)),
}
"""Modules of PyTorch that are activations, with their arguments, as functions of an expression."""

HEADS = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}
"""The usual loss for an activation of the last layer; "mse" for all others."""


def from_torch(
    module: Any,
    loss: str | LossFunction | None = None,
    name: str = "network",
    optimizers: Sequence[Optimizer] = (),
) -> Sequential:
    """A torch.nn.Sequential of Linear, activations and Dropout as a network that starts with its weights.

    Stacks may stand within stacks, and Identity anywhere; a Flatten may come first. By default the loss is
    "categorical_crossentropy" where a Softmax is last, "binary_crossentropy" where a Sigmoid is, else "mse". The
    weights W1, b1 and so on are numbered by the Linear and Dropout modules. Softplus has no threshold here, from which
    PyTorch takes it for linear; that differs by 2e-9/beta at most. Raises ModelError, which names what it cannot take.
    """
    if not _is(module, "Sequential"):
        raise ModelError(f"from_torch takes a torch.nn.Sequential, not a {type(module).__name__}")
    layers, initial, inputs = _layers(list(_flat(module)))
    last = layers[-1]
    head = last.activation if isinstance(last, Dense) and isinstance(last.activation, str) else ""
    usual = HEADS.get(head, "mse")
    return Sequential(layers, inputs, usual if loss is None else loss, name, optimizers, initial)


def _layers(modules: Sequence[Any]) -> tuple[list[Layer], dict[str, Any], int]:
    """The layers for some modules, initial values, and the number of inputs."""
    layers: list[Layer] = []
    initial: dict[str, Any] = {}
    inputs = 0
    for place, module in enumerate(modules):
        kind = type(module).__name__ if _is(module) else ""
        if kind == "Linear":
            inputs = inputs or int(module.in_features)
            number, bias = len(layers) + 1, module.bias is not None
            layers.append(Dense(int(module.out_features), bias=bias))
            initial[f"W{number}"] = _values(module.weight)
            if bias:
                initial[f"b{number}"] = _values(module.bias)
        elif kind == "Dropout" and layers:
            layers.append(Dropout(float(module.p)))
        elif kind == "Identity" or (kind == "Flatten" and place == 0 and module.start_dim == 1):
            continue
        elif layers and isinstance(last := layers[-1], Dense):
            layers[-1] = Dense(last.units, _with(last.activation, module), bias=last.bias)
        else:
            raise ModelError(
                f"the module {module} has no layer here, as no Linear stands directly before it: "
                f"export the network to ONNX, and use nncodegen.from_onnx"
            )
    if not inputs:
        raise ModelError("the torch.nn.Sequential has no Linear: there is nothing to train")
    return layers, initial, inputs


def _with(activation: Activation, module: Any) -> Activation:
    """The activation of a layer followed by a module. Raises ModelError for one that is not known."""
    kind = type(module).__name__ if _is(module) else ""
    if kind == "Softmax" and module.dim in (1, -1) and activation == "linear":
        return SOFTMAX
    if kind in NAMED and activation == "linear":
        return NAMED[kind]
    if activation == SOFTMAX or not (kind in NAMED or kind in ACTIVATION_OF):
        raise ModelError(
            f"the module {module} cannot be taken over; from_torch knows Linear, Dropout, Identity, Softmax in the "
            f"end, and the activations {', '.join(sorted((*NAMED, *ACTIVATION_OF)))}"
        )
    outer = ACTIVATIONS[NAMED[kind]] if kind in NAMED else _checked(module, ACTIVATION_OF[kind])
    inner = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    return lambda z: outer(inner(z))


def _checked(module: Any, make: Callable[[Any], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """The function of an activation, whose arguments are finite."""
    numbers = [value for value in vars(module).values() if isinstance(value, float)]
    if not all(map(math.isfinite, numbers)):
        raise ModelError(f"the module {module} has an argument that is not finite")
    return make(module)


def _flat(module: Any) -> Iterator[Any]:
    """The modules of a stack, and of the stacks within it, in their order."""
    for child in module:
        if _is(child, "Sequential"):
            yield from _flat(child)
        else:
            yield child


def _is(module: Any, name: str | None = None) -> bool:
    """Whether an object is a module of PyTorch itself (of a class of its own, it would do something else), by name."""
    kind = type(module)
    return kind.__module__.startswith("torch.nn.modules.") and name in (None, kind.__name__)


def _values(tensor: Any) -> Any:
    """The values of a parameter of PyTorch, wherever it lies, as doubles."""
    return tensor.detach().cpu().double().numpy()

"""Stacks of layers of PyTorch, which is never imported here: whoever has such a stack has PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sympy import S

from nncodegen.describe import Activation as ActivationLayer
from nncodegen.describe import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    Optimizer,
    Sequential,
)
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
from nncodegen.imports.torch_windows import WINDOWS, only, window_layer
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

ACTIVATED = (Dense, Conv1D, Conv2D, Conv1DTranspose, Conv2DTranspose)
"""Layers that an activation behind them belongs to."""

HEADS = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}
"""The usual loss for an activation of the last layer; "mse" for all others."""


def from_torch(
    module: Any,
    loss: str | LossFunction | None = None,
    name: str = "network",
    optimizers: Sequence[Optimizer] = (),
    inputs: int | Sequence[int] | None = None,
) -> Sequential:
    """A torch.nn.Sequential of Linear, convolutions, pools, activations and Dropout, with its weights as a start.

    Stacks may stand within stacks, and Identity anywhere. inputs is the shape of a sample, (channels, rows, columns)
    for a Conv2d; it need not be given where the first of the layers is a Linear, before which a Flatten may come. By
    default the loss is "categorical_crossentropy" where a Softmax is last, "binary_crossentropy" where a Sigmoid is,
    else "mse". The weights W1, b1 and so on are numbered by the modules that are no activations of a Linear or a
    convolution. Softplus has no threshold here, from which PyTorch takes it for linear; that differs by 2e-9/beta at
    most. Raises ModelError, which names what it cannot take.
    """
    if not _is(module, "Sequential"):
        raise ModelError(f"from_torch takes a torch.nn.Sequential, not a {type(module).__name__}")
    modules = list(_flat(module))
    layers, initial = _layers(modules, inputs is None)
    shape = _features(modules) if inputs is None else inputs
    last = layers[-1]
    head = getattr(last, "activation", "")
    usual = HEADS.get(head, "mse") if isinstance(head, str) else "mse"
    loss = usual if loss is None else loss
    shapes = {tensor.name: tensor.shape for tensor in Sequential(layers, shape).describe().parameters}
    values = {key: _fitting(values, shapes[key]) for key, values in initial.items()}
    return Sequential(layers, shape, loss, name, optimizers, values)


def _fitting(values: Any, shape: tuple[int | None, ...]) -> Any:
    """The values of a parameter in the shape that it has here: row by row they are the same."""
    same = values.size == math.prod(size or 0 for size in shape)
    return values.reshape(shape) if same else values


def _features(modules: Sequence[Any]) -> int:
    """The number of inputs that the first Linear has. Raises ModelError where another layer comes before it."""
    for module in modules:
        if _is(module, "Linear"):
            return int(module.in_features)
        if type(module).__name__ in WINDOWS:
            raise ModelError(
                f"the first layer is {module}: give inputs, the shape of a sample, such as inputs=(1, 28, 28)"
            )
    raise ModelError("the torch.nn.Sequential has no Linear: there is nothing to train")


def _layers(modules: Sequence[Any], flat: bool) -> tuple[list[Layer], dict[str, Any]]:
    """The layers for some modules, and initial values. flat says whether a sample has one axis."""
    layers: list[Layer] = []
    initial: dict[str, Any] = {}
    for module in modules:
        kind = type(module).__name__ if _is(module) else ""
        if kind == "Identity" or (kind == "Flatten" and flat and not layers and module.start_dim == 1):
            continue
        layer = _layer(kind, module)
        if layer is not None:
            layers.append(layer)
            if hasattr(module, "weight"):
                initial[f"W{len(layers)}"] = _values(module.weight)
                initial |= {} if module.bias is None else {f"b{len(layers)}": _values(module.bias)}
            flat = kind == "Flatten" or kind.startswith("Adaptive") or (flat and kind in ("Linear", "Dropout"))
        elif layers and isinstance(last := layers[-1], ACTIVATED):
            layers[-1] = replace(last, activation=_with(last.activation, module, flat))
        elif layers and (kind in NAMED or kind in ACTIVATION_OF):
            layers.append(ActivationLayer(_with("linear", module, flat)))
        else:
            raise ModelError(
                f"the module {module} has no layer here, as nothing stands before it that is one: "
                f"export the network to ONNX, and use nncodegen.from_onnx"
            )
    if not layers:
        raise ModelError("the torch.nn.Sequential has no Linear: there is nothing to train")
    return layers, initial


def _layer(kind: str, module: Any) -> Layer | None:
    """The layer for a module of PyTorch; None for what is an activation, or not known."""
    if kind == "Linear":
        return Dense(int(module.out_features), bias=module.bias is not None)
    if kind == "Dropout":
        return Dropout(float(module.p))
    if kind == "Flatten":
        only(module, start_dim=1, end_dim=-1)
        return Flatten()
    return window_layer(module) if kind in WINDOWS else None


def _with(activation: Activation, module: Any, flat: bool) -> Activation:
    """The activation of a layer followed by a module. Raises ModelError for one that is not known."""
    kind = type(module).__name__ if _is(module) else ""
    if kind == "Softmax" and module.dim in ((1, -1) if flat else (-1,)) and activation == "linear":
        return SOFTMAX
    if kind in NAMED and activation == "linear":
        return NAMED[kind]
    if activation == SOFTMAX or not (kind in NAMED or kind in ACTIVATION_OF):
        raise ModelError(
            f"the module {module} cannot be taken over; from_torch knows Linear, Dropout, Flatten, Identity, "
            f"{', '.join(WINDOWS)}, Softmax in the end, and the activations "
            f"{', '.join(sorted((*NAMED, *ACTIVATION_OF)))}"
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

"""Single modules of PyTorch as layers, with the weights that they start with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sympy import S

from nncodegen.describe import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNormalization,
    RMSNormalization,
)
from nncodegen.describe.activations import ACTIVATIONS, SOFTMAX, Activation
from nncodegen.describe.layer import Layer
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
from nncodegen.imports.torch_layers import ChannelPReLU
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

NORMALIZATIONS = ("BatchNorm1d", "BatchNorm2d", "LayerNorm", "RMSNorm")
RECURRENT = ("GRU", "LSTM", "RNN")

READ = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
"""The types of tensors that are read. Networks in others, such as bfloat16, round as none of these does."""


def layer_of(module: Any) -> Layer | None:
    """Return the layer for a module of PyTorch; None for an activation, or an unknown module."""
    kind = type(module).__name__ if is_of_torch(module) else ""
    if kind == "Linear":
        return Dense(int(module.out_features), use_bias=module.bias is not None)
    if kind == "Dropout":
        return Dropout(float(module.p))
    if kind == "PReLU":
        return ChannelPReLU(slopes=int(module.num_parameters))
    if kind == "Flatten":
        only(module, start_dim=1, end_dim=-1)
        return Flatten()
    if kind == "Embedding":
        only(module, padding_idx=None, max_norm=None)
        return Embedding(int(module.num_embeddings), int(module.embedding_dim))
    if kind in NORMALIZATIONS:
        return _normalization(kind, module)
    return window_layer(module) if kind in WINDOWS else None


def _normalization(kind: str, module: Any) -> Layer:
    """Return the layer for a module that normalizes; running statistics of batches are frozen."""
    scale = module.weight is not None
    if kind == "RMSNorm":
        axes = tuple(range(-len(module.normalized_shape), 0))
        return RMSNormalization(axes, epsilon_of(module.eps, module.weight), scale)
    epsilon = float(module.eps)
    if kind == "LayerNorm":
        axes = tuple(range(-len(module.normalized_shape), 0))
        return LayerNormalization(axes, epsilon=epsilon, center=scale and module.bias is not None, scale=scale)
    if module.running_mean is None:
        raise ModelError(f"the module {module} has no running statistics: from_torch needs track_running_stats=True")
    return BatchNormalization(axis=1, epsilon=epsilon, center=scale, scale=scale, frozen=True)


def epsilon_of(epsilon: float | None, weight: Any) -> float:
    """Return what an RMSNorm adds to the mean of squares: by default the spacing of numbers of its type at 1."""
    if epsilon is not None:
        return float(epsilon)
    kind = "float32" if weight is None else str(weight.dtype).removeprefix("torch.")
    return float(np.finfo(kind).eps)


def weights_of(layer: Layer, module: Any, level: int = 0) -> dict[str, Any]:
    """Return the weights of a module by the letters of the layer's parameters; level is that in a recurrent stack."""
    found = {}
    for letters, (_, names) in layer.elsewhere.items():
        parts = [names] if isinstance(names, str) else names
        given = [getattr(module, name.replace("_l0", f"_l{level}"), None) for name in parts]
        if all(part is not None for part in given):
            arrays = [values_of(part, f"a weight of the module {module}") for part in given]
            found[letters] = layer.taken_over(letters, arrays[0] if len(parts) == 1 else np.stack(arrays), "torch")
    return found


def in_shape(values: Any, shape: Sequence[int | None]) -> Any:
    """Return the values of a parameter, in row-major order, in the shape that it has here."""
    same = values.size == math.prod(size or 0 for size in shape)
    return values.reshape(shape) if same else values


def activation_with(activation: Activation, module: Any, flat: bool) -> Activation:
    """Return the activation of a layer followed by a module. Raise ModelError for one that is not known."""
    kind = type(module).__name__ if is_of_torch(module) else ""
    if kind == "Softmax" and module.dim in ((1, -1) if flat else (-1,)) and activation == "linear":
        return SOFTMAX
    if kind in NAMED and activation == "linear":
        return NAMED[kind]
    if activation == SOFTMAX or not (kind in NAMED or kind in ACTIVATION_OF):
        raise ModelError(
            f"the module {module} cannot be taken over; from_torch knows Linear, Dropout, Embedding, Flatten, "
            f"Identity, PReLU, {', '.join((*NORMALIZATIONS, *RECURRENT, *WINDOWS))}, Softmax in the end, and the "
            f"activations {', '.join(sorted((*NAMED, *ACTIVATION_OF)))}"
        )
    outer = ACTIVATIONS[NAMED[kind]] if kind in NAMED else _checked(module, ACTIVATION_OF[kind])
    inner = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    return lambda z: outer(inner(z))


def _checked(module: Any, make: Callable[[Any], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return the function of an activation. Raise ModelError unless its arguments are finite."""
    numbers = [value for value in vars(module).values() if isinstance(value, float)]
    if not all(map(math.isfinite, numbers)):
        raise ModelError(f"the module {module} has an argument that is not finite")
    return make(module)


def is_of_torch(module: Any, name: str | None = None) -> bool:
    """Return whether an object is a module of PyTorch itself, by name; subclasses of users may compute other things."""
    kind = type(module)
    return kind.__module__.startswith("torch.nn.modules.") and name in (None, kind.__name__)


def check_type(tensor: Any, told: str) -> None:
    """Raise ModelError for a tensor of PyTorch whose type is not read."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in READ:
        raise ModelError(f"{told} is in {kind}, which is not read: convert the module to float32 first (.float())")


def values_of(tensor: Any, told: str) -> Any:
    """Return the values of a tensor of PyTorch, on any device, as doubles. Raise ModelError for types not in READ."""
    check_type(tensor, told)
    return tensor.detach().cpu().double().numpy()

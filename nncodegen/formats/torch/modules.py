"""Single modules of PyTorch as layers, with the weights that they start with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncodegen.compiler.describe import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNormalization,
    RMSNormalization,
)
from nncodegen.compiler.describe.activations import ACTIVATIONS, SOFTMAX, Activation
from nncodegen.compiler.describe.layer import Layer
from nncodegen.errors import ModelError
from nncodegen.formats.activations import by_names, form_of, with_parameters, with_texts
from nncodegen.formats.torch.layers import ChannelPReLU
from nncodegen.formats.torch.windows import WINDOWS, only, window_layer

ACTIVATION_OF = by_names("torch")
"""Modules of PyTorch that are activations."""

FUNCTIONS = {name.lower(): name for name in ACTIVATION_OF} | {"leaky_relu": "LeakyReLU"}
"""Functions of PyTorch that are activations, with the modules that compute the same."""

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
    weights = {}
    for letters, (_, names) in layer.elsewhere.items():
        parts = [names] if isinstance(names, str) else names
        tensors = [getattr(module, name.replace("_l0", f"_l{level}"), None) for name in parts]
        if all(part is not None for part in tensors):
            arrays = [values_of(part, f"a weight of the module {module}") for part in tensors]
            weights[letters] = layer.taken_over(letters, arrays[0] if len(parts) == 1 else np.stack(arrays), "torch")
    return weights


def in_shape(values: Any, shape: Sequence[int | None]) -> Any:
    """Return the values of a parameter, in row-major order, in the shape that it has here."""
    same = values.size == math.prod(size or 0 for size in shape)
    return values.reshape(shape) if same else values


def activation_with(activation: Activation, module: Any, flat: bool) -> Activation:
    """Return the activation of a layer followed by a module. Raise ModelError for one that is not known."""
    kind = type(module).__name__ if is_of_torch(module) else ""
    if kind == "Softmax" and module.dim in ((1, -1) if flat else (-1,)) and activation == "linear":
        return SOFTMAX
    if activation == SOFTMAX or kind not in ACTIVATION_OF:
        raise ModelError(
            f"the module {module} cannot be taken over; from_torch knows Linear, Dropout, Embedding, Flatten, "
            f"Identity, PReLU, {', '.join((*NORMALIZATIONS, *RECURRENT, *WINDOWS))}, Softmax in the end, and the "
            f"activations {', '.join(sorted(ACTIVATION_OF))}"
        )
    outer = _activation_of(module)
    if activation == "linear":
        return outer
    outer, inner = (
        ACTIVATIONS[function] if isinstance(function, str) else function for function in (outer, activation)
    )
    return lambda z: outer(inner(z))


def _activation_of(module: Any) -> Activation:
    """Return the activation that a module is, by its name where it has the usual parameters. Raise ModelError."""
    record = with_texts(ACTIVATION_OF[type(module).__name__], "torch", lambda name: getattr(module, name))
    usual = form_of(record, "torch").parameters
    values = {name: getattr(module, name) for name in usual}
    if not all(map(math.isfinite, values.values())):
        raise ModelError(f"the module {module} has an argument that is not finite")
    return record.name if values == usual else with_parameters(record, values.values())


def is_of_torch(module: Any, name: str | None = None) -> bool:
    """Return whether an object is a module of PyTorch itself, by name; subclasses of users may compute other things."""
    kind = type(module)
    return kind.__module__.startswith("torch.nn.modules.") and name in (None, kind.__name__)


def check_type(tensor: Any, role: str) -> None:
    """Raise ModelError for a tensor of PyTorch whose type is not read."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in READ:
        raise ModelError(f"{role} is in {kind}, which is not read: convert the module to float32 first (.float())")


def values_of(tensor: Any, role: str) -> Any:
    """Return the values of a tensor of PyTorch, on any device, as doubles. Raise ModelError for types not in READ."""
    check_type(tensor, role)
    return tensor.detach().cpu().double().numpy()

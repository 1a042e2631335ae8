"""Weights of Keras and PyTorch, by the names of layers or in their order, for a network that is described here."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.describe import Network, Sequential
from nncodegen.errors import ModelError
from nncodegen.formats.torch.modules import values_of

ORIGINS = ("keras", "torch")
"""The programs that weights may come from, in the order of the names in ``Layer.elsewhere``."""

SEPARATORS = ("/", ".")
"""The separator between the name of a layer and that of a weight, in each of these."""

NOT_NEEDED = ("num_batches_tracked",)
"""Entries among the weights of PyTorch that are no weights."""

Model = TypeVar("Model", Network, Sequential)


def with_weights(model: Model, weights: Mapping[str, Any] | Sequence[Any], origin: str = "keras") -> Model:
    """Return the network, starting with weights of a network of Keras or PyTorch that has the same layers.

    weights maps names to arrays: for Keras "hidden/kernel" and "hidden/bias" of a layer Dense(..., name="hidden"),
    perhaps with a folder before and ":0" after it; for PyTorch "hidden.weight" and "hidden.bias", a ``state_dict()``.
    For that, layers must have names. Or weights is a list, in the order of the layers here, such as
    ``keras_model.get_weights()`` of a stack. origin is "keras" or "torch". Axes are brought into the order that they
    have here. Raise ModelError for weights that are missing, superfluous, or of another shape.
    """
    if origin not in ORIGINS:
        raise ModelError(f"weights come from {' or '.join(map(repr, ORIGINS))}, not from {origin!r}")
    if not isinstance(model, Network | Sequential):
        raise ModelError(f"weights are for a Network or a Sequential, not for a {type(model).__name__}")
    slots = _slots(model, origin)
    arrays = _by_name(weights, slots, origin) if isinstance(weights, Mapping) else _in_order(weights, slots)
    result = copy.copy(model)
    result.initial = {}
    for tensor, values in arrays.items():
        layer, letters, shape, names = slots[tensor]
        array = layer.taken_over(letters, values, origin)
        if array.size != int(np.prod(shape)) or (array.ndim == len(shape) and array.shape != shape):
            raise ModelError(
                f"{names[0]} has the shape {values.shape}, which does not fit {tensor} of the shape {shape}"
            )
        result.initial[tensor] = np.array(array, dtype=np.float64).reshape(shape)
    result.describe()
    return result


Slot = tuple[Any, str, tuple[int, ...], tuple[str, ...]]
"""A layer, the letters of one of its parameters, the shape of this one, and its names in the origin, one per part."""


def _slots(model: Network | Sequential, origin: str) -> dict[str, Slot]:
    """Return the parameters that need weights, by their names here."""
    shapes = {tensor.name: tuple(size or 0 for size in tensor.shape) for tensor in model.describe().parameters}
    slots: dict[str, Slot] = {}
    for suffix, layer in model.numbered:
        for letters, names in getattr(layer, "elsewhere", {}).items():
            name = f"{letters}{suffix}"
            if name in shapes:
                number, folder = ORIGINS.index(origin), suffix.removeprefix("_")
                parts = (names[number],) if isinstance(names[number], str) else names[number]
                slots[name] = layer, letters, shapes[name], tuple(f"{folder}{SEPARATORS[number]}{n}" for n in parts)
    for name in shapes:
        if name not in slots:
            raise ModelError(f"{name} belongs to a layer whose weights have no name in {origin}: give them as initial")
    return slots


def _by_name(weights: Mapping[str, Any], slots: Mapping[str, Slot], origin: str) -> dict[str, NDArray[Any]]:
    """Return the weights for each parameter, looked up by their names in the origin. Raise ModelError."""
    left = {key: values for key, values in weights.items() if not str(key).endswith(NOT_NEEDED)}
    arrays: dict[str, NDArray[Any]] = {}
    for tensor, (_, _, _, names) in slots.items():
        parts = []
        for name in names:
            keys = [key for key in left if _is_called(str(key), name, origin)]
            if len(keys) != 1:
                there = ", ".join(map(str, weights)) or "none"
                raise ModelError(f"{len(keys) or 'no'} weights are called {name}, for {tensor}; there are: {there}")
            parts.append(_array(left.pop(keys[0]), name))
        arrays[tensor] = _joined(parts, names)
    if left:
        raise ModelError(f"the weights {', '.join(map(str, left))} belong to no layer here")
    return arrays


def _is_called(key: str, name: str, origin: str) -> bool:
    """Return whether a key is a name, perhaps with a folder before it; Keras also appends ":0".

    The layers within a Bidirectional of Keras have any names after "forward_" and "backward_".
    """
    if origin == "torch":
        return key == name or key.endswith(SEPARATORS[ORIGINS.index(origin)] + name)
    pattern = re.sub("/(forward|backward)_[^/]+/", r"/\1_[^/]+/", re.escape(name))
    return re.fullmatch(f"(.*/)?{pattern}", key.removesuffix(":0")) is not None


def _in_order(weights: Any, slots: Mapping[str, Slot]) -> dict[str, NDArray[Any]]:
    """Return the weights for each parameter, in the order of the list."""
    arrays = [_array(values, f"weight {k}") for k, values in enumerate(weights)]
    needed = sum(len(names) for _, _, _, names in slots.values())
    if len(arrays) != needed:
        raise ModelError(f"there are {len(arrays)} weights, but the network has {needed}: {', '.join(slots)}")
    remaining = iter(arrays)
    return {tensor: _joined([next(remaining) for _ in names], names) for tensor, (_, _, _, names) in slots.items()}


def _joined(parts: Sequence[NDArray[Any]], names: Sequence[str]) -> NDArray[Any]:
    """Return the array of a parameter: the only part, or several stacked. Raise ModelError if shapes differ."""
    if len({part.shape for part in parts}) > 1:
        raise ModelError(f"{' and '.join(names)} must have the same shape")
    return parts[0] if len(parts) == 1 else np.stack(parts)


def _array(values: Any, role: str) -> NDArray[Any]:
    """Return an array of numbers, also for a tensor of PyTorch. Raise ModelError for anything else."""
    if hasattr(values, "detach"):
        values = values_of(values, role)
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ModelError(f"{role} must be an array of finite numbers")
    return array

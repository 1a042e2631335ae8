"""Saves and loads parameters in the format safetensors, which many programs read: named arrays, and no code.

https://github.com/huggingface/safetensors describes the format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncodegen.compiler.building.files import write_at_once
from nncodegen.compiler.describe import Describable
from nncodegen.compiler.describe.initial_values import numbers
from nncodegen.errors import ModelError
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.facts import slices
from nncodegen.runtime.python.ground.missing import needed

Shapes = dict[str, tuple[int, ...]]

SHORT = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3", "F8_E5M2": "float8_e5m2"}
"""Types of tensors that NumPy does not have, by their names in a file: networks in them round as no other type does."""


def save_safetensors(
    file: str | PathLike[str],
    model: Module | Describable,
    parameters: ArrayLike,
    names: Mapping[str, str] | None = None,
) -> None:
    """Write the parameters of a module or model, of shape (P,), to a file of the format safetensors.

    Each parameter is a tensor with its shape, in the type of the array, float32 or float64. Its name is that of the
    parameter, or the one in ``names``: ``{"W1": "0.weight", "b1": "0.bias"}``. A file that exists is replaced once the
    new one is complete. Raise ModelError for names or values that do not fit, MissingDependencyError without
    safetensors, OSError.
    """
    with needed("save_safetensors", "safetensors", "'nncodegen[safetensors]'"):
        from safetensors.numpy import save  # noqa: PLC0415 (an extra)

    shapes = _shapes(model)
    flat = numbers(parameters, "parameters")
    if flat.shape != (_total(shapes),):
        raise ModelError(f"parameters must have the shape ({_total(shapes)},), not {flat.shape}")
    kind = np.asarray(parameters).dtype
    flat = flat.astype(np.float32) if kind == np.float32 else flat
    stored = _stored(shapes, names)
    sizes = ((name, math.prod(shapes[name])) for name in stored)
    tensors = {stored[name]: flat[place].reshape(shapes[name]).copy() for name, place in slices(sizes)}
    write_at_once(Path(file), save(tensors))


def load_safetensors(
    file: str | PathLike[str], model: Module | Describable, names: Mapping[str, str] | None = None
) -> NDArray[Any]:
    """Return the parameters of a module or model, of shape (P,), from a file of the format safetensors.

    The file must hold every parameter in its shape, and nothing else, in half, single or double precision; ``names``
    are their names in the file. The result has the type of the module, or is float64 for a model. Raise ModelError for
    a file that does not fit, MissingDependencyError without safetensors, OSError.
    """
    with needed("load_safetensors", "safetensors", "'nncodegen[safetensors]'"):
        from safetensors import SafetensorError, deserialize  # noqa: PLC0415 (an extra)
        from safetensors.numpy import load  # noqa: PLC0415 (an extra)

    content = Path(file).read_bytes()
    try:
        for name, tensor in deserialize(content):  # type: ignore[no-untyped-call]
            if tensor["dtype"] in SHORT:
                short = SHORT[tensor["dtype"]]
                raise ModelError(f"{file} holds {name!r} in {short}, which is not read: convert it to float32 first")
        tensors = load(content)
    except ModelError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{file} cannot be read as safetensors: {type(error).__name__}: {error}") from error
    shapes = _shapes(model)
    stored = _stored(shapes, names)
    _check_names(file, stored, tensors)
    parts = []
    for name, shape in shapes.items():
        tensor = tensors[stored[name]]
        if tensor.dtype.kind != "f":
            raise ModelError(f"{file} holds {stored[name]!r} as {tensor.dtype}, not as floating-point numbers")
        if tensor.shape != shape:
            raise ModelError(f"{file} holds {stored[name]!r} in the shape {tensor.shape}; {name} has the shape {shape}")
        parts.append(numbers(tensor, f"{stored[name]!r} in {file}").ravel())
    result = np.concatenate(parts).astype(getattr(model, "dtype", np.float64))
    return numbers(result, f"{file} in this precision").astype(result.dtype)


def _shapes(model: Module | Describable) -> Shapes:
    """Return the shapes of all parameters, by name."""
    if hasattr(model, "parameter_shapes"):
        return dict(model.parameter_shapes)
    if not isinstance(model, Describable):
        raise ModelError(f"{model!r} is neither a module of nncodegen.build nor a model")
    return {tensor.name: tuple(size or 0 for size in tensor.shape) for tensor in model.describe().parameters}


def _total(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes.values()))


def _stored(shapes: Shapes, names: Mapping[str, str] | None) -> dict[str, str]:
    """Return the name of each parameter in the file. Raise ModelError where two are equal, or one is unknown."""
    names = names or {}
    for name in names:
        if name not in shapes:
            raise ModelError(f"names has {name!r}, which is no parameter; there are: {', '.join(shapes)}")
    stored = {name: names.get(name, name) for name in shapes}
    if len(set(stored.values())) < len(stored):
        raise ModelError("two parameters have the same name in the file")
    return stored


def _check_names(file: str | PathLike[str], stored: Mapping[str, str], tensors: Mapping[str, Any]) -> None:
    """Raise ModelError unless a file holds exactly the expected tensors."""
    missing = [name for name in stored.values() if name not in tensors]
    others = [name for name in tensors if name not in stored.values()]
    if missing:
        raise ModelError(f"{file} lacks {', '.join(map(repr, missing[:9]))}; it holds: {', '.join(list(tensors)[:9])}")
    if others:
        raise ModelError(f"{file} also holds {', '.join(map(repr, others[:9]))}, for which there is no parameter")

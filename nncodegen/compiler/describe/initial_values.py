"""Initial values that the user gives, such as those of a network that was trained before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Initial, Tensor, slices_of
from nncodegen.errors import ModelError

Given = Mapping[str, Any] | Sequence[float] | NDArray[Any]
"""Initial values: arrays by the names of parameters, or all values in one flat array."""


def numbers(values: Any, role: str) -> NDArray[np.float64]:
    """Return a copy of the values as an array of doubles. Raise ModelError unless they are finite real numbers."""
    try:
        array = np.asarray(values)
        kind = array.dtype.kind
        doubles = np.array(array, dtype=np.float64) if kind in "fiu" else None
    except (TypeError, ValueError, OverflowError):
        doubles = None
    if doubles is None:
        raise ModelError(f"{role} must be an array of real numbers, not {_shown(values)}")
    if not np.isfinite(doubles).all():
        raise ModelError(f"{role} must be finite, but there is a {doubles[~np.isfinite(doubles)][0]} among its values")
    return doubles


def initial_values(values: Any, shape: tuple[int, ...], role: str) -> Initial:
    """Return given values as the start of a parameter of a shape. Raise ModelError where they do not fit."""
    array = numbers(values, role)
    if array.shape != shape:
        raise ModelError(f"{role} must have the shape {shape}, not {array.shape}")
    return Initial("given", 0.0, array.astype("<f8").tobytes())


def copied(initial: Given | None, name: str) -> Given | None:
    """Return copies of given values. Raise ModelError unless they are finite real numbers."""
    if initial is None:
        return None
    if isinstance(initial, Mapping):
        return {key: numbers(values, f"the initial {key}") for key, values in initial.items()}
    return numbers(initial, f"the initial parameters of {name}")


def with_initial(parameters: tuple[Tensor, ...], initial: Given | None, name: str) -> tuple[Tensor, ...]:
    """Return the parameters with the given initial values. Raise ModelError where the values do not fit."""
    if initial is None:
        return parameters
    if not isinstance(initial, Mapping):
        initial = _by_name(parameters, initial, name)
    known = {tensor.name for tensor in parameters}
    for key in initial:
        if key not in known:
            there = ", ".join(tensor.name for tensor in parameters)
            raise ModelError(f"initial names {key!r}, which is no parameter of {name}; there are: {there}")
    return tuple(
        replace(tensor, initial=initial_values(initial[tensor.name], _shape(tensor), f"the initial {tensor.name}"))
        if tensor.name in initial
        else tensor
        for tensor in parameters
    )


def check_precision(parameters: tuple[Tensor, ...], precision: str) -> None:
    """Raise ModelError for a given value that is too large for a precision."""
    largest = float(np.finfo(precision).max)
    for tensor in parameters:
        values = np.frombuffer(tensor.initial.values, "<f8")
        if values.size and abs(values).max() > largest:
            raise ModelError(f"the initial {tensor.name} has a value that is too large for {precision}: scale it")


def _by_name(parameters: tuple[Tensor, ...], initial: Any, name: str) -> dict[str, NDArray[np.float64]]:
    """Split a flat array into the values of each parameter, by its name. Raise ModelError where the size is wrong."""
    flat = numbers(initial, f"the initial parameters of {name}")
    total = sum(tensor.size for tensor in parameters)
    if flat.shape != (total,):
        raise ModelError(f"the initial parameters of {name} must have the shape ({total},), not {flat.shape}")
    return {tensor.name: flat[place].reshape(_shape(tensor)) for tensor, place in slices_of(parameters)}


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size or 0 for size in tensor.shape)


def _shown(values: Any) -> str:
    """Return the text of a value, cut where it is long."""
    text = repr(values)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Inputs and targets as several arrays, or as arrays of several axes: the columns of a matrix, and their ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .model import Model


def joined(model: Model, name: str, values: Any, array_of: Callable[[Model, str, Any, str], Any]) -> Any:
    """X or Y, given as a dictionary of arrays, or as an array of more than two axes, as a matrix; others as they are.

    The keys of a dictionary are the names of inputs, or those of targets or of their outputs; an array has the samples
    as its first axis, and further the shape of its tensor. ``array_of`` makes an array of values. Raises ValueError.
    """
    if type(values) is list or (type(values) is np.ndarray and values.ndim <= 2):  # the usual cases, told at once
        return values
    facts = model.facts
    tensors = facts.inputs if name == "X" else facts.targets
    if isinstance(values, Mapping):
        keys = [key for key, _ in tensors]
        if name == "Y" and set(values) == {key for key, _ in facts.outputs} and len(facts.outputs) == len(keys):
            keys = [key for key, _ in facts.outputs]
        if set(values) != set(keys):
            raise ValueError(f"{name} has arrays for {_listed(values)}; expected one for each of {_listed(keys)}")
        if len(keys) == 1:
            return joined(model, name, values[keys[0]], array_of)
        return _side_by_side(model, name, {key: values[key] for key in keys}, tensors, array_of)
    if isinstance(values, np.ndarray) and values.ndim > 2 and len(tensors) == 1:
        ((tensor, size),) = tensors
        return _columns(name, values, size, facts.shapes.get(tensor))
    return values


def check_ranges(model: Model, X: Any) -> None:
    """Raises ValueError, with its position, for the first value that numbers nothing: rows of an embedding, say."""
    start = 0
    for tensor, size in model.facts.inputs:
        if tensor in model.facts.ranges:
            begin, end = model.facts.ranges[tensor]
            block = X[:, start : start + size]
            wrong = np.argwhere(~((block >= begin) & (block < end) & (block == np.floor(block))))
            if len(wrong):
                row, column = (int(k) for k in wrong[0])
                value = block[row, column]
                raise ValueError(
                    f"X[{row}, {start + column}] is {value:g}; {tensor} has whole numbers from {begin} to {end - 1}"
                )
        start += size


def _side_by_side(
    model: Model,
    name: str,
    values: Mapping[str, Any],
    tensors: tuple[tuple[str, int], ...],
    array_of: Callable[[Model, str, Any, str], Any],
) -> Any:
    """The arrays of several tensors as one matrix."""
    parts = []
    for (key, given), (tensor, size) in zip(values.items(), tensors, strict=True):
        role, shape = f"{name}[{key!r}]", model.facts.shapes.get(tensor)
        parts.append(_columns(role, array_of(model, role, given, "expected numbers"), size, shape))
    if len({len(part) for part in parts}) > 1:
        told = ", ".join(f"{len(part)} for {key}" for key, part in zip(values, parts, strict=True))
        raise ValueError(f"{name} has arrays with different numbers of rows: {told}")
    return np.concatenate(parts, axis=1)


def _columns(name: str, array: Any, size: int, shape: tuple[int, ...] | None) -> Any:
    """The values of a tensor as columns."""
    if array.ndim == 1 and size == 1:
        return array.reshape(-1, 1)
    flat = shape is None and array.ndim > 2 and math.prod(array.shape[1:]) == size  # what is flattened has no shape
    if array.shape[1:] not in ((size,), shape) and not flat:
        wanted = ", ".join(map(str, shape or (size,)))
        raise ValueError(f"{name} has the shape {array.shape}; expected (samples, {wanted})")
    return array.reshape(len(array), size)


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "nothing"

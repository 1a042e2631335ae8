"""Inputs and targets given as several arrays, or as arrays of several axes: their conversion to one matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import slices
from ..ground.markup import listed
from .labels import rows_of, rows_of_steps
from .tables import OF_INPUTS, Found, find, has_names, named_parts

if TYPE_CHECKING:
    from ..native.model import Model


def joined(model: Model, name: str, values: Any, array_of: Callable[[Model, str, Any, str], Any]) -> Any:
    """Return X, Y, sigma or sigma_x as a matrix if it is several arrays, a table, or an array of more than two axes.

    Several arrays are a list in the order of inputs or targets, or a dictionary, whose keys are the names of inputs, or
    those of targets or of their outputs; a table has columns with these names (``tables.find``). In a single array, the
    first axis is that of the samples, and the others are the shape of its tensor. ``array_of`` converts values to an
    array. Anything else is returned unchanged. Raises ValueError.
    """
    facts = model.facts
    labelled = name == "Y" and facts.samples.label_targets
    if type(values) is np.ndarray and values.ndim <= 2 and not labelled and values.dtype.names is None:
        return values  # the usual case, decided quickly
    tensors = facts.samples.inputs if name in OF_INPUTS else facts.samples.targets
    if type(values) is list and len(tensors) == 1 and not labelled:
        return values
    if has_names(values):
        values = named_parts(model, name, values)
        if isinstance(values, dict):
            if len(tensors) == 1:
                return joined(model, name, next(iter(values.values())), array_of)
            return _side_by_side(model, name, values, tensors, array_of)
    if isinstance(values, list | tuple) and _are_several(name, values, tensors, facts.samples.label_targets):
        if len(values) != len(tensors):
            names = listed([key for key, _ in tensors])
            raise ValueError(f"{name} is a list of {len(values)} arrays; expected one for each of {names}, in order")
        return _side_by_side(model, name, dict(enumerate(values)), tensors, array_of)
    if len(tensors) == 1 and labelled and values is not None:
        ((tensor, size),) = tensors
        array = _with_rows(model, name, tensor, array_of(model, name, values, "expected numbers"))
        return _columns(name, array, size, facts.samples.shapes.get(tensor)) if array.ndim > 2 else array
    if isinstance(values, np.ndarray) and values.ndim > 2 and len(tensors) == 1:
        ((tensor, size),) = tensors
        return _columns(name, values, size, facts.samples.shapes.get(tensor))
    return values


def _are_several(name: str, values: Sequence[Any], tensors: tuple[tuple[str, int], ...], flat: tuple[str, ...]) -> bool:
    """Return whether a list holds the arrays of several inputs or targets, (N, size), and not the rows of a matrix.

    Arrays of tensors of size 1, and labels, which only ``flat`` targets have, may be (N,). Raises ValueError if the
    list may be either.
    """
    shapes = [getattr(array, "shape", None) for array in values]
    if len(tensors) < 2 or not shapes or any(shape is None or shape == () for shape in shapes):
        return False
    if any(len(shape) > 1 for shape in shapes if shape is not None):
        return True
    columns = sum(size for _, size in tensors)
    if len(values) != len(tensors) or any(shape != (columns,) for shape in shapes):
        return len(values) == len(tensors)
    if all(size == 1 or tensor in flat for tensor, size in tensors):
        raise ValueError(
            f"{name} is a list of {len(values)} arrays of {columns} values, which may be its rows or its columns: give "
            f"np.array({name}) where they are rows, a dictionary by name where they are columns"
        )
    return False


def check_ranges(model: Model, X: Any) -> None:
    """Raise ValueError, with its position, for the first value of an index-valued input that is out of range."""
    if model.native.in_ranges(X, len(X)):
        return
    for tensor, columns in slices(model.facts.samples.inputs):
        if tensor in model.facts.samples.ranges:
            begin, end = model.facts.samples.ranges[tensor]
            block = X[:, columns]
            wrong = np.argwhere(~((block >= begin) & (block < end) & (block == np.floor(block))))
            if len(wrong):
                row, column = (int(k) for k in wrong[0])
                value = block[row, column]
                raise ValueError(
                    f"X[{row}, {columns.start + column}] is {value:g}; "
                    f"{tensor} has whole numbers from {begin} to {end - 1}"
                )


def check_rising(model: Model, X: Any) -> None:
    """Raise ValueError, with its position, for the first time of a sample that is before the time to its left."""
    for tensor, columns in slices(model.facts.samples.inputs):
        if tensor in model.facts.samples.rising:
            check_times(tensor, X[:, columns], columns.start)


def check_times(tensor: str, times: Any, first: int) -> None:
    """Raise ValueError for the first time that is before the time to its left, in columns of X from ``first`` on."""
    back = times[:, 1:] < times[:, :-1]
    if back.any():
        row, column = (int(k) for k in np.argwhere(back)[0])
        raise ValueError(
            f"X[{row}, {first + column + 1}] is {times[row, column + 1]:g}, after {times[row, column]:g}: {tensor} are "
            "times, which do not go back within a sample; repeat the last one where there are fewer"
        )


def _side_by_side(
    model: Model,
    name: str,
    values: Mapping[Any, Any],
    tensors: tuple[tuple[str, int], ...],
    array_of: Callable[[Model, str, Any, str], Any],
) -> Any:
    """Return the arrays of several tensors, side by side in one matrix."""
    parts = []
    for (key, part), (tensor, size) in zip(values.items(), tensors, strict=True):
        role, shape = f"{name}[{key!r}]", model.facts.samples.shapes.get(tensor)
        if has_names(part):
            part = _of_tensor(role, part, tensor, size)
        array = _with_rows(model, role, tensor, array_of(model, role, part, "expected numbers"))
        parts.append(_columns(role, array, size, shape))
    if len({len(part) for part in parts}) > 1:
        row_counts = ", ".join(f"{len(part)} for {key}" for key, part in zip(values, parts, strict=True))
        raise ValueError(f"{name} has arrays with different numbers of rows: {row_counts}")
    return np.concatenate(parts, axis=1)


def _of_tensor(role: str, values: Any, tensor: str, size: int) -> Any:
    """Return what a mapping or a table holds of one tensor; a table without its names as a matrix."""
    named = find(role, values, ((tensor, size),))
    return named.parts[tensor] if isinstance(named, Found) else named


def _with_rows(model: Model, name: str, tensor: str, array: Any) -> Any:
    """Convert class indices to rows with a 1 at the class, for targets that allow them; return others unchanged."""
    if tensor not in model.facts.samples.label_targets:
        return array
    sizes = dict(model.facts.samples.targets)
    *leading, classes = model.facts.samples.shapes.get(tensor, (sizes[tensor],))
    if array.shape[1:] not in (tuple(leading), (*leading, 1)):
        return array
    labels, expected = array.reshape(len(array), *leading), f"expected labels 0 to {classes - 1}"
    if not leading:
        return rows_of(name, labels, classes, model.dtype, expected)
    return rows_of_steps(name, labels, classes, model.dtype, f"{expected}, or -1 for a step without a target")


def _columns(name: str, array: Any, size: int, shape: tuple[int, ...] | None) -> Any:
    """Return the values of a tensor as columns, (N, size)."""
    if array.ndim == 1 and size == 1:
        return array.reshape(-1, 1)
    flat = shape is None and array.ndim > 2 and math.prod(array.shape[1:]) == size  # flattened: without a shape
    if array.shape[1:] not in ((size,), shape) and not flat:
        wanted = ", ".join(map(str, shape or (size,)))
        raise ValueError(f"{name} has the shape {array.shape}; expected (samples, {wanted})")
    return array.reshape(len(array), size)

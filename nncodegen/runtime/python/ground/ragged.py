"""Data of many fits, given as lists of arrays of unequal lengths, one array for each fit."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def is_ragged(values: Any) -> bool:
    """Return whether values are a list or tuple of arrays (or lists) whose lengths differ."""
    if not isinstance(values, list | tuple) or len(values) < 2:
        return False
    try:
        return len({len(array) for array in values}) > 1
    except TypeError:  # its elements are numbers
        return False


def lengths_of(name: str, values: Any) -> Array:
    """Return the number of samples of each fit, (M,). Raises ValueError, with the number of a fit that has none."""
    for m, array in enumerate(values):
        if np.ndim(array) == 0:
            raise ValueError(f"{name}[{m}] is no array; expected one for each fit, with a row for each of its samples")
    return np.array([len(array) for array in values], np.uintp)


def padded(name: str, values: Any, lengths: Array) -> Any:
    """Return lists of unequal lengths as one array, (M, N) or (M, N, k); N is the largest number of samples of a fit.

    A short fit is padded with copies of its last sample (with 0 if it has none); padding does not count. Anything but a
    list or tuple of M arrays is returned unchanged: it is shared by all fits. Raises ValueError where a fit has another
    number of samples in ``values`` than in ``lengths``.
    """
    if (
        not isinstance(values, list | tuple)
        or len(values) != len(lengths)
        or any(np.ndim(array) == 0 for array in values)
    ):
        return values
    arrays = [np.asarray(array) for array in values]
    for m, (array, length) in enumerate(zip(arrays, lengths, strict=True)):
        if len(array) != length:
            raise ValueError(f"fit {m} has {length} samples in Y, but {len(array)} in {name}: both must be equal")
    shapes = {array.shape[1:] for array in arrays if len(array)}
    if len(shapes) > 1:
        raise ValueError(f"the arrays of {name} have rows of the shapes {', '.join(map(str, sorted(shapes)))}")
    kind = np.result_type(*arrays) if arrays else float
    result = np.zeros((len(arrays), int(lengths.max(initial=0)), *(shapes.pop() if shapes else ())), kind)
    for row, array in zip(result, arrays, strict=True):
        if len(array):
            row[: len(array)] = array
            row[len(array) :] = array[-1]
    return result

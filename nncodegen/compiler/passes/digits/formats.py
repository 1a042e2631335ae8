"""Floating-point numbers in their order: the places of numbers, and the bits that a value loses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""An array of float64 or float32."""


def places(numbers: Array) -> NDArray[np.int64]:
    """Return the places of numbers in the order of all of their type; 0 is that of 0."""
    numbers = np.ascontiguousarray(numbers)
    size = 8 * numbers.dtype.itemsize
    bits = numbers.view(f"i{numbers.dtype.itemsize}").astype(np.int64)
    return np.where(bits < 0, -(bits & np.int64(2 ** (size - 1) - 1)), bits)


def numbers_at(places: Any, dtype: Any) -> Array:
    """Return the numbers of a type at places in their order; beyond its largest number, this number."""
    size = np.dtype(dtype).itemsize
    most = int(_last(dtype))
    sizes = [min(abs(int(place)), most) for place in places]
    signs = [-1.0 if place < 0 else 1.0 for place in places]
    magnitudes = np.array(sizes, np.int64).astype(f"i{size}").view(np.dtype(dtype))
    return np.asarray(magnitudes * np.array(signs, dtype))


def _last(dtype: Any) -> int:
    return int(places(np.array([np.finfo(dtype).max], dtype))[0])


def bits_lost(values: Array, exact: Array) -> Array:
    """Return the binary logarithm of the number of floats between two numbers, and one: at most all bits of a number.

    They are numbers of the type of ``exact``, float64 or float32.
    """
    with np.errstate(over="ignore"):
        values = np.asarray(values).astype(exact.dtype)
    most = 8.0 * exact.dtype.itemsize
    there, here = places(values), places(exact)
    far = there.astype(float) - here
    distance = np.where((there < 0) == (here < 0), np.abs(there - here), np.abs(far))
    return np.where(np.isnan(values), most, np.minimum(np.log2(distance + 1.0), most))


def are_apart(left: Array, right: Array, dtype: Any) -> NDArray[np.bool_]:
    """Return where two numbers of a type are neither equal nor neighbours.

    Of two neighbours, none loses more than a bit more than the other, whatever the exact value is.
    """
    with np.errstate(all="ignore"):
        first, second = (np.asarray(numbers).astype(dtype) for numbers in (left, right))
        alike = (np.nextafter(first, second) == second) | (np.isnan(first) & np.isnan(second))
    return np.asarray(~alike)

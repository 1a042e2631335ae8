"""Parameters as the arrays of layers, as the peers take them, and as the one flat array of a module."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def unpacked(flat: Array, shapes: Iterable[Iterable[tuple[int, ...]]]) -> list[tuple[Array, ...]]:
    """Return views into flat parameters (..., P): the arrays of each layer, in their shapes; leading axes are kept."""
    views, begin = list[tuple[Array, ...]](), 0
    for layer in shapes:
        parts = list[Array]()
        for shape in layer:
            end = begin + math.prod(shape)
            parts.append(flat[..., begin:end].reshape(*flat.shape[:-1], *shape))
            begin = end
        views.append(tuple(parts))
    return views


def packed(layers: Iterable[Iterable[Any]]) -> Array:
    """Return flat parameters from the arrays of each layer, the biases last: the inverse of ``unpacked``."""
    parts = [np.asarray(part) for layer in layers for part in layer]
    models = parts[-1].shape[:-1]
    return np.concatenate([part.reshape(*models, -1) for part in parts], axis=-1)


def with_biases(weights: Iterable[tuple[int, ...]]) -> list[tuple[tuple[int, ...], ...]]:
    """Return the shapes of the arrays of each layer, (W, b), from those of its weights: (units, ...) each."""
    return [(shape, shape[:1]) for shape in weights]

"""Initial parameters, and parameters by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .scalars import SEED, integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from .model import Model
    from .types import Array


def initial_parameters(model: Model, /, seed: int = 0) -> Array:
    """New parameters of shape (P,): a formula's own initial values, a network's from a seed."""
    seed = integer("seed", seed, 0, SEED)
    if model.constants is not None:
        return model.constants.copy()
    return draw(((one.distribution, one.scale, one.size) for one in model.facts.parameters), seed).astype(model.dtype)


def draw(parameters: Iterable[tuple[str, float, int]], seed: int) -> Array:
    """Initial values of several parameters one after the other, given the distribution, scale and size of each."""
    generator = np.random.default_rng(seed)
    return np.concatenate([_draw(generator, *one) for one in parameters])


def unpack(model: Model, /, parameters: ArrayLike) -> dict[str, Array]:
    """The parameters by name: views into the array, in the shape of each ({"W1": (units, inputs), ...})."""
    array = np.asarray(parameters)
    if array.shape != (model.parameter_count,):
        raise ValueError(f"parameters has the shape {array.shape}; expected ({model.parameter_count},)")
    views = {}
    start = 0
    for name, shape in model.parameter_shapes.items():
        size = math.prod(shape)
        views[name] = array[start : start + size].reshape(shape)
        start += size
    return views


def _draw(generator: np.random.Generator, distribution: str, scale: float, size: int) -> Array:
    """Initial values of one parameter."""
    if distribution == "constant":
        return np.full(size, scale)
    if distribution == "uniform":
        return generator.uniform(-scale, scale, size)
    values = generator.standard_normal(size)
    if distribution == "truncated_normal":
        outside = np.flatnonzero(abs(values) > 2)
        while len(outside):
            values[outside] = generator.standard_normal(len(outside))
            outside = outside[abs(values[outside]) > 2]
    return scale * values

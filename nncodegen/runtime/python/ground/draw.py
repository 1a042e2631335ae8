"""The values that parameters are given before a training: constants, and random values from a seed."""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .same_bits import standard_normal, uniform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .facts import Parameter
    from .types import Array


def draw(parameters: Iterable[Parameter], seed: int, portable: bool = False) -> Array:
    """Draw the initial values of several parameters, one after the other; ``portable``: the same bits everywhere."""
    generator = np.random.default_rng(seed)
    return np.concatenate([_draw(generator, parameter, portable) for parameter in parameters] or [np.empty(0)])


def constant_parameters(parameters: tuple[Parameter, ...], dtype: np.dtype[Any]) -> Array | None:
    """Return the initial parameters, (P,), if none of them depends on a seed, else None."""
    if any(parameter.distribution not in ("constant", "given") for parameter in parameters):
        return None
    return draw(parameters, 0).astype(dtype)


def _draw(generator: np.random.Generator, parameter: Parameter, portable: bool) -> Array:
    """Draw the initial values of one parameter."""
    distribution, scale, size = parameter.distribution, parameter.scale, parameter.size
    if distribution == "constant":
        return np.full(size, scale)
    if distribution == "given":
        encoded = base64.b64decode(parameter.values)
        return np.frombuffer(encoded, "<f4" if len(encoded) == 4 * size else "<f8").astype(float)
    if distribution == "uniform":
        return uniform(generator, scale, size) if portable else generator.uniform(-scale, scale, size)
    normal = partial(standard_normal, generator) if portable else generator.standard_normal
    values = normal(size)
    if distribution == "truncated_normal":
        outside = np.flatnonzero(abs(values) > 2)
        while len(outside):
            values[outside] = normal(len(outside))
            outside = outside[abs(values[outside]) > 2]
    return scale * values

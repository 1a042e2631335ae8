"""Initial parameters, and parameters by name."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from .facts import slices
from .scalars import SEED, integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from .facts import Parameter
    from .model import Model
    from .types import Array


REMEMBERED = 10_000
"""Models of up to this number of parameters cache the last ones drawn: drawing takes longer than a short training."""


def initial_parameters(model: Model, /, seed: int = 0) -> Array:
    """Return new parameters of shape (P,): the initial values of a formula, or those of a network from a seed."""
    seed = integer("seed", seed, 0, SEED)
    if model.constants is not None:
        return model.constants.copy()
    if model.parameter_count > REMEMBERED:
        return draw(model.facts.parameters, seed).astype(model.dtype)
    if model.drawn is None or model.drawn[0] != seed:
        model.drawn = seed, draw(model.facts.parameters, seed).astype(model.dtype)
    return model.drawn[1].copy()


def draw(parameters: Iterable[Parameter], seed: int) -> Array:
    """Draw the initial values of several parameters, one after the other."""
    generator = np.random.default_rng(seed)
    return np.concatenate([_draw(generator, one) for one in parameters] or [np.empty(0)])


def constant_parameters(parameters: tuple[Parameter, ...], dtype: np.dtype[Any]) -> Array | None:
    """Return the initial parameters, (P,), if none of them depends on a seed, else None."""
    if any(one.distribution not in ("constant", "given") for one in parameters):
        return None
    return draw(parameters, 0).astype(dtype)


def unpack(model: Model, /, parameters: ArrayLike) -> dict[str, Array]:
    """Return the parameters by name: views into the array, each in its shape ({"W1": (units, inputs), ...})."""
    array = np.asarray(parameters)
    if array.shape != (model.parameter_count,):
        raise ValueError(f"parameters has the shape {array.shape}; expected ({model.parameter_count},)")
    places = slices((parameter, parameter.size) for parameter in model.facts.parameters)
    return {parameter.name: array[own].reshape(parameter.shape) for parameter, own in places}


def _draw(generator: np.random.Generator, parameter: Parameter) -> Array:
    """Draw the initial values of one parameter."""
    distribution, scale, size = parameter.distribution, parameter.scale, parameter.size
    if distribution == "constant":
        return np.full(size, scale)
    if distribution == "given":
        given = base64.b64decode(parameter.values)
        return np.frombuffer(given, "<f4" if len(given) == 4 * size else "<f8").astype(float)
    if distribution == "uniform":
        return generator.uniform(-scale, scale, size)
    values = generator.standard_normal(size)
    if distribution == "truncated_normal":
        outside = np.flatnonzero(abs(values) > 2)
        while len(outside):
            values[outside] = generator.standard_normal(len(outside))
            outside = outside[abs(values[outside]) > 2]
    return scale * values

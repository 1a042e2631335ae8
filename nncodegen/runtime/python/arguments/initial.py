"""Initial parameters, and parameters by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..ground.draw import draw
from ..ground.facts import slices
from ..ground.same_bits import PORTABLE
from .scalars import SEED, integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model


REMEMBERED = 10_000
"""Models of up to this number of parameters cache the last ones drawn: drawing takes longer than a short training."""


def initial_parameters(model: Model, /, seed: int = 0) -> Array:
    """Return new parameters of shape (P,): the initial values of a formula, or those of a network from a seed."""
    seed = integer("seed", seed, 0, SEED)
    if model.constants is not None:
        return model.constants.copy()
    if model.drawn is not None and model.drawn[0] == seed:
        return model.drawn[1].copy()
    drawn = draw(model.facts.parameters, seed, model.facts.bits == PORTABLE).astype(model.dtype)
    if model.parameter_count <= REMEMBERED:
        model.drawn = seed, drawn.copy()
    return drawn


def unpack(model: Model, /, parameters: ArrayLike) -> dict[str, Array]:
    """Return the parameters by name: views into the array, each in its shape ({"W1": (units, inputs), ...})."""
    array = np.asarray(parameters)
    if array.shape != (model.parameter_count,):
        raise ValueError(f"parameters has the shape {array.shape}; expected ({model.parameter_count},)")
    places = slices((parameter, parameter.size) for parameter in model.facts.parameters)
    return {parameter.name: array[place].reshape(parameter.shape) for parameter, place in places}

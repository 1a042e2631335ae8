"""The scale of the noise of targets, for models in which it is a formula."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..arguments.arguments import check_inputs, check_parameters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model


def noise(model: Model, /, parameters: ArrayLike, X: ArrayLike | None = None) -> Array:
    """Return the scale of the noise of each target for the rows of X, (N, targets), as the model has its formula.

    It is the standard deviation of normal noise, of the target or of its logarithm, and the mean distance from the
    output for that of Laplace. Raises ValueError for a model without such a formula.
    """
    if not model.facts.fitting.noise:
        raise ValueError(f"{model.name} has no formula of its noise: give one where it is described, noise=...")
    point = check_parameters(model, parameters)
    inputs, samples = check_inputs(model, X)
    return scales_at(model, point, inputs, samples)


def scales_at(model: Model, point: Array, inputs: Array | None, samples: int) -> Array:
    """Return the scales of the noise at a checked point and inputs, (N, targets)."""
    scales = np.empty((samples, model.output_count))
    fixed, nothing = np.ones(len(point), np.uint8), np.empty((0, 0))
    model.native.fit(
        inputs,
        np.ones((samples, model.output_count), model.dtype),  # scales do not depend on targets that are known
        samples,
        None,
        None,
        fixed,
        0,
        1.0,
        0.0,
        0,
        point.copy(),
        scales,
        nothing,
        np.empty(len(point), np.int8),
        bytearray(len(model.facts.fitting.guards)) or None,
        np.empty(0),
        None,
        None,
        0,
        model.facts.steps.rtol,
        None,
    )
    return scales / math.sqrt(model.facts.fitting.mean_over)

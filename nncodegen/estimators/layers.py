"""The parameters of a network, layer by layer: views of them, and their initial values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.estimators.network import Description


def layer_views(description: Description, parameters: Any) -> list[tuple[Any, Any]]:
    """Return the weights (units, inputs) and the biases (units,) of each layer, as views."""
    views, inputs, start = [], description.inputs, 0
    for units, _ in description.layers:
        middle, end = start + units * inputs, start + units * inputs + units
        views.append((parameters[start:middle].reshape(units, inputs), parameters[middle:end]))
        inputs, start = units, end
    return views


def initial(description: Description, random: Any, is_logistic: bool) -> Any:
    """Return parameters as drawn by MLPClassifier: uniform, biases too, with the bound of Glorot and Bengio (2010)."""
    parameters = np.empty(description.parameter_count, description.precision)
    for weights, biases in layer_views(description, parameters):
        bound = math.sqrt((2 if is_logistic else 6) / sum(weights.shape))
        weights.T[:] = _uniform(description, random, bound, weights.shape[::-1])
        biases[:] = _uniform(description, random, bound, biases.shape)
    return parameters


def _uniform(description: Description, random: Any, bound: float, shape: tuple[int, ...]) -> Any:
    """Draw numbers between -bound and bound; NumPy's ``uniform`` may fuse its product with its sum."""
    if description.bits != PORTABLE:
        return random.uniform(-bound, bound, shape)
    return random.random_sample(shape) * (2 * bound) - bound

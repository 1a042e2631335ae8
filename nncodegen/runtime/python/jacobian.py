"""The derivatives of the outputs by the parameters, where the model is a problem of least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arguments import check_inputs, check_parameters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .model import Model
    from .types import Array


def jacobian(model: Model, /, parameters: ArrayLike, X: ArrayLike | None = None) -> Array:
    """The derivatives of the outputs for the rows of X by the parameters: an array of shape (N, outputs, P).

    Exact, and NaN where the formula has none. There is one for problems of least squares with up to 4,096
    parameters: formulas without a loss, and layers with the loss "mse" that were built with fit=True. Raises
    ValueError for others.
    """
    check_fitted(model, "jacobian")
    point = check_parameters(model, parameters)
    inputs, samples = check_inputs(model, X)
    derivatives = np.empty((samples, model.output_count, model.parameter_count), model.dtype)
    model.native.jacobian(point, inputs, samples, derivatives)
    return derivatives


def check_fitted(model: Model, function: str) -> None:
    """Raises ValueError, with the reason, if there are no fits of a model."""
    if model.facts.not_fitted:
        raise ValueError(f"{function} is for problems of least squares; {model.name} is none: {model.facts.not_fitted}")

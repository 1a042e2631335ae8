"""The derivatives of the outputs by the parameters, for models that can be fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arguments.arguments import check_inputs, check_parameters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model


def jacobian(model: Model, /, parameters: ArrayLike, X: ArrayLike | None = None) -> Array:
    """Return the derivatives of the outputs by the parameters for the rows of X: an array of shape (N, outputs, P).

    They are exact, and NaN where the formula has no derivative. Models that can be fitted (``fit``) have this
    function, if they have at most 4,096 parameters. Raises ValueError for others, and for models whose fit
    differentiates the arguments of activations instead, such as the logits of probabilities.
    """
    check_fitted(model, "jacobian")
    if not model.facts.fitting.fits_outputs:
        raise ValueError(
            f"{model.name} has no jacobian: its fit differentiates the arguments of the activations of its outputs; "
            f"build a model without these activations"
        )
    point = check_parameters(model, parameters)
    inputs, samples = check_inputs(model, X)
    derivatives = np.empty((samples, model.output_count, model.parameter_count), model.dtype)
    model.native.jacobian(point, inputs, samples, derivatives)
    return derivatives


def check_fitted(model: Model, function: str) -> None:
    """Raise ValueError, with the reason, if a model cannot be fitted."""
    reason = model.facts.fitting.not_fitted
    if reason:
        raise ValueError(f"{function} is for convex losses and least squares; {model.name} has no fit: {reason}")

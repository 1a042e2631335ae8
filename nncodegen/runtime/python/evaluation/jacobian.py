"""The derivatives of the outputs by the parameters, for models that can be fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arguments.arguments import check_inputs, check_parameters
from ..ground.distributions import are_logarithms

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
    if not model.facts.fitting.fits_outputs and not model.facts.fitting.noise:
        raise ValueError(
            f"{model.name} has no jacobian: its fit differentiates the arguments of the activations of its outputs; "
            f"build a model without these activations"
        )
    point = check_parameters(model, parameters)
    inputs, samples = check_inputs(model, X)
    count = model.output_count
    rows = np.empty((samples, count * (2 if model.facts.fitting.noise else 1), model.parameter_count), model.dtype)
    model.native.jacobian(point, inputs, samples, rows)
    return rows if not model.facts.fitting.noise else _of_outputs(model, rows[:, :count], point, inputs)


def _of_outputs(model: Model, slopes: Array, point: Array, inputs: Array | None) -> Array:
    """Return the derivatives of the outputs from those of the locations of targets, which may be their logarithms."""
    logarithms = are_logarithms(model.facts)
    if logarithms.any():
        outputs = np.empty(slopes.shape[:2], model.dtype)
        model.native.predict(point, inputs, len(slopes), outputs)
        slopes = np.where(logarithms[:, None], slopes * outputs[:, :, None], slopes)
    return np.ascontiguousarray(slopes)


def check_fitted(model: Model, function: str) -> None:
    """Raise ValueError, with the reason, if a model cannot be fitted."""
    reason = model.facts.fitting.not_fitted
    if reason:
        raise ValueError(f"{function} is for convex losses and least squares; {model.name} has no fit: {reason}")

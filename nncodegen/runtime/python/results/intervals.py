"""Confidence intervals of parameters and outputs, and prediction intervals of new observations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..ground.distributions import are_logarithms, reaches
from ..ground.same_bits import refuse
from .covariance import deviation
from .goodness import per_value
from .quantiles import quantile

if TYPE_CHECKING:
    from ..ground.types import Array
    from .fitted import Fitted

METHODS = ("t", "profile")
INTERVALS = ("confidence", "prediction")


class Predicted(NamedTuple):
    """Outputs, and the ends of an interval around each of them; three arrays of the shape (N, K)."""

    outputs: Array
    lower: Array
    upper: Array


def confidence_intervals(result: Fitted, level: float, method: str) -> Array:
    """Return the confidence intervals of all parameters, (P, 2)."""
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r} for intervals; there are: {', '.join(METHODS)}")
    t = quantile(result, level)
    values = result.parameters.astype(float)
    with np.errstate(invalid="ignore"):
        reach = np.where(result.free, t * result.standard_errors, 0)
    reach[np.isnan(reach)] = np.inf  # without degrees of freedom, the errors are unknown
    if method == "profile" and not math.isnan(t):
        refuse(result._model.facts, "the search for the ends of profiles, by SciPy,")
        from .profiles.of_fit import intervals_by_profiles  # noqa: PLC0415 (most fits need no profiles)

        return intervals_by_profiles(result, t)
    return np.stack([values - reach, values + reach], axis=1)


def predict_with_interval(
    result: Fitted, X: Any, interval: str, level: float, sigma: Any, method: str = "t"
) -> Predicted:
    """Return the outputs for the rows of X with an interval around each, by the delta method or by profiles."""
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r} for intervals; there are: {', '.join(METHODS)}")
    if interval not in INTERVALS:
        raise ValueError(f"there is no interval {interval!r}; there are: {', '.join(INTERVALS)}, and None")
    if sigma is not None and interval != "prediction":
        raise ValueError("sigma is that of new observations: it needs interval='prediction'")
    has_noise = bool(result._model.facts.fitting.noise)
    if sigma is not None and has_noise:
        raise ValueError("the model has a formula of its noise, which is that of new observations: leave out sigma")
    if interval == "prediction" and result._model.facts.fitting.curved and not has_noise:
        raise ValueError("a prediction interval needs normal errors; the loss of the model is no sum of squares")
    if method == "profile":
        from .profiles.observed import prediction_profiles  # noqa: PLC0415 (most fits need no profiles)

        if interval != "confidence":
            raise ValueError("a prediction interval adds the error of a new observation to the standard error: it has "
                             "no profile; use interval='confidence'")  # fmt: skip
        return Predicted(*prediction_profiles(result, X, level))
    t = quantile(result, level)
    model: Any = result._model
    outputs = np.asarray(model.predict(result.parameters, X), float)
    slopes = np.asarray(model.jacobian(result.parameters, X), float)[:, :, result.free]
    errors = deviation(result._decomposition, model.epsilon, slopes)
    if interval == "prediction" and has_noise:
        return _of_noise(result, outputs, t * errors, model.noise(result.parameters, X), level, t)
    if interval == "prediction":
        errors = result._algebra.hypotenuse(errors, _new_sigma(result, sigma, outputs.shape))
    with np.errstate(invalid="ignore"):
        reach = t * math.sqrt(result.error_scale) * errors
    reach[np.isnan(reach)] = np.inf
    return Predicted(outputs, outputs - reach, outputs + reach)


def _of_noise(result: Fitted, outputs: Array, errors: Array, scales: Array, level: float, t: float) -> Predicted:
    """Return the interval of new observations, from the reach of the errors of outputs and the scales of the noise.

    Both reaches are added as squares, which is exact for normal noise; those of logarithms are added there.
    """
    facts = result._model.facts
    logarithms, reach_of_noise = are_logarithms(facts), reaches(facts, scales, level, t)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        reach = result._algebra.hypotenuse(np.where(logarithms, errors / np.abs(outputs), errors), reach_of_noise)
        reach[np.isnan(reach)] = np.inf
        low = np.where(logarithms, outputs * np.exp(-reach), outputs - reach)
        high = np.where(logarithms, outputs * np.exp(reach), outputs + reach)
    return Predicted(outputs, low, high)


def _new_sigma(result: Fitted, sigma: Any, shape: tuple[int, ...]) -> Array:
    """Return the standard deviations of new observations, (N, K)."""
    if sigma is None:
        sigma = result._sigma
        if np.ndim(sigma):
            raise ValueError(
                "the fit had a sigma for each of its data: give that of the new observations, sigma=..., a number or "
                f"an array of the shape ({shape[0]},) or {shape}"
            )
    elif np.shape(sigma) not in {(), shape[:1], shape} or not np.all(np.asarray(sigma) > 0):
        raise ValueError(f"sigma is a number above 0, or an array of them of the shape ({shape[0]},) or {shape}")
    return per_value(sigma, shape)

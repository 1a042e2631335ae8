"""The second derivatives of the loss by the parameters, and their products with a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arguments.arguments import check_parameters, to_array, to_finite
from ..arguments.samples import CheckedSamples
from ..ground.facts import WITHOUT_FIT, ChosenSteps, Fitting
from ..ground.outcomes import is_explicit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from ..native.model import Model


def hessian(
    model: Model,
    /,
    parameters: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return the Hessian of the mean loss: its second derivatives by the parameters, an array of shape (P, P).

    It is exact to rounding and symmetric, and NaN where the formula has no second derivative. It takes P products
    with the Hessian; see ``hessian_product`` for the arguments and for the models that have one.
    """
    check_hessian(model, "hessian")
    units = np.eye(model.parameter_count, dtype=model.dtype)
    point, data = check_parameters(model, parameters), CheckedSamples(model, X, Y, sample_weight)
    return symmetric(products(model, point, units, data))


def hessian_product(
    model: Model,
    /,
    parameters: ArrayLike,
    vector: ArrayLike,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return the Hessian of the mean loss times a vector of shape (P,): an array of the same shape.

    It takes as long as a few gradients, and never forms the Hessian. X, Y and sample_weight are those of ``loss``.
    Formulas have this function unless they were built with fit=False; networks if they were built with fit=True.
    Raises ValueError for other models.
    """
    check_hessian(model, "hessian_product")
    expected = f"expected ({model.parameter_count},), a value for each parameter"
    direction = to_array(model, "vector", vector, expected)
    if direction.shape != (model.parameter_count,):
        raise ValueError(f"vector has the shape {direction.shape}; {expected}")
    direction = to_finite(model, "vector", direction, expected)
    point, data = check_parameters(model, parameters), CheckedSamples(model, X, Y, sample_weight)
    product: Array = products(model, point, direction[None], data)[0]
    return product


def check_hessian(model: Model, function: str) -> None:
    """Raise ValueError, with the reason, if a model has no second derivatives."""
    if not model.native.has_hessian:
        reason = _reason(model.facts.fitting, model.facts.steps)
        raise ValueError(f"{function} needs second derivatives; {model.name} has none: {reason}")


def _reason(fitting: Fitting, steps: ChosenSteps) -> str:
    """Return why a model has no second derivatives."""
    if steps.solver and not (fitting.not_fitted == WITHOUT_FIT and is_explicit(steps.solver)):
        return f"its equations are solved by {steps.solver}; a fixed number of steps has second derivatives"
    return fitting.not_fitted


def products(model: Model, parameters: Array, directions: Array, data: CheckedSamples) -> Array:
    """Return the products of the Hessian with directions, one in each row; the arguments are checked already."""
    whole, part = np.zeros_like(directions), np.empty_like(directions)
    for share, X, Y, weights in data.parts():
        samples = data.samples if X is None else len(X)
        model.native.hessian_products(parameters, directions, len(directions), X, Y, weights, samples, part)
        if share == 1:
            return part
        whole += share * part
    return whole


def symmetric(rows: Array) -> Array:
    """Return the Hessian from its products with the unit vectors, which are symmetric only up to rounding."""
    whole: Array = (rows + rows.T) / 2
    return whole

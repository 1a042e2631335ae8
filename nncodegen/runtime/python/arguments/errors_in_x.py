"""The standard deviations of inputs, for a fit with errors in x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import name_of
from .arguments import to_array, to_finite
from .one_matrix import joined

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


def check_many_sigma_x(model: Model, sigma_x: Any, samples: int, expected: str) -> Array:
    """Return the standard deviations of the inputs of many fits, (N, inputs) or (M, N, inputs). Raises ValueError."""
    names = model.input_names
    if not names:
        raise ValueError("sigma_x was given, but the model has no inputs: leave it out")
    if isinstance(sigma_x, Mapping):
        columns = {key: np.zeros(samples) for key in names}
        for key, value in sigma_x.items():
            if name_of(key) not in names:
                raise ValueError(f"sigma_x names {name_of(key)!r}, which is no input; there are: {', '.join(names)}")
            columns[name_of(key)] = to_array(model, f"sigma_x[{name_of(key)!r}]", value, "expected a number or (M, N)")
        try:
            array = np.stack(np.broadcast_arrays(*columns.values()), axis=-1)
        except ValueError as error:
            raise ValueError(f"the arrays of sigma_x have shapes that do not fit together: {error}") from error
    else:
        array = to_array(model, "sigma_x", sigma_x, expected)
        if len(names) == 1 and array.ndim and array.shape[-1] == samples and array.shape[-2:] != (samples, 1):
            array = array[..., None]
    if array.ndim == 0:
        array = np.full((samples, len(names)), array)
    if array.ndim not in (2, 3) or array.shape[-2:] != (samples, len(names)):
        raise ValueError(f"sigma_x has the shape {np.shape(sigma_x)}; {expected}")
    return _positive(model, array)


def check_sigma_x(model: Model, sigma_x: Any, samples: int) -> Array:
    """Return the standard deviations of the inputs, (N, inputs); 0 means that an input is exact. Raises ValueError."""
    names = model.input_names
    if not names:
        raise ValueError("sigma_x was given, but the model has no inputs: leave it out")
    if type(sigma_x) is float and model.tiny <= sigma_x < np.inf:
        return np.full((samples, len(names)), sigma_x, model.dtype)
    deviations = np.zeros((samples, len(names)), model.dtype)
    if isinstance(sigma_x, Mapping):
        for key, value in sigma_x.items():
            if name_of(key) not in names:
                raise ValueError(f"sigma_x names {name_of(key)!r}, which is no input; there are: {', '.join(names)}")
            expected = f"expected a number or ({samples},)"
            array = to_array(model, f"sigma_x[{name_of(key)!r}]", value, expected)
            if array.shape not in ((), (samples,)):
                raise ValueError(f"sigma_x[{name_of(key)!r}] has the shape {array.shape}; {expected}")
            deviations[:, names.index(name_of(key))] = array
    else:
        expected = f"expected a number, ({samples}, {len(names)}), or a mapping from names of inputs"
        array = to_array(model, "sigma_x", joined(model, "sigma_x", sigma_x, to_array), expected)
        if array.shape == (samples,) and len(names) == 1:
            array = array[:, None]
        if array.shape not in ((), deviations.shape):
            raise ValueError(f"sigma_x has the shape {array.shape}; {expected}")
        deviations[:] = array
    return _positive(model, deviations)


def _positive(model: Model, deviations: Array) -> Array:
    """Return standard deviations as C takes them. Raises ValueError where they are not finite, below 0, or all 0."""
    converted = to_finite(model, "sigma_x", deviations, "expected standard deviations")
    if converted.min() < 0:
        place = tuple(np.argwhere(converted < 0)[0].tolist())
        raise ValueError(f"sigma_x[{', '.join(map(str, place))}] is {converted[place]}, which is below 0")
    if not converted.any():
        raise ValueError("sigma_x is 0 everywhere, so that the inputs are exact: leave it out")
    return converted

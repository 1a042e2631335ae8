"""The standard deviations of inputs, for a fit with errors in x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import to_array, to_finite
from .named import name_of

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


def check_sigma_x(model: Model, sigma_x: Any, samples: int) -> Array:
    """Return the standard deviations of the inputs, (N, inputs); 0 means that an input is exact. Raises ValueError."""
    names = model.input_names
    if not names:
        raise ValueError("sigma_x was given, but the model has no inputs: leave it out")
    if type(sigma_x) is float and model.tiny <= sigma_x < np.inf:
        return np.full((samples, len(names)), sigma_x, model.dtype)
    found = np.zeros((samples, len(names)), model.dtype)
    if isinstance(sigma_x, Mapping):
        for key, value in sigma_x.items():
            if name_of(key) not in names:
                raise ValueError(f"sigma_x names {name_of(key)!r}, which is no input; there are: {', '.join(names)}")
            expected = f"expected a number or ({samples},)"
            array = to_array(model, f"sigma_x[{name_of(key)!r}]", value, expected)
            if array.shape not in ((), (samples,)):
                raise ValueError(f"sigma_x[{name_of(key)!r}] has the shape {array.shape}; {expected}")
            found[:, names.index(name_of(key))] = array
    else:
        expected = f"expected a number, ({samples}, {len(names)}), or a mapping from names of inputs"
        array = to_array(model, "sigma_x", sigma_x, expected)
        if array.shape == (samples,) and len(names) == 1:
            array = array[:, None]
        if array.shape not in ((), found.shape):
            raise ValueError(f"sigma_x has the shape {array.shape}; {expected}")
        found[:] = array
    to_finite(model, "sigma_x", found, "expected standard deviations")
    if found.min() < 0:
        row, column = np.argwhere(found < 0)[0]
        raise ValueError(f"sigma_x[{row}, {column}] is {found[row, column]}, which is below 0")
    if not found.any():
        raise ValueError("sigma_x is 0 everywhere, so that the inputs are exact: leave it out")
    return found

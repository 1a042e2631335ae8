"""Checks of arguments that are one number or a boolean. Each returns the value, or raises a ValueError."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..native.model import Model


def number(model: Model, name: str, value: Any, low: float, high: float, excludes_low: bool) -> float:
    """Check a number from low (or above it) to below high; "above 0" excludes what is 0 in the model's precision."""
    if type(value) is float and (max(low, model.tiny) < value < high or (value == low == 0.0 and not excludes_low)):
        return value  # the usual case, and fast: the checks below take longer than a short training
    bounds = [f"{'above' if excludes_low else 'from'} {low:g}"] if low > -math.inf else []
    allowed = f"a number {', '.join(bounds + ([f'below {high:g}'] if high < math.inf else []))}".strip()
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    vanishes = ""
    if excludes_low and low == 0 and 0 < converted < model.tiny:
        vanishes = f", which is 0 in {model.precision}"
    if vanishes or not (low < converted < high or (converted == low and not excludes_low)):
        raise ValueError(f"{name} must be {allowed}, not {value}{vanishes}")
    return converted


def integer(name: str, value: Any, low: int, high: int) -> int:
    """Check an integer from low to high, both included."""
    if type(value) is int and low <= value <= high:
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!r}")
    converted = int(value)
    if not low <= converted <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value}")
    return converted


def flag(name: str, value: Any) -> bool:
    """Check True or False."""
    if value is True or value is False:
        return value
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return bool(value)


SEED = 2**64 - 1
"""The largest seed."""

COUNT = 2**63 - 1
"""The largest number of epochs, or of samples in a batch."""

THREADS = 64
"""The most threads that can share a batch, or the rows of a prediction."""

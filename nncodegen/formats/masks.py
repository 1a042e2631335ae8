"""Masks of attention as numbers that are added to scores, some of which hide a place: for the readers of graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST = float(np.finfo(np.float32).min)
"""The largest number that hides a place when it is added to its score; programs write it, or minus infinity."""


def hides(array: NDArray[Any]) -> bool:
    """Return whether one of these numbers hides a place."""
    return bool((array <= LOWEST).any())


def apart(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what is added to scores, with 0 where a place is hidden, and where none is."""
    allowed = array > LOWEST
    return np.where(allowed, array, 0.0), allowed

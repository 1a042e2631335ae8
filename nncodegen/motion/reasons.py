"""Outcomes of trajectories from what a compiled module predicts, whose solver writes reasons in NaN (solve.h)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir.integrate import SOLVED, TOO_EARLY, TOO_MANY, TOO_SHORT

UNTOLD = ""
"""The outcome of a trajectory whose values are NaN for a reason that none of them has."""

REASONS = (UNTOLD, TOO_MANY, TOO_SHORT, TOO_EARLY)
"""The outcomes by the number that a NaN has in its lowest bits."""

WORDS = {4: np.uint32, 8: np.uint64}
"""Whole numbers of the bits of a number, by its bytes."""


def outcomes_in(predicted: NDArray[Any]) -> list[str]:
    """Return for each row of predictions how its trajectory ended: it is solved where all values are numbers.

    Sums, products and negation keep the bits of a NaN on most CPUs; functions such as log may not.
    """
    numbers = np.where(np.isnan(predicted), predicted.view(WORDS[predicted.itemsize]) & 3, 0).max(axis=1)
    failed = np.isnan(predicted).any(axis=1)
    return [REASONS[number] if one else SOLVED for number, one in zip(numbers, failed, strict=True)]

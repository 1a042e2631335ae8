"""Outcomes of trajectories from what a compiled module predicts, whose solver writes reasons in NaN (solve.h)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir.integrate import SOLVED, TOO_EARLY, TOO_MANY, TOO_SHORT
from nncodegen.runtime.python.ground.endings import SUCCESSES

UNTOLD = ""
"""The outcome of a trajectory whose values are NaN for a reason that none of them has."""

STATUS = {SOLVED: "solved", TOO_MANY: "max_steps", TOO_SHORT: "short_steps", TOO_EARLY: "early_times"}
"""The status of each outcome, a word of the one vocabulary."""

REASONS = (UNTOLD, TOO_MANY, TOO_SHORT, TOO_EARLY)
"""The outcomes by the number that a NaN has in its lowest bits."""

WORDS = {4: np.uint32, 8: np.uint64}
"""Whole numbers of the bits of a number, by its bytes."""


class Outcomes(tuple[str, ...]):
    """The texts that say how the solutions of N samples ended; some have advice in brackets.

    ``status``, ``success`` and ``message`` are arrays (N,), as those of many fits.
    """

    __slots__ = ()

    @property
    def status(self) -> NDArray[Any]:
        """Return how each solution ended, (N,), as words: "solved", "max_steps", "short_steps" or "early_times"."""
        return np.array([STATUS[text.partition(" (")[0]] for text in self], str)

    @property
    def success(self) -> NDArray[Any]:
        """Return whether each sample is solved, (N,)."""
        return np.isin(self.status, SUCCESSES)

    @property
    def message(self) -> NDArray[Any]:
        """Return the texts, (N,)."""
        return np.array(self, str)


def outcomes_in(predicted: NDArray[Any]) -> list[str]:
    """Return for each row of predictions how its trajectory ended: it is solved where all values are numbers.

    Sums, products and negation keep the bits of a NaN on most CPUs; functions such as log may not.
    """
    numbers = np.where(np.isnan(predicted), predicted.view(WORDS[predicted.itemsize]) & 3, 0).max(axis=1)
    failed = np.isnan(predicted).any(axis=1)
    return [REASONS[number] if one else SOLVED for number, one in zip(numbers, failed, strict=True)]

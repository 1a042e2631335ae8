"""The ways in which chosen steps of differential equations end, and how a compiled module tells them.

The solver in C writes reasons in the lowest bits of NaN (solve.h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .endings import STATUSES, SUCCESSES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SOLVED = "solved"
TOO_MANY = "too many steps"
TOO_SHORT = "steps too short"
TOO_EARLY = "times before the start"
"""The outcomes of a path. Steps become too short where a solution leaves the range of numbers, or jumps."""

UNTOLD = ""
"""The outcome of a trajectory whose values are NaN for a reason that none of them has."""

NOT_FINITE = "not a number"
"""The outcome of a sample whose predictions are NaN, but not because its steps have failed, as far as these tell."""

STATUS = {
    SOLVED: "solved",
    TOO_MANY: "max_steps",
    TOO_SHORT: "short_steps",
    TOO_EARLY: "early_times",
    NOT_FINITE: "not_finite",
}
"""The status of each outcome, a word of the one vocabulary."""

REASONS = (UNTOLD, TOO_MANY, TOO_SHORT, TOO_EARLY)
"""The outcomes by the number that a NaN has in its lowest bits."""

WORDS = {4: np.uint32, 8: np.uint64}
"""Whole numbers of the bits of a number, by its bytes."""

RAISE = " (raise max_steps or rtol)"
"""The end of the outcome of another method that took too many steps."""

IF_STIFF = ' (if the equations are stiff, method="rodas5p" takes few)'
"""The end of the outcome of an explicit method that took too many steps."""


class Outcomes(tuple[str, ...]):
    """The texts that say how the solutions of N samples ended; some have advice in brackets.

    ``status``, ``success`` and ``message`` are arrays (N,), as those of many fits.
    """

    _model: Any = None
    """The compiled model that tells them, if any: with its module, a process can read their pickle."""

    @property
    def status(self) -> NDArray[Any]:
        """Return how each solution ended, (N,), as words: "solved", "max_steps", "short_steps" and others."""
        return np.array([STATUS[text.partition(" (")[0]] for text in self], str)

    @property
    def success(self) -> NDArray[Any]:
        """Return whether each sample is solved, (N,)."""
        return np.isin(self.status, SUCCESSES)

    @property
    def message(self) -> NDArray[Any]:
        """Return how each solution ended, as a sentence, (N,), with the advice of its text."""
        advice = [text.partition(" (")[1:] for text in self]
        sentences = [STATUSES[word] + "".join(rest) for word, rest in zip(self.status.tolist(), advice, strict=True)]
        return np.array(sentences, str)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the texts, and the name of the module that tells them: this class may be part of the module."""
        return self._model.told_outcomes if self._model else Outcomes, (tuple(self),)


def outcomes_in(predicted: NDArray[Any]) -> list[str]:
    """Return for each row of predictions how its trajectory ended: it is solved where all values are numbers.

    Sums, products and negation keep the bits of a NaN on most CPUs; functions such as log may not.
    """
    numbers = np.where(np.isnan(predicted), predicted.view(WORDS[predicted.itemsize]) & 3, 0).max(axis=1)
    failed = np.isnan(predicted).any(axis=1)
    return [REASONS[number] if has_failed else SOLVED for number, has_failed in zip(numbers, failed, strict=True)]


def is_explicit(solver: str) -> bool:
    """Return whether the method of chosen steps is explicit, from the text that tells it ("tsit5, rtol=...")."""
    return solver.startswith(("tsit5 ", "tsit5,"))


def advised(outcomes: Iterable[str], explicit: bool) -> Outcomes:
    """Return outcomes with what to do about too many steps, for an explicit method or another one."""
    return Outcomes(
        f"{outcome}{IF_STIFF if explicit else RAISE}" if outcome == TOO_MANY else outcome for outcome in outcomes
    )

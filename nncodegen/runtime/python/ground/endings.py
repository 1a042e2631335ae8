"""The ways in which trainings, fits and searches can end: one vocabulary of statuses, and the endings of fits."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

STATUSES = MappingProxyType(
    {
        "completed": "all epochs that were asked for are done",
        "converged": "a test of convergence is met",
        "stopped_early": "the monitored figure was not better for as many epochs as patience allows",
        "stopped": "a callback ended it",
        "time_limit": "the time limit was reached",
        "interrupted": "it was interrupted by Ctrl-C, or by an error of a callback",
        "max_iterations": "the iterations that were allowed are used up",
        "stalled": "no step lowers the loss any more, though no test of convergence is met",
        "stationary": "the derivatives by some parameters are 0 here, but this is no minimum: choose another start",
        "singular": "it converged, but the data do not determine all parameters",
        "too_few_data": "it converged, but there are fewer data than free parameters",
        "no_noise": "the noise reaches 0, where the likelihood has no bound: data have no scatter there, or too few of "
        "them share this noise; give its parameters bounds above 0, or write a formula that cannot vanish",
        "no_data": "all data are missing: the parameters are those at the start",
        "not_finite": "outputs, derivatives or their sum of squares are not finite at the start: change it, "
        "or large data",
        "diverged": "the loss or a parameter is no longer finite: try a lower learning_rate, or scale X and Y",
        "solved": "the equations are solved at all times of the sample",
        "max_steps": "the steps that were allowed are used up before the last time of the sample",
        "short_steps": "steps became too short: the solution leaves the range of numbers, or a rate jumps",
        "early_times": "the times of the sample begin before the start of the equations",
    }
)
"""The meaning of each status, the same for a training, a fit, a minimizer, and each of many of them; then those of the
samples of equations of motion."""

SUCCESSES = ("completed", "converged", "stopped_early", "solved")
"""The statuses of what ended as it was meant to."""


class Ending(NamedTuple):
    """One way for a fit to end: ``status`` is a word for programs, ``message`` a sentence for people."""

    status: str
    message: str

    @property
    def converged(self) -> bool:
        """Return whether a test of convergence ended the fit."""
        return self.status == "converged"


ENDINGS = MappingProxyType(
    {
        "cost": Ending("converged", "a step changed the cost by less than the tolerance"),
        "step": Ending("converged", "a step changed the parameters by less than the tolerance"),
        "gradient": Ending("converged", "the gradient is below the tolerance"),
        "stalled": Ending("stalled", "no step lowers the cost any more, though no test of convergence is met"),
        **{
            status: Ending(status, STATUSES[status])
            for status in ("max_iterations", "not_finite", "no_data", "no_noise", "time_limit", "stationary")
        },
        "stopped": Ending("stopped", "the callback ended the fit"),
        "interrupted": Ending("interrupted", "the fit was interrupted"),
    }
)
"""The endings of a fit, by the names that the fitting code uses."""

UNFINISHED = MappingProxyType({"max_iterations": "raise max_iterations", "time_limit": "raise time_limit"})
"""The endings of fits that could have continued, and how to let them continue."""

LEAST_GAIN = 1e-6
"""The relative fall of a cost that is far below what errors of the data change it by: see fit.h."""

SMALL_PART = 0.05
"""The part of the rise of a cost at one standard error of a parameter that no longer matters, where a fit that begins
again in a valley without an end still gains a little."""

DOUBTFUL = ("stalled", "stationary")
"""The endings that may be due to parameters that the data do not determine."""

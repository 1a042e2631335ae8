"""The ways in which a fit can end: the status of a result, and its message."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class Ending(NamedTuple):
    """One way to end: ``status`` is a word for programs, ``message`` a sentence for people."""

    status: str
    message: str

    @property
    def converged(self) -> bool:
        """Return whether a test of convergence ended the fit."""
        return self.status == "converged"


ENDINGS = MappingProxyType({
    "cost": Ending("converged", "a step changed the cost by less than the tolerance"),
    "step": Ending("converged", "a step changed the parameters by less than the tolerance"),
    "gradient": Ending("converged", "the gradient is below the tolerance"),
    "max_iterations": Ending("max_iterations", "the iterations that were allowed are used up"),
    "stalled": Ending("stalled", "no step lowers the cost any more, though no test of convergence is met"),
    "not_finite": Ending("not_finite", "the outputs or their derivatives are not finite at the start: choose another"),
    "no_data": Ending("no_data", "all data are missing: the parameters are those at the start"),
    "time_limit": Ending("time_limit", "the time limit was reached"),
    "stopped": Ending("stopped", "the callback ended the fit"),
    "interrupted": Ending("interrupted", "the fit was interrupted"),
    "not_convex": Ending("not_convex", "the loss is not convex in the outputs"),
    "stationary": Ending("stationary", "the derivatives by some parameters are 0 here, but this is no minimum: choose "
                         "another start"),
})  # fmt: skip
"""The endings of a fit, by the names that the fitting code uses."""

UNFINISHED = MappingProxyType({"max_iterations": "raise max_iterations", "time_limit": "raise time_limit"})
"""The endings of fits that could have continued, and how to let them continue."""

DOUBTFUL = ("stalled", "stationary")
"""The endings that may be due to parameters that the data do not determine."""

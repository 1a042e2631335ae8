"""The ways in which a fit can end: the status of a result, and its message."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from .markup import listed

if TYPE_CHECKING:
    from .fit_result import FitResult


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


def not_told(names: Sequence[str]) -> str:
    """Return a clause about parameters that the data do not determine."""
    return (
        f"the data do not determine {listed(names)}: some change of {'them' if len(names) > 1 else 'it'} changes no "
        f"output here; start elsewhere, or fix {'one of them' if len(names) > 1 else 'it'}"
    )


STILL = 0.01
"""More iterations are worthwhile if the cost fell by at least this fraction over the last ones (``problem.KEPT``)."""

CONDITION = 1e5
"""Above this condition number, steps are dominated by directions that the data hardly determine."""


def advice_of(result: FitResult) -> str:
    """Return advice for a fit that has not finished, from how its cost fell over the last iterations."""
    costs, more = result._costs, UNFINISHED[result._ending]
    if costs is None or len(costs) < 2 or not math.isfinite(result.cost):
        return more
    steps, size = len(costs) - 1, abs(float(costs[0]))
    fall = float(costs[0] - costs[-1]) / size if size > 0 else 0.0
    over = f"over the last {steps} iterations" if steps > 1 else "in the last iteration"
    if fall >= STILL:
        return f"{over} the cost fell by {100 * fall:.2g} %, so it still falls: {more}"
    fell = f"{over} the cost fell by {100 * fall:.2g} % alone" if fall > 0 else f"{over} the cost did not fall"
    ways = [*_reasons(result), *_looser(fall / steps)]
    return f"{fell}, so more of them gain little: {'; or '.join(ways)}"


def _looser(fall: float) -> list[str]:
    """Return advice: the tolerance at which a fit would have ended whose cost falls by ``fall`` per iteration."""
    if not fall > 0:
        return ["begin elsewhere, or scale the data so that no parameter is very large or small"]
    return [f"accept this one, which tolerance={10.0 ** math.ceil(math.log10(fall)):.0e} would have ended"]


def _reasons(result: FitResult) -> list[str]:
    """Return what hinders a fit whose cost hardly falls any more, and what to do about it."""
    free = result.free_count
    if free > result.used:
        return [
            f"{free} free parameters are more than the {result.used} values can tell: fix some, use a smaller "
            f"model, or train with l2"
        ]
    if result.undetermined:
        return [not_told(result.undetermined)]
    if result.condition > CONDITION:
        return [
            f"the data hardly tell some parameters from each other (condition number {result.condition:.1e}): look at "
            f"correlation, and fix or bound some of them"
        ]
    return []

"""How a fit may end: the status that a result shows, and what it says to people."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple


class Ending(NamedTuple):
    """What an end means. ``status`` is a word for programs, ``message`` a sentence for people."""

    status: str
    message: str

    @property
    def converged(self) -> bool:
        """Whether a test of convergence ended the fit."""
        return self.status == "converged"


ENDINGS = MappingProxyType({
    "cost": Ending("converged", "a step changed the cost by less than the tolerance"),
    "step": Ending("converged", "a step changed the parameters by less than the tolerance"),
    "gradient": Ending("converged", "the gradient is below the tolerance"),
    "max_iterations": Ending("max_iterations", "the iterations that were allowed are used up: raise max_iterations"),
    "stalled": Ending("stalled", "no step lowers the cost any more, though no test of convergence is met"),
    "not_finite": Ending("not_finite", "the outputs or their derivatives are not finite at the start: choose another"),
    "no_data": Ending("no_data", "all data are missing: the parameters are those at the start"),
    "interrupted": Ending("interrupted", "the fit was interrupted"),
    "not_convex": Ending("not_convex", "the loss is not convex in the outputs"),
    "stationary": Ending("stationary", "the derivatives by some parameters are 0 here, but this is no minimum: choose "
                         "another start"),
})  # fmt: skip
"""The ends of a fit by the names that its caller gives them."""

DOUBTFUL = ("max_iterations", "stalled", "stationary")
"""Those that may be due to parameters that the data do not determine."""


def listed(names: Sequence[str]) -> str:
    """Names in a row, of which a dozen is told."""
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])} and {len(names) - 12} more"


def not_told(names: Sequence[str]) -> str:
    """A clause about parameters that the data do not determine."""
    return (
        f"the data do not determine {listed(names)}: some change of {'them' if len(names) > 1 else 'it'} changes no "
        f"output here; start elsewhere, or fix {'one of them' if len(names) > 1 else 'it'}"
    )

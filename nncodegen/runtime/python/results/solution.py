"""The origin of a result: the problem that was solved, and the solution that a native fit found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..arguments.fit_options import CheckedFitOptions
    from ..ground.types import Array
    from ..native.model import Model

ENDS = ("cost", "step", "gradient", "max_iterations", "stalled", "not_finite", "no_data", "interrupted", "not_convex",
        "stationary")  # fmt: skip
"""The ways a fit can end (see ``endings``), in the order of their numbers in C."""


class LeastSquares(Protocol):
    """A problem of least squares, with groups or without."""

    model: Model
    X: Array | None
    Y: Array
    sigma: Array | None
    options: CheckedFitOptions


class Solution(NamedTuple):
    """The result of a native fit; see the members of NN(fitting) in interface.h."""

    parameters: Array
    residuals: Array | None
    triangle: Array
    active: Array
    cost: float
    chi2: float
    used: int
    rank: int
    iterations: int
    evaluations: int
    status: int
    sample: int
    costs: Array | None = None
    """The cost after each of the last iterations."""
    ended: str = ""
    """The name of the ending, if it was not the loop that ended the fit."""
    poles: tuple[str, ...] = ()
    """The denominators that change their signs among the data."""
    deviations: Array | None = None
    """The standard deviations of targets that a formula gives, (N, K): sigma of the residuals."""

    @property
    def ending(self) -> str:
        """Return how it ended, a member of ENDS."""
        return self.ended or ENDS[self.status]


def solution_of(
    parameters: Array,
    residuals: Array | None,
    triangle: Array,
    active: Array,
    cost: float,
    chi2: float,
    used: int,
    ending: str,
    iterations: int,
    evaluations: int,
    costs: Array | None,
    poles: tuple[str, ...],
) -> Solution:
    """Return a solution that was not found by one native fit: from a file, of groups, or of one of them."""
    return Solution(
        parameters,
        residuals,
        triangle,
        active,
        cost,
        chi2,
        used,
        len(triangle),
        iterations,
        evaluations,
        0,
        0,
        costs,
        ending,
        poles,
    )

"""A problem of least squares: data, bounds and options, ready for C; and its solution from some start."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .scalars import integer, number

if TYPE_CHECKING:
    from .bounds import Bounds
    from .fit_watch import FitWatch
    from .model import Model
    from .types import Array

ROBUST = {None: 0, "huber": 1, "soft_l1": 2, "cauchy": 3}
"""The losses of residuals, and their numbers in C."""

ENDS = ("cost", "step", "gradient", "max_iterations", "stalled", "not_finite", "no_data", "interrupted", "not_convex",
        "stationary")  # fmt: skip
"""How a fit may end (see ``endings``), in the order of the numbers in C."""


TOLERANCE = {"float64": 1e-8, "float32": 1e-5}
"""The default tolerance. What separates parameters from the optimum then is far below their standard errors, and single
fits go on with steps of Gauss and Newton. In float32, rounding hides what is much smaller."""


def check_tolerance(model: Model, tolerance: Any) -> float:
    """The tolerance of a fit, from 0 and below 1; by default that of the precision of the model."""
    return TOLERANCE[model.precision] if tolerance is None else number(model, "tolerance", tolerance, 0.0, 1.0, False)


def check_iterations(model: Model, given: Any = None) -> int:
    """Return the most steps that a fit tries; by default 1,000, and 100 for each parameter. Raises ValueError."""
    return 1000 + 100 * model.parameter_count if given is None else integer("max_iterations", given, 0, 2**31 - 1)


KEPT = 64
"""The iterations whose costs are kept, the last of them, to tell why a fit did not end."""


class Solution(NamedTuple):
    """What a native fit has found; see the members of NN(fitting) in interface.h."""

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
    """How it ended, where that was not the loop's doing."""
    poles: tuple[str, ...] = ()
    """The guards that change their signs among the data."""

    @property
    def ending(self) -> str:
        """How it ended, a key of ENDINGS."""
        return self.ended or ENDS[self.status]


class Problem:
    """What a fit is given besides a start. It is pickled with the result of a fit, which may solve it again."""

    __slots__ = ("X", "Y", "bounds", "max_iterations", "model", "robust", "robust_scale", "samples", "sigma",
                 "tolerance")  # fmt: skip

    def __init__(
        self, model: Model, X: Array | None, Y: Array, sigma: Array | None, bounds: Bounds | None, robust: str | None,
        robust_scale: float, tolerance: float, max_iterations: int,
    ) -> None:  # fmt: skip
        self.model = model
        self.X = X
        self.Y = Y
        self.samples = len(Y)
        self.sigma = sigma
        self.bounds = bounds
        self.robust = robust
        self.robust_scale = robust_scale
        self.tolerance = tolerance
        self.max_iterations = max_iterations

    def with_iterations(self, most: int) -> Problem:
        """Return this problem with another number of iterations, at most."""
        return Problem(
            self.model, self.X, self.Y, self.sigma, self.bounds, self.robust, self.robust_scale, self.tolerance, most
        )

    def solve(
        self, start: Array, fixed: Array | None, with_residuals: bool = True, kept: int = KEPT,
        watch: FitWatch | None = None,
    ) -> Solution:  # fmt: skip
        """The solution from a start, (P,), with those parameters fixed that a mask (P,) names.

        The costs after so many of the last iterations are kept. A watch may end the fit. Raises ValueError where the
        loss is not convex in the outputs.
        """
        parameters = start.copy()
        free = len(parameters) if fixed is None else len(parameters) - int(np.count_nonzero(fixed))
        triangle, active = np.empty((free, free)), np.empty(len(parameters), np.int8)
        residuals = np.empty(self.Y.shape) if with_residuals and not self.model.facts.curved else None
        guards = self.model.facts.guards
        changed = np.zeros(len(guards), np.uint8) if guards else None
        costs = np.empty(min(kept, self.max_iterations))
        try:
            numbers = self.model.native.fit(
                self.X, self.Y, self.samples, self.sigma, self.bounds, fixed, ROBUST[self.robust], self.robust_scale,
                self.tolerance, self.max_iterations, parameters, residuals, triangle, active, changed, costs,
                watch,
            )  # fmt: skip
        finally:
            if watch is not None:
                watch.show(last=True)
        ended = watch.reason if watch is not None and ENDS[numbers[6]] == "interrupted" else ""
        poles = tuple(compress(guards, changed.tolist())) if changed is not None else ()
        found = Solution(parameters, residuals, triangle, active, *numbers, _in_order(costs, numbers[4]), ended, poles)
        if found.ending == "not_convex":
            raise ValueError(
                f"the loss of {self.model.name} is not convex in the outputs at row {found.sample}: generalized "
                f"Gauss-Newton does not apply; use train or minimize"
            )
        return found

    def __call__(self, fixed: Mapping[int, float], start: Array) -> tuple[float, Array]:
        """The lowest cost where some parameters have given values, by their positions, and the parameters there."""
        held = np.zeros(len(start), np.uint8)
        point = np.array(start, self.model.dtype)
        for position, value in fixed.items():
            held[position] = 1
            point[position] = value
        found = self.solve(point, held, with_residuals=False)
        return found.cost, found.parameters

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _in_order(costs: Array, iterations: int) -> Array:
    """Return the costs after the last iterations, each of which took the place of the oldest, in the order of time."""
    if iterations <= len(costs):
        return costs[:iterations]
    return np.roll(costs, -(iterations % len(costs)))

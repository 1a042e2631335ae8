"""A least-squares problem: data, bounds and options, ready for C; and its solution from a start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import copy
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import for_c
from ..arguments.fit_options import taken_from
from ..ground.distributions import in_units_of_noise, vanishes
from ..ground.endings import ENDINGS
from ..native.algebra import algebra_of
from ..results.penalty import without
from ..results.solution import ENDS, Solution

if TYPE_CHECKING:
    from ..arguments.fit_options import CheckedFitOptions
    from ..ground.types import Array
    from ..native.model import Model
    from ..results.penalty import Penalty
    from ..results.solution import LeastSquares
    from .fit_watch import FitWatch

KEPT = 10_000
"""The number of last iterations whose costs are kept: the history of the fit, which explains why it did not end."""


class Problem:
    """The arguments of a fit, except its start. It is pickled with the result of a fit, which may solve it again."""

    __slots__ = ("X", "Y", "max_steps", "model", "options", "samples", "sigma")

    def __init__(
        self,
        model: Model,
        X: Array | None,
        Y: Array,
        sigma: Array | None,
        options: CheckedFitOptions,
        max_steps: int = 0,
    ) -> None:
        self.model = model
        self.X = X
        self.Y = Y
        self.samples = len(Y)
        self.sigma = sigma
        self.options = options
        self.max_steps = max_steps
        """The most steps of each solution of differential equations; 0 for as many as the model allows."""

    def with_iterations(self, most: int) -> Problem:
        """Return this problem with another maximum number of iterations."""
        options = self.options.changed(max_iterations=most)
        return Problem(self.model, self.X, self.Y, self.sigma, options, self.max_steps)

    def limited(self, steps: int) -> Problem:
        """Return this problem with a limit of the steps of each solution of differential equations; 0 is none."""
        limited = copy(self)
        limited.max_steps = steps
        return limited

    def solve(
        self,
        start: Array,
        fixed: Array | None,
        with_residuals: bool = True,
        kept: int = KEPT,
        watch: FitWatch | None = None,
        errors: tuple[Array, Array] | None = None,
        penalty: Penalty | None = None,
    ) -> Solution:
        """Solve the problem from a start, (P,); ``fixed`` is a mask (P,) of the fixed parameters.

        The costs after the last ``kept`` iterations are kept. A watch may end the fit. ``errors`` are those of the
        inputs, as the native fit takes them; a penalty is part of the cost.
        Raises ValueError if the loss is not convex in the outputs.

        Where the part that fits is not compiled yet, predictions tell first that outputs at the start are not finite.
        """
        if not (self.model.native.has("fitting") or self.can_begin((start,))):
            return self.unsolved(start, fixed)
        parameters, options, fitting = start.copy(), self.options, self.model.facts.fitting
        free = len(parameters) if fixed is None else len(parameters) - int(np.count_nonzero(fixed))
        triangle, active = np.empty((free, free)), np.empty(len(parameters), np.int8)
        residuals = np.empty(self.Y.shape) if with_residuals and (fitting.noise or not fitting.curved) else None
        guards = fitting.guards
        changed = bytearray(len(guards)) if guards else None
        costs = np.empty(min(kept, options.max_iterations))
        loss, scale = options.native_loss
        values = self._values
        if watch is not None:
            watch.mean_over = values
        try:
            numbers = self.model.native.fit(
                self.X,
                self.Y,
                self.samples,
                self.sigma,
                options.bounds,
                fixed,
                loss,
                scale,
                options.tolerance,
                options.max_iterations,
                parameters,
                residuals,
                triangle,
                active,
                changed,
                costs,
                watch,
                errors,
                self.max_steps,
                self.model.facts.steps.rtol,
                None if penalty is None else penalty.for_c(len(parameters), math.sqrt(values)),
            )
        finally:
            if watch is not None:
                watch.show(last=True)
        ended = watch.reason if watch is not None and ENDS[numbers[6]] == "interrupted" else ""
        poles = tuple(compress(guards, changed)) if changed else ()
        solution = Solution(
            parameters, residuals, triangle, active, *numbers, _in_order(costs, numbers[4]), ended, poles
        )
        if values > 1:
            solution = _of_all_values(solution, values, fitting.apart)
        if fitting.noise:
            solution = self._with_noise(solution)
        if solution.ending == "not_convex":
            raise ValueError(
                f"the loss of {self.model.name} is not convex in the outputs at row {solution.sample}: generalized "
                f"Gauss-Newton does not apply; use train or minimize"
            )
        return solution

    def _with_noise(self, solution: Solution) -> Solution:
        """Return the solution whose residuals are scales of noise with the residuals in units of these.

        Where a noise reaches 0, it ends so.
        """
        if solution.residuals is None:
            return solution
        model = self.model
        scales = solution.residuals / math.sqrt(self._values)
        residuals, deviations = in_units_of_noise(model.facts, self.outputs(solution.parameters), self.Y, scales)
        is_lost = ENDINGS[solution.ending].converged and vanishes(model.facts, residuals, self.Y, scales)
        chi2 = float(algebra_of(model).total(np.nan_to_num(residuals) ** 2))
        ended = "no_noise" if is_lost else solution.ended
        return solution._replace(residuals=residuals, deviations=deviations, chi2=chi2, ended=ended)

    @property
    def _values(self) -> int:
        """Return the number of values of a sample whose losses have the loss as their mean."""
        fitting = self.model.facts.fitting
        return fitting.mean_over if fitting.curved else 1

    def can_begin(self, points: Iterable[Array]) -> bool:
        """Return whether outputs are finite at any of some points, (P,) each, or might be: where outputs do not tell.

        It takes predictions alone, in most cases those at the first point. All doors to fits ask it before the part of
        a module that fits is compiled, which takes seconds for differential equations.
        """
        facts = self.model.facts
        if not (facts.steps.solver or (facts.fitting.fits_outputs and not facts.fitting.curved)):
            return True
        seen = ~np.isnan(self.Y)
        return any(np.isfinite(self.outputs(point)[seen]).all() for point in points)

    def outputs(self, point: Array) -> Array:
        """Return the predictions at a point, (P,), for all samples, (N, targets)."""
        outputs = np.empty(self.Y.shape, self.model.dtype)
        self.model.native.predict(for_c(self.model, point), self.X, self.samples, outputs, self.max_steps)
        return outputs

    def unsolved(self, start: Array, fixed: Array | None) -> Solution:
        """Return the solution from a start, (P,), at which outputs are not finite: the native fit ends as it began."""
        free = len(start) if fixed is None else len(start) - int(np.count_nonzero(fixed))
        curved = self.model.facts.fitting.curved
        residuals = None if curved else (self.outputs(start) - self.Y).astype(float)
        active = at_bounds(start, self.options.bounds) * (1 if fixed is None else fixed == 0)
        return Solution(
            start.copy(),
            residuals,
            np.zeros((free, free)),
            active.astype(np.int8),
            math.nan,
            math.nan,
            int(np.count_nonzero(~np.isnan(self.Y))),
            0,
            0,
            1,
            ENDS.index("not_finite"),
            0,
            np.empty(0),
        )

    def __call__(self, fixed: Mapping[int, float], start: Array, penalty: Penalty | None = None) -> tuple[float, Array]:
        """Return the lowest cost, and its parameters, with some parameters fixed at given values by their indices.

        With a penalty, it is the cost without it where the sum of both is lowest.
        """
        held = np.zeros(len(start), np.uint8)
        point = np.array(start, self.model.dtype)
        for position, value in fixed.items():
            held[position] = 1
            point[position] = value
        solution = self.solve(point, held, with_residuals=False, kept=1, penalty=penalty)
        return without(penalty, solution.cost, solution.parameters), solution.parameters

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {"max_steps": 0, **state}  # which earlier pickles do not have
        if "options" not in state:
            state["options"] = taken_from(state)
        for name, value in state.items():
            setattr(self, name, value)


def at_bounds(points: Array, bounds: tuple[Array, Array] | None) -> Array:
    """Return which bound holds each parameter of points, (..., P): 1 for the upper, -1 for the lower, 0 for none."""
    low, high = bounds or (np.array(-np.inf), np.array(np.inf))
    return np.where(points >= high, 1, np.where(points <= low, -1, 0))


def of_samples(problem: LeastSquares, rows: Array | slice) -> Problem:
    """Return the problem of some samples of another one, by their indices, in that order, without its groups."""
    X = None if problem.X is None else problem.X[rows]
    sigma = problem.sigma if problem.sigma is None or not problem.sigma.ndim else problem.sigma[rows]
    return Problem(problem.model, X, problem.Y[rows], sigma, problem.options)


def _of_all_values(solution: Solution, count: int, apart: int) -> Solution:
    """Return the solution for the sum of the losses of all values, each a negative log-likelihood, not for their mean.

    ``count`` is the number of values of a sample, of which the parts that are left out ``apart`` are counted already.
    Parameters are the same, and errors smaller by the root of count.
    """
    return solution._replace(
        triangle=solution.triangle * math.sqrt(count),
        cost=solution.cost * count,
        chi2=solution.chi2 * count,
        used=solution.used * (1 if apart > 1 else count),
        costs=None if solution.costs is None else solution.costs * count,
    )


def _in_order(costs: Array, iterations: int) -> Array:
    """Return the costs of the last iterations in the order of time, from a ring buffer that overwrites the oldest."""
    if iterations <= len(costs) or len(costs) == 1:
        return costs[:iterations].copy()  # without the rest
    return np.roll(costs, -(iterations % len(costs)))

"""A fit with errors in x: the true inputs of each sample are unknowns of its own (orthogonal distances).

It is the fit of a second module, whose last parameters are changes of the inputs: its derivatives by these are those by
the inputs. C eliminates the changes of each sample (errors_in_x.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..native.parts import fits_with_errors_at_once, with_errors
from ..results.fit_with_errors import FitWithErrors
from ..results.penalty import without
from ..results.solution import ENDS, Solution
from .problem import Problem

if TYPE_CHECKING:
    from ..arguments.fit_options import CheckedFitOptions
    from ..ground.types import Array
    from ..native.model import Model
    from ..results.penalty import Penalty
    from .fit_watch import FitWatch


class ProblemWithErrors:
    """A problem whose inputs have errors, and its solution from a start: see ``Fitted``. It is pickled with a result.

    ``changes`` are those of the inputs, (N, inputs), at which its fits begin.
    """

    def __init__(self, problem: Problem, sigma_x: Array, changes: Array) -> None:
        self.given, self.sigma_x, self.changes = problem, sigma_x, changes

    @property
    def options(self) -> CheckedFitOptions:
        """Return the options of the fit."""
        return self.given.options

    def second(self) -> Model:
        """Return the second module. Raises ValueError where the formula of the model is not known."""
        return with_errors(self.given.model)

    def solve(
        self,
        start: Array,
        fixed: Array | None,
        watch: FitWatch | None = None,
        most: int | None = None,
        penalty: Penalty | None = None,
    ) -> tuple[Solution, Array]:
        """Return the solution from a start, (P,), and the changes of the inputs, (N, inputs).

        Its parameters and bounds that hold are followed by those of the second module, unless it cannot begin.
        """
        original = self.given
        if not (fits_with_errors_at_once(original.model) or original.can_begin((start,))):
            return original.unsolved(start, fixed), self.changes
        second = self.second()
        count, inputs = len(start), self.sigma_x.shape[1]
        bounds = original.options.bounds
        if bounds is not None:
            endless = np.full(inputs, np.inf, start.dtype)
            bounds = np.concatenate([bounds[0], -endless]), np.concatenate([bounds[1], endless])
        held, point = np.ones(count + inputs, np.uint8), np.zeros(count + inputs, start.dtype)
        held[:count] = 0 if fixed is None else fixed
        point[:count] = start
        changes = self.changes.copy()
        steps = original.options.max_iterations if most is None else most
        options = original.options.changed(bounds=bounds, max_iterations=steps)
        problem = Problem(second, original.X, original.Y, original.sigma, options)
        solution = problem.solve(point, held, watch=watch, errors=(self.sigma_x, changes), penalty=penalty)
        known = original.model.facts.fitting.guards  # a denominator of inputs alone is not among them
        return solution._replace(poles=tuple(guard for guard in known if guard in solution.poles)), changes

    def at(self, parameters: Array) -> ProblemWithErrors:
        """Return this problem with the best changes of the inputs at some parameters, (P,)."""
        _, changes = self.solve(parameters, np.ones(len(parameters), np.uint8))
        return ProblemWithErrors(self.given, self.sigma_x, changes)

    def result_from(self, start: Array, p0: Array, fixed: Array | None) -> FitWithErrors:
        """Return the result of a fit from another start than that of the user, p0, both (P,)."""
        solution, changes = self.solve(start, fixed)
        again = ProblemWithErrors(self.given, self.sigma_x, changes)
        return result_with_errors(again, solution, changes, p0, fixed)

    def __call__(self, fixed: Mapping[int, float], start: Array, penalty: Penalty | None = None) -> tuple[float, Array]:
        """Return the lowest cost, and its parameters, with some parameters fixed, as ``Problem`` does."""
        held = np.zeros(len(start), np.uint8)
        point = np.array(start, self.given.model.dtype)
        for position, value in fixed.items():
            held[position] = 1
            point[position] = value
        solution, _ = self.solve(point, held, penalty=penalty)
        parameters = solution.parameters[: len(start)]
        return without(penalty, solution.cost, parameters), parameters


def fit_with_errors(
    problem: Problem, sigma_x: Array, start: Array, first: Array, fixed: Array | None, watch: FitWatch | None
) -> FitWithErrors:
    """Fit a checked problem with the standard deviations of its inputs, (N, inputs).

    ``start`` is that of the user, ``first`` the point where the fit begins, both (P,).
    """
    count, first_changes = len(start), np.zeros(sigma_x.shape)
    whole = ProblemWithErrors(problem, sigma_x, first_changes)
    if watch is not None:
        watch.count = count
    if watch is not None and watch.reason:
        solution, changes = whole.solve(first, fixed, most=0)
        solution = solution._replace(ended=watch.reason)
    else:
        solution, changes = whole.solve(first, fixed, watch)
    if solution.ending == "stalled" and problem.options.loss != "linear":
        solution, changes = _from_without_errors(whole, first, fixed, watch, solution, changes)
    again = ProblemWithErrors(problem, sigma_x, changes if ENDS[solution.status] != "not_finite" else first_changes)
    return result_with_errors(again, solution, changes, start, fixed)


def _from_without_errors(
    whole: ProblemWithErrors,
    first: Array,
    fixed: Array | None,
    watch: FitWatch | None,
    solution: Solution,
    changes: Array,
) -> tuple[Solution, Array]:
    """Return the better of a solution and that from the end of the fit without errors in the inputs.

    Far from a solution, almost all samples are outliers to a robust loss, and then their inputs move far.
    """
    near = whole.given.solve(first, fixed, with_residuals=False).parameters
    other, moved = whole.solve(near, fixed, watch)
    return (other, moved) if other.cost <= solution.cost else (solution, changes)


def result_with_errors(
    whole: ProblemWithErrors, solution: Solution, changes: Array, start: Array, fixed: Array | None
) -> FitWithErrors:
    """Return the result of a fit from its solution and the changes of its inputs."""
    count = len(start)
    solution = solution._replace(parameters=solution.parameters[:count], active=solution.active[:count])
    return FitWithErrors(whole.given, solution, start.copy(), fixed, whole, sigma_x=whole.sigma_x, changes=changes)

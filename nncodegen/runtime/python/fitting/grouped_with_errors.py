"""A fit in groups whose inputs have errors: the true inputs of each sample are unknowns of its own, inside its group.

C eliminates the changes of the inputs of each sample first (errors_in_x.h), then the own parameters of each group; what
is left is the problem of ``grouped``. The changes at two points, that of the descent and the one that it tries, stay in
memory from one call of C to the next.
"""

from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..native.parts import fits_with_errors_at_once, with_errors
from .grouped import GroupedProblem, GroupedSolution, Rows, Trials

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

START, STEP, FOLD, RELEASE = range(4)
"""The numbers of tasks in C, NN(GROUPS_START) and so on."""


class GroupedProblemWithErrors(GroupedProblem):
    """The arguments of a fit in groups whose inputs have errors.

    ``sigma_x`` and ``changes``, at which its fits begin, are (N, inputs), sorted by groups as the other data.
    """

    def __init__(self, *values: Any, sigma_x: Array, changes: Array) -> None:
        super().__init__(*values)
        self.sigma_x, self.changes = sigma_x, changes

    def second(self) -> Model:
        """Return the second module. Raises ValueError where the formula of the model is not known."""
        return with_errors(self.model)

    def trials(self) -> Trials:
        """Return the trials of a descent, which begins at the changes."""
        return _TrialsWithErrors(self)

    def _figures(self, parameters: Array) -> tuple[Array, Array, Array]:
        chi2, used = np.empty(self.groups), np.empty(self.groups, np.uint64)
        residuals = np.empty(self.Y.shape)
        memory = self.second().native.errors_memory(len(self.Y), self.groups)
        errors = self.sigma_x, memory, START, 0, False, self.changes.copy(), *[None] * 5
        self._call(parameters, None, (None, None, chi2, used, residuals, None), errors)
        return residuals, chi2, used.astype(np.intp)

    def settled(self, solution: GroupedSolution) -> GroupedProblemWithErrors:
        """Return this problem, whose fits begin at the changes of a solution, if it has them."""
        settled = copy(self)
        if solution.changes is not None and solution.ending != "not_finite":
            settled.changes = solution.changes
        return settled

    def _is_compiled(self) -> bool:
        return fits_with_errors_at_once(self.model)

    def _fitting(self) -> Model:
        return self.second()

    def _wide(self, parameters: Array) -> Array:
        second = self.second()
        wide = np.zeros((len(parameters), second.parameter_count), second.dtype)
        wide[:, : parameters.shape[1]] = parameters
        return wide


class _TrialsWithErrors(Trials):
    """The two points of a descent, of which C has the changes of the inputs and the rows of each sample."""

    problem: GroupedProblemWithErrors

    def __init__(self, problem: GroupedProblemWithErrors) -> None:
        super().__init__(problem)
        self._memory = problem.second().native.errors_memory(len(problem.Y), problem.groups)
        self._turned = False
        self._damped = np.zeros(problem.groups, np.uint8)
        self._parameters = self._trial = np.empty((0, 0))

    def begin(self, parameters: Array) -> Rows:
        """Return the rows at the start, (G, P), and at the changes of the problem."""
        self._trial = parameters
        rows = self._call(parameters, None, START, changes=self.problem.changes.copy())
        self.take()
        return rows

    def go(self, trial: Array, change: Array, rows: Rows, controlled: bool) -> tuple[Array, Rows]:
        """Return how much a step lowers the cost of each group if residuals are linear, (G,), and the rows at its end.

        It moves the changes of the inputs as well, to their best values for the step of the parameters.
        """
        falls, squares = np.empty(self.problem.groups), np.empty(self.problem.groups)
        steps, self._trial = np.ascontiguousarray(change), trial
        rows_at_end = self._call(trial, rows.signs, STEP, controlled, steps=steps, falls=falls, squares=squares)
        self.length = math.sqrt(math.fsum(squares.tolist()))
        for place, slopes, value in self.problem.penalty_rows(self._parameters):  # of which C does not know
            moved = float(slopes @ change[place])
            falls[place] -= moved * value + moved**2 / 2
        return falls, rows_at_end

    def take(self) -> None:
        """Make the trial the point."""
        self._turned, self._parameters = not self._turned, self._trial

    def again(self, rows: Rows) -> Rows:
        """Return the rows at the point after a trial that is not taken: dampings of changes are others now."""
        return self._folded(rows, FOLD)

    def release(self, rows: Rows, within: bool = False) -> Rows | None:
        """Return the rows at the point without dampings of changes; None if there are none.

        ``within`` says that a trial was stopped, which may have changed dampings already: the rows are of older ones.
        """
        return self._folded(rows, RELEASE) if within or self._damped.any() else None

    def changes(self) -> Array:
        """Return the changes of the inputs at the point, (N, inputs)."""
        changes = np.empty(self.problem.sigma_x.shape)
        self._call(self._parameters, None, FOLD, changes=changes)
        return changes

    def _folded(self, rows: Rows, task: int) -> Rows:
        folded = self._call(self._parameters, None, task)
        return rows._replace(triangles=folded.triangles, own_falls=folded.own_falls)

    def _call(
        self,
        parameters: Array,
        signs: Array | None,
        task: int,
        controlled: bool = False,
        changes: Array | None = None,
        steps: Array | None = None,
        falls: Array | None = None,
        squares: Array | None = None,
    ) -> Rows:
        own_falls = np.zeros(self.problem.groups)
        errors = (
            self.problem.sigma_x, self._memory, task, self._turned, controlled, changes, steps, falls, squares,
            own_falls, self._damped,
        )  # fmt: skip
        rows = self.problem.evaluate(parameters, signs, errors)
        return rows._replace(own_falls=own_falls)

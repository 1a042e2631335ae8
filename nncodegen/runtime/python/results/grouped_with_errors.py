"""The result of a fit in groups whose inputs have errors."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..native.model import result_of_model
from .fit_with_errors import ERRORS_IN_X, FitWithErrors
from .grouped_fit import GroupedFit, OneGroup

if TYPE_CHECKING:
    from ..ground.types import Array


@result_of_model
class OneGroupWithErrors(OneGroup, FitWithErrors):
    """The fit of one group whose inputs have errors: see ``OneGroup`` and ``FitWithErrors``."""


@result_of_model
class GroupedFitWithErrors(GroupedFit):
    """The result of ``fit`` with groups and ``sigma_x``, for N samples of some inputs.

    It is all that a GroupedFit is, and has estimates of the true inputs with standard errors, and

    sigma_x  (N, inputs), the standard deviations that were given

    All of these are in the order of the samples. ``result.group(label)`` is a FitWithErrors, whose samples are those of
    the group. ``chi2``, ``group_chi2`` and ``cost`` contain the changes of the inputs, each divided by its sigma_x.
    """

    def __init__(self, problem: Any, *values: Any) -> None:
        super().__init__(problem, *values)
        self._changes = problem.changes
        self.sigma_x = self._in_order(problem.sigma_x)

    @cached_property
    def x_estimated(self) -> Array:
        """Return the estimates of the true inputs, (N, inputs)."""
        estimates = (np.asarray(self._X, float) + self._changes).astype(self._model.dtype)
        return self._in_order(estimates)

    @cached_property
    def x_standard_errors(self) -> Array:
        """Return the standard errors of the estimated inputs, (N, inputs), as of ``FitWithErrors``."""
        errors = [self.group(label).x_standard_errors for label in self.labels]  # type: ignore[attr-defined]
        return self._in_order(np.concatenate(errors))

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Return what a table says of the groups, and of the errors in x."""
        return [*super().notes, ERRORS_IN_X]

    def _in_order(self, values: Array) -> Array:
        """Return values of samples that are sorted by groups in the order of the samples."""
        in_order = np.empty_like(values)
        in_order[self._order] = values
        return in_order

    def _one(self, rows: slice, *values: Any) -> OneGroupWithErrors:
        group_fit = OneGroupWithErrors(*values, sigma_x=self._problem.sigma_x[rows], changes=self._changes[rows])
        if "x_standard_errors" in self.__dict__:
            group_fit.x_standard_errors = self.x_standard_errors[self._order[rows]]
        return group_fit

    def _arrays_of_inputs(self) -> dict[str, Any]:
        arrays = {
            "sigma_x": self._problem.sigma_x,
            "changes": self._changes,
            "x_errors": None,
            "residuals": self.residuals[self._order],  # type: ignore[index]
            "chi2_of_groups": self.group_chi2,
            "used_in_groups": self.group_used.astype(np.int64),
        }
        with suppress(ValueError):
            arrays["x_errors"] = self.x_standard_errors[self._order]
        return arrays

    def __reduce__(self) -> tuple[Any, ...]:
        with suppress(ValueError):  # a cached value is pickled with the others, for a process without the formula
            self.x_standard_errors  # noqa: B018
        return super().__reduce__()

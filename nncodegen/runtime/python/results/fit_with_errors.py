"""The result of a fit with errors in x."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..native.model import result_of_model
from .bordered import BlockErrors
from .fit_result import FitResult

if TYPE_CHECKING:
    from os import PathLike

    from ..ground.types import Array
    from ..native.model import Model
    from .fitted import Refit


@result_of_model
class FitWithErrors(FitResult):
    """The result of ``fit`` with ``sigma_x``, for N samples of some inputs: all that a FitResult is, and

    x_estimated        (N, inputs), the estimates of the true inputs
    x_standard_errors  (N, inputs), their standard errors; 0 for those that are exact
    sigma_x            (N, inputs), the standard deviations that were given

    ``chi2`` and ``cost`` contain the changes of the inputs, each divided by its sigma_x; ``residuals`` are those of the
    outputs at the estimated inputs. The covariance is that of all unknowns together, as of ODRPACK; ``used`` and the
    degrees of freedom count targets alone, since each input brings an unknown.
    """

    def __init__(
        self, model: Model, problem: Any, found: Any, sigma_x: Array, start: Array, refit: Refit,
        given: Any, absolute_sigma: bool,
    ) -> None:  # fmt: skip
        count, outputs = model.parameter_count, given.Y.shape[1]
        residuals, chi2, _ = problem.told(found.parameters)
        self._problem, self._found = problem, found
        self.sigma_x = sigma_x
        fixed, at = np.ones(count, bool), np.zeros(count, bool)
        fixed[problem.shared] = False
        at[problem.shared] = found.shared_at_bound
        triangles = found.rows.triangles.copy()
        exact = sigma_x[:, problem.own - count] == 0
        triangles[:, :, : exact.shape[1]] *= ~exact[:, None]  # such inputs do not change
        self._block_errors = BlockErrors(problem, triangles)
        guards, signs = model.facts.guards, found.rows.signs
        poles = tuple(
            guard for guard, sign in zip(guards, np.bitwise_and.reduce(signs, axis=0), strict=True) if not sign
        )
        finite = found.ending != "not_finite"
        super().__init__(
            model, found.parameters[0, :count].copy(), start.copy(), fixed, at, self._block_errors.triangle,
            found.rows.cost, float(chi2.sum()) if finite else math.nan, residuals[:, :outputs].copy(), given.X, given.Y,
            given.sigma, int(np.count_nonzero(~np.isnan(given.Y))), found.ending, found.iterations, found.evaluations,
            absolute_sigma, given.bounds, given.loss, given.f_scale, refit, found.history, poles,
        )  # fmt: skip

    @cached_property
    def x_estimated(self) -> Array:
        """Return the estimates of the true inputs, (N, inputs)."""
        found: Array = self._X + self._found.parameters[:, len(self.parameters) :]
        return found

    @cached_property
    def x_standard_errors(self) -> Array:
        """Return the standard errors of the estimated inputs, (N, inputs); 0 for exact ones."""
        own = self._block_errors.covariances(self.error_scale)[0]
        found = np.zeros(self.sigma_x.shape)
        found[:, self._problem.own - len(self.parameters)] = np.sqrt(np.einsum("gii->gi", own))
        found[self.sigma_x == 0] = 0
        return found

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Return what the table says of the errors in x."""
        return [("errors in x", "chi2 contains the changes of the inputs: x_estimated")]

    def save(self, path: str | PathLike[str]) -> None:
        """Raise ValueError: the result of a fit with errors in x is pickled."""
        raise ValueError("the result of a fit with errors in x has no file of its own: pickle it, or write to_frame()")

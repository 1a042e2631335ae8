"""The result of a fit with errors in x."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..native.model import result_of_model
from ..native.parts import with_errors
from .bordered import back
from .fit_result import FitResult
from .goodness import per_value

if TYPE_CHECKING:
    from ..ground.types import Array


ERRORS_IN_X = ("errors in x", "chi2 contains the changes of the inputs: x_estimated")
"""The note of a table about errors in x."""


@result_of_model
class FitWithErrors(FitResult):
    """The result of ``fit`` with ``sigma_x``, for N samples of some inputs.

    It is all that a FitResult is, and has estimates of the true inputs with standard errors, and

    sigma_x  (N, inputs), the standard deviations that were given

    ``chi2`` and ``cost`` contain the changes of the inputs, each divided by its sigma_x; ``residuals`` are those of the
    outputs at the estimated inputs. The covariance is that of all unknowns together, as of ODRPACK; ``used`` and the
    degrees of freedom count targets alone, since each input brings an unknown.
    """

    def __init__(self, *values: Any, sigma_x: Array, changes: Array) -> None:
        super().__init__(*values)
        self.sigma_x = sigma_x
        self._changes = changes

    @cached_property
    def x_estimated(self) -> Array:
        """Return the estimates of the true inputs, (N, inputs)."""
        estimates: Array = (np.asarray(self._X, float) + self._changes).astype(self._model.dtype)
        return estimates

    @cached_property
    def x_standard_errors(self) -> Array:
        """Return the standard errors of the estimated inputs, (N, inputs); 0 for exact ones.

        A result that is saved or pickled takes them along. Raises ValueError where it has not, and this process has not
        built the model, whose derivatives by the inputs they need.
        """
        rows_of_inputs, J = self._rows()
        algebra, inputs, outputs = self._algebra, rows_of_inputs.shape[2], J.shape[1]
        negative = np.broadcast_to(-np.eye(inputs), (len(rows_of_inputs), inputs, inputs))
        half = back(np.concatenate([algebra.triangles(rows_of_inputs), negative], axis=2), inputs)
        inverse = algebra.product(half, np.swapaxes(half, 1, 2))
        shares = algebra.product(inverse, np.swapaxes(rows_of_inputs[:, :outputs], 1, 2))
        follow = -algebra.product(shares, J)  # by how much changes follow the parameters
        unknown = ~np.isfinite(np.diag(self.covariance))
        covariance = np.where(unknown | unknown[:, None], 0, self.covariance)
        with np.errstate(invalid="ignore", over="ignore"):
            variance = np.einsum("nii->ni", inverse) * self.error_scale
            variance = variance + algebra.contract("niq,niq->ni", algebra.product(follow, covariance), follow)
            variance[(follow[:, :, unknown] != 0).any(axis=2)] = np.inf
            errors: Array = np.where(self.sigma_x > 0, np.sqrt(variance) * self.sigma_x, 0)
        return errors

    def _again_from(self, parameters: Array) -> FitWithErrors:
        """Return the result of this fit from another start, (P,)."""
        whole: Any = self._refit
        held = None if self.free.all() else (~self.free).view(np.uint8)
        return whole.result_from(parameters.astype(self._model.dtype), self.p0, held)  # type: ignore[no-any-return]

    def _triangle_at(self, parameters: Array) -> Array | None:
        """Return the triangle (F, F) of the weighted derivatives at parameters, (P,), and the best inputs there."""
        whole: Any = self._refit
        held = None if self.free.all() else (~self.free).view(np.uint8)
        return whole.at(parameters.astype(self._model.dtype)).solve(parameters, held, most=0)[0].triangle  # type: ignore[no-any-return]

    def _rows(self) -> tuple[Array, Array]:
        """Return the weighted rows of each sample: by its changes, (N, targets + inputs, inputs), and by parameters.

        Changes are in units of sigma_x. The rows by parameters are (N, targets, P), since changes do not depend on
        them.
        """
        second, count = with_errors(self._model), len(self.parameters)
        samples, inputs = self.sigma_x.shape
        outputs = self._Y.shape[1]
        slopes = np.empty((samples, outputs, second.parameter_count), second.dtype)
        point = np.concatenate([self.parameters, np.zeros(inputs, second.dtype)])
        second.native.jacobian(point, np.ascontiguousarray(self.x_estimated), samples, slopes)
        seen = np.asarray(self.residuals)
        factors = robust_factors(self.robust, self.f_scale, seen) / per_value(self._sigma, seen.shape)
        weighed = np.where(np.isnan(seen)[:, :, None], 0, slopes * np.nan_to_num(factors)[:, :, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = np.where(self.sigma_x > 0, self._changes / self.sigma_x, 0)
        below = robust_factors(self.robust, self.f_scale, steps)[:, :, None] * np.eye(inputs)
        return np.concatenate([weighed[:, :, count:] * self.sigma_x[:, None], below], axis=1), weighed[:, :, :count]

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Return what the table says of the errors in x."""
        return [*super().notes, ERRORS_IN_X]

    def _arrays(self) -> dict[str, Any]:
        """Return the arrays of the file of the result by name, None for those that it does not need."""
        return super()._arrays() | {"sigma_x": self.sigma_x, "changes": self._changes, "x_errors": self._kept_errors()}

    def _kept_errors(self) -> Array | None:
        """Return the standard errors of the inputs, for processes that have not built the model; None in such a one."""
        with suppress(ValueError):
            return self.x_standard_errors
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        self._kept_errors()  # a cached value is pickled with the others
        return super().__reduce__()


def robust_factors(robust: str | None, scale: float, residuals: Array) -> Array:
    """Return the factors of rows that a robust loss gives residuals (robust.h).

    Powers are products and square roots: NumPy rounds others differently on different CPUs.
    """
    z = (residuals / scale) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        if robust is None:
            return np.ones(residuals.shape)
        if robust == "huber":
            first, second = np.where(z <= 1, 1, 1 / np.sqrt(z)), np.where(z <= 1, 0, -0.5 / (z * np.sqrt(z)))
        elif robust == "soft_l1":
            first, second = 1 / np.sqrt(1 + z), -0.5 / ((1 + z) * np.sqrt(1 + z))
        else:
            first, second = 1 / (1 + z), -1 / (1 + z) ** 2
        factors: Array = np.sqrt(np.maximum(first + 2 * second * z, 0.01 * first))
    return factors

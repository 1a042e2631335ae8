"""The base of estimators that are fitted by least squares: from a compiled module and data to fitted attributes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight

from nncodegen.estimators.fit_parameters import options_of
from nncodegen.runtime.module import Module
from nncodegen.runtime.python import FitResult
from nncodegen.runtime.python.fitting.fit import AUTO
from nncodegen.runtime.python.ground.poles import told
from nncodegen.runtime.python.ground.warn import warn


class LeastSquaresRegressor(RegressorMixin, BaseEstimator):
    """An estimator whose parameters are found by a module's ``fit``; see FormulaRegressor and DynamicsRegressor.

    A fitted estimator holds plain data and its model. It does not hold the compiled module, which belongs to the
    process, and is built or found when it is needed.
    """

    bits = "native"  # of estimators that were pickled before there was this parameter

    def _weighed(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Return X and y without the rows of weight 0, and the standard deviations 1/sqrt(weight), (N,) or None."""
        if sample_weight is None:
            return X, y, None
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        used = weight > 0
        if not used.any():
            raise ValueError("sample_weight is 0 for every sample: some must be above 0")
        return X[used], y[used], 1 / np.sqrt(weight[used])

    def _search(
        self, module: Module, X: Any, Y: Any, start: Any, sigma: Any, bounds: Any, n_starts: Any, draws: bool = False
    ) -> FitResult:
        """Return the result of the module's ``fit``, after the warnings that scikit-learn has for it.

        ``random_state`` seeds starting points, if there are any, and the initial parameters where the module
        ``draws`` them.
        """
        draws |= n_starts is not None and not (n_starts == AUTO and self.random_state is None)
        seed = int(check_random_state(self.random_state).randint(2**31)) if draws else 0
        with warnings.catch_warnings():  # scikit-learn has a separate category for these warnings
            warnings.simplefilter("ignore", RuntimeWarning)
            options = options_of(self) | {"p0": start, "bounds": bounds, "n_starts": n_starts, "seed": seed}
            result = module.fit(X, Y, sigma=sigma, **options)
        if not result.converged:
            message = result.message.replace("max_iterations", "max_iter")  # its name here
            warn(f"the fit did not converge: {message}", ConvergenceWarning)
        elif result.status == "too_few_data":
            warn(f"the fit has too few data: {result.message}", ConvergenceWarning)
        if result.poles:
            warn(f"the fit ended at a pole: {told(result.poles)}", ConvergenceWarning)
        return result

    def _keep(self, result: FitResult, names: Sequence[str], values: Any, errors: Any, covariance: Any) -> None:
        """Set the fitted attributes that all of these estimators have."""
        self.parameters_ = dict(zip(names, values.tolist(), strict=True))
        self.standard_errors_ = dict(zip(names, errors.tolist(), strict=True))
        self.covariance_ = covariance
        self.n_iter_ = max(1, result.iterations)  # scikit-learn expects at least 1
        self.result_ = result
        self._precision, self._bits = self.precision, self.bits

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "result_"}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "parameters_")

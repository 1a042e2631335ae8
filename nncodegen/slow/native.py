"""The native part of a module, in NumPy: it replaces ``runtime/python/native.pyx``, for the same Python part."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import Companion, Program
from nncodegen.runtime.python.fit_watch import FitWatch
from nncodegen.slow.batches import Batches
from nncodegen.slow.fit import Fit, Limits
from nncodegen.slow.plan import Plan, Samples, columns_of
from nncodegen.slow.rows import FitRows, Problem
from nncodegen.slow.rules import Rule
from nncodegen.slow.training import NumpyTraining

Array = NDArray[Any]

VARIANT = "numpy"
"""The value that replaces the name of a kernel."""


class NumpyNative:
    """The functions of a module that otherwise are C; see ``Native`` for their documentation.

    All numbers are computed in float64 and rounded to the precision of the program at the end; parameters, after each
    update. Models and fits are never made side by side: the Python part makes them one after the other.
    """

    def __init__(self, program: Program) -> None:
        self._dtype: np.dtype[Any] = np.dtype(program.precision)
        self._batches = Batches(program)
        penalized = np.repeat([one.penalized for one in program.parameters], [one.size for one in program.parameters])
        self._rules = [Rule(update, penalized.astype(bool)) for update in program.updates]
        self._count = program.parameter_count
        companions = {companion.name: companion for companion in program.companions}
        self._fitting = next((FitRows(each) for each in companions.values() if each.outputs), None)
        self._hessian = _plan_of(companions, "hessian")
        self._fields = _plan_of(companions, "fields")
        self.state_size = max((len(update.state) for update in program.updates), default=0) * self._count
        self.measures_size = len(self._batches.no_measures())
        self.group_size = 1
        self.fits_lanes = 0
        self.has_hessian = self._hessian is not None
        self.variant = VARIANT
        self.variants = (VARIANT,)

    # --- checks

    def first_not_finite(self, values: Array, count: int) -> int:
        """Return the index of the first value that is not finite; ``count`` if all are finite."""
        wrong = np.flatnonzero(~np.isfinite(values.ravel()[:count]))
        return int(wrong[0]) if len(wrong) else count

    def takes(self, values: Any, axes: int, columns: int) -> bool:
        """Return whether C would take an array unchanged."""
        usual = type(values) is np.ndarray and values.dtype == self._dtype and values.flags.c_contiguous
        if not usual or values.ndim != axes or not values.flags.aligned:
            return False
        return bool(values.shape[-1] == columns and len(values) and np.isfinite(values).all())

    def covariance(self, triangle: Array, scale: float, least: float, covariance: Array) -> bool:
        """Return False: the Python part computes it."""
        return False

    # --- short calls, which do not exist here

    def predict_short(self, parameters: Any, X: Any) -> Array | None:
        """Return None: the Python part checks the arguments."""

    def loss_short(self, parameters: Any, X: Any, Y: Any, gradient: Array | None) -> float | None:
        """Return None: the Python part checks the arguments."""

    def train_short(self, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return None: the Python part checks the arguments."""

    # --- outputs, losses, derivatives

    def predict(self, parameters: Array, X: Array | None, samples: int, outputs: Array) -> None:
        """Write the outputs of some rows."""
        outputs[...] = self._rounded(self._batches.predict(_double(parameters), _optional(X), samples))

    def loss(
        self, parameters: Array, X: Array | None, Y: Array | None, weights: Array | None, samples: int,
        gradient: Array | None,
    ) -> float:  # fmt: skip
        """Return the mean loss; its gradient is written to an array, unless that is None."""
        data = _samples(X, Y, weights, samples)
        if gradient is None:
            return float(self._rounded(self._batches.mean_loss(_double(parameters), data)))
        sums = self._batches.sums(_double(parameters), data, 0, self._count, 0, None)
        gradient[...] = self._rounded(sums.gradient)
        return float(self._rounded(sums.loss))

    def jacobian(self, parameters: Array, X: Array | None, samples: int, derivatives: Array) -> None:
        """Write the derivatives of the outputs of some rows."""
        rows = self._fit_rows()
        for first in range(0, samples, 1024):
            place = slice(first, min(first + 1024, samples))
            part = None if X is None else _double(X[place])
            derivatives[place] = self._rounded(rows.jacobian(_double(parameters), part, place.stop - first))

    def hessian_products(
        self, parameters: Array, directions: Array, count: int, X: Array | None, Y: Array | None,
        weights: Array | None, samples: int, products: Array,
    ) -> None:  # fmt: skip
        """Write the products of the Hessian of the mean loss with some directions."""
        if self._hessian is None:
            raise ValueError("the model has no second derivatives")
        plan, point = self._hessian, _double(parameters)
        data = _samples(X, Y, weights, samples)
        for number in range(count):
            found = plan(np.concatenate([point, _double(directions[number])]), data)
            products[number] = self._rounded(np.concatenate([array.ravel() for array in found]))

    def fields(self, parameters: Array, X: Array, Y: Array, samples: int, values: Array) -> None:
        """Write the fields of a loss of terms at some samples: outputs, derivatives, residuals."""
        if self._fields is None:
            raise ValueError("the model has no derivatives by inputs")
        found = self._fields(_double(parameters), _samples(X, Y, None, samples))
        values[...] = self._rounded(columns_of(found, self._fields.results, samples))

    # --- training and fits

    def training(self, buffers: Array, state: Array, options: Array, optimizer: int, seed: int) -> NumpyTraining:
        """Return a training of the parameters in the first of two buffers; the second is for the best."""
        return NumpyTraining(self._batches, self._rules[optimizer], self._dtype, buffers, state, options, seed)

    def fit(
        self, X: Array | None, Y: Array, samples: int, sigma: Array | None, bounds: tuple[Array, Array] | None,
        fixed: Array | None, robust: int, robust_scale: float, tolerance: float, max_iterations: int,
        parameters: Array, residuals: Array | None, triangle: Array, active: Array, poles: Array | None,
        costs: Array, watch: FitWatch | None,
    ) -> tuple[float, float, int, int, int, int, int, int]:  # fmt: skip
        """Fit the model to data, and write the results."""
        rows = self._fit_rows()
        free = np.arange(self._count) if fixed is None else np.flatnonzero(np.asarray(fixed) == 0)
        problem = Problem(_optional(X), _double(Y), sigma, robust, robust_scale, free)
        lower, upper = (np.full(self._count, sign * np.inf) for sign in (-1, 1))
        if bounds is not None:
            lower, upper = _double(bounds[0]), _double(bounds[1])
        limits = Limits(lower, upper, tolerance, max_iterations, self._dtype)
        fit = Fit(rows, problem, limits, parameters, costs, watch)
        found = fit.run()
        if found.ending == "interrupted" and (watch is None or not watch.reason):
            raise KeyboardInterrupt
        parameters[...] = found.parameters.astype(self._dtype)
        point = found.point
        triangle[...] = point.rows.triangle
        active[...] = 0
        active[free] = (point.high <= 0).astype(int) - ((point.low >= 0) & (point.high > 0))
        if poles is not None:
            poles[...] = np.isfinite(point.rows.cost) & ~point.rows.signs.any(axis=0)
        if residuals is not None:
            residuals[...] = rows.residuals(problem, found.parameters)
        finite = bool(np.isfinite(point.rows.triangle).all())
        rank = point.system(np.zeros(len(free), int), np.zeros(len(free))).rank if finite else 0
        return (
            point.rows.cost, point.rows.chi2, point.rows.used, rank, found.iterations, found.evaluations, found.status,
            found.sample,
        )  # fmt: skip

    def train_many(self, *given: Any) -> None:
        """Raise NotImplementedError: the facts of the module say that models are trained one after the other."""
        raise NotImplementedError("NumPy trains models one after the other")

    def fit_many(self, *given: Any) -> None:
        """Raise NotImplementedError: there are no lanes, so that fits are made one after the other."""
        raise NotImplementedError("NumPy fits models one after the other")

    # --- BLAS, which NumPy calls by itself

    def blas_counter(self) -> object:
        """Return None: no calls are counted."""
        return None

    def signature(self, routine: object) -> str:
        """Return an empty text: no routine is called from here."""
        return ""

    def know_blas(self, calls: object, threads: int, set_threads: int) -> None:
        """Do nothing."""

    def use_blas(self, routine: object) -> None:
        """Do nothing."""

    def blas_held(self) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()

    # --- parts

    def _fit_rows(self) -> FitRows:
        if self._fitting is None:
            raise ValueError("the model has no fits")
        return self._fitting

    def _rounded(self, values: Any) -> Any:
        """Return values in the precision of the model."""
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(self._dtype)


def _plan_of(companions: Mapping[str, Companion], name: str) -> Plan | None:
    """Return the plan of the gradient of a companion, or else of its outputs; None without one of this name."""
    found = companions.get(name)
    return None if found is None else Plan(found.program, found.program.gradient or found.program.outputs)


def _double(array: Array) -> Array:
    return np.asarray(array).astype(float)


def _optional(array: Array | None) -> Array | None:
    return None if array is None else _double(array)


def _samples(X: Array | None, Y: Array | None, weights: Array | None, samples: int) -> Samples:
    """Return all rows, with their weights divided by the sum of the weights."""
    weight = np.full(samples, 1 / samples) if weights is None else _double(weights) / float(_double(weights).sum())
    return Samples(_optional(X), _optional(Y), weight)

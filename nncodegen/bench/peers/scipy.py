"""SciPy's least squares: ``curve_fit`` as it is usually called and with our derivatives, and ``least_squares``.

They compute in double precision whatever the data, one fit after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize

from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import Array, Fit, Task
from nncodegen.compiler.building.build import load
from nncodegen.compiler.pipeline import compile_model

Fitter = Callable[[Array, Array], tuple[Array, Array]]
"""A function from y and a start to the parameters and their standard errors."""


def curve_fit(task: Task, threads: int) -> Run:
    """Return the run of ``curve_fit`` with a function of NumPy; it takes differences for derivatives."""
    fit = _fit_of(task)
    function, x = _columns(fit.curve.function("numpy")), fit.X.astype(float).T
    return one_by_one(fit, lambda y, start: _errors(*optimize.curve_fit(function, x, y, start)))


def with_our_jacobian(task: Task, threads: int) -> Run:
    """Return the run of ``curve_fit`` with the outputs and the Jacobian of a module of nncodegen."""
    fit = _fit_of(task)
    module: Any = load(compile_model(fit.model, "float64").built)
    x = fit.X.astype(float)

    def function(x: Array, *parameters: float) -> Array:
        return module.predict(np.array(parameters), x)[:, 0]  # type: ignore[no-any-return]

    def jacobian(x: Array, *parameters: float) -> Array:
        return module.jacobian(np.array(parameters), x)[:, 0]  # type: ignore[no-any-return]

    return one_by_one(fit, lambda y, start: _errors(*optimize.curve_fit(function, x, y, start, jac=jacobian)))


def least_squares(task: Task, threads: int) -> Run:
    """Return the run of ``least_squares`` at its best: derivatives by SymPy, variables scaled by the Jacobian."""
    fit = _fit_of(task)
    function, derivatives = fit.curve.function("numpy"), fit.curve.jacobian("numpy")
    x = fit.X.astype(float).T
    J = np.empty((len(fit.X), len(fit.curve.parameters)))

    def jacobian(parameters: Array) -> Array:
        for k, column in enumerate(derivatives(*x, *parameters)):
            J[:, k] = column
        return J.copy()

    def run(y: Array, start: Array) -> tuple[Array, Array]:
        fitted = optimize.least_squares(lambda p: function(*x, *p) - y, start, jacobian, x_scale="jac")
        inverse = np.linalg.pinv(fitted.jac)
        return _errors(fitted.x, 2 * fitted.cost / (len(y) - len(start)) * inverse @ inverse.T)

    return one_by_one(fit, run)


def one_by_one(fit: Fit, fitter: Fitter) -> Run:
    """Return the run of a task with a function that fits once."""
    Y, starts = fit.Y.astype(float), fit.start.astype(float)  # SciPy's differences are coarse in single precision

    def run() -> Array:
        if fit.fits is None:
            result = np.stack(fitter(Y[:, 0], starts))
        else:
            result = np.stack([fitter(y, start)[0] for y, start in zip(Y, starts, strict=True)])
        return result.astype(fit.precision)

    return run


def _fit_of(task: Task) -> Fit:
    if not isinstance(task, Fit):
        raise TypeError(f"SciPy fits nothing in {task!r}")
    return task


def _columns(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with all inputs, (inputs, samples), as its first argument, and then the parameters."""
    return lambda x, *parameters: function(*x, *parameters)


def _errors(parameters: Array, covariance: Array) -> tuple[Array, Array]:
    """Return the parameters and the roots of the diagonal of their covariance."""
    return parameters, np.sqrt(np.diag(covariance))

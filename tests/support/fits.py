"""The fits of ``tests/c/runtime/fits.c``, called with arrays; and the same formulas in NumPy, with problems to fit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from scipy.optimize import least_squares

PENDING, COST, STEP, GRADIENT, MAX_ITERATIONS, SINGULAR, TOO_FEW_DATA, NO_DATA, NOT_FINITE = range(9)
CONVERGED = (COST, STEP, GRADIENT)
TOLERANCES = {64: (1e-8, 1e-8, 1e-8), 32: (1e-6, 1e-5, 1e-5)}
"""Of the cost, the step and the gradient."""


def decay(p, x):
    return p[0] * np.exp(-p[1] * x[:, 0]) + p[2]


def gaussian(p, x):
    return p[0] * np.exp(-((x[:, 0] - p[1]) ** 2 + (x[:, 1] - p[2]) ** 2) / (2 * p[3] ** 2)) + p[4]


def logistic(p, x):
    return p[3] + (p[0] - p[3]) / (1 + np.exp(p[1] * (x[:, 0] - p[2])))


def product(p, x):
    return p[0] * p[1] * x[:, 0] + p[2]


def spiral(p, x):
    size = p[0] * np.exp(-p[1] * x[:, 0])
    return np.stack([size * np.cos(p[2] * x[:, 0]), size * np.sin(p[2] * x[:, 0])], -1)


def polynomial(p, x):
    return np.polyval(p[::-1], x[:, 0])


def linear(p, x):
    return x @ p


FORMULAS = {each.__name__: each for each in (decay, gaussian, logistic, product, spiral, polynomial, linear)}
"""In the order of their numbers in ``fits_models.h``, from 1 on."""

_GRID = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
_PROBLEMS = {
    "decay": (np.linspace(0, 4, 20)[:, None], [1, 0.5, -1], [10, 2, 1]),
    "gaussian": (_GRID, [5, 1.5, 1.5, 0.7, 0.2], [10, 2.5, 2.5, 1.3, 1]),
    "logistic": (np.linspace(-3, 3, 15)[:, None], [1, 1, -1, -1], [2, 4, 1, 0]),
    "spiral": (np.linspace(0, 3, 12)[:, None], [1, 0.1, 1], [2, 0.5, 2]),
    "polynomial": (np.cos(np.linspace(0, np.pi, 90))[:, None], [0.5] * 6, [1] * 6),
}
"""For each formula, the inputs, and the least and largest values of its parameters."""


def option(name):
    """The compiler's option that chooses a formula."""
    return f"-DFORMULA={1 + list(FORMULAS).index(name)}"


def problems(library, name, fits, noise=0.02):
    """Inputs (N, inputs), noisy targets (fits, N[, outputs]), and starts around the true parameters (fits, P), all of
    which a library holds without rounding."""
    rng = np.random.default_rng(0)
    x, low, high = _PROBLEMS[name]
    true = rng.uniform(low, high, size=(fits, len(low)))
    y = np.array([FORMULAS[name](each, x) for each in true])
    y += noise * abs(y).max() * rng.normal(size=y.shape)
    starts = true * rng.uniform(0.8, 1.2, size=true.shape)
    return tuple(library.array(each).astype(float) for each in (x, y, starts))


def solution(name, x, y, start, sigma=1.0, bounds=(-np.inf, np.inf)):
    """SciPy's parameters, sum of squares, and covariance that is not scaled, to nearly all digits."""
    missing = np.isnan(y)

    def residuals(p):
        return np.where(missing, 0, (FORMULAS[name](p, x) - np.where(missing, 0, y)) / sigma).ravel()

    optimum = least_squares(
        residuals, start, jac="3-point", bounds=bounds, x_scale="jac", ftol=1e-15, xtol=1e-15, gtol=1e-15
    )
    return optimum.x, 2 * optimum.cost, np.linalg.inv(optimum.jac.T @ optimum.jac)


def fit_many(
    library,
    x,
    y,
    starts,
    *,
    outputs=1,
    sigma=None,
    lengths=None,
    bounds=None,
    fixed=None,
    tolerances=None,
    max_iterations=100,
    absolute_sigma=False,
    covariance=True,
    errors=False,
    first=0,
    last=None,
    questions=0,
):
    """Fits with data x (N, inputs) or (M, N, inputs), y and sigma (N,) or (M, N), with outputs after N where there are
    several, and starts (P,) or (M, P). What no fit from first to last has is NaN, or PENDING."""
    x, y, starts = (library.array(each) for each in (x, y, starts))
    sigma = None if sigma is None else library.array(sigma)
    samples, count, alone = x.shape[-2], library.call("parameters"), 1 + (outputs > 1)
    dims = [(x, 2), (y, alone), (sigma, alone), (starts, 1)]
    is_per_fit = [each is not None and each.ndim > shared for each, shared in dims]
    fits = max([len(each) for (each, _), has in zip(dims, is_per_fit, strict=True) if has], default=1)
    strides = [each[0].size if has else 0 for (each, _), has in zip(dims, is_per_fit, strict=True)]
    lower, upper = (None, None) if bounds is None else (library.array(np.broadcast_to(b, count)) for b in bounds)
    results = SimpleNamespace(
        parameters=library.array(np.full((fits, count), np.nan)),
        chi2=np.full(fits, np.nan),
        covariance=library.array(np.full((fits, count, count), np.nan)) if covariance else None,
        standard_errors=library.array(np.full((fits, count), np.nan)) if errors else None,
        data=np.zeros(fits, np.uint64),
        iterations=np.zeros(fits, np.uint64),
        status=np.zeros(fits, np.uint8),
    )
    results.stopped = library.call(
        "fit",
        np.array(strides, np.uint64),
        samples,
        first,
        fits if last is None else last,
        x,
        y,
        sigma,
        starts,
        None if lengths is None else np.array(lengths, np.uint64),
        lower,
        upper,
        None if fixed is None else np.array(fixed, np.uint8),
        np.array(TOLERANCES[library.bits] if tolerances is None else tolerances),
        max_iterations,
        absolute_sigma,
        questions,
        np.full(library.call("bytes", samples), 255, np.uint8),
        results.parameters,
        results.chi2,
        results.covariance,
        results.standard_errors,
        results.data,
        results.iterations,
        results.status,
    )
    return results

"""Fits made with NumPy and SciPy alone: the records that a native fit gives, of formulas with their derivatives."""

from types import SimpleNamespace

import numpy as np

from nncodegen.runtime.python.arguments.fit_options import CheckedFitOptions
from nncodegen.runtime.python.ground.facts import ChosenSteps, Fitting, Parameter, Samples
from nncodegen.runtime.python.results.fit_result import FitResult
from nncodegen.runtime.python.results.solution import solution_of


class Facts:
    """The facts of a formula that a result reads."""

    bits, samples, steps = "native", Samples((), (), (), labels=False), ChosenSteps()
    fitting = Fitting("", curved=False, fits_outputs=True)

    def __init__(self, parameters):
        self.parameters = parameters


class Native:
    """Stands for the C of a model, which is never sure of a covariance: NumPy decomposes."""

    def covariance(self, triangle, scale, least, covariance):
        return False


class Formula:
    """Stands for a compiled model: a function of parameters and X, shape (N, K), and its derivative (N, K, P)."""

    def __init__(self, name, parameters, function, derivative, inputs=("x",), outputs=("output",), dtype=np.float64):
        shapes = parameters if isinstance(parameters, dict) else dict.fromkeys(parameters, ())
        self.name, self.dtype, self.epsilon = name, np.dtype(dtype), float(np.finfo(dtype).eps)
        self.facts = Facts(tuple(Parameter(p, shape, "constant", 1.0, True) for p, shape in shapes.items()))
        self.bits = self.facts.bits
        self.function, self.derivative, self.native = function, derivative, Native()
        self.input_names, self.output_names, self.target_names = inputs, outputs, tuple("y" for _ in outputs)

    def predict(self, parameters, X):
        return self.function(np.asarray(parameters, float), X)

    def jacobian(self, parameters, X):
        return self.derivative(np.asarray(parameters, float), X)


def fitted(model, X, Y, start, sigma=None, fixed=(), bounds=None, end=None, loss="linear", scale=1.0, **options):
    """The FitResult of a fit by ``scipy.optimize.least_squares``; ``end`` are parameters to take instead."""
    start, free = np.asarray(start, float), np.ones(len(start), bool)
    free[list(fixed)] = False
    Y = np.asarray(Y, float).reshape(len(Y), -1)
    spread = (
        np.ones_like(Y)
        if sigma is None
        else np.ones_like(Y) * (np.reshape(sigma, (-1, 1)) if np.ndim(sigma) == 1 else sigma)
    )
    low, high = bounds or (np.full(len(start), -np.inf), np.full(len(start), np.inf))
    used = ~np.isnan(Y)

    def refit(held, begin):
        return minimized(held, begin)[:2]

    def minimized(held, begin):
        from scipy.optimize import least_squares

        point = np.array(begin, float)
        point[list(held)] = list(held.values())
        moving = np.array([k not in held for k in range(len(point))])

        def residuals(values):
            point[moving] = values
            return ((model.predict(point, X) - Y) / spread)[used]

        def slopes(values):
            point[moving] = values
            return (model.jacobian(point, X)[:, :, moving] / spread[:, :, None])[used]

        if not moving.any():
            return 0.5 * np.sum(residuals(point[moving]) ** 2), point, np.zeros((0, 0))
        ended = least_squares(
            residuals,
            np.clip(point[moving], low[moving], high[moving]),
            slopes,
            x_scale="jac",
            bounds=(low[moving], high[moving]),
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            loss=loss,
            f_scale=scale,
        )
        point[moving] = ended.x
        return ended.cost, point, np.linalg.qr(ended.jac, mode="r")

    cost, parameters, triangle = minimized({int(k): start[k] for k in fixed}, start if end is None else end)
    if end is not None:
        parameters = np.asarray(end, float)
        rows = (model.jacobian(parameters, X)[:, :, free] / spread[:, :, None])[used]
        triangle = np.linalg.qr(rows, mode="r")
    residuals = (model.predict(parameters, X) - Y) / spread
    chi2 = np.nansum(residuals**2)
    padded = np.zeros((free.sum(), free.sum()))
    padded[: len(triangle)] = triangle  # with fewer data than parameters
    solution = solution_of(
        parameters,
        residuals,
        padded,
        np.isclose(parameters, low) | np.isclose(parameters, high),
        0.5 * chi2 if end is not None else cost,
        chi2,
        int(used.sum()),
        "cost",
        7,
        9,
        None,
        (),
    )
    kept = CheckedFitOptions.of(bounds=bounds, loss=loss, f_scale=scale, **options)
    problem = SimpleNamespace(model=model, X=X, Y=Y, sigma=sigma, options=kept)
    return FitResult(problem, solution, start, ~free, refit)


def decay(**options):
    """y = a*exp(-b*x) + c."""

    def function(p, X):
        return p[0] * np.exp(-p[1] * X) + p[2]

    def derivative(p, X):
        e = np.exp(-p[1] * X[:, 0])
        return np.stack([e, -p[0] * X[:, 0] * e, np.ones_like(e)], axis=1)[:, None]

    return Formula("decay", ("a", "b", "c"), function, derivative, **options)


def line():
    """y = a + b*x."""

    def derivative(p, X):
        return np.concatenate([np.ones_like(X), X], axis=1)[:, None]

    return Formula("line", ("a", "b"), lambda p, X: p[0] + p[1] * X, derivative)


def decay_data(seed=0, count=20, noise=0.05):
    """X (N, 1), and Y (N,) around 2.5*exp(-1.3*x) + 0.5."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 4, count)
    return x[:, None], 2.5 * np.exp(-1.3 * x) + 0.5 + noise * rng.normal(size=count)

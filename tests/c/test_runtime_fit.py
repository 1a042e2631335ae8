"""A single fit in C, against SciPy; and the triangles it is made of, against NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import least_squares

from tests.support.fits import FORMULAS, option, problems

COST, STEP, GRADIENT, MAX_ITERATIONS, STALLED, NOT_FINITE, NO_DATA, INTERRUPTED = range(8)
CONVERGED = (COST, STEP, GRADIENT)
LINEAR, HUBER, SOFT_L1, CAUCHY = range(4)
LOSSES = {"huber": HUBER, "soft_l1": SOFT_L1, "cauchy": CAUCHY}
TOLERANCE = 1e-8


def fit(
    library,
    x,
    y,
    start,
    *,
    sigma=None,
    bounds=None,
    fixed=None,
    robust=LINEAR,
    robust_scale=1.0,
    tolerance=TOLERANCE,
    max_iterations=1000,
    questions=0,
):
    """Fits y (N,) or (N, K); sigma is a number, or has the shape (N,) or (N, K)."""
    start, sigma = library.array(start), None if sigma is None else library.array(sigma)
    y = library.array(y)
    count = library.call("parameters")
    free = count if fixed is None else count - np.count_nonzero(fixed)
    lower, upper = (None, None) if bounds is None else (library.array(np.broadcast_to(b, count)) for b in bounds)
    sigmas = 0 if sigma is None or sigma.ndim == 0 else sigma[0].size
    result = SimpleNamespace(
        parameters=start, residuals=np.zeros(y.shape), triangle=np.zeros((free, free)), active=np.ones(count, np.int8)
    )
    numbers, counts = np.zeros(3), np.zeros(5, np.uint64)
    result.status = library.call(
        "fit",
        library.array(x),
        y,
        len(y),
        sigma,
        sigmas,
        lower,
        upper,
        None if fixed is None else np.array(fixed, np.uint8),
        robust,
        robust_scale,
        np.full(3, tolerance),
        max_iterations,
        questions,
        np.full(library.call("bytes"), 255, np.uint8),
        start,
        result.residuals,
        result.triangle,
        result.active,
        numbers,
        counts,
    )
    result.cost, result.chi2, result.gradient = numbers
    result.used, result.free, result.rank, result.iterations, result.evaluations = map(int, counts)
    return result


def expected(name, x, y, start, *, sigma=1.0, bounds=(-np.inf, np.inf), robust="linear", robust_scale=1.0):
    """What SciPy finds, to nearly all digits: parameters, cost and derivatives."""
    y = y.reshape(len(y), -1)
    sigma = np.broadcast_to(np.reshape(sigma, (-1, 1) if np.ndim(sigma) == 1 else np.shape(sigma)), y.shape)
    known = ~np.isnan(y)

    def residuals(p):
        return ((FORMULAS[name](p, x).reshape(y.shape) - y) / sigma)[known]

    inside = np.clip(start, *(np.nextafter(bound, other) for bound, other in zip(bounds, bounds[::-1], strict=True)))
    return least_squares(
        residuals,
        inside,
        jac="3-point",
        bounds=bounds,
        loss=robust,
        f_scale=robust_scale,
        x_scale="jac",
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
        max_nfev=1000,
    )


def errors(optimum, free=slice(None)):
    """The standard errors of SciPy's solution, but for the variance of the data."""
    jacobian = optimum.jac[:, free]
    return np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)) * 2 * optimum.cost / len(optimum.fun))


def of_error(library):
    """By which part of its standard error a parameter may be off."""
    return 1e-5 if library.bits == 64 else 2e-2


def check(library, result, best, free=slice(None)):
    """The solution is SciPy's."""
    assert result.status in CONVERGED
    assert result.cost == pytest.approx(best.cost, rel=100 * library.eps)
    assert (abs(result.parameters - best.x)[free] <= of_error(library) * errors(best, free)).all()


@pytest.mark.parametrize("name", ["decay", "gaussian", "logistic", "spiral", "polynomial"])
def test_against_scipy(runtime, name):
    """A fit ends where SciPy's does, with the triangle of the derivatives there, and the residuals."""
    library = runtime("fit", option(name))
    x, y, starts = problems(library, name, 5)
    for m in range(5):
        fitted, best = fit(library, x, y[m], starts[m]), expected(name, x, y[m], starts[m])
        check(library, fitted, best)
        assert fitted.residuals.ravel() == pytest.approx(best.fun, abs=1e-3 if library.bits == 32 else 1e-6)
        assert fitted.chi2 == pytest.approx((fitted.residuals**2).sum(), rel=20 * library.eps)
        products, scale = best.jac.T @ best.jac, np.linalg.norm(best.jac, axis=0)
        by_scale = fitted.triangle.T @ fitted.triangle / scale[:, None] / scale
        assert by_scale == pytest.approx(products / scale[:, None] / scale, abs=1e-5 if library.bits == 64 else 5e-3)
        assert not np.tril(fitted.triangle, -1).any()
        assert (fitted.used, fitted.free, fitted.rank) == (y[m].size, best.x.size, best.x.size)


def test_last_digits(runtime):
    """Where residuals remain, and convergence is linear, a fit goes on to all digits that its numbers have."""
    library = runtime("fit", option("decay"))
    x = np.linspace(0, 4, 20)[:, None]
    y = np.array([5, 1, 4, 0, 3, 3, 1, 2, 2, 0, 1, 1, 2, 0, 1, 2, 0, 1, 2, 1.0])
    fitted = fit(library, x, y, [3, 1, 1])
    (a, b, c), x = fitted.parameters.astype(np.longdouble), x[:, 0].astype(np.longdouble)
    fall = np.exp(-b * x)
    residuals, jacobian = a * fall + c - y, np.stack([fall, -a * x * fall, np.ones_like(x)], 1)
    cosines = (
        jacobian.T
        @ residuals
        / np.linalg.norm(jacobian.astype(float), axis=0)
        / np.linalg.norm(residuals.astype(float))
    )
    assert (abs(cosines) < 20 * library.eps).all()
    assert fitted.gradient < 20 * library.eps


@pytest.mark.parametrize("kind", ["one", "samples", "outputs"])
def test_sigma_and_missing_targets(runtime, kind):
    """Residuals count in units of sigma: of one for all, of each sample, of each output. What is missing does not."""
    library = runtime("fit", option("spiral"))
    x, y, starts = problems(library, "spiral", 1)
    sigma = np.random.default_rng(0).uniform(0.5, 2, size=y[0].shape)
    sigma = {"one": 0.25, "samples": sigma[:, 0], "outputs": sigma}[kind]
    y[0, [1, 4, 4], [0, 0, 1]] = np.nan
    sigma = library.array(sigma).astype(float)
    fitted = fit(library, x, y[0], starts[0], sigma=sigma)
    check(library, fitted, expected("spiral", x, y[0], starts[0], sigma=sigma))
    assert fitted.used == y[0].size - 3
    assert np.array_equal(np.isnan(fitted.residuals), np.isnan(y[0]))


@pytest.mark.parametrize("robust", LOSSES)
def test_robust_losses(runtime, robust):
    """Outliers count as they do in SciPy."""
    library = runtime("fit", option("gaussian"))
    x, y, starts = problems(library, "gaussian", 3)
    y[:, [3, 17]] += 20
    y = library.array(y).astype(float)
    for m in range(3):
        scale = 0.5
        fitted = fit(library, x, y[m], starts[m], robust=LOSSES[robust], robust_scale=scale)
        best = expected("gaussian", x, y[m], starts[m], robust=robust, robust_scale=scale)
        assert fitted.status in CONVERGED
        assert fitted.cost == pytest.approx(best.cost, rel=1e-6 if library.bits == 32 else 1e-12)
        assert fitted.parameters == pytest.approx(best.x, rel=1e-5 if library.bits == 64 else 5e-3)
        assert fitted.chi2 == pytest.approx((best.fun**2).sum(), rel=1e-5 if library.bits == 64 else 5e-3)


@pytest.mark.parametrize("name", ["decay", "gaussian", "logistic", "spiral"])
def test_bounds(runtime, name):
    """A fit ends at the optimum within its bounds, and says which of them hold: beyond them the cost falls."""
    library = runtime("fit", option(name))
    x, y, starts = problems(library, name, 12)
    rng = np.random.default_rng(0)
    at_bounds = 0
    for m in range(12):
        free = expected(name, x, y[m], starts[m]).x
        middle = free * rng.uniform(0.8, 1.2, size=free.shape)
        lower, upper = np.sort([middle, middle + rng.normal(size=free.shape) * abs(free) / 3], 0)
        lower[rng.random(free.size) < 0.4] = -np.inf
        upper[rng.random(free.size) < 0.4] = np.inf
        bounds = library.array(lower).astype(float), library.array(upper).astype(float)
        start = library.array(np.clip(starts[m], *bounds)).astype(float)
        fitted, best = fit(library, x, y[m], start, bounds=bounds), expected(name, x, y[m], start, bounds=bounds)
        assert fitted.status in CONVERGED
        assert fitted.cost <= best.cost * (1 + (1e-10 if library.bits == 64 else 1e-5))
        assert (fitted.parameters >= bounds[0]).all()
        assert (fitted.parameters <= bounds[1]).all()
        assert np.array_equal(fitted.active, (fitted.parameters == bounds[1]) * 1 - (fitted.parameters == bounds[0]))
        gradient = best.jac.T @ best.fun / np.linalg.norm(best.jac, axis=0) / np.linalg.norm(best.fun)
        sure = abs(gradient) > 1e-3
        assert np.array_equal(fitted.active[sure], -np.sign(gradient[sure]))
        at_bounds += np.count_nonzero(fitted.active)
    assert at_bounds > 10


def test_fixed_parameters(runtime):
    """Fixed parameters stay as they are, and the others are the best with them."""
    library = runtime("fit", option("gaussian"))
    x, y, starts = problems(library, "gaussian", 1)
    fitted = fit(library, x, y[0], starts[0], fixed=[0, 1, 0, 0, 1])
    kept, free = [1, 4], [0, 2, 3]
    around = starts[0].copy()
    around[kept] += 1e-9
    bounds = np.where([0, 1, 0, 0, 1], starts[0], -np.inf), np.where([0, 1, 0, 0, 1], around, np.inf)
    best = expected("gaussian", x, y[0], starts[0], bounds=bounds)
    assert np.array_equal(fitted.parameters[kept], starts[0][kept])
    assert fitted.parameters[free] == pytest.approx(best.x[free], rel=1e-5 if library.bits == 64 else 1e-3)
    assert (fitted.free, fitted.rank, fitted.triangle.shape) == (3, 3, (3, 3))
    whole = fit(library, x, y[0], starts[0], fixed=[1] * 5)
    assert np.array_equal(whole.parameters, starts[0])
    assert whole.status in CONVERGED


def test_undetermined_parameters(runtime):
    """Of two parameters that count only as a product, the rank says that one is not determined; the cost is the least
    there is."""
    library = runtime("fit", option("product"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1))
    y = 3 * x[:, 0] - 1 + 0.1 * rng.normal(size=30)
    fitted = fit(library, library.array(x), y, [1, 1, 0])
    line = np.polynomial.Polynomial.fit(x[:, 0], y, 1).convert().coef
    assert fitted.status in CONVERGED
    assert (fitted.free, fitted.rank) == (3, 2)
    assert fitted.parameters[0] * fitted.parameters[1] == pytest.approx(
        line[1], rel=1e-3 if library.bits == 32 else 1e-7
    )
    assert fitted.parameters[2] == pytest.approx(line[0], rel=1e-3 if library.bits == 32 else 1e-7)
    assert (abs(fitted.parameters) < 4).all()


def test_many_columns(runtime):
    """A linear problem of many parameters is solved as NumPy solves it, also where the samples are many tiles."""
    library = runtime("fit", option("linear"))
    rng = np.random.default_rng(0)
    for samples in (46, 100, 1000):
        x = library.array(rng.normal(size=(samples, 45))).astype(float)
        y = library.array(x @ np.linspace(-1, 1, 45) + rng.normal(size=samples)).astype(float)
        fitted = fit(library, x, y, np.ones(45))
        best = np.linalg.lstsq(x, y, rcond=None)[0]
        assert fitted.status in CONVERGED
        assert fitted.parameters == pytest.approx(best, abs=1e-10 if library.bits == 64 else 1e-2)
        assert fitted.rank == 45


def test_fewer_data_than_parameters(runtime):
    """Fewer data than parameters are met, and the rank is that of the data."""
    library = runtime("fit", option("linear"))
    rng = np.random.default_rng(0)
    x = library.array(rng.normal(size=(20, 45))).astype(float)
    y = library.array(rng.normal(size=20)).astype(float)
    fitted = fit(library, x, y, np.zeros(45) + 0.1)
    assert fitted.status in (*CONVERGED, MAX_ITERATIONS)
    assert fitted.rank == 20
    assert fitted.chi2 < 1e-9
    assert np.isfinite(fitted.parameters).all()


def test_trials_that_are_not_finite(runtime):
    """A step to where the outputs overflow is not taken, but a shorter one."""
    library = runtime("fit", option("decay"))
    x = np.linspace(0, 200, 30)[:, None]
    y = library.array(2 * np.exp(-0.02 * x[:, 0]) + 1).astype(float)
    fitted = fit(library, x, y, [1, 10, 0])
    assert np.isfinite(fitted.parameters).all()
    assert fitted.status != NOT_FINITE
    fitted = fit(library, x, y, [3, 0.3, 0])
    assert fitted.parameters == pytest.approx([2, 0.02, 1], rel=1e-3)


def test_endings(runtime):
    """A fit says why it ended, and keeps the best parameters it had."""
    library = runtime("fit", option("decay"))
    x, y, starts = problems(library, "decay", 1)
    bad = fit(library, x, y[0], [1, -1e5, 0])
    assert bad.status == NOT_FINITE
    assert np.array_equal(bad.parameters, library.array([1, -1e5, 0]))
    nothing = fit(library, x, np.full(20, np.nan), starts[0])
    assert (nothing.status, nothing.used) == (NO_DATA, 0)
    assert np.array_equal(nothing.parameters, library.array(starts[0]))
    first = fit(library, x, y[0], starts[0], max_iterations=1)
    assert (first.status, first.iterations, first.evaluations) == (MAX_ITERATIONS, 1, 2)
    whole = fit(library, x, y[0], starts[0])
    assert whole.cost < first.cost
    exact = fit(library, x, FORMULAS["decay"](np.array([1, 1, 0.0]), x) * 0, [0, 1, 0])
    assert (exact.status, exact.cost, exact.iterations) == (GRADIENT, 0, 0)


def test_interruptions(runtime):
    """A fit that is interrupted gives the parameters of the last step that was taken."""
    library = runtime("fit", option("decay"))
    x, y, starts = problems(library, "decay", 1)
    x, y = np.tile(x, (4, 1)), np.tile(y[0], 4)
    whole = fit(library, x, y, starts[0])
    costs = []
    for questions in range(1, 1000):
        fitted = fit(library, x, y, starts[0], questions=questions)
        if fitted.status != INTERRUPTED:
            break
        costs.append(fitted.cost)
    assert len(costs) > 3 * whole.evaluations - 3
    begun = [cost for cost in costs if np.isfinite(cost) and cost > 0]
    assert fitted.cost == whole.cost
    assert min(begun) >= whole.cost * (1 - 1e-6)
    assert np.array_equal(fitted.parameters, whole.parameters)


@pytest.mark.parametrize("n", [1, 2, 7, 11, 12, 13, 20, 28, 45])
def test_triangle(runtime, n):
    """The triangle of rows that are folded in some at a time is that of NumPy's QR decomposition of all, with the same
    right-hand side: products agree, and the solution."""
    library = runtime("fit", option("linear"))
    rng = np.random.default_rng(n)
    work = np.full(library.call("bytes"), 255, np.uint8)
    for samples, at_once in ((60, 60), (61, 7), (200, 33), (64, 64)):
        rows = rng.normal(size=(n + 1, samples)) * np.logspace(-3, 3, n + 1)[:, None]
        triangle = np.zeros((n, n + 1))
        library.call("fold_rows", n, samples, at_once, rows, work, triangle)
        assert not np.tril(triangle[:, :n], -1).any()
        lengths = np.linalg.norm(rows, axis=1)
        products = (rows @ rows.T) / lengths[:, None] / lengths
        scaled = triangle / lengths
        assert (scaled.T @ scaled)[:n] == pytest.approx(products[:n], abs=1e-14)


@pytest.mark.parametrize("n", [1, 2, 7, 13, 45])
def test_damped_steps(runtime, n):
    """A damped step is the solution of the rows with those of the damping after them; without damping, where columns
    depend on others, one of them that has no larger residual."""
    library = runtime("fit", option("linear"))
    rng = np.random.default_rng(n)
    work, step = np.full(library.call("bytes"), 255, np.uint8), np.zeros(n)
    triangle = np.triu(rng.normal(size=(n, n + 1)) + 3 * np.eye(n, n + 1))
    scales = np.logspace(-1, 1, n)
    side = triangle[:, n].copy()
    for damping in (0.0, 1e-6, 0.5, 1e4):
        assert library.call("damped", n, triangle, scales, damping, work, step) == n
        rows = np.vstack([triangle[:, :n], np.sqrt(damping) * np.diag(scales)])
        best = np.linalg.lstsq(rows, -np.concatenate([side, np.zeros(n)]), rcond=None)[0]
        assert step == pytest.approx(best, rel=1e-8, abs=1e-10 * abs(best).max())
    if n > 2:
        triangle[:, 1] = 2 * triangle[:, 0]
        triangle[1:, n - 1] = 0
        triangle[0, n - 1] = 1
        independent = np.linalg.matrix_rank(triangle[:, :n])
        assert library.call("damped", n, triangle, scales, 0.0, work, step) == independent
        best = np.linalg.lstsq(triangle[:, :n], -side, rcond=None)[0]
        residuals = triangle[:, :n] @ step + side, triangle[:, :n] @ best + side
        assert np.linalg.norm(residuals[0]) == pytest.approx(np.linalg.norm(residuals[1]), rel=1e-10, abs=1e-12)

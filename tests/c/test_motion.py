"""Compiled equations of motion: solutions, derivatives, trainings and fits against NumPy, mpmath and SciPy."""

import mpmath
import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares, minimize

import nncodegen as nn
from nncodegen.compiler.pipeline import evaluated_module
from tests.support.built import built
from tests.support.motion import VALUES, lotka_volterra, lotka_volterra_model, trajectory
from tests.support.plain import loaded

pytestmark = pytest.mark.usefixtures("vector_compiler")
START = np.array([*VALUES.values()])
STEPS, TIMES = 4, np.linspace(0, 8, 21)
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def module():
    """Lotka and Volterra's equations."""
    return built(lotka_volterra_model(steps=STEPS))


def test_solutions(module):
    """Those of many samples, each with times and steps of its own, are those of a loop in NumPy."""
    X = np.sort(RNG.uniform(0, 20, (9, 21)), axis=1)
    predicted = module.predict(START, X).reshape(9, 2, 21)
    for row, times in zip(predicted, X, strict=True):
        expected = np.array(trajectory(lotka_volterra(*START[:4]), START[4:], times, "tsit5", STEPS)).T
        np.testing.assert_allclose(row, expected, rtol=1e-13 * 10)


def test_steps_reach_the_solution(module):
    """With some steps from time to time, the error is below 1e-5 of the largest value."""
    exact = solve_ivp(lotka_volterra(*START[:4]), (0, 8), START[4:], "DOP853", TIMES, rtol=1e-13, atol=1e-13).y
    predicted = module.predict(START, TIMES[None]).reshape(2, 21)
    assert abs(predicted - exact).max() < 1e-5 * exact.max()


def test_derivatives_against_many_digits(module):
    """The Jacobian and the gradient are those of the steps, by differences with 50 digits."""
    Y = RNG.normal(10, 3, (1, 42))
    jacobian = module.jacobian(START, TIMES[None])[0]
    with mpmath.workdps(50):
        h = mpmath.mpf(10) ** -20

        def at(values):
            values = [mpmath.mpf(float(value)) if not isinstance(value, mpmath.mpf) else value for value in values]
            states = trajectory(
                lotka_volterra(*values[:4]), values[4:], [mpmath.mpf(float(t)) for t in TIMES], "tsit5", STEPS
            )
            return [state[0] for state in states] + [state[1] for state in states]

        columns = []
        for p in range(6):
            moved = [
                [mpmath.mpf(float(x)) + (side * h if k == p else 0) for k, x in enumerate(START)] for side in (1, -1)
            ]
            columns.append([float((a - b) / (2 * h)) for a, b in zip(*map(at, moved), strict=True)])
    exact = np.array(columns).T
    np.testing.assert_allclose(jacobian, exact, atol=1e-11 * abs(exact).max())
    residuals = module.predict(START, TIMES[None]) - Y
    _, gradient = module.loss_and_gradient(START, TIMES[None], Y)
    np.testing.assert_allclose(gradient, 2 / 42 * residuals[0] @ exact, rtol=1e-10)


def test_a_fit_with_missing_values(module):
    """Parameters, errors and cost are those of SciPy with the same observations, of which some are missing."""
    exact = module.predict(START, TIMES[None])
    Y = exact + RNG.normal(0, 0.5, (1, 42))
    Y[0, RNG.choice(42, 9, replace=False)] = np.nan
    known = ~np.isnan(Y[0])

    def residuals(p):
        solved = solve_ivp(lotka_volterra(*p[:4]), (0, 8), p[4:], "LSODA", TIMES, rtol=1e-10, atol=1e-10).y
        return (solved.reshape(-1) - Y[0])[known]

    expected = least_squares(residuals, START * 1.05, x_scale=START, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    result = module.fit(TIMES[None], Y, p0=START * 1.05)
    assert result.converged
    np.testing.assert_allclose(result.parameters, expected.x, rtol=1e-4)
    assert result.chi2 == pytest.approx(2 * expected.cost, rel=1e-5)
    covariance = np.linalg.inv(expected.jac.T @ expected.jac) * 2 * expected.cost / (known.sum() - 6)
    np.testing.assert_allclose(result.standard_errors, np.sqrt(np.diag(covariance)), rtol=1e-2)


def test_many_fits(module):
    """Each of several fits is the fit of its data alone."""
    exact = module.predict(START, TIMES[None])
    Y = exact + RNG.normal(0, 0.3, (3, 1, 42))
    many = module.fit_many(TIMES[None], Y, p0=START)
    for m in range(3):
        alone = module.fit(TIMES[None], Y[m], p0=START).parameters
        np.testing.assert_allclose(many.parameters[m], alone, rtol=1e-7)


def test_a_training():
    """A training lowers the loss, with trajectories in batches."""
    model = nn.Dynamics("u' = -k*u", {"u": "x"}, {"k": 1}, times=4, inputs="x", name="decay")
    module = built(model)
    X = np.hstack([np.tile(np.linspace(0, 2, 4), (50, 1)), RNG.uniform(1, 2, (50, 1))])
    Y = X[:, 4:] * np.exp(-0.5 * X[:, :4])
    result = module.train(X, Y, epochs=60, batch_size=10, optimizer="adam", learning_rate=0.05)
    assert result.parameters[0] == pytest.approx(0.5, abs=0.01)


def test_errors_of_data(module):
    """Times that go back and values that are not finite are errors with their position; a blow-up has a status."""
    with pytest.raises(ValueError, match=r"X\[0, 1\] is 7.6, after 8: t are times, which do not go back"):
        module.predict(START, TIMES[None, ::-1])
    X = TIMES[None].copy()
    X[0, 3] = np.nan
    for function in (module.predict, lambda p, x: module.fit(x, np.ones((1, 42)))):
        with pytest.raises(ValueError, match=r"finite|nan"):
            function(START, X)
    with pytest.warns(RuntimeWarning, match="finite"):
        fitted = built(blow_up()).fit(np.linspace(0, 3, 5)[None], np.ones((1, 5)), p0=[1.0])
    assert not fitted.converged
    assert "finite" in fitted.message


def test_many_fits_refuse_times_that_go_back():
    """The error names the fit and the place; what has no target may be anything."""
    module = built(nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, name="decay_many"))
    times = np.array([0.0, 1.0, 2.0])
    X = np.tile(times, (3, 2, 1))
    Y = np.exp(-0.7 * X)
    wrong = X.copy()
    wrong[1, 1] = times[::-1]
    message = r"the data of fit 1: X\[1, 1\] is 1, after 2: t are times, which do not go back"
    with pytest.raises(ValueError, match=message):
        module.fit_many(wrong, Y)
    with pytest.raises(ValueError, match=r"^X\[1, 1\] is 1, after 2"):
        module.fit_many(wrong[1], Y)
    expected = [module.fit(times[None], np.exp(-0.7 * times[None])).parameters[0]] * 3
    missing = Y.copy()
    missing[1, 1] = np.nan
    for options in ({"Y": missing}, {"Y": Y, "lengths": [2, 1, 2]}):
        fits = module.fit_many(wrong, **options)
        np.testing.assert_allclose(fits.parameters[:, 0], expected, rtol=1e-9)


def test_many_fits_refuse_indices_out_of_range():
    """An index that is no row of a table is an error, which names the fit and the place, before C reads there."""
    table = nn.Sequential([nn.Embedding(4, 2), nn.Flatten(), nn.Dense(1)], 1, "mse", name="indexed")
    module = built(table, fit=True)
    X, Y = np.tile(np.arange(4.0)[:, None], (3, 1, 1)), np.ones((3, 4, 1))
    X[2, 3] = 4
    with pytest.raises(ValueError, match=r"the data of fit 2: X\[3, 0\] is 4; .* whole numbers from 0 to 3"):
        module.fit_many(X, Y)
    with pytest.raises(ValueError, match=r"^X\[3, 0\] is 4; .* whole numbers from 0 to 3"):
        module.fit_many(X[2], Y)


def test_a_trajectory_that_blows_up_leaves_the_others_alone():
    """Values after a blow-up are not finite; the other samples are what they are alone."""
    module = built(blow_up())
    X = np.vstack([np.linspace(0, 0.2, 5), np.linspace(0, 3, 5), np.linspace(0, 0.1, 5)])
    predicted = module.predict([1.0], X)
    assert not np.isfinite(predicted[1, -1])
    for row in (0, 2):
        np.testing.assert_array_equal(predicted[row], module.predict([1.0], X[[row, row, row]])[0])


def blow_up():
    """An equation whose solution is infinite after a finite time."""
    return nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, times=5, steps=20, name="blow_up")


def test_autoregression():
    """AR(2), fitted to a series, is the regression on earlier values."""
    y = np.zeros(200)
    for k in range(2, 200):
        y[k] = 0.2 + 0.5 * y[k - 1] - 0.3 * y[k - 2] + RNG.normal()
    model = nn.Dynamics(
        "ahead = c + p*before(x) + q*before(x, 2)",
        {"x": 0},
        {"c": 0, "p": 0, "q": 0},
        times=200,
        columns="x",
        name="ar",
    )
    result = built(model).fit(y[None], y[None])
    before = np.column_stack([np.ones(200), np.r_[0, y[:-1]], np.r_[0, 0, y[:-2]]])
    np.testing.assert_allclose(result.parameters, np.linalg.lstsq(before, y, rcond=None)[0], rtol=1e-9)


def test_garch():
    """GARCH(1, 1), fitted by its likelihood as a function of log(variance), against SciPy's minimum."""
    h, r = 1.0, []
    for _ in range(400):
        r.append(RNG.normal() * np.sqrt(h))
        h = 0.1 + 0.15 * r[-1] ** 2 + 0.75 * h
    r = np.array(r)
    model = nn.Dynamics(
        "s2 = omega + alpha*before(r)**2 + beta*before(s2)",
        {"s2": 1, "r": 1},
        {"omega": 0.2, "alpha": 0.1, "beta": 0.7},
        times=400,
        columns="r",
        observed={"h": "log(s2)"},
        loss=lambda h, y: h + y * sympy.exp(-h),
        name="garch",
    )
    module = built(model)

    def loss(p):
        s2, before, total = 1.0, 1.0, 0.0
        for value in r:
            s2 = p[0] + p[1] * before**2 + p[2] * s2
            total += np.log(s2) + value**2 / s2
            before = value
        return total / 400

    start = np.array([0.2, 0.1, 0.7])
    assert module.loss(start, r[None], r[None] ** 2) == pytest.approx(loss(start), rel=1e-13)
    expected = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000})
    result = module.fit(r[None], r[None] ** 2, p0=start)
    assert result.converged
    np.testing.assert_allclose(result.parameters, expected.x, rtol=1e-5)


def test_plain_c(tmp_path):
    """Exported C gives the solutions, and does not grow with the number of steps."""
    models = {name: (lotka_volterra_model(steps=steps, times=4), {}) for name, steps in (("few", 2), ("many", 20))}
    loaded_model = loaded(tmp_path, models)
    X = np.vstack([TIMES[:4], TIMES[:4] / 2])
    for name, steps in (("few", 2), ("many", 20)):
        for row, times in zip(loaded_model[name].predict(START, X), X, strict=True):
            expected = np.array(trajectory(lotka_volterra(*START[:4]), START[4:], times, "tsit5", steps)).T
            np.testing.assert_allclose(row, expected.reshape(-1), rtol=1e-12)
    few, many = (len((tmp_path / name / f"{name}.c").read_text()) for name in loaded_model)
    assert abs(many - few) < 500


@pytest.mark.thorough
def test_certificates():
    """A certificate compares solutions, gradients, rows of fits and Hessians with exact ones."""
    model = nn.Dynamics(
        "u'' = -k*u + sin(t) + f", {"u": 1, "u'": "p"}, {"k": 2, "p": 0.5}, times=4, columns="f", steps=2, method="rk4"
    )
    assert nn.certify(model, points=3)


@pytest.mark.filterwarnings("ignore:.*for a test:RuntimeWarning")
def test_without_a_compiler(module):
    """NumPy evaluates solutions and Jacobians as the compiled module does."""
    slow = evaluated_module(lotka_volterra_model(steps=STEPS, name="slow"), reason="for a test")
    X = np.vstack([TIMES, TIMES / 2])
    np.testing.assert_allclose(slow.predict(START, X), module.predict(START, X), rtol=1e-11)
    np.testing.assert_allclose(slow.jacobian(START, X), module.jacobian(START, X), rtol=1e-8, atol=1e-9)

"""Compiled fits of networks in equations whose steps are chosen: a reverse of the steps for each observation."""

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import nncodegen as nn
from nncodegen.compiler.schedule import rates
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(11)
TIMES = 7
X = np.hstack([np.sort(RNG.uniform(0, 3, (4, TIMES)), axis=1), RNG.normal(size=(4, 1 + TIMES))])
PARAMETERS = np.r_[0.8, 0.4, RNG.normal(size=16)]


def moved(name, **options):
    """Two states with a network of three inputs, a control and jumps; a parameter is an initial value."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=3)
    return nn.Dynamics(
        ["u' = v - c*u", "v' = force(u, v, w) - b*u"],
        {"u": "v0", "v": 0},
        {"c": 0.8, "v0": 0.4},
        inputs="b",
        columns="w",
        jumps={"v": "v + c*w"},
        times=TIMES,
        networks={"force": network},
        observed={"u": "u", "f": "force(u, v, t)"},
        name=name,
        **options,
    )


LOOSE = moved("moved_loose", rtol=1e-3, atol=1e-4)
TIGHT = moved("moved_tight", rtol=1e-12, atol=1e-12)

LINEAR = nn.Dynamics(
    ["u' = v", "v' = f(u, v)"],
    {"u": "u0", "v": 0},
    inputs="u0",
    times=TIMES,
    rtol=1e-10,
    atol=1e-12,
    observed="u",
    networks={"f": nn.Sequential([nn.Dense(1, "tanh"), nn.Dense(1)], inputs=2)},
    name="fitted_force",
)
TRUTH = np.array([-0.8, -0.3, 0.1, 1.5, 0.2])


def released(count=9):
    """Times and initial values of the oscillator."""
    return np.hstack([np.sort(RNG.uniform(0, 4, (count, TIMES)), axis=1), np.linspace(-2, 2, count)[:, None]])


def path_of(parameters, row):
    """The oscillator by SciPy."""
    a, b, c, d, e = parameters

    def rate(t, y):
        return [y[1], d * np.tanh(a * y[0] + b * y[1] + c) + e]

    begin, end = row[0], row[TIMES - 1]
    return solve_ivp(rate, (begin, end), [row[TIMES], 0], "DOP853", row[:TIMES], rtol=1e-11, atol=1e-12).y[0]


def test_jacobians_against_differences():
    """A column is the extrapolated central difference of predictions, both at a tolerance of 1e-12."""
    module = built(TIGHT)
    slopes = module.jacobian(PARAMETERS, X)
    for p, h in enumerate(1e-3 * np.eye(len(PARAMETERS))):
        near, far = (
            (module.predict(PARAMETERS + k * h, X) - module.predict(PARAMETERS - k * h, X)) / (2e-3 * k) for k in (1, 2)
        )
        expected = (4 * near - far) / 3
        assert np.linalg.norm(slopes[:, :, p] - expected) < 1e-8 * np.linalg.norm(expected)


@pytest.mark.parametrize(("room", "levels"), [(1, 6), pytest.param(1200, 3, marks=pytest.mark.thorough)])
def test_jacobians_do_not_depend_on_how_many_steps_are_kept(room, levels, monkeypatch):
    """The rows of all observations, for which one solution is reversed over and over, have the same bits."""
    module, model = built(TIGHT), moved(f"moved_{levels}", rtol=1e-12, atol=1e-12, max_steps=4000)
    expected = module.jacobian(PARAMETERS, X)
    monkeypatch.setattr(rates, "MOST_OF_STEPS", room)
    other = nn.build(model)
    (chosen,) = nn.compile_model(model, until="schedule")["schedule"].rates
    assert chosen.levels == levels
    np.testing.assert_array_equal(other.jacobian(PARAMETERS, X), expected)


@pytest.mark.parametrize("rtol", [pytest.param(1e-3, marks=pytest.mark.thorough), 1e-13])
def test_rows_are_gradients_of_one_observation(rtol):
    """Each row of a long path without jumps is the gradient of a loss that reads this observation alone."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=2)
    model = nn.Dynamics(
        ["u' = v", "v' = f(u, v) - 4*u"],
        {"u": "u0", "v": 0},
        inputs="u0",
        times=TIMES,
        rtol=rtol,
        atol=rtol / 10,
        networks={"f": network},
        name=f"rows_{-round(np.log10(rtol))}",
    )
    module = built(model)
    rows = np.hstack([np.sort(RNG.uniform(0, 12, (3, TIMES)), axis=1), RNG.normal(size=(3, 1))])
    parameters = RNG.normal(size=module.parameter_count) / 3
    predicted, slopes = module.predict(parameters, rows), module.jacobian(parameters, rows)
    for n, row in enumerate(rows):
        for k in range(2 * TIMES):
            Y = predicted[n : n + 1].copy()
            Y[0, k] -= 1
            gradient = module.loss_and_gradient(parameters, row[None], Y)[1] * TIMES
            np.testing.assert_allclose(slopes[n, k], gradient, rtol=1e-9, atol=1e-9 * abs(slopes[n, k]).max())


@pytest.mark.parametrize(
    ("model", "precision", "close"), [(TIGHT, "float64", 1e-11), (LOOSE, "float32", 1e-4)], ids=["float64", "float32"]
)
def test_jacobians_have_the_gradient(model, precision, close):
    """The sum of residuals times their rows is the gradient of a training, which NumPy's reverse gives as well."""
    module = built(model, precision)
    residuals = RNG.normal(size=(4, 2 * TIMES))
    Y = module.predict(PARAMETERS, X) - residuals
    gradient = module.loss_and_gradient(PARAMETERS, X, Y)[1]
    summed = np.einsum("no,nop->p", residuals, module.jacobian(PARAMETERS, X)) * 2 / residuals.size
    np.testing.assert_allclose(summed, gradient, atol=close * abs(gradient).max())


def test_a_fit_and_its_standard_errors():
    """Parameters and their covariance are those that SciPy finds with solutions and differences of its own."""
    rows = released()
    seen = np.array([path_of(TRUTH, row) for row in rows]) + 0.01 * RNG.normal(size=(9, TIMES))
    fitted = built(LINEAR).fit(rows, seen, p0=TRUTH * 1.2)
    assert fitted.converged
    expected = least_squares(
        lambda p: (np.array([path_of(p, row) for row in rows]) - seen).ravel(),
        fitted.parameters,  # which would be left if they were no minimum
        "3-point",
        xtol=1e-12,
        ftol=1e-12,
    )
    np.testing.assert_allclose(fitted.parameters, expected.x, rtol=1e-5, atol=1e-5)
    covariance = np.linalg.inv(expected.jac.T @ expected.jac) * 2 * expected.cost / (seen.size - 5)
    np.testing.assert_allclose(fitted.standard_errors, np.sqrt(np.diag(covariance)), rtol=1e-3)


def test_many_fits_are_single_fits():
    """Each of many fits, with gaps of its own, has the bits of a fit alone; one that cannot begin leaves the others."""
    module, rows = built(LINEAR), released()
    seen = np.array([[path_of(TRUTH * f, row) for row in rows] for f in (1, 0.9, 1.1)])
    seen[1, 2, 3] = np.nan
    starts = np.tile(TRUTH * 1.1, (3, 1))
    starts[2, 3:] = 1e200
    with pytest.warns(RuntimeWarning):
        many = module.fit_many(rows, seen, p0=starts)
    for k in range(2):
        fitted = module.fit(rows, seen[k], p0=starts[k])
        assert fitted.converged
        np.testing.assert_array_equal(many.parameters[k], fitted.parameters)
    assert many.status[0] == many.status[1] == "converged" != many.status[2]


def test_a_loss_that_is_no_sum_of_squares():
    """The fit of a Poisson regression along trajectories ends where the gradient of the mean loss vanishes."""
    network = nn.Sequential([nn.Dense(1, "tanh"), nn.Dense(1)], inputs=1)
    model = nn.Dynamics(
        "u' = f(u)",
        {"u": "u0"},
        inputs="u0",
        times=TIMES,
        networks={"f": network},
        rtol=1e-8,
        loss=lambda h, count: sympy.exp(h) - count * h,
        name="counted",
    )
    module, rows = built(model), released(20)
    truth = np.array([1.0, -0.2, -1.5, 0.5])
    counts = np.random.default_rng(3).poisson(np.exp(module.predict(truth, rows)))
    start_gradient = module.loss_and_gradient(truth * 1.2, rows, counts)[1]
    fitted = module.fit(rows, counts, p0=truth * 1.2)
    assert fitted.converged
    gradient = module.loss_and_gradient(fitted.parameters, rows, counts)[1]
    assert np.linalg.norm(gradient) < 1e-4 * np.linalg.norm(start_gradient)


def test_more_weights_than_a_fit_takes():
    """They are refused, and the number is told."""
    wide = nn.Dynamics(
        "u' = f(u)",
        {"u": 1},
        times=3,
        name="wide_force",
        networks={"f": nn.Sequential([nn.Dense(1400, "tanh"), nn.Dense(1)], inputs=1)},
    )
    with pytest.raises(nn.ModelError, match="wide_force cannot be fitted: it has 4,201 parameters, more than"):
        nn.build(wide, fit=True)

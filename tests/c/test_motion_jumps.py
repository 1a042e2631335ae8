"""Compiled equations of motion whose states jump at known times: solutions, derivatives, trainings, fits, exports."""

import mpmath
import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built
from tests.support.motion import trajectory
from tests.support.plain import loaded
from tests.support.solutions import solved_in_parts

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(11)
START = np.array([1.5, 0.3, 0.1, 0.2, 0.6])
TIMES = np.array([0, 0.5, 1, 3, 3, 4, 6, 8, 12.0])
AMOUNTS = np.array([100, 0, 0, 50, 0, 0, 20, 0, 0.0])
X = np.r_[TIMES, AMOUNTS][None]


def two_compartments(**options):
    """A model of doses that are absorbed from a depot into the blood, and exchanged with tissue."""
    options = {"steps": 3, "name": "two_compartments", **options}
    return nn.Dynamics(
        ["depot' = -ka*depot", "blood' = ka*depot - (ke + k12)*blood + k21*tissue", "tissue' = k12*blood - k21*tissue"],
        initial={"depot": 0, "blood": 0, "tissue": 0},
        parameters=dict(zip(("ka", "ke", "k12", "k21", "share"), START, strict=True)),
        columns="amount",
        jumps={"depot": "depot + share*amount", "blood": "blood + (1 - share)*amount/10"},
        observed={"blood": "blood/20", "tissue": "tissue"},
        times=9,
        **options,
    )


def rates(p):
    ka, ke, k12, k21, _ = p
    return lambda t, u: [-ka * u[0], ka * u[0] - (ke + k12) * u[1] + k21 * u[2], k12 * u[1] - k21 * u[2]]


def jump(p, amounts=AMOUNTS):
    return lambda k, u: [u[0] + p[4] * amounts[k], u[1] + (1 - p[4]) * amounts[k] / 10, u[2]]


def by_loop(p, row=X[0]):
    """The outputs by a loop over steps, of numbers of any kind."""
    times = [*row[:9]]
    states = trajectory(rates(p), [0, 0, 0], times, "tsit5", 3, jump=jump(p, row[9:]))
    return np.array([state[1] / 20 for state in states] + [state[2] for state in states])


@pytest.fixture(scope="module")
def module():
    """The model with three steps from time to time."""
    return built(two_compartments())


def samples(count):
    """Times and amounts of several samples."""
    times = np.sort(RNG.uniform(0, 12, (count, 9)), axis=1)
    return np.hstack([times, RNG.uniform(0, 50, (count, 9)) * (RNG.uniform(size=(count, 9)) < 0.4)])


def test_solutions(module):
    """They are those of a loop over steps with jumps between, and near those of SciPy, begun again at each time."""
    data = samples(19)
    predicted = module.predict(START, data)
    for row, values in zip(data, predicted, strict=True):
        np.testing.assert_allclose(values, by_loop(START, row), rtol=1e-11, atol=1e-12)
    exact = solved_in_parts(lambda _, t, u: rates(START)(t, u), [0, 0, 0], TIMES, jump(START))
    predicted = module.predict(START, X).reshape(2, 9)
    np.testing.assert_allclose(predicted, [exact[:, 1] / 20, exact[:, 2]], atol=2e-2)


def test_derivatives_against_many_digits(module):
    """The Jacobian and the gradient are those of the steps and the jumps, by differences with 50 digits."""
    with mpmath.workdps(50):
        h = mpmath.mpf(10) ** -20
        row = [mpmath.mpf(float(number)) for number in X[0]]
        columns = []
        for p in range(5):
            sides = [
                by_loop(
                    [mpmath.mpf(float(parameter)) + (side * h if k == p else 0) for k, parameter in enumerate(START)],
                    row,
                )
                for side in (1, -1)
            ]
            columns.append([float(change / (2 * h)) for change in sides[0] - sides[1]])
    exact = np.array(columns).T
    np.testing.assert_allclose(module.jacobian(START, X)[0], exact, atol=1e-11 * abs(exact).max())
    Y = RNG.normal(1, 1, (1, 18))
    residuals = module.predict(START, X) - Y
    _, gradient = module.loss_and_gradient(START, X, Y)
    np.testing.assert_allclose(gradient, 2 / 18 * residuals[0] @ exact, rtol=1e-9, atol=1e-12)


def test_fits_with_times_that_are_only_those_of_doses(module):
    """Where a dose is given and nothing observed, the observation is NaN; each of several fits is that alone."""
    data = samples(6)
    Y = module.predict(START * 1.1, data) + RNG.normal(0, 0.01, (6, 18))
    doses = np.tile(data[:, 9:] > 0, 2)
    Y[doses] = np.nan
    fitted = module.fit(data, Y, p0=START)
    assert fitted.converged
    np.testing.assert_allclose(fitted.parameters, START * 1.1, rtol=0.1)
    kept = module.fit(data, np.where(doses, 1e6, Y), p0=START, sigma=np.where(doses, 1e9, 1.0))
    np.testing.assert_allclose(fitted.parameters, kept.parameters, rtol=1e-4)
    many = module.fit_many(data[:, None][:3], Y[:, None][:3], p0=START)
    for n in range(3):
        alone = module.fit(data[n : n + 1], Y[n : n + 1], p0=START)
        np.testing.assert_allclose(many.parameters[n], alone.parameters, rtol=1e-6)


def test_a_training(module):
    """A training finds the parameters of exact observations, of samples in batches."""
    data = samples(40)
    truth = START * [1.2, 0.8, 1, 1, 1.1]
    result = module.train(
        data, module.predict(truth, data), epochs=300, batch_size=20, optimizer="adam", learning_rate=0.01
    )
    error = module.predict(result.parameters, data) - module.predict(truth, data)
    before = module.predict(START, data) - module.predict(truth, data)
    assert np.sqrt((error**2).mean()) < 0.1 * np.sqrt((before**2).mean())


def test_plain_c(tmp_path):
    """Exported C has the jumps."""
    loaded_model = loaded(tmp_path, {"doses": (two_compartments(name="doses"), {})})["doses"]
    data = samples(3)
    for row, values in zip(data, loaded_model.predict(START, data), strict=True):
        np.testing.assert_allclose(values, by_loop(START, row), rtol=1e-11, atol=1e-12)


@pytest.mark.thorough
def test_certificates():
    """A certificate compares solutions, gradients, rows of fits and Hessians with jumps with exact ones."""
    model = nn.Dynamics(
        "u'' = -k*u",
        {"u": 1, "u'": "p"},
        {"k": 2, "p": 0.5},
        times=3,
        columns="f",
        steps=2,
        method="rk4",
        jumps={"u'": "u' + p*f", "u": "u*(1 - p/10)"},
        name="jumping",
    )
    assert nn.certify(model, points=3)

"""Compiled equations with columns and jumps and with steps that are chosen, against SciPy and NumPy."""

from functools import cache

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.schedule import layout
from tests.support.built import built, stage
from tests.support.dosing import START, TIMES, dosing, samples, solution

pytestmark = pytest.mark.usefixtures("vector_compiler")
RNG = np.random.default_rng(22)
ROWS = samples(37, RNG)
KINDS = {"tsit5": "linear", "rodas5p": "linear", "auto": "held"}
"""The methods, each with a course of columns."""


def exact_module(method):
    """The model at a tolerance of 1e-12."""
    return built(exact_model(method))


@cache
def exact_model(method):
    return dosing(method, KINDS[method], f"dosing_{method}", rtol=1e-12, atol=1e-13)


@cache
def exact(number, course, parameter=None, side=0):
    """The solution of a row by SciPy, where a parameter may be larger or smaller by a ten-thousandth of its start."""
    p = START.copy()
    if parameter is not None:
        p[parameter] *= 1 + 1e-4 * side
    return solution(p, ROWS[number], course)


@pytest.mark.parametrize("method", KINDS)
def test_solutions(method):
    """They are those of SciPy, begun again at each time, and those of NumPy, which takes the same steps."""
    predicted = exact_module(method).predict(START, ROWS).reshape(-1, 2, TIMES)
    for number, values in enumerate(predicted[:9]):
        expected = exact(number, KINDS[method])
        assert (abs(values - expected) <= 1e-10 * np.maximum(1, abs(expected).max(axis=1, keepdims=True))).all()
    program = stage(exact_model(method))
    same = nn.evaluate(program, START, ROWS[:1], results=program.outputs)
    same = np.stack([same[output.tensor] for output in program.outputs], axis=1)
    np.testing.assert_allclose(predicted[:1], same, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", KINDS)
def test_jacobian_against_differences(method):
    """At tolerances of 1e-12, columns are those of central differences of SciPy's solutions, to 1e-6 of their norms."""
    slopes = exact_module(method).jacobian(START, ROWS[:3])
    for row, slope in enumerate(slopes):
        for number, column in enumerate(slope.T):
            sides = [exact(row, KINDS[method], number, side).ravel() for side in (1, -1)]
            expected = (sides[0] - sides[1]) / (2e-4 * START[number])
            assert np.linalg.norm(column - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("method", KINDS)
def test_gradient(method):
    """It is the Jacobian times the residuals."""
    module, Y = exact_module(method), RNG.normal(1, 1, (37, 2 * TIMES))
    residuals = module.predict(START, ROWS) - Y
    loss, gradient = module.loss_and_gradient(START, ROWS, Y)
    expected = 2 * np.einsum("nk,nkp->p", residuals, module.jacobian(START, ROWS)) / Y.size
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)
    assert loss == pytest.approx((residuals**2).mean(), rel=1e-12)


def check_bits(module):
    """A sample has the same bits alone, among others, and in another lane."""
    rows = ROWS.astype(module.dtype)
    together, slopes, order = module.predict(START, rows), module.jacobian(START, rows), RNG.permutation(37)
    assert np.isfinite(together).all()
    assert (module.predict(START, rows[order]) == together[order]).all()
    assert (module.jacobian(START, rows[order]) == slopes[order]).all()
    for n in (0, 5, 20, 36):
        assert (module.predict(START, rows[n : n + 1])[0] == together[n]).all()
        assert (module.jacobian(START, rows[n : n + 1])[0] == slopes[n]).all()


@pytest.mark.parametrize("method", KINDS)
def test_samples_do_not_depend_on_each_other(method):
    """Each has its own times, columns and jumps."""
    check_bits(exact_module(method))


def test_single_precision():
    """In float32, samples have the same bits in every lane, and solutions are near those in float64."""
    module = nn.build(dosing(name="dosing_single", rtol=1e-4, atol=1e-5), "float32")
    check_bits(module)
    double = exact_module("tsit5").predict(START, ROWS)
    assert abs(module.predict(START, ROWS.astype("float32")) - double).max() <= 1e-2 * abs(double).max()


def test_systems_too_large_for_lanes(monkeypatch):
    """Where lanes would not stay on the stack, samples are solved one after the other, with the same solutions."""
    monkeypatch.setattr(layout, "MOST_IN_LANES", 1)
    module = nn.build(dosing(name="dosing_one_by_one", rtol=1e-12, atol=1e-13))
    expected = exact_module("tsit5")
    np.testing.assert_allclose(module.predict(START, ROWS), expected.predict(START, ROWS), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        module.jacobian(START, ROWS[:9]), expected.jacobian(START, ROWS[:9]), rtol=1e-8, atol=1e-8
    )


def test_a_fit_with_times_that_are_only_those_of_doses():
    """Where a dose is given and nothing observed, the observation is NaN; each of several fits is that alone."""
    module = exact_module("tsit5")
    Y = module.predict(START * 1.1, ROWS) * (1 + 0.01 * RNG.normal(size=(37, 2 * TIMES)))
    doses = np.tile(ROWS[:, 2 * TIMES + 1 : 3 * TIMES + 1] > 0, 2)
    Y[doses] = np.nan
    fitted = module.fit(ROWS, Y, p0=START)
    assert fitted.converged
    np.testing.assert_allclose(fitted.parameters, START * 1.1, rtol=0.05)
    many = module.fit_many(ROWS[:30].reshape(3, 10, -1), Y[:30].reshape(3, 10, -1), p0=START)
    for n in range(3):
        alone = module.fit(ROWS[10 * n : 10 * n + 10], Y[10 * n : 10 * n + 10], p0=START)
        np.testing.assert_allclose(many.parameters[n], alone.parameters, rtol=1e-6)


@pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
def test_a_training(method):
    """A training lowers the loss."""
    module = exact_module(method)
    truth = START * [1.3, 0.8, 1, 1]
    Y = module.predict(truth, ROWS)
    result = module.train(ROWS, Y, epochs=60, batch_size=37, optimizer="adam", learning_rate=0.02)
    assert module.loss(result.parameters, ROWS, Y) < 0.1 * module.loss(START, ROWS, Y)


@pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
def test_a_sample_that_fails_leaves_the_others_alone(method):
    """A jump out of the range of numbers is NaN from the next time on; others go on, also in the same lane."""
    model = nn.Dynamics(
        "u' = -k*u",
        {"u": 1},
        {"k": 1},
        times=3,
        columns="f",
        jumps={"u": "log(f)"},
        method=method,
        name=f"leaving_{method}",
    )
    X = np.tile([[0, 1, 2, 1, 2, 3], [0, 1, 2, 1, -1, 3], [0, 0, 2, 1, 3, 1], [1, 1, 1, 5, 7, 1.0]], (9, 1))
    predicted = built(model).predict([1.0], X)
    after = np.log([2, 3]) * np.exp([-1, -2])
    expected = [[1, 0, after[0]], [1, 0, np.nan], [1, 0, after[1]], [1, np.log(5), np.log(7)]]
    np.testing.assert_allclose(predicted, np.tile(expected, (9, 1)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
def test_impulses(method):
    """A step ends at each time: an impulse is not missed, however short, and its height is exact."""
    model = nn.Dynamics(
        "u' = f - k*u", {"u": 0}, {"k": 1e-6}, times=5, columns="f", method=method, name=f"impulse_{method}"
    )
    t = np.array([0, 1e3, 1e3 + 1e-3, 2e3, 1e6])
    predicted = built(model).predict([1e-6], np.r_[t, 0, 5, 0, 0, 0][None])[0]
    np.testing.assert_allclose(predicted, [0, 0, *5e-3 * np.exp(-1e-6 * (t[2:] - t[2]))], rtol=1e-5)

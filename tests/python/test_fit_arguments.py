"""The data, the start and the options of ``module.fit``: what is taken, what is copied, and what is refused."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.bench import data
from nncodegen.bench.curves import LOGISTIC, SPOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

X, Y, START = data.responses(20)


@pytest.fixture(scope="module")
def logistic(quick_compiler):
    return nn.build(LOGISTIC.model)


def test_start_is_copied(logistic):
    """What the caller does to the start later changes neither the result nor what it says of the start."""
    start = START.copy()
    fitted = logistic.fit(X, Y, start)
    np.testing.assert_array_equal(start, START)
    start[:] = 0
    np.testing.assert_array_equal(fitted.p0, START)


MIDDLE, SLOPE = sympy.symbols("middle slope")


def test_fixed_symbols(logistic):
    """Symbols fix the parameters of their names at the start."""
    fitted = logistic.fit(X, Y, START, fixed=[MIDDLE, SLOPE])
    assert fitted.free.tolist() == [True, True, False, False]
    assert fitted[MIDDLE] == fitted["middle"] == START[2]
    with pytest.raises(KeyError, match="there is no parameter 'x'"):
        fitted[sympy.Symbol("x")]


def test_fixed_at_values_of_each_fit(logistic):
    """Each of many fits may have a value of its own, of what is fixed and of the start."""
    values = [0.3, 0.5, 0.6]
    targets = np.repeat(Y[:, 0][None], 3, axis=0)
    many = logistic.fit_many(X, targets, {"slope": [1.0, 1.1, 0.9], "top": 1.0}, fixed={"middle": values})
    for fit, value in zip(many.parameters, values, strict=True):
        assert fit[2] == value
        fitted = logistic.fit(X, Y, {"slope": 1.0, "top": 1.0}, fixed={MIDDLE: value})
        np.testing.assert_allclose(fit, fitted.parameters, rtol=1e-5)
    with pytest.raises(ValueError, match="Y is for 2 fits, but fixed for 3: the numbers must be equal"):
        logistic.fit_many(X, targets[:2], START, fixed={"middle": values})
    with pytest.raises(ValueError, match=r"p0\['top'\] is for 3 fits, but p0\['slope'\] for 2"):
        logistic.fit_many(X, targets, {"top": [1, 1, 1], "slope": [1, 2]})


def test_a_start_by_name(logistic):
    """A mapping says where some parameters begin, by names or symbols; the others begin as without a start."""
    initial = logistic.initial_parameters()
    initial[3] = 1.5
    for start in ({"slope": 1.5}, {SLOPE: 1.5}):
        np.testing.assert_array_equal(logistic.fit(X, Y, start).p0, initial)
    bounded = logistic.fit(X, Y, {SLOPE: 1.5}, bounds={SLOPE: (1, 2), MIDDLE: (1.25, 3)})
    assert bounded.p0[2:].tolist() == [1.25, 1.5]
    by_position = logistic.fit(X, Y, {SLOPE: 1.5}, bounds=([None, None, 1.25, 1], (None, None, 3, 2)))
    np.testing.assert_array_equal(by_position.parameters, bounded.parameters)
    for trained in (logistic.train, logistic.minimize):
        result = trained(X, Y, {"slope": 1.5})
        np.testing.assert_array_equal(result.parameters, trained(X, Y, initial).parameters)
    result = logistic.train(X, Y, {"slope": 1.5}, optimizer="lm")
    np.testing.assert_array_equal(result.parameters, logistic.train(X, Y, initial, optimizer="lm").parameters)


def test_two_inputs(quick_compiler):
    """One axis is no matrix of two columns."""
    module = nn.build(SPOT.model)
    with pytest.raises(ValueError, match=r"X has the shape \(25,\); expected \(samples, 2\)"):
        module.fit(np.ones(25), np.ones(25))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Y": None}, r"Y is missing: expected \(20, 1\), NaN where a target is missing"),
        ({"Y": np.hstack([Y, Y])}, r"Y has the shape \(20, 2\); expected \(20, 1\)"),
        ({"X": None}, "X is missing"),
    ],
)
def test_refused(logistic, arguments, message):
    """Each argument that cannot be meant has its own error."""
    with pytest.raises(ValueError, match=message):
        logistic.fit(**{"X": X, "Y": Y, "p0": START} | arguments)

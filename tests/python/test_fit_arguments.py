"""The data, the start and the options of ``module.fit``: what is taken, what is copied, and what is refused."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.bench import data
from nncodegen.bench.curves import LOGISTIC, SPOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

X, Y, START = data.responses(20)


def at_3(values, value):
    """A copy with this value in row 3."""
    changed = values.copy()
    changed[3] = value
    return changed


@pytest.fixture(scope="module")
def logistic(quick_compiler):
    return nn.build(LOGISTIC.model)


@pytest.fixture(scope="module")
def expected(logistic):
    return logistic.fit(X, Y, START).parameters


@pytest.mark.parametrize(
    "given",
    [
        (X[:, 0], Y[:, 0], START),
        (X.tolist(), Y[:, 0].tolist(), START.tolist()),
        (np.repeat(X, 2, axis=1)[:, ::2], np.asfortranarray(Y), START[::-1].copy()[::-1]),
        (X.astype(">f8"), Y.astype(">f8"), START.astype(">f8")),
        (X.astype(object), Y.astype(object), tuple(START)),
    ],
    ids=["one axis", "lists", "views", "another byte order", "objects"],
)
def test_data_of_any_kind(logistic, expected, given):
    """Lists, arrays of one axis, of other types or with gaps give the bits of arrays that C takes as they are."""
    np.testing.assert_array_equal(logistic.fit(*given).parameters, expected)


def test_missing_targets(logistic):
    """Targets that are NaN are left out, as if their rows were not there."""
    with_gaps = Y.copy()
    with_gaps[[3, 11]] = np.nan
    found = logistic.fit(X, with_gaps, START)
    assert found.used == 18
    others = np.delete(np.arange(20), [3, 11])
    np.testing.assert_allclose(found.parameters, logistic.fit(X[others], Y[others], START).parameters, rtol=1e-9)


def test_start_is_copied(logistic):
    """What the caller does to the start later changes neither the result nor what it says of the start."""
    start = START.copy()
    found = logistic.fit(X, Y, start)
    np.testing.assert_array_equal(start, START)
    start[:] = 0
    np.testing.assert_array_equal(found.start, START)


@pytest.mark.parametrize("fixed", [["middle"], [2], np.array([2]), {"middle"}, "middle"])
def test_fixed(logistic, fixed):
    """A fixed parameter stays at the start, whatever kind of collection names it."""
    found = logistic.fit(X, Y, START, fixed=fixed)
    assert found.free.tolist() == [True, True, False, True]
    assert found.parameters[2] == START[2]


MIDDLE, SLOPE = sympy.symbols("middle slope")


@pytest.mark.parametrize("fixed", [{"middle": 0.4}, {MIDDLE: 0.4}, {2: 0.4}, {"middle": np.array([0.4])}], ids=str)
def test_fixed_at_a_value(logistic, fixed):
    """A mapping fixes parameters at its values, whatever the start: the fit is that of a start with these values."""
    start = START.copy()
    start[2] = 0.4
    expected = logistic.fit(X, Y, start, fixed=["middle"])
    for parameters in (START, {"slope": START[3], "top": START[1], "bottom": START[0]}):
        found = logistic.fit(X, Y, parameters, fixed=fixed)
        np.testing.assert_array_equal(found.parameters, expected.parameters)
        np.testing.assert_array_equal(found.start, start)
        assert found.free.tolist() == [True, True, False, True]
    many = logistic.fit_many(X, Y[:, 0][None], START, fixed=fixed)
    np.testing.assert_array_equal(many.parameters, logistic.fit_many(X, Y[:, 0][None], start, fixed=[2]).parameters)


def test_fixed_symbols(logistic):
    """Symbols fix the parameters of their names at the start."""
    found = logistic.fit(X, Y, START, fixed=[MIDDLE, SLOPE])
    assert found.free.tolist() == [True, True, False, False]
    assert found[MIDDLE] == found["middle"] == START[2]
    with pytest.raises(KeyError, match="there is no parameter 'x'"):
        found[sympy.Symbol("x")]


def test_fixed_at_values_of_each_fit(logistic):
    """Each of many fits may have a value of its own, of what is fixed and of the start."""
    values = [0.3, 0.5, 0.6]
    targets = np.repeat(Y[:, 0][None], 3, axis=0)
    many = logistic.fit_many(X, targets, {"slope": [1.0, 1.1, 0.9], "top": 1.0}, fixed={"middle": values})
    for fit, value in zip(many.parameters, values, strict=True):
        assert fit[2] == value
        one = logistic.fit(X, Y, {"slope": 1.0, "top": 1.0}, fixed={MIDDLE: value})
        np.testing.assert_allclose(fit, one.parameters, rtol=1e-5)
    with pytest.raises(ValueError, match="Y is for 2 fits, but fixed for 3: the numbers must be equal"):
        logistic.fit_many(X, targets[:2], START, fixed={"middle": values})
    with pytest.raises(ValueError, match=r"parameters\['top'\] is for 3 fits, but parameters\['slope'\] for 2"):
        logistic.fit_many(X, targets, {"top": [1, 1, 1], "slope": [1, 2]})


def test_a_start_by_name(logistic):
    """A mapping says where some parameters begin, by names or symbols; the others begin as without a start."""
    initial = logistic.initial_parameters()
    initial[3] = 1.5
    for start in ({"slope": 1.5}, {SLOPE: 1.5}):
        np.testing.assert_array_equal(logistic.fit(X, Y, start).start, initial)
    bounded = logistic.fit(X, Y, {SLOPE: 1.5}, bounds={SLOPE: (1, 2), MIDDLE: (1.25, 3)})
    assert bounded.start[2:].tolist() == [1.25, 1.5]
    for trained in (logistic.train, logistic.minimize):
        found = trained(X, Y, {"slope": 1.5})
        np.testing.assert_array_equal(found.parameters, trained(X, Y, initial).parameters)
    found = logistic.train(X, Y, {"slope": 1.5}, optimizer="lm")
    np.testing.assert_array_equal(found.parameters, logistic.train(X, Y, initial, optimizer="lm").parameters)


@pytest.mark.parametrize("fixed", [(), [], np.array([], int), {}])
def test_nothing_fixed(logistic, expected, fixed):
    found = logistic.fit(X, Y, START, fixed=fixed)
    assert found.free.all()
    np.testing.assert_array_equal(found.parameters, expected)


def test_two_inputs(quick_compiler):
    """One axis is no matrix of two columns."""
    module = nn.build(SPOT.model)
    with pytest.raises(ValueError, match=r"X has the shape \(25,\); expected \(samples, 2\)"):
        module.fit(np.ones(25), np.ones(25))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Y": None}, r"Y is missing: expected \(20, 1\), NaN where a target is missing"),
        ({"Y": Y[:5]}, r"Y has the shape \(5, 1\); expected \(20, 1\)"),
        ({"Y": np.hstack([Y, Y])}, r"Y has the shape \(20, 2\); expected \(20, 1\)"),
        ({"Y": at_3(Y, np.inf)}, r"Y\[3, 0\] is inf, which is not finite"),
        ({"X": None}, "X is missing"),
        ({"X": X[:0], "Y": Y[:0]}, "X is empty"),
        ({"X": at_3(X, np.nan)}, r"X\[3, 0\] is nan"),
        ({"parameters": START[:3]}, r"parameters has the shape \(3,\); expected \(4,\)"),
        ({"parameters": [0.1, np.nan, 0.5, 1]}, r"parameters\[1\] is nan"),
        ({"robust": "huber", "robust_scale": 0.0}, "robust_scale must be a number above 0, not 0.0"),
        ({"robust": "tukey"}, "robust is 'tukey'; there are: None, 'huber', 'soft_l1', 'cauchy'"),
        ({"tolerance": -1.0}, "tolerance must be a number from 0"),
        ({"max_iterations": 1.5}, "max_iterations must be an integer"),
        ({"absolute_sigma": 1}, "absolute_sigma must be True or False, not 1"),
        ({"parameters": {"slop": 1}}, "parameters names 'slop', which is no parameter; there are: bottom, top, middle"),
        ({"parameters": {"slope": [1, 2]}}, r"parameters\['slope'\] has the shape \(2,\); expected a number"),
        ({"fixed": {"slope": "steep"}}, r"fixed\['slope'\] is 'steep', which is no real number"),
        ({"fixed": {"slope": np.nan}}, r"fixed\['slope'\] is nan; expected a number, all finite"),
        ({"fixed": {"slope": 3}, "bounds": {"slope": (0, 2)}}, "slope is 3, above its upper bound 2"),
        ({"fixed": ["slop"]}, "fixed names 'slop', which is no parameter; there are: bottom, top, middle, slope"),
    ],
)
def test_refused(logistic, arguments, message):
    """Each argument that cannot be meant has its own error."""
    with pytest.raises(ValueError, match=message):
        logistic.fit(**{"X": X, "Y": Y, "parameters": START} | arguments)

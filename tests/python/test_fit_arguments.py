"""The data, the start and the options of ``module.fit``: what is taken, what is copied, and what is refused."""

import numpy as np
import pytest

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


@pytest.mark.parametrize("fixed", [(), [], np.array([], int)])
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
        ({"fixed": ["slop"]}, "fixed names 'slop', which is no parameter; there are: bottom, top, middle, slope"),
    ],
)
def test_refused(logistic, arguments, message):
    """Each argument that cannot be meant has its own error."""
    with pytest.raises(ValueError, match=message):
        logistic.fit(**{"X": X, "Y": Y, "parameters": START} | arguments)

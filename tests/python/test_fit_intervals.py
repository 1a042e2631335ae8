"""Intervals of fitted parameters and outputs: against formulas of the linear model, and a search by brute force."""

import math
import subprocess
import sys

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.fit_records import Formula, decay, decay_data, fitted, line

optimize = pytest.importorskip("scipy.optimize")
stats = pytest.importorskip("scipy.stats")

X, Y = decay_data()
SIGMA = np.linspace(0.02, 0.09, len(Y))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999999])
def test_intervals_by_standard_errors(level):
    """The interval is the value +- Student's t times the standard error; with sigma known, the normal quantile."""
    result = fitted(decay(), X, Y, [1, 1, 0])
    reach = stats.t.isf((1 - level) / 2, 17) * result.standard_errors
    intervals = result.confidence_intervals(level)
    np.testing.assert_allclose(
        intervals, np.stack([result.parameters - reach, result.parameters + reach], 1), rtol=1e-9
    )
    known = fitted(decay(), X, Y, [1, 1, 0], SIGMA, absolute_sigma=True)
    widths = np.diff(known.confidence_intervals(level))[:, 0]
    np.testing.assert_allclose(widths, 2 * stats.norm.isf((1 - level) / 2) * known.standard_errors, rtol=1e-9)


def test_quantiles_leave_no_context():
    """They set no context of decimals, which would slow down every array that NumPy makes later in this thread."""
    program = """
import contextvars
import nncodegen.runtime.python.interface
from nncodegen.runtime.python.results.quantiles import quantile_above
print(quantile_above(0.025, 7), list(contextvars.copy_context()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    value, context = done.stdout.split()
    assert float(value) == pytest.approx(stats.t.isf(0.025, 7), rel=1e-14)
    assert context == "[]"


@pytest.mark.parametrize("absolute", [False, True])
def test_profiles_of_a_linear_model(absolute):
    """For a linear model, the intervals by profile are those by standard errors."""
    result = fitted(line(), X, Y, [0, 0], SIGMA, absolute_sigma=absolute)
    np.testing.assert_allclose(result.confidence_intervals(0.9, "profile"), result.confidence_intervals(0.9), rtol=1e-6)


def test_profiles_of_a_nonlinear_model():
    """At the ends of a profile's interval, chi2 minimized over the others has risen by s**2 times F's quantile."""
    x, y = decay_data(seed=3, count=8, noise=0.15)
    result = fitted(decay(), x, y, [2, 1, 0])
    intervals = result.confidence_intervals(0.9, "profile")

    def lowest(b):
        """chi2 for a rate b; a and c are linear."""
        columns = np.stack([np.exp(-b * x[:, 0]), np.ones(len(x))], axis=1)
        rest = y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
        return rest @ rest

    limit = result.chi2 + stats.f.ppf(0.9, 1, 5) * result.reduced_chi2
    grid = np.linspace(0.01, 8, 4000)
    inside = np.array([lowest(b) < limit for b in grid])
    first, last = np.flatnonzero(inside)[[0, -1]]
    low = optimize.brentq(lambda b: lowest(b) - limit, grid[first - 1], grid[first])
    high = optimize.brentq(lambda b: lowest(b) - limit, grid[last], grid[last + 1])
    np.testing.assert_allclose(intervals[1], [low, high], rtol=1e-6)
    symmetric = result.confidence_intervals(0.9)[1]
    assert high - result["b"] > 1.1 * (symmetric[1] - result["b"])  # the profile knows that it is skew


def test_profiles_take_few_fits():
    """An end of an interval takes some ten fits, each of another value of the parameter."""
    result = fitted(decay(), X, Y, [1, 1, 0])
    asked, refit = [], result._refit

    def counting(fixed, start):
        asked.append(tuple(fixed.items()))
        return refit(fixed, start)

    result._refit = counting
    result.confidence_intervals(0.95, "profile")
    assert len(set(asked)) == len(asked) <= 6 * 10


def test_profiles_where_the_model_is_not_finite():
    """Where a fit with a fixed value cannot be computed, that value counts as too bad."""
    result = fitted(line(), X, Y, [0, 0])
    refit, edge = result._refit, result["b"] + 1e-3

    def broken(fixed, start):
        return (math.nan, start) if fixed.get(1, 0) > edge else refit(fixed, start)

    result._refit = broken
    np.testing.assert_allclose(result.confidence_intervals(0.95, "profile")[1, 1], edge, rtol=1e-6)


def test_profiles_that_never_rise_enough():
    """Where no value of a rate is bad enough, the interval is open; a bound closes it, and a fixed value stays."""
    x = np.linspace(0, 4, 6)[:, None]
    y = np.array([1.0, 0.02, -0.05, 0.03, 0.01, -0.02])  # any fast decay explains them
    model = Formula("rate", ("b",), lambda p, X: np.exp(-p[0] * X), lambda p, X: (-X * np.exp(-p[0] * X))[..., None])
    result = fitted(model, x, y, [3.0])
    low, high = result.confidence_intervals(0.95, "profile")[0]
    assert 0 < low < result["b"]
    assert math.isinf(high)
    bounds = (np.array([0.0]), np.array([50.0]))
    assert fitted(model, x, y, [3.0], bounds=bounds).confidence_intervals(0.95, "profile")[0, 1] == 50
    partly = fitted(decay(), X, Y, [2, 1, 0.5], fixed=[2])
    profile = partly.confidence_intervals(0.95, "profile")
    assert list(profile[2]) == [0.5, 0.5]
    np.testing.assert_allclose(profile[:2], partly.confidence_intervals()[:2], rtol=0.02)


def test_a_profile_that_finds_a_better_fit_says_so():
    """If the fit did not end at its minimum, a profile warns, and names where to begin again."""
    best = fitted(decay(), X, Y, [1, 1, 0])
    elsewhere = fitted(decay(), X, Y, [1, 1, 0], end=best.parameters * [1, 1.1, 1])
    with pytest.warns(RuntimeWarning, match=r"lower cost.*fit again with p0=") as caught:
        elsewhere.confidence_intervals(0.95, "profile")
    assert caught[0].filename == __file__


def test_a_fit_without_residuals_has_intervals_of_no_width():
    """Data that the model gives exactly have no error, so that an interval is a point."""
    result = fitted(line(), X, 1 + 2 * X[:, 0], [0, 0], end=[1.0, 2.0])
    for method in ("t", "profile"):
        np.testing.assert_array_equal(result.confidence_intervals(0.95, method), [[1, 1], [2, 2]])


def test_bands_of_a_line():
    """Confidence and prediction bands of a line are those of the textbook."""
    result = fitted(line(), X, Y, [0, 0])
    x, new = X[:, 0], np.array([-3.0, 0.7, 10.0])
    square, t = result.reduced_chi2, stats.t.isf(0.005, 18)
    mean = 1 / 20 + (new - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    for interval, more in (("confidence", 0), ("prediction", 1)):
        outputs, lower, upper = result.predict(new[:, None], interval, 0.99)
        assert outputs.shape == lower.shape == upper.shape == (3, 1)
        np.testing.assert_allclose(outputs, result.predict(new[:, None]))
        np.testing.assert_allclose((upper - outputs)[:, 0], t * np.sqrt(square * (mean + more)), rtol=1e-9)
        np.testing.assert_allclose(outputs - lower, upper - outputs, rtol=1e-9)


def test_bands_of_a_nonlinear_model_follow_the_covariance():
    """The variance of an output is g'Cg, with the covariance of the result; a fixed parameter adds none."""
    for fixed in ((), (1,)):
        result = fitted(decay(), X, Y, [2, 1.3, 0.5], SIGMA, fixed=fixed, absolute_sigma=True)
        band = result.predict(X, "confidence")
        g = decay().jacobian(result.parameters, X)[:, 0]
        expected = stats.norm.isf(0.025) * np.sqrt(np.einsum("np,pq,nq->n", g, result.covariance, g))
        np.testing.assert_allclose((band.upper - band.outputs)[:, 0], expected, rtol=1e-7)


def test_prediction_needs_the_sigma_of_what_is_new():
    """The variance of a new observation comes from its sigma; from that of the fit only if it was one number."""
    single = fitted(line(), X, Y, [0, 0], 0.3, absolute_sigma=True)
    each = fitted(line(), X, Y, [0, 0], np.full(20, 0.3), absolute_sigma=True)
    expected = single.predict(X[:3], "prediction")
    for sigma in (0.3, np.full(3, 0.3), np.full((3, 1), 0.3)):
        np.testing.assert_allclose(each.predict(X[:3], "prediction", sigma=sigma), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="a sigma for each of its data: give that of the new observations"):
        each.predict(X[:3], "prediction")
    for wrong in (0, np.full(4, 0.3), -1.0, math.nan):
        with pytest.raises(ValueError, match="sigma is a number above 0, or an array"):
            each.predict(X[:3], "prediction", sigma=wrong)


def test_bands_where_parameters_are_not_determined():
    """Outputs of a*b*x are determined though a and b are not; those of a + b*x, seen at one x, only there."""
    product = Formula(
        "product",
        ("a", "b"),
        lambda p, X: p[0] * p[1] * X,
        lambda p, X: np.concatenate([p[1] * X, p[0] * X], axis=1)[:, None],
    )
    through = Formula("d", ("d",), lambda p, X: p[0] * X, lambda p, X: X[..., None])
    slope = fitted(through, X, Y, [1])["d"]
    result, alone = (
        fitted(m, X, Y, p, 0.1, end=p, absolute_sigma=True) for m, p in ((product, [2, slope / 2]), (through, [slope]))
    )
    np.testing.assert_allclose(result.predict(X, "confidence"), alone.predict(X, "confidence"), rtol=1e-7)
    same = fitted(line(), np.full((20, 1), 1.5), Y, [0, 0], end=[Y.mean(), 0])
    _, lower, upper = same.predict([[1.5], [2.0]] * np.ones((2, 1)), "confidence")
    assert np.isfinite([lower[0], upper[0]]).all()
    assert (lower[1, 0], upper[1, 0]) == (-math.inf, math.inf)


def test_arguments_that_cannot_be_meant():
    """A level in per cent, or an unknown method or interval, is refused with what is possible."""
    result = fitted(line(), X, Y, [0, 0])
    for level in (95, 0, 1, "0.95", math.nan):
        with pytest.raises(ValueError, match=r"level is a probability between 0 and 1, such as 0\.95"):
            result.confidence_intervals(level)
        with pytest.raises(ValueError, match="level is a probability"):
            result.predict(X, "confidence", level)
    with pytest.raises(ValueError, match="no method 'bootstrap' for intervals; there are: t, profile"):
        result.confidence_intervals(method="bootstrap")
    with pytest.raises(ValueError, match="no interval 'band'; there are: confidence, prediction, and None"):
        result.predict(X, "band")
    with pytest.raises(ValueError, match="it needs interval='prediction'"):
        result.predict(X, "confidence", sigma=1.0)
    result._refit = None
    with pytest.raises(ValueError, match="nothing to fit again with; use method='t'"):
        result.confidence_intervals(method="profile")


def test_without_scipy(monkeypatch):
    """Intervals say what to install; what needs none works without."""
    result = fitted(line(), X, Y, [0, 0])
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    for call in (result.confidence_intervals, lambda: result.predict(X, "confidence")):
        with pytest.raises(ImportError, match=r"an interval needs SciPy.*python -m pip install scipy"):
            call()
    assert result.predict(X).shape == (20, 1)
    assert "reduced chi2" in str(result)

"""Profiles: against other minimizers, exact formulas, and models whose parameters the data cannot tell apart."""

import math
import pickle

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.runtime.python.results.profiles.joined import Curves, checked
from nncodegen.runtime.python.results.profiles.verdicts import _product, _sum
from nncodegen.runtime.python.results.profiles.walk import BOUND, BROKEN, CROSSED, FAR, Walk
from tests.support import nist
from tests.support.built import built
from tests.support.fit_records import decay_data, fitted, line
from tests.support.search import examples

optimize = pytest.importorskip("scipy.optimize")
stats = pytest.importorskip("scipy.stats")

pytestmark = pytest.mark.usefixtures("quick_compiler")

DECAY = nn.Model("decay", "x", "y", {"a": 1, "b": 1, "c": 0}, "a*exp(-b*x) + c")
ONLY_PRODUCT = nn.Model("only_product", "x", "y", {"V": 1, "k": 1, "m": 2}, "V*k*x/(m + x)")
X = np.linspace(0, 4, 12)


def skewed(seed=3, noise=0.12):
    """Data around a decay whose profiles are not symmetric."""
    return 2.5 * np.exp(-1.3 * X) + 0.5 + noise * np.random.default_rng(seed).normal(size=len(X))


def least_of_decay(b, y):
    """The least chi2 of a decay with a rate: its other parameters are linear."""
    columns = np.stack([np.exp(-b * X), np.ones(len(X))], axis=1)
    return np.sum((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2)


# --- one fit ---


def test_profiles_of_a_line_are_its_parabolas():
    """For a linear model the rise is the square of the distance in standard errors, and the interval is exact."""
    x, y = decay_data()
    result = fitted(line(), x, y, [0, 0])
    profiles = result.profiles(0.9)
    np.testing.assert_allclose(profiles.intervals, result.confidence_intervals(0.9), rtol=1e-6)
    for profile, value, error in zip(profiles, result.parameters, result.standard_errors, strict=True):
        at = np.linspace(*profile.interval, 31)
        rises = ((at - value) / error) ** 2
        np.testing.assert_allclose(profile.rise(at), rises, atol=1e-3)
        np.testing.assert_allclose(profile(at), result.cost + profile.rise(at) * result.error_scale / 2, rtol=1e-12)
        assert np.isnan(profile.rise(profile.values[-1] + error))
    assert profiles.verdicts == ("identifiable", "identifiable")


@examples(20)
@given(seed=st.integers(0, 10**6), noise=st.floats(0.01, 0.25), level=st.sampled_from([0.5, 0.9, 0.99]))
def test_a_profile_is_known_between_its_points(seed, noise, level):
    """Whatever the data, the curve is that of the least chi2 to 1 % of the level, and its ends lie on the level."""
    y = skewed(seed, noise)
    result = built(DECAY).fit(X, y, p0=[2.5, 1.3, 0.5])
    if not result.success or least_of_decay(result["b"], y) < 0.9999 * result.chi2:
        return
    profile = result.profiles(level, "b")["b"]
    limit = stats.f.ppf(level, 1, result.degrees_of_freedom)
    assert profile.level_rise == pytest.approx(limit, rel=1e-9)
    low, high = profile.interval
    inside = np.linspace(low if np.isfinite(low) else profile.values[0], min(high, profile.value + 20), 41)
    exact = np.array([(least_of_decay(b, y) - result.chi2) / result.reduced_chi2 for b in inside])
    np.testing.assert_allclose(profile.rise(inside), exact, atol=0.01 * limit)
    for end in (end for end in profile.interval if np.isfinite(end)):
        rise = (least_of_decay(end, y) - result.chi2) / result.reduced_chi2
        assert rise == pytest.approx(limit, rel=1e-5)


def test_all_parameters_are_followed_along_the_curve():
    """The parameters at a point are those of a fit with that value, by SciPy."""
    y = skewed()
    result = built(DECAY).fit(X, y)
    profile = result.profiles()["b"]
    assert (np.diff(profile.values) > 0).all()
    assert len(profile.values) >= 15
    for value, cost, (a, b, c) in zip(profile.values, profile.costs, profile.parameters, strict=True):
        columns = np.stack([np.exp(-value * X), np.ones(len(X))], axis=1)
        np.testing.assert_allclose([a, c], np.linalg.lstsq(columns, y, rcond=None)[0], rtol=1e-4)
        assert b == value
        assert cost == pytest.approx(least_of_decay(value, y) / 2, rel=1e-7)


def test_intervals_by_profiles_are_read_from_profiles():
    """What has been followed is not followed again, at the same level."""
    result = built(DECAY).fit(X, skewed())
    profiles = result.profiles(0.9)
    refit, result._refit = result._refit, None
    np.testing.assert_array_equal(result.confidence_intervals(0.9, "profile"), profiles.intervals)
    with pytest.raises(ValueError, match="nothing to fit again"):
        result.confidence_intervals(0.8, "profile")
    result._refit = refit


def test_threads_change_no_bit():
    """Threads share the fits of a round."""
    result = built(DECAY).fit(X, skewed())
    alone, shared = (result.profiles(0.9, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(alone["b"].costs, shared["b"].costs)
    np.testing.assert_array_equal(alone.intervals, shared.intervals)


def test_fixed_parameters_stay_and_bounds_end_profiles():
    """A bound is the end of an interval where the level is not reached before."""
    y = skewed()
    module = built(DECAY)
    result = module.fit(X, y, fixed={"c": 0.5}, bounds={"b": (None, 1.6)})
    profiles = result.profiles(0.999)
    assert profiles.names == ("a", "b")
    assert (profiles["a"].parameters[:, 2] == 0.5).all()
    assert profiles["b"].interval[1] == 1.6
    assert profiles["b"].values[-1] == 1.6
    assert profiles["b"].verdict.word == "bounded from one side only"
    assert "bound 1.6" in profiles["b"].verdict.text
    at_bound = module.fit(X, y, bounds={"b": (None, 1.0)}).profiles()["b"]
    assert at_bound.interval[1] == at_bound.value == 1.0
    assert at_bound.interval[0] < 1


def test_a_better_minimum_is_named_and_changes_nothing():
    """Where a profile falls below the fit, a warning says so, and the profiles have the better fit."""
    y = skewed()
    module = built(DECAY)
    best = module.fit(X, y)
    with pytest.warns(RuntimeWarning, match="did not converge"):
        worse = module.fit(X, y, p0=best.parameters * [1, 1.1, 1], max_iterations=0)
    worse._ending, worse._refit = "cost", best._refit
    before = worse.parameters.copy()
    with pytest.warns(RuntimeWarning, match=r"lower cost.*p0=") as caught:
        profiles = worse.profiles()
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(worse.parameters, before)
    assert profiles.result.cost == pytest.approx(best.cost, rel=1e-9)


# --- verdicts ---


def product_data():
    return 3 * X / (1.5 + X) + 0.02 * np.random.default_rng(1).normal(size=len(X))


def test_a_product_alone_is_determined():
    """Factors that only their product determines are not identifiable, and the verdict says what is."""
    result = built(ONLY_PRODUCT).fit(X, product_data())
    profiles = result.profiles()
    assert profiles.verdicts == (
        "not identifiable: only V*k",
        "not identifiable: only V*k",
        "identifiable",
    )
    verdict = profiles["V"].verdict
    assert (verdict.together, verdict.combinations) == (("k",), ("V*k",))
    np.testing.assert_array_equal(profiles.intervals[:2], [[-np.inf, np.inf]] * 2)
    assert "only V*k" in str(profiles)
    assert repr(profiles) == "<Profiles: 2 not identifiable, 1 identifiable>"


@pytest.mark.parametrize(
    ("formula", "parameters", "expected"),
    [
        ("(a + 2*b)*x + c", {"a": 1, "b": 1, "c": 0}, ["only a + 2*b", "only a + 2*b", ""]),
        ("(a - b)*x + c", {"a": 2, "b": 1, "c": 0}, ["only a - b", "only a - b", ""]),
        ("a*x*b**2/c", {"a": 1, "b": 1, "c": 1}, ["only a*b**2/c"] * 3),
        ("a*b*x + c*b", {"a": 1, "b": 1, "c": 2}, ["only a*b, a/c"] * 3),
        ("(a + b**2)*x + c", {"a": 1, "b": 1, "c": 0}, ["moves together with b", "moves together with a", ""]),
        ("a*x + c + 0*b", {"a": 1, "b": 1, "c": 0}, ["", "the data say nothing of it", ""]),
    ],
)
def test_what_is_determined_in_its_place(formula, parameters, expected):
    """Products, quotients, sums, and what is none of these."""
    result = built(nn.Model("combined", "x", "y", parameters, formula)).fit(X, 2 * X + 1 + 0.1 * np.cos(9 * X))
    for verdict, text in zip(result.profiles().verdicts, expected, strict=True):
        assert verdict == "identifiable" if not text else text in verdict


def test_one_side_only():
    """Where all samples are saturated, the constant of a saturation has an upper end alone."""
    model = nn.Model("saturation", "x", "y", {"V": 1, "k": 1}, "V*x/(k + x)")
    x = np.linspace(20, 60, 12)
    y = 3 + 0.05 * np.random.default_rng(5).normal(size=12)
    result = built(model).fit(x, y, p0=[3, 0.1], bounds={"k": (0, None)})
    profile = result.profiles()["k"]
    assert profile.verdict.word == "bounded from one side only"
    assert profile.verdict.detail.startswith("at most")
    assert profile.interval[0] == 0

    def least(k):
        column = x / (k + x)
        return np.sum((y - column * (column @ y) / (column @ column)) ** 2)

    rise = (least(profile.interval[1]) - result.chi2) / result.reduced_chi2
    assert rise == pytest.approx(stats.f.ppf(0.95, 1, 10), rel=1e-5)


def test_texts_of_combinations():
    """They are read back as the formulas that they stand for."""
    names, values = ("a", "b", "c"), {"a": 2.0, "b": 3.0, "c": 5.0}
    for row in ([1, 0, 0], [1, -1, 2], [-1, 0, -2], [2, 3, -1], [0, -2, 0]):
        product = sympy.sympify(_product(names, row)).subs(values)
        assert float(product) == pytest.approx(math.prod(values[n] ** k for n, k in zip(names, row, strict=True)))
        assert float(sympy.sympify(_sum(names, row)).subs(values)) == pytest.approx(np.dot(row, [2, 3, 5]))


# --- kinds of fits ---


def test_groups():
    """Shared parameters and those of groups: at the ends, SciPy finds that chi2 has risen to the level."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], len(X))
    y = np.concatenate([2.5 * np.exp(-1.3 * X) + 0.5, 1.5 * np.exp(-1.3 * X) + 0.2]) + 0.1 * rng.normal(size=24)
    x = np.tile(X, 2)
    result = built(DECAY).fit(x, y, groups=labels, own=["a", "c"])
    profiles = result.profiles(parameters=["b", "a[1]"])
    assert profiles.names == ("b", "a[1]")
    assert result.profiles(parameters="a").names == ("a[0]", "a[1]")

    def least(held):
        order = ["b", "a[0]", "c[0]", "a[1]", "c[1]"]
        moving = [name for name in order if name not in held]

        def residuals(p):
            value = {**held, **dict(zip(moving, p, strict=True))}
            parts = [value[f"a[{g}]"] * np.exp(-value["b"] * X) + value[f"c[{g}]"] for g in (0, 1)]
            return np.concatenate(parts) - y

        start = [result[name] for name in moving]
        return 2 * optimize.least_squares(residuals, start, xtol=1e-15, ftol=1e-15, gtol=1e-15).cost

    limit = stats.t.ppf(0.975, result.degrees_of_freedom) ** 2
    for profile in profiles:
        for end in profile.interval:
            assert (least({profile.name: end}) - result.chi2) / result.reduced_chi2 == pytest.approx(limit, rel=1e-5)
    with pytest.raises(ValueError, match=r"fit of all groups.*a\[1\]"):
        result.group(1).profiles()


def test_groups_share_a_product():
    """What a shared factor and those of groups determine together is seen through the groups."""
    x, labels = np.tile(X, 2), np.repeat(["p", "q"], len(X))
    y = np.concatenate([product_data(), 2 * product_data()])
    result = built(ONLY_PRODUCT).fit(x, y, groups=labels, own="V")
    profile = result.profiles(parameters="k")["k"]
    assert profile.verdict.word == "not identifiable"
    assert set(profile.verdict.together) == {"V[p]", "V[q]"}
    assert len(profile.verdict.combinations) == 2
    names = {name: sympy.Symbol(f"p{k}") for k, name in enumerate(result.names)}
    for text in profile.verdict.combinations:
        for name, symbol in names.items():
            text = text.replace(name, symbol.name)
        values = sympy.lambdify([*names.values()], sympy.sympify(text))(*profile.parameters.T)
        np.testing.assert_allclose(values, values[0], rtol=1e-6)


def test_errors_in_x():
    """At the ends of a profile, the fit with that value has the chi2 of the level."""
    y = skewed()
    options = {"sigma": 0.1, "sigma_x": 0.05, "absolute_sigma": True}
    result = built(DECAY).fit(X, y, p0=[2.5, 1.3, 0.5], **options)
    low, high = result.profiles(parameters="b")["b"].interval
    for end in (low, high):
        held = built(DECAY).fit(X, y, p0=result.parameters, fixed={"b": end}, **options)
        assert held.chi2 - result.chi2 == pytest.approx(1.959964**2, rel=1e-4)
    many = built(DECAY).fit_many(X, np.stack([y, y[::-1] * 0 + skewed(5)]), p0=[2.5, 1.3, 0.5], **options).profiles()
    np.testing.assert_allclose(many.intervals[0, 1], [low, high], rtol=1e-4)


def test_verdicts_with_errors_in_x():
    """A product is seen as one where inputs have errors, in groups and without, and a better fit is found again."""
    module, options = built(ONLY_PRODUCT), {"sigma": 0.05, "sigma_x": 0.02}
    alone = module.fit(X, product_data(), **options).profiles(parameters="V")["V"].verdict
    assert alone.text == "not identifiable: only V*k"
    x, y = np.tile(X, 2), np.concatenate([product_data(), 2 * product_data()])
    grouped = module.fit(x, y, groups=np.repeat([0, 1], len(X)), own="V", **options)
    verdict = grouped.profiles(parameters="k")["k"].verdict
    assert (verdict.word, set(verdict.together)) == ("not identifiable", {"V[0]", "V[1]"})
    best = built(DECAY).fit(X, skewed(), p0=[2.5, 1.3, 0.5], **options)
    again = best._again_from(best.parameters * 1.1)
    assert again.cost == pytest.approx(best.cost, rel=1e-9)
    np.testing.assert_allclose(again.x_estimated, best.x_estimated, rtol=1e-6)
    whole = built(DECAY).fit(x, np.tile(skewed(), 2), groups=np.repeat([0, 1], len(X)), own="a", **options)
    assert whole._again_from(whole.parameters * 1.05).cost == pytest.approx(whole.cost, rel=1e-8)


def test_a_likelihood():
    """Of counts, the profile of their rate is a formula."""
    a, x, y = sympy.symbols("a x y")
    model = nn.Model("counts", x, y, {a: 0.5}, a * x, a * x - y * sympy.log(a * x))
    counts = np.random.default_rng(1).poisson(2.2, 30).astype(float)
    result = built(model).fit(np.ones(30), counts)
    low, high = result.profiles().intervals[0]
    for end in (low, high):
        rise = 60 * (end - counts.mean() - counts.mean() * math.log(end / counts.mean()))
        assert rise == pytest.approx(1.959964**2, rel=1e-6)
    many = built(model).fit_many(np.ones(30), np.stack([counts, counts]))
    np.testing.assert_allclose(many.profiles().intervals[1, 0], [low, high], rtol=1e-6)


def test_equations_of_motion():
    """A rate of decay, whose solution is known: the intervals are those of the formula."""
    model = nn.Dynamics("u' = -b*(u - c)", {"u": "u0"}, {"b": 1.0, "c": 0.3, "u0": 2.0}, times=len(X), rtol=1e-9)
    y = skewed()
    result = built(model).fit(X[None], y[None])
    formula = built(DECAY).fit(X, y)
    np.testing.assert_allclose(
        result.profiles(parameters=["b", "c"]).intervals, formula.profiles(parameters=["b", "c"]).intervals, rtol=1e-4
    )


# --- many fits ---


@pytest.fixture(scope="module")
def many_data():
    rng = np.random.default_rng(7)
    Y = 2.5 * np.exp(-1.3 * X) + 0.5 + 0.1 * rng.normal(size=(9, len(X)))
    Y[rng.uniform(size=Y.shape) < 0.1] = np.nan
    return Y


@pytest.mark.parametrize(
    "options",
    [{}, {"sigma": 0.1, "absolute_sigma": True}, {"bounds": {"b": (0.5, 1.5)}}, {"fixed": {"c": 0.5}, "threads": 2}],
    ids=["plain", "sigma", "bounds", "fixed"],
)
def test_many_profiles_are_those_of_each(many_data, options):
    """Side by side or alone, the profiles of a fit are the same."""
    fits = built(DECAY).fit_many(X, many_data, p0=[2.5, 1.3, 0.5], **options)
    profiles = fits.profiles(0.9, threads=options.get("threads", 1))
    assert profiles.intervals.shape == (9, len(profiles.names), 2)
    for m in range(9):
        alone = fits[m].profiles(0.9)
        np.testing.assert_allclose(profiles.intervals[m], alone.intervals, rtol=1e-6)
        assert profiles[m].verdicts == alone.verdicts
        assert profiles.verdicts[m].tolist() == [verdict.word for verdict in alone._verdicts]
        np.testing.assert_allclose(profiles[m]["b"].costs, alone["b"].costs, rtol=1e-5)
        assert len(profiles[m]["b"].values) >= 15 or "bounds" in options


def test_many_profiles_in_numbers_and_words(many_data):
    """Fits without profiles have none, and the table counts verdicts."""
    Y = many_data.copy()
    Y[4] = np.nan
    with pytest.warns(RuntimeWarning, match="no_data"):
        fits = built(DECAY).fit_many(X, Y, p0=[2.5, 1.3, 0.5])
    profiles = fits.profiles(parameters=["b"])
    assert np.isnan(profiles.intervals[4]).all()
    assert profiles.counts == {"not followed to its ends": 1, "identifiable": 8}
    with pytest.raises(ValueError, match="fit 4 has no profiles"):
        profiles[4]
    with pytest.raises(IndexError, match="no fit 9"):
        profiles[9]
    assert "9 fits" in str(profiles)
    assert len(list(profiles[m] for m in (-1, 0))) == 2  # noqa: C400 (each is asked for)
    assert "8 identifiable" in repr(profiles)


# --- predictions and contours ---


def test_predictions():
    """The profile of a prediction is that of a parameter which stands for it."""
    y = skewed()
    formula = nn.Model("by_value", "x", "y", {"v": 1.8, "b": 1, "c": 0}, "(v - c)*exp(b/2)*exp(-b*x) + c")
    expected = built(formula).fit(X, y).profiles(0.9, "v")["v"]
    for options in ({}, {"sigma": 0.1, "absolute_sigma": True}):
        result = built(DECAY).fit(X, y, **options)
        expected = built(formula).fit(X, y, **options).profiles(0.9, "v")["v"]
        outputs, low, high = result.predict([[0.5]], "confidence", 0.9, method="profile")
        assert outputs[0, 0] == pytest.approx(expected.value, rel=1e-7)
        np.testing.assert_allclose([low[0, 0], high[0, 0]], expected.interval, rtol=1e-5)
    robust, other = (built(m).fit(X, y, loss="huber", f_scale=0.1) for m in (DECAY, formula))
    _, low, high = robust.predict([[0.5]], "confidence", method="profile")
    np.testing.assert_allclose([low[0, 0], high[0, 0]], other.profiles(parameters="v").intervals[0], rtol=1e-4)


def test_tied_parameters_and_derived_quantities():
    """The profile of a quantity is that of a parameter which stands for it."""
    y, tie = skewed(), {"c": "0.2*a"}
    model = nn.Model("half_life", "x", "y", {"a": 1, "b": 1}, "a*exp(-b*x) + c", ties=tie, derived={"T": "log(2)/b"})
    by_life = nn.Model("by_life", "x", "y", {"a": 1, "T": 1}, "a*exp(-log(2)/T*x) + c", ties=tie)
    for options in ({}, {"sigma": np.linspace(0.1, 0.2, len(X)), "loss": "soft_l1"}):
        result, other = (built(each).fit(X, y, **options) for each in (model, by_life))
        profiles = result.profiles(0.9, ["b", "T", "c"])
        assert profiles.names == ("b", "T", "c")
        expected = other.profiles(0.9, "T")["T"]
        np.testing.assert_allclose(profiles["T"].interval, expected.interval, rtol=1e-5)
        at = np.linspace(*expected.interval, 21)
        np.testing.assert_allclose(profiles["T"].rise(at), expected.rise(at), atol=0.01 * expected.level_rise)
        tied = 0.2 * np.array(result.profiles(0.9)["a"].interval)
        np.testing.assert_allclose(profiles["c"].interval, tied, rtol=1e-5)
        assert profiles.verdicts == ("identifiable",) * 3


LIFE = nn.Model("life", "x", "y", {"a": 1, "b": 1, "c": 0}, "a*exp(-b*x) + c", derived={"T": "log(2)/b"})
BY_LIFE = nn.Model("by_life_alone", "x", "y", {"a": 1, "T": 0.7, "c": 0}, "a*exp(-log(2)/T*x) + c")
BY_VALUE = nn.Model("by_value", "x", "y", {"v": 0.7, "b": 1, "c": 0}, "(v - c)*exp(-b*(x - 1.5)) + c")
"""The same decay by its half-life, and by its value at 1.5."""


def counts(name, parameters, output, **options):
    """A model of numbers whose distribution is Poisson's, from its mean."""
    return nn.Model(name, "x", "y", parameters, output, f"{output} - y*log({output})", **options)


COUNTS = counts("counts_of_decay", {"a": 1, "b": 1}, "a*exp(-b*x)", derived={"T": "log(2)/b"})
COUNTS_BY_LIFE = counts("counts_by_life", {"a": 1, "T": 1}, "a*exp(-log(2)/T*x)")
COUNTS_BY_VALUE = counts("counts_by_value", {"v": 1, "b": 1}, "v*exp(-b*(x - 1.5))")
PAIRS = {
    "errors in x": (LIFE, BY_LIFE, BY_VALUE, {"sigma": 0.12, "sigma_x": 0.05}),
    "groups": (LIFE, BY_LIFE, BY_VALUE, {}),
    "groups with errors in x": (LIFE, BY_LIFE, BY_VALUE, {"sigma": 0.12, "sigma_x": 0.05}),
    "likelihood": (COUNTS, COUNTS_BY_LIFE, COUNTS_BY_VALUE, {}),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_quantities_and_predictions_of_each_kind_of_fit(kind):
    """Their intervals are those of parameters which stand for them, in a model that is written with these."""
    model, by_life, by_value, options = PAIRS[kind]
    x, y = X, skewed(noise=0.06)
    if kind == "likelihood":
        y = np.random.default_rng(5).poisson(np.exp(2 - 0.6 * X)).astype(float)
    if kind.startswith("groups"):
        x, y = np.tile(X, 2), np.concatenate([y, skewed(4, 0.06) + 0.2])
        options = options | {"groups": np.repeat(["u", "w"], len(X))}
    is_grouped = "groups" in options
    apart = {"T": ["b"], "life": ["T"], "value": ["b"]} if is_grouped else {}
    results = [
        built(each, fit=True).fit(x, y, **options, **({"own": apart[key]} if apart else {}))
        for each, key in ((model, "T"), (by_life, "life"))
    ]
    profiles, expected = (result.profiles(parameters="T") for result in results)
    assert profiles.names == expected.names == (("T[u]", "T[w]") if is_grouped else ("T",))
    np.testing.assert_allclose(profiles.intervals, expected.intervals, rtol=2e-4)
    assert profiles.verdicts == expected.verdicts
    if is_grouped:
        outputs, low, high = results[0].predict([1.5, 1.5], ["u", "w"], interval="confidence", method="profile")
        alone = results[0].group("w").predict([1.5], interval="confidence", method="profile")
        np.testing.assert_array_equal(np.ravel(alone), [part[1, 0] for part in (outputs, low, high)])
        by_values = built(by_value, fit=True).fit(x, y, **options, own=["v", "b", "c"])
        whole = built(model, fit=True).fit(x, y, **options, own=["a", "b", "c"])
        _, low, high = whole.predict([1.5, 1.5], ["u", "w"], interval="confidence", method="profile")
        intervals = by_values.profiles(parameters="v").intervals
    else:
        _, low, high = results[0].predict([1.5], interval="confidence", method="profile")
        intervals = built(by_value, fit=True).fit(x, y, **options).profiles(parameters="v").intervals
    np.testing.assert_allclose(np.hstack([low, high]), intervals, rtol=2e-4)


def test_predictions_of_motion_and_of_layers():
    """They have the intervals of the formula that is the solution, and of a linear model."""
    motion = nn.Dynamics("u' = -k*u", {"u": "u0"}, {"k": 1, "u0": 2}, times=len(X), name="decaying")
    solution = nn.Model("solution", "x", "y", {"k": 1, "u0": 2}, "u0*exp(-k*x)")
    y = skewed(noise=0.05) - 0.5
    _, *ends = built(motion).fit(X[None], y[None]).predict(X[None], interval="confidence", method="profile")
    _, *expected = built(solution).fit(X, y).predict(X, interval="confidence", method="profile")
    np.testing.assert_allclose(np.ravel(ends), np.ravel(expected), rtol=2e-4)
    layers = nn.Sequential([nn.Dense(1)], inputs=1, loss="mse", name="line_of_layers")
    result = built(layers, fit=True).fit(X[:, None], skewed()[:, None])
    np.testing.assert_allclose(result.profiles().intervals, result.confidence_intervals(), rtol=1e-6)
    _, *ends = result.predict([[2.0]], interval="confidence", method="profile")
    np.testing.assert_allclose(np.ravel(ends), np.ravel(result.predict([[2.0]], interval="confidence")[1:]), rtol=1e-5)


def test_a_quantity_that_the_data_do_not_determine():
    """Its profile goes on to both sides; one that is a number has none."""
    model = nn.Model("lost", "x", "y", {"V": 1, "k": 1, "m": 2}, "V*k*x/(m + x)", derived={"q": "V/k", "p": "V*k"})
    result = built(model).fit(X, 3 * X / (1.2 + X) + 0.05 * np.random.default_rng(2).normal(size=len(X)))
    profiles = result.profiles(parameters=["q", "p"])
    assert profiles.verdicts[1] == "identifiable"
    assert profiles.verdicts[0] != "identifiable"
    constant = nn.Model("constant", "x", "y", {"a": 1}, "a*x", derived={"two": "a - a + 2"})
    with pytest.raises(ValueError, match="two is a number"):
        built(constant).fit(X, 2 * X + 0.1 * np.cos(9 * X)).profiles(parameters="two")


def test_quantities_of_many_fits(tmp_path):
    """They are those of each fit, beside parameters, and are saved."""
    Y = np.stack([skewed(seed, 0.06) for seed in range(3)])
    module = built(LIFE)
    fits = module.fit_many(X, Y)
    profiles = fits.profiles(parameters=["T", "a"], threads=2)
    assert profiles.names == ("a", "T")
    for m in range(3):
        alone = module.fit(X, Y[m]).profiles(parameters=["a", "T"])
        np.testing.assert_allclose(profiles.intervals[m], alone.intervals, rtol=2e-4)
        np.testing.assert_allclose(profiles[m].intervals, profiles.intervals[m], rtol=1e-12)
    profiles.save(tmp_path / "profiles.npz")
    again = module.load(tmp_path / "profiles.npz")
    np.testing.assert_array_equal(again.intervals, profiles.intervals)
    assert again.names == profiles.names
    np.testing.assert_array_equal(profiles.to_frame()["T"], fits.derived["T"])


def test_contour_of_a_line_is_its_ellipse():
    """For a linear model the joint contour is where the quadratic form of the covariance has F's quantile."""
    x, y = decay_data()
    result = fitted(line(), x, y, [0, 0])
    contour = result.contour("a", "b", 0.9)
    away = contour.points - result.parameters
    forms = np.einsum("ki,ij,kj->k", away, np.linalg.inv(result.covariance), away)
    np.testing.assert_allclose(forms, 2 * stats.f.ppf(0.9, 2, 18), rtol=1e-5)
    np.testing.assert_array_equal(contour.points[0], contour.points[-1])
    known = fitted(line(), x, y, [0, 0], 0.1, absolute_sigma=True)
    away = known.contour("a", "b", 0.9).points - known.parameters
    forms = np.einsum("ki,ij,kj->k", away, np.linalg.inv(known.covariance), away)
    np.testing.assert_allclose(forms, stats.chi2.ppf(0.9, 2), rtol=1e-5)


def test_extremes_of_a_contour_are_the_intervals():
    """At the level of one parameter, the contour reaches as far as its profile."""
    result = built(DECAY).fit(X, skewed())
    contour = result.contour("b", "c", joint=False, points=400)
    intervals = result.profiles().intervals[1:]
    np.testing.assert_allclose(np.stack([contour.points.min(0), contour.points.max(0)], 1), intervals, rtol=1e-4)


# --- ends, errors, files, pictures ---


def test_time_limit_and_progress(capsys):
    """What is not followed to its ends has no interval, and a warning says so."""
    result = built(DECAY).fit(X, skewed())
    with pytest.warns(RuntimeWarning, match="time limit was reached"):
        profiles = result.profiles(time_limit=0)
    assert profiles.status == "time_limit"
    assert np.isnan(profiles.intervals).all()
    assert "not followed to its ends" in str(profiles)
    assert result.profiles(progress=True).status == "completed"
    assert "end 6/6" in capsys.readouterr().err


def test_an_interrupt_ends_profiles():
    """Ctrl-C is not swallowed."""
    result = built(DECAY).fit(X, skewed())
    refit, calls = result._refit, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) > 7:
            raise KeyboardInterrupt
        return refit(*arguments)

    result._refit = interrupted
    with pytest.raises(KeyboardInterrupt):
        result.profiles()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 1.0}, "level is a probability between 0 and 1"),
        ({"level": "much"}, "level is a probability"),
        ({"parameters": "z"}, "no parameter 'z' to follow; there are: a, b, c"),
        ({"parameters": ["c"]}, "'c' is fixed"),
        ({"parameters": []}, "no parameter is named"),
        ({"threads": 0}, "threads must be an integer"),
        ({"time_limit": -1}, "time_limit is -1"),
    ],
)
def test_arguments(arguments, message):
    """Each is checked, in words."""
    result = built(DECAY).fit(X, skewed(), fixed={"c": 0.5})
    with pytest.raises(ValueError, match=message):
        result.profiles(**arguments)


def test_fits_without_profiles():
    """A fit that did not converge, has no degrees of freedom or no errors, or whose parts a contour cannot have."""
    module, y = built(DECAY), skewed()
    with pytest.warns(RuntimeWarning):
        early = module.fit(X, y, max_iterations=1)
    with pytest.raises(ValueError, match="did not converge"):
        early.profiles()
    with pytest.raises(ValueError, match="need degrees of freedom"):
        module.fit(X[:3], y[:3], p0=[2.5, 1.3, 0.5]).profiles()
    exact = fitted(line(), X[:, None], 1 + 2 * X, [0, 0], end=[1.0, 2.0])
    with pytest.raises(ValueError, match="met exactly"):
        exact.profiles()
    with pytest.raises(ValueError, match="do not determine V and k"):
        built(ONLY_PRODUCT).fit(X, product_data()).contour("V", "k")
    result = module.fit(X, y)
    with pytest.raises(ValueError, match="two numbers"):
        result.contour("a", "a")
    with pytest.raises(KeyError, match="no profile of 'z'"):
        result.profiles()["z"]
    with pytest.raises(ValueError, match="no method 'likelihood'"):
        result.predict([[1]], "confidence", method="likelihood")
    with pytest.raises(ValueError, match="has no effect without an interval"):
        result.predict([[1]], method="profile")
    with pytest.raises(ValueError, match="no profile; use interval='confidence'"):
        result.predict([[1]], "prediction", method="profile")


def test_files_and_pickles(tmp_path, many_data):
    """Profiles are read from files and pickles as they were, with their fits."""
    module = built(DECAY)
    profiles = module.fit(X, skewed()).profiles(parameters=["a", "b"])
    profiles.save(tmp_path / "profiles.npz")
    groups = module.fit(X, skewed(), groups=np.arange(len(X)) % 2, own="a").profiles(parameters="b")
    groups.save(tmp_path / "groups.npz")
    for there, again in (
        (profiles, module.load(tmp_path / "profiles.npz")),
        (profiles, pickle.loads(pickle.dumps(profiles))),
        (groups, module.load(tmp_path / "groups.npz")),
    ):
        assert str(again) == str(there)
        np.testing.assert_array_equal(again["b"].parameters, there["b"].parameters)
        np.testing.assert_array_equal(again["b"].rise(1.3), there["b"].rise(1.3))
        assert again.result.cost == there.result.cost
    many = module.fit_many(X, many_data, p0=[2.5, 1.3, 0.5]).profiles()
    many.save(tmp_path / "many.npz")
    for again in (module.load(tmp_path / "many.npz"), pickle.loads(pickle.dumps(many))):
        np.testing.assert_array_equal(again.intervals, many.intervals)
        np.testing.assert_array_equal(again.verdicts, many.verdicts)
    assert str(again[3]) == str(many[3])
    with pytest.raises(ValueError, match="belongs to another model"):
        built(ONLY_PRODUCT).load(tmp_path / "profiles.npz")


def test_damaged_files(tmp_path, many_data):
    """A file whose parts do not fit together is refused."""
    module = built(DECAY)
    profiles, many = module.fit(X, skewed()).profiles(), module.fit_many(X, many_data, p0=[2.5, 1.3, 0.5]).profiles()
    for each in (profiles, many):
        each.save(tmp_path / "kept.npz")
        arrays = dict(np.load(tmp_path / "kept.npz"))
        damages = [{"u": arrays["u"][:-1]}, {"begins": arrays["begins"] + 1}, {"ends": arrays["ends"] + 9}]
        damages += [{"axis": arrays["axis"][:-1]}, {"points": arrays["points"][:, :-1]}, {"scale": arrays["scale"][:2]}]
        damages += [{"fit": arrays["fit"][:-9]}, {"unknown": np.zeros(1)}]
        damages += [{"names": np.array(["a", "b", "z"])}] if each is profiles else [{"positions": np.array([0, 1, 7])}]
        for damage in damages:
            np.savez(tmp_path / "damaged.npz", **{**arrays, **damage})
            with pytest.raises(ValueError, match=r"damaged\.npz is damaged, or no result"):
                module.load(tmp_path / "damaged.npz")


def test_tables():
    """All points are rows of a DataFrame; of many fits, each is a row."""
    pytest.importorskip("pandas")
    profiles = built(DECAY).fit(X, skewed()).profiles()
    frame = profiles.to_frame()
    assert len(frame) == sum(len(profile.values) for profile in profiles)
    rows = frame[frame["profile"] == "b"]
    np.testing.assert_array_equal(rows["value"], rows["parameter b"])
    np.testing.assert_allclose(rows["rise"], profiles["b"].rises)
    many = built(DECAY).fit_many(X, np.stack([skewed(), skewed(4)])).profiles()
    np.testing.assert_array_equal(many.to_frame()["b_low"], many.intervals[:, 1, 0])


def test_pictures():
    """A picture for each parameter, with its verdict, and the contour as a closed line."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    result = built(DECAY).fit(X, skewed())
    figure = result.profiles().plot()
    assert [panel.get_xlabel() for panel in figure.axes] == ["a", "b", "c"]
    assert all(panel.get_title() == "identifiable" for panel in figure.axes)
    with pytest.raises(ValueError, match="there are 1 axes for 3 profiles"):
        result.profiles().plot(figure.axes[0])
    lines = result.contour("a", "b").plot().axes[0].lines[0].get_xydata()
    np.testing.assert_array_equal(lines[0], lines[-1])
    built(ONLY_PRODUCT).fit(X, product_data()).profiles().plot()
    matplotlib.pyplot.close("all")


# --- the walk ---


def walked(root, most=1e4, bound=False):
    """A walk along one curve with a root of the rise, a function of the coordinate."""

    def solve(curves, u, starts):
        z = np.array([root(value) for value in u])
        return z, u, u[:, None]

    walk = Walk(solve, np.zeros((1, 1)), np.array([float(most)]), np.array([bound]))
    walk.run()
    return walk


@pytest.mark.parametrize(
    ("root", "most", "end", "crossing"),
    [
        (lambda u: u, 1e4, CROSSED, 1.0),
        (lambda u: u**3, 1e4, CROSSED, 1.0),
        (math.sqrt, 1e4, CROSSED, 1.0),
        (lambda u: 0.3 * u / (1 + 0.1 * u), 1e4, CROSSED, 5.0),
        (lambda u: 0.9 * math.tanh(u), 100, FAR, 100.0),
        (lambda u: 0.9 * u, 0.5, BOUND, 0.5),
        (lambda u: u if u < 0.7 else math.nan, 1e4, BROKEN, 0.7),
        (lambda u: 0.2 * u if u < 0.7 else 9.0, 1e4, BROKEN, 0.7),
        (lambda u: 1e6 * u, 1e4, CROSSED, 1e-6),
        (lambda u: max(0.0, u - 2), 1e4, CROSSED, 3.0),
        (lambda u: 0.5 * u if u < 1 else 0.4 * u + 0.2, 1e4, CROSSED, 2.0),
    ],
)
def test_walks_end_where_they_should(root, most, end, crossing):
    """Straight and curved, flat and steep, to a bound, to where nothing is finite, and over a jump."""
    walk = walked(root, most, end == BOUND)
    assert walk.ends[0] == end
    assert walk.crossings[0] == pytest.approx(crossing, rel=2e-5)
    points = walk.points()
    assert (np.diff(points.u) > 0).all()
    assert (np.diff(points.ranks) == 1).all()


def test_a_stray_fit_is_made_again():
    """A fit that ends in another valley, because it began far away, does not end the walk."""
    seen = []

    def root(u):
        seen.append(u)
        return 5.0 if len(seen) == 3 else 0.4 * u

    walk = walked(root)
    assert walk.ends[0] == CROSSED
    assert walk.crossings[0] == pytest.approx(2.5, rel=1e-6)


def test_gaps_are_halved_where_points_do_not_say_enough():
    """Where the curve turns between points, it is fitted more often, until it is known."""

    def bent(u):
        return u + np.sign(u) * 0.1 * np.logaddexp(0, (np.abs(u) - 0.5) / 0.05)

    u = np.linspace(-0.7, 0.7, 9)
    curves = Curves(np.array([0, 9]), u, bent(u), u, u[:, None])
    better = checked(curves, lambda index, at, starts: (np.abs(bent(at)), at, at[:, None]))
    assert len(curves.u) < len(better.u) < 40
    at = np.linspace(-0.69, 0.69, 500)
    left = np.searchsorted(better.u, at, side="right") - 1
    np.testing.assert_allclose(better.at(left, at, better.slopes()) ** 2, bent(at) ** 2, atol=0.01)


# --- others ---


def test_minos_agrees():
    """On NIST's problems, intervals are those of MINOS to 1e-4 of their width."""
    pytest.importorskip("iminuit")
    from nncodegen.bench.profiling import _apart, _level, _minos

    for name in ("Misra1a", "MGH09", "Rat42"):
        if name not in nist.NAMES:
            pytest.skip("the reference problems are not installed")
        problem = nist.problem(name)
        result = built(problem.curve.model).fit(problem.x, problem.y, p0=problem.starts[1])
        intervals = result.profiles(_level(result.degrees_of_freedom)).intervals
        assert _apart(_minos(problem, result)(), intervals) < 1e-4


def test_intervals_contain_the_truth():
    """Of simulated sets of five points on a saturation, 95 % intervals contain the truth as often as they should."""
    truth, x = np.array([1.0, 1.5]), np.array([0.25, 0.5, 1, 2, 4])
    model = nn.Model("few_points", "x", "y", {"V": 1, "k": 1}, "V*x/(k + x)")
    Y = truth[0] * x / (truth[1] + x) + 0.08 * np.random.default_rng(0).normal(size=(2000, 5))
    options = {"sigma": 0.08, "absolute_sigma": True, "bounds": {"k": (0, None)}}
    fits = built(model).fit_many(x, Y, p0=truth, **options)
    ends = fits.profiles().intervals
    inside = ((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1])).mean(axis=0)
    assert ((inside > 0.94) & (inside < 0.96)).all()
    by_errors = (np.abs(fits.parameters - truth) <= 1.959964 * fits.standard_errors).mean(axis=0)
    assert by_errors[1] < 0.93

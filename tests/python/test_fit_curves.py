"""Models that are made of curves by name: starts from data, bounds and the order of terms, in all kinds of fits."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("scipy")

import nncodegen as nn
from nncodegen import curves
from tests.support.curves import values_at

pytestmark = pytest.mark.usefixtures("quick_compiler")

X = 1500 + np.arange(0.0, 201.0)
PEAKS = curves.gaussian("a_") + curves.gaussian("b_") + curves.gaussian("c_") + curves.line()
MIXED = curves.gaussian("a_") + curves.lorentzian("b_") + curves.thompson_voigt("c_") + curves.line()
CENTRES = ("a_centre", "b_centre", "c_centre")


def spectrum(seed, curve=PEAKS):
    """A spectrum at 1500 to 1700, and the parameters that made it: three peaks well apart, in any order, on a line."""
    random = np.random.default_rng(seed)
    centres = 1530 + np.cumsum(random.uniform([0, 40, 40], [20, 60, 60]))
    true = {"intercept": random.uniform(0, 5) + 0.01 * 1500, "slope": -0.01}
    for prefix, centre in zip("abc", random.permutation(centres), strict=True):
        true |= {f"{prefix}_height": random.uniform(1, 8), f"{prefix}_centre": centre}
        true |= {f"{prefix}_{width}": random.uniform(3, 8) for width in ("sigma", "gamma")}
    exact = values_at(curve, X, [true[name] for name in curve.names])
    return exact + 0.1 * random.normal(size=len(X)), {name: true[name] for name in curve.names}


@pytest.fixture(scope="module")
def peaks(quick_compiler):
    """Three Gaussian peaks on a line, whose parameters have no values."""
    return nn.build(nn.Model("three_peaks", "x", "y", output=PEAKS))


@pytest.fixture(scope="module")
def mixed(quick_compiler):
    """A Gaussian, a Lorentzian and a Voigt peak on a line."""
    return nn.build(nn.Model("mixed_peaks", "x", "y", output=MIXED))


def test_the_facts_of_a_module(peaks):
    """A module knows names, bounds and estimates of its curves, and whether values of its parameters were given."""
    facts = peaks._model.facts
    assert [term.kind for term in facts.fitting.curves] == ["gaussian"] * 3 + ["line"]
    assert [parameter.name for term in facts.fitting.curves for parameter in term.parameters] == list(PEAKS.names)
    low = {parameter.name: parameter.low for term in facts.fitting.curves for parameter in term.parameters}
    assert {name: 0 for name in low if np.isfinite(low[name])} == dict.fromkeys(["a_sigma", "b_sigma", "c_sigma"], 0)
    assert facts.fitting.starts_from_data
    module = nn.build(nn.Model("given", "x", "y", {"intercept": 1, "slope": 2}, curves.line), fit=False)
    assert [term.kind for term in module._model.facts.fitting.curves] == ["line"]
    assert not module._model.facts.fitting.starts_from_data


@pytest.mark.parametrize("seed", range(4))
def test_one_fit(peaks, seed):
    """Without a start, a fit ends at the minimum near the truth, with peaks in the order of their places."""
    y, true = spectrum(seed)
    best = peaks.fit(X, y, p0=true)
    for start in (None, "auto"):
        fitted = peaks.fit(X, y, p0=start)
        assert fitted.converged
        assert fitted.chi2 <= best.chi2 * (1 + 1e-6)
        np.testing.assert_allclose(
            [fitted[name] for name in CENTRES], sorted(best[name] for name in CENTRES), rtol=1e-7
        )
        assert all(fitted[f"{prefix}_sigma"] > 0 for prefix in "abc")


@pytest.mark.parametrize("seed", [0, 1, 2, 3, *(pytest.param(k, marks=pytest.mark.thorough) for k in range(4, 20))])
def test_shapes_that_differ(mixed, seed):
    """Peaks of several shapes find their places, in a model and in curve_fit alike."""
    y, true = spectrum(seed, MIXED)
    best = mixed.fit(X, y, p0=true)
    assert mixed.fit(X, y, p0="auto").chi2 <= best.chi2 * (1 + 1e-5)
    popt, _ = nn.curve_fit(MIXED, X, y)
    assert ((values_at(MIXED, X, popt) - y) ** 2).sum() <= best.chi2 * (1 + 1e-5)


@pytest.mark.parametrize(("start", "least"), [(None, 6), ("auto", 8)])
def test_many_fits(peaks, start, least):
    """Each set of data has its own start, and peaks have the same order in all; estimates alone suffice for most."""
    sets = [spectrum(seed) for seed in range(10, 18)]
    Y = np.array([y for y, _ in sets])
    best = peaks.fit_many(X, Y, p0=np.array([list(true.values()) for _, true in sets]))
    fits = peaks.fit_many(X, Y, p0=start)
    same = np.abs(fits.chi2 - best.chi2) <= 1e-6 * best.chi2
    assert same.sum() >= least
    assert fits.success[same].all()
    places = [PEAKS.names.index(name) for name in CENTRES]
    expected = np.sort(best.parameters[:, places], axis=1)
    np.testing.assert_allclose(fits.parameters[same][:, places], expected[same], rtol=1e-6)


@pytest.mark.parametrize("start", [None, "auto"])
def test_groups(peaks, start):
    """Heights and lines of groups are their own; centres and widths, which they share, begin at estimates from all."""
    random = np.random.default_rng(3)
    _, true = spectrum(5)
    names = [name for name in PEAKS.names if "height" in name or name in ("intercept", "slope")]
    points = [
        {name: value * (random.uniform(0.2, 2) if name in names else 1) for name, value in true.items()}
        for _ in range(5)
    ]
    Y = [values_at(PEAKS, X, list(point.values())) + 0.1 * random.normal(size=len(X)) for point in points]
    arguments = {"groups": np.repeat(np.arange(5), len(X)), "own": names}
    every = np.tile(X, 5), np.concatenate(Y)
    best = peaks.fit(*every, p0=np.array([list(point.values()) for point in points]), **arguments)
    fitted = peaks.fit(*every, p0=start, **arguments)
    assert fitted.converged
    assert fitted.chi2 <= best.chi2 * (1 + 1e-6)


def test_values_that_are_given(peaks):
    """Given starts are kept; the others are estimated. Values of all parameters in the model are a start as well."""
    y, true = spectrum(1)
    fitted = peaks.fit(X, y, p0={"a_centre": true["a_centre"], "a_sigma": 5})
    assert fitted.chi2 <= peaks.fit(X, y, p0=true).chi2 * (1 + 1e-6)
    assert fitted["a_centre"] == pytest.approx(true["a_centre"], abs=1)
    held = peaks.fit(X, y, fixed={"slope": 0.0})
    assert held["slope"] == 0
    decay = nn.build(nn.Model("decay", "x", "y", {"amplitude": 3, "rate": 0.1}, curves.exponential))
    np.testing.assert_array_equal(decay.fit(np.linspace(0, 3, 9), np.exp(-np.linspace(0, 3, 9))).p0, (3, 0.1))


def test_bounds(peaks):
    """Curves bring bounds, which a mapping replaces one by one, and a pair altogether."""
    y, true = spectrum(1)
    assert np.array_equal(peaks.fit(X, y, p0=true)._bounds[0] == 0, ["sigma" in name for name in PEAKS.names])
    named = peaks.fit(X, y, p0=true, bounds={"a_sigma": (None, None), "slope": (-1, 1)})._bounds
    low = dict(zip(PEAKS.names, named[0], strict=True))
    assert (low["a_sigma"], low["b_sigma"], low["slope"]) == (-np.inf, 0, -1)
    assert peaks.fit(X, y, p0=true, bounds=(-np.inf, 1e6))._bounds[0].max() == -np.inf


def test_a_start_outside_of_the_bounds_of_a_curve():
    """It is taken as it is, after a warning, and the parameter has no bounds; those of users hold, as an error."""
    peak = nn.build(nn.Model("peak", "x", "y", output=curves.gaussian))
    x = np.linspace(0, 10, 60)
    y = 3 * np.exp(-(((x - 4) / 0.7) ** 2) / 2) + 0.01 * np.random.default_rng(0).normal(size=60)
    start = {"height": 2, "centre": 4.2, "sigma": -1.0}
    message = "sigma begins at -1, below the bound 0 of its curve, so it has no bounds in this fit"
    for values in (start, [*start.values()]):
        with pytest.warns(UserWarning, match=message):
            assert peak.fit(x, y, p0=values)["sigma"] == pytest.approx(-0.7, rel=0.02)
        with pytest.warns(UserWarning, match=message):
            assert peak.fit_many(x, [y, y], p0=values).parameters[1, 2] == pytest.approx(-0.7, rel=0.02)
        with pytest.warns(UserWarning, match=message):
            popt, _ = nn.curve_fit(curves.gaussian, x, y, p0=values)
        assert popt[2] == pytest.approx(-0.7, rel=0.02)
    with pytest.raises(ValueError, match="the start is outside of the bounds: sigma is -1"):
        peak.fit(x, y, p0=start, bounds={"sigma": (0, 5)})


def test_terms_keep_their_places_where_something_tells_them_apart(peaks):
    """Bounds, or values that are given, tell peaks apart: then they are not put in order."""
    y, true = spectrum(1)
    centre = max(true[name] for name in CENTRES)
    fitted = peaks.fit(X, y, p0="auto", bounds={"a_centre": (centre - 15, centre + 15)})
    assert fitted["a_centre"] == pytest.approx(centre, abs=1)
    from_start = peaks.fit(X, y, p0={"a_centre": centre, "a_sigma": 5}, n_starts="auto")
    assert from_start.chi2 <= peaks.fit(X, y, p0=true).chi2 * (1 + 1e-6)


def test_several_outputs_and_ties():
    """Each output is estimated from its own target; parameters that are tied follow others."""
    both = nn.build(
        nn.Model(
            "both",
            "t x",
            "y z",
            output=(curves.gaussian("p_"), curves.exponential("q_", x="t")),
            parameters={"p_height": 1, "p_centre": 1, "p_sigma": 1, "q_amplitude": 1, "q_rate": 1},
        )
    )
    rows = np.column_stack([np.linspace(0, 4, 50), np.linspace(600, 700, 50)])
    exact = both.predict([5, 650, 6, 3, 0.8], rows)
    fitted = both.fit(rows, exact, p0="auto")
    np.testing.assert_allclose(fitted.parameters, [5, 650, 6, 3, 0.8], rtol=1e-6)
    doublet = nn.build(
        nn.Model("doublet", "x", "y", output=curves.gaussian("a_") + curves.gaussian("b_"), ties={"b_sigma": "a_sigma"})
    )
    y = values_at(curves.gaussian("a_") + curves.gaussian("b_"), X, (4, 1560, 6, 3, 1640, 6))
    for start in (None, "auto"):
        assert doublet.fit(X, y, p0=start).chi2 < 1e-12


def test_data_that_tell_no_start(peaks):
    """Without data, and at a single x, fits begin at typical values, and end as others do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert peaks.fit(X, np.full(len(X), np.nan)).status == "no_data"
        assert np.isfinite(peaks.fit(np.ones(20), np.arange(20.0)).parameters).all()
        many = peaks.fit_many(X, np.array([np.full(len(X), np.nan), spectrum(1)[0]]))
    assert many.status[0] == "no_data"
    assert many.success[1]


def test_portable_bits_begin_at_values_of_the_model():
    """Estimates may differ by rounding between CPUs, so a portable module begins where the model says."""
    portable = nn.build(nn.Model("portable_peak", "x", "y", output=curves.exponential), bits="portable")
    x = np.linspace(0, 3, 30)
    result = portable.fit(x, 2 * np.exp(-0.7 * x))
    np.testing.assert_allclose(result.parameters, (2, 0.7), rtol=1e-6)
    np.testing.assert_array_equal(result.p0, (1, 1))


def test_a_module_in_a_folder(tmp_path):
    """A module that is imported from a folder knows its curve, with NumPy alone."""
    nn.build(nn.Model("folder_peak", "x", "y", output=curves.gaussian + curves.line), out=tmp_path)
    program = """
import sys
import numpy as np
import folder_peak
x = np.linspace(1500, 1700, 101)
y = 5*np.exp(-((x - 1580)/7)**2/2) + 3 + 0.01*x
found = folder_peak.fit(x, y)
assert found.converged and found.chi2 < 1e-12 and abs(found["centre"] - 1580) < 1e-6 and found["sigma"] > 0
assert folder_peak.fit_many(x, np.array([y, 2*y])).success.all()
assert not {"sympy", "scipy", "nncodegen"} & {*sys.modules}
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Fits do not step over a pole, find what others find, and say truly how they ended."""

import json
import warnings

import numpy as np
import pytest

optimize = pytest.importorskip("scipy.optimize")

from sympy import symbols

import nncodegen as nn
from nncodegen.curves.fitting import read_formula
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")

SATURATION, INHIBITION = "V*x/(K + x)", "V*x/(K + x + x**2/J)"
ENZYME = (
    np.array([0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.10, 1.10]),
    np.array([76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200.0]),
)
"""The Puromycin data of the README (Treloar, 1974), for which K is 0.0641 and V 212.68."""
AT_A_POLE = "ended at a pole"
LOGISTICS = ("a + (d - a)*x**b/(c**b + x**b)", "a + (d - a)/(1 + exp(b*(log(c) - log(x))))")
DOSES = {
    "with zero": np.linspace(0, 100, 11),
    "decades": np.geomspace(0.01, 100, 10),
    "mol": np.geomspace(1e-9, 1e-4, 10),
}


def module_of(text, **options):
    return built(read_formula(text, ("x",)).model(), **options)


def problems(text, low, high, x, count=60, noise=0.02):
    """Targets (count, N) of parameters drawn between two ends, with noise; and those parameters."""
    rng = np.random.default_rng(11)
    true = rng.uniform(low, high, (count, len(low)))
    y = np.array([module_of(text).predict(each, x[:, None])[:, 0] for each in true])
    return y + noise * y.std(axis=1, keepdims=True) * rng.normal(size=y.shape), true


@pytest.mark.parametrize(
    ("text", "low", "high", "x"),
    [
        (SATURATION, [20, 0.2], [300, 5], np.linspace(0.02, 1.5, 12)),
        pytest.param(INHIBITION, [20, 0.2, 0.5], [300, 3, 5], np.linspace(0.05, 4, 20), marks=pytest.mark.thorough),
    ],
    ids=["saturation", "inhibition"],
)
def test_from_ones(text, low, high, x):
    """Rational formulas are found from all ones, side by side and one by one, where their pole is near the start."""
    module = module_of(text)
    y, true = problems(text, low, high, x)
    best = module.fit_many(x[:, None], y, p0=true).chi2
    many = module.fit_many(x[:, None], y, p0=np.ones(len(low)), max_iterations=1000)
    assert np.sum(many.chi2 <= 1.001 * best) >= 58
    assert not many.poles.any()
    single = [module.fit(x[:, None], each).chi2 for each in y[:20]]
    assert np.sum(single <= 1.001 * best[:20]) >= 19


def test_enzyme():
    """The README's data are fitted without a start, as with a good one."""
    popt, _ = nn.curve_fit(SATURATION, *ENZYME)
    assert popt == pytest.approx([212.68, 0.0641], rel=1e-3)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_start_with_a_pole(precision):
    """A pole that is among the data at the start is told of where it stays: by each kind of fit, in words."""
    module = module_of(SATURATION, precision=precision)
    x, y = ENZYME
    start = [200.0, -0.3]
    with pytest.warns(RuntimeWarning, match=f"{AT_A_POLE}: K \\+ x changes its sign among the data"):
        result = module.fit(x[:, None], y, p0=start)
    assert result.poles == ("K + x",)
    assert "a pole" in str(result)
    assert json.loads(json.dumps(result.as_dict()))["poles"] == ["K + x"]
    with pytest.warns(RuntimeWarning, match="1 of 2 fits ended at a pole"):
        many = module.fit_many(x[:, None], np.array([y, y]), p0=[start, [200.0, 0.1]])
    assert many.poles.tolist() == [True, False]
    assert "1 with a pole among the data" in repr(many)
    with pytest.warns(RuntimeWarning, match=AT_A_POLE):
        module.train(x[:, None], y[:, None], parameters=start, optimizer="lm", epochs=50)


def test_without_a_pole():
    """Nothing is said where there is none, and a start beyond the pole stays on its side."""
    x, y = ENZYME
    module = module_of(SATURATION)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert module.fit(x[:, None], y).poles == ()
        assert module.fit(x[:, None], y, p0=[-200.0, -3.0]).parameters[1] < -1.1


def test_missing_data():
    """A sample whose target is missing does not count: its pole is none of the data's."""
    x, y = (np.append(values, more) for values, more in zip(ENZYME, (-0.05, np.nan), strict=True))
    module = module_of(SATURATION)
    first = module.fit(x[:, None], y, p0=[100.0, 0.2])
    many = module.fit_many(x[:, None], y[None], p0=[100.0, 0.2])
    for parameters in (first.parameters, many.parameters[0]):
        assert parameters == pytest.approx([212.68, 0.0641], rel=1e-3)
    assert first.poles == ()
    assert not many.poles.any()


def test_names_of_poles_with_errors_in_x():
    """With errors in x, a pole has the name that it has without them, for each kind of fit."""
    module = built(nn.Model("three_poles", "x", "y", {"a": 1, "b": 0.5, "c": 2}, "x/(a + x)/(b - 2*x)/(c + 3*x)"))
    x = np.append(0.1, np.linspace(1.2, 3, 11))  # b - 2*x changes its sign among the first group of them
    y = x / (1 + x) / (0.5 - 2 * x) / (2 + 3 * x)
    options = {"fixed": {"a": 1, "c": 2}, "sigma": 0.01}
    groups = {"groups": np.repeat([0, 1], 6), "own": "b"}
    for errors in ({}, {"sigma_x": 0.001}):
        with pytest.warns(RuntimeWarning, match="at a pole: b - 2"):
            assert module.fit(x, y, **options, **errors).poles == ("b - 2*x",)
        with pytest.warns(RuntimeWarning, match="at a pole: b - 2"):
            fitted = module.fit(x, y, **options, **groups, **errors)
        assert fitted.poles == fitted.group(0).poles == ("b - 2*x",)
        assert fitted.group(1).poles == ()
        with pytest.warns(RuntimeWarning, match="1 of 2 fits ended at a pole"):
            many = module.fit_many(np.array([x, x[::-1] + 1])[..., None], np.array([y, y]), **options, **errors)
        assert many.poles.tolist() == [True, False]


@pytest.mark.parametrize("text", ["a/x + b", "a/(x**2 - 4) + b", "a/(x*(b + x))"])
def test_poles_of_x_alone(text):
    """Samples on both sides of a pole that no parameter has are fitted with errors in x, and no pole is told of."""
    module = module_of(text)
    x = np.array([-1.9, -1.5, -1.0, -0.8, 0.8, 1.0, 1.5, 1.9])
    x = np.concatenate([x, 2 * np.sign(x) + x])
    start = [1.0, 5.0]
    y = module.predict(start, x[:, None])[:, 0]
    options = {"sigma": 0.01, "sigma_x": 0.01, "p0": start}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = module.fit(x, y, **options)
        many = module.fit_many(np.tile(x[:, None], (3, 1, 1)), np.tile(y, (3, 1)), **options)
        groups = module.fit(np.tile(x, 2), np.tile(y, 2), groups=np.repeat([0, 1], len(x)), own="a", **options)
    assert fitted.poles == groups.poles == groups.group(0).poles == ()
    assert not many.poles.any()
    for parameters in (fitted.parameters, *many.parameters, *groups.group_parameters):
        assert parameters == pytest.approx(start, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
def test_another_loss():
    """A loss that is no sum of squares keeps the signs as well."""
    x, y, V, K = symbols("x y V K")
    rate = V / (K + x)
    module = built(nn.Model("counts", x, y, {V: 1.0, K: 1.0}, rate, (rate - y) ** 2 + (rate - y) ** 4))
    points = np.linspace(0.1, 3, 15)
    targets = 90 / (0.4 + points)
    result = module.fit(points[:, None], targets)
    assert result.parameters == pytest.approx([90, 0.4], rel=1e-6)
    with pytest.warns(RuntimeWarning, match=AT_A_POLE):
        result = module.fit(points[:, None], targets, p0=[5.0, -1.0], max_iterations=0)
    assert result.poles == ("K + x",)


@pytest.mark.filterwarnings("ignore:.*did not converge:RuntimeWarning")
@pytest.mark.parametrize(
    ("text", "true", "x", "starts"),
    [
        (SATURATION, [212.0, 0.064], np.linspace(0.02, 1.1, 12), None),
        ("a/(1 + exp(-k*(x - c)))", [10.0, 1.5, 3.0], np.linspace(0, 6, 25), None),
        ("a*exp(-((x - c)/w)**2/2) + b", [4.0, 2.0, 0.6, 0.5], np.linspace(-1, 5, 40), None),
        ("a*exp(-((x - c)/w)**2/2) + b", [4.0, 2.0, 0.6, 0.5], np.linspace(-1, 5, 40), 1.0),
    ],
)
def test_random_starts(text, true, x, starts):
    """From random starts, log-normal about the truth, or from ones, as many are found as by MINPACK, less one."""
    module, rng, true = module_of(text), np.random.default_rng(3), np.array(true)
    targets = module.predict(true, x[:, None])[:, 0]
    y = targets + 0.02 * targets.std() * rng.normal(size=(30, len(x)))
    begin = true * rng.lognormal(0, 1.2, (30, len(true))) if starts is None else np.ones((30, len(true)))
    ours = module.fit_many(x[:, None], y, p0=begin, max_iterations=1000).chi2
    alone = np.array([module.fit(x[:, None], each, p0=p).chi2 for each, p in zip(y, begin, strict=True)])
    theirs = np.array([by_minpack(module, x, each, p) for each, p in zip(y, begin, strict=True)])
    best = 1.001 * np.nanmin([module.fit_many(x[:, None], y, p0=true).chi2, ours, theirs, alone], axis=0)
    assert np.sum(ours <= best) >= np.sum(theirs <= best) - 1
    assert np.sum(alone <= best) >= np.sum(theirs <= best) - 1


def by_minpack(module, x, y, start):
    """The sum of squares that MINPACK finds."""

    def residuals(p):
        return np.nan_to_num(module.predict(p, x[:, None])[:, 0] - y, nan=1e9, posinf=1e9, neginf=-1e9)

    def slopes(p):
        return np.nan_to_num(module.jacobian(p, x[:, None])[:, 0], posinf=1e9, neginf=-1e9)

    with np.errstate(all="ignore"):
        return 2 * optimize.least_squares(residuals, start, slopes, method="lm", x_scale="jac", max_nfev=1000).cost


# --- how fits end


@pytest.mark.parametrize(
    ("text", "true", "samples"),
    [
        ("a + b*x + c*x**2", [1.3, 0.7, 1.9], 3),
        ("a + b*x + c*x**2", [1.3, 0.7, 1.9], 20),
        ("a*exp(-b*x) + c + 1000000", [2.0, 0.8, 0.3], 20),
        (SATURATION, [50.0, 3.0], 20),
    ],
)
def test_exact_data(text, true, samples):
    """Data that a formula meets exactly are fitted, whatever rounding does to the last digits: that is converged."""
    x = np.linspace(0.1, 3, samples)
    module = module_of(text)
    for factor in np.random.default_rng(0).uniform(0.5, 2, 12):
        y = module.predict(factor * np.array(true), x[:, None])[:, 0]
        result = module.fit(x[:, None], y)
        assert result.status == "converged", result
        assert result.chi2 <= 1e-20 * np.sum(y**2)


def test_badly_scaled():
    """Powell's badly scaled function from 100 times its start is not called converged where no test holds."""
    module = module_of("Piecewise((10000*a*b - 1, x < 0.5), (exp(-a) + exp(-b) - 1.0001, True))")
    X = np.array([[0.0], [1.0]])
    assert module.fit(X, np.zeros(2), p0=[0.0, 1.0]).chi2 < 1e-20
    with pytest.warns(RuntimeWarning, match="did not converge"):
        result = module.fit(X, np.zeros(2), p0=[0.0, 100.0])
    assert result.chi2 > 0.9
    assert not result.converged


def test_stationary():
    """A point without derivatives is no solution if the cost falls beside it; it is one if that rises."""
    formula, X = read_formula("a**2*x", ("x",)), np.linspace(0.1, 1, 10)[:, None]
    module = built(formula.model())
    with pytest.warns(RuntimeWarning, match="but this is no minimum"):
        result = module.fit(X, 3 * X, p0=[0.0])
    assert result.status == "stationary"
    assert "the data do not determine a" in result.message
    assert module.fit(X, -3 * X, p0=[0.0]).converged
    assert module.fit(X, 3 * X, p0=[1e-12]).parameters == pytest.approx([3**0.5])


def test_infinite_logarithm():
    """A logistic of a logarithm is fitted at x = 0 side by side with others, where 0 meets infinity in a derivative."""
    module = module_of("a + (d - a)/(1 + exp(b*(log(x) - log(c))))")
    x = np.array([0, 0.94, 1.9, 3.75, 7.5, 15, 30])
    rng = np.random.default_rng(0)
    y = 0.5 + 7.5 / (1 + (x / 3) ** 2) + 0.05 * rng.normal(size=(9, 7))
    many = module.fit_many(x[:, None], y)
    assert many.success.all()
    assert many.parameters[0] == pytest.approx(module.fit(x[:, None], y[0]).parameters, rel=1e-5)


@pytest.mark.parametrize("text", LOGISTICS, ids=["Hill", "logarithm"])
@pytest.mark.parametrize("doses", DOSES)
def test_logistics(text, doses):
    """Those of four parameters are found from all ones, where the slope and the middle have no effect yet."""
    module, x, rng = module_of(text), DOSES[doses], np.random.default_rng(2)
    names = read_formula(text, ("x",)).parameters
    middle = np.exp(np.log(x[x > 0]).mean())
    true = [
        [{"a": a, "b": b, "c": c, "d": d}[name] for name in names]
        for a, b, c, d in rng.uniform([0, 0.7, 0.5 * middle, 50], [10, 2.5, 2 * middle, 120], (12, 4))
    ]
    y = np.array([module.predict(each, x[:, None])[:, 0] for each in true])
    y += 2 * rng.normal(size=y.shape)
    best = np.array([module.fit(x[:, None], *each).chi2 for each in zip(y, true, strict=True)])
    many = module.fit_many(x[:, None], y)
    single = np.array([module.fit(x[:, None], each).chi2 for each in y])
    assert (many.chi2 <= 1.001 * best).all()
    assert (single <= 1.001 * best).all()


def test_effects_that_depend_on_each_other():
    """Where some parameters have no effect at the start, and others the same, the first step is as short as usual."""
    text, x = "k*(exp(-a*x) - exp(-b*x))", np.linspace(0, 20, 20)
    module, rng = module_of(text), np.random.default_rng(4)
    for k, a, b in np.array([40, 0.2, 1.5]) * rng.lognormal(0, 0.3, (12, 3)):
        exact = k * (np.exp(-a * x) - np.exp(-b * x))
        y = exact + 0.1 * rng.normal(size=20)
        assert module.fit(x[:, None], y).chi2 <= ((exact - y) ** 2).sum()


def test_start_at_a_pole():
    """Where all ones are a pole, the default start is another point."""
    text, x = "d*ka/(ka - ke)*(exp(-ke*x) - exp(-ka*x))", np.linspace(0, 20, 20)
    popt, _ = nn.curve_fit(text, x, 10 * 1.5 / 1.3 * (np.exp(-0.2 * x) - np.exp(-1.5 * x)))
    assert popt == pytest.approx([10, 1.5, 0.2])


def test_tied_start():
    """Where all ones are a point that no step leads away from, the default start is another one."""
    x = np.linspace(0, 1, 9)
    with pytest.warns(RuntimeWarning, match="the data do not determine a, b: some change of them changes no output"):
        popt, _ = nn.curve_fit("(a - b)**2*x", x, 4 * x)
    assert (popt[0] - popt[1]) ** 2 == pytest.approx(4)

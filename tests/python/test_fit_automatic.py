"""Fits without a start: linear parameters are projected out, and the others are drawn from the scales of the data."""

import warnings

import numpy as np
import pytest
import sympy

pytest.importorskip("scipy")

from scipy import optimize

import nncodegen as nn
from nncodegen import curves
from nncodegen.bench.nist import right_digits
from nncodegen.curves.fitting.formula import module_of, read_formula
from nncodegen.runtime.python.arguments.fit_options import CheckedFitOptions
from nncodegen.runtime.python.fitting.automatic import _Projected
from nncodegen.runtime.python.fitting.problem import Problem
from tests.support import nist
from tests.support.curves import EXAMPLES, example, values_at

pytestmark = pytest.mark.usefixtures("quick_compiler")

random = np.random.default_rng(17)
X = np.linspace(0, 10, 120)


def noisy(y, part=0.02):
    """Data with noise of a part of their range."""
    return y + part * max(np.ptp(y), abs(y).max() / 10) * np.random.default_rng(2).normal(size=len(y))


# --- what is linear ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "linear"),
    [
        ("a*exp(-b*x) + c", "ac"),
        ("a*x/(b + x)", "a"),
        ("a*b*x", "a"),
        ("(a + b*x)/(1 + c*x)", "ab"),
        ("x**a + b**2", ""),
        ("a*(x - b)**2", "a"),
        ("a*sin(b*x) + c*cos(b*x) + d", "acd"),
        ("a + b + a*b*x", "a"),
        ("a*exp(-b*x) + b*c", "ac"),
    ],
)
def test_linear_parameters(text, linear):
    """The facts of a module name the parameters in which the formula is affine together, as SymPy's derivatives do."""
    formula = read_formula(text, ("x",))
    fitting = nn.compile_model(formula.model(), until="differentiate").findings.fitting
    assert fitting.linear == tuple(linear)
    symbols = [sympy.Symbol(name) for name in linear]
    for symbol in symbols:
        assert not sympy.simplify(formula.expression.diff(symbol)).free_symbols & {*symbols}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_linear_parameters_of_curves(name):
    """The compiler finds those that the records declare."""
    record = curves.RECORDS[name]
    formula = read_formula(record, ("x",))
    fitting = nn.compile_model(formula.model(), until="differentiate").findings.fitting
    assert {*fitting.linear} == {parameter.name for parameter in record.parameters if parameter.linear}


# --- the search --------------------------------------------------------------------------------------------------

PROBLEMS = {
    "two decays": ("a*exp(-b*x) + c*exp(-d*x)", (4, 3, 2, 0.3)),
    "two peaks": ("a*exp(-(x - b)**2/c) + d*exp(-(x - e)**2/g)", (5, 3, 0.3, 4, 7, 0.5)),
    "a wave": ("a*sin(b*x + c) + d", (2, 5.3, 1, -3)),
    "saturation": ("a*x/(b + x)", (200, 0.7)),
    "a step": ("a/(1 + exp((b - x)/c)) + d", (40, 6, 0.2, 5)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_formulas_of_ones_own(name):
    """Without a start, curve_fit ends at the minimum near the parameters that made the data, in any units."""
    text, true = PROBLEMS[name]
    names = read_formula(text, ("x",)).parameters
    function = sympy.lambdify(sympy.symbols(["x", *names]), sympy.sympify(text), "numpy")
    y = noisy(function(X, *true))
    best = ((function(X, *optimize.curve_fit(function, X, y, p0=true)[0]) - y) ** 2).sum()
    for unit, height in ((1, 1), (1e3, 1e-3)):
        popt, _ = nn.curve_fit(text, unit * X, height * y, p0="auto")
        rest = function(unit * X, *popt) - height * y
        assert (rest**2).sum() <= height**2 * best * (1 + 1e-5)


def test_it_is_deterministic():
    """The same call gives the same bits; with several threads as well; another seed may draw other points."""
    module = module_of(read_formula("a*exp(-(x - b)**2/c) + d", ("x",)))
    y = noisy(4 * np.exp(-((X - 3) ** 2) / 0.4) + 1)
    first = module.fit(X, y, p0="auto")
    np.testing.assert_array_equal(first.parameters, module.fit(X, y, p0="auto").parameters)
    np.testing.assert_array_equal(first.parameters, module.fit(X, y, n_starts="auto", threads=2).parameters)
    np.testing.assert_allclose(module.fit(X, y, p0="auto", seed=5).parameters, first.parameters, rtol=1e-6)


def test_with_other_options():
    """Bounds, fixed parameters, weights, missing values and robust losses hold as in any fit."""
    module = module_of(read_formula("a*exp(-(x - b)**2/c) + d", ("x",)))
    y = noisy(4 * np.exp(-((X - 3) ** 2) / 0.4) + 1)
    y[::7] = np.nan
    known = ~np.isnan(y)
    start = {"a": 2.5, "b": 3, "c": 0.4}
    sigma = 0.1 + X / 10
    for options in (
        {"sigma": sigma},
        {"fixed": {"d": 1}},
        {"bounds": {"b": (2, 8), "a": (0, 3)}},
        {"loss": "cauchy", "f_scale": 0.1},
    ):
        expected = module.fit(X, y, p0=start, **options)
        fitted = module.fit(X, y, p0="auto", **options)
        np.testing.assert_allclose(fitted.parameters, expected.parameters, rtol=1e-4)
        assert fitted.used == known.sum()


def test_a_start_that_is_given_competes():
    """n_starts="auto" keeps p0 among the starting points: it is never worse than the fit from p0."""
    module = module_of(read_formula("a*sin(b*x + c)", ("x",)))
    y = noisy(2 * np.sin(37 * X + 1))
    fitted = module.fit(X, y, p0=(2, 37, 1))
    assert module.fit(X, y, p0=(2, 37, 1), n_starts="auto").cost <= fitted.cost * (1 + 1e-9)


@pytest.mark.parametrize("count", [5, 7, 20])
def test_the_lowest_of_the_frequencies_that_fit(count):
    """At times in equal distances, higher frequencies fit as well: of these, a start that was given keeps its own."""
    module = module_of(read_formula("a*sin(w*t + c)", ("t",)))
    built_module = nn.build(
        nn.Model("waves", "t", "y", {"a": 1, "w": 1, "c": 0}, "a*sin(w*t + c)", own=["a", "w", "c"])
    )
    t = np.linspace(0.5, 3.5, count)
    highest = np.pi / (t[1] - t[0])
    draw = np.random.default_rng(count)
    true = [(draw.uniform(1, 3), draw.uniform(0.15, 0.8) * highest, draw.uniform(-3, 3)) for _ in range(6)]
    Y = [a * np.sin(w * t + c) + 0.01 * draw.normal(size=count) for a, w, c in true]
    fitted = built_module.fit(np.tile(t, 6), np.concatenate(Y), p0="auto", groups=np.repeat(np.arange(6), count))
    for group, (a, w, c) in enumerate(true):
        known = module.fit(t, Y[group], p0=(a, w, c))
        np.testing.assert_allclose(abs(fitted.group(group).parameters[1]), known.parameters[1], rtol=1e-5)
        np.testing.assert_allclose(
            abs(module.fit(t, Y[group], p0="auto").parameters[1]), known.parameters[1], rtol=1e-5
        )
    a, w, c = true[0]
    alias = 2 * highest - w
    start = (-a, alias, -(w + alias) * t[0] - c)
    assert np.allclose(a * np.sin(w * t + c), start[0] * np.sin(start[1] * t + start[2]))
    kept = module.fit(t, Y[0], p0=start, n_starts="auto")
    np.testing.assert_allclose(kept.parameters[1], alias, rtol=0.05)


def test_many_samples():
    """With many samples, of which some are missing, points are compared by a part of them, and the best fitted to all.

    A start that is given competes there, too: here its peak lies between the samples of that part.
    """
    x = np.linspace(0, 10, 6001)
    y = 5 * np.exp(-((x - 3.0) ** 2) / 0.3) + 1 + 0.05 * np.random.default_rng(1).normal(size=len(x))
    y[::5] = np.nan
    module = module_of(read_formula("a*exp(-(x - b)**2/c) + d", ("x",)))
    sigma = np.full(len(x), 0.05)
    best = module.fit(x, y, p0=(5, 3, 0.3, 1), sigma=sigma)
    fitted = module.fit(x, y, p0="auto", sigma=sigma)
    np.testing.assert_allclose(fitted.parameters, best.parameters, rtol=1e-6)
    assert fitted.used == best.used == 4800
    narrow = 1 + 5 * np.exp(-((x - x[3001]) ** 2) / 1e-6)
    from_start = module.fit(x, narrow, p0=(5, x[3001], 1e-6, 1))
    assert module.fit(x, narrow, p0=(5, x[3001], 1e-6, 1), n_starts="auto").cost <= from_start.cost + 1e-12


def test_several_inputs_and_single_precision():
    """Inputs of other scales, and modules in single precision, have starts as well."""
    u, v = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 500, 12))
    z = 3 * np.exp(-2 * u) * v / (60 + v)
    popt, _ = nn.curve_fit("a*exp(-b*u)*v/(c + v)", {"u": u.ravel(), "v": v.ravel()}, z.ravel(), p0="auto")
    np.testing.assert_allclose(popt, (3, 2, 60), rtol=1e-6)
    single = module_of(read_formula("a*exp(-b*x) + c", ("x",)), "float32")
    fitted = single.fit(X.astype("f4"), (3 * np.exp(-0.7 * X) + 1).astype("f4"), p0="auto")
    np.testing.assert_allclose(fitted.parameters, (3, 0.7, 1), rtol=1e-3)


def test_what_is_refused():
    """Other texts, contradictions, and models without a formula or least squares are refused in words."""
    module = module_of(read_formula("a*exp(-b*x) + c", ("x",)))
    with pytest.raises(ValueError, match="p0 is 'automatic'; expected an array, a mapping from names to values, or"):
        module.fit(X, X, p0="automatic")
    with pytest.raises(ValueError, match="n_starts is 'many'; expected a number, or 'auto'"):
        module.fit(X, X, n_starts="many")
    with pytest.raises(ValueError, match="looks for starting points itself: leave out n_starts"):
        module.fit(X, X, p0="auto", n_starts=4, bounds=(0, 9))
    with pytest.raises(ValueError, match="looks for starting points itself"):
        nn.curve_fit("a*exp(-b*x)", X, X, p0="auto", n_starts=4)
    with pytest.raises(ValueError, match="p0 is 'automatic'"):
        nn.curve_fit("a*exp(-b*x)", X, X, p0="automatic")
    with pytest.raises(ValueError, match="p0 is 'automatic'"):
        module.fit_many(X, X[None], p0="automatic")
    layers = nn.build(nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], inputs=1, loss="mse", name="net"), fit=True)
    with pytest.raises(ValueError, match="a start from the data is for formulas; net has layers: give p0, or a seed"):
        layers.fit(X, X, p0="auto")
    counts = nn.build(nn.Model("counts", "x", "y", {"a": 1}, "a*x", loss="exp(a*x) - y*a*x"))
    with pytest.raises(ValueError, match="a start from the data is for least squares; the loss of counts is another"):
        counts.fit(X, X, p0="auto")


def test_data_that_tell_nothing():
    """Without data, with a single datum, and with constant data, the search ends as a fit from a start does."""
    module = module_of(read_formula("a*exp(-b*x) + c", ("x",)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert module.fit(X, np.full(len(X), np.nan), p0="auto").status == "no_data"
        assert module.fit(X[:1], X[:1], p0="auto").status == "too_few_data"
        assert module.fit(X, np.zeros(len(X)), p0="auto").cost == 0
        assert module.fit(np.ones(5), np.arange(5.0), p0="auto").chi2 == pytest.approx(10)
        assert module.fit(X, X, p0="auto", fixed=["a", "b", "c"]).free_count == 0


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_fewer_data_than_linear_parameters_within_bounds(samples):
    """Where one fit, or each group, has fewer data than parameters that enter linearly, bounds hold all the same."""
    module = module_of(read_formula("a*exp(-k*x) + c + d*x + e*x**2", ("x",)))
    x = np.linspace(0, 3, 4 * samples)
    y, bounds = 2 * np.exp(-1.3 * x) + 0.5 - 0.1 * x, {"a": (0, 1.5), "c": (0, 5)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        alone = module.fit(x[:samples], y[:samples], p0="auto", bounds=bounds)
        groups = {"groups": np.arange(4 * samples) // samples, "own": ["a", "c", "d", "e"]}
        together = module.fit(x, y, p0="auto", bounds=bounds, **groups)
    assert alone.status == together.status == "too_few_data"
    assert max(alone.chi2, together.chi2) < 1e-12
    for fit in (alone, together):
        for name, (low, high) in bounds.items():
            assert np.all((fit[name] >= low) & (fit[name] <= high))


def test_a_time_limit_ends_the_search():
    """A search that is ended has the best parameters so far."""
    module = module_of(read_formula("a*exp(-(x - b)**2/c) + d", ("x",)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = module.fit(X, noisy(np.exp(-((X - 3) ** 2))), p0="auto", time_limit=1e-9)
    assert result.status == "time_limit"
    assert np.isfinite(result.parameters).all()


# --- without any start: NIST's problems, and the curves -----------------------------------------------------------

MISSED: tuple[str, ...] = ()
"""The problems of NIST whose minimum is not found."""


@nist.installed
@pytest.mark.parametrize("name", nist.EACH)
def test_nist(name):
    """NIST's problems end at the certified solution without a start."""
    if name in MISSED:
        pytest.skip("its minimum is not found")
    nist_problem = nist.problem(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Lanczos1 ends at rounding
        result = nn.build(nist_problem.curve.model).fit(nist_problem.x, nist_problem.y, p0="auto")
    assert right_digits(result.parameters, nist_problem.certified) >= 4 or result.chi2 <= nist_problem.residual_sum * (
        1 + 1e-6
    )


FEW = ("gaussian", "hill4", "damped_sine", "exponential_gaussian", "constant")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else [pytest.mark.thorough]) for name in sorted(EXAMPLES)]
)
def test_curves(name):
    """Each curve is fitted to noisy data without a start, and ends at the minimum that a fit from the truth finds."""
    x, true, exact = example(name)
    y = noisy(exact)
    curve = curves.RECORDS[name]()
    module = module_of(read_formula(curve, ("x",)))
    X = x if curve.has_variable else None
    best = module.fit(X, y, p0=np.array(true, float), bounds=curve.bounds)
    popt, _ = nn.curve_fit(curve, x, y)
    assert ((values_at(curve, x, popt) - y) ** 2).sum() <= best.chi2 * (1 + 1e-5)


def test_linear_parameters_are_projected_out_within_their_bounds():
    """Points are compared by sums of squares within bounds: never less than the least, mostly that, and close."""
    names = [f"{part}{k}" for k in range(3) for part in "ac"]
    formula = " + ".join(f"a{k}*exp(-(x - c{k})**2)" for k in range(3)) + " + b"
    module = nn.build(nn.Model("bounded_peaks", "x", "y", dict.fromkeys([*names, "b"], 1.0), formula))
    random, x = np.random.default_rng(2), np.linspace(0, 10, 60)
    y = 2 * np.exp(-((x - 3) ** 2)) + np.exp(-((x - 7) ** 2)) + 0.02 * random.normal(size=60)
    low, high = np.zeros(7), np.full(7, 10.0)
    high[6] = 0.5
    problem = Problem(
        module._model,
        x[:, None],
        y[:, None],
        None,
        CheckedFitOptions.of(bounds=(low, high), tolerance=1e-8, max_iterations=1),
    )
    projected = _Projected(problem, np.ones(7), None)
    points = random.uniform(0, 10, (200, 3))
    points[0] = 3.0  # columns that depend on each other
    costs, least, without = projected.costs(points), np.empty(200), np.empty(200)
    for place, point in enumerate(points):
        columns = np.stack([*(np.exp(-((x - c) ** 2)) for c in point), np.ones(60)], axis=1)
        least[place] = 2 * optimize.lsq_linear(columns, y, (low[[0, 2, 4, 6]], high[[0, 2, 4, 6]])).cost
        without[place] = ((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2).sum()
    assert (costs >= least * (1 - 1e-6)).all()
    assert (np.abs(costs - least) <= 1e-6 * least).mean() > 0.5
    assert (costs <= 1.1 * least).mean() > 0.9
    assert (without < 0.99 * least).mean() > 0.3

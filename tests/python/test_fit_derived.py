"""Ties and derived quantities: parameters that are formulas of others, with errors by propagation."""

import os
import pickle
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

from scipy import optimize

import nncodegen as nn
from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.compiler.describe.ties import read_quantities, read_ties
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.errors import ModelError
from nncodegen.runtime.python.results.quantities import _number

pytestmark = pytest.mark.usefixtures("quick_compiler")

random = np.random.default_rng(11)
X = np.linspace(0, 5, 60)
Y = 3 * np.exp(-0.8 * X) + 6 * np.exp(-1.6 * X) + 0.4 + 0.02 * random.normal(size=60)

TIES = {"b": "2*a", "m": "k/2"}
DERIVED = {"half_life": "log(2)/k", "share": "b/(a + b)", "area": "a/m + b/k"}
"""Where the first component has the rate m = k/2 and the second k: a*exp(-m*x) + b*exp(-k*x) + c."""


@pytest.fixture(scope="module")
def module(quick_compiler):
    """Two decays, of which the second is twice as large and twice as fast."""
    output = "a*exp(-m*x) + b*exp(-k*x) + c"
    return nn.build(nn.Model("two", "x", "y", {"a": 1, "k": 1, "c": 0}, output, ties=TIES, derived=DERIVED))


def by_hand(x, a, k, c):
    return a * np.exp(-k / 2 * x) + 2 * a * np.exp(-k * x) + c


@pytest.fixture(scope="module")
def result(module):
    return module.fit(X, Y)


def propagated(formula, point, covariance):
    """A formula's value and error with mpmath: derivatives by differences in 40 digits."""
    with mpmath.workdps(40):
        p = [mpmath.mpf(float(value)) for value in point]
        slopes = [mpmath.diff(lambda z, k=k: formula(*p[:k], z, *p[k + 1 :]), p[k]) for k in range(len(p))]
        g = np.array([float(slope) for slope in slopes])
        return float(formula(*p)), float(np.sqrt(g @ covariance @ g))


def test_ties_and_derived_quantities(result):
    """Values and errors are those of the formula written without ties, propagated with mpmath."""
    popt, _ = optimize.curve_fit(by_hand, X, Y, p0=(1, 1, 0), ftol=1e-14, xtol=1e-14)
    np.testing.assert_allclose(result.parameters, popt, rtol=1e-6)
    formulas = {
        "b": lambda a, k, c: 2 * a,
        "m": lambda a, k, c: k / 2,
        "half_life": lambda a, k, c: mpmath.log(2) / k,
        "share": lambda a, k, c: mpmath.mpf(2) / 3 + 0 * a,
        "area": lambda a, k, c: 4 * a / k,
    }
    assert result.derived.names == tuple(formulas)
    assert result.derived.tied.tolist() == [True, True, False, False, False]
    for name, formula in formulas.items():
        value, error = propagated(formula, result.parameters, result.covariance)
        assert result[name] == result.derived[sympy.Symbol(name)] == pytest.approx(value, rel=1e-12)
        place = result.derived.names.index(name)
        assert result.derived.standard_errors[place] == pytest.approx(error, rel=1e-9, abs=1e-15)
    np.testing.assert_allclose(
        np.sqrt(np.diag(result.derived.covariance)), result.derived.standard_errors, rtol=1e-12, atol=1e-15
    )
    low, high = result.derived.confidence_intervals(0.9)[2]
    assert low < np.log(2) / 1.6 < high
    intervals = result.confidence_intervals(0.9)[0]
    np.testing.assert_allclose(result.derived.confidence_intervals(0.9)[0], 2 * intervals, rtol=1e-12)
    with pytest.raises(KeyError, match="there is no quantity 'z'; there are: b, m, half_life"):
        result.derived["z"]


def test_against_lmfit(result):
    """lmfit's expressions give the same values and errors for ties."""
    lmfit = pytest.importorskip("lmfit")
    model = lmfit.Model(lambda x, a, m, b, k, c: a * np.exp(-m * x) + b * np.exp(-k * x) + c)
    parameters = model.make_params(a=1, k=1, c=0, b={"expr": "2*a"}, m={"expr": "k/2"})
    theirs = model.fit(Y, parameters, x=X)
    for name in ("b", "m"):
        place = result.derived.names.index(name)
        assert result[name] == pytest.approx(theirs.params[name].value, rel=1e-5)
        assert result.derived.standard_errors[place] == pytest.approx(theirs.params[name].stderr, rel=1e-3)


def test_how_they_are_shown(result):
    """The table, the frame and the dictionary have a row for each, without a start; a pickle keeps them."""
    lines = {line.split()[0]: line.split() for line in str(result).splitlines() if line.strip()}
    assert lines["b"][-1] == "tied"
    assert lines["half_life"][-1] == "derived"
    assert "half_life" in result._repr_html_()
    assert result.as_dict()["derived"]["b"] == result["b"]
    frame = pytest.importorskip("pandas") and result.to_frame()
    assert frame.loc["half_life", "standard_error"] == result.derived.standard_errors[2]
    assert np.isnan(frame.loc["b", "p0"])
    assert pickle.loads(pickle.dumps(result))["half_life"] == result["half_life"]
    assert "half_life = " in repr(result.derived)


def test_fixed_and_undetermined(module):
    """A quantity of fixed parameters alone has no error; one that the data do not determine an infinite one."""
    held = module.fit(X, Y, fixed={"k": 1.6})
    assert held.derived.standard_errors[1] == held.derived.standard_errors[2] == 0
    with pytest.warns(RuntimeWarning, match="too few data"):
        few = module.fit(X[:2], Y[:2])
    assert not np.isfinite(few.derived.standard_errors[:2]).any()


def test_many_fits(module):
    """Each of many fits has its quantities."""
    many = module.fit_many(X, np.stack([Y, 2 * Y]))
    assert many[1].derived["b"] == pytest.approx(2 * many[0].derived["b"], rel=1e-6)


ALONE = """
import sys
import numpy as np
import alone
x = np.linspace(0, 4, 50)
result = alone.fit(x, 3*np.exp(-0.9*x) + 0.3, p0="auto")
result.save("result.npz")
print(result["half_life"], alone.load("result.npz").derived["b"], {"sympy", "nncodegen"} & {*sys.modules})
"""


def test_many_fits_have_them_with_errors_and_need_no_start(module):
    """``ManyFits.derived`` has the quantities of each fit; with p0="auto", each is found from its own data."""
    random = np.random.default_rng(2)
    sets = np.stack([by_hand(X, a, 1.4, 0.3) + 0.01 * random.normal(size=60) for a in (1, 30, 0.02)])
    sets[2, 3] = np.nan
    fits = module.fit_many(X, sets, p0="auto", threads=2)
    assert fits.success.all()
    assert fits.derived.names == tuple(module.fit(X, sets[0]).derived.names)
    for m in range(3):
        alone = module.fit(X, sets[m], p0="auto")
        assert fits.chi2[m] == pytest.approx(alone.chi2, rel=1e-6)
        np.testing.assert_allclose(fits.derived.values[m], alone.derived.values, rtol=1e-3)
        np.testing.assert_allclose(fits.derived.standard_errors[m], alone.derived.standard_errors, rtol=1e-3)
    np.testing.assert_allclose(fits.derived["half_life"], np.log(2) / fits.parameters[:, 1])
    with pytest.raises(ValueError, match="expected an array, a mapping from names to values, or 'auto'"):
        module.fit_many(X, sets, p0="best")


def test_the_estimator_has_them():
    """``FormulaRegressor`` fits with ties, and has tied parameters with their errors, as ``curve_fit``."""
    pytest.importorskip("sklearn")
    from nncodegen.estimators import FormulaRegressor

    formula = "a*exp(-m*x) + b*exp(-k*x) + c"
    popt, pcov = nn.curve_fit(formula, X, Y, p0={"k": 1}, ties=TIES)
    fitted = FormulaRegressor(formula, ties=TIES, p0={"k": 1}).fit(X[:, None], Y)
    assert list(fitted.parameters_) == ["a", "m", "b", "k", "c"]
    np.testing.assert_allclose(list(fitted.parameters_.values()), popt)
    np.testing.assert_allclose(list(fitted.standard_errors_.values()), np.sqrt(np.diag(pcov)))
    np.testing.assert_allclose(fitted.predict(X[:, None]), by_hand(X, popt[0], popt[3], popt[4]))


def test_a_module_alone_has_them(tmp_path):
    """A module in a folder of its own finds a start, and evaluates its quantities, without SymPy and nncodegen."""
    derived = {"half_life": "log(2)/k"}
    model = nn.Model("alone", "x", "y", {"a": 1, "k": 1}, "a*exp(-k*x) + b", ties={"b": "a/10"}, derived=derived)
    nn.build(model, out=tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    half_life, b, others = done.stdout.split(maxsplit=2)
    assert float(half_life) == pytest.approx(np.log(2) / 0.9, rel=1e-6)
    assert float(b) == pytest.approx(0.3, rel=1e-6)
    assert others.strip() == "set()"


def test_curve_fit_returns_tied_parameters_in_their_order():
    """popt and pcov have all parameters of the formula, in its order; the covariance is that of propagation."""
    popt, pcov = nn.curve_fit("a*exp(-m*x) + b*exp(-k*x) + c", X, Y, p0={"c": 0}, ties=TIES)
    plain, covariance = optimize.curve_fit(by_hand, X, Y, p0=(1, 1, 0), ftol=1e-14, xtol=1e-14)
    T = np.array([[1, 0, 0], [0, 0.5, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]])  # a, m, b, k, c
    np.testing.assert_allclose(popt, T @ plain, rtol=1e-5)
    np.testing.assert_allclose(pcov, T @ covariance @ T.T, rtol=1e-3, atol=1e-9)


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ties", "message"),
    [
        ({"b": "2*c", "c": "b/2"}, r"the ties go in a circle: b = 2\*c, c = b/2; one of these must be a parameter"),
        ({"b": "b + 1"}, r"the ties go in a circle: b = b \+ 1"),
        ({"b": "2*z"}, "the tie of b is not a formula"),
        ({"b": 2 * sympy.Symbol("z")}, "the tie of b names z, which is no parameter; there are: a"),
        ({"b": "2*x"}, "the tie of b is not a formula"),
        ({"a": "2*b", "b": "1"}, "a is tied, so it has no initial value: leave it out of the parameters"),
        ({"z": "2*a"}, "the parameter 'z' occurs neither in the output nor in the loss"),
        ("b = 2*a", "ties must map names to formulas, not be a str"),
        ({"": "2*a"}, "a name of ties is a text"),
    ],
)
def test_ties_that_are_refused(ties, message):
    """Circles, unknown names, data, and ties without effect are refused in words."""
    with pytest.raises(ModelError, match=message):
        nn.Model("m", "x", "y", {"a": 1}, "a*x + b + c" if "c" in ties else "a*x + b", ties=ties)


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"d": "2*z"}, "the derived quantity d is not a formula"),
        ({"a": "2"}, "has the name of another symbol: rename it"),
        ({"x": "a"}, "has the name of another symbol"),
        (["a"], "derived must map names to formulas, not be a list"),
        ({"d": "e"}, "the derived quantity d is not a formula"),
    ],
)
def test_derived_quantities_that_are_refused(derived, message):
    """Unknown names, and names that are taken, are refused in words."""
    with pytest.raises(ModelError, match=message):
        nn.Model("m", "x", "y", {"a": 1}, "a*x", derived=derived)


def test_curve_fit_refuses_ties_of_what_is_no_parameter():
    """The names are those of the formula; bounds of tied parameters would have no effect."""
    with pytest.raises(ModelError, match="ties name z, which is no parameter; there are: a, b"):
        nn.curve_fit("a*exp(-b*x)", X, Y, ties={"z": "a"})
    with pytest.raises(ModelError, match="bounds names b, which is no parameter; there are: a"):
        nn.curve_fit("a*exp(-b*x)", X, Y, ties={"b": "a"}, bounds={"b": (0, 1)})


# --- formulas in Python ------------------------------------------------------------------------------------------

a, b = sympy.symbols("a b", real=True)
FORMULAS = (
    "a/b", "log(2)/a", "sqrt(a**2 + b**2)", "exp(-a)*sin(b)", "a**b", "abs(a - b)", "sigmoid(a)", "tanh(a*b)", "erf(a)",
    "Max(a, b)", "Piecewise((a, a > b), (b**2, True))", "atan2(a, b)", "softplus(a)", "2*a", "π*a**2", "log1p(a)",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMULAS), st.floats(0.1, 3), st.floats(0.1, 3))
def test_formulas_in_python(text, first, second):
    """The texts of values and derivatives have the values that mpmath gives the formula and its differences."""
    if abs(first - second) < 1e-3:
        second = first + 0.5
    (quantity,) = read_quantities({}, {"q": text}, (a, b), ())
    expression = as_expression(text, {"a": a, "b": b}, "q")
    written = expression.replace(lambda e: isinstance(e, StableFunction), lambda e: e.definition(*e.args))
    function = sympy.lambdify((a, b), written, "mpmath")
    with mpmath.workdps(30):
        expected = float(function(mpmath.mpf(first), mpmath.mpf(second)))
        slopes = [
            float(mpmath.diff(lambda z: function(z, mpmath.mpf(second)), first)),
            float(mpmath.diff(lambda z: function(mpmath.mpf(first), z), second)),
        ]
    assert _number(quantity.value, [first, second]) == pytest.approx(expected, rel=1e-12)
    by_name = dict(quantity.slopes)
    for place in range(2):
        text = by_name.get(place, "0")
        assert _number(text, [first, second]) == pytest.approx(slopes[place], rel=1e-9, abs=1e-12)


def test_a_quantity_without_a_value():
    """Where a formula has no real value, it is NaN, and no error is raised."""
    (quantity,) = read_quantities({}, {"q": "sqrt(a) + log(b)"}, (a, b), ())
    for point in ([-1.0, 1.0], [1.0, 0.0], [1.0, -2.0]):
        assert np.isnan(_number(quantity.value, point))
    (quantity,) = read_quantities({}, {"q": "exp(a)/b"}, (a, b), ())
    assert np.isnan(_number(quantity.value, [1e4, 1.0]))
    assert np.isnan(_number(quantity.value, [1.0, 0.0]))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)))
def test_ties_of_ties(order):
    """A chain of ties is solved in whatever order it is given."""
    names = "abcdef"
    chain = {names[k + 1]: f"2*{names[k]}" for k in range(5)}
    ties = {names[k + 1]: chain[names[k + 1]] for k in order}
    formulas = read_ties(ties, [sympy.Symbol("a")], sympy.Symbol)
    assert {symbol.name: formula / sympy.Symbol("a") for symbol, formula in formulas.items()} == {
        names[k]: 2**k for k in range(1, 6)
    }

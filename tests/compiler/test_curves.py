"""Curves by name: their formulas, what is linear in them, sums with prefixes, and starts from data."""

import copy
import pickle
import re

import numpy as np
import pytest
import sympy

pytest.importorskip("scipy")

import nncodegen as nn
from nncodegen import curves
from nncodegen.curves.fitting import read_formula
from nncodegen.errors import ModelError
from tests.support.curves import EXAMPLES, REFERENCES, example, values_at

NAMES = sorted(curves.RECORDS)


# --- the records -------------------------------------------------------------------------------------------------


def test_every_curve_is_tested():
    """Each record has an example with data, and a function to compare with; and it is a name of the package."""
    assert {*EXAMPLES} == {*REFERENCES} == {*NAMES}
    assert {*NAMES} <= {*dir(curves)}
    assert len(NAMES) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_a_formula(name):
    """The formula is the function of the field, written with NumPy and SciPy."""
    x, parameters, _ = example(name)
    values = values_at(curves.RECORDS[name](), x, parameters)
    np.testing.assert_allclose(values, REFERENCES[name](x, *parameters), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_linear(name):
    """The parameters that are declared linear are those by differentiation: no derivative by them depends on them."""
    record = curves.RECORDS[name]
    expression = record().expression
    linear = [sympy.Symbol(parameter.name) for parameter in record.parameters if parameter.linear]
    assert linear
    for symbol in linear:
        assert not expression.diff(symbol).free_symbols & {*linear}
    others = [parameter.name for parameter in record.parameters if not parameter.linear]
    assert len(record.start) == len(others)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_tells_what_it_is(name):
    """A record has a source and a meaning of each parameter, and prints them with the formula."""
    record = curves.RECORDS[name]
    shown = str(record)
    assert record.formula in shown
    assert record.source in shown
    assert record.source[-4:].isdigit() or "section" in record.source
    assert all(parameter.name in shown and parameter.meaning in shown for parameter in record.parameters)
    assert record.name in repr(record)


def test_the_approximation_of_the_voigt_function():
    """The text of the pseudo-Voigt says how far it is off: in height, and in gamma and sigma of fits to Voigt peaks."""
    special, optimize = pytest.importorskip("scipy.special"), pytest.importorskip("scipy.optimize")
    x, off = np.linspace(-50, 50, 501), []
    for sigma, gamma in [(3, 0.3), (3, 1), (3, 3), (3, 5), (1, 5)]:
        exact = special.voigt_profile(x, sigma, gamma) / special.voigt_profile(0, sigma, gamma)
        references = REFERENCES["thompson_voigt"](x, 1, 0, sigma, gamma)
        ends = ([-9, -9, 1e-3, 0], [9, 9, 9, 99])
        fitted, _ = optimize.curve_fit(REFERENCES["thompson_voigt"], x, exact, [1, 0, sigma, gamma], bounds=ends)
        off.append((np.abs(references - exact).max(), 1 - fitted[3] / gamma, fitted[2] / sigma - 1))
    largest = 100 * np.max(off, axis=0)
    said = [float(percent) for percent in re.findall(r"([\d.]+)%", curves.thompson_voigt.about)]
    assert (largest < said).all()
    assert (largest > 0.8 * np.array(said)).all()


@pytest.mark.usefixtures("quick_compiler")
def test_a_voigt_peak_is_fitted_as_lmfit_does():
    """With noise of 0.5 % of the height, widths and their errors are those of lmfit; also where one of them is 0."""
    models = pytest.importorskip("lmfit.models")
    x = np.linspace(0, 100, 401)
    for number, (sigma, gamma) in enumerate([(3, 5), (5, 1), (4, 0)]):
        noise = np.random.default_rng(number).normal(size=x.size)
        y = 100 * REFERENCES["voigt"](x, 1, 50, sigma, gamma) + 0.5 * noise
        popt, pcov = nn.curve_fit(curves.voigt(), x, y, p0=[90, 49, 4, 4])
        model = models.VoigtModel()
        params = model.make_params(center=50, sigma=4, amplitude=1000)
        params["gamma"].set(expr=None, value=4, vary=True, min=0)
        result = model.fit(y, params, x=x)
        fitted = [result.params[name].value for name in ("center", "sigma", "gamma")]
        np.testing.assert_allclose(popt[1:], fitted, rtol=1e-4, atol=1e-6)
        if gamma:
            errors = [result.params[name].stderr for name in ("center", "sigma", "gamma")]
            np.testing.assert_allclose(np.sqrt(np.diag(pcov))[1:], errors, rtol=1e-3)
            assert abs(popt[3] - gamma) < 4 * errors[2]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gaussian", "GaussianModel"),
        ("lorentzian", "LorentzianModel"),
        ("moffat", "MoffatModel"),
        ("erf_step", "StepModel"),
        ("logistic_step", "StepModel"),
    ],
)
def test_shapes_are_those_of_lmfit(name, model):
    """Peaks and steps have the shapes that lmfit's models of these names have, whose amplitudes are areas."""
    models = pytest.importorskip("lmfit.models")
    x = np.linspace(-3, 5, 60)
    form = {"erf_step": "erf", "logistic_step": "logistic"}.get(name)
    theirs = getattr(models, model)(**({"form": form} if form else {}))
    width = {"erf_step": 0.7 * np.sqrt(2), "logistic_step": 0.7}.get(name, 0.7)
    others = {"beta": 1.3} if name == "moffat" else {}
    parameters = theirs.make_params(amplitude=2.0, center=0.4, sigma=width, **others)
    expected = theirs.eval(parameters, x=x)
    height = {"gaussian": 2 / (0.7 * np.sqrt(2 * np.pi)), "lorentzian": 2 / (0.7 * np.pi)}.get(name, 2.0)
    values = values_at(curves.RECORDS[name](), x, (height, 0.4, 0.7, *others.values()))
    np.testing.assert_allclose(values, expected, atol=1e-10)


# --- sums --------------------------------------------------------------------------------------------------------


def test_sums_with_prefixes():
    """A sum has the parameters of its terms with their prefixes, and their bounds."""
    curve = curves.gaussian("a_") + curves.gaussian("b_") + curves.line
    assert curve.names == ("a_height", "a_centre", "a_sigma", "b_height", "b_centre", "b_sigma", "intercept", "slope")
    assert curve.bounds == {"a_sigma": (0, np.inf), "b_sigma": (0, np.inf)}
    assert str(curve) == "gaussian('a_') + gaussian('b_') + line"
    parts = [peak.expression for peak in (curves.gaussian("a_"), curves.gaussian("b_"), curves.line())]
    assert curve.expression == sympy.Add(*parts)
    assert curves.gaussian + curves.line == curves.gaussian() + curves.line()
    assert (curves.line() + sympy.Symbol("z")) == curves.line().expression + sympy.Symbol("z")
    with pytest.raises(TypeError):
        curves.line() + "z"


def test_what_makes_no_sum():
    """Parameters of the same name, other variables, and prefixes that make no names are refused in words."""
    with pytest.raises(ModelError, match=r"gaussian and gaussian both have a parameter height: give one a prefix"):
        curves.gaussian + curves.gaussian
    with pytest.raises(ModelError, match="one variable, not t and x"):
        curves.line() + curves.sine(x="t")
    for prefix in ("1_", "a b", 3):
        with pytest.raises(ModelError, match="the prefix of line makes no name"):
            curves.line(prefix)
    with pytest.raises(ModelError, match="has a parameter slope, as its variable"):
        curves.line(x="slope")


@pytest.mark.parametrize("degree", [0, 1, 5])
def test_polynomials(degree):
    """A polynomial of any degree is that of NumPy."""
    x, c = np.linspace(-2, 2, 9), np.arange(1.0, degree + 2)
    np.testing.assert_allclose(values_at(curves.polynomial(degree), x, c), np.polynomial.polynomial.polyval(x, c))
    for wrong in (-1, 21, 1.5, True):
        with pytest.raises(ModelError, match="the degree of a polynomial is a whole number from 0 to 20"):
            curves.polynomial(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "gaussian",
        'gaussian("a_") + line',
        "gaussian('a_', x='t') + polynomial(3, 'b_', x='t')",
        "hill4(x=t)",
    ],
)
def test_curves_as_texts(text):
    """A curve is read from its text, and a curve that is copied or pickled is equal to it."""
    curve = curves.read(text)
    assert curves.read(str(curve)) == curve
    assert pickle.loads(pickle.dumps(curve)) == copy.deepcopy(curve) == curve


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gausian", "there is no curve gausian; there are: constant, line,"),
        ("gaussian - line", "is no sum of curves"),
        ("gaussian +", "is no sum of curves"),
        ("2*gaussian", "is no sum of curves"),
        ("gaussian(1.5)", "is no sum of curves"),
        ("gaussian('a_', 'b_', 'c_')", "takes a prefix and x"),
        ("gaussian(prefx='a')", "takes a prefix and x"),
        ("polynomial", "there is no curve polynomial"),
        ("__import__('os').system('x')", "is no sum of curves"),
    ],
)
def test_texts_that_are_no_curves(text, message):
    """Other texts are refused in words, and none is run."""
    with pytest.raises(ModelError, match=message):
        curves.read(text)


# --- starts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_start_explains_the_data(name):
    """The start of each curve from exact data is within the bounds, and leaves a small part of their variation."""
    x, _, y = example(name)
    curve = curves.RECORDS[name]()
    start = curve.start(x[::-1], y[::-1])
    assert tuple(start) == curve.names
    for parameter, (low, high) in curve.bounds.items():
        assert low <= start[parameter] <= high
    rest = values_at(curve, x, tuple(start.values())) - y
    assert np.sum(rest**2) < 0.5 * max(np.sum((y - y.mean()) ** 2), 1e-12)


def test_starts_of_sums():
    """Each term of a sum is estimated from what the others leave."""
    x = np.linspace(0, 10, 300)
    curve = curves.gaussian("a_") + curves.gaussian("b_") + curves.line()
    y = values_at(curve, x, (5, 3, 0.4, 2, 7, 0.3, 1, 0.2))
    start = curve.start(x, y)
    assert sorted([start["a_centre"], start["b_centre"]]) == pytest.approx([3, 7], abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_starts_from_hard_data(name):
    """Constant data, noise, negative and missing values give a start of finite numbers within the bounds."""
    curve = curves.RECORDS[name]()
    x = np.linspace(0, 5, 12)
    random = np.random.default_rng(3)
    for y in (np.zeros(12), np.full(12, -2.0), random.normal(size=12), np.where(x > 4, np.nan, x)):
        start = curve.start(x, y)
        assert np.isfinite([*start.values()]).all()
        assert all(low <= start[parameter] <= high for parameter, (low, high) in curve.bounds.items())
    with pytest.raises(ValueError, match="at least two different values of x"):
        curve.start(np.ones(5), np.ones(5))
    with pytest.raises(ValueError, match="they must be equal"):
        curve.start(np.ones(5), np.ones(4))


# --- as formulas -------------------------------------------------------------------------------------------------


def test_a_curve_is_a_formula():
    """Names of parameters are in the order of the curve; the variable must be among the data."""
    read = read_formula(curves.hill4(x="dose"), ("dose", "response"))
    assert read.columns == ("dose",)
    assert read.parameters == ("bottom", "top", "ec50", "slope")
    with pytest.raises(ModelError, match=r"the variable x of hill4 is not among the data; there are: dose"):
        read_formula(curves.hill4, ("dose",))
    assert read_formula(curves.constant, ("x",)).columns == ()


def test_a_model_of_a_curve():
    """The parameters of a model whose output is a curve may be left out: they begin at values within their bounds."""
    model = nn.Model("peak", "x", "y", output=curves.pseudo_voigt() + curves.constant())
    assert {symbol.name: value for symbol, value in model.parameters.items()} == {
        "height": 1,
        "centre": 1,
        "gamma": 1,
        "fraction": 0.5,
        "level": 1,
    }
    for curve in (curves.exponential, curves.exponential()):
        peak_model = nn.Model("peak", "x", "y", {"amplitude": 2, "rate": 1}, curve)
        assert [*peak_model.parameters.values()] == [2, 1]
        assert (
            peak_model.outputs == nn.Model("peak", "x", "y", output=curve).outputs == (curves.exponential().expression,)
        )
    both = nn.Model(
        "both", "x", "y z", {"intercept": 1, "slope": 1, "b_level": 0}, (curves.line, curves.constant("b_"))
    )
    assert len(both.outputs) == 2
    tied = nn.Model("tied", "x", "y", output=curves.line(), ties={"slope": "2*intercept"})
    assert [symbol.name for symbol in tied.parameters] == ["intercept"]

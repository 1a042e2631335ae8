"""The promises of the fitter that hold through every door: the fits of a module, curve_fit, the estimator, the command.

Parameters and errors are compared with SciPy's, and with those that NIST certifies.
"""

import re
from typing import NamedTuple

import numpy as np
import pytest
import sympy

optimize = pytest.importorskip("scipy.optimize")
pytest.importorskip("sklearn")
pytest.importorskip("pandas")

from nncodegen.bench.nist import right_digits
from tests.support import nist
from tests.support.doors import DOORS, doors_with, through_each_door

pytestmark = pytest.mark.usefixtures("quick_compiler")


class Curve(NamedTuple):
    """A formula, the same as a function of x and its parameters, data, and the standard deviations of y."""

    formula: str
    function: object
    x: object
    y: object
    sigma: object


def decay(x, a, b, c):
    return a * np.exp(-b * x) + c


def curves():
    """A decay; a plane of two inputs; and a number."""
    random = np.random.default_rng(7)
    x = np.linspace(0, 4, 40)
    sigma = 0.01 + 0.02 * random.random(40)
    noise = sigma * random.normal(size=40)
    X = np.stack([1 + random.random(40), x], axis=1)

    def plane(X, p, q, r):
        return p * X[:, 0] * np.exp(-q * X[:, 1]) + r

    return (
        Curve("a*exp(-b*x) + c", decay, x, decay(x, 2.5, 1.3, 0.5) + noise, sigma),
        Curve("p*x1*exp(-q*x2) + r", plane, X, plane(X, 1.5, 0.7, -0.3) + noise, sigma),
        Curve("m", lambda x, m: m + np.zeros(40), None, 2 + noise, sigma),
    )


DECAY, PLANE, MEAN = curves()
NAMES = "abc"
GAPS = np.where(np.isin(np.arange(40), [0, 7, 30]), np.nan, DECAY.y)
SPOILT = DECAY.y + np.where(np.arange(40) == 5, 10.0, 0.0)


def expected_of(
    curve, y, sigma=None, absolute_sigma=False, bounds=None, fixed=None, loss="linear", f_scale=1.0, p0=None
):
    """SciPy's parameters, covariance and sum of squares, with derivatives to all digits, of the data that are there."""
    there = ~np.isnan(y)
    x = curve.x if curve.x is None else curve.x[there]
    sigma = None if sigma is None else np.broadcast_to(sigma, y.shape)[there]
    names = ["m"] if curve is MEAN else NAMES
    bounds, fixed = bounds or {}, fixed or {}
    free = [name for name in names if name not in fixed]
    pairs = [bounds.get(name, (None, None)) for name in free]
    low = [-np.inf if end is None else end for end, _ in pairs]
    high = [np.inf if end is None else end for _, end in pairs]
    begin = [p0.get(name, 1.0) if isinstance(p0, dict) else 1.0 for name in free]

    def function(x, *values):
        by_name = dict(zip(free, values, strict=True)) | fixed
        return curve.function(x, *(by_name[name] for name in names))

    # SciPy's start must lie within the bounds, and not at an end
    begin = np.clip(begin, np.add(low, 1e-3), np.subtract(high, 1e-3))
    optimum, part = optimize.curve_fit(
        function,
        np.zeros(there.sum()) if x is None else x,
        y[there],
        begin,
        sigma,
        absolute_sigma,
        bounds=(low, high),
        method="trf",
        jac="cs",
        loss=loss,
        f_scale=f_scale,
        x_scale="jac",
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
        max_nfev=10_000,
    )
    residuals = (function(x, *optimum) - y[there]) / (1 if sigma is None else sigma)
    parameters, covariance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    places = [names.index(name) for name in free]
    parameters[places], covariance[np.ix_(places, places)] = optimum, part
    for name, value in fixed.items():
        parameters[names.index(name)] = value
    return parameters, covariance, residuals @ residuals


def check(outcome, expected):
    """All that a door tells is what SciPy finds, up to a thousandth of the errors."""
    parameters, covariance, chi2 = expected
    errors = np.sqrt(np.diag(covariance))
    units = np.where(errors == 0, 1, errors)
    assert outcome.status in ("converged", None), outcome.told
    assert (abs(outcome.parameters - parameters) <= 1e-3 * errors).all()
    np.testing.assert_allclose(outcome.errors, errors, rtol=1e-3)
    if outcome.covariance is not None:
        scale = np.outer(units, units)
        np.testing.assert_allclose(outcome.covariance / scale, covariance / scale, atol=1e-3)
        np.testing.assert_allclose(outcome.covariance, np.transpose(outcome.covariance), rtol=1e-12)
    if outcome.chi2 is not None:
        assert outcome.chi2 == pytest.approx(chi2, rel=1e-6)


# --- what is found -----------------------------------------------------------------------------------------------

FITS = {
    "plain": ((), DECAY, {}),
    "two inputs": ((), PLANE, {}),
    "no input": (["none"], MEAN, {}),
    "sigma": ((), DECAY, {"sigma": DECAY.sigma}),
    "three times sigma": ((), DECAY, {"sigma": 3 * DECAY.sigma}),
    "one sigma for all": ((), DECAY, {"sigma": 0.3}),
    "absolute sigma": (["absolute_sigma"], DECAY, {"sigma": DECAY.sigma, "absolute_sigma": True}),
    "absolute sigma of all": (["absolute_sigma"], DECAY, {"sigma": 0.3, "absolute_sigma": True}),
    "missing": ((), DECAY, {"y": GAPS}),
    "missing, with sigma": ((), DECAY, {"y": GAPS, "sigma": DECAY.sigma}),
    "a start": ((), DECAY, {"p0": {"a": 3, "b": 2, "c": 0.0}}),
    "a start of some": ((), DECAY, {"p0": {"c": 0.3}}),
    "a start that is found": ((), DECAY, {"p0": "auto"}),
    "a start that is found within bounds": ((), DECAY, {"p0": "auto", "bounds": {"b": (1.6, 2)}}),
    "bounds that hold": ((), DECAY, {"bounds": {"c": (None, 0.4), "b": (1.6, 2)}}),
    "a bound that holds": ((), DECAY, {"bounds": {"a": (0, 2.2)}}),
    "bounds that do not hold": ((), DECAY, {"bounds": {"a": (0, 5), "b": (0, None)}}),
    "bounds and a start": ((), DECAY, {"bounds": {"b": (None, 1.1)}, "p0": {"b": 0.5}}),
    "bounds, sigma": ((), PLANE, {"bounds": {"p": (1, 2)}, "sigma": PLANE.sigma}),
    "fixed": (["fixed"], DECAY, {"fixed": {"c": 0.4}}),
    "fixed, with a start": (["fixed"], DECAY, {"fixed": {"c": 0.4}, "p0": {"a": 3, "b": 2}}),
    "fixed, bounds": (["fixed"], DECAY, {"fixed": {"c": 0.4}, "bounds": {"b": (None, 1.1)}}),
    "huber": (["loss"], DECAY, {"y": SPOILT, "loss": "huber", "f_scale": 0.05}),
    "soft_l1": (["loss"], DECAY, {"y": SPOILT, "loss": "soft_l1", "f_scale": 0.05}),
    "cauchy": (["loss"], DECAY, {"y": SPOILT, "loss": "cauchy", "f_scale": 0.05}),
    "huber, sigma": (["loss"], DECAY, {"y": SPOILT, "sigma": DECAY.sigma, "loss": "huber", "f_scale": 2.0}),
}
"""What a door must take, the curve, and the options; ``y`` stands for other targets."""


@pytest.mark.parametrize(("door", "curve", "options"), through_each_door(FITS))
def test_fits(door, curve, options):
    """Parameters, standard errors, covariance and the sum of squares are SciPy's."""
    options = dict(options)
    y = options.pop("y", curve.y)
    check(door(curve.formula, curve.x, y, **options), expected_of(curve, y, **options))


@nist.installed
@pytest.mark.parametrize("door", DOORS, ids=str)
@pytest.mark.parametrize("name", ["Misra1a", "MGH09"])
def test_certified_values(door, name):
    """Of NIST's problems, four digits of each parameter and of each standard error are right."""
    nist_problem = nist.problem(name)
    start = dict(zip(nist_problem.curve.parameters, nist_problem.starts[1].tolist(), strict=True))
    outcome = door(nist_problem.curve.formula, nist_problem.x[:, 0], nist_problem.y[:, 0], p0=start)
    assert right_digits(outcome.parameters, nist_problem.certified) >= 4
    assert right_digits(outcome.errors, nist_problem.standard_deviations) >= 4


@pytest.mark.parametrize("options", [{}, {"p0": {"b": 2.0}, "bounds": {"b": (1.4, 3)}}], ids=["free", "bounds"])
def test_one_solver(options):
    """Whichever door is taken, one fit gives the same bits, and so does one of many; each does so again."""
    many = {"fit_many", "command for groups"}
    for alike in (set(map(str, DOORS)) - many, many):
        doors = [door for door in DOORS if str(door) in alike]
        first, *others = (door(DECAY.formula, DECAY.x, DECAY.y, **options) for door in (*doors, doors[0]))
        for other in others:
            np.testing.assert_array_equal(other.parameters, first.parameters)
            np.testing.assert_array_equal(other.errors, first.errors)


@pytest.mark.parametrize("door", doors_with("precision"))
def test_single_precision(door):
    """In float32, parameters are right to its digits."""
    outcome = door(DECAY.formula, DECAY.x, DECAY.y, precision="float32")
    exact, covariance, _ = expected_of(DECAY, DECAY.y)
    assert outcome.status == "converged"
    assert (abs(outcome.parameters - exact) <= 0.05 * np.sqrt(np.diag(covariance))).all()
    np.testing.assert_allclose(outcome.errors, np.sqrt(np.diag(covariance)), rtol=0.01)


# --- where it starts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_the_start_counts(door):
    """The start decides which of several optima is found."""
    wave = np.sin(3 * DECAY.x)
    assert door("sin(w*x)", DECAY.x, wave, p0={"w": 2.9}).parameters == pytest.approx([3])
    assert abs(door("sin(w*x)", DECAY.x, wave, p0={"w": 9.0}).parameters[0]) > 3.5


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_start_that_is_found(door):
    """With the start "auto", data of other scales than 1 are fitted; from 1 they are not."""
    x, y = 1e3 * DECAY.x, 1e-4 * decay(DECAY.x, 2.5, 1.3, 0.5)
    right = pytest.approx([2.5e-4, 1.3e-3, 0.5e-4], rel=1e-6)
    assert door(DECAY.formula, x, y, p0="auto").parameters == right
    assert door(DECAY.formula, x, y).parameters != right


@pytest.mark.parametrize("door", doors_with("n_starts"))
def test_several_starts(door):
    """More starting points within the bounds find what one start does not."""
    wave, bounds = np.sin(3 * DECAY.x), {"w": (0, 20)}
    assert abs(door("sin(w*x)", DECAY.x, wave, bounds=bounds).parameters[0] - 3) > 0.1
    assert door("sin(w*x)", DECAY.x, wave, bounds=bounds, n_starts=16).parameters == pytest.approx([3])


@pytest.mark.parametrize("door", doors_with("array"))
def test_forms(door):
    """Starts, bounds and fixed parameters are given by name, by symbol, or in the order of the parameters."""

    def fitted(**options):
        outcome = door(DECAY.formula, DECAY.x, DECAY.y, **options)
        return outcome.parameters.tolist(), outcome.errors.tolist()

    a, b, c = sympy.symbols("a b c")
    alike = {
        "p0": [{"a": 3, "c": 0.0}, {c: 0.0, a: 3.0}, [3, 1, 0], (3, 1, 0.0), np.array([3.0, 1, 0])],
        "bounds": [
            {"b": (1.6, 2), "c": (None, 0.4)},
            {c: (-np.inf, 0.4), b: (1.6, 2)},
            ([-np.inf, 1.6, -np.inf], (np.inf, 2, 0.4)),
            (np.array([-np.inf, 1.6, -np.inf]), [np.inf, 2, 0.4]),
        ],
        "fixed": [["b"], [b], [1], "b", {"b"}, np.array([1]), ("b", 1), {"b": 1.0}, {b: 1}, {1: np.array([1.0])}],
    }
    for name, forms in alike.items():
        begin = {"p0": [3, 1.8, 0.2]} if name == "bounds" else {}
        first, *others = (fitted(**{name: form}, **begin) for form in forms)
        assert first != fitted(**begin)
        for form, other in zip(forms[1:], others, strict=True):
            assert other == first, form
    for nothing in (None, (None, None), (-np.inf, np.inf), {}, {"a": (None, 1e9)}, (-1e9, [1e9, 1e9, 1e9])):
        assert fitted(bounds=nothing, p0=[3, 1, 0]) == fitted(p0=[3, 1, 0])
    for nothing in ((), [], np.array([], int), {}):
        assert fitted(fixed=nothing) == fitted()


@pytest.mark.parametrize("door", doors_with("fixed"))
def test_all_fixed(door):
    """Where all parameters are fixed, they stay at their values and have no errors."""
    for options in ({"fixed": {"a": 2, "b": 1, "c": 0.4}}, {"fixed": ["a", "b", "c"], "p0": [2, 1, 0.4]}):
        outcome = door(DECAY.formula, DECAY.x, DECAY.y, **options)
        assert outcome.parameters.tolist() == [2, 1, 0.4]
        assert not outcome.errors.any()


@pytest.mark.parametrize("door", doors_with("array"))
def test_arguments_stay(door):
    """Nothing that is given is changed, nor shared with what is found."""
    arguments = {"x": DECAY.x.copy(), "y": GAPS.copy(), "p0": np.array([3.0, 1, 0]), "sigma": DECAY.sigma.copy()}
    copies = {name: values.copy() for name, values in arguments.items()}
    outcome = door(DECAY.formula, **arguments)
    parameters = outcome.parameters.copy()
    for name, values in arguments.items():
        np.testing.assert_array_equal(values, copies[name])
        values[:] = 0
    np.testing.assert_array_equal(outcome.parameters, parameters)


@pytest.mark.parametrize("door", doors_with("array"))
def test_data_of_any_kind(door):
    """Lists, columns, arrays of other types or with gaps give the bits of arrays that C takes as they are."""
    expected = door(DECAY.formula, DECAY.x, DECAY.y, p0=[3.0, 1, 0])
    for change in (
        lambda values: values.tolist(),
        lambda values: np.repeat(values, 2)[::2],
        lambda values: np.ascontiguousarray(values[::-1])[::-1],
        lambda values: values.astype(">f8"),
        lambda values: values.astype(object),
    ):
        outcome = door(DECAY.formula, change(DECAY.x), change(DECAY.y), p0=change(np.array([3.0, 1, 0])))
        np.testing.assert_array_equal(outcome.parameters, expected.parameters)
        np.testing.assert_array_equal(outcome.errors, expected.errors)


# --- how it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_undetermined(door):
    """Of a*b*x + c, the product and c are found, and a and b are told not to be determined: their errors are infinite.

    A fit by itself tells the error of c, too; fits side by side tell those of none. The status is the same word.
    """
    outcome = door("a*b*x + c", DECAY.x, 2 * DECAY.x + 1)
    a, b, c = outcome.parameters
    assert [a * b, c] == pytest.approx([2, 1], rel=1e-6)
    assert np.isinf(outcome.errors).tolist() in ([True, True, False], [True, True, True])
    assert outcome.status == ("converged" if door.name == "curve_fit" else "singular")  # SciPy's has no status
    assert re.search(r"not determine(d +|) a, b\b|^singular$", outcome.told, re.MULTILINE)


@pytest.mark.parametrize("door", DOORS, ids=str)
@pytest.mark.parametrize("count", [2, 3])
def test_few_data(door, count):
    """With as many data as parameters, or fewer, the curve goes through all of them, and no error is known."""
    x, y = DECAY.x[:: 40 // count][:count], DECAY.y[:: 40 // count][:count]
    outcome = door(DECAY.formula, x, y)
    assert outcome.status == "converged" if count == 3 else outcome.status in ("converged", "too_few_data")
    np.testing.assert_allclose(decay(x, *outcome.parameters), y, rtol=1e-5)
    assert np.isinf(outcome.errors).all()
    if outcome.covariance is not None:
        assert np.isinf(outcome.covariance).all()
    assert count == 3 or re.search("too_few_data|not determined? +a, b, c", outcome.told)


@pytest.mark.parametrize("door", doors_with("absolute_sigma"))
def test_few_data_of_known_errors(door):
    """Where standard deviations are known, as many data as parameters tell errors."""
    x, y = DECAY.x[::13][:3], DECAY.y[::13][:3]
    outcome = door(DECAY.formula, x, y, sigma=0.02, absolute_sigma=True)
    slopes = (
        np.stack(
            [
                np.exp(-outcome.parameters[1] * x),
                -outcome.parameters[0] * x * np.exp(-outcome.parameters[1] * x),
                np.ones(3),
            ],
            axis=1,
        )
        / 0.02
    )
    np.testing.assert_allclose(outcome.errors, np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes))), rtol=1e-4)


ENDS = {
    "not finite at the start": ((), "a*log(x - b)", {}, "not finite at the start|not_finite"),
    "iterations used up": (["max_iterations"], DECAY.formula, {"max_iterations": 1}, "raise max_iterations"),
    "a pole": ((), "a/(b + x)", {"p0": {"a": 200, "b": -0.3}, "y": 1 / (0.1 + DECAY.x)}, r"at a pole|^pole$"),
}
"""What a door must take, the formula, the options, and what is told."""


@pytest.mark.parametrize(("door", "formula", "options", "words"), through_each_door(ENDS))
def test_ends(door, formula, options, words):
    """A fit that finds no solution says why: in words, or, among others, by its status."""
    outcome = door(formula, DECAY.x, **{"y": DECAY.y, **options})
    assert re.search(words, outcome.told, re.MULTILINE)
    assert "pole" in words or outcome.status != "converged"


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_no_data(door):
    """Where all targets are missing, this is said, or refused."""
    try:
        message = door(DECAY.formula, DECAY.x, np.full(40, np.nan)).told
    except ValueError as error:
        message = str(error)
    assert re.search(
        "all data are missing|no row in which x, y are all given|0 for every sample|at least one non-zero", message
    )


@pytest.mark.parametrize("door", doors_with("callback"))
def test_a_fit_that_is_ended(door):
    """A fit that its callback ends says so."""
    outcome = door(DECAY.formula, DECAY.x, DECAY.y, callback=lambda progress: progress.iterations == 2)
    assert "the callback ended the fit" in outcome.told


# --- what is refused ---------------------------------------------------------------------------------------------

NONE = "names '?d'?, which is no parameter; there are: a, b, c"


def at_3(values, value):
    """A copy with this value in row 3."""
    return np.where(np.arange(len(values)) == 3, value, values)


REFUSED = {
    "start of none": ((), {"p0": {"d": 1}}, f"START {NONE}"),
    "bounds of none": ((), {"bounds": {"d": (0, 1)}}, f"bounds {NONE}"),
    "fixed is none": (["fixed"], {"fixed": ["d"]}, f"fixed {NONE}"),
    "fixed at a value is none": (["fixed"], {"fixed": {"d": 1}}, f"fixed {NONE}"),
    "fixed by a wrong index": (["fixed"], {"fixed": [3]}, "fixed must be an integer from 0 to 2, not 3"),
    "fixed at a text": (["fixed"], {"fixed": {"a": "steep"}}, r"fixed\['a'\] is 'steep', which is no real number"),
    "fixed at NaN": (["fixed"], {"fixed": {"a": np.nan}}, r"fixed\['a'\] is nan; expected a number, .*all finite"),
    "two values": (["fixed"], {"fixed": {"a": 2}, "p0": {"a": 1}}, "START and fixed give different values of a"),
    "bounds are crossed": ((), {"bounds": {"b": (2, 1)}}, "bounds of b are crossed|bounds b=2.0:1.0 is empty"),
    "bounds are one point": ((), {"bounds": {"c": (1, 1)}}, "bounds of c are crossed|bounds c=1.0:1.0 is empty"),
    "bounds of arrays are crossed": (["array"], {"bounds": ([0, 1, 0], [9, 1, 9])}, "bounds of b are crossed"),
    "start out of bounds": ((), {"p0": {"b": 1}, "bounds": {"b": (0, 0.5)}},
                            "outside of (the bounds: b is 1, above its upper bound 0.5|--bounds b=0:0.5)"),
    "fixed out of bounds": (["fixed"], {"fixed": {"a": 3}, "bounds": {"a": (0, 2)}}, "a is 3, above its upper bound 2"),
    "bounds are a number": (["array"], {"bounds": 3}, r"bounds must be a pair \(lower, upper\)"),
    "bounds of a are a number": (["array"], {"bounds": {"a": 3}}, r"bounds of a must be a pair \(lower, upper\)"),
    "bounds are a text": (["array"], {"bounds": (0, "many")}, "upper bounds? .*'many'"),
    "bounds of another length": (["array"], {"bounds": ([0, 1], 5)}, r"lower bounds? .*\(2,\)"),
    "a bound is NaN": (["array"], {"bounds": {"b": (0, np.nan)}}, "the upper bound .*is NaN"),
    "start of another length": (["array"], {"p0": [1, 2]}, r"START has the shape \(2,\); expected \(3,\)"),
    "start is NaN": (["array"], {"p0": [1, np.nan, 1]}, r"START\[1\] is nan; expected \(3,\)"),
    "start of a is NaN": (["array"], {"p0": {"a": np.nan}}, r"START\['a'\] is nan"),
    "start is a text": (["array"], {"p0": [1, "b", 1]}, r"START\[1\] is 'b', which is no real number"),
    "start of a is a text": (["array"], {"p0": {"a": "x"}}, r"START\['a'\] is 'x', which is no real number"),
    "start of a is an array": (["array"], {"p0": {"a": [1, 2]}},
                               r"START\['a'\] has the shape \(2,\)|Y is for 5 fits, but START for 2"),
    "sigma is 0": ((), {"sigma": at_3(DECAY.sigma, 0)},
                   r"sigma\[3\] is 0|line 5, column s: .* not 0|sample_weight contains infinity"),
    "sigma of all is 0": ((), {"sigma": 0}, r"sigma is 0|line 2, column s: .* not 0|sample_weight contains infinity"),
    "sigma is below 0": (["sigma"], {"sigma": at_3(DECAY.sigma, -1)}, r"sigma\[3\] is -1|line 5, column s: .* not -1"),
    "sigma is tiny": (["sigma"], {"sigma": at_3(DECAY.sigma, 1e-310)}, r"sigma\[(0, )?3\] is 1e-310"),
    "sigma is infinite": (["array", "sigma"], {"sigma": at_3(DECAY.sigma, np.inf)}, r"sigma\[3\] is inf"),
    "sigma is NaN": (["array"], {"sigma": at_3(DECAY.sigma, np.nan)}, r"sigma\[3\] is nan|sample_weight contains NaN"),
    "sigma of another length": (["array", "sigma"], {"sigma": DECAY.sigma[:3]}, r"sigma has the shape \(3,\)"),
    "sigma is a matrix": (["array", "sigma"], {"sigma": np.eye(40)}, r"sigma has the shape \(40, 40\)|sigma for 40"),
    "absolute_sigma is 1": (["absolute_sigma"], {"absolute_sigma": 1}, "absolute_sigma must be True or False, not 1"),
    "tolerance is below 0": (["tolerance"], {"tolerance": -1.0}, "tolerance must be a number from 0, below 1, not -1"),
    "half an iteration": (["max_iterations"], {"max_iterations": 1.5}, "max_iterations must be an integer from 0"),
    "no thread": (["array"], {"threads": 0}, "threads must be an integer from 1 to 64, not 0"),
    "no robust loss": (["loss"], {"loss": "tukey"}, "'tukey'.*'huber', 'soft_l1', 'cauchy'"),
    "f_scale is 0": (["loss"], {"loss": "huber", "f_scale": 0.0}, "f.scale.*0.0"),
    "f_scale alone": (["loss"], {"f_scale": 2.0}, "f.scale has no effect on"),
    "starts without bounds": (["n_starts"], {"n_starts": 3}, "starts .*bounds.* a has none"),
    "no starts": (["n_starts"], {"n_starts": 0, "bounds": dict.fromkeys(NAMES, (0, 5))}, "starts.* 1.*0|starts.*x>=1"),
    "x is NaN": (["array"], {"x": at_3(DECAY.x, np.nan)}, r"X\[3, 0\] is nan; expected .* all finite|X contains NaN"),
    "x is a text": (["array"], {"x": ["1 m"] * 40}, "'1 m', which is no real number|texts, such as '1 m'"),
    "x and y are empty": (["array"], {"x": DECAY.x[:0], "y": DECAY.y[:0]}, "at least one sample|0 sample"),
    "y is shorter": (["array"], {"y": DECAY.y[:5]},
                     r"Y has the shape \(5, 1\); expected \(40, 1\)|with N = 5 as in Y|inconsistent .*\[40, 5\]"),
    "y is infinite": (["y"], {"y": at_3(DECAY.y, np.inf)},
                      r"Y\[3, 0\] is inf, which is not finite|y contains infinity|line 5, column y: 'inf' is no"),
    "y is complex": (["array"], {"y": DECAY.y + 1j}, "which is no real number|Complex data not supported"),
}  # fmt: skip
"""What a door must take, the options, and what is said; START stands for the door's name of the start."""


@pytest.mark.parametrize(("door", "options", "words"), through_each_door(REFUSED))
def test_refused(door, options, words):
    """What cannot be meant is refused, with the argument by its name, where it is wrong, and what was expected."""
    with pytest.raises(ValueError, match=words.replace("START", door.start)):
        door(DECAY.formula, **{"x": DECAY.x, "y": DECAY.y, **options})

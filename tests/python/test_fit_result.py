"""What a fit returns: errors of parameters and goodness of fit, against SciPy, and against formulas written out."""

import json
import math
import pickle

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.runtime.python.ground.endings import ENDINGS
from nncodegen.runtime.python.results.covariance import decompose, undetermined
from tests.support.fit_records import Formula, decay, decay_data, fitted, line

scipy_optimize = pytest.importorskip("scipy.optimize")

X, Y = decay_data()
SIGMA = np.linspace(0.02, 0.09, len(Y))
EPSILON = float(np.finfo(float).eps)


def decay_of_x(x, a, b, c):
    return a * np.exp(-b * x) + c


def product():
    """y = a*b*x + c, whose data determine c and the product a*b alone."""

    def derivative(p, X):
        x = X[:, 0]
        return np.stack([p[1] * x, p[0] * x, np.ones_like(x)], axis=1)[:, None]

    return Formula("product", ("a", "b", "c"), lambda p, X: p[0] * p[1] * X + p[2], derivative)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("sigma", [None, SIGMA])
def test_covariance_is_that_of_curve_fit(sigma, absolute):
    """The covariance agrees with curve_fit's: with sigma and without, scaled and absolute."""
    result = fitted(decay(), X, Y, [1, 1, 0], sigma, absolute_sigma=absolute)
    popt, expected = scipy_optimize.curve_fit(
        decay_of_x,
        X[:, 0],
        Y,
        [1, 1, 0],
        sigma,
        absolute,
        xtol=1e-15,
        ftol=1e-15,
        jac=lambda x, *p: decay().jacobian(p, X)[:, 0],
    )
    np.testing.assert_allclose(result.parameters, popt, rtol=1e-7)
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-6)
    np.testing.assert_allclose(result.standard_errors, np.sqrt(np.diag(expected)), rtol=1e-6)


@pytest.mark.parametrize("loss", ["huber", "soft_l1", "cauchy"])
def test_covariance_of_a_robust_fit_is_that_of_curve_fit(loss):
    """With a robust loss, the covariance is scaled by twice the cost over the degrees of freedom, as curve_fit's."""
    wild = Y.copy()
    wild[[3, 11]] += 1
    result = fitted(decay(), X, wild, [2, 1, 0], 0.05, loss=loss, scale=1.5)
    _, expected = scipy_optimize.curve_fit(
        decay_of_x,
        X[:, 0],
        wild,
        [2, 1, 0],
        np.full(len(Y), 0.05),
        method="trf",
        loss=loss,
        f_scale=1.5,
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        jac=lambda x, *p: decay().jacobian(p, X)[:, 0],
    )
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-5)
    assert result.chi2 > 2 * result.cost
    assert f"robust loss          {loss}, beyond residuals of 1.5" in str(result)


def test_figures_of_a_line():
    """For a line, standard errors, correlation, r2, chi2 and the criteria are those of the textbook."""
    x, y = np.arange(6.0), np.array([1.0, 2.9, 5.2, 6.8, 9.1, 11.2])
    result = fitted(line(), x[:, None], y, [0, 0])
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    rest = y - (y.mean() + slope * (x - x.mean()))
    square = rest @ rest / 4
    spread = np.sum((x - x.mean()) ** 2)
    np.testing.assert_allclose(result["b"], slope)
    np.testing.assert_allclose(result.residuals[:, 0], -rest, atol=1e-12)
    np.testing.assert_allclose(result.chi2, rest @ rest)
    np.testing.assert_allclose(result.reduced_chi2, square)
    np.testing.assert_allclose(result.standard_errors, np.sqrt([square * (1 / 6 + 2.5**2 / spread), square / spread]))
    np.testing.assert_allclose(result.correlation, [[1, r := -2.5 / math.sqrt(np.mean(x**2))], [r, 1]], rtol=1e-10)
    np.testing.assert_allclose(result.r2, np.corrcoef(x, y)[0, 1] ** 2)
    np.testing.assert_allclose(result.aic, 6 * math.log(rest @ rest / 6) + 4)
    np.testing.assert_allclose(result.bic, 6 * math.log(rest @ rest / 6) + 2 * math.log(6))
    assert (result.degrees_of_freedom, result.rank, result.used) == (4, 2, 6)


def test_differences_of_the_criteria_are_those_of_the_likelihood():
    """The aic of two models differs as twice the log-likelihood of normal errors and the number of parameters do."""
    stats = pytest.importorskip("scipy.stats")
    for absolute in (False, True):
        results = [
            fitted(model, X, Y, start, SIGMA, absolute_sigma=absolute)
            for model, start in ((line(), [0, 0]), (decay(), [1, 1, 0]))
        ]
        expected = []
        for result in results:
            factor = 1 if absolute else math.sqrt(result.chi2 / len(Y))
            likelihood = stats.norm.logpdf(result.residuals[:, 0], scale=factor) - np.log(SIGMA)
            expected.append(-2 * likelihood.sum() + 2 * result.free_count)
        np.testing.assert_allclose(results[0].aic - results[1].aic, expected[0] - expected[1], rtol=1e-10)


def test_missing_targets_do_not_count():
    """A fit whose targets are missing in part has the figures of the fit without these rows."""
    gaps = Y.copy()
    gaps[[2, 7]] = np.nan
    kept = ~np.isnan(gaps)
    with_gaps = fitted(decay(), X, gaps, [1, 1, 0], SIGMA)
    without = fitted(decay(), X[kept], Y[kept], [1, 1, 0], SIGMA[kept])
    for name in ("covariance", "chi2", "r2", "aic", "bic", "used", "degrees_of_freedom"):
        np.testing.assert_allclose(getattr(with_gaps, name), getattr(without, name), rtol=1e-6)
    assert np.isnan(with_gaps.residuals[[2, 7]]).all()


def test_r2_of_several_outputs_has_a_mean_for_each():
    """r2 compares with the weighted mean of each output."""
    model = Formula(
        "two",
        ("a", "b"),
        lambda p, X: np.concatenate([p[0] * X, p[1] + 0 * X], axis=1),
        lambda p, X: np.stack([np.concatenate([X, 0 * X], 1), np.concatenate([0 * X, 1 + 0 * X], 1)], 1),
        outputs=("first", "second"),
    )
    targets = np.stack([3 * X[:, 0] + Y, 100 + Y], axis=1)
    sigma = np.stack([SIGMA, 2 * SIGMA], axis=1)
    result = fitted(model, X, targets, [1, 1], sigma)
    means = np.sum(targets / sigma**2, axis=0) / np.sum(sigma**-2.0, axis=0)
    total = np.sum(((targets - means) / sigma) ** 2)
    np.testing.assert_allclose(result.r2, 1 - result.chi2 / total, rtol=1e-12)
    for constant in (1.0, 0.1, 1e9 / 3):
        assert math.isnan(fitted(line(), X, np.full(len(X), constant), [0, 0], SIGMA).r2)


def test_fixed_parameters():
    """A fixed parameter has no error, and the others those of the model without it."""
    result = fitted(decay(), X, Y, [1, 1, 0.5], fixed=[2])
    _, expected = scipy_optimize.curve_fit(lambda x, a, b: decay_of_x(x, a, b, 0.5), X[:, 0], Y, [1, 1])
    np.testing.assert_allclose(result.covariance[:2, :2], expected, rtol=1e-4)
    assert not result.covariance[2].any()
    assert not result.covariance[:, 2].any()
    assert np.isnan(result.correlation[2]).all()
    assert result.degrees_of_freedom == len(Y) - 2
    assert "fixed" in str(result).splitlines()[5]


def test_all_fixed():
    """With no parameter free, there is nothing to determine, and chi2 is that of the start."""
    result = fitted(line(), X, Y, [1, 2], fixed=[0, 1])
    assert (result.rank, result.degrees_of_freedom) == (0, len(Y))
    assert math.isnan(result.condition)
    np.testing.assert_allclose(result.chi2, np.sum((1 + 2 * X[:, 0] - Y) ** 2))
    np.testing.assert_array_equal(result.confidence_intervals(), [[1, 1], [2, 2]])
    assert "fixed                a, b" in str(result)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e9])
def test_what_is_not_determined(scale):
    """Of a*b*x + c, a and b have infinite errors whatever their units; c has that of the model d*x + c."""
    result = fitted(product(), X, Y, [2, 1, 0], end=[scale * 1.7, -0.3 / scale, 1.1])
    alone = fitted(line(), X, Y, [0, 0], end=[1.1, -0.51])
    assert result.rank == 2
    assert result.undetermined == ("a", "b")
    np.testing.assert_array_equal(np.isinf(result.standard_errors), [True, True, False])
    np.testing.assert_allclose(
        result.standard_errors[2] / math.sqrt(result.error_scale),
        alone.standard_errors[0] / math.sqrt(alone.error_scale),
        rtol=1e-9,
    )
    assert np.isnan(result.correlation[0]).all()
    assert "not determined       a, b: the data determine 2 of 3 combinations" in str(result)


def test_a_parameter_without_effect():
    """A parameter on which no output depends is the one that is not determined."""
    model = Formula(
        "idle", ("a", "idle"), lambda p, X: p[0] * X, lambda p, X: np.concatenate([X, 0 * X], axis=1)[:, None]
    )
    result = fitted(model, X, Y, [1, 1], end=[1, 1])
    assert result.undetermined == ("idle",)
    assert math.isinf(result.condition)
    assert np.isfinite(result.standard_errors[0])


@pytest.mark.parametrize("columns", [2, 3, 11])
def test_hard_but_determined(columns):
    """Polynomials of degree up to 10 on NIST's interval of Filip are determined: their rank is full."""
    triangle = np.linalg.qr(np.vander(np.linspace(-8.8, -3.1, 82), columns), mode="r")
    decomposition = decompose(triangle, EPSILON)
    assert decomposition.rank == columns
    assert not undetermined(decomposition, EPSILON).any()


def test_condition_does_not_depend_on_units():
    """The condition number and the rank stay when a parameter is measured in other units."""
    triangle = np.linalg.qr(np.vander(np.linspace(1, 2, 30), 4), mode="r")
    units = np.array([1e-200, 1, 1e12, 1e150])
    first, second = decompose(triangle, EPSILON), decompose(triangle * units, EPSILON)
    np.testing.assert_allclose(first.condition, second.condition, rtol=1e-9)
    assert first.rank == second.rank == 4


def test_single_precision_knows_its_digits():
    """Columns that differ by roundings of single precision count as dependent in it, and in double they do not."""
    x = np.linspace(0, 1, 50)
    triangle = np.linalg.qr(np.stack([x, x * (1 + 1e-8 * np.sin(9 * x))], axis=1), mode="r")
    assert decompose(triangle, float(np.finfo(np.float32).eps)).rank == 1
    assert decompose(triangle, EPSILON).rank == 2


def test_fewer_data_than_parameters():
    """With as many data as parameters the errors are not known, unless sigma is."""
    result = fitted(line(), X[:2], Y[:2], [0, 0])
    assert np.isinf(result.standard_errors).all()
    assert math.isnan(result.reduced_chi2)
    assert np.isinf(result.confidence_intervals()).all()
    assert np.isinf(result.confidence_intervals(method="profile")).all()
    assert "there are no more values than free parameters" in str(result)
    known = fitted(line(), X[:2], Y[:2], [0, 0], 0.1, absolute_sigma=True)
    assert np.isfinite(known.confidence_intervals()).all()
    lonely = fitted(line(), X[:1], Y[:1], [0, 0], end=[Y[0], 0])
    assert lonely.rank == 1
    assert lonely.degrees_of_freedom == -1


def test_a_triangle_that_is_not_finite():
    """A fit that ended where the Jacobian is not finite determines nothing, and is shown."""
    result = fitted(line(), X, Y, [0, 0])
    result._triangle = np.full((2, 2), np.nan)
    assert result.rank == 0
    assert np.isinf(result.standard_errors).all()
    assert "a, b: the data determine 0 of 2" in str(result)


def test_parameters_by_name():
    """A parameter is found by its name, an array as an array and its elements by their positions."""
    model = Formula(
        "layer",
        {"W": (2, 2), "b": ()},
        lambda p, X: p[:2] * X,
        lambda p, X: np.ones((len(X), 2, 5)),
        outputs=("h", "g"),
    )
    result = fitted(model, X, np.ones((20, 2)), np.ones(5), end=np.arange(5.0))
    assert result.names == ("W[0,0]", "W[0,1]", "W[1,0]", "W[1,1]", "b")
    np.testing.assert_array_equal(result["W"], [[0, 1], [2, 3]])
    assert (result["W[1,0]"], result["b"], result.values["b"]) == (2, 4, 4)
    with pytest.raises(KeyError, match="no parameter 'c'; there are: W, b"):
        result["c"]


def test_as_dict_is_plain():
    """as_dict holds plain values, which JSON can write, under the names of the parameters."""
    result = fitted(decay(), X, Y, [1, 1, 0], SIGMA)
    restored = json.loads(json.dumps(result.as_dict()))
    assert restored["parameters"] == result.values
    assert restored["chi2"] == result.chi2
    assert restored["covariance"] == result.covariance.tolist()
    assert (restored["status"], restored["converged"]) == ("converged", True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_endings(ending):
    """Every end has a status and a message; those of convergence alone count as converged."""
    result = fitted(line(), X, Y, [0, 0])
    result._ending = ending
    assert result.converged == (ending in {"cost", "step", "gradient"}) == (result.status == "converged")
    assert f"{result.status} after 7 iterations" in str(result)
    assert result.message in str(result)
    assert repr(result).startswith(f"<FitResult: {result.status} after 7 iterations, chi2 ")


@pytest.mark.usefixtures("quick_compiler")
def test_pickle():
    """A result of a compiled module survives pickling, with what was computed of it and what was not."""
    x, y, a, b = sympy.symbols("x y a b")
    module = nn.build(nn.Model("straight", x, y, {a: 1, b: 1}, a + b * x, (a + b * x - y) ** 2))
    result = fitted(line(), X, Y, [0, 0])
    result._model, result._refit = module._model, None
    assert result.names == ("a", "b")
    copy = pickle.loads(pickle.dumps(result))
    assert copy._model is module._model
    assert copy.as_dict() == result.as_dict()
    np.testing.assert_array_equal(copy.residuals, result.residuals)
    np.testing.assert_allclose(copy.predict(X), result.parameters[0] + result.parameters[1] * X, rtol=1e-12)

"""NIST's reference problems by compiled modules: derivatives as others have written them, and certified solutions."""

import warnings

import mpmath
import numpy as np
import pytest

import nncodegen as nn
from nncodegen.bench.nist import right_digits
from tests.support import nist
from tests.support.compilers import QUICK

pytestmark = nist.installed

_modules = {}


def module(name):
    """The module of a problem: most of them are compiled without optimization, every fifth with little."""
    if name not in _modules:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CC", QUICK)
            _modules[name] = nn.build(nist.problem(name).curve.model)
    return _modules[name]


def fitted(name, start):
    """The result from a start. Only Lanczos1 may end where rounding lets no step lower the cost, with a warning."""
    nist_problem = nist.problem(name)
    with warnings.catch_warnings():
        if name == "Lanczos1":
            warnings.filterwarnings("ignore", "the fit of Lanczos1 did not converge: no step lowers", RuntimeWarning)
        result = module(name).fit(nist_problem.x, nist_problem.y, p0=nist_problem.starts[start])
    assert result.converged or (name, result.status) == ("Lanczos1", "stalled")
    return result


def hessian(name):
    """The Hessian of a problem's module; without one the test is skipped."""
    if not hasattr(module(name), "hessian"):
        pytest.skip("modules have no second derivatives")
    return module(name).hessian


@pytest.mark.parametrize("name", nist.EACH)
def test_jacobian(name):
    """At both starts and at the solution, the Jacobian is that of the .jac file, to 1e-12 of the norm."""
    nist_problem = nist.problem(name)
    for where in nist.POINTS:
        parameters = nist.point(nist_problem, where)
        jacobian = module(name).jacobian(parameters, nist_problem.x)
        assert jacobian.shape == (len(nist_problem.x), 1, len(parameters))
        assert (
            nist.distance(jacobian, nist.exact(nist_problem, nist.written_jacobian(nist_problem), parameters)) < 1e-12
        )


@pytest.mark.parametrize("name", nist.EACH)
def test_hessian(name):
    """So is the Hessian of the loss that of the .jac and .hes files, to 1e-12 of the norm, and symmetric."""
    nist_problem = nist.problem(name)
    for where in nist.POINTS:
        parameters = nist.point(nist_problem, where)
        computed = hessian(name)(parameters, nist_problem.x, nist_problem.y)
        assert computed.shape == (len(parameters), len(parameters))
        assert nist.distance(computed, computed.T) < 1e-14
        assert nist.distance(computed, nist.written_loss_hessian(nist_problem, parameters)) < 1e-12


@pytest.mark.parametrize("name", nist.EACH)
def test_hessian_product(name):
    """A product with a vector is that of the matrix."""
    nist_problem = nist.problem(name)
    vector = np.random.default_rng(0).standard_normal(len(nist_problem.certified)) * nist_problem.certified
    second = hessian(name)
    product = module(name).hessian_product(nist_problem.certified, vector, nist_problem.x, nist_problem.y)
    expected = second(nist_problem.certified, nist_problem.x, nist_problem.y) @ vector
    np.testing.assert_allclose(product, expected, rtol=0, atol=1e-12 * np.linalg.norm(expected))


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", nist.EACH)
def test_fit(name, start):
    """From both starts and with default options, four digits of every parameter and standard error are right.

    The residuals of Lanczos1 are 1e-13 beside values of 1, so that two digits of its errors are left in double
    precision; its data, once rounded to doubles, would give three.
    """
    nist_problem, result = nist.problem(name), fitted(name, start)
    assert right_digits(result.parameters, nist_problem.certified) >= 4
    assert right_digits(result.standard_errors, nist_problem.standard_deviations) >= (2 if name == "Lanczos1" else 4)
    if name != "Lanczos1":
        np.testing.assert_allclose(result.chi2, nist_problem.residual_sum, rtol=1e-7)
    np.testing.assert_allclose(
        result.reduced_chi2, result.chi2 / (len(nist_problem.y) - len(nist_problem.certified)), rtol=1e-14
    )
    np.testing.assert_array_equal(result.standard_errors, np.sqrt(np.diag(result.covariance)))
    assert result.rank == len(nist_problem.certified)


@pytest.mark.parametrize("name", ["Misra1a", "Gauss3", "MGH10", "Rat43"])
def test_covariance(name):
    """All of it is that of mpmath at the solution, also what no table certifies."""
    nist_problem = nist.problem(name)
    covariance = nist.covariance(nist_problem, nist.solution(name))
    scale = np.array([float(mpmath.sqrt(value)) for value in np.diag(covariance)])
    scaled = fitted(name, 1).covariance / np.outer(scale, scale)
    np.testing.assert_allclose(scaled, covariance.astype(float) / np.outer(scale, scale), rtol=0, atol=1e-5)


@pytest.mark.thorough
def test_precision_of_all():
    """Nine digits of every parameter are right in four of five fits, and ten on average of the eleven certified."""
    digits = [
        right_digits(fitted(name, start).parameters, nist.problem(name).certified)
        for name in nist.NAMES
        for start in (0, 1)
    ]
    assert sum(number >= 9 for number in digits) >= 40
    assert np.mean(digits) >= 10

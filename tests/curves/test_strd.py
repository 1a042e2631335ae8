"""NIST's reference problems: what is read of their files is right, proven by mpmath, and by SciPy's least squares."""

import re
from importlib.metadata import PackageNotFoundError

import mpmath
import numpy as np
import pytest

from nncodegen.bench import strd
from nncodegen.errors import BenchError
from tests.support import nist

ROUNDED = 5.001e-11
"""The largest relative error of a number that is given with eleven digits."""

FILE = """NIST/ITL StRD
Dataset Name:  Line              (Line.dat)
File Format:   ASCII
               Starting Values   (lines 13 to 14)
               Certified Values  (lines 13 to 15)
               Data              (lines 18 to 20)
Model:         Exponential Class
               2 Parameters (b1 and b2)

               y = b1*exp[-b2*x]
                   + b2*x  +  e
        Start 1     Start 2           Parameter     Standard Deviation
  b1 =   500         250           2.3E+02  2.7E+00
  b2 =     0.0001      0.0005     -5.5E-04  7.2E-06
Residual Sum of Squares:                    1.25E-01

Data:   y               x
      10.07E0      77.6E0
      14.73E0     114.9E0
     -17.94E0     141.1E0
"""
"""A file of NIST's format."""


def test_reading(tmp_path):
    """The head of a file says on which lines starts and data stand; y comes before x; brackets are parentheses."""
    file = tmp_path / "Line.dat"
    file.write_text(FILE)
    problem = strd.read(file)
    assert (problem.name, problem.curve.parameters) == ("Line", ("b1", "b2"))
    assert problem.curve.formula == "b1*exp(-b2*x) + b2*x"
    assert problem.starts.tolist() == [[500, 0.0001], [250, 0.0005]]
    assert (problem.certified.tolist(), problem.standard_deviations.tolist()) == ([230, -5.5e-4], [2.7, 7.2e-6])
    assert (problem.x.tolist(), problem.y.tolist()) == ([[77.6], [114.9], [141.1]], [[10.07], [14.73], [-17.94]])
    assert problem.residual_sum == 0.125


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("y = b1", "z = b1", re.escape("it has no 'y = ... + e'")),
        ("(lines 18 to 20)", "", "it has no 'Data "),
        ("(lines 18 to 20)", "(lines 17 to 20)", "could not convert string to float: 'Data:'"),
        ("77.6E0", "", "a sample y and x"),
        ("2.7E+00", "", "a value and a deviation"),
        ("Residual Sum", "Sum", "it has no 'Residual Sum"),
    ],
)
def test_what_is_not_of_the_format(old, new, message, tmp_path):
    """An error names the file and what is missing in it."""
    file = tmp_path / "Line.dat"
    file.write_text(FILE.replace(old, new))
    with pytest.raises(BenchError, match=message) as caught:
        strd.read(file)
    assert str(file) in str(caught.value)


def test_not_installed(monkeypatch):
    """Without the files, an error says how to install them."""

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(strd, "distribution", missing)
    assert strd.folder() is None
    with pytest.raises(BenchError, match=re.escape(strd.INSTALL)):
        strd.problems()


@nist.installed
def test_all_problems_are_read():
    """There are 25, each with as many samples and parameters as its file says."""
    assert len(nist.NAMES) == len(set(nist.NAMES)) == 25
    for name in nist.NAMES:
        nist_problem = nist.problem(name)
        text = nist_problem.file.read_text()
        samples = int(re.search(r"Number of Observations:\s*(\d+)", text)[1])
        parameters = int(re.search(r"(\d+) Parameters", text)[1])
        assert nist_problem.x.shape == nist_problem.y.shape == (samples, 1)
        assert nist_problem.starts.shape == (2, parameters) == (2, len(nist_problem.curve.parameters))
        assert [*nist_problem.curve.model.parameters] == [
            nist_problem.curve.symbols[name] for name in nist_problem.curve.parameters
        ]


@nist.installed
@pytest.mark.parametrize("name", nist.EACH)
def test_certified_values(name):
    """They solve the problem as it is read, to the last of their digits, as do sums and standard deviations.

    The residuals of Lanczos1 come from data that were rounded to 14 digits; those of Lanczos2 from data of 6 digits.
    They change as the data become doubles, so that three digits are left of the former and ten of the latter.
    """
    nist_problem, solution = nist.problem(name), nist.solution(name)
    residuals, covariance = nist.residuals(nist_problem, solution), nist.covariance(nist_problem, solution)
    errors = [float(mpmath.sqrt(value)) for value in np.diag(covariance)]
    rounded = 1e-3 if name == "Lanczos1" else 2 * ROUNDED
    np.testing.assert_allclose(solution.astype(float), nist_problem.certified, rtol=ROUNDED)
    np.testing.assert_allclose(float(residuals @ residuals), nist_problem.residual_sum, rtol=rounded)
    np.testing.assert_allclose(errors, nist_problem.standard_deviations, rtol=rounded)


@nist.installed
@pytest.mark.parametrize("name", nist.EACH)
def test_written_derivatives(name):
    """SymPy's derivatives are those that others have written down, but for one file: to forty digits, everywhere."""
    nist_problem = nist.problem(name)
    for ours, theirs, file in (
        (nist.jacobian(nist_problem), nist.written_jacobian(nist_problem), f"{name}.jac"),
        (nist.hessian(nist_problem), nist.written_hessian(nist_problem), f"{name}.hes"),
    ):
        assert ours.shape == theirs.shape
        for where in nist.POINTS if file not in nist.WRONG else ():
            parameters = nist.point(nist_problem, where)
            assert (
                nist.distance(nist.exact(nist_problem, theirs, parameters), nist.exact(nist_problem, ours, parameters))
                < 1e-40
            )


@nist.installed
def test_the_file_that_is_wrong():
    """Lanczos1.hes has three signs that Lanczos2.hes does not have, and that differences by mpmath refute."""
    nist_problem, other = nist.problem("Lanczos1"), nist.problem("Lanczos2")
    wrong, right, ours = nist.written_hessian(nist_problem), nist.written_hessian(other), nist.hessian(nist_problem)
    assert nist_problem.curve.expression == other.curve.expression
    different = [(j, k) for j in range(6) for k in range(6) if (wrong - right)[j, k] != 0]
    assert different == [(1, 1), (3, 3), (5, 5)]
    assert all(wrong[place] == -right[place] for place in different)
    with mpmath.workdps(nist.DIGITS):
        x, parameters = mpmath.mpf(1) / 4, [mpmath.mpf(value) for value in nist_problem.certified]
        numbers = dict(zip(nist_problem.curve.symbols.values(), [x, *parameters], strict=True))
        curve = nist_problem.curve.function("mpmath")
        for j, k in different:
            orders = [0] * 6
            orders[k] = 2
            derivative = mpmath.diff(lambda *values: curve(x, *values), parameters, tuple(orders))
            assert abs(derivative - ours[j, k].evalf(nist.DIGITS, subs=numbers)) < 1e-12 * abs(derivative)
            assert abs(derivative - wrong[j, k].evalf(nist.DIGITS, subs=numbers)) > abs(derivative)


@nist.installed
@pytest.mark.parametrize("name", nist.EACH)
def test_starts(name):
    """SciPy's least squares finds the certified values from both starts, with variables scaled and our derivatives."""
    least_squares = pytest.importorskip("scipy.optimize").least_squares
    nist_problem = nist.problem(name)
    x, y = nist_problem.x[:, 0], nist_problem.y[:, 0]
    curve, derivatives = nist_problem.curve.function("numpy"), nist_problem.curve.jacobian("numpy")

    def jacobian(parameters):
        return np.stack([np.broadcast_to(column, x.shape) for column in derivatives(x, *parameters)], axis=1)

    assert not np.array_equal(*nist_problem.starts)
    for start in nist_problem.starts:
        with np.errstate(all="ignore"):
            optimum = least_squares(
                lambda p: curve(x, *p) - y,
                start,
                jacobian,
                x_scale="jac",
                xtol=1e-15,
                ftol=1e-15,
                gtol=1e-15,
                max_nfev=3000,
            )
        np.testing.assert_allclose(optimum.x, nist_problem.certified, rtol=1e-4)

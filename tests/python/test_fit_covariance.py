"""Covariances that C computes, where the rank is not in doubt, are those of the singular values."""

import mpmath
import numpy as np
import pytest

import nncodegen as nn
from nncodegen.bench.curves import LOGISTIC
from nncodegen.runtime.python.results.covariance import covariance, decompose, least_ratio

pytestmark = pytest.mark.usefixtures("quick_compiler")

EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23}


@pytest.fixture(scope="module")
def native(quick_compiler):
    """The C of a module; what it does with triangles is the same in all."""
    return nn.build(LOGISTIC.model)._model.native


def triangle(seed, count, condition):
    """A triangle of a matrix with such a condition, whose columns have units from 1e-30 to 1e30."""
    random = np.random.default_rng(seed)
    left, right = (np.linalg.qr(random.standard_normal((count, count)))[0] for _ in range(2))
    matrix = left * np.geomspace(1, 1 / condition, count) @ right
    return np.linalg.qr(matrix * 10.0 ** random.integers(-30, 31, count), mode="r")


def both(native, R, scale=2.5, epsilon=EPSILON["float64"]):
    """The covariance by C, or None, the decomposition, and the covariance by it."""
    by_c = np.full_like(R, np.nan)
    sure = native.covariance(R, scale, least_ratio(len(R), epsilon), by_c)
    decomposition = decompose(R, epsilon)
    return by_c if sure else None, decomposition, covariance(decomposition, epsilon, scale)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
@pytest.mark.parametrize("condition", [1, 1e3, 1e6])
def test_both_are_the_same(native, count, condition):
    """Both differ by roundings times the condition, relative to the standard errors; C's is symmetric to the bit."""
    for seed in range(5):
        by_c, decomposition, expected = both(native, triangle(seed, count, condition))
        assert decomposition.rank == count
        np.testing.assert_array_equal(by_c, by_c.T)
        errors = np.sqrt(expected.diagonal())
        bound = 1e-14 * count * decomposition.condition
        np.testing.assert_allclose(by_c / np.outer(errors, errors), expected / np.outer(errors, errors), 0, bound)


def test_it_is_the_inverse(native):
    """Of a Hilbert matrix's factor, the inverse of R'R is right to the digits that the condition leaves."""
    R = np.linalg.cholesky(np.array(mpmath.hilbert(5).tolist(), float)).T.copy()
    with mpmath.workdps(40):
        exact = mpmath.matrix(R.tolist())
        expected = np.array(((exact.T * exact) ** -1).tolist(), float)
    np.testing.assert_allclose(both(native, R, 1.0)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("precision", EPSILON)
def test_rank_is_in_doubt(native, precision):
    """C leaves the matter to the decomposition wherever that finds a lower rank, and never where the rank is clear."""
    epsilon, lower, clear = EPSILON[precision], 0, 0
    for seed in range(300):
        count = 2 + seed % 8
        condition = 10.0 ** (np.random.default_rng(seed).uniform(0, -1.1 * np.log10(epsilon)))
        by_c, decomposition, _ = both(native, triangle(seed, count, condition), epsilon=epsilon)
        assert by_c is None or decomposition.rank == count
        lower += decomposition.rank < count
        if decomposition.condition < 0.02 / least_ratio(count, epsilon):
            clear += 1
            assert by_c is not None
    assert lower > 20
    assert clear > 100


@pytest.mark.parametrize(
    "R",
    [
        np.zeros((0, 0)),
        np.eye(17),
        np.zeros((2, 2)),
        np.array([[1.0, 2.0], [0.0, 0.0]]),
        np.array([[1.0, np.nan], [0.0, 1.0]]),
        np.array([[np.inf, 1.0], [0.0, 1.0]]),
        np.diag([1e-170, 1.0]),
        np.diag([1e170, 1.0]),
    ],
    ids=["none", "many", "zeros", "singular", "NaN", "infinite", "tiny", "huge"],
)
def test_left_to_the_decomposition(native, R):
    """What C does not take: no columns or many, and numbers without squares."""
    assert both(native, R)[0] is None


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_no_scale(native, scale):
    """Without degrees of freedom there is nothing to compute."""
    assert both(native, np.eye(3), scale)[0] is None

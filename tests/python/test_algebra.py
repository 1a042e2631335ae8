"""Linear algebra in a fixed order: as precise as LAPACK, with bits that depend on the arguments alone."""

import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.bench.curves import LOGISTIC
from nncodegen.runtime.python.ground.algebra import BY_LAPACK, IN_FIXED_ORDER
from nncodegen.runtime.python.native.algebra import algebra_of
from nncodegen.runtime.python.results.quantiles import quantile_above

ROUNDING = 2.0**-52


def matrices(seed, *shape, condition=1e6):
    """Matrices whose columns are nearly dependent, and have lengths from 1e-3 to 1e3."""
    random = np.random.default_rng(seed)
    drawn = random.standard_normal(shape)
    drawn[..., -1] = drawn[..., 0] + drawn[..., -1] / condition
    return drawn * 10.0 ** random.integers(-3, 4, shape[-1])


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (9, 5), (5, 9), (3, 6, 6), (4, 7, 2), (30, 17)])
def test_singular_values(shape):
    """Singular values are exact to rounding, U and the directions are orthonormal, and their product is the matrix."""
    A = matrices(1, *shape)
    U, singular, directions = IN_FIXED_ORDER.svd(A)
    few = min(shape[-2:])
    assert (U.shape, singular.shape, directions.shape) == (
        (*shape[:-1], few),
        (*shape[:-2], few),
        (*shape[:-2], few, shape[-1]),
    )
    assert (np.diff(singular, axis=-1) <= 0).all()
    np.testing.assert_allclose(U * singular[..., None, :] @ directions, A, atol=1e-14 * singular.max())
    unit = np.broadcast_to(np.eye(few), (*shape[:-2], few, few))
    np.testing.assert_allclose(directions @ np.swapaxes(directions, -1, -2), unit, atol=1e-14)
    np.testing.assert_allclose(np.swapaxes(U, -1, -2) @ U, unit, atol=1e-9)
    with mpmath.workdps(50):
        exact = [
            np.array(list(mpmath.svd_r(mpmath.matrix(matrix.tolist()), compute_uv=False)), float)
            for matrix in A.reshape(-1, *shape[-2:])
        ]
    np.testing.assert_allclose(singular.reshape(-1, few), exact, atol=20 * few * ROUNDING * singular.max())


@pytest.fixture(scope="module")
def in_c():
    """The operations in C, of a module that has nothing to do with them."""
    return algebra_of(nn.build(LOGISTIC.model, bits="portable")._model)


def compare_bits(in_c, A):
    """Compare what C and NumPy compute: all bits, and the places of NaN."""
    for name, *arguments in (("svd", A), ("triangles", A), *(("lengths", A, axis) for axis in range(-A.ndim, A.ndim))):
        computed, expected = (getattr(algebra, name)(*arguments) for algebra in (in_c, IN_FIXED_ORDER))
        for result, other in zip(*(each if name == "svd" else (each,) for each in (computed, expected)), strict=True):
            assert result.shape == other.shape, name
            assert np.array_equal(result, other, equal_nan=True), (name, result, other)
            assert (np.isnan(other) | (np.signbit(result) == np.signbit(other))).all(), name  # also of zeros


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (4, 4), (9, 5), (3, 6), (12, 6), (45, 3), (3, 7, 4), (2, 2, 3, 5), (40, 17)]
)
@pytest.mark.parametrize("scale", [1.0, 2.0**-600, 2.0**-1040, 2.0**300, 2.0**700])
def test_in_c(in_c, shape, scale):
    """C has the bits of NumPy: signs of zeros, subnormal numbers, equal and tiny columns, squares that overflow."""
    with np.errstate(all="ignore"):
        for seed in range(12):
            A = np.round(matrices(seed, *shape, condition=1e3), 1) * scale
            A[..., 0] = (np.where(seed % 3 == 0, -0.0, A[..., 0]), A[..., -1])[seed % 2]
            compare_bits(in_c, A)
            compare_bits(in_c, A.T)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_numbers_in_c(in_c, value):
    """What is not finite is in the same places; singular values that are no numbers come last."""
    A = matrices(4, 2, 5, 3)
    A[1, 2, 1] = value
    with np.errstate(all="ignore"):
        compare_bits(in_c, A)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 4, 4), (2, 0, 3), (2, 3, 0)])
def test_nothing_in_c(in_c, shape):
    """Matrices without rows or columns, or none at all, have results without values."""
    A = np.zeros(shape)
    for name, arguments in (("triangles", (A,)), ("lengths", (A, -1)), ("lengths", (A, 0))):
        computed, expected = (getattr(algebra, name)(*arguments) for algebra in (in_c, IN_FIXED_ORDER))
        assert computed.shape == expected.shape
        assert computed.tolist() == expected.tolist()
    assert [each.shape for each in in_c.svd(A)] == [each.shape for each in np.linalg.svd(A, full_matrices=False)]


def test_pickled(in_c):
    """What computes in C is found again with its module, when a result that holds it is pickled."""
    A = matrices(5, 4, 4)
    again = pickle.loads(pickle.dumps(in_c))
    assert type(again) is type(in_c)
    assert again.triangles(A).tobytes() == in_c.triangles(A).tobytes()


def test_dependent_columns():
    """A column of zeros and one that repeats another have singular values of 0, to rounding; directions stay whole."""
    A = matrices(2, 6, 6)
    A[:, 2], A[:, 4] = 0, A[:, 1]
    U, singular, directions = IN_FIXED_ORDER.svd(A)
    assert (singular[-2:] < 1e-15 * singular[0]).all()
    assert singular[-3] > 1e-10 * singular[0]
    np.testing.assert_allclose(directions @ directions.T, np.eye(6), atol=1e-14)
    np.testing.assert_allclose(A @ directions[-2:].T, 0, atol=1e-14 * singular[0])
    assert np.isfinite(U).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (2, 40, 4), (6, 0)])
def test_triangles(shape):
    """The rows of a triangle have the products of the columns of its matrix, as those of LAPACK have."""
    A = matrices(3, *shape) if shape[-1] else np.zeros(shape)
    R = IN_FIXED_ORDER.triangles(A)
    assert R.shape == BY_LAPACK.triangles(A).shape
    assert (np.triu(R) == R).all()
    products = np.swapaxes(A, -1, -2) @ A
    np.testing.assert_allclose(np.swapaxes(R, -1, -2) @ R, products, atol=1e-13 * abs(products).max(initial=1))


@given(st.integers(0, 2**32), st.tuples(*4 * [st.integers(1, 5)]))
def test_sums(seed, sizes):
    """Products, sums and lengths are those of NumPy, to rounding."""
    g, i, j, k = sizes
    random = np.random.default_rng(seed)
    a, b, v = (random.standard_normal(shape) for shape in ((g, i, j), (g, j, k), (g, j)))
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(IN_FIXED_ORDER.product(a, b), a @ b, **close)
    np.testing.assert_allclose(IN_FIXED_ORDER.product(a[0], v[0]), a[0] @ v[0], **close)
    np.testing.assert_allclose(IN_FIXED_ORDER.product(v[0], b[0]), v[0] @ b[0], **close)
    for subscripts, left, right in (
        ("gij,gj->gi", a, v),
        ("gij,gij->j", a, a),
        ("gj,gjk->gk", v, b),
        ("i,i->", v[0], v[0]),
    ):
        contracted = IN_FIXED_ORDER.contract(subscripts, left, right)
        np.testing.assert_allclose(contracted, np.einsum(subscripts, left, right), **close)
    for axis in (0, 1, -1):
        np.testing.assert_allclose(IN_FIXED_ORDER.total(a, axis), a.sum(axis=axis), **close)
        np.testing.assert_allclose(IN_FIXED_ORDER.lengths(a, axis), np.linalg.norm(a, axis=axis), **close)
    np.testing.assert_allclose(IN_FIXED_ORDER.total(a), a.sum(), **close)
    np.testing.assert_allclose(IN_FIXED_ORDER.hypotenuse(v, 1.0), np.hypot(v, 1.0), **close)


def test_lengths_of_any_size():
    """Squares neither overflow nor vanish."""
    for size in (1e-300, 1e300):
        np.testing.assert_allclose(IN_FIXED_ORDER.lengths(np.array([3.0, 4.0]) * size, 0), 5 * size, rtol=1e-15)
    assert IN_FIXED_ORDER.lengths(np.zeros((2, 0)), 1).tolist() == [0, 0]
    assert np.isnan(IN_FIXED_ORDER.lengths(np.array([1.0, np.nan]), 0))
    assert np.isinf(IN_FIXED_ORDER.lengths(np.array([1.0, np.inf]), 0))


@pytest.mark.parametrize("level", [1e-6, 0.5, 0.6827, 0.95, 0.9999, 1 - 2.0**-40])
@pytest.mark.parametrize("degrees", [None, 1, 2, 3, 8, 97, 10_000])
def test_quantiles(level, degrees):
    """The probability above a quantile, with 50 digits, is the one asked for, as closely as rounding allows."""
    above = (1 - level) / 2
    quantile = quantile_above(above, degrees)
    with mpmath.workdps(50):
        t = mpmath.mpf(quantile)
        if degrees is None:
            probability, density = mpmath.erfc(t / mpmath.sqrt(2)) / 2, mpmath.npdf(t)
        else:
            n = mpmath.mpf(degrees)
            probability = mpmath.betainc(n / 2, 0.5, 0, n / (n + t * t), regularized=True) / 2
            density = (1 + t * t / n) ** (-(n + 1) / 2) / mpmath.sqrt(n) / mpmath.beta(n / 2, 0.5)
        assert abs((probability - above) / density) <= t * ROUNDING


def test_borders_of_quantiles():
    """Half of a distribution is above 0; without degrees of freedom, there is no distribution."""
    assert quantile_above(0.5, 3) == 0
    assert np.isnan(quantile_above(0.1, 0))

"""Penalties, clipping, weight decay, and what finds values that are not finite, in C against NumPy."""

import numpy as np
import pytest

PARAMETERS = 10
PENALIZED = np.r_[0:6, 8:10]  # NN_PENALIZED of the sample


@pytest.fixture(scope="session")
def regularize(runtime):
    return runtime("regularize")


def special(dtype):
    """Finite values of every kind, then those that are not."""
    info = np.finfo(dtype)
    finite = [0.0, -0.0, 1.0, -1.0, info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal]
    return np.array(finite, dtype), np.array([np.inf, -np.inf, np.nan, -np.nan], dtype)


def some(library, *shape, seed=0):
    return library.array(np.random.default_rng(seed).normal(size=shape))


def test_penalties(regularize):
    """l1 and l2 add their derivatives to the gradient of penalized parameters; of l1 at 0 that is 0."""
    w, gradient = some(regularize, PARAMETERS), some(regularize, PARAMETERS, seed=1)
    w[[1, 8]] = 0.0, -0.0
    expected = gradient.copy()
    expected[PENALIZED] += (0.25 * w + 0.5 * np.sign(w))[PENALIZED]
    regularize.call("penalize", w, gradient, 0.5, 0.25)
    assert gradient == pytest.approx(expected, rel=4 * regularize.eps, abs=regularize.eps)
    w[2] = np.nan
    regularize.call("penalize", w, gradient, 0.0, 0.25)
    assert np.array_equal(np.isnan(gradient), np.isnan(w))


def test_clipping_of_values(regularize):
    """Each value of a gradient is moved into the bound; what is NaN remains so."""
    gradient = regularize.array([0, -0.0, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e-30])
    expected = np.where(np.isnan(gradient), gradient, np.clip(gradient, -0.5, 0.5))
    regularize.call("clip_each", gradient, 0.5)
    assert np.array_equal(gradient, expected, equal_nan=True)


def test_clipping_of_the_norm(regularize):
    """A gradient longer than the bound is scaled to it, and keeps its direction; a shorter one stays as it is."""
    gradient = some(regularize, PARAMETERS)
    length = np.linalg.norm(gradient.astype(float))
    same = gradient.copy()
    regularize.call("clip_all", same, 1.01 * length)
    assert np.array_equal(same, gradient)
    shorter = gradient.copy()
    regularize.call("clip_all", shorter, 0.1)
    assert shorter == pytest.approx(gradient * (0.1 / length), rel=8 * regularize.eps)


@pytest.mark.parametrize("size", ["huge", "tiny", "subnormal"])
def test_norms_of_any_size(regularize, size):
    """The norm of values whose squares overflow is right, and that of values whose squares vanish is no NaN."""
    info = np.finfo(regularize.dtype)
    scale = {"huge": info.max / 100, "tiny": info.tiny, "subnormal": info.smallest_subnormal}[size]
    gradient = regularize.array(float(scale) * np.arange(-10, 0))
    norm = regularize.call("norm_of", gradient, returns="number")
    expected = float(np.linalg.norm(np.arange(-10, 0))) * float(scale)
    if size == "huge" or regularize.bits == 32:
        assert norm == pytest.approx(expected, rel=1e-6)
    else:
        assert 0 <= norm < 1e-150
    if size == "huge":
        regularize.call("clip_all", gradient, 1.0)
        assert np.linalg.norm(gradient.astype(float)) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_norms_that_are_not_finite(regularize, bad):
    """A gradient with a value that is not finite does not become finite by clipping its norm."""
    gradient = some(regularize, PARAMETERS)
    gradient[3] = bad
    regularize.call("clip_all", gradient, 1.0)
    assert not np.isfinite(gradient).all()


def test_weight_decay(regularize):
    """A share of the parameters before an update is taken from those after it, of a range alone."""
    w, after = some(regularize, PARAMETERS), some(regularize, PARAMETERS, seed=1)
    expected = after.copy()
    expected[2:7] -= regularize.dtype.type(0.1) * w[2:7]
    assert regularize.call("decay", w, after, 2, 7, 0.1) == 0
    assert after == pytest.approx(expected, rel=4 * regularize.eps, abs=regularize.eps)


@pytest.mark.parametrize("place", range(PARAMETERS))
def test_decay_finds_what_is_lost(regularize, place):
    """It tells whether a parameter of the range is not finite afterwards, wherever it is."""
    w, after = some(regularize, PARAMETERS), some(regularize, PARAMETERS, seed=1)
    after[place] = np.inf
    assert regularize.call("decay", w, after, 2, 7, 0.1) == (2 <= place < 7)


def test_largest_step(regularize):
    """The largest change of a parameter is that of the range, in either direction, subnormal steps as well."""
    w, after = some(regularize, PARAMETERS), some(regularize, PARAMETERS, seed=1)
    for first, last in [(0, 10), (3, 4), (2, 9), (5, 5)]:
        expected = max(abs(after[first:last] - w[first:last]), default=0)
        assert regularize.call("step_of", w, after, first, last, returns="number") == float(expected)
    smallest = float(np.finfo(regularize.dtype).smallest_subnormal)
    after[:] = w[:] = 0
    after[4] = -smallest
    assert regularize.call("step_of", w, after, 0, 10, returns="number") == smallest


def test_beyond(regularize):
    """A value is beyond the largest if it is infinite or NaN; zeros, subnormal and the largest numbers are not."""
    finite, others = special(regularize.dtype)
    assert [regularize.call("is_beyond", finite[k : k + 1]) for k in range(len(finite))] == [0] * len(finite)
    assert [regularize.call("is_beyond", others[k : k + 1]) for k in range(len(others))] == [1] * len(others)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 17, 1023, 1024, 1025, 3000])
def test_all_finite(regularize, count):
    """One value that is not finite is found wherever it is, and where it is is told; all others are passed over."""
    finite, others = special(regularize.dtype)
    values = np.resize(finite, count)
    assert regularize.call("are_finite", values, count) == 1
    assert regularize.call("sample_first_not_finite", values, count) == count
    for place in {*range(min(count, 20)), *range(max(count - 10, 0), count), *range(0, count, 97)}:
        for other in others:
            changed = values.copy()
            changed[place] = other
            assert regularize.call("are_finite", changed, count) == 0
            assert regularize.call("sample_first_not_finite", changed, count) == place


def test_maximum_and_minimum(regularize):
    """The larger and the smaller of two values are NumPy's: NaN where either is."""
    values = np.concatenate(special(regularize.dtype))
    for a in values:
        for b in values:
            pair = np.array([a, b])
            larger, smaller = (regularize.call(f"{word}_of", pair, returns="real") for word in ("larger", "smaller"))
            assert np.array_equal([larger, smaller], [np.maximum(a, b), np.minimum(a, b)], equal_nan=True)

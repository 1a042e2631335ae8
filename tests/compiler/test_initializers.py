"""Initial values have the distribution that their name says."""

import hashlib

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.describe.initializers import INITIALIZERS, initial, orthogonal
from nncodegen.compiler.pipeline import evaluated_module

pytestmark = pytest.mark.usefixtures("quick_compiler")

VARIANCE = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 200,
    "he_normal": 2 / 200,
    "lecun_uniform": 1 / 200,
    "lecun_normal": 1 / 200,
    "random_uniform": 0.05**2 / 3,
    "random_normal": 0.05**2,
    "zeros": 0.0,
    "ones": 0.0,
}


@pytest.mark.filterwarnings("ignore:.*not compiled:RuntimeWarning")
def test_variances():
    """Mean and variance of the drawn weights; the bounds of uniform and truncated distributions."""
    assert {*VARIANCE, "orthogonal"} == {*INITIALIZERS}
    layers = [nn.Dense(300, "tanh", kernel_initializer=name) for name in VARIANCE]
    for name, layer in zip(VARIANCE, layers, strict=True):
        module = evaluated_module(nn.Sequential([layer], inputs=200, name=f"initial_{name}"))  # Python draws them
        weights = module.unpack(module.initial_parameters(seed=4))
        assert np.array_equal(weights["b1"], np.zeros(300))
        W = weights["W1"]
        assert W.var() == pytest.approx(VARIANCE[name], rel=0.03)
        assert W.mean() == pytest.approx(1.0 if name == "ones" else 0.0, abs=4 * np.sqrt(VARIANCE[name] / W.size))
        distribution = initial(name, 200, 300)
        if distribution.distribution == "uniform":
            assert abs(W).max() <= distribution.scale
        if distribution.distribution == "truncated_normal":
            assert abs(W).max() <= 2 * distribution.scale


@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
def test_orthogonal_matrices(shape):
    """The rows, or the columns where there are fewer of them, are orthogonal, of length 1, and always the same."""
    rows, columns = shape
    first, second = (np.frombuffer(initial("orthogonal", columns, rows).values).reshape(shape) for _ in range(2))
    W = first if rows < columns else first.T
    np.testing.assert_allclose(W @ W.T, np.eye(20), atol=1e-10)
    assert np.array_equal(first, second)


def test_orthogonal_values():
    """Values are the same on every machine, also of matrices with numbers of the tail of the normal distribution."""
    values = np.concatenate([orthogonal(4 * 64, 64).ravel(), orthogonal(64, 64).ravel()])
    assert hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()[:16] == "f4f83929a2955e56"


def test_seeds():
    """A seed gives the same values again, another seed others."""
    module = nn.build(nn.Sequential([nn.Dense(300, "tanh")], inputs=200, name="initial_glorot_uniform"))
    first, second, other = (module.initial_parameters(seed) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_constants():
    """A number is a constant."""
    program = nn.Sequential([nn.Dense(2, kernel_initializer=0.5, bias_initializer="ones")], 3).describe()
    assert [tensor.initial.scale for tensor in program.parameters] == [0.5, 1.0]

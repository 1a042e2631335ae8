"""train(optimizer="lm"): small networks trained by the loop of fits."""

import numpy as np
import pytest

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(5)
X = RNG.uniform(-2, 2, (200, 2))
Y = np.sin(X[:, :1]) * X[:, 1:] + 0.01 * RNG.normal(size=(200, 1))
LAYERS = [nn.Dense(6, "tanh"), nn.Dense(1)]


@pytest.fixture(scope="module")
def network():
    return nn.build(nn.Sequential(LAYERS, 2, "mse", name="surface"), fit=True)


def test_network(network):
    """A regression ends far below what as many steps of Adam reach; the history is that of the mean loss.

    The result is that of fit, and no warning says that the epochs were used up, which were asked for.
    """
    result = network.train(X, Y, optimizer="lm", epochs=100, seed=1)
    assert isinstance(result, nn.FitResult)
    assert 0 < len(result.history) == result.iterations <= 100
    assert result.loss == network.loss(result.parameters, X, Y)
    assert result.history[-1] == pytest.approx(result.loss, rel=1e-6)
    assert np.all(np.diff(result.history) <= 0)
    assert result.loss < 0.1 * network.train(X, Y, optimizer="adam", epochs=100, seed=1).loss


def test_refused(network):
    """Options that mean nothing here are named, and a network without a fit says what to do."""
    with pytest.raises(ValueError, match="takes none of these: learning_rate, batch_size; it takes X, Y"):
        network.train(X, Y, optimizer="lm", batch_size=10, learning_rate=0.1)
    plain = nn.build(nn.Sequential(LAYERS, 2, "mse", name="plain_surface"))
    with pytest.raises(ValueError, match="built without fit=True"):
        plain.train(X, Y, optimizer="lm")


def test_arguments_of_fit(network):
    """What only fit takes goes to fit, under the names that it has there."""
    trained = network.train(X, Y, optimizer="lm", epochs=20, seed=1, sigma=0.1, loss="huber", f_scale=2.0)
    with pytest.warns(RuntimeWarning, match="did not converge"):
        fitted = network.fit(X, Y, max_iterations=20, seed=1, sigma=0.1, loss="huber", f_scale=2.0)
    np.testing.assert_array_equal(trained.parameters, fitted.parameters)
    assert (trained.status, trained.success, trained.robust) == ("max_iterations", False, "huber")

"""Threads share large batches and many rows, and change no bit of the results."""

import threading

import numpy as np
import pytest

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("vector_compiler")

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(6000, 20)), RNG.integers(0, 3, 6000)
LAYERS = [nn.Dense(24, "tanh"), nn.Dropout(0.1), nn.Dense(3, "softmax")]


@pytest.fixture(scope="module", params=[[], ["i", "j"]], ids=["samples", "features"])
def network(request, vector_compiler):
    model = nn.Sequential(LAYERS, 20, "categorical_crossentropy", name="threads")
    return nn.build(model, "float32", choices={"features": request.param}, fit=False)


@pytest.fixture(scope="module")
def formula(vector_compiler):
    from nncodegen.perceptron import model

    return nn.build(model, fit=False)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_training(network, threads):
    """Parameters and history have the same bits with any number of threads, with dropout, metrics and validation."""
    options = {"epochs": 3, "batch_size": 5000, "optimizer": "adam", "sample_weight": RNG.uniform(size=6000)}
    before = threading.active_count()
    trained, many = network.train(X, LABELS, **options), network.train(X, LABELS, threads=threads, **options)
    assert np.array_equal(trained.parameters, many.parameters)
    assert np.array_equal(trained.history, many.history)
    options |= {"batch_size": 3000, "metrics": ("accuracy", "mae", "r2"), "validation_split": 0.4}
    trained, many = network.train(X, LABELS, **options), network.train(X, LABELS, threads=threads, **options)
    assert all(np.array_equal(trained.metrics[name], many.metrics[name]) for name in trained.metrics)
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_formulas(formula, threads):
    """A formula on many samples has the same bits with any number of threads."""
    Z, Y = RNG.normal(size=(7000, 2)), RNG.integers(0, 2, 7000)
    trained, many = formula.train(Z, Y, epochs=20), formula.train(Z, Y, epochs=20, threads=threads)
    assert np.array_equal(trained.parameters, many.parameters)
    assert trained.loss == many.loss


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_prediction(network, threads):
    """Outputs have the same bits with any number of threads."""
    rows = RNG.normal(size=(30_001, 20))
    parameters = network.initial_parameters()
    assert np.array_equal(network.predict(parameters, rows), network.predict(parameters, rows, threads=threads))


def test_trainings_at_once(network):
    """Two Python threads train at once, each with threads of its own, and get what one alone gets."""
    results = {}

    def train(seed):
        results[seed] = network.train(X, LABELS, epochs=2, seed=seed, threads=2).parameters

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        assert np.array_equal(results[seed], network.train(X, LABELS, epochs=2, seed=seed).parameters)


@pytest.mark.parametrize("threads", [0, 65, 1.5, True, "2"])
def test_numbers_that_cannot_be_meant(network, threads):
    """A number of threads is an integer from 1 to 64."""
    with pytest.raises(ValueError, match="threads must be an integer from 1 to 64"):
        network.train(X, LABELS, epochs=1, threads=threads)
    with pytest.raises(ValueError, match="threads must be an integer from 1 to 64"):
        network.predict(network.initial_parameters(), X, threads=threads)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_million_samples(precision):
    """The loss and the gradient over a million samples are right to 1e-6, also in single precision."""
    import sympy

    x, y, a = sympy.symbols("x y a")
    module = nn.build(nn.Model("million", [x], [y], {a: 0.5}, a * x, (a * x - y) ** 2), precision, fit=False)
    Z, Y = RNG.normal(size=10**6) + 3, RNG.normal(size=10**6)
    loss, gradient = module.loss_and_gradient([0.5], Z, Y)
    assert loss == pytest.approx(np.mean((0.5 * Z - Y) ** 2), rel=1e-6)
    assert gradient[0] == pytest.approx(np.mean(2 * (0.5 * Z - Y) * Z), rel=1e-6)

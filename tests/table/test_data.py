"""Real data: networks learn scikit-learn's iris, digits and diabetes, and agree with its own networks."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("quick_compiler")


def split(load, stratify):
    X, y = load(return_X_y=True)
    parts = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y if stratify else None)
    scaler = StandardScaler().fit(parts[0])
    return scaler.transform(parts[0]), scaler.transform(parts[1]), parts[2], parts[3]


@pytest.fixture(scope="module")
def digits():
    """The 64-32-10 network for the digits."""
    layers = [nn.Dense(32, "tanh"), nn.Dense(10, "softmax")]
    return nn.build(nn.Sequential(layers, inputs=64, loss="categorical_crossentropy", name="digits"))


def test_digits(digits):
    """At least 95 % of held-out digits are recognized."""
    X, X_test, y, y_test = split(load_digits, stratify=True)
    result = digits.train(X, y, learning_rate=0.1, momentum=0.9, epochs=40, batch_size=64)
    assert (digits.predict(result.parameters, X_test).argmax(axis=1) == y_test).mean() >= 0.95
    assert result.history[-1] < 0.1 * result.history[0]


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_iris(precision):
    """At least 93 % of held-out irises are recognized; with --thorough in either precision."""
    X, X_test, y, y_test = split(load_iris, stratify=True)
    layers = [nn.Dense(8, "tanh"), nn.Dense(3, "softmax")]
    module = nn.build(nn.Sequential(layers, 4, "categorical_crossentropy", name="iris"), precision)
    result = module.train(X, y, optimizer="adam", learning_rate=0.01, epochs=300)
    assert (module.predict(result.parameters, X_test).argmax(axis=1) == y_test).mean() >= 0.93


def test_diabetes():
    """The progress of diabetes is predicted with an R2 of at least 0.4, each patient by a network that never saw it."""
    X, y = load_diabetes(return_X_y=True)
    module = nn.build(nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(1)], 10, "mse", name="diabetes"))
    predicted = np.empty_like(y)
    for train, test in KFold(5, shuffle=True, random_state=0).split(X):
        scaler, mean, deviation = StandardScaler().fit(X[train]), y[train].mean(), y[train].std()
        result = module.train(
            scaler.transform(X[train]),
            (y[train] - mean) / deviation,
            optimizer="adam",
            learning_rate=0.01,
            epochs=20,
            batch_size=32,
        )
        predicted[test] = mean + deviation * module.predict(result.parameters, scaler.transform(X[test]))[:, 0]
    assert r2_score(y, predicted) >= 0.4


def their_parameters(network):
    """The weights of scikit-learn's network in nncodegen's order: W1 (units, inputs), b1, W2, b2."""
    pairs = zip(network.coefs_, network.intercepts_, strict=True)
    return np.concatenate([part.ravel() for W, b in pairs for part in (W.T, b)])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_step_of_scikit_learn(digits):
    """scikit-learn's classifier with the same weights has the same outputs and loss, and takes the same step."""
    X, _, y, _ = split(load_digits, stratify=True)
    options = {
        "activation": "tanh",
        "solver": "sgd",
        "alpha": 0,
        "momentum": 0,
        "batch_size": len(X),
        "shuffle": False,
        "learning_rate_init": 0.25,
        "random_state": 0,
    }
    network = MLPClassifier(hidden_layer_sizes=(32,), max_iter=1, **options).fit(X, y)
    before = their_parameters(network)
    assert digits.predict(before, X) == pytest.approx(network.predict_proba(X), rel=1e-10, abs=1e-14)
    loss, gradient = digits.loss_and_gradient(before, X, y)
    assert loss == pytest.approx(log_loss(y, network.predict_proba(X)), rel=1e-12)
    network.partial_fit(X, y)
    step = (before - their_parameters(network)) / 0.25
    assert np.linalg.norm(gradient - step) < 1e-11 * np.linalg.norm(step)
    assert digits.train(X, y, before, learning_rate=0.25, epochs=1).parameters == pytest.approx(
        their_parameters(network), rel=1e-11, abs=1e-13
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_of_scikit_learn():
    """scikit-learn's regressor with the same weights predicts the same; its loss is half of the mean square."""
    X, _, y, _ = split(load_diabetes, stratify=False)
    y = y / 100
    options = {
        "activation": "relu",
        "solver": "sgd",
        "alpha": 0,
        "momentum": 0,
        "batch_size": len(X),
        "shuffle": False,
        "learning_rate_init": 0.125,
        "random_state": 0,
    }
    network = MLPRegressor(hidden_layer_sizes=(7,), max_iter=1, **options).fit(X, y)
    before = their_parameters(network)
    module = nn.build(nn.Sequential([nn.Dense(7, "relu"), nn.Dense(1)], 10, "mse", name="regressor"))
    assert module.predict(before, X)[:, 0] == pytest.approx(network.predict(X), rel=1e-11, abs=1e-13)
    loss, gradient = module.loss_and_gradient(before, X, y)
    assert loss == pytest.approx(((network.predict(X) - y) ** 2).mean(), rel=1e-12)
    network.partial_fit(X, y)
    step = (before - their_parameters(network)) / 0.125
    assert np.linalg.norm(gradient / 2 - step) < 1e-11 * np.linalg.norm(step)


def test_scipy_minimizes():
    """loss_and_gradient is what SciPy's minimizers take."""
    scipy = pytest.importorskip("scipy.optimize")
    X, _, y, _ = split(load_iris, stratify=True)
    layers = [nn.Dense(8, "tanh"), nn.Dense(3, "softmax")]
    module = nn.build(nn.Sequential(layers, 4, "categorical_crossentropy", name="iris"))
    minimized = scipy.minimize(
        module.loss_and_gradient, module.initial_parameters(), args=(X, y), jac=True, method="L-BFGS-B"
    )
    assert minimized.fun < 0.05

"""Plain gradient descent, which changes parameters where they are: the bits of updates one by one, whatever happens."""

import warnings

import numpy as np
import pytest

import nncodegen as nn
from tests.models import gradient_of

SAMPLES = 150


def model(*layers, inputs=16):
    return nn.Sequential([*layers, nn.Dense(3, "softmax")], inputs, "categorical_crossentropy", name="descending")


MODELS = {
    "one layer": model(inputs=32),
    "whole vectors": model(nn.Dense(32, "tanh"), nn.Dense(16, "relu")),
    "rows that are padded": model(nn.Dense(20, "tanh"), inputs=9),
    "noise": model(nn.Dense(64, "relu"), nn.Dropout(0.3)),
}

ONE_BY_ONE = {"clip_value": 1e300}
"""What bounds gradients needs them; no value reaches this bound."""


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return {inputs: (rng.normal(size=(SAMPLES, inputs)), rng.integers(0, 3, SAMPLES)) for inputs in (9, 16, 32)}


def descends(model, precision):
    return nn.compile_model(model, precision, until="schedule")["schedule"].kernels[-1].descends


def same(one, other):
    """Whether two trainings ended alike, to the last bit."""
    metrics = all(np.array_equal(one.metrics[name], other.metrics[name], equal_nan=True) for name in one.metrics)
    return metrics and np.array_equal(one.parameters, other.parameters) and one.epochs == other.epochs


def test_which_models_descend():
    """Those whose rows fill vectors; others have sums that lie elsewhere."""
    found = {name: descends(each, "float32") for name, each in MODELS.items()}
    assert found == {"one layer": True, "whole vectors": True, "rows that are padded": False, "noise": True}


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_bits(name, precision, batch, data):
    """They are those of updates one by one, with all that may go with them."""
    module = nn.build(MODELS[name], precision)
    X, Y = data[MODELS[name].inputs]
    weights = np.random.default_rng(1).uniform(0.1, 2, SAMPLES)
    factors = [1.0, 0.5, 0.0, 2.0]  # for an epoch each
    for options in (
        {"history": False},
        {"shuffle": False, "metrics": ["accuracy", "mae", "r2"]},
        {"sample_weight": weights, "schedule": factors},
        {"schedule": "one_cycle", "validation_fraction": 0.2, "patience": 2},
    ):
        given = {"epochs": 4, "batch_size": batch, "learning_rate": 0.05, **options}
        assert same(module.train(X, Y, **given), module.train(X, Y, **given, **ONE_BY_ONE)), options


def test_steps(data):
    """They are steps along the gradient that the NumPy evaluator finds."""
    module = nn.build(MODELS["whole vectors"])
    program = nn.compile_model(MODELS["whole vectors"], until="simplify")["simplify"]
    X, Y = data[16]
    parameters = module.initial_parameters()
    result = module.train(X, Y, parameters, learning_rate=0.1, epochs=2, batch_size=13, shuffle=False)
    for _ in range(2):
        for begin in range(0, SAMPLES, 13):
            rows = slice(begin, begin + 13)
            parameters = parameters - 0.1 * gradient_of(program, parameters, X[rows], np.eye(3)[Y[rows]])
    assert result.parameters == pytest.approx(parameters, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("options", [{}, {"history": False}, {"metrics": "accuracy"}], ids=str)
@pytest.mark.parametrize("learning_rate", [1e3, 1e150, 1e300])
def test_divergence(learning_rate, options, data):
    """The last update that left all finite counts, wherever it is, and what was measured up to it.

    Where steps are measured, they are taken one by one.
    """
    module = nn.build(MODELS["whole vectors"])
    X, Y = data[16]
    X = X.copy()
    X[140] *= 1e160
    given = {"epochs": 3, "batch_size": 1, "learning_rate": learning_rate, "shuffle": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        quick, slow = module.train(X, Y, **given), module.train(X, Y, **given, tolerance=1e-300)
    assert slow.status == quick.status == "diverged"
    assert np.isfinite(quick.parameters).all()
    assert same(quick, slow)


@pytest.mark.parametrize("given", [{"history": False}, {"metrics": "mae"}], ids=str)
def test_a_stop_within_an_epoch(given):
    """A training that is stopped anywhere goes on with the bits of one that never was."""
    module = nn.build(MODELS["whole vectors"])
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=(20_000, 16)), rng.integers(0, 3, 20_000)
    given = {"epochs": 3, "batch_size": 2, "learning_rate": 0.02, **given}
    whole = module.train(X, Y, **given)
    seen = []

    def stops(progress):
        seen.append(progress.parameters)
        return len(seen) == 2

    result = module.train(X, Y, **given, callback=stops, callback_interval=1e-6)
    assert result.status == "stopped"
    assert 0 < result._state["counters"][3] < 20_000  # samples of the epoch that is not over
    assert all(np.isfinite(parameters).all() for parameters in seen)
    assert np.array_equal(module.train(X, Y, **given, resume=result).parameters, whole.parameters)

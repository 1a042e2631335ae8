"""Plain gradient descent where the parameters are: it comes to what updates one by one do, whatever happens."""

import warnings

import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built, stage
from tests.support.compilers import QUICK
from tests.support.layers import Shift
from tests.support.models import gradient_of

pytestmark = pytest.mark.usefixtures("vector_compiler")

SAMPLES = 150


def model(*layers, inputs=16):
    return nn.Sequential([*layers, nn.Dense(3, "softmax")], inputs, "categorical_crossentropy", name="descending")


MODELS = {
    "one layer": model(inputs=32),
    "whole vectors": model(nn.Dense(32, "tanh"), nn.Dense(16, "relu")),
    "parts of vectors": model(nn.Dense(29, "tanh"), nn.Dense(46, "tanh"), inputs=27),
    "sums elsewhere": model(nn.Dense(61, "tanh"), nn.Dense(62, "relu"), inputs=3),
    "noise": model(nn.Dense(64, "relu"), nn.Dropout(0.3)),
}

ONE_BY_ONE = {"clipvalue": 1e300}
"""What bounds gradients needs them; no value reaches this bound."""


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return {inputs: (rng.normal(size=(SAMPLES, inputs)), rng.integers(0, 3, SAMPLES)) for inputs in (3, 16, 27, 32)}


def alike(first, second):
    """Whether two trainings came to the same, but for rounding: compilers fuse products and sums in the one."""
    bound = 1e-11 if first.parameters.dtype == np.float64 else 1e-3
    assert first.parameters == pytest.approx(second.parameters, rel=bound, abs=bound)
    for name, figures in first.metrics.items():
        assert figures == pytest.approx(second.metrics[name], rel=bound, abs=bound, nan_ok=True), name
    assert (first.epochs, first.status) == (second.epochs, second.status)
    return True


def test_which_models_descend():
    """Those with layers whose features run innermost; in place is what lies as the parameters do."""
    narrow = nn.compile_model(model(nn.Dense(3, "tanh"), inputs=3), until="schedule")["schedule"].kernels[-1]
    assert not narrow.descends
    kernels = {
        name: nn.compile_model(m, "float32", until="schedule")["schedule"].kernels[-1] for name, m in MODELS.items()
    }
    assert all(kernel.descends for kernel in kernels.values())
    assert kernels["parts of vectors"].memory.in_place == {"d_W1", "d_W2", "d_W3", "d_b1", "d_b2"}
    assert kernels["sums elsewhere"].memory.in_place == {"d_W2", "d_W3", "d_b1", "d_b2"}


ALIKE = ("one layer", "noise")
"""Networks whose descent is that of others."""


def is_one_more(name, precision):
    """Whether a network is tried in the other precision already."""
    return (list(MODELS).index(name) % 2 == 1) == (precision == "float32")


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 16])
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(
            name, precision, marks=[pytest.mark.thorough] if name in ALIKE or is_one_more(name, precision) else []
        )
        for name in MODELS
        for precision in ("float64", "float32")
    ],
)
def test_options(name, precision, batch, data, monkeypatch):
    """With all that may go with them they come to what updates one by one do.

    Networks are in one precision; with --thorough also in the other one, without vectors, and others like them in both.
    """
    if is_one_more(name, precision):
        monkeypatch.setenv("CC", QUICK)
    module = built(MODELS[name], precision)
    X, Y = data[MODELS[name].inputs]
    weights = np.random.default_rng(1).uniform(0.1, 2, SAMPLES)
    factors = [1.0, 0.5, 0.0, 2.0]  # for an epoch each
    for options in (
        {"history": False},
        {"shuffle": False, "metrics": ["accuracy", "mae", "r2"]},
        {"sample_weight": weights, "schedule": factors},
        {"schedule": "one_cycle", "validation_split": 0.2, "patience": 2},
    ):
        arguments = {"epochs": 4, "batch_size": batch, "learning_rate": 0.05, **options}
        assert alike(module.train(X, Y, **arguments), module.train(X, Y, **arguments, **ONE_BY_ONE)), options


def test_steps(data):
    """They are steps along the gradient that the NumPy evaluator finds."""
    module = built(MODELS["whole vectors"])
    program = stage(MODELS["whole vectors"])
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
    module = built(MODELS["whole vectors"])
    X, Y = data[16]
    X = X.copy()
    X[140] *= 1e160
    arguments = {"epochs": 3, "batch_size": 1, "learning_rate": learning_rate, "shuffle": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        quick, slow = module.train(X, Y, **arguments), module.train(X, Y, **arguments, tolerance=1e-300)
    assert slow.status == quick.status == "diverged"
    assert np.isfinite(quick.parameters).all()
    assert alike(quick, slow)


@pytest.mark.parametrize("arguments", [{"history": False}, {"metrics": "mae"}], ids=str)
def test_a_stop_within_an_epoch(arguments):
    """A training that is stopped anywhere goes on with the bits of one that never was."""
    module = built(MODELS["whole vectors"])
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=(20_000, 16)), rng.integers(0, 3, 20_000)
    arguments = {"epochs": 3, "batch_size": 2, "learning_rate": 0.02, **arguments}
    whole = module.train(X, Y, **arguments)
    seen = []

    def stops(progress):
        seen.append(progress.parameters)
        return len(seen) == 2

    result = module.train(X, Y, **arguments, callback=stops, callback_interval=1e-6)
    assert result.status == "stopped"
    assert 0 < result._state["counters"][3] < 20_000  # samples of the epoch that is not over
    assert all(np.isfinite(parameters).all() for parameters in seen)
    assert np.array_equal(module.train(X, Y, **arguments, resume=result).parameters, whole.parameters)


def test_a_stop_at_the_end_of_an_epoch(data):
    """Early stopping is not lost where a callback stops the training between two epochs, nor are there more calls."""
    module = built(MODELS["whole vectors"])
    X, Y = (np.resize(each, (1280, *each.shape[1:])) for each in data[16])
    arguments = {"epochs": 20, "batch_size": 64, "learning_rate": 0.02, "patience": 2, "min_delta": 10.0}
    whole = module.train(X, Y, **arguments)
    assert (whole.status, whole.epochs) == ("stopped_early", 3)
    for last in (1, 2, 3):
        calls = iter(range(last - 1))
        result = module.train(
            X, Y, **arguments, callback=lambda p, c=calls: next(c, None) is None, callback_interval=1e-6
        )
        resumed = module.train(X, Y, **arguments, resume=result) if result.status == "stopped" else result
        assert (resumed.status, resumed.epochs) == ("stopped_early", 3)
        assert np.array_equal(resumed.parameters, whole.parameters)

    def fails(progress):
        seen.append(progress)
        raise KeyError("once")

    seen = []
    with pytest.raises(KeyError, match="once"):
        module.train(X, Y, batch_size=64, validation_data=(X, Y), callback=fails, callback_interval=1e-6)
    assert len(seen) == 1


@pytest.mark.parametrize("units", [pytest.param(32, marks=pytest.mark.thorough), 29])
def test_a_sum_for_two_parameters(units):
    """Both have it, as a gradient and in a descent."""
    network = nn.Sequential([nn.Dense(32, "tanh"), nn.Dense(units), Shift(), nn.Dense(3)], 16, "mse", name="shifted")
    module, program = nn.build(network, fit=False), nn.compile_model(network, until="simplify")["simplify"]
    assert len(set(program.gradient)) < len(program.gradient)
    rng = np.random.default_rng(0)
    parameters = 0.3 * rng.normal(size=module.parameter_count)
    X, Y = rng.normal(size=(40, 16)), rng.normal(size=(40, 3))
    assert module.loss_and_gradient(parameters, X, Y)[1] == pytest.approx(gradient_of(program, parameters, X, Y))
    arguments = {"parameters": parameters, "epochs": 2, "batch_size": 4}
    assert alike(module.train(X, Y, **arguments), module.train(X, Y, **arguments, **ONE_BY_ONE))


BY_BLAS = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(3)], 8, name="few_by_blas")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5])
def test_few_samples_with_products_left_to_blas(batch_size):
    """Batches of a few samples see the same parameters, also where BLAS sums up gradients with samples innermost."""
    module = built(BY_BLAS, fit=False, blas=True)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 8)), rng.normal(size=(60, 3))
    start = expected = module.initial_parameters(0)
    for first in range(0, 60, batch_size):
        rows = slice(first, first + batch_size)
        expected = expected - 0.1 * module.loss_and_gradient(expected, X[rows], Y[rows])[1]
    arguments = {"batch_size": batch_size, "learning_rate": 0.1, "epochs": 1, "shuffle": False}
    for history in (True, False):
        parameters = module.train(X, Y, start, history=history, **arguments).parameters
        assert parameters == pytest.approx(expected, rel=1e-10, abs=1e-12)

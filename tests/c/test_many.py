"""Many models at once: each as ``train`` trains it alone, whatever the others do."""

import os
import signal
import threading

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.perceptron import model as perceptron_model
from tests.support.built import built, stage
from tests.support.compilers import QUICK

pytestmark = pytest.mark.usefixtures("vector_compiler")

RNG = np.random.default_rng(0)
COUNTS = [1, 2, 7, 33]
OPTIONS = [
    {},
    {"optimizer": "momentum"},
    {"optimizer": "nesterov", "momentum": 0.5},
    {"optimizer": "adam"},
    {"batch_size": 3, "shuffle": False},
    {"batch_size": 3},
    {"tolerance": 2e-3},
    {"weight_decay": 0.1},
    {"l2": 0.2},
    {"l2": 0.2, "weight_decay": 0.1, "batch_size": 3},
]


def alone(module, result, m, X, Y, start, rate, seed, **options):
    """Whether a model came out as it does alone, to rounding."""
    single = module.train(X, Y, start, learning_rate=rate, seed=int(seed), **options)
    bound = 1e-10 if module.dtype == np.float64 else 2e-4
    assert result.status[m] == single.status
    assert result.epochs[m] == single.epochs
    assert result.parameters[m] == pytest.approx(single.parameters, rel=bound, abs=bound)
    assert result.history[: single.epochs, m] == pytest.approx(single.history, rel=bound, abs=bound)
    assert np.isnan(result.history[single.epochs :, m]).all()
    assert (result.learning_rate[: single.epochs, m] == rate).all()
    assert np.isnan(result.learning_rate[single.epochs :, m]).all()
    assert result.loss[m] == pytest.approx(single.loss, rel=bound, abs=bound)


NETWORK = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1, "softplus")], 2, "poisson", name="network")


PAIRS = [
    (perceptron_model, "float64", "vector_compiler"),
    (NETWORK, "float32", "vector_compiler"),
    pytest.param(perceptron_model, "float32", "usual_compiler", marks=pytest.mark.thorough),
    pytest.param(NETWORK, "float64", "usual_compiler", marks=pytest.mark.thorough),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("model", "precision", "compiler"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_lanes(model, count, options, precision, compiler, request):
    """Each optimizer, batches and orders of their own, tolerance: models agree with train(), to rounding.

    With --thorough so they do in the other precision, with the options that people get.
    """
    request.getfixturevalue(compiler)
    module = built(model, precision, fit=None if model is perceptron_model and precision == "float64" else False)
    size = module.parameter_count
    start, rates, seeds = RNG.normal(size=(count, size)), RNG.uniform(0.05, 0.2, count), RNG.integers(0, 99, count)
    X, Y = RNG.normal(size=(10, 2)), RNG.uniform(0.1, 0.9, 10)
    result = module.train_many(X, Y, start, learning_rate=rates, seed=seeds, epochs=30, **options)
    assert result.parameters.shape == (count, size)
    assert result.history.shape == (30, count)
    for m in (0, count - 1):
        alone(module, result, m, X, Y, start[m], rates[m], seeds[m], epochs=30, **options)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("scale", [30, 200, 3000])
def test_saturated(scale, precision):
    """Logits of any size, where exponentials vanish or would overflow: derivatives are those of the evaluator."""
    module = built(perceptron_model, precision, fit=None if precision == "float64" else False)
    start = (scale * RNG.normal(size=(40, 7))).astype(module.dtype)
    X, Y = np.array([[0.35, 0.9]]), np.array([[0.25]])
    after = module.train_many(X, Y, start, learning_rate=1.0, epochs=1).parameters
    reference = stage(perceptron_model, "differentiate")
    bound = 400 * float(np.finfo(module.dtype).eps)  # an exponent of some hundred is off by as many units
    for before, trained in zip(start, after, strict=True):
        values = nn.evaluate(reference, before.astype(float), X, Y)
        gradient = np.array([float(values[element.tensor]) for element in reference.gradient])
        assert trained == pytest.approx(before - gradient, rel=bound, abs=1e-30)


def test_data_of_their_own():
    """X, Y or both may have an axis for the models, with more samples than a tile."""
    module = built(perceptron_model)
    start, X, Y = RNG.normal(size=(5, 7)), RNG.normal(size=(5, 150, 2)), RNG.uniform(size=(5, 150, 1))
    for own_X, own_Y in ((True, True), (True, False), (False, True)):
        samples = X if own_X else X[0], Y if own_Y else Y[0]
        result = module.train_many(*samples, start, learning_rate=0.1, epochs=5)
        for m in range(5):
            alone(module, result, m, X[m * own_X], Y[m * own_Y], start[m], 0.1, 0, epochs=5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_of_a_model_are_its_own(threads):
    """A model has the same bits alone, among others and with any number of threads."""
    module = built(perceptron_model)
    start, X, Y = RNG.normal(size=(200, 7)), RNG.normal(size=(9, 2)), RNG.uniform(size=9)
    options = {"learning_rate": 0.3, "epochs": 20, "batch_size": 2}
    result = module.train_many(X, Y, start, seed=5, threads=threads, **options)
    for m in (0, 31, 32, 77, 199):
        single = module.train_many(X, Y, start[m : m + 1], seed=[5 + m], **options)
        assert np.array_equal(single.parameters[0], result.parameters[m])
        assert np.array_equal(single.history[:, 0], result.history[:, m])
        assert single.loss[0] == result.loss[m]


def test_without_data():
    """A formula without inputs, from the seeds or from points of its own; the number of models may be given alone."""
    a, b = sympy.symbols("a b")
    module = nn.build(
        nn.Model("rosenbrock", parameters={a: -1.2, b: 1.0}, loss=(1 - a) ** 2 + 100 * (b - a**2) ** 2), fit=False
    )
    start = np.random.default_rng(0).normal(size=(40, 2))
    result = module.train_many(parameters=start, optimizer="adam", learning_rate=0.02, epochs=20_000)
    assert result.parameters == pytest.approx(np.ones((40, 2)), abs=1e-2)
    same = module.train_many(models=3, epochs=2, learning_rate=1e-4)
    assert (same.parameters == same.parameters[0]).all()


def test_diverged_and_converged_models_stay():
    """A model that diverges or converges keeps what it reached; the others do not notice."""
    a, x = sympy.symbols("a x")
    module = nn.build(nn.Model("quartic", [x], (), {a: 1.0}, a, (a * x) ** 4), fit=False)
    start, rates = np.linspace(0.5, 1.5, 40)[:, None], np.full(40, 1e-2)
    rates[[3, 36]] = 1e3
    with pytest.warns(RuntimeWarning, match="training diverged for 2 of 40 models"):
        result = module.train_many([[1.0], [2.0]], parameters=start, learning_rate=rates, epochs=400, tolerance=1e-4)
    assert np.isfinite(result.parameters).all()
    assert [m for m, status in enumerate(result.status) if status == "diverged"] == [3, 36]
    assert (result.status == "converged").sum() == 38
    for m in (3, 5, 36, 39):
        with np.errstate(all="ignore"), pytest.warns() if m in (3, 36) else _nothing():
            alone(module, result, m, [[1.0], [2.0]], None, start[m], rates[m], 0, epochs=400, tolerance=1e-4)


class _nothing:  # noqa: N801
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


@pytest.mark.parametrize(
    "layers",
    [[nn.Dense(5, "tanh"), nn.Dense(1)], [nn.WideAndDeep([nn.Dense(5, "tanh")], 1)], [nn.Dense(200), nn.Dense(1)]],
)
def test_penalties_of_their_own(layers, monkeypatch):
    """Each model has a penalty of its own, which is for weights and not for biases, with lanes and one by one."""
    monkeypatch.setenv("CC", QUICK)
    module = nn.build(nn.Sequential(layers, 3, "mse", name="penalized"), fit=False)
    X, Y, l2 = RNG.normal(size=(20, 3)), RNG.normal(size=20), np.array([0, 1e-3, 0.1, 3.0])
    options = {"optimizer": "adam", "learning_rate": 0.01, "epochs": 40, "batch_size": 8}
    result = module.train_many(X, Y, l2=l2, seed=[3, 3, 3, 3], **options)
    for m in range(4):
        single = module.train(X, Y, l2=float(l2[m]), seed=3, **options)
        assert result.parameters[m] == pytest.approx(single.parameters, rel=1e-8, abs=1e-9)
    plain = module.train_many(X, Y, models=1, seed=[3], **options)
    assert np.array_equal(plain.parameters[0], result.parameters[0])


@pytest.mark.parametrize("threads", [1, 3])
def test_networks(threads, monkeypatch):
    """Models of a network that is not small have the bits that train() gives, whatever the threads."""
    monkeypatch.setenv("CC", QUICK)
    layers = [nn.Dense(99, "tanh"), nn.Dense(3, "softmax")]
    chain = nn.build(nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="chain"), fit=False)
    X, Y = RNG.normal(size=(30, 4)), RNG.integers(0, 3, 30)
    rates = np.linspace(0.01, 0.3, 7)
    result = chain.train_many(X, Y, learning_rate=rates, seed=4, epochs=12, batch_size=8, threads=threads)
    for m in range(7):
        single = chain.train(X, Y, learning_rate=rates[m], seed=4 + m, epochs=12, batch_size=8)
        assert np.array_equal(result.parameters[m], single.parameters)
        assert np.array_equal(result.history[:, m], single.history)
        assert result.loss[m] == single.loss
    assert repr(result).startswith("<ManyResult: 7 models, 7 completed, lowest loss ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": None}, "the number of models is not known"),
        ({"parameters": np.zeros((3, 6))}, r"parameters has the shape \(3, 6\); expected \(models, 7\)"),
        ({"parameters": np.full((3, 7), np.nan)}, r"parameters\[0, 0\] is nan"),
        ({"learning_rate": [0.1, 0.2]}, "parameters is for 3 models, but learning_rate for 2"),
        ({"learning_rate": [0.1, 0.2, -1.0]}, r"learning_rate\[2\] must be a number above 0"),
        ({"seed": [1, 2, -3]}, r"seed\[2\] must be an integer from 0"),
        ({"l2": [0.1, 0.2]}, "parameters is for 3 models, but l2 for 2"),
        ({"l2": [0.1, -0.2, 1.0]}, r"l2\[1\] must be a number from 0"),
        ({"l2": float("nan")}, "l2 must be a number from 0"),
        ({"X": np.zeros((2, 4, 2))}, "X is for 2 models, but parameters for 3"),
        ({"models": 4}, "models is for 4 models, but parameters for 3"),
        ({"threads": 0}, "threads must be an integer from 1"),
        ({"X": np.zeros((4, 3))}, r"X has the shape \(4, 3\)"),
        ({"batch_size": 0}, "batch_size must be an integer from 1"),
    ],
)
def test_bad_arguments(perceptron, arguments, message):
    """Each argument that cannot be meant is refused by name."""
    call = {"X": np.zeros((4, 2)), "Y": np.zeros(4), "parameters": np.zeros((3, 7)), **arguments}
    with pytest.raises(ValueError, match=message):
        perceptron.train_many(**call)


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(perceptron, chain, threads):
    """Ctrl-C ends the call, and its threads with it."""
    cases = [
        (perceptron, np.tile([0.35, 0.9], (500, 1)), np.ones(500)),
        (chain, RNG.normal(size=(50, 4)), RNG.integers(0, 3, 50)),
    ]
    before = threading.active_count()
    for module, X, Y in cases:
        module.train_many(X, Y, models=1, epochs=1)  # compiles the part
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            module.train_many(X, Y, models=64, epochs=300_000, learning_rate=1e-6, threads=threads)
    assert threading.active_count() <= before + 1  # the timer may be ending


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("weight_decay", [None, 0.01])
def test_without_history(weight_decay, optimizer):
    """Without a history a model ends in the same bits; there are none of its losses but the last."""
    module = built(perceptron_model)
    start = RNG.normal(size=(70, 7))
    for X, Y in ((RNG.normal(size=(1, 2)), [0.3]), (RNG.normal(size=(9, 2)), RNG.uniform(size=9))):
        options = {"learning_rate": 0.1, "epochs": 100, "optimizer": optimizer, "weight_decay": weight_decay}
        kept = module.train_many(X, Y, start, **options)
        left = module.train_many(X, Y, start, history=False, **options)
        assert left.history is None
        assert np.array_equal(left.learning_rate, np.full((100, 70), 0.1))
        assert kept.history.shape == (100, 70)
        assert np.array_equal(kept.parameters, left.parameters)
        assert np.array_equal(kept.loss, left.loss)
        assert np.array_equal(kept.epochs, left.epochs)
    assert module.train_many(X, Y, start, epochs=2, optimizer="rprop").learning_rate is None
    with pytest.raises(ValueError, match="history must be True or False"):
        module.train_many(X, Y, start, history=3)


a, x, y = sympy.symbols("a x y")
LINE = nn.Model("line", [x], [y], {a: 1.0}, a * x, (a * x - y) ** 2)


@pytest.mark.parametrize("history", [True, False])
def test_divergence_on_one_sample(history):
    """Epochs on one sample are done many at a time; still a model that diverges ends where it does alone."""
    module = built(LINE, fit=False)
    start, rates = np.linspace(1, 2, 9)[:, None], np.where(np.arange(9) % 4 == 3, 30.0, 0.05)
    with pytest.warns(RuntimeWarning, match="2 of 9 models"):
        result = module.train_many([[1.0]], [0.5], start, learning_rate=rates, epochs=300, history=history)
    for m in range(9):
        single = {"learning_rate": rates[m], "epochs": 300}
        if m % 4 == 3:
            with pytest.warns(RuntimeWarning, match="diverged"):
                alone = module.train([[1.0]], [0.5], start[m], **single)
            assert 0 < alone.epochs < 300
        else:
            alone = module.train([[1.0]], [0.5], start[m], **single)
        assert result.status[m] == alone.status
        if history or alone.status == "completed":
            assert result.epochs[m] == alone.epochs
            assert result.parameters[m] == pytest.approx(alone.parameters, rel=1e-9)
        else:  # the parameters themselves become infinite later than their loss
            assert alone.epochs < result.epochs[m] < 300
            assert np.isfinite(result.parameters[m]).all()
        if history:
            assert result.history[: alone.epochs, m] == pytest.approx(alone.history, rel=1e-9)
            assert np.isnan(result.history[alone.epochs :, m]).all()

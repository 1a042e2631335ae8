"""Many models of a network side by side: each as ``train`` trains it, whatever its layers, batches, and the others."""

import shlex
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.building.build import load, load_variant
from nncodegen.compiler.schedule.layers import PARAMETERS, SAMPLES
from nncodegen.compiler.schedule.layout import LONGEST
from nncodegen.perceptron import model as perceptron_model
from tests.support.built import built, stage
from tests.support.compilers import QUICK, WARNINGS
from tests.support.layers import Shift
from tests.support.models import gradient_of, random_data
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("vector_compiler")


@dataclass(frozen=True)
class Scale:
    """A layer that multiplies with the exponential of one parameter, and shifts by its square."""

    def describe(self, call):
        scale = call.parameter("a", (), "zeros", penalized=False)
        return call.output(call.step("f", (), sympy.exp(scale)) * call.x + scale**2)


@dataclass(frozen=True)
class Damping:
    """A layer that multiplies with the exponential of a sum over its own parameters."""

    def describe(self, call):
        parameter = call.parameter("a", call.x.indices[1:], "zeros", penalized=False)
        return call.output(call.x * sympy.exp(-call.step("q", (), parameter**2, "sum", parameter.indices)))


def network(*layers, inputs=5, loss="mse"):
    return nn.Sequential(layers, inputs, loss, name="lanes")


MODELS = {
    "one layer": network(nn.Dense(1)),
    "small": network(nn.Dense(4, "tanh"), nn.Dense(1), inputs=2),
    "small without bias": network(nn.Dense(3, "sigmoid", use_bias=False), nn.Dense(2, use_bias=False), inputs=1),
    "one layer without bias": network(nn.Dense(5, "sigmoid", use_bias=False), inputs=9),
    "softplus": network(nn.Dense(4, "softplus"), nn.Dense(5, "softplus"), inputs=6),
    "wide": network(nn.Dense(19, "gelu"), nn.Dense(3, "softplus"), loss="poisson"),
    "deep": network(*(nn.Dense(units, "tanh") for units in (7, 1, 9, 6)), nn.Dense(2)),
    "three classes": network(nn.Dense(9, "relu"), nn.Dense(3, "softmax"), loss="categorical_crossentropy"),
    "ten classes": network(nn.Dense(7, "tanh"), nn.Dense(10, "softmax"), loss="categorical_crossentropy"),
    "many sigmoids": network(nn.Dense(6, "elu"), nn.Dense(7, "sigmoid"), loss="binary_crossentropy"),
    "own formulas": network(nn.Dense(6, lambda z: 1 / (2 + z**2)), nn.Dense(3), loss=lambda h, y: sympy.cosh(h - y)),
    "two parameters with one gradient": network(nn.Dense(6, "tanh"), Shift(), nn.Dense(2)),
    "a number": network(nn.Dense(6, "tanh"), Scale(), nn.Dense(2)),
    "a sum of parameters": network(nn.Dense(6, "tanh"), Damping(), nn.Dense(2)),
}


def data(model, samples, seed=0, precision="float64"):
    """Rows, and targets that every loss takes."""
    program = stage(model, "describe")
    rng = np.random.default_rng(seed)
    Y = rng.uniform(0.1, 0.9, (samples, program.targets[0].size))
    return rng.normal(size=(samples, model.inputs)).astype(precision), Y / Y.sum(axis=1, keepdims=True)


def start(module, models, seed=1):
    return 0.6 * np.random.default_rng(seed).normal(size=(models, module.parameter_count))


def test_which_networks():
    """Those whose parameters, for a group of models, are close; random numbers and BLAS are for one model at a time."""

    def lanes_of(model, precision="float64", **choices):
        return nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"].side_by_side

    units = (PARAMETERS - 1) // 7
    for precision in ("float64", "float32"):
        assert lanes_of(network(nn.Dense(units, "tanh"), nn.Dense(1)), precision).models == LONGEST[precision]
        assert lanes_of(network(nn.Dense(units + 1, "tanh"), nn.Dense(1)), precision) is None
    assert all(map(lanes_of, MODELS.values()))
    assert lanes_of(network(nn.Dense(3, "tanh"), nn.Dropout(0.5), nn.Dense(1))) is None
    assert lanes_of(MODELS["wide"], blas=True) is None
    text = nn.compile_model(MODELS["wide"], until="schedule")["schedule"].show()
    assert "many models in the lanes of vectors" in text
    assert f"8 models side by side, {SAMPLES} samples of each in a tile" in text


ALIKE = (
    "one layer",
    "small without bias",
    "one layer without bias",
    "softplus",
    "many sigmoids",
    "two parameters with one gradient",
    "deep",
    "own formulas",
)
"""Networks whose loops others have as well, or that ``test_states_of_their_own`` trains."""


def in_haste(name, precision):
    """Whether ``test_step`` compiles a network without optimization."""
    return (list(MODELS).index(name) % 2 == 0) == (precision == "float32")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(
            name, precision, marks=[pytest.mark.thorough] if name in ALIKE or in_haste(name, precision) else []
        )
        for name in MODELS
        for precision in ("float64", "float32")
    ],
)
def test_step(name, precision, monkeypatch):
    """A step of each model is along the gradient of the NumPy evaluator, for whole tiles of samples and parts.

    The C of every network compiles without a warning, or there was no module. Each is in one precision; with --thorough
    also in the other one, without optimization, and others like them in both.
    """
    if in_haste(name, precision):
        monkeypatch.setenv("CC", QUICK)
    module = built(MODELS[name], precision, fit=False)
    program = stage(MODELS[name])
    parameters = start(module, 11).astype(precision).astype(float)
    bound = 1e-12 if precision == "float64" else 1e-4
    for samples in (1, 2, 3, SAMPLES - 1, SAMPLES, SAMPLES + 1, 3 * SAMPLES + 2, 150):
        X, Y = data(MODELS[name], samples, precision=precision)
        result = module.train_many(X, Y, parameters, learning_rate=1.0, epochs=1)
        for m in (0, 6, 10):
            values, gradient = nn.evaluate(program, parameters[m], X, Y), gradient_of(program, parameters[m], X, Y)
            assert np.linalg.norm(parameters[m] - result.parameters[m] - gradient) <= bound * (
                1 + np.linalg.norm(gradient)
            )
            assert result.history[0, m] == pytest.approx(float(values["loss"]), rel=bound)


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "lion", "rmsprop"])
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("small", "float64"),
        ("small", "float32"),
        ("three classes", "float32"),
        ("a number", "float64"),
        ("a sum of parameters", "float32"),
        pytest.param("a number", "float32", marks=pytest.mark.thorough),
        pytest.param("three classes", "float64", marks=pytest.mark.thorough),
        pytest.param("a sum of parameters", "float64", marks=pytest.mark.thorough),
    ],
)
def test_trainings(name, optimizer, precision, monkeypatch):
    """Trainings agree with train(): batches of every size, in orders and with learning rates of their own.

    So they do with the options that people get, in that precision in which ``test_step`` is not optimized; still there
    is no warning.
    """
    if in_haste(name, precision):
        monkeypatch.setenv("CC", shlex.join(["cc", *WARNINGS]))
    module = built(MODELS[name], precision, fit=False)
    parameters, rates = start(module, 9), np.geomspace(1e-3, 1e-2, 9)
    X, Y = data(MODELS[name], 43)
    for batch, shuffle, decay in (
        (1, True, 0.1),
        (5, False, None),
        (SAMPLES, True, 0.2),
        (20, True, None),
        (43, False, 1),
    ):
        options = {"epochs": 3, "batch_size": batch, "shuffle": shuffle, "optimizer": optimizer, "weight_decay": decay}
        result = module.train_many(X, Y, parameters, learning_rate=rates, seed=3, **options)
        for m in (0, 8):
            single = module.train(X, Y, parameters[m], learning_rate=rates[m], seed=3 + m, **options)
            bound = 1e-7 if precision == "float64" else 2e-2  # signs and roots of sums near 0
            assert result.parameters[m] == pytest.approx(single.parameters, rel=bound, abs=bound), (batch, m)
            assert result.history[:, m] == pytest.approx(single.history, rel=bound)
            assert result.loss[m] == pytest.approx(single.loss, rel=bound)


@pytest.mark.parametrize(
    "model",
    [
        MODELS["deep"],
        MODELS["own formulas"],
        perceptron_model,
        pytest.param(MODELS["small"], marks=pytest.mark.thorough),
        pytest.param(MODELS["wide"], marks=pytest.mark.thorough),
    ],
    ids=lambda model: model.name,
)
@pytest.mark.parametrize("optimizer", ["rprop", "adam"])
def test_states_of_their_own(optimizer, model):
    """What an optimizer starts from is the learning rate of each model, where it is one."""
    module, rates = built(model, fit=False), np.geomspace(1e-3, 0.1, 5)
    program = stage(model, "describe")
    _, X, Y = random_data(program, samples=20)
    result = module.train_many(X, Y, start(module, 5), optimizer, rates, epochs=3)
    for m in range(5):
        single = module.train(X, Y, start(module, 5)[m], optimizer, rates[m], epochs=3)
        assert result.parameters[m] == pytest.approx(single.parameters, rel=1e-8, abs=1e-10)


@examples(15)
@given(st.data())
def test_the_bits_of_a_model_are_its_own(draw):
    """A model has the same bits alone and among others, with any threads, batches, and data of its own or shared."""
    check_bits(draw, [("small", "float32"), ("deep", "float64"), ("ten classes", "float64")])


@pytest.mark.thorough
@examples(15)
@given(st.data())
def test_the_bits_of_more_models_are_their_own(draw):
    """So have the same networks in the other precision."""
    check_bits(draw, [("small", "float64"), ("deep", "float32"), ("ten classes", "float32")])


def check_bits(draw, cases):
    """Compares a model alone with itself among others."""
    name, precision = draw.draw(st.sampled_from(cases))
    module = built(MODELS[name], precision, fit=False)
    models, samples = draw.draw(st.integers(1, 40)), draw.draw(st.integers(1, 30))
    shuffle, drawn = draw.draw(st.booleans()), draw.draw(st.booleans())
    rows = [data(MODELS[name], samples, seed) for seed in range(models if drawn else 1)]
    X, Y = (np.stack(part) if drawn else part[0] for part in zip(*rows, strict=True))
    parameters, options = start(module, models), {"learning_rate": 0.1, "epochs": 3, "shuffle": shuffle}
    options["batch_size"] = draw.draw(st.integers(1, samples))
    threads = draw.draw(st.integers(1, 3))
    together = module.train_many(X, Y, parameters, seed=5, threads=threads, **options)
    m = draw.draw(st.integers(0, models - 1))
    own_rows = (X[m], Y[m]) if drawn else (X, Y)
    alone = module.train_many(*own_rows, parameters[m : m + 1], seed=5 + m, **options)
    assert np.array_equal(alone.parameters[0], together.parameters[m])
    assert np.array_equal(alone.history[:, 0], together.history[:, m])
    assert alone.loss[0] == together.loss[m]


@pytest.mark.parametrize("name", ["small", pytest.param("ten classes", marks=pytest.mark.thorough)])
def test_every_variant(name):
    """Vectors of every length that this CPU has come to the same numbers."""
    portable = nn.compile_model(MODELS[name], "float32", march="portable", fit=False).built
    X, Y = data(MODELS[name], 50)
    expected = None
    for variant in load(portable).variants:
        module = load_variant(portable, variant)
        result = module.train_many(X, Y, start(module, 20), epochs=3, batch_size=12, learning_rate=0.1)
        expected = result.parameters if expected is None else expected
        assert result.parameters == pytest.approx(expected, rel=1e-4, abs=1e-5), variant


@pytest.mark.parametrize("history", [True, False])
def test_divergence_and_convergence(history):
    """A model that diverges or converges stays as it is; the others do not notice."""
    module = built(MODELS["three classes"], fit=False)
    X, Y = data(MODELS["three classes"], 30)
    rates = np.full(20, 0.05)
    rates[[2, 17]] = 1e200
    rates[5] = 1e-9
    options = {"epochs": 6, "batch_size": 7, "history": history, "tolerance": 1e-7}
    with pytest.warns(RuntimeWarning, match="training diverged for 2 of 20 models"):
        result = module.train_many(X, Y, start(module, 20), learning_rate=rates, **options)
    assert [m for m, status in enumerate(result.status) if status == "diverged"] == [2, 17]
    assert [m for m, status in enumerate(result.status) if status == "converged"] == [5]
    assert result.epochs[5] == 1
    assert np.isfinite(result.parameters).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for m in (2, 3, 5):
            single = module.train(X, Y, start(module, 20)[m], learning_rate=rates[m], seed=m, **options)
            assert (result.status[m], result.epochs[m]) == (single.status, single.epochs)
            assert result.parameters[m] == pytest.approx(single.parameters, rel=1e-10)


def test_long_sums():
    """In single precision, sums over very many samples are as right as they are for one model."""
    model = network(nn.Dense(5, "relu"), nn.Dense(1), inputs=1)
    module, program = built(model, "float32", fit=False), stage(model)
    X = np.random.default_rng(0).normal(size=(300_001, 1)).astype(np.float32)
    Y, parameters = 3 + np.sin(X), start(module, 2).astype(np.float32)
    result = module.train_many(X, Y, parameters, epochs=1, learning_rate=1e-30)
    for m in range(2):
        exact = float(nn.evaluate(program, parameters[m].astype(float), X.astype(float), Y.astype(float))["loss"])
        assert result.history[0, m] == pytest.approx(exact, rel=1e-6)

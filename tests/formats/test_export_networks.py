"""Networks as graphs of layers, taken elsewhere: exports, and weights that come from there."""

import subprocess

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import Dense, Input, ModelError, Network
from nncodegen.compiler.check import random_data
from tests.support.compilers import QUICK

onnxruntime = pytest.importorskip("onnxruntime")


def joined():
    """Numbers of words, a picture and numbers, which are joined, and two outputs."""
    words, picture, numbers = Input(3, name="words"), Input((2, 3)), Input(4)
    t = nn.Flatten()(nn.LayerNormalization()(nn.Embedding(5, 2)(words)))
    p = nn.concatenate([picture, nn.Reshape((2, 2))(numbers)])
    h = nn.concatenate([t, Dense(4, "tanh")(nn.Flatten()(p))])
    h += Dense(10, "softmax")(h)
    return Network([words, picture, numbers], [Dense(2)(h), Dense((3), "softmax")(h)], name="joined")


def shared():
    """A layer for two inputs, and an output of two axes."""
    a, b = Input((4, 3)), Input((4, 3))
    both = Dense(3, "tanh")
    h = nn.Permute((2, 1))(both(a) - both(b))
    return Network([a, b], nn.Activation("softplus")(Dense(2)(h)), name="shared")


JOINED, SHARED = joined(), shared()


def drawn(model):
    program = model.describe()
    X, Y = random_data(program, 4)
    parameters = np.random.default_rng(0).normal(size=program.parameter_count)
    values = nn.evaluate(program, parameters, X, Y)
    return parameters, X, np.hstack([values[output.tensor].reshape(4, -1) for output in program.outputs])


@pytest.mark.parametrize("model", [JOINED, SHARED], ids=lambda model: model.name)
def test_onnx(model, tmp_path):
    """onnxruntime computes what the steps say: of several inputs and outputs, joined, gathered and of several axes."""
    parameters, X, expected = drawn(model)
    nn.export(model, "onnx", tmp_path, parameters=parameters)
    session = onnxruntime.InferenceSession(tmp_path / f"{model.name}.onnx", providers=["CPUExecutionProvider"])
    (value_info,) = session.get_inputs()
    (outcome,) = session.run(None, {value_info.name: X})
    assert outcome == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("model", [JOINED, SHARED], ids=lambda model: model.name)
def test_plain_c(model, tmp_path):
    """Plain C of a network passes its own test, which compares it with the steps: of shared layers, of joined ones."""
    parameters, _, _ = drawn(model)
    nn.export(model, "c", tmp_path, parameters=parameters)
    sources = sorted(map(str, tmp_path.glob("*.c")))
    subprocess.run([*QUICK.split(), "-o", tmp_path / "test", *sources, "-lm"], check=True, cwd=tmp_path)
    printed = subprocess.run([tmp_path / "test"], capture_output=True, text=True, check=True).stdout
    assert "right" in printed


def equations():
    """A network whose loss holds its derivatives by its inputs."""
    x, t, y = sympy.symbols("x t y")
    u = sympy.Function("u")(x, t)
    losses = {"equation": u.diff(t) - u.diff(x, 2), "data": u - y}
    return nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=(x, t), outputs=u, losses=losses, name="heat")


def test_equations_in_the_loss(tmp_path):
    """What is exported with its training takes the derivatives by inputs along: its test compares loss and gradient."""
    nn.export(equations(), "c", tmp_path, train=True, parameters=np.linspace(-1, 1, 13))
    sources = sorted(map(str, tmp_path.glob("*.c")))
    subprocess.run([*QUICK.split(), "-o", tmp_path / "test", *sources, "-lm"], check=True, cwd=tmp_path)
    printed = subprocess.run([tmp_path / "test"], capture_output=True, text=True, check=True).stdout
    assert "gradient: right" in printed


@pytest.mark.thorough
def test_equations_in_a_package(tmp_path):
    """A package of a network with equations carries a test with outputs, loss and gradient."""
    nn.export(equations(), "sdist", tmp_path, parameters=np.linspace(-1, 1, 13))
    assert list(tmp_path.glob("heat-*.tar.gz"))


KERAS = {
    "hidden/kernel:0": np.arange(12.0).reshape(4, 3) / 10,
    "tower/hidden/bias": np.array([0.1, 0.2, 0.3]),
    "norm/gamma": np.array([1.0, 2.0, 3.0]),
    "norm/beta": np.array([0.0, 1.0, -1.0]),
    "norm/moving_mean": np.array([0.5, 0.0, 1.0]),
    "norm/moving_variance": np.array([1.0, 4.0, 0.25]),
    "out/kernel": np.array([[1.0, -1.0], [2.0, 0.5], [0.0, 3.0]]),
}
"""Weights as Keras has them: (inputs, units)."""


def by_keras(X):
    h = np.tanh(X @ KERAS["hidden/kernel:0"] + KERAS["tower/hidden/bias"])
    h = (h - KERAS["norm/moving_mean"]) / np.sqrt(KERAS["norm/moving_variance"] + 1e-3)
    return (h * KERAS["norm/gamma"] + KERAS["norm/beta"]) @ KERAS["out/kernel"]


def layers():
    norm = nn.BatchNormalization(frozen=True, name="norm")
    return [Dense(3, "tanh", name="hidden"), norm, Dense(2, use_bias=False, name="out")]


@pytest.mark.parametrize("weights", [KERAS, list(KERAS.values())], ids=["by name", "in order"])
def test_weights_of_keras(weights):
    """Weights by name, or in the order of ``get_weights()``, give the outputs that Keras's formulas give."""
    stack = nn.with_weights(nn.Sequential(layers(), 4), weights)
    x = node = Input(4)
    for layer in layers():
        node = layer(node)
    X = np.random.default_rng(1).normal(size=(5, 4))
    for model in (stack, nn.with_weights(Network(x, node), weights)):
        program = model.describe()
        start = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
        values = nn.evaluate(program, start, X, np.zeros((5, 2)))[program.outputs[0].tensor]
        assert values == pytest.approx(by_keras(X), rel=1e-13, abs=1e-14)


def test_weights_after_a_flatten():
    """A Dense layer after a Flatten takes Keras's weights, which have one axis for all that is flattened."""
    model = nn.Sequential([nn.Flatten(), Dense(2, name="out")], (2, 3))
    kernel = np.arange(12.0).reshape(6, 2)
    program = nn.with_weights(model, {"out/kernel": kernel, "out/bias": np.zeros(2)}).describe()
    start = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    X = np.random.default_rng(1).normal(size=(3, 6))
    values = nn.evaluate(program, start, X, np.zeros((3, 2)))[program.outputs[0].tensor]
    assert values == pytest.approx(X @ kernel, rel=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w | {"other/kernel": np.ones(3)}, "the weights other/kernel belong to no layer here"),
        (
            lambda w: {k: v for k, v in w.items() if "gamma" not in k},
            "no weights are called norm/gamma, for gamma_norm",
        ),
        (
            lambda w: w | {"out/kernel": np.ones((2, 3))},
            r"out/kernel has the shape \(2, 3\), which does not fit W_out of",
        ),
        (lambda w: w | {"norm/beta": [0.0, np.nan, 1.0]}, "norm/beta must be an array of finite numbers"),
        (lambda w: list(w.values())[1:], "there are 6 weights, but the network has 7: W_hidden, b_hidden"),
    ],
)
def test_weights_refused(change, message):
    """Weights that are missing, too many or of another shape are refused by name."""
    with pytest.raises(ModelError, match=message):
        nn.with_weights(nn.Sequential(layers(), 4), change(KERAS))


def test_exports_that_know_no_pieces(tmp_path):
    """What a destination cannot write is refused, with the name of the layer's tensor, and nothing is written."""
    with pytest.raises(ModelError, match=r"does not know how (h1|part1_\d+)\[.*\] of joined is made, which is sum"):
        nn.export(JOINED, "casadi", tmp_path, parameters=drawn(JOINED)[0])
    assert not list(tmp_path.iterdir())

"""What we write as ONNX is read again: every layer computes and is derived as before."""

import re

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.ir import evaluate

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from tests.support.onnx_files import exported, loaded

RNG = np.random.default_rng(8)
D, ROWS = nn.Dense, 3


def stack(*layers, inputs=(6, 2)):
    """Layers before a Dense, which makes one number of what they give."""
    return nn.Sequential([*layers, nn.Flatten(), D(1)], inputs, name="stack")


def branches():
    """A network of several inputs and outputs, with all layers that join."""
    a, b = nn.Input((3,)), nn.Input((3,))
    p, q = D(4, "tanh")(a), D(4, "elu")(b)
    joined = [layer()([p, q]) for layer in (nn.Add, nn.Average, nn.Multiply, nn.Maximum, nn.Minimum, nn.Subtract)]
    both = nn.Concatenate()(joined)
    return nn.Network([a, b], {"one": D(2, "softmax")(both), "two": D(1)(both)}, {"one": "mse", "two": "mae"})


def image(*layers):
    return stack(*layers, inputs=(5, 4, 2))


def causal(*layers):
    """Layers that add something to a sequence, then attention that looks at no later step."""
    x = nn.Input((6, 2))
    h = x
    for layer in layers:
        h += layer(h)
    return nn.Network(x, D(1)(nn.MultiHeadAttention(2, 2)(h, use_causal_mask=True)), name="causal")


LAYERS = {
    "Activation": stack(nn.Activation("tanh")),
    "AveragePooling1D": stack(nn.AveragePooling1D(2, padding="same")),
    "AveragePooling1D of its padding": stack(nn.AveragePooling1D(3, strides=2, padding=1, count_include_pad=True)),
    "AveragePooling2D": image(nn.AveragePooling2D((2, 3), strides=1)),
    "BatchNormalization": stack(D(3), nn.BatchNormalization()),
    "BatchNormalization, frozen": stack(D(3), nn.BatchNormalization(frozen=True)),
    "Bidirectional": stack(nn.Bidirectional(nn.GRU(2, return_sequences=True))),
    "Conv1D": stack(nn.Conv1D(4, 3, strides=2, padding="same", activation="relu", groups=2)),
    "Conv1D, causal": stack(nn.Conv1D(2, 2, padding="causal", dilation_rate=2)),
    "Conv1D of one place": stack(nn.Conv1D(2, 1), nn.Conv1D(1, 6)),
    "Conv1DTranspose": stack(nn.Conv1DTranspose(2, 3, strides=2, padding="same")),
    "Conv2D": image(nn.Conv2D(3, (3, 2), padding="same"), nn.Conv2D(2, 2, groups=1, strides=2)),
    "Conv2DTranspose": image(nn.Conv2DTranspose(2, 2, strides=(2, 1))),
    "Dense": nn.Sequential([D(4, "gelu"), D(2, "softmax")], 3, "categorical_crossentropy"),
    "Dense on sequences": stack(D(3, "tanh")),
    "Dropout": stack(D(3), nn.Dropout(0.5)),
    "Embedding": nn.Sequential([nn.Embedding(5, 3), nn.Flatten(), D(1)], 4),
    "Flatten": stack(),
    "GRU": stack(nn.GRU(3)),
    "GaussianNoise": stack(nn.GaussianNoise(0.5), D(2)),
    "GlobalAveragePooling1D": stack(nn.GlobalAveragePooling1D()),
    "GlobalAveragePooling2D": image(nn.GlobalAveragePooling2D()),
    "GlobalMaxPooling1D": stack(nn.GlobalMaxPooling1D()),
    "GlobalMaxPooling2D": image(nn.GlobalMaxPooling2D()),
    "GroupQueryAttention": stack(nn.GroupQueryAttention(2, 4, 2)),
    "LSTM": stack(nn.LSTM(3, return_sequences=True)),
    "LayerNormalization": stack(nn.LayerNormalization()),
    "MaxPooling1D": stack(nn.MaxPooling1D(2)),
    "MaxPooling2D": image(nn.MaxPooling2D((3, 2), strides=(1, 2), padding="same")),
    "MultiHeadAttention": stack(nn.MultiHeadAttention(2, 3, 2)),
    "MultiHeadAttention, causal": causal(),
    "PReLU": stack(nn.PReLU(0.25, shared_axes=[1]), D(2), nn.PReLU(0.5, shared_axes=(1, 2)), D(2), nn.PReLU()),
    "Permute": stack(nn.Permute((2, 1)), D(2)),
    "Polynomial": nn.Sequential([nn.Polynomial(2), D(1)], 3),
    "PositionEmbedding": causal(nn.PositionEmbedding(6)),
    "RBF": nn.Sequential([nn.RBF(4), D(1)], 3),
    "RMSNormalization": stack(nn.RMSNormalization()),
    "Reshape": stack(nn.Reshape((3, 4)), D(2)),
    "RotaryEmbedding": stack(nn.RotaryEmbedding(), D(2)),
    "SimpleRNN": stack(nn.SimpleRNN(3, return_sequences=True), nn.SimpleRNN(2)),
    "WideAndDeep": nn.Sequential([nn.WideAndDeep([D(4, "tanh"), D(2)], 2)], 3),
    "several inputs and outputs": branches(),
}
LAYERS |= {f"activation {name}": nn.Sequential([D(3, name), D(1)], 2) for name in ACTIVATIONS if name != "softmax"}
LAYERS["a formula"] = nn.Model(
    "formula",
    sympy.symbols("x z"),
    sympy.Symbol("y"),
    {"a": 1.5, "b": 0.5},
    "a*exp(-b*x**2)*z + tanh(a*z) + sqrt(1 + b*x**2)",
)
JOINING = {"Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"}
"""Layers in the network of several inputs."""


def gradients(program, values):
    """The derivative by each parameter that is trained; parts of one, as W[:,0:1], are put together.

    The exporter may write an underscore after a name.
    """
    by_name = {}
    for tensor, element in zip(program.parameters, program.gradient, strict=True):
        name, _, ranges = tensor.name.rstrip("]").partition("[")
        if tensor.trained:
            by_name.setdefault(name.rstrip("_"), []).append((ranges, values[element.tensor]))
    return {name: whole(parts) for name, parts in by_name.items()}


def whole(parts):
    """All numbers of a parameter in a row, from its parts with their ranges; a part has no axes of one place."""
    if not parts[0][0]:
        return parts[0][1].ravel()
    placed = []
    for ranges, part in parts:
        axes, sizes = [], list(part.shape)
        for text in ranges.split(","):
            start, _, stop = text.partition(":")
            size = int(stop) - int(start) if stop else sizes[0]
            axes.append(slice(int(start or 0), int(start or 0) + size))
            sizes = sizes[1:] if size > 1 or not stop else sizes
        placed.append((tuple(axes), part))
    result = np.empty([max(axes[k].stop for axes, _ in placed) for k in range(len(placed[0][0]))])
    for axes, part in placed:
        result[axes] = part.reshape([axis.stop - axis.start for axis in axes])
    return result.ravel()


def test_every_layer_is_there():
    """The cases are all layers that there are."""
    layers = {
        name for name in dir(nn) if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Layer)
    }
    cases = {re.split(r"[ ,]", name)[0] for name in LAYERS}
    assert layers - {"Layer"} <= cases | JOINING


@pytest.mark.parametrize(
    ("precision", "opset"), [("float32", None), ("float64", None), ("float32", 23), ("float64", 23)]
)
@pytest.mark.parametrize("name", LAYERS)
def test_again(name, precision, opset):
    """A file of ours gives a network with the outputs of the first, its trained parameters and its gradient."""
    model = LAYERS[name]
    first = nn.compile_model(model, precision, until="differentiate", fit=False)["differentiate"].at_rest
    start = RNG.normal(size=first.parameter_count).astype(precision) / 2
    for tensor, place in zip(first.parameters, np.cumsum([0, *(t.size for t in first.parameters)]), strict=False):
        if "variance" in tensor.name or not tensor.shape:
            start[place : place + tensor.size] = 1.5
    X = RNG.normal(size=(ROWS, sum(tensor.size for tensor in first.inputs))).astype(precision)
    X = RNG.integers(5, size=X.shape).astype(float) if name == "Embedding" else X.astype(float)
    Y = np.abs(RNG.normal(size=(ROWS, sum(tensor.size for tensor in first.targets))))
    loss = "categorical_crossentropy" if name == "Dense" else "mse"
    again = nn.from_onnx(loaded(exported(model, precision, start, opset=opset)), loss)
    second = nn.compile_model(again, precision, until="differentiate", fit=False)["differentiate"]
    evaluated = evaluate(second, [v for t in second.parameters for v in np.frombuffer(t.initial.values)], X, Y)
    expected = evaluate(first, start.astype(float), X, Y)
    outputs = [
        np.concatenate([values[e.tensor].reshape(ROWS, -1) for e in program.outputs], axis=1)
        for program, values in ((first, expected), (second, evaluated))
    ]
    tolerance = {"float32": 1e-6, "float64": 1e-12}[precision]
    assert outputs[1] == pytest.approx(outputs[0], rel=tolerance, abs=tolerance)
    if name in ("several inputs and outputs", "BatchNormalization"):
        return  # a file says nothing of several losses, nor of the statistics of batches
    of_first, of_second = gradients(first, expected), gradients(second, evaluated)
    assert of_second.keys() == of_first.keys()
    for parameter, gradient in of_first.items():
        assert of_second[parameter] == pytest.approx(gradient, rel=tolerance, abs=10 * tolerance), parameter


def test_large_windows():
    """The products of a large convolution are not counted as a tensor, also where its windows are constants."""
    picture = nn.Sequential([nn.Conv2D(8, 3), nn.GlobalAveragePooling2D(), D(2)], (28, 28, 1))
    start = np.ones(picture.describe().parameter_count)
    again = nn.from_onnx(loaded(exported(picture, "float64", start))).describe()
    assert [tensor.shape for tensor in again.parameters if tensor.trained] == [(2, 8), (8,), (8, 3, 3), (2,)]


def test_compiled_again(quick_compiler):
    """The module of such a network predicts what the first one does, and trains to the same loss."""
    layers = [nn.Embedding(5, 3), nn.Conv1D(4, 2, padding="same", activation="relu"), nn.LSTM(3), D(2, "softmax")]
    first = nn.Sequential(layers, 6, "categorical_crossentropy", name="first")
    module = nn.build(first)
    start = module.initial_parameters()
    again = nn.build(nn.from_onnx(loaded(exported(first, "float32", start.astype("float32"))), name="again"))
    X, Y = RNG.integers(5, size=(9, 6)), RNG.integers(2, size=9)
    initial_parameters = again.initial_parameters()
    assert again.predict(initial_parameters, X) == pytest.approx(module.predict(start, X), rel=1e-5)
    options = {"optimizer": "adam", "learning_rate": 0.01, "epochs": 20}
    losses = again.train(X, Y, **options).history, module.train(X, Y, parameters=start, **options).history
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)

"""Layers and losses beside definitions that the stage describe has no part in, and faults planted in that stage."""

from dataclasses import dataclass, replace

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import Dense, Input, Network, Sequential
from nncodegen.certificates.definitions import is_defined, values_of
from nncodegen.certificates.definitions.functions import ACTIVATIONS, LOSSES
from nncodegen.certificates.definitions.kinds import DEFINITIONS
from nncodegen.certificates.exact import bind, many
from nncodegen.certificates.examination import Extent, examine
from nncodegen.certificates.layer_definitions import defined
from nncodegen.certificates.results import Programs
from nncodegen.compiler import describe
from nncodegen.compiler.describe import activations, losses, pooling, windows
from nncodegen.compiler.describe.layer import Layer
from nncodegen.compiler.describe.recurrence import Recurrence
from nncodegen.runtime.python.ground.certificate import DEFINITIONS as QUANTITY
from tests.support.layers import Shift
from tests.support.models import random_data

FIRST = {"data_format": "channels_first"}
LAYERS = {
    "dense": (Dense(2, "gelu"), (2, 3)),
    "softmax": (nn.Activation("softmax"), (2, 3)),
    "own activation": (Dense(2, lambda z: z * sympy.tanh(z)), 3),
    "wide and deep": (nn.WideAndDeep([Dense(3, "tanh"), Dense(2, name="inner")], 2, "sigmoid"), 3),
    "prelu": (nn.PReLU(0.3), (3, 2)),
    "prelu, shared": (nn.PReLU("random_uniform", shared_axes=1), (3, 2)),
    "radial": (nn.RBF(3), (2, 3)),
    "polynomial": (nn.Polynomial(2, 3, "softsign"), 2),
    "layer normalization": (nn.LayerNormalization((1, 2), 1e-5), (2, 3)),
    "without a scale": (nn.LayerNormalization(1, scale=False), (2, 3)),
    "squares": (nn.RMSNormalization((1, 2)), (2, 3)),
    "squares without a scale": (nn.RMSNormalization(1, 1e-5, scale=False), (2, 3)),
    "positions": (nn.PositionEmbedding(3), (2, 3)),
    "attention": (nn.MultiHeadAttention(2, 2, 1), (3, 2)),
    "attention to all places": (nn.MultiHeadAttention(2, 2), (2, 2, 2)),
    "attention along an axis": (nn.MultiHeadAttention(1, 2, attention_axes=1), (2, 3, 2)),
    "heads in groups": (nn.GroupQueryAttention(2, 4, 2, use_bias=False), (2, 3)),
    "rotations": (nn.RotaryEmbedding(100, 2.5, sequence_axis=2, feature_axis=1), (4, 3)),
    "attention to rotations": (nn.MultiHeadAttention(1, 2, rotary=nn.RotaryEmbedding(10)), (3, 2)),
    "moving statistics": (nn.BatchNormalization(axis=1, center=False), (2, 3)),
    "permute": (nn.Permute((3, 1, 2)), (2, 1, 3)),
    "reshape": (nn.Reshape((1, -1, 1, 2)), (2, 3)),
    "ones": (nn.Reshape((-1, 1)), 3),
    "window of more than the steps": (nn.Conv1D(2, 4, strides=2, padding="same"), (1, 2)),
    "causal": (nn.Conv1D(2, 2, padding="causal", dilation_rate=2, activation="elu"), (4, 2)),
    "groups": (nn.Conv1D(4, 3, padding=2, groups=2, **FIRST), (2, 4)),
    "picture": (nn.Conv2D(2, (2, 3), strides=(1, 2), padding=(0, 2), use_bias=False), (3, 4, 1)),
    "transpose": (nn.Conv1DTranspose(4, 3, strides=2, padding=1, output_padding=1, groups=2), (3, 2)),
    "transpose of the same size": (nn.Conv1DTranspose(2, 4, strides=3, padding="same"), (2, 1)),
    "transpose with strides": (nn.Conv1DTranspose(1, 1, strides=3), (2, 1)),
    "transposed picture": (nn.Conv2DTranspose(2, (3, 2), strides=(1, 2), padding=(1, 0), **FIRST), (1, 3, 2)),
    "largest": (nn.MaxPooling1D(3, strides=1, padding="same"), (4, 2)),
    "largest of rows": (nn.MaxPooling2D((2, 1), padding=(1, 0), **FIRST), (2, 3, 2)),
    "mean": (nn.AveragePooling1D(3, strides=2, padding=1), (5, 1)),
    "mean of zeros": (nn.AveragePooling2D(2, padding="same", count_include_pad=True), (3, 3, 1)),
    "largest of all": (nn.GlobalMaxPooling1D(**FIRST), (2, 3)),
    "mean of all": (nn.GlobalAveragePooling2D(), (2, 3, 2)),
    "recurrent": (nn.SimpleRNN(2, "relu", return_sequences=True, go_backwards=True), (3, 2)),
    "long memory": (nn.LSTM(2, use_bias=False), (3, 2)),
    "gates": (nn.GRU(2, return_sequences=True), (3, 2)),
    "gates before": (nn.GRU(2, reset_after=False), (3, 2)),
    "gates without a bias": (nn.GRU(2, use_bias=False), (2, 1)),
    "both ways": (nn.Bidirectional(nn.GRU(2, return_sequences=True), merge_mode="mul"), (3, 1)),
}
"""A layer, and the shape of its input: each is followed by another one."""

NAMED = Dense(1, name="named")


def results(model, training=False, samples=3):
    """Outputs and loss of the described program, and those of the definitions, with 40 digits."""
    program = model.describe()
    program = program if training else program.at_rest
    parameters, X, Y = random_data(program, samples)
    starts = np.cumsum([0, *(tensor.size for tensor in program.parameters)])
    for tensor, start in zip(program.parameters, starts, strict=False):
        if "variance" in tensor.name:
            parameters[start : start + tensor.size] = abs(parameters[start : start + tensor.size]) + 0.5
    values = nn.evaluate(program, parameters, X, Y)
    with mpmath.workdps(40):
        by_definition = values_of(model, bind(program, parameters, X, Y), many(X), many(Y), training)
    outputs = np.hstack([values[e.tensor].reshape(samples, -1) for e in program.outputs])
    expected = by_definition[0].astype(float), float(sum(by_definition[1]) / samples)
    return (outputs, float(values[program.loss.tensor])), expected


def agree(model, **options):
    (outputs, loss), expected = results(model, **options)
    assert outputs == pytest.approx(expected[0], rel=1e-12, abs=1e-12)
    assert loss == pytest.approx(expected[1], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind):
    """The program of each layer gives what its definition gives, also where it is the one before the last."""
    layer, shape = LAYERS[kind]
    agree(Sequential([layer, replace(NAMED)], shape, name="one"))


@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax"])
def test_activations(name):
    """So does each activation by name, on both sides of 0."""
    agree(Sequential([Dense(3, "linear"), nn.Activation(name), Dense(1)], 2, name="activation"))


@pytest.mark.parametrize("name", [*LOSSES, "own"])
def test_losses(name):
    """So does each loss by name: the mean of all values, or of rows that are added up."""
    activation = "sigmoid" if "binary" in name or name == "poisson" else "softmax"
    activation = "linear" if "logits" in name else activation
    loss = (lambda p, y: (p - y) ** 4) if name == "own" else name
    x = Input((2, 2))
    first, second = Dense(3, activation)(x), Dense(2, activation)(nn.Flatten()(x))
    agree(Sequential([Dense(3, activation)], (2, 2), loss, name="loss"))
    agree(Network(x, [first, second], loss=[loss, "mse"], loss_weights=[0.3, 2], name="losses"))


def test_attention_in_graphs():
    """Attention agrees with what it is given, and with the weights that it returns."""
    x, y, length, mask = (
        Input(shape, name=name) for name, shape in (("x", (3, 2)), ("y", (2, 4)), ("steps", 1), ("mask", (3, 2)))
    )
    h, first = nn.MultiHeadAttention(2, 2)(x, y, lengths=length, attention_mask=mask, return_attention_scores=True)
    h, second = nn.GroupQueryAttention(2, 4, 2)(h, use_causal_mask=True, return_attention_scores=True)
    model = Network([x, y, length, mask], [Dense(1)(h), first, second], name="attention")
    program = model.describe()
    parameters, X, Y = random_data(program, 3)
    X[:, 14], X[:, 15:] = [1, 2, 2], np.random.default_rng(1).integers(0, 2, (3, 6))
    values = nn.evaluate(program, parameters, X, Y)
    with mpmath.workdps(40):
        by_definition = values_of(model, bind(program, parameters, X, Y), many(X), many(Y), training=False)
    outputs = np.hstack([values[e.tensor].reshape(3, -1) for e in program.outputs])
    assert outputs == pytest.approx(by_definition[0].astype(float), rel=1e-12, abs=1e-12)


def test_graphs():
    """Graphs agree: layers called twice, inputs of their own, states, lengths, masks, and all that joins values."""
    sequence, tokens, length = Input((3, 2), name="sequence"), Input(3, name="tokens"), Input(1, name="steps")
    again = Dense(2, "tanh", name="again")
    h = again(again(sequence)) + nn.Embedding(4, 2)(tokens)
    h = nn.maximum([h, Dense(2)(nn.Dropout(0.5)(sequence))]) * nn.Reshape((1, 2))(Dense(2)(tokens))
    h = nn.average([h, nn.minimum([h, sequence])]) - nn.GaussianNoise(0.1)(h)
    output, *states = nn.LSTM(2, return_sequences=True, return_state=True, lengths=True)(h, length)
    both = nn.Bidirectional(nn.LSTM(2, mask_value=0.5, return_sequences=True))(output, *states, *states)
    joined = nn.concatenate([both, output, sequence], axis=-1)
    outputs = {"a": Dense(1)(nn.concatenate([nn.Flatten()(joined), states[1]])), "b": joined}
    model = Network([sequence, tokens, length], outputs, name="graph")
    program = model.describe()
    parameters, X, Y = random_data(program, 3)
    X[:, 6:9], X[:, 9], X[0, :2] = [[0, 1, 3], [2, 2, 0], [1, 1, 1]], [3, 1, 2], 0.5
    values = nn.evaluate(program, parameters, X, Y)
    with mpmath.workdps(40):
        by_definition = values_of(model, bind(program, parameters, X, Y), many(X), many(Y), training=False)
    outputs = np.hstack([values[e.tensor].reshape(3, -1) for e in program.outputs])
    assert outputs == pytest.approx(by_definition[0].astype(float), rel=1e-12, abs=1e-12)
    assert float(values[program.loss.tensor]) == pytest.approx(float(sum(by_definition[1]) / 3), rel=1e-12)


def test_statistics():
    """In training, statistics are those of the batch, and at rest the moving ones."""
    model = Sequential([Dense(2), nn.BatchNormalization(), Dense(1)], 2, name="statistics")
    agree(model, training=False)
    agree(model, training=True, samples=4)


def test_a_layer_of_ones_own():
    """A layer without a definition is taken as it is written, and the certificate says so."""
    model = Sequential([Dense(2), Shift(), Dense(1)], 2, loss=lambda p, y: (p - y) ** 4, name="own")
    agree(model)
    assert defined(model, model.describe()).as_written == ("layer 2 (Shift)", "the loss")


def test_layers_of_equations():
    """Where the loss consists of equations, the layers alone have definitions, in a stack and in a graph."""
    place, time = sympy.symbols("place time")
    u = sympy.Function("u")(place, time)
    first, second, see = Input(place), Input(time), Dense(2, "tanh")
    losses = {"one": u.diff(time) - u.diff(place, 2)}
    graph = Network([first, second], {u: Dense(1)(see(first) * see(second))}, losses=losses, name="graph")
    stack = Sequential([see, Dense(1)], inputs=(place, time), outputs=u, losses=losses, name="stack")
    for model in (graph, stack):
        layers = defined(model, model.describe())
        assert layers.as_written == ("the equations",)
        assert layers.program == layers.model.describe()
        assert [tensor.name for tensor in layers.program.parameters][:2] == ["W1", "b1"]
        agree(layers.model)


def test_each_layer_has_a_definition():
    """Whoever adds a layer, an activation or a loss by name writes down its definition, too."""
    kinds = [getattr(describe, name) for name in describe.__all__]
    layers = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Layer)} - {Layer}
    assert layers == set(DEFINITIONS)
    assert set(activations.ACTIVATIONS) == set(ACTIVATIONS)
    assert set(losses.LOSSES) == set(LOSSES)
    assert not is_defined(nn.WideAndDeep([Shift()], 1))


# --- planted faults ----------------------------------------------------------------------------------------------


def examined(model):
    """What is found at points of a model, and the fault that is named where something is wrong."""
    stages = nn.compile_model(model, until="simplify", fit=False)
    program, compared = stages["describe"], []
    network = defined(model, program)
    programs = Programs(program, program, stages["simplify"])
    examine(programs, Extent(1, 2, 1), 0, lambda at: compared.extend(network.compare(at)))
    assert {result.figure.quantity for result in compared} == {QUANTITY}
    wrong = [result for result in compared if result.figure.verdict == "wrong"]
    return compared, network.fault(wrong[0].examined) if wrong else None


def shifted_padding(patch):
    """The padding of "same" has its odd place before the first value."""
    along = windows.Windows.along

    def shifted(self, call, axis, length):
        window = along(self, call, axis, length)
        return replace(window, before=window.before + 1)

    patch.setattr(windows.Windows, "along", shifted)


def one_place_less(patch):
    """There is one window less than there should be."""
    along = windows.Windows.along

    def fewer(self, call, axis, length):
        window = along(self, call, axis, length)
        return replace(window, places=window.places - 1)

    patch.setattr(windows.Windows, "along", fewer)


def swapped_gates(patch):
    """The gates z and r take each other's place."""
    gate, others = Recurrence.gate, {"update": "reset", "reset": "update"}
    patch.setattr(Recurrence, "gate", lambda self, z, name: gate(self, z, others.get(name, name)))


def other_count(patch):
    """A mean is divided by one value more."""

    def pooled(self, call, indices, over):
        factor = sympy.Rational(1, 1 + np.prod([call.size(index) for index in over]))
        return call.part(call.step("h", indices, call.x * factor, "sum", over))

    patch.setattr(pooling._GlobalAveragePooling, "_pooled", pooled)


def other_loss(patch):
    """A loss by name is another function."""
    patch.setitem(losses.LOSSES, "huber", replace(losses.LOSSES["huber"], function=lambda p, y: (p - y) ** 2 / 2))


@dataclass(frozen=True)
class Planted:
    plant: object
    model: object
    step: str
    message: str


def network(*layers, shape):
    """A graph with a named loss."""
    x = node = Input(shape)
    for layer in layers:
        node = layer(node)
    return Network(x, node, loss="huber", name="planted")


PLANTED = {
    "padding": Planted(
        shifted_padding,
        lambda: Sequential([Dense(1), nn.Conv1D(1, 2, padding="same"), Dense(1)], (2, 1)),
        "h2[n, l, m] = ",
        "layer 2 (Conv1D) differs from its definition",
    ),
    "places": Planted(
        one_place_less,
        lambda: Sequential([nn.Conv1D(1, 2), nn.Flatten(), Dense(1)], (4, 1)),
        "h1[n, ",
        "layer 1 (Conv1D) differs from its definition: its values have the shape (2, 1), and not (3, 1)",
    ),
    "gates": Planted(
        swapped_gates,
        lambda: network(nn.GRU(1, name="gru1"), Dense(1), shape=(2, 1)),
        "last_gru1[n, ",
        "layer gru1 (GRU) differs from its definition",
    ),
    "mean": Planted(
        other_count,
        lambda: network(Dense(2), nn.GlobalAveragePooling1D(), shape=(3, 1)),
        "h2[n, ",
        "layer 2 (GlobalAveragePooling1D) differs from its definition",
    ),
    "loss": Planted(
        other_loss, lambda: network(Dense(1), shape=2), "loss_n[n] = ", "the loss differs from its definition"
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_fault_is_named(what, monkeypatch):
    """Padding that is shifted, lost places, swapped gates, another count and another loss are found, and named."""
    planted = PLANTED[what]
    compared, fault = examined(planted.model())
    assert fault is None
    assert len(compared) >= 4
    planted.plant(monkeypatch)
    compared, fault = examined(planted.model())
    assert fault.stage == "describe"
    assert fault.step.startswith(planted.step)
    assert planted.message in fault.message


@pytest.mark.usefixtures("quick_compiler")
def test_a_certificate_with_such_a_fault(monkeypatch):
    """The certificate does not hold, says what differs, and shows it in its table, and nothing else is wrong."""
    other_loss(monkeypatch)
    certificate = nn.certify(PLANTED["loss"].model(), points=1, fit=False)
    assert not certificate.holds
    (fault,) = certificate.faults
    assert fault.stage == "describe"
    assert "the loss differs from its definition" in str(certificate)
    assert {figure.quantity for figure in certificate.figures if figure.verdict == "wrong"} == {QUANTITY}

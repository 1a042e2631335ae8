"""Graphs of layers: inputs, outputs, losses, shared layers, merges, names."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen import Dense, Input, ModelError, Network
from tests.support.built import built, stage
from tests.support.models import differences, gradient_of, random_data

pytestmark = pytest.mark.usefixtures("quick_compiler")


def dense(p, name, x):
    return x @ p[f"W{name}"].T + p[f"b{name}"]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def named(program, flat):
    """Parameters by name."""
    by_name, start = {}, 0
    for tensor in program.parameters:
        by_name[tensor.name] = np.reshape(flat[start : start + tensor.size], tensor.shape)
        start += tensor.size
    return by_name


def whole():
    """Two inputs into one shared layer, a residual block, softmax in the middle, noise, and two outputs."""
    a, b = Input(4), Input(4, name="other")
    shared = Dense(6, "tanh", name="shared")
    both = shared(a) * shared(b) - nn.Dropout(0.25)(shared(a))
    block = both + Dense(6)(nn.Activation("softplus")(Dense(5)(both)))
    chosen = nn.maximum([block, Dense(1)(a)]) * Dense(6, "softmax")(b)
    outputs = {"price": Dense(1)(chosen), "kind": Dense(3, "softmax")(chosen)}
    losses = {"kind": "categorical_crossentropy", "price": "mae"}
    return Network([a, b], outputs, losses, {"price": 0.5, "kind": 2}, name="whole")


WHOLE = whole()


def whole_by_numpy(p, X):
    a, b = X[:, :4], X[:, 4:]
    first, second = (np.tanh(dense(p, "_shared", x)) for x in (a, b))
    both = first * second - first
    block = both + dense(p, "7", np.logaddexp(0, dense(p, "5", both)))
    chosen = np.maximum(block, dense(p, "9", a)) * softmax(dense(p, "11", b))
    return dense(p, "13", chosen), softmax(dense(p, "14", chosen))


def test_a_graph_means_what_it_says():
    """Shared layers, residual connections, merges and several losses: outputs and loss are those of NumPy."""
    program = WHOLE.describe()
    parameters, X, _ = random_data(program, 5)
    price, kind = whole_by_numpy(named(program, parameters), X)
    Y = np.hstack([np.linspace(-1, 1, 5)[:, None], np.eye(3)[[0, 2, 1, 1, 0]]])
    values = nn.evaluate(program, parameters, X, Y)
    assert values["price"] == pytest.approx(price, rel=1e-12)
    assert values["kind"] == pytest.approx(kind, rel=1e-12)
    expected = 0.5 * abs(price - Y[:, :1]).mean() - 2 * (Y[:, 1:] * np.log(kind)).sum(axis=1).mean()
    assert float(values["loss"]) == pytest.approx(expected, rel=1e-12)


def test_names_of_a_graph():
    """Parameters are numbered by their layers or named as these are, once for all uses; outputs have their names."""
    program = WHOLE.describe()
    names = [tensor.name for tensor in program.parameters]
    weights = ["_shared", "5", "7", "9", "11", "13", "14"]
    assert names == [f"{letter}{name}" for name in weights for letter in "Wb"]
    assert [tensor.name for tensor in program.inputs] == ["x1", "other"]
    assert [tensor.name for tensor in program.targets] == ["y_price", "y_kind"]
    assert set(program.sizes) == set("nijklmo")


def test_gradients_of_a_graph():
    """The gradient is that of central differences."""
    program = WHOLE.describe()
    parameters, X, Y = random_data(program, 4)
    gradient = gradient_of(stage(WHOLE), parameters, X, Y)
    assert gradient == pytest.approx(differences(program, parameters, X, Y), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("samples", [1, 70])
def test_what_is_compiled(samples):
    """Outputs, loss and gradient of the module are those of the steps."""
    program, module = WHOLE.describe(), built(WHOLE, fit=False)
    parameters, X, Y = random_data(program, samples)
    values = nn.evaluate(program, parameters, X, Y)
    outputs = np.hstack([values["price"], values["kind"]])
    assert module.predict(parameters, X) == pytest.approx(outputs, rel=1e-12, abs=1e-13)
    loss, gradient = module.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(float(values["loss"]), rel=1e-12)
    assert gradient == pytest.approx(gradient_of(stage(WHOLE), parameters, X, Y), rel=1e-9, abs=1e-12)


def test_a_stack_as_a_graph():
    """Layers one after the other are the same program as in a list, with the same names."""
    layers = [Dense(4, "tanh"), nn.Dropout(0.2), Dense(3, "softmax")]
    node = x = Input(5)
    for layer in layers:
        node = layer(node)
    stack = nn.Sequential(layers[:1] + layers[2:], 5, "categorical_crossentropy").describe()
    other = Network(x, layers[2](layers[0](x)), "categorical_crossentropy").describe()
    assert other.show() == stack.show()
    assert len(Network(x, node, "mse").describe().noise) == 1


def test_an_object_twice_in_a_list():
    """It is two layers, with parameters of their own; called twice in a graph, it is one. The list stays as it is."""
    layer = Dense(3, "tanh")
    stack = nn.Sequential([layer, layer], 3)
    assert [tensor.name for tensor in stack.describe().parameters] == ["W1", "b1", "W2", "b2"]
    assert stack.layers == (layer, layer)
    assert [number for number, _ in stack.numbered] == ["1", "2"]
    assert stack.network.describe() == stack.describe()
    assert [tensor.name for tensor in Network(x, layer(layer(x))).describe().parameters] == ["W1", "b1"]
    with pytest.raises(ModelError, match="two layers have the name 'same'"):
        nn.Sequential([Dense(3, name="same")] * 2, 3)


def test_softmax_within_a_stack():
    """A softmax may stand in any layer, and inside of a layer."""
    model = nn.Sequential([Dense(3, "softmax"), nn.WideAndDeep([Dense(4, "softmax")], 2)], 2)
    program = model.describe()
    parameters, X, Y = random_data(program, 3)
    p = named(program, parameters)
    h = softmax(dense(p, "1", X))
    expected = softmax(dense(p, "2_1", h)) @ p["W2"].T + h @ p["U2"].T + p["b2"]
    assert nn.evaluate(program, parameters, X, Y)["h2"] == pytest.approx(expected, rel=1e-12)
    assert gradient_of(stage(model), parameters, X, Y) == pytest.approx(
        differences(program, parameters, X, Y), rel=1e-5, abs=1e-8
    )


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (nn.add, lambda a, b: a + b),
        (nn.subtract, lambda a, b: a - b),
        (nn.multiply, lambda a, b: a * b),
        (nn.average, lambda a, b: (a + b) / 2),
        (nn.maximum, np.maximum),
        (nn.minimum, np.minimum),
    ],
)
@pytest.mark.parametrize("shape", [(2, 3), (2, 1), (1, 3), (1, 1)])
def test_merges(merge, expected, shape):
    """Values at the same place are joined; an axis of size 1 goes with any other."""
    a, b = Input((2, 3)), Input(shape)
    program = Network([a, b], Dense(1)(merge([a, b]))).describe()
    parameters, X, Y = random_data(program, 4)
    p = named(program, parameters)
    merged = expected(X[:, :6].reshape(4, 2, 3), X[:, 6:].reshape(4, *shape))
    values = nn.evaluate(program, parameters, X, Y)
    assert values["h2"] == pytest.approx(merged @ p["W2"].T + p["b2"], rel=1e-12)
    assert float(values["loss"]) == pytest.approx(((values["h2"].reshape(4, -1) - Y) ** 2).mean(), rel=1e-12)


x, z, steps = Input(3), Input(4), Input((3, 2))
BOTH_WAYS = nn.Bidirectional(nn.GRU(2, return_state=True))
D = Dense(2)


def test_windows_beside_flattened_inputs():
    """An axis that a Flatten would have made, and that nothing reads, gives its size to no other."""
    picture = Input((2, 3))
    beside = nn.WideAndDeep([Dense(2)], 2)(nn.Flatten()(picture))
    window = nn.Flatten()(nn.Conv1DTranspose(3, 2)(picture))
    program = nn.compile_model(Network(picture, [beside, Dense(2)(window)]), until="simplify")["simplify"]
    assert not any(size == 9 for size in program.sizes.values())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dense(2)(3), "Dense is called with 3, which is neither an nncodegen.Input nor"),
        (Dense(2), "Dense is called without an input"),
        (lambda: Input(0), "the shape of an input must be a positive integer, not 0"),
        (lambda: Input(3, "a b"), "the name of an input is a word"),
        (lambda: Input(()), "the shape of an input must have at least one size"),
        (lambda: Network(x, []), "network has no outputs"),
        (lambda: Network(x, D), r"the outputs of network are nodes, such as Dense\(1\)\(x\), not Dense"),
        (lambda: Network(x, x), "is an output as it is: there is nothing to train"),
        (lambda: Network([x, z], D(x)), r"no output depends on the <Input of the shape \(4,\)>"),
        (lambda: Network(x, D(x) + Dense(2)(z)), r"depend on an <Input of the shape \(4,\)>, which is not among"),
        (lambda: Network(D(x), D(x)), "<Dense> is given as an input, but is the result of a layer"),
        (lambda: Network([x, x], D(x)), "is given the same node twice among its inputs"),
        (lambda: Network(x, D(x), ["mse", "mae"]), "there must be a loss for each of 1 outputs, not 2"),
        (lambda: Network(x, {"a": D(x)}, {"b": "mse"}), "there is no output 'b' for a loss; there are: a"),
        (lambda: Network(x, {"a": D(x), "b": Dense(1)(x)}, {"a": "mse"}), "the output b has no loss"),
        (lambda: Network(x, D(x), "msse"), "there is no loss 'msse'"),
        (lambda: Network(x, D(x), loss_weights=[-1]), "the weight of an output is a number above 0, not -1"),
        (lambda: Network(x, {"a b": D(x)}), "the name of an output is a word"),
        (lambda: Network([x, z], D(x) + Dense(3)(z)), r"layer 3 needs inputs of one shape, or .* \(2,\), \(3,\)"),
        (lambda: Network([x, z], D(x) + D(z)), r"layer 1 is called with the shapes \(3,\) and \(4,\)"),
        (lambda: Network(x, Dense(2, name="a")(Dense(2, name="a")(x))), "two layers have the name 'a'"),
        (lambda: Network(x, Dense(2, name="a b")(x)), "the name of a layer is a word"),
        (lambda: Network(x, nn.Dropout(0.5)(D(x))), "layer 2 puts noise on the output of the network"),
        (lambda: Network(x, nn.add([D(x)])), "layer 2, Add, needs at least two inputs, not 1"),
        (lambda: Network(x, nn.subtract([D(x)] * 3)), "layer 2, Subtract, needs two inputs, not 3"),
        (lambda: Network(x, D(nn.subtract([x, x]))), "layer 1, Subtract, gives 0 for all samples"),
        (lambda: Network(steps, BOTH_WAYS(steps)[1]), "no output of network depends on Wb1, Ub1, bb1: leave out"),
        (lambda: Network([x, z], Dense(2, name="head")(x, z)), r"layer 1 \(head\) takes one input, not 2"),
        (lambda: nn.Sequential([Old()], 3), r"layer 1, a Old, has a method describe\(x, size, number, axis, last\)"),
    ],
)
def test_refused(build, message):
    """A ModelError says which layer, input or output is wrong, and what it needs."""
    with pytest.raises(ModelError, match=message):
        build()


class Old:
    """A layer as it was before."""

    def describe(self, x, size, number, axis, last):
        raise AssertionError


def test_flattened_inputs():
    """An input that is flattened at once has one axis: the program of a network without Flatten. It takes pictures."""
    stack = nn.Sequential([nn.Flatten(), Dense(2)], (2, 3)).describe()
    picture = Input((2, 3))
    graph = Network(picture, Dense(2)(nn.Flatten()(picture)))
    assert stack.parameters[0].shape == (2, 6)
    assert graph.describe().parameters == stack.parameters
    assert [step.operator for step in graph.describe().steps] == [step.operator for step in stack.steps]
    module = built(graph, fit=False)
    X, start = np.arange(24.0).reshape(4, 2, 3), module.initial_parameters()
    assert module.predict(start, X) == pytest.approx(module.predict(start, X.reshape(4, 6)), rel=1e-13)

"""Stacks of layers."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import Dense, ModelError, Sequential
from nncodegen.compiler.check import check_gradient
from nncodegen.compiler.ir import Initial

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sequential([], 3), "has no layers"),
        (lambda: Sequential([3], 3), "3 is not a layer"),
        (lambda: Sequential([Dense(0)], 3), "the units of layer 1 must be a positive integer, not 0"),
        (lambda: Sequential([Dense(2.5)], 3), "the units of layer 1 must be a positive integer, not 2.5"),
        (lambda: Sequential([Dense(2)], -1), "inputs, .* must be a positive integer"),
        (lambda: Sequential([Dense(2, "rely")], 3), "layer 1 has an unknown activation: 'rely'; there are: linear"),
        (lambda: Sequential([Dense(2)], 3, loss="msse"), "there is no loss 'msse'; there are: mse"),
        (lambda: Sequential([Dense(2, kernel_initializer="xavier")], 3), "there is no initializer 'xavier'"),
        (lambda: Sequential([Dense(2, lambda z: z * sympy.Symbol("q"))], 3), "activation of layer 1 contains q"),
        (lambda: Sequential([Dense(2, sympy.floor)], 3), "contains floor, which has no derivative"),
        (lambda: Sequential([Dense(2)], 3, loss=lambda p, y: sympy.I * p), "the loss is complex"),
        (lambda: Sequential([Dense(2)], 3, name=""), "the name of a model is a text"),
        (lambda: Sequential(Dense(1), 3), "needs a list of layers"),
        (
            lambda: Sequential([Dense(2, kernel_initializer=None)], 3),
            "an initializer is a name or a finite number, not None",
        ),
        (lambda: Sequential([Dense(2, kernel_initializer=float("nan"))], 3), "a finite number, not nan"),
        (lambda: Sequential([Dense(2, lambda z: 3)], 3), "layer 1 does not depend on its argument"),
        (lambda: Sequential([Dense(2, np.tanh)], 3), "activation of layer 1 cannot be evaluated with the symbols z"),
        (
            lambda: Sequential([Dense(2)], 3, loss=lambda p: p),
            "the loss cannot be evaluated with the symbols output and",
        ),
        (lambda: nn.compile_model(Sequential([Dense(2)], 3), "float16"), "no precision 'float16'; there are: float64"),
        (lambda: nn.compile_model("perceptron"), "'perceptron' is not a model"),
    ],
)
def test_refused(build, message):
    """A ModelError says which layer is wrong, and lists what there is."""
    with pytest.raises(ModelError, match=message):
        build()


def test_parameters_lie_in_order():
    """W1 (units, inputs), b1 (units,), W2 and so on; without a bias, W alone."""
    program = Sequential([Dense(3, "relu"), Dense(2, use_bias=False), Dense(1)], 4).describe()
    assert [(tensor.name, tensor.shape) for tensor in program.parameters] == [
        ("W1", (3, 4)),
        ("b1", (3,)),
        ("W2", (2, 3)),
        ("W3", (1, 2)),
        ("b3", (1,)),
    ]


def test_many_layers():
    """Indices do not run out: 30 layers have an index each."""
    layers = [*(Dense(2, "tanh") for _ in range(29)), Dense(1)]
    program = nn.compile_model(Sequential(layers, 2), until="simplify")["simplify"]
    assert len(program.parameters) == 60
    assert len(program.sizes) == 32


def test_softmax_of_a_softmax():
    """A softmax output may be taken for logits, if somebody wants to."""
    program = Sequential([Dense(2, "softmax")], 3, "categorical_crossentropy_from_logits").describe()
    values = nn.evaluate(program, np.arange(8.0) / 8, [[1.0, 2.0, 3.0]], [[1.0, 0.0]])
    p = values["h1"]
    assert float(values["loss"]) == pytest.approx(np.log(np.exp(p).sum()) - p[0, 0], rel=1e-14)


def test_a_loss_that_is_linear():
    """A derivative that is the same for all outputs needs no index of them."""
    module = nn.build(Sequential([Dense(2), Dense(3)], 4, loss=lambda p, y: 2 * p, name="linear"))
    rng = np.random.default_rng(0)
    parameters, X = rng.normal(size=module.parameter_count), rng.normal(size=(70, 4))
    loss, gradient = module.loss_and_gradient(parameters, X, np.zeros((70, 3)))
    assert loss == pytest.approx(2 * module.predict(parameters, X).mean(), rel=1e-13)
    assert gradient @ parameters == pytest.approx(loss + 2 * (hidden_part(module, parameters, X)), rel=1e-12)
    single = nn.build(Sequential([Dense(2)], 4, loss=lambda p, y: p, name="linear1"))
    _, gradient = single.loss_and_gradient(single.initial_parameters(), X, np.zeros((70, 2)))
    assert gradient == pytest.approx([*np.tile(X.mean(axis=0) / 2, 2), 0.5, 0.5], rel=1e-12)


def hidden_part(module, parameters, X):
    """The mean output without the last bias: what the bilinear part adds to the gradient once more."""
    weights = module.unpack(parameters)
    return ((X @ weights["W1"].T + weights["b1"]) @ weights["W2"].T).mean()


def test_layers_from_a_generator():
    """Layers may come from any iterable."""
    assert len(Sequential((Dense(k) for k in (3, 2)), 4).layers) == 2


def test_custom_activation_and_loss():
    """An activation and a loss may be functions of SymPy expressions; the loss is averaged over outputs."""
    model = Sequential(
        [Dense(3, lambda z: z * sympy.sin(z)), Dense(2)], 2, loss=lambda p, y: (p - y) ** 4, name="custom"
    )
    module = nn.build(model)
    rng = np.random.default_rng(0)
    parameters, X, Y = rng.normal(size=module.parameter_count), rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    weights = module.unpack(parameters)
    z = X @ weights["W1"].T + weights["b1"]
    output = (z * np.sin(z)) @ weights["W2"].T + weights["b2"]
    assert module.predict(parameters, X) == pytest.approx(output, rel=1e-12)
    assert module.loss(parameters, X, Y) == pytest.approx(((output - Y) ** 4).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("activation", "loss"), [("sigmoid", "binary_crossentropy"), ("softmax", "categorical_crossentropy")]
)
def test_logits(activation, loss):
    """A cross-entropy from logits is that of the activated output."""
    first = Sequential([Dense(3, activation)], 2, loss).describe()
    second = Sequential([Dense(3)], 2, f"{loss}_from_logits").describe()
    rng = np.random.default_rng(0)
    parameters, X, Y = rng.normal(size=9), rng.normal(size=(4, 2)), np.eye(3)[[0, 1, 2, 0]]
    losses = [float(nn.evaluate(program, parameters, X, Y)["loss"]) for program in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-14)


@pytest.mark.parametrize("logit", [800.0, -800.0, 40.0])
def test_cross_entropies_at_saturated_outputs(logit):
    """Where the output is 0 or 1 to the last bit, loss and gradient are finite and right."""
    for last, loss, targets in (
        (Dense(1, "sigmoid", use_bias=False), "binary_crossentropy", [[0.0], [1.0]]),
        (Dense(2, "softmax", use_bias=False), "categorical_crossentropy", [[0.0, 1.0], [1.0, 0.0]]),
    ):
        program = nn.compile_model(Sequential([last], 1, loss), until="simplify")["simplify"]
        parameters = [logit, 0.0][: last.units]
        for target, sign in zip(targets, (1, -1), strict=True):
            values = nn.evaluate(program, parameters, [[1.0]], [target])
            expected = np.logaddexp(0, sign * logit) if abs(logit) > 100 else np.log1p(np.exp(-40)) + 40 * (sign > 0)
            assert float(values["loss"]) == pytest.approx(expected, rel=1e-14)
            gradient = np.ravel(values[program.gradient[0].tensor])
            slope = sign / (1 + np.exp(-sign * logit)) if sign * logit > 0 else sign * np.exp(sign * logit)
            assert gradient[0] == pytest.approx(slope, rel=1e-14)


def test_wide_and_deep_parameters_lie_in_order():
    """Those of the deep layers come first, then W, U, which begins with zeros, and b."""
    program = Sequential([nn.WideAndDeep([Dense(3, "relu"), Dense(2)], 1)], 4).describe()
    assert [(tensor.name, tensor.shape) for tensor in program.parameters] == [
        ("W1_1", (3, 4)),
        ("b1_1", (3,)),
        ("W1_2", (2, 3)),
        ("b1_2", (2,)),
        ("W1", (1, 2)),
        ("U1", (1, 4)),
        ("b1", (1,)),
    ]
    assert [tensor.name for tensor in program.parameters if not tensor.penalized] == ["b1_1", "b1_2", "b1"]
    assert program.parameters[5].initial == Initial("constant", 0.0)


@pytest.mark.parametrize(
    ("deep", "message"),
    [
        ([], "layer 2 has no deep layers that change its input"),
        ([nn.Dropout(0.0)], "layer 2 has no deep layers"),
        (Dense(3), "layer 2 needs a list of its deep layers"),
        ([Dense(0)], "the units of layer 2_1 must be a positive integer"),
    ],
)
def test_wide_and_deep_refused(deep, message):
    """What is wrong about a deep layer is told with both numbers."""
    with pytest.raises(ModelError, match=message):
        Sequential([Dense(2), nn.WideAndDeep(deep, 1)], 3)


WIDE_AND_DEEP = [
    ([], [Dense(5, "tanh")], 1, "linear", "mse"),
    ([], [Dense(9, "tanh"), Dense(4, "softplus")], 3, "softmax", "categorical_crossentropy"),
    ([Dense(6, "tanh")], [Dense(70, "tanh"), nn.Dropout(0.5)], 2, "sigmoid", "binary_crossentropy"),
    ([], [nn.WideAndDeep([Dense(5, "tanh")], 4, "tanh")], 1, "linear", "mse"),
]


@pytest.mark.parametrize(
    ("before", "deep", "units", "activation", "loss", "precision"),
    [
        pytest.param(*network, precision, marks=[pytest.mark.thorough] if (number + other) % 2 else [])
        for number, network in enumerate(WIDE_AND_DEEP)
        for other, precision in enumerate(("float64", "float32"))
    ],
)
def test_wide_and_deep(before, deep, units, activation, loss, precision):
    """The output is activation(W h + U x + b) in NumPy, and the gradient is that of central differences."""
    model = Sequential([*before, nn.WideAndDeep(deep, units, activation)], 4, loss)
    compiled = nn.compile_model(model, precision)
    module = nn.build(model, precision)
    check = check_gradient(module, compiled["describe"], compiled["differentiate"])
    assert check.differences is not None
    if before or len(deep) > 1 or isinstance(deep[0], nn.WideAndDeep):
        return
    rng = np.random.default_rng(0)
    parameters, X = rng.normal(size=module.parameter_count), rng.normal(size=(7, 4))
    p = module.unpack(parameters.astype(module.dtype))
    expected = np.tanh(X @ p["W1_1"].T + p["b1_1"]) @ p["W1"].T + X @ p["U1"].T + p["b1"]
    np.testing.assert_allclose(module.predict(parameters, X), expected, rtol=1e-9 if precision == "float64" else 1e-4)

"""Each layer against its formula in NumPy, all of them compiled together, and what they refuse."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen import Dense, Input, ModelError, Network, Sequential
from nncodegen.compiler.check import check_gradient
from tests.support.built import built, stage
from tests.support.models import differences, gradient_of, random_data
from tests.support.reference import trained

pytestmark = pytest.mark.usefixtures("quick_compiler")


def named(program, flat):
    """Parameters by name; a variance is above 0."""
    by_name, start = {}, 0
    for tensor in program.parameters:
        part = flat[start : start + tensor.size]
        if "variance" in tensor.name:
            part[:] = abs(part) + 0.5
        by_name[tensor.name] = np.reshape(part, tensor.shape)
        start += tensor.size
    return by_name


def normalized(v, axes, epsilon=1e-3):
    return (v - v.mean(axis=axes, keepdims=True)) / np.sqrt(v.var(axis=axes, keepdims=True) + epsilon)


def over_both_axes(p, x):
    return normalized(x, (1, 2), 1e-5) + p["beta1"]


def batch_normalized(p, x):
    return p["gamma1"] * (x - p["moving_mean1"]) / np.sqrt(p["moving_variance1"] + 1e-3) + p["beta1"]


def normalized_by_the_batch(p, x):
    return p["gamma1"][:, None] * normalized(x, (0, 2)) + p["beta1"][:, None]


def cubic(p, x):
    z = p["b1"] + np.einsum("ji,ni->nj", p["P1_1"], x) + np.einsum("jik,ni,nk->nj", p["P2_1"], x, x)
    return np.tanh(z + np.einsum("jikl,ni,nk,nl->nj", p["P3_1"], x, x, x))


def radial(p, x):
    return np.exp(-(p["w1"] ** 2) * ((x[:, None] - p["c1"]) ** 2).sum(axis=2))


LAYERS = {
    "layer normalization": (nn.LayerNormalization(), (2, 3), lambda p, x: p["gamma1"] * normalized(x, 2) + p["beta1"]),
    "over both axes": (nn.LayerNormalization((1, 2), 1e-5, scale=False), (2, 3), over_both_axes),
    "batch normalization": (nn.BatchNormalization(frozen=True), (2, 3), batch_normalized),
    "statistics of a batch": (nn.BatchNormalization(axis=1), (2, 3), normalized_by_the_batch),
    "radial basis": (nn.RBF(4), 3, radial),
    "polynomial": (nn.Polynomial(2, 3, "tanh"), 3, cubic),
    "flatten": (nn.Flatten(), (2, 3), lambda p, x: x.reshape(len(x), 6)),
    "reshape": (nn.Reshape((3, -1, 4)), (6, 2, 2), lambda p, x: x.reshape(len(x), 3, 2, 4)),
    "reshape of one": (nn.Reshape((1, 2, 1, 2, 1)), (4, 1), lambda p, x: x.reshape(len(x), 1, 2, 1, 2, 1)),
    "an axis of one more": (nn.Reshape((-1, 1)), 5, lambda p, x: x[:, :, None]),
    "axes of one more": (nn.Reshape((2, 3, 1, 1)), (2, 3), lambda p, x: x[:, :, :, None, None]),
    "axes of one around": (nn.Reshape((1, 5, 1)), 5, lambda p, x: x[:, None, :, None]),
    "axes of one moved": (nn.Reshape((1, 5)), (5, 1), lambda p, x: x.transpose(0, 2, 1)),
    "an axis of one less": (nn.Reshape((5,)), (5, 1), lambda p, x: x[:, :, 0]),
    "nothing but ones": (nn.Reshape((1, 1, 1)), 1, lambda p, x: x[:, None, None]),
    "permute": (nn.Permute((3, 1, 2)), (2, 3, 4), lambda p, x: x.transpose(0, 3, 1, 2)),
    "activation": (nn.Activation("softplus"), 3, lambda p, x: np.logaddexp(0, x)),
    "dense over the last axis": (Dense(2, "tanh"), (2, 3), lambda p, x: np.tanh(x @ p["W1"].T + p["b1"])),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_formulas(kind):
    """The output of a layer is its formula, and its gradient, and that of layers before it, is right."""
    layer, shape, formula = LAYERS[kind]
    model = Sequential([layer, Dense(2, use_bias=False)], shape, name="kind")
    program = model.describe()
    parameters, X, Y = random_data(program, 4)
    p = named(program, parameters)
    x = X.reshape(4, *np.atleast_1d(shape))
    formula_text = formula(p, x)
    weights = p["W2"]
    expected = formula_text.reshape(4, -1) @ weights.reshape(2, -1).T if kind == "flatten" else formula_text @ weights.T
    values = nn.evaluate(program, parameters, X, Y)
    assert values[program.outputs[0].tensor] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    slope = differences(program, parameters, X, Y)
    trained = np.repeat([t.trained for t in program.parameters], [t.size for t in program.parameters])
    formula_text = gradient_of(stage(model), parameters, X, Y) * trained  # statistics lie in the places of moving ones
    assert formula_text == pytest.approx(slope * trained, rel=1e-5, abs=1e-7)


def every():
    """All kinds in one network: tokens, a picture, numbers; a residual layer, and a layer that is applied thrice."""
    tokens, picture, numbers = Input(4, name="tokens"), Input((2, 3), name="picture"), Input(3, name="numbers")
    words = nn.Embedding(7, 3, name="words")
    t = nn.Flatten()(nn.LayerNormalization()(words(tokens)))
    p = nn.concatenate([nn.Permute((2, 1))(picture), nn.Reshape((3, 2))(Dense(6, "tanh")(numbers))], axis=1)
    p = Dense(3)(nn.Flatten()(nn.GaussianNoise(0.1)(p)))
    again = Dense(3, "tanh", name="again")
    h = again(again(again(numbers))) + numbers
    column = nn.Conv1D(1, 3, padding="same")(nn.Reshape((-1, 1))(numbers))  # axes of size 1, moved and joined
    joined_column = nn.MaxPooling1D(3)(
        column * nn.Permute((2, 1))(nn.Reshape((1, 3))(nn.Reshape((3, 1, 1))(again(numbers))))
    )
    joined_column = nn.concatenate([nn.Reshape((1, 1))(nn.GRU(1)(column)), Dense(1, "tanh")(joined_column)], axis=1)
    h = h * nn.Flatten()(nn.GlobalAveragePooling1D()(joined_column))
    h = nn.BatchNormalization(frozen=True)(h) - nn.RBF(3)(h) * nn.Polynomial(3)(nn.Dropout(0.3)(h))
    return Network([tokens, picture, numbers], Dense(2, name="out")(nn.concatenate([t, p, h])), name="every")


EVERY = every()


def data():
    rng = np.random.default_rng(2)
    X = {
        "tokens": rng.integers(0, 7, (70, 4)),
        "picture": rng.normal(size=(70, 2, 3)),
        "numbers": rng.normal(size=(70, 3)),
    }
    return X, rng.normal(size=(70, 2))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_all_are_compiled(precision):
    """Outputs, loss and gradient of the module are those of the steps, for one sample and for many."""
    module, program = built(EVERY, precision, fit=False), EVERY.describe()
    assert check_gradient(module, stage(EVERY, "describe", precision), stage(EVERY, "differentiate", precision))
    X, Y = data()
    columns = np.hstack([np.reshape(values, (70, -1)) for values in X.values()])
    start = module.initial_parameters(1)
    tolerance = {"float64": 1e-11, "float32": 2e-5}[precision]
    for rows in (slice(0, 1), slice(None)):
        values = nn.evaluate(program, start, columns[rows], Y[rows])
        predicted = module.predict(start, {name: part[rows] for name, part in X.items()})
        assert predicted == pytest.approx(values["out"], rel=tolerance, abs=tolerance)
        expected = float(values[program.loss.tensor])
        assert module.loss(start, columns[rows], Y[rows]) == pytest.approx(expected, rel=tolerance)


def test_all_are_trained():
    """A training is that of NumPy, with the same noise, and changes all but the moving statistics."""
    module = built(EVERY, fit=False)
    X, Y = data()
    start = module.initial_parameters(1)
    options = {"optimizer": "adam", "learning_rate": 0.01, "epochs": 2, "batch_size": 32}
    result = module.train(X, Y, start, **options)
    columns = np.hstack([np.reshape(X[tensor.name], (len(Y), -1)) for tensor in EVERY.describe().inputs])
    expected = trained(stage(EVERY, fit=False), start, columns, Y, **options)
    assert result.parameters == pytest.approx(expected, rel=1e-9, abs=1e-12)
    before, after = module.unpack(start), module.unpack(result.parameters)
    kept = [name for name in before if np.array_equal(before[name], after[name])]
    assert kept == [name for name in before if name.startswith("moving")]
    assert len(kept) == 2


def test_derivatives_for_fits():
    """Jacobian and Hessian of a network whose layers are joined and added are those of central differences."""
    numbers = Input(2)
    h = Dense(2, "tanh")(numbers)
    module = built(Network(numbers, Dense(1)(nn.concatenate([h + Dense(2)(h), numbers])), name="fitted"), fit=True)
    X, Y = np.random.default_rng(0).normal(size=(2, 9, 2))
    start, step = module.initial_parameters(1), 1e-6
    ends = [(start + step * e, start - step * e) for e in np.eye(len(start))]
    slopes = [(module.predict(above, X) - module.predict(below, X)) / (2 * step) for above, below in ends]
    assert module.jacobian(start, X) == pytest.approx(np.stack(slopes, axis=-1), rel=1e-6, abs=1e-8)
    rows = [(gradient(module, above, X, Y) - gradient(module, below, X, Y)) / (2 * step) for above, below in ends]
    assert module.hessian(start, X, Y[:, :1]) == pytest.approx(np.stack(rows), rel=1e-6, abs=1e-8)


def gradient(module, parameters, X, Y):
    return module.loss_and_gradient(parameters, X, Y[:, :1])[1]


@pytest.mark.parametrize("value", [7, -1, 2.5])
@pytest.mark.parametrize("rows", [1, 70])
def test_numbers_beyond_an_embedding(value, rows):
    """A number that has no row is an error with its position, wherever it is given, and nothing is computed."""
    module = built(EVERY, fit=False)
    X, Y = data()
    columns = np.hstack([np.reshape(values, (70, -1)) for values in X.values()])[-rows:]
    columns[rows - 1, 2] = value
    start = module.initial_parameters()
    calls = [
        lambda: module.predict(start, columns),
        lambda: module.loss(start, columns, Y[-rows:]),
        lambda: module.train(columns, Y[-rows:], epochs=1),
        lambda: module.train(columns, Y[-rows:], epochs=1, batch_size=1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"X\[{rows - 1}, 2\] is {value}; tokens has whole numbers from 0 to 6"):
            call()


def test_arrays_that_do_not_fit():
    """Arrays by name are checked: their names, their rows, their shapes."""
    module = built(EVERY, fit=False)
    X, _ = data()
    start = module.initial_parameters()
    for bad, message in (
        ({"tokens": X["tokens"]}, "X has no array picture, numbers; it has tokens; expected one for each of tokens, p"),
        ({**X, "numbers": X["numbers"][:5]}, "different numbers of rows: 70 for tokens, 70 for picture, 5 for numbers"),
        ({**X, "picture": X["picture"].transpose(0, 2, 1)}, r"X\['picture'\] has the shape \(70, 3, 2\); .* 2, 3\)"),
        ({**X, "numbers": [["a"] * 3] * 70}, r"X\['numbers'\]\[0, 0\] is 'a'"),
    ):
        with pytest.raises(ValueError, match=message):
            module.predict(start, bad)


x, m = Input(4), Input((2, 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Permute((1, 3))(m), r"layer 1 needs each of the axes 1, 2 once, .* has the shape \(2, 3\)"),
        (lambda: nn.Reshape((4, -1))(m), r"a number of values that fits the shape \(4, -1\), .* shape \(2, 3\)"),
        (lambda: nn.Reshape((-1, -1))(m), "layer 1 has sizes above 0, and -1 at most once"),
        (
            lambda: nn.concatenate([m, x]),
            r"layer 1 needs inputs whose shapes differ in axis 2 alone, .* \(2, 3\), \(4,\)",
        ),
        (lambda: nn.concatenate([x]), "layer 1, Concatenate, needs at least two inputs"),
        (lambda: nn.concatenate([m, m], axis=0), "layer 1 needs an axis from 1 to 2, or from -2 to -1, not 0"),
        (lambda: nn.LayerNormalization(3)(m), "layer 1 needs an axis from 1 to 2, .* not 3"),
        (lambda: nn.LayerNormalization((1, -2))(m), "layer 1 needs axes that are different"),
        (lambda: nn.LayerNormalization(epsilon=0)(m), "the epsilon of layer 1 is a number above 0, not 0"),
        (lambda: nn.BatchNormalization(momentum=-1)(m), "momentum of layer 1 is a number from 0 to 1, not -1"),
        (lambda: nn.Polynomial(2)(m), r"layer 1 needs an input with one axis, but its input has the shape \(2, 3\)"),
        (lambda: nn.Polynomial(2, 20)(x), r"layer 1 has 4\*\*20 products for each unit"),
        (lambda: nn.Embedding(5, 2)(Dense(3)(x)), "layer 2 needs numbers that are an input of the network"),
        (lambda: nn.Embedding(0, 2)(x), "the input_dim of layer 1 must be a positive integer, not 0"),
        (lambda: nn.RBF(0)(x), "the units of layer 1 must be a positive integer"),
    ],
)
def test_refused(build, message):
    """A ModelError says which layer it is, the shape that it got, and what it needs."""
    node = build()
    with pytest.raises(ModelError, match=message):
        Network([tensor for tensor in (x, m) if tensor in inputs_of(node)], node)


def inputs_of(node):
    return (
        [node] if node.layer is None else [source for node_before in node.inputs for source in inputs_of(node_before)]
    )

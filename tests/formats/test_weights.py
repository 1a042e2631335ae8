"""Weights that are given: in a network's description, from scikit-learn and PyTorch, in files of safetensors."""

import json
import math
import struct

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

import nncodegen as nn
from nncodegen import ModelError
from nncodegen.formats.torch.from_torch import ACTIVATION_OF
from tests.support.built import built
from tests.support.torch_modules import Tensor, linear, module

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
LAYERS = [nn.Dense(3, "tanh"), nn.Dense(2)]
W1, b1 = RNG.normal(size=(3, 4)), RNG.normal(size=3)


def predicted(model, inputs=X, precision="float64"):
    """What a network predicts with the parameters that it starts with."""
    compiled = nn.build(model, precision)
    return compiled.predict(compiled.initial_parameters(), inputs)


# --- initial values that are given -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started():
    return nn.build(nn.Sequential(LAYERS, 4, name="started", initial={"W1": W1, "b1": b1.astype(np.float32)}))


def test_given_by_name(started):
    """Values that are given are those at the start, bit for bit; the others are drawn from the seed."""
    first, second = (started.unpack(started.initial_parameters(seed)) for seed in (1, 2))
    assert np.array_equal(first["W1"], W1)
    assert np.array_equal(first["b1"], b1.astype(np.float32))
    assert np.array_equal(second["W1"], W1)
    assert not np.array_equal(first["W2"], second["W2"])


def test_trainings_start_there(started):
    """A training without parameters of its own starts with the given ones, and so does each of many models."""
    still = {"optimizer": "sgd", "learning_rate": 1e-300, "epochs": 1}
    Y = np.zeros((len(X), 2))
    assert np.array_equal(started.unpack(started.train(X, Y, **still).parameters)["W1"], W1)
    many = started.train_many(X, Y, models=3, **still)
    assert all(np.array_equal(started.unpack(parameter)["W1"], W1) for parameter in many.parameters)


def test_given_in_a_flat_array():
    """All values may be given in one array, as a result has them; in single precision they are rounded once."""
    values = RNG.normal(size=23)
    compiled = nn.build(nn.Sequential(LAYERS, 4, name="flat", initial=values), precision="float32")
    assert np.array_equal(compiled.initial_parameters(), values.astype(np.float32))


def test_shown_in_a_notebook():
    """The table of a network says which parameters start with given values."""
    shown = nn.Sequential(LAYERS, 4, initial={"W1": W1})._repr_html_()
    assert shown.count("given") == 1


def test_given_values_are_copied():
    """A network keeps the values that it was given, whatever becomes of the array."""
    copied = W1.copy()
    network = nn.Sequential(LAYERS, 4, initial={"W1": copied})
    copied[:] = 0
    assert np.array_equal(np.frombuffer(network.describe().parameters[0].initial.values).reshape(3, 4), W1)


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ({"W3": W1}, "initial names 'W3', which is no parameter of network; there are: W1, b1, W2, b2"),
        ({"W1": W1.T}, r"the initial W1 must have the shape \(3, 4\), not \(4, 3\)"),
        ({"b1": [1, math.nan, 3]}, "the initial b1 must be finite, but there is a nan among its values"),
        ({"b1": ["1", "2", "3"]}, r"the initial b1 must be an array of real numbers, not \['1', '2', '3'\]"),
        ({"b1": [[1], [2, 3]]}, "the initial b1 must be an array of real numbers"),
        ({"b1": 1j * b1}, "the initial b1 must be an array of real numbers"),
        (np.zeros(22), r"the initial parameters of network must have the shape \(23,\), not \(22,\)"),
    ],
)
def test_refused_initial_values(initial, message):
    """A ModelError says which values do not fit, and what would."""
    with pytest.raises(ModelError, match=message):
        nn.Sequential(LAYERS, 4, initial=initial)


def test_too_large_for_single_precision():
    """A value that single precision cannot hold is refused where that is asked for."""
    network = nn.Sequential(LAYERS, 4, initial={"b1": [1e300, 0, 0]})
    with pytest.raises(ModelError, match="the initial b1 has a value that is too large for float32"):
        nn.build(network, precision="float32")


# --- scikit-learn ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("hidden", "activation", "target"),
    [((5, 3), "tanh", LABELS), ((4,), "logistic", LABELS > 0), ((3,), "relu", np.eye(3)[LABELS][:, :2].astype(int))],
    ids=["three classes", "two classes", "several labels"],
)
def test_classifier_of_sklearn(hidden, activation, target):
    """A network from an MLPClassifier predicts its probabilities, and has its loss."""
    fitted = MLPClassifier(hidden, activation=activation, max_iter=30, random_state=0).fit(X, target)
    expected = fitted.predict_proba(X)
    network = nn.from_sklearn(fitted)
    predicted_values = predicted(network)
    assert predicted_values == pytest.approx(expected[:, -predicted_values.shape[1] :], rel=1e-12, abs=1e-15)
    softmax = np.ndim(target) == 1 and len(np.unique(target)) > 2
    assert network.loss == ("categorical_crossentropy" if softmax else "binary_crossentropy")


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressor_of_sklearn(loss):
    """A network from an MLPRegressor predicts the same, also in single precision."""
    target = np.exp(X[:, :2].sum(axis=1)).astype(np.float32)
    options = {} if loss == "squared_error" else {"loss": loss}
    fitted = MLPRegressor(hidden_layer_sizes=(6,), activation="identity", max_iter=30, random_state=0, **options)
    fitted.fit(X.astype(np.float32), target)
    network = nn.from_sklearn(fitted, name="regressor")
    expected = fitted.predict(X.astype(np.float32))
    assert predicted(network, X.astype(np.float32), "float32")[:, 0] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert network.loss == {"squared_error": "mse", "poisson": "poisson"}[loss]


def test_refused_estimators():
    """What is not fitted, or no such network, is refused with what to do."""
    with pytest.raises(ModelError, match="the MLPRegressor is not fitted: call its fit first"):
        nn.from_sklearn(MLPRegressor())
    with pytest.raises(ModelError, match=r"not a Pipeline; the network in a pipeline is pipeline\[-1\]"):
        nn.from_sklearn(make_pipeline(MLPRegressor()))


# --- PyTorch -----------------------------------------------------------------------------------------------------

U1, U2, c2 = RNG.normal(size=(5, 4)), RNG.normal(size=(3, 5)), RNG.normal(size=3)


def test_stack_of_torch():
    """Linear layers with and without a bias, stacks in stacks and Identity become layers with these weights."""
    inner = module("Sequential", module("Tanh"), module("Identity"), linear(U2, c2))
    stack = module("Sequential", module("Flatten", start_dim=1), linear(U1), inner, module("Softmax", dim=-1))
    network = nn.from_torch(stack)
    assert network.loss == "categorical_crossentropy"
    z = np.tanh(X @ U1.T) @ U2.T + c2
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert predicted(network) == pytest.approx(expected, rel=1e-13)


def test_normalization_of_torch():
    """A BatchNorm1d predicts with its running statistics, its own epsilon, and its weight and bias."""
    rng = np.random.default_rng(3)
    W, (gamma, beta, mean), variance = rng.normal(size=(3, 4)), rng.normal(size=(3, 3)), rng.uniform(0.1, 2, 3)
    running = {"eps": 0.3, "running_mean": Tensor(mean), "running_var": Tensor(variance)}
    normal = (X @ W.T - mean) / np.sqrt(variance + 0.3)
    for affine, expected in (
        ({"weight": Tensor(gamma), "bias": Tensor(beta)}, normal * gamma + beta),
        ({"weight": None, "bias": None}, normal),
    ):
        stack = module("Sequential", linear(W), module("BatchNorm1d", **affine, **running))
        np.testing.assert_allclose(predicted(nn.from_torch(stack)), expected, rtol=1e-12)


def test_dropout_of_torch():
    """A Dropout is one here as well, which does nothing when predicting."""
    stack = module("Sequential", linear(U1), module("Dropout", p=0.25), linear(U2, c2), module("Sigmoid"))
    network = nn.from_torch(stack)
    assert network.layers[1] == nn.Dropout(0.25)
    assert network.loss == "binary_crossentropy"
    values = nn.evaluate(network.describe(), [*U1.ravel(), *U2.ravel(), *c2], X, np.zeros((40, 3)))
    assert values["h3"] == pytest.approx(1 / (1 + np.exp(-(X @ U1.T @ U2.T + c2))), rel=1e-13)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (linear(U1), "from_torch takes a torch.nn.Sequential or another module, not a Linear"),
        (
            module("Sequential", linear(U1), module("Conv3d")),
            "the module Conv3d cannot be taken over; from",
        ),
        (module("Sequential", linear(U1), module("Softmax", dim=0)), "the module Softmax cannot be taken over"),
        (module("Sequential", linear(U1), module("Tanh", package="mine")), "the module Tanh cannot be taken over"),
        (module("Sequential", module("Tanh"), linear(U1)), "the module Tanh has no layer here"),
        (module("Sequential", module("Identity")), "has no Linear"),
        (module("Sequential", linear(U1), linear(U1)), r"the initial W2 must have the shape \(5, 5\), not \(5, 4\)"),
        (module("Sequential", linear(U1), module("ELU", alpha=math.inf)), "ELU has an argument that is not finite"),
    ],
    ids=str,
)
def test_refused_modules(stack, message):
    """A ModelError names the module that cannot be taken over, and says what to do."""
    with pytest.raises(ModelError, match=message):
        nn.from_torch(stack)


def activations(torch):
    """Every activation of PyTorch that is known, with arguments that are not the usual ones."""
    tnn = torch.nn
    return [
        tnn.ReLU(),
        tnn.SELU(),
        tnn.SiLU(),
        tnn.Sigmoid(),
        tnn.Softsign(),
        tnn.Tanh(),
        tnn.CELU(0.7),
        tnn.ELU(1.3),
        tnn.GELU(),
        tnn.GELU("tanh"),
        tnn.Hardshrink(0.3),
        tnn.Hardsigmoid(),
        tnn.Hardswish(),
        tnn.Hardtanh(-0.4, 0.6),
        tnn.LeakyReLU(0.2),
        tnn.LogSigmoid(),
        tnn.Mish(),
        tnn.ReLU6(),
        tnn.Softplus(2),
        tnn.Softshrink(0.25),
        tnn.Tanhshrink(),
        tnn.Threshold(0.1, -0.2),
        tnn.Softmax(1),
        tnn.Sequential(tnn.Tanh(), tnn.ELU()),
    ]


def test_activations_of_torch():
    """Every activation of PyTorch that is known is the same function here."""
    torch = pytest.importorskip("torch")
    points = np.linspace(-7, 7, 56).reshape(14, 4)
    names = {type(activation).__name__ for activation in activations(torch)}
    assert names >= {*ACTIVATION_OF}
    for activation in activations(torch):
        stack = torch.nn.Sequential(torch.nn.Linear(4, 5), activation).double()
        network = nn.from_torch(stack)
        with torch.no_grad():
            expected = stack(torch.from_numpy(points)).numpy()
        flat = np.concatenate([parameter.detach().numpy().ravel() for parameter in stack.parameters()])
        assert nn.evaluate(network.describe(), flat, points, np.zeros((14, 5)))["h1"] == pytest.approx(
            expected, rel=1e-12, abs=1e-14
        )
        assert np.array_equal(np.frombuffer(network.describe().parameters[0].initial.values), flat[:20])


# --- safetensors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_both_ways(started, tmp_path, kind):
    """What is written comes back with the same bits, and others read arrays with the names of the parameters."""
    numpy = pytest.importorskip("safetensors.numpy")
    parameters = RNG.normal(size=started.parameter_count).astype(kind)
    nn.save_safetensors(tmp_path / "w.safetensors", started, parameters)
    assert np.array_equal(nn.load_safetensors(tmp_path / "w.safetensors", started), parameters)
    tensors = numpy.load_file(tmp_path / "w.safetensors")
    assert {name: array.shape for name, array in tensors.items()} == started.parameter_shapes
    assert all(np.array_equal(array, started.unpack(parameters)[name]) for name, array in tensors.items())
    assert {array.dtype for array in tensors.values()} == {np.dtype(kind)}


def test_other_names(tmp_path):
    """Parameters may have other names in the file, such as those of PyTorch; half precision is read."""
    numpy = pytest.importorskip("safetensors.numpy")
    network = nn.Sequential(LAYERS, 4)
    names = {"W1": "0.weight", "b1": "0.bias", "W2": "2.weight", "b2": "2.bias"}
    shapes = {"W1": (3, 4), "b1": (3,), "W2": (2, 3), "b2": (2,)}
    arrays = {name: RNG.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    numpy.save_file({names[name]: array for name, array in arrays.items()}, tmp_path / "half")
    flat = nn.load_safetensors(tmp_path / "half", network, names)
    assert np.array_equal(flat, np.concatenate([array.ravel() for array in arrays.values()]))
    assert flat.dtype == np.float64
    nn.save_safetensors(tmp_path / "again", network, flat, names)
    assert set(numpy.load_file(tmp_path / "again")) == set(names.values())
    assert (
        nn.Sequential(LAYERS, 4, initial=flat).describe().parameters[1].initial.values
        == arrays["b1"].astype(np.float64).tobytes()
    )


def test_scalars(perceptron, tmp_path):
    """The parameters of a formula are tensors without an axis."""
    numpy = pytest.importorskip("safetensors.numpy")
    start = perceptron.initial_parameters()
    nn.save_safetensors(tmp_path / "w", perceptron, start)
    assert numpy.load_file(tmp_path / "w")["w45"].shape == ()
    assert np.array_equal(nn.load_safetensors(tmp_path / "w", perceptron), start)


def raw(header, content):
    """A file of safetensors with a header of one's own."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def entry(kind, shape, size):
    return {"dtype": kind, "shape": shape, "data_offsets": [0, size]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as safetensors"),
        (b"\xff" * 8, "cannot be read as safetensors"),
        (raw({"b": entry("F64", [2**40], 8)}, bytes(8)), "cannot be read as safetensors"),
        (raw({"b": entry("F64", [1], 8)}, bytes(8)), "lacks 'a'; it holds: b"),
        (raw({"a": entry("F64", [2], 16)}, bytes(16)), r"holds 'a' in the shape \(2,\); a has the shape \(\)"),
        (raw({"a": entry("I64", [], 8)}, bytes(8)), "holds 'a' as int64, not as floating-point numbers"),
        (raw({"a": entry("BF16", [], 2)}, bytes(2)), "holds 'a' in bfloat16, which is not read: convert it to"),
        (raw({"a": entry("F8_E4M3", [], 1)}, bytes(1)), "w holds 'a' in float8_e4m3, which is not read"),
        (raw({"a": entry("F64", [], 8)}, struct.pack("<d", math.inf)), "'a' in .* must be finite"),
        (
            raw({"a": entry("F64", [], 8), "b": {**entry("F64", [1], 8), "data_offsets": [8, 16]}}, bytes(16)),
            "also holds 'b', for which",
        ),
    ],
)
def test_refused_files(tmp_path, content, message):
    """A file that is damaged, or holds something else, is refused with what is wrong."""
    pytest.importorskip("safetensors")
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        nn.load_safetensors(tmp_path / "w", nn.Model("one", parameters={"a": 1}, loss="(a - 1)**2"))


def test_refused_writing(started, tmp_path):
    """Parameters and names that do not fit are refused, and a file that is there stays as it is."""
    pytest.importorskip("safetensors")
    file = tmp_path / "w"
    file.write_text("precious")
    for model, parameters, names, message in (
        (started, np.zeros(4), None, r"parameters must have the shape \(23,\), not \(4,\)"),
        (started, np.full(23, np.nan), None, "parameters must be finite"),
        (started, np.zeros(23), {"W9": "a"}, "names has 'W9', which is no parameter"),
        (started, np.zeros(23), {"W1": "b1"}, "two parameters have the same name in the file"),
        (object(), np.zeros(23), None, "is neither a module of nncodegen.build nor a model"),
    ):
        with pytest.raises(ModelError, match=message):
            nn.save_safetensors(file, model, parameters, names)
    assert file.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_module_of_a_given_start():
    """Networks that differ in their initial values alone are the same model: results of one go on in the other."""
    first, other = (built(nn.Sequential(LAYERS, 4, name="twin", initial=np.full(23, value))) for value in (0.0, 1.0))
    whole = first.train(X, X[:, :2], epochs=4)
    half = first.train(X, X[:, :2], epochs=2)
    assert np.array_equal(other.train(X, X[:, :2], epochs=4, resume=half).parameters, whole.parameters)

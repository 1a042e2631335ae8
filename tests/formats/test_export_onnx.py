"""What is exported as ONNX predicts in other runtimes what we predict."""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import symbols

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import nncodegen as nn
from nncodegen.compiler.describe import describe
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.describe.grammar import NAMES, parse
from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.ir.functions import Primitive
from nncodegen.errors import ModelError
from nncodegen.estimators.network import Description, Ensemble, Kind
from nncodegen.formats.export.request import Request
from nncodegen.formats.export.subject import exportable
from nncodegen.formats.onnx.writing import files
from tests.support.built import built
from tests.support.models import classifier, random_data
from tests.support.onnx_files import TOLERANCES, agree, distance, evaluated, exported, loaded, predictions
from tests.support.search import examples

PRECISIONS = ("float32", "float64")

x, y, t, w = symbols("x y t w")


def operators(model):
    return [node.op_type for node in model.graph.node]


def formula(output, **values):
    """A model with the inputs x and y, and parameters by name."""
    expression = parse(output, {"x": x, "y": y, **{name: sympy.Symbol(name) for name in values}}, "the output")
    parameters = {sympy.Symbol(name): value for name, value in values.items()} or {w: 1}
    return nn.Model("formula", (x, y), t, parameters, expression + (0 if values else w), (expression - t) ** 2 + w * 0)


# --- networks ----------------------------------------------------------------------------------------------------

EXPECTED = {
    "relu": ["Relu"], "sigmoid": ["Sigmoid"], "tanh": ["Tanh"], "softmax": ["Softmax"], "linear": [],
    "leaky_relu": ["LeakyRelu"], "elu": ["Elu"], "selu": ["Selu"], "softplus": ["Softplus"],
    "softsign": ["Softsign"], "silu": ["Sigmoid", "Mul"],
    "gelu": ["Mul", "Mul", "Erf", "Add", "Mul"], "hard_sigmoid": ["HardSigmoid"], "hard_swish": ["HardSigmoid", "Mul"],
    "thresholded_relu": ["ThresholdedRelu"], "celu": ["Elu"], "exponential": ["Exp"],
}  # fmt: skip
"""The operators that a reader expects, in float32."""

SINGLE = {"Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Erf", "Elu", "Selu",
          "Softplus", "Softsign"}  # fmt: skip
"""Operators that not every onnxruntime has in float64."""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax"])
def test_activations(name, precision):
    """Every activation gives our predictions, for small and large arguments; a layer is a Gemm and its operator."""
    hidden = "tanh" if name in ("softmax", "exponential") else name
    model = nn.Sequential([nn.Dense(4, hidden), nn.Dense(3, name)], inputs=5)
    parameters, X, _ = random_data(describe(model), samples=8)
    largest = {"float32": 1, "float64": 100}[precision]  # the sums before an activation are rounded, too
    proto = agree(model, X * np.geomspace(1e-6, largest, 8)[:, None], parameters, precision)
    if precision == "float32":
        if name in EXPECTED:
            both = [*EXPECTED[hidden], "Gemm", *EXPECTED[name]]
            assert sorted(operators(proto)) == sorted(["Gemm", *both])
    else:
        assert not SINGLE.intersection(operators(proto))
        assert name != "silu" or "Sigmoid" not in operators(proto)  # older ones would make both one
    assert operators(proto).count("Gemm") == 2


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, precision):
    """With every loss the outputs are ours, and the file holds nothing of the loss."""
    last = "softmax" if loss == "categorical_crossentropy" else "sigmoid" if loss == "binary_crossentropy" else "linear"
    model = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(3, last)], inputs=5, loss=loss)
    parameters, X, _ = random_data(describe(model))
    proto = agree(model, X, parameters, precision)
    assert len(operators(proto)) == (3 if last == "linear" else 4)


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_compiled_modules(precision):
    """The file predicts what the compiled module predicts, for any number of rows."""
    model = classifier(6)
    module = built(model, precision)
    parameters = module.initial_parameters(1)
    loaded_model = loaded(exported(model, precision, parameters))
    X = np.random.default_rng(0).normal(size=(9, 7)).astype(precision)
    for rows in (X, X[:1]):
        for predicted in predictions(loaded_model, rows):
            assert distance(predicted, module.predict(parameters, rows)) <= TOLERANCES[precision]
    assert all(predicted.shape == (0, 3) for predicted in predictions(loaded_model, X[:0]))


def test_what_a_reader_expects():
    """A network is Gemms with its weights by name, as they lie in the model, and the operators of its activations."""
    model = nn.Sequential([nn.Dense(32, "relu"), nn.Dropout(0.2), nn.Dense(10, "softmax")], inputs=64, name="digits")
    parameters, X, _ = random_data(describe(model))
    proto = agree(model, X, parameters, "float32")
    assert operators(proto) == ["Gemm", "Relu", "Gemm", "Softmax"]
    assert {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer} == {
        "W1": (32, 64),
        "b1": (32,),
        "W3": (10, 32),
        "b3": (10,),
    }
    assert [node.output[0] for node in proto.graph.node] == ["z1", "h1", "z3", "output"]


def test_tokens_are_whole_numbers():
    """What an Embedding alone reads is int64, also where formulas read it as well; columns beside others stay real."""
    tokens, level = nn.Input(4, name="tokens"), nn.Input(4, name="level")
    rows = nn.Flatten()(nn.Embedding(6, 3)(tokens))
    cases = (
        (nn.Network(tokens, nn.Dense(2)(rows), name="alone"), onnx.TensorProto.INT64, {"Gather": 1, "Cast": 0}),
        (
            nn.Network(tokens, nn.Dense(2)(nn.concatenate([rows, nn.Dense(2)(tokens)])), name="both"),
            onnx.TensorProto.INT64,
            {"Gather": 1, "Cast": 1},
        ),
        (
            nn.Network([tokens, level], nn.Dense(2)(nn.concatenate([rows, level])), name="beside"),
            onnx.TensorProto.DOUBLE,
            {"Gather": 1, "Cast": 1},
        ),
    )
    for model, kind, counts in cases:
        parameters, _, _ = random_data(describe(model))
        X = np.random.default_rng(1).integers(0, 6, (5, sum(tensor.size for tensor in describe(model).inputs)))
        proto = agree(model, X, parameters)
        assert proto.graph.input[0].type.tensor_type.elem_type == kind
        assert {name: operators(proto).count(name) for name in counts} == counts
        again = nn.from_onnx(proto)
        start = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in again.describe().parameters])
        assert distance(evaluated(again, start, X.astype(float)), evaluated(model, parameters, X.astype(float))) < 1e-13


def test_what_is_printed(tmp_path):
    """What an export returns is printed as its paths and its report, not as the bytes of the files."""
    model = nn.Sequential([nn.Dense(200), nn.Dense(50)], inputs=100, name="wide")
    parameters, _, _ = random_data(describe(model))
    written = nn.export(model, "onnx", tmp_path, parameters=parameters)
    assert repr(written) == str(written) == f"{tmp_path / 'wide.onnx'}\n{written.report}"
    assert "bytes" in written.report
    assert len(written.files["wide.onnx"]) > 240_000
    read = nn.from_onnx(written.paths[0]).describe()
    assert len(repr(read)) < 5_000  # not the bytes of its weights either


def test_nothing_is_unrolled():
    """The number of nodes does not depend on the width of a layer."""
    narrow, wide = (nn.Sequential([nn.Dense(n, "gelu"), nn.Dense(n)], inputs=n) for n in (2, 50))
    counts = [len(loaded(exported(m, "float64", random_data(describe(m))[0])).graph.node) for m in (narrow, wide)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_linear_path_beside_hidden_layers(precision):
    """A WideAndDeep predicts the same, without the noise of training."""
    layers = [nn.GaussianNoise(0.1), nn.WideAndDeep([nn.Dense(4, "gelu"), nn.Dropout(0.1)], 3, "softmax")]
    model = nn.Sequential(layers, inputs=2, loss="categorical_crossentropy")
    parameters, X, _ = random_data(describe(model))
    assert operators(agree(model, X, parameters, precision)).count("Gemm") == 3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_mean_of_networks(precision):
    """The mean of networks of two kinds, as estimators and tables have it, is one graph, however many they are."""
    last = (3, "softmax")
    plain = Description(4, ((5, "relu"), (6, "tanh"), last), "mse")
    wide = Description(4, ((5, "gelu"), last), "mse", skip=True)
    few, many = (Ensemble((Kind(plain, count, 0.4), Kind(wide, 3, 0.6)), 2.0, -1.0) for count in (2, 20))
    parameters, X, _ = random_data(describe(many))
    proto = agree(many, X, parameters, precision)
    assert len(operators(proto)) == len(operators(loaded(exported(few, precision, random_data(describe(few))[0]))))


class Mixed:
    """A layer of steps that no usual layer has.

    Sums over squares, maxima, weights read crosswise, softmax over units that are not the last axis, products of three
    factors, values without an index.
    """

    def describe(self, call):
        x, (n, i), j = call.x, call.x.indices, call.index(3)
        A, v, c = (call.parameter(name, of, "zeros") for name, of in (("A", (i, j)), ("v", (j,)), ("c", ())))
        norm = call.step("norm", (n,), x**2, "sum", (i,))
        top = call.step("top", (n,), x - c, "max", (i,))
        score = call.step("score", (j, n), 2 * A * x * v, "sum", (i,))
        share = call.step("share", (j, n), score - top, "softmax", (j,))
        total = call.step("total", (n,), 3 * v, "sum", (j, i))  # i occurs on no side
        return call.output(share * sympy.sqrt(norm + 1) + v + c + total, (n, j))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_any_steps(precision):
    """Sums, maxima, normalizations and broadcasts over any axes, not only those of our layers, are written."""
    model = nn.Sequential([nn.Dense(4, "tanh"), Mixed(), nn.Dense(2)], inputs=5)
    parameters, X, _ = random_data(describe(model))
    proto = agree(model, X, parameters, precision)
    assert {"Einsum", "ReduceMax", "ReduceSum", "Softmax", "Transpose"} <= set(operators(proto))


# --- formulas ----------------------------------------------------------------------------------------------------

RANGES = {
    "asin": (-1, 1), "acos": (-1, 1), "atanh": (-0.999, 0.999), "acosh": (1, 50), "log": (1e-3, 50), "sqrt": (0, 50),
    "log1p": (-0.99, 50), "log2": (0.01, 50), "log10": (0.01, 50), "Sqrt": (0, 50), "Cbrt": (0, 50),
    "log_one_minus_exp": (1e-6, 40), "bose_einstein": (0.1, 40), "coth": (0.1, 9), "csch": (0.1, 9), "csc": (0.1, 3),
    "cot": (0.1, 3),
}  # fmt: skip
SEVERAL = {"atan2": 2, "hypot": 2, "max": 2, "min": 2, "Max": 2, "Min": 2, "logaddexp": 2, "xlogy": 2,
           "faddeeva_real": 2, "faddeeva_imag": 2, "exponential_ratio": 3}  # fmt: skip
NO_NUMBER = ("And", "Or", "Not", "ITE", "Xor", "Eq", "Ne", "Piecewise")
CALLED = [
    name
    for name, value in NAMES.items()
    if name not in NO_NUMBER and not (isinstance(value, type) and issubclass(value, Primitive))
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CALLED)
def test_functions(name, precision):
    """Every function that a formula may call is written with operators that give its value."""
    arguments = ", ".join(("x", "y", "2")[: SEVERAL.get(name, 1)])
    low, high = RANGES.get(name, (-6, 6))
    X = np.stack([np.linspace(low, high, 41), np.linspace(0.1, 3, 41)], axis=1)
    X[7, 0] = max(low, 1e-9)
    proto = agree(formula(f"{name}({arguments})"), X, precision=precision)
    assert precision == "float32" or not SINGLE.intersection(operators(proto))


CHOICES = [
    "Piecewise((x, And(x > 0, y < 1)), (y, Or(x < -1, Eq(y, 2))), (x*y, Not(x < -2)))",
    "Piecewise((1, Ne(x, y)), (2, True))",
    "Piecewise((x**2, x >= y), (y, x <= -1))",
    "ITE(x > y, x > 1, y > 1)",
    "Xor(x > 1, y > 1)",
]


@pytest.mark.parametrize("text", CHOICES)
def test_conditions(text):
    """Conditions choose the same branch, and there is no number where no branch applies."""
    if not text.startswith("Piecewise"):
        text = f"Piecewise((x, {text}), (y, True))"
    corners = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    agree(formula(text), [[a, b] for a in corners for b in corners])


TAILS = [
    ("sigmoid(x)", -40), ("1/(1 + exp(-x))", -300), ("softplus(x)", -60), ("log(1 + exp(x))", 800),
    ("erfc(x)", 12), ("erf(x)", 1e-12), ("exp(x) - 1", 1e-12), ("log(1 + x)", 1e-12), ("sinh(x)", 1e-9),
    ("tanh(x)", 1e-9), ("cosh(x)", 710.3), ("sinh(x)", -710.3), ("asinh(x)", -1e-9), ("asinh(x)", 1e200),
    ("acosh(x)", 1e200), ("atanh(x)", -1 + 2**-40), ("atan(x)", 1e-9), ("atan(x)", -1e9), ("asin(x)", 1 - 2**-40),
    ("acos(x)", 1 - 2**-40), ("hypot(x, 3*x)", 1e200), ("Cbrt(x)", 1e300), ("x**5", 1e50), ("x**(-3)", 1e-50),
    ("sqrt(x)/x**(3/2)", 1e-5), ("x**1.7", 1e-100), ("2**x", 900.5), ("log(1 - exp(-x))", 1e-12),
    ("log_softplus(x)", -50), ("log_cosh(x)", 1e-8),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at"), TAILS)
def test_digits(text, at):
    """In float64 both runtimes keep the digits of a formula where it is tiny, huge, or near a limit."""
    model = nn.Model("tail", x, t, {w: 0}, text, (w - t) ** 2)
    exact = evaluate(describe(model), [mpmath.mpf(0)], [[mpmath.mpf(at)]], [[0]], digits=60)
    expected = float(exact["output"][0])
    for predicted in predictions(loaded(exported(model)), np.array([[float(at)]])):
        assert predicted[0, 0] == pytest.approx(expected, rel=1e-13)


NUMBERS = st.sampled_from(["x", "y", "a", "b", "0.3", "2", "pi"])


def combined(parts):
    """A formula of formulas, each of which stays finite for the data."""
    once = st.sampled_from(["sin({})", "tanh({})", "sigmoid({})", "softplus({})", "atan({})", "relu({})", "abs({})",
                            "sqrt(1 + ({})**2)", "exp(-({})**2)", "log(1 + ({})**2)", "erf({})", "-({})",
                            "1/(1 + exp({}))", "({})**2"])  # fmt: skip
    twice = st.sampled_from(["({}) + ({})", "({}) - ({})", "({})*({})", "({})/(1 + ({})**2)", "max({}, {})",
                             "Piecewise(({0}, {0} > {1}), ({1}, True))", "atan2({}, 2 + sin({}))"])  # fmt: skip
    return st.builds(str.format, once, parts) | st.builds(str.format, twice, parts, parts)


@given(text=st.recursive(NUMBERS, combined, max_leaves=8))
@examples(60)
def test_random_formulas(text):
    """Whatever the functions are put together to, other runtimes predict what we do."""
    X = np.random.default_rng(0).uniform(-1.5, 1.5, (7, 2))
    agree(formula(text, a=0.7, b=-1.2), X)


def test_many_outputs_and_one_that_depends_on_nothing():
    """The outputs of a formula lie side by side; one that is a constant is there for each row."""
    a, b = symbols("a b")
    model = nn.Model("several", (x, y), (t, w), {a: 2, b: 3}, (a * x + b * y, b), (a - t) ** 2)
    proto = agree(model, [[1, 2], [3, 4], [5, 6]])
    assert [dim.dim_param or dim.dim_value for dim in proto.graph.output[0].type.tensor_type.shape.dim] == ["N", 2]
    assert proto.graph.output[0].doc_string == "column 0: output1\ncolumn 1: output2"


def test_names_of_people():
    """Names that no identifier may be are replaced, and the texts still say which column is which."""
    alpha, beta = symbols("α x[0]")
    model = nn.Model("größe", (alpha, x), t, {beta: 2}, beta * alpha + x, (beta - t) ** 2)
    proto = agree(model, [[1, 2], [3, 4]])
    assert proto.graph.input[0].name == "X"
    assert proto.graph.input[0].doc_string == "column 0: α\ncolumn 1: x"
    assert all(name.isidentifier() and name.isascii() for node in proto.graph.node for name in node.output)


# --- the file ----------------------------------------------------------------------------------------------------


def test_the_file_describes_itself():
    """Inputs and outputs have names, shapes with a batch dimension, and texts; the producer and the opset are named."""
    model = classifier(4)
    subject = exportable(model, "float32", random_data(describe(model))[0])
    subject = nn.Exportable(model, "float32", subject.parameters, tuple("abcdefg"), ("red", "green", "blue"))
    first, second = (files(Request(subject, "colors")) for _ in range(2))
    assert first == second  # the same bytes
    loaded_model = loaded(first)
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (loaded_model.graph.input[0], loaded_model.graph.output[0])
    ]
    assert shapes == [["N", 7], ["N", 3]]
    assert (loaded_model.graph.input[0].name, loaded_model.graph.output[0].name) == ("x", "output")
    assert loaded_model.graph.output[0].doc_string == "column 0: red\ncolumn 1: green\ncolumn 2: blue"
    assert loaded_model.producer_name == "nncodegen"
    assert [opset.version for opset in loaded_model.opset_import] == [13]
    assert "opset 13" in first.report
    assert "x (N, 7)" in first.report


def test_export(tmp_path):
    """``nn.export`` writes the file, with a formula's own values where no parameters are given, which it says."""
    a, b = symbols("a b")
    model = nn.Model("line", x, t, {a: 2, b: 1}, a * x + b)
    written = nn.export(model, "onnx", tmp_path / "here")
    assert [path.name for path in written.paths] == ["line.onnx"]
    assert "none were given" in written.report
    np.testing.assert_array_equal(predictions(loaded(written), np.array([[3.0]]))[0], [[7.0]])
    trained = nn.export(model, "onnx", tmp_path / "there", parameters=[1, 1])
    assert "none were given" not in trained.report
    np.testing.assert_array_equal(predictions(loaded(trained), np.array([[3.0]]))[0], [[4.0]])


REFUSED = [
    (nn.Sequential([nn.Dense(2)], inputs=3), "has not been trained: its parameters W1 start with random numbers"),
    (nn.Model("valley", (), (), {w: 1}, None, w**2), "has no inputs, so there is nothing to predict"),
    (nn.Model("loss", x, t, {w: 1}, None, (w * x - t) ** 2), "its output depends on t, which is known in training"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_refused(model, message):
    """What cannot be written is refused with what was wrong and what to do."""
    with pytest.raises(ModelError, match=message):
        files(Request(exportable(model, None, None), "model"))

"""Networks from ONNX predict what ONNX's reference does, start with the weights of the file, and train on."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler

import nncodegen as nn
from nncodegen import ModelError
from tests.support.built import compiled_until, stage
from tests.support.models import differences, gradient_of

pytest.importorskip("onnx")
from tests.support.onnx_models import DOUBLE, FLOAT, INT64, STRING, keras, mlp, model, reference

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(5)
X = RNG.normal(size=(30, 4))


def start_of(program):
    """The values that the parameters of a file start with."""
    return np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])


def predicted(graph, inputs):
    """What a network computes with the weights of its file, by the evaluator, as (N, columns)."""
    program = graph.describe()
    inputs = np.asarray(inputs, dtype=float).reshape(len(inputs), -1)
    targets = np.zeros((len(inputs), sum(tensor.size for tensor in program.targets)))
    values = nn.evaluate(program, start_of(program), inputs, targets)
    return np.concatenate([values[output.element.tensor].reshape(len(inputs), -1) for output in graph.outputs], axis=1)


# --- stacks of layers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["torch", "tf"])
def stack(request):
    """A file, in one of the forms in which other programs write layers, and its network and module."""
    proto = mlp(np.random.default_rng(1), (4, 16, 8, 3), ("Tanh", "Relu", "Softmax"), request.param)
    graph = nn.from_onnx(proto, name=f"stack_{request.param}")
    return proto, graph, nn.build(graph)


def test_stack_predicts(stack):
    """The module predicts what the reference does; the parameters are the weights of the file, by name and in order."""
    proto, graph, module = stack
    start = module.initial_parameters()
    assert module.predict(start, X) == pytest.approx(reference(proto, X), rel=1e-13, abs=1e-15)
    from onnx import numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert module.parameter_shapes == {name: array.shape for name, array in arrays.items()}
    assert np.array_equal(start, np.concatenate([array.ravel() for array in arrays.values()]))
    assert module.output_names == ("y[0]", "y[1]", "y[2]")
    assert graph.loss == "categorical_crossentropy"


def test_stack_is_compiled_as_layers(stack):
    """A chain of Gemm, or of MatMul and Add, becomes the products that layers become: as many operations and steps."""
    _, graph, _ = stack
    layers = [nn.Dense(16, "tanh"), nn.Dense(8, "relu"), nn.Dense(3, "softmax")]
    expected = compiled_until(nn.Sequential(layers, 4, "categorical_crossentropy"))
    assert compiled_until(graph).findings.operations[1] == expected.findings.operations[1]
    assert len(stage(graph).steps) == len(expected["simplify"].steps)


def test_stack_trains_on(stack):
    """Training starts with the weights of the file, takes labels, and gives what layers with these weights give."""
    _, _, module = stack
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    layers = [nn.Dense(16, "tanh"), nn.Dense(8, "relu"), nn.Dense(3, "softmax")]
    same = nn.build(nn.Sequential(layers, 4, "categorical_crossentropy", name="same"))
    weights = module.unpack(module.initial_parameters())
    turned = [array if array.ndim == 1 or "weight" in name else array.T for name, array in weights.items()]
    start = np.concatenate([array.ravel() for array in turned])
    options = {"optimizer": "adam", "learning_rate": 0.01, "epochs": 10, "batch_size": 10}
    result, other = module.train(X, labels, **options), same.train(X, labels, parameters=start, **options)
    assert result.history == pytest.approx(other.history, rel=1e-10)
    assert result.history[-1] < result.history[0]


@pytest.mark.parametrize("opset", [13, 18])
def test_what_tf2onnx_writes_for_keras(opset):
    """Layers of Keras predict what the reference does, and all their weights are parameters."""
    proto = keras(np.random.default_rng(2), opset)
    graph, inputs = nn.from_onnx(proto), RNG.normal(size=(5, 4, 3))
    assert predicted(graph, inputs) == pytest.approx(reference(proto, inputs), rel=1e-12)
    weights = sum(
        np.prod(tensor.dims) for tensor in proto.graph.initializer if tensor.dims and tensor.data_type == DOUBLE
    )
    assert len(start_of(graph.describe())) == weights


def test_single_precision(tmp_path):
    """A file in single precision is read from its path, and gives the same in a module of single precision."""
    proto = mlp(RNG, (4, 6, 1), ("Sigmoid", "Identity"), kind=np.float32)
    (tmp_path / "file.onnx").write_bytes(proto.SerializeToString())
    module = nn.build(nn.from_onnx(tmp_path / "file.onnx", name="single"), precision="float32")
    expected = reference(proto, X.astype(np.float32))
    assert module.predict(module.initial_parameters(), X) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert module.parameter_shapes == {"0.weight": (1, 6)} | {
        "0.weight": (6, 4),
        "0.bias": (6,),
        "2.weight": (1, 6),
        "2.bias": (),
    }


# --- graphs of other forms ---------------------------------------------------------------------------------------


def weights(**shapes):
    rng = np.random.default_rng(2)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def integers(**values):
    return {name: np.array(value, dtype=np.int64) for name, value in values.items()}


GRAPHS = {
    "branches": model(
        [("Slice", "x zero two axis", "a", {}), ("Slice", "x two end axis", "b", {}), ("MatMul", "a W", "p", {}),
         ("Relu", "p", "q", {}), ("Concat", "q b", "c", {"axis": 1}), ("Gemm", "c V v", "y", {"transB": 1})],
        weights(W=(2, 3), V=(2, 5), v=(2,)) | integers(zero=[0], two=[2], end=[4], axis=[1]),
    ),
    "residual": model(
        [("Gemm", "x A", "h", {}), ("Gemm", "h B b", "p", {}), ("Tanh", "p", "q", {}), ("Gemm", "q C", "r", {}),
         ("Add", "h r", "s", {}), ("MatMul", "s D", "t", {}), ("Elu", "t", "e", {}), ("Add", "s e", "y", {})],
        weights(A=(4, 5), B=(5, 7), b=(7,), C=(7, 5), D=(5, 5)),
    ),
    "normalized": model(
        [("MatMul", "x W", "h", {}), ("ReduceMean", "h", "m", {"axes": [-1]}), ("Sub", "h m", "d", {}),
         ("Pow", "d two", "q", {}), ("ReduceMean", "q", "v", {"axes": [-1]}), ("Add", "v eps", "e", {}),
         ("Sqrt", "e", "s", {}), ("Div", "d s", "n", {}), ("Mul", "n g", "o", {}), ("Add", "o b", "y", {})],
        weights(W=(4, 6), g=(6,), b=(6,)) | {"two": np.array(2.0), "eps": np.array(1e-5)},
    ),
    "views": model(
        [("Shape", "x", "n", {}), ("Gather", "n first", "batch", {"axis": 0}), ("Unsqueeze", "batch zero", "r", {}),
         ("Concat", "r rest", "shape", {"axis": 0}), ("Reshape", "x shape", "f", {}), ("MatMul", "f W", "h", {}),
         ("Reshape", "h three", "k", {}), ("MatMul", "k V", "p", {}), ("Transpose", "p", "t", {"perm": [0, 2, 1]}),
         ("ReduceMax", "t", "m", {"axes": [2], "keepdims": 0}), ("Flatten", "t", "u", {}),
         ("Concat", "u m", "y", {"axis": -1})],
        weights(W=(12, 8), V=(2, 3)) | integers(first=0, zero=[0], rest=[12], three=[-1, 4, 2]),
        inputs=[("x", ("N", 3, 4))],
    ),
    "tied": model(
        [("MatMul", "x W", "h", {}), ("Tanh", "h", "t", {}), ("Transpose", "W", "V", {}), ("MatMul", "t V", "p", {}),
         ("MatMul", "p W", "q", {}), ("Mul", "q t", "y", {})],
        weights(W=(4, 3)),
    ),
    "heads": model(
        [("Gemm", "x A a", "h", {}), ("Sigmoid", "h", "p", {}), ("Gemm", "p B", "l", {}), ("LogSoftmax", "l", "y", {}),
         ("ReduceSum", "h axis", "z", {"keepdims": 0})],
        weights(A=(4, 5), a=(5,), B=(5, 3)) | integers(axis=[1]),
        outputs=[("y", FLOAT), ("z", FLOAT)],
    ),
    "order": model(
        [("MatMul", "x W", "h", {}), ("Gather", "h picked", "g", {"axis": 1}), ("Softmax", "g", "y", {"axis": 1})],
        weights(W=(4, 5)) | integers(picked=[4, 1, -5]),
    ),
    "folded": model(  # Dense on two axes, as tf2onnx writes it for Keras: rows and steps are one axis for a while
        [("Shape", "x", "n", {}), ("Gather", "n kept", "k", {"axis": 0}), ("Concat", "k five", "s", {"axis": 0}),
         ("Reshape", "x rows", "r", {}), ("MatMul", "r W", "p", {}), ("Tanh", "p", "q", {}),
         ("Reshape", "q s", "h", {}), ("Add", "h b", "z", {}), ("Reshape", "z flat", "f", {}),
         ("MatMul", "f V", "y", {})],
        weights(W=(4, 5), b=(5,), V=(15, 2)) | integers(kept=[0, 1], five=[5], rows=[-1, 4], flat=[-1, 15]),
        inputs=[("x", ("N", 3, 4))],
    ),
    "unrolled": model(  # a recurrent layer step by step: gates are parts of h R, and make the next h
        [("Split", "x", "a b", {"axis": 1}), ("MatMul", "a W", "p", {}), ("MatMul", "zeros R", "o", {}),
         ("Add", "p o", "q", {}), ("Split", "q", "c d", {"axis": 1}), ("Tanh", "c", "e", {}), ("Sigmoid", "d", "f", {}),
         ("Mul", "e f", "h", {}), ("MatMul", "h R", "r", {}), ("MatMul", "b W", "s", {}), ("Add", "r s", "t", {}),
         ("Split", "t", "u v", {"axis": 1}), ("Tanh", "u", "g", {}), ("Sigmoid", "v", "i", {}),
         ("Mul", "g i", "y", {})],
        weights(W=(2, 6), R=(3, 6)) | {"zeros": np.zeros((1, 3))},
        opset=12,
    ),
    "mixed radix": model(
        [("MatMul", "x W", "h", {}), ("Reshape", "h a", "p", {}), ("Tanh", "p", "q", {}), ("Reshape", "q b", "r", {}),
         ("MatMul", "r V", "y", {})],
        weights(W=(4, 6), V=(2, 2)) | integers(a=[-1, 2, 3], b=[0, 3, 2]),
    ),
}  # fmt: skip
"""Graphs that are no stacks of layers: what is cut, joined, added across layers, reshaped, used twice."""


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name):
    """A graph predicts what the reference does, and its gradient is that of differences but for what is kept."""
    proto = GRAPHS[name]
    graph = nn.from_onnx(proto)
    inputs = RNG.normal(size=(6, *(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim[1:])))
    expected = [reference(proto, inputs, output=k) for k in range(len(proto.graph.output))]
    assert predicted(graph, inputs) == pytest.approx(np.concatenate(expected, axis=1), rel=1e-11, abs=1e-12)
    program = graph.describe()
    flat, targets = inputs.reshape(6, -1), RNG.normal(size=(6, sum(target.size for target in program.targets)))
    trained = np.concatenate([np.full(target.size, target.trained) for target in program.parameters])
    numeric = np.where(trained, differences(program, start_of(program), flat, targets), 0)
    gradient = gradient_of(nn.compile_model(graph, until="simplify")["simplify"], start_of(program), flat, targets)
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["views", "heads"])
def test_nodes_in_any_order(name):
    """Nodes that stand before what they read are sorted: the graph computes what it does in order."""
    proto = type(GRAPHS[name])()
    proto.CopyFrom(GRAPHS[name])
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[1::2], *nodes[::2][::-1]])
    inputs = RNG.normal(size=(6, *(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim[1:])))
    expected = predicted(nn.from_onnx(GRAPHS[name]), inputs)
    np.testing.assert_array_equal(predicted(nn.from_onnx(proto), inputs), expected)


@pytest.mark.parametrize("name", ["branches", "residual", "views"])
def test_compiled_graphs(name):
    """The compiled module of such a graph predicts the same, for few samples and for many."""
    proto = GRAPHS[name]
    module = nn.build(nn.from_onnx(proto, name=name))
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    for samples in (1, 80):
        inputs = RNG.normal(size=(samples, *shape))
        prediction = module.predict(module.initial_parameters(), inputs.reshape(samples, -1))
        assert prediction == pytest.approx(reference(proto, inputs), rel=1e-11, abs=1e-12)


def test_rows_that_are_folded():
    """Where axes were folded into the rows of a batch, only what is done to each row alone is read."""
    rows = integers(rows=[-1, 4], one=[1]) | weights(W=(4, 4))
    for nodes, message in (
        ([("Reshape", "x rows", "y", {})], "the output 'y' .* has several rows for each sample"),
        (
            [("Reshape", "x rows", "r", {}), ("Shape", "r", "s", {}), ("Reshape", "x s", "y", {})],
            "the output 'y' .* has several rows",
        ),
        ([("Reshape", "x rows", "r", {}), ("ReduceSum", "r", "y", {})], "reduces the rows of a batch"),
        (
            [
                ("Reshape", "x rows", "r", {}),
                ("ReduceMax", "x", "m", {"axes": [1], "keepdims": 0}),
                ("Add", "r m", "y", {}),
            ],
            "rows of a batch meet rows",
        ),
    ):
        with pytest.raises(nn.ModelError, match=message):
            nn.from_onnx(model(nodes, rows, inputs=[("x", ("N", 3, 4))]))


def test_samples_between_other_axes():
    """A Flatten of samples that other axes precede is read where these have one value, and refused where not."""
    turned = ("Transpose", "x", "t", {"perm": [1, 2, 0, 3]})
    for shape, axis in ((("N", 1, 1, 4), 3), (("N", 1, 1, 4), -1), (("N", 2, 1, 4), 3), (("N", 1, 1, 4), 2)):
        nodes = [turned, ("Flatten", "t", "f", {"axis": axis}), ("MatMul", "f W", "y", {})]
        file = model(nodes, weights(W=(4, 4)), inputs=[("x", shape)])
        if shape[1] == 1 and axis != 2:
            inputs = RNG.normal(size=(5, 1, 1, 4))
            assert predicted(nn.from_onnx(file), inputs) == pytest.approx(reference(file, inputs), rel=1e-12)
        else:
            with pytest.raises(nn.ModelError, match="mixes the rows of a batch with their values"):
                nn.from_onnx(file)


def test_shapes_are_computed():
    """Sums, products, quotients and remainders of integers in the file are those of ONNX; samples stay the rows."""
    numbers = {"p": [7, -7, 7, -7], "q": [2, 2, -2, -2]}
    for kind, attributes, expected in (
        ("Add", {}, [9, -5, 5, -9]),
        ("Sub", {}, [5, -9, 9, -5]),
        ("Mul", {}, [14, -14, -14, 14]),
        ("Div", {}, [3, -3, -3, 3]),
        ("Mod", {}, [1, 1, -1, -1]),
        ("Mod", {"fmod": 1}, [1, -1, 1, -1]),
    ):
        file = onnx_of_integers(kind, attributes, numbers)
        assert reference(file, np.zeros((1, 1)))[0] == pytest.approx(expected)
        assert predicted(nn.from_onnx(file), np.zeros((1, 1)))[0] == pytest.approx(expected)
    for nodes, message in (
        ([("Mod", "p zero", "m", {})], "divides an integer by 0"),
        ([("Shape", "x", "s", {}), ("Add", "s p", "m", {})], "computes with the number of samples"),
        ([("Mod", "x x", "m", {})], "remainder of values that are not integers in the file"),
    ):
        nodes = [*nodes, ("Cast", "m", "c", {"to": DOUBLE}), ("Mul", "x c", "t", {}), ("MatMul", "t W", "y", {})]
        with pytest.raises(nn.ModelError, match=message):
            nn.from_onnx(model(nodes, integers(p=[7], zero=[0]) | weights(W=(1, 1)), inputs=[("x", ("N", 1))]))


def onnx_of_integers(kind, attributes, numbers):
    """A file that adds what an operator computes of integers to an input."""
    nodes = [
        (kind, "p q", "m", attributes),
        ("Cast", "m", "c", {"to": DOUBLE}),
        ("MatMul", "x W", "t", {}),
        ("Add", "t c", "y", {}),
    ]
    return model(nodes, integers(**numbers) | weights(W=(1, 4)), inputs=[("x", ("N", 1))])


def test_names_of_parts():
    """A weight that a Concat cuts has a parameter for each part, whose name says which; nothing else is changed."""
    program = nn.from_onnx(GRAPHS["branches"]).describe()
    assert [str(parameter) for parameter in program.parameters] == [
        "W[2, 3]",
        "V[:,0:3][2, 3]",
        "V[:,3:5][2, 2]",
        "v[2]",
    ]
    assert [str(parameter) for parameter in program.inputs] == ["x[0:2][n, 2]", "x[2:4][n, 2]"]


def test_copies():
    """Where a tensor meets itself under another index, an identity matrix copies it, which is never trained."""
    program = nn.from_onnx(GRAPHS["residual"]).describe()
    assert [(parameter.name, parameter.trained) for parameter in program.parameters if parameter.shape == (5, 5)] == [
        ("D", True),
        ("identity5", False),
    ]


def test_several_inputs():
    """The columns of X are those of one input after the other."""
    proto = model(
        [("MatMul", "b W", "p", {}), ("Add", "p a", "q", {}), ("Mul", "q c", "y", {})],
        weights(W=(3, 2)),
        [("a", ("N", 2)), ("b", ("N", 3)), ("c", ("N", 1))],
    )
    a, b, c = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 3)), RNG.normal(size=(5, 1))
    graph = nn.from_onnx(proto)
    assert predicted(graph, np.hstack([a, b, c])) == pytest.approx(reference(proto, a, b, c), rel=1e-13)
    assert [str(tensor) for tensor in graph.describe().inputs] == ["a[n, 2]", "b[n, 3]", "c[n]"]


def test_batch_normalization_is_folded():
    """At rest, mean and variance go into scale and bias, which are trained; a Dropout does nothing."""
    arrays = weights(W=(4, 5), s=(5,), b=(5,), m=(5,)) | {"v": RNG.uniform(0.5, 2, 5)}
    proto = model(
        [
            ("MatMul", "x W", "h", {}),
            ("BatchNormalization", "h s b m v", "n", {"epsilon": 0.01}),
            ("Dropout", "n", "d mask", {}),
            ("Relu", "d", "y", {}),
        ],
        arrays,
    )
    graph = nn.from_onnx(proto)
    assert predicted(graph, X) == pytest.approx(reference(proto, X), rel=1e-12, abs=1e-14)
    assert [(str(parameter), parameter.trained) for parameter in graph.describe().parameters] == [
        ("W[4, 5]", True),
        ("s[5]", True),
        ("b[5]", True),
    ]


def test_weights_that_are_shared():
    """A weight that is folded in one place and stands as it is in another becomes two parameters."""
    arrays = weights(W=(4, 5), s=(5,)) | {"v": RNG.uniform(0.5, 2, 5)}
    proto = model(
        [("MatMul", "x W", "h", {}), ("BatchNormalization", "h s s s v", "n", {}), ("Mul", "n s", "y", {})], arrays
    )
    graph = nn.from_onnx(proto)
    assert predicted(graph, X) == pytest.approx(reference(proto, X), rel=1e-9)
    assert [parameter.name for parameter in graph.describe().parameters] == ["W", "s", "s'", "s''"]


def test_what_prepares_inputs_is_kept():
    """Scaling before the first layer is not trained, nor is what ``frozen`` names; where there is no layer, it is."""
    arrays = weights(mean=(4,), W=(4, 3), b=(3,)) | {"scale": RNG.uniform(0.5, 2, 4)}
    nodes = [("Sub", "x mean", "c", {}), ("Div", "c scale", "z", {})]
    proto = model([*nodes, ("MatMul", "z W", "p", {}), ("Add", "p b", "y", {})], arrays)
    trained = {
        parameter.name: parameter.trained for parameter in nn.from_onnx(proto, frozen=["b"]).describe().parameters
    }
    assert trained == {"mean": False, "W": True, "b": False, "scale": False}
    assert predicted(nn.from_onnx(proto), X) == pytest.approx(reference(proto, X), rel=1e-12)
    alone = model([*nodes[:1], ("Div", "c scale", "y", {})], {key: arrays[key] for key in ("mean", "scale")})
    assert all(parameter.trained for parameter in nn.from_onnx(alone).describe().parameters)
    with pytest.raises(ModelError, match="frozen names 'c', which is no parameter; there are: mean, W, b, scale"):
        nn.from_onnx(proto, frozen=["c"])


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_versions(opset):
    """Operators mean what they do in the version of the file: where axes stand, and what a softmax runs over."""
    axes = {"axes": [1]}
    by_attribute = opset < 13
    nodes = [
        ("Unsqueeze", "x" if by_attribute else "x one", "u", axes if by_attribute else {}),
        ("MatMul", "u W", "m", {}),
        ("Squeeze", "m" if by_attribute else "m one", "s", axes if by_attribute else {}),
        ("Clip", "s" if opset < 11 else "s low high", "c", {"min": -1.0, "max": 1.5} if opset < 11 else {}),
        ("ReduceSum", "c" if by_attribute else "c one", "r", axes if by_attribute else {}),
        ("ReduceMean", "c" if opset < 18 else "c one", "a", axes if opset < 18 else {}),
        (
            "Slice",
            "c" if opset < 10 else "c one three one",
            "t",
            {"starts": [1], "ends": [3], "axes": [1]} if opset < 10 else {},
        ),
        ("Concat", "t r a", "k", {"axis": 1}),
        ("Softmax", "k", "y", {}),
    ]
    constants = weights(W=(4, 3)) | integers(one=[1], three=[3]) | {"low": np.array(-1.0), "high": np.array(1.5)}
    proto = model(nodes, constants, opset=opset)
    assert predicted(nn.from_onnx(proto), X) == pytest.approx(reference(proto, X), rel=1e-12)


HEADS = {"Softmax": "categorical_crossentropy", "LogSoftmax": "nll", "Sigmoid": "binary_crossentropy", "Relu": "mse"}


@pytest.mark.parametrize("operator", HEADS)
def test_usual_losses(operator):
    """The loss follows from what the network ends with, and holds however large the logits are; or it is given."""
    proto = model([("MatMul", "x W", "z", {}), (operator, "z", "y", {})], weights(W=(4, 3)))
    graph = nn.from_onnx(proto)
    assert graph.loss == HEADS[operator]
    assert nn.from_onnx(proto, loss="mae").loss == "mae"
    program = graph.describe()
    loss = nn.evaluate(
        nn.compile_model(graph, until="stabilize")["stabilize"], 1e4 * start_of(program), X, [[0, 1, 0]] * 30
    )
    assert np.isfinite(loss["loss"])


def test_chosen_outputs():
    """``outputs`` names tensors of the graph, such as the logits; whole numbers and texts are no outputs by default."""
    proto = model(
        [("MatMul", "x W", "z", {}), ("Softmax", "z", "y", {}), ("ArgMax", "y", "label", {"axis": 1})],
        weights(W=(4, 3)),
        outputs=[("label", INT64), ("y", FLOAT)],
    )
    assert predicted(nn.from_onnx(proto, outputs=["z"]), X) == pytest.approx(X @ weights(W=(4, 3))["W"], rel=1e-13)
    assert predicted(nn.from_onnx(proto), X) == pytest.approx(reference(proto, X, output=1), rel=1e-13)
    with pytest.raises(ModelError, match="no node of the ONNX file gives 'w'; its outputs are: label, y"):
        nn.from_onnx(proto, outputs=["w"])


def test_fixed_batches():
    """A first axis of a fixed size above one is not guessed at: it numbers samples, or belongs to each of them."""
    nodes = [("MatMul", "x W", "z", {}), ("Softmax", "z", "y", {})]
    proto = model(nodes, weights(W=(4, 3)), [("x", (30, 4))])
    with pytest.raises(ModelError, match="the first axis of the input 'x' of the ONNX file has size 30: give"):
        nn.from_onnx(proto)
    rows = nn.from_onnx(proto, batch=True)
    assert predicted(rows, X) == pytest.approx(reference(proto, X), rel=1e-13)
    whole = nn.from_onnx(proto, batch=False)
    assert predicted(whole, X.reshape(1, 120))[0] == pytest.approx(reference(proto, X).ravel(), rel=1e-13)
    imported = nn.from_onnx(model(nodes, weights(W=(4, 3)), [("x", (1, 4))]))
    assert predicted(imported, X) == pytest.approx(reference(proto, X), rel=1e-13)


# --- scikit-learn ------------------------------------------------------------------------------------------------


CLASSIFIED = {
    "two classes": ([("ml/LinearClassifier", "x", "label scores", {
        "coefficients": [-1.0, 2.0, 0.5, 0.0, 1.0, -2.0, -0.5, 0.0], "intercepts": [0.5, -0.5],
        "classlabels_strings": ["a", "b"], "post_transform": "LOGISTIC"}),
        ("ml/ZipMap", "scores", "y", {"classlabels_strings": ["a", "b"]})], STRING),
    "normalized": ([("ml/Scaler", "x", "s", {"offset": [0.5, 0.0, 1.0, -1.0], "scale": [2.0]}),
        ("ml/Normalizer", "s", "n", {"norm": "L2"}), ("ml/LinearRegressor", "n", "y", {
        "coefficients": [1.0, 2.0, 3.0, 4.0, 0.5, 0.6, 0.7, 0.8], "targets": 2})], None),
}  # fmt: skip


def test_linear_models():
    """What skl2onnx writes for linear models: labels are left out, probabilities are columns, scalers are kept."""
    nodes, label = CLASSIFIED["two classes"]
    proto = model(nodes, {}, outputs=[("label", label), ("y", FLOAT)])
    proto.graph.output[1].type.ClearField("tensor_type")
    graph = nn.from_onnx(proto)
    z = X @ np.array([1.0, -2.0, -0.5, 0.0]) - 0.5
    assert predicted(graph, X) == pytest.approx(np.column_stack([expit(-z), expit(z)]), rel=1e-13)
    assert [str(parameter) for parameter in graph.describe().parameters] == [
        "ml/LinearClassifier label scores.coefficients[2, 4]",
        "ml/LinearClassifier label scores.intercepts[2]",
    ]
    nodes, _ = CLASSIFIED["normalized"]
    graph = nn.from_onnx(model(nodes, {}))
    s = (X - [0.5, 0, 1, -1]) * 2
    expected = s / np.linalg.norm(s, axis=1, keepdims=True) @ np.array([[1, 2, 3, 4], [0.5, 0.6, 0.7, 0.8]]).T
    assert predicted(graph, X) == pytest.approx(expected, rel=1e-5, abs=1e-6)  # attributes are in single precision
    assert [parameter.trained for parameter in graph.describe().parameters] == [False, True]


def estimators():
    return [
        MLPClassifier((5,), random_state=0),
        MLPRegressor(hidden_layer_sizes=(5, 4), activation="tanh", random_state=0),
        make_pipeline(StandardScaler(), MLPClassifier((5,), activation="logistic", random_state=0)),
        LogisticRegression(),
        make_pipeline(MaxAbsScaler(), SGDClassifier(loss="log_loss", random_state=0)),
        LinearRegression(),
        make_pipeline(MinMaxScaler(), Normalizer(), RobustScaler(), Ridge()),
    ]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "estimator",
    estimators(),
    ids=lambda estimator: type(estimator).__name__ if not hasattr(estimator, "steps") else estimator.steps[-1][0],
)
def test_estimators_of_sklearn(estimator, classes):
    """Networks, linear models and scalers in pipelines, as skl2onnx writes them, predict what scikit-learn does."""
    skl2onnx = pytest.importorskip("skl2onnx")
    inputs = X.astype(np.float32)
    target = (X[:, 0] > 0).astype(int) + (classes - 2) * (X[:, 1] > 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(inputs, target)
        graph = nn.from_onnx(skl2onnx.to_onnx(estimator, inputs[:1]))
    if hasattr(estimator, "predict_proba"):
        expected = estimator.predict_proba(inputs)
    else:
        expected = estimator.predict(inputs).reshape(len(X), -1)
    assert predicted(graph, inputs) == pytest.approx(expected, rel=1e-4, abs=1e-5)


CLASSIFIERS = [
    (MLPClassifier((5,), random_state=0), 2),
    (MLPClassifier((5,), random_state=0), 3),
    (LogisticRegression(), 2),
    (LogisticRegression(), 3),
    (SGDClassifier(loss="log_loss", random_state=0), 2),
]


@pytest.mark.parametrize(("estimator", "classes"), CLASSIFIERS, ids=str)
def test_classifiers_of_sklearn_train_on(estimator, classes):
    """The loss of a classifier is scikit-learn's, whatever the precision of its file. It and its gradient are finite
    where probabilities are 0 and 1 in double precision, as with columns that were not scaled."""
    skl2onnx = pytest.importorskip("skl2onnx")
    target = (X[:, 0] > 0).astype(int) + (classes - 2) * (X[:, 1] > 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, target)
        files = [skl2onnx.to_onnx(estimator, X[:1].astype(kind)) for kind in (np.float32, np.float64)]
    labels, far = np.eye(classes)[target[::-1]], []
    for file in files:
        graph = nn.from_onnx(file)
        assert graph.loss == "categorical_crossentropy"
        program = nn.compile_model(graph, until="simplify")["simplify"]
        start = start_of(program)
        near = nn.evaluate(program, start, X / 20, labels)["loss"]
        assert near == pytest.approx(log_loss(target[::-1], estimator.predict_proba(X / 20)), rel=1e-4)
        far.append(nn.evaluate(program, start, 1e5 * X, labels)["loss"])
        gradient = gradient_of(program, start, 1e5 * X, labels)
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 100
    assert far[0] == pytest.approx(far[1], rel=1e-4)
    assert far[0] > 1000


def test_probabilities_of_two_classes():
    """1 - p and p, as skl2onnx writes them, are two classes: the loss is theirs, and labels are targets."""
    nodes = [
        ("Gemm", "x W b", "z", {}),
        ("Sigmoid", "z", "p", {}),
        ("Sub", "unity p", "q", {}),
        ("Concat", "q p", "y", {"axis": 1}),
    ]
    proto = model(nodes, weights(W=(4, 1), b=(1,)) | {"unity": np.array([1.0])})
    graph = nn.from_onnx(proto, name="two_classes")
    assert predicted(graph, X) == pytest.approx(reference(proto, X), rel=1e-12)
    assert [parameter.name for parameter in graph.describe().parameters] == ["W", "b"]
    assert graph.loss == "categorical_crossentropy"
    module = nn.build(graph)
    labels = (X[:, 0] > 0).astype(int)
    p = reference(proto, X)[np.arange(30), labels]
    assert module.loss(module.initial_parameters(), X, labels) == pytest.approx(-np.log(p).mean(), rel=1e-12)


# --- PyTorch -----------------------------------------------------------------------------------------------------


def modules(torch):
    tnn = torch.nn

    class Skip(tnn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = tnn.Linear(4, 6), tnn.Linear(6, 8), tnn.Linear(8, 6), tnn.Linear(10, 2)

        def forward(self, x):
            h = self.a(x)
            h = h + self.c(torch.relu(self.b(h)))
            return self.d(torch.cat([x, h], 1))

    layers = [tnn.Linear(4, 8), tnn.BatchNorm1d(8), tnn.GELU(), tnn.Dropout(0.1), tnn.Linear(8, 5), tnn.SiLU()]
    activations = [
        tnn.CELU(0.7), tnn.GELU("tanh"), tnn.Hardsigmoid(), tnn.Hardswish(), tnn.Hardtanh(-0.4, 0.6), tnn.Mish(),
        tnn.LogSigmoid(), tnn.PReLU(), tnn.PReLU(5), tnn.ReLU6(), tnn.SELU(), tnn.Softplus(), tnn.Softshrink(0.25),
    ]  # fmt: skip
    stacks = [tnn.Sequential(tnn.Linear(4, 5), activation, tnn.Linear(5, 2)) for activation in activations]
    return [tnn.Sequential(*layers, tnn.Linear(5, 3), tnn.Softmax(1)), Skip(), *stacks]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dynamo", "count"), [(False, None), (True, 2), pytest.param(True, None, marks=pytest.mark.thorough)]
)
def test_modules_of_torch(dynamo, count):
    """What both exporters of PyTorch write for feed-forward networks predicts the same.

    The newer one takes seconds for all activations: daily it writes two networks with several of them.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    inputs = torch.from_numpy(X.astype(np.float32))
    for module in modules(torch)[:count]:
        module.eval()
        if dynamo:
            shapes = ({0: torch.export.Dim("batch")},)
            proto = torch.onnx.export(
                module, (inputs[:2],), dynamo=True, dynamic_shapes=shapes, verbose=False
            ).model_proto
        else:
            proto = exported(torch, module, inputs[:2])
        with torch.no_grad():
            expected = module(inputs).numpy()
        assert predicted(nn.from_onnx(proto), X) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_torch_with_weights_beside_the_file(tmp_path):
    """The exporter of PyTorch writes larger weights beside the file; windows and recurrences are read from there."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    tnn = torch.nn
    module = tnn.Sequential(
        tnn.Conv2d(1, 16, 3, padding=1),
        tnn.BatchNorm2d(16),
        tnn.PReLU(16),
        tnn.MaxPool2d(2),
        tnn.Conv2d(16, 6, 3, groups=2, stride=2),
        tnn.Flatten(),
        tnn.Linear(24, 3),
        tnn.Softmax(1),
    ).eval()
    inputs, path = torch.randn(3, 1, 10, 10), tmp_path / "network.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(module, (inputs,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert (tmp_path / "network.onnx.data").exists()
    graph = nn.from_onnx(path)
    assert graph.loss == "categorical_crossentropy"
    with torch.no_grad():
        expected = module(inputs).numpy()
    assert predicted(graph, inputs.numpy()) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [1, 3])
def test_attention_of_the_older_exporter(batch):
    """Shapes that the older exporter computes of attention are read: of heads beside the samples, and remainders."""
    torch = pytest.importorskip("torch")

    class Attending(torch.nn.Module):
        """Attention, as a module or as a function."""

        def __init__(self, kind):
            super().__init__()
            self.kind, self.project = kind, torch.nn.Linear(8, 24)
            self.own = torch.nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            if self.kind != "function":
                return self.own(x, x, x, need_weights=self.kind == "weights")[0]
            rows, steps, width = x.shape
            q, k, v = (piece.view(rows, steps, 2, 4).transpose(1, 2) for piece in self.project(x).chunk(3, -1))
            attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return attended.transpose(1, 2).reshape(rows, steps, width)

    for module in map(Attending, ("module", "weights", "function")):
        inputs = torch.randn(batch, 5, 8, dtype=torch.float64)
        module = module.double().eval()
        with torch.no_grad():
            expected = module(inputs).numpy()
        predicted_values = predicted(nn.from_onnx(exported(torch, module, inputs)), inputs.numpy())
        assert predicted_values.reshape(expected.shape) == pytest.approx(expected, rel=1e-11, abs=1e-11)


def exported(torch, module, inputs):
    """What the older exporter writes."""
    import io

    import onnx

    file = io.BytesIO()
    axes = {"x": {0: "batch"}}
    torch.onnx.export(module, (inputs,), file, dynamo=False, dynamic_axes=axes, input_names=["x"], opset_version=17)
    return onnx.load_model_from_string(file.getvalue())


def test_doubles():
    """Files in double precision keep their digits."""
    proto = mlp(RNG, (4, 5, 2), ("Softplus", "Softsign"))
    assert proto.graph.output[0].type.tensor_type.elem_type == DOUBLE
    assert predicted(nn.from_onnx(proto), X) == pytest.approx(reference(proto, X), rel=1e-13)

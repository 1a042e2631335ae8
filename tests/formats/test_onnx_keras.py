"""Graphs of the forms that tf2onnx writes for layers of Keras, made here by hand, compute what these layers do."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.special import ndtr

import nncodegen as nn
from nncodegen import ModelError
from tests.support.models import differences, gradient_of
from tests.support.onnx_models import DOUBLE, model, reference

RNG = np.random.default_rng(4)
INT32, INT64 = TensorProto.INT32, TensorProto.INT64


def weights(**shapes):
    return {name: RNG.normal(size=shape) for name, shape in shapes.items()}


def integers(**values):
    return {name: np.array(value, dtype=np.int64) for name, value in values.items()}


def graph(nodes, constants, shape=(4,), kind=DOUBLE):
    """A graph of one input and one output in double precision."""
    return model(nodes, constants, [("x", ("N", *shape))], [("y", DOUBLE)], opset=17, kind=kind)


def evaluated(proto, X, **options):
    """What a network computes with the values of its file, (N, columns), and its program."""
    program = nn.from_onnx(proto, **options).describe()
    start = [value for tensor in program.parameters for value in np.frombuffer(tensor.initial.values)]
    inputs, columns = X.reshape(len(X), -1).astype(float), sum(tensor.size for tensor in program.targets)
    values = nn.evaluate(program, start, inputs, np.zeros((len(X), columns)))
    outputs = [values[output.tensor].reshape(len(X), -1) for output in program.outputs]
    return np.concatenate(outputs, axis=1), program, np.array(start)


W = weights(W=(4, 5), V=(5, 2))
X = RNG.normal(size=(6, 4))


def test_gelu_and_celu():
    """Erfc and Expm1 are no operators of ONNX; tf2onnx takes them from TensorFlow as they are."""
    z = X @ W["W"]
    nodes = [
        ("MatMul", "x W", "z", {}),
        ("Mul", "half z", "h", {}),
        ("Neg", "z", "m", {}),
        ("Mul", "m root", "s", {}),
        ("Erfc", "s", "e", {}),
        ("Mul", "h e", "g", {}),
        ("MatMul", "g V", "y", {}),
    ]
    proto = graph(nodes, W | {"half": np.float64(0.5), "root": np.sqrt(np.float64(0.5))})
    assert evaluated(proto, X)[0] == pytest.approx(z * ndtr(z) @ W["V"], rel=1e-13)
    nodes = [
        ("MatMul", "x W", "z", {}),
        ("Max", "z zero", "p", {}),
        ("Min", "z zero", "q", {}),
        ("Expm1", "q", "e", {}),
        ("Add", "p e", "g", {}),
        ("MatMul", "g V", "y", {}),
    ]
    proto = graph(nodes, W | {"zero": np.float64(0)})
    assert evaluated(proto, X)[0] == pytest.approx(np.where(z > 0, z, np.expm1(z)) @ W["V"], rel=1e-13)


FORMS = {
    "RepeatVector": (
        [("MatMul", "x W", "h", {}), ("Unsqueeze", "h one", "u", {}), ("Tile", "u repeats", "t", {}),
         ("MatMul", "t V", "p", {}), ("Reshape", "p flat", "y", {})],
        W | integers(one=[1], repeats=[1, 3, 1], flat=[-1, 6]), (4,),
    ),
    "UpSampling1D": (
        [("Unsqueeze", "x two", "u", {}), ("Tile", "u repeats", "t", {}), ("Reshape", "t shape", "r", {}),
         ("Reshape", "r flat", "f", {}), ("MatMul", "f U", "y", {})],
        weights(U=(12, 2)) | integers(two=[2], repeats=[1, 1, 2, 1], shape=[-1, 6, 2], flat=[-1, 12]), (3, 2),
    ),
    "UpSampling2D": (
        [("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}),
         ("Resize", "t roi scales", "r", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                                       "nearest_mode": "floor"}),
         ("Transpose", "r", "b", {"perm": [0, 2, 3, 1]}), ("Reshape", "b flat", "f", {}), ("MatMul", "f U", "y", {})],
        weights(U=(48, 2)) | {"scales": np.array([1, 1, 2, 3], np.float32), "roi": np.zeros(0, np.float32)}
        | integers(flat=[-1, 48]), (2, 2, 2),
    ),
    "Conv1D": (
        [("Transpose", "x", "t", {"perm": [0, 2, 1]}), ("Unsqueeze", "t two", "u", {}),
         ("Conv", "u K b", "c", {"pads": [0, 1, 0, 1], "strides": [1, 2], "kernel_shape": [1, 3]}),
         ("Squeeze", "c two", "s", {}), ("Transpose", "s", "p", {"perm": [0, 2, 1]}), ("Relu", "p", "r", {}),
         ("GlobalAveragePool", "r", "g", {}), ("Flatten", "g", "y", {})],
        weights(K=(3, 2, 1, 3), b=(3,)) | integers(two=[2]), (5, 2),
    ),
    "DepthwiseConv2D": (
        [("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}), ("Conv", "t K", "c", {"group": 2, "auto_pad": "SAME_UPPER"}),
         ("MaxPool", "c", "m", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
         ("AveragePool", "m", "a", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}),
         ("Pad", "a pads", "p", {}), ("Reshape", "p flat", "f", {}), ("MatMul", "f U", "y", {})],
        weights(K=(4, 1, 2, 2), U=(48, 2)) | integers(pads=[0, 0, 1, 0, 0, 0, 0, 1], flat=[-1, 48]), (4, 5, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    """A form predicts what ONNX's reference does, and its gradient is that of differences."""
    nodes, constants, shape = FORMS[name]
    if name == "DepthwiseConv2D":  # of (4, 4, 5) there are (4, 2, 3), (4, 2, 3), (4, 3, 4)
        assert constants["U"].shape == (4 * 3 * 4, 2)
    proto = graph(nodes, constants, shape)
    inputs = RNG.normal(size=(4, *shape))
    values, program, start = evaluated(proto, inputs)
    assert values == pytest.approx(reference(proto, inputs), rel=1e-11, abs=1e-12)
    assert all(tensor.trained for tensor in program.parameters)
    flat, targets = inputs.reshape(4, -1), RNG.normal(size=values.shape)
    numeric = differences(program, start, flat, targets)
    derived = nn.compile_model(nn.from_onnx(proto), until="simplify")["simplify"]
    assert gradient_of(derived, start, flat, targets) == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def looped(reset, backwards=False, until=5.0):
    """A GRU of Keras, or a SimpleRNN, as a Loop: it counts in two ways, reads a sequence by a Gather, and asks in each
    round whether it goes on. Weights are states that do not change; times come first."""
    info = helper.make_tensor_value_info
    units, gates = 3, 3 if reset else 1
    nodes = [
        helper.make_node("Gather", ["sequence", "time"], ["x_t"]),
        helper.make_node("Add", ["time", "one"], ["time_next"]),
        helper.make_node("Cast", ["time_next"], ["time_real"], to=TensorProto.DOUBLE),
        helper.make_node("Less", ["time_real", "five"], ["more"]),
        helper.make_node("Cast", ["round"], ["round_real"], to=TensorProto.DOUBLE),
        helper.make_node("Less", ["round_real", "five"], ["within"]),
        helper.make_node("And", ["more", "within"], ["on"]),
        helper.make_node("MatMul", ["x_t", "kernel"], ["p"]),
        helper.make_node("Add", ["p", "bias"], ["q"]),
        helper.make_node("MatMul", ["h", "recurrent"], ["r"]),
    ]
    if reset:
        nodes += [
            helper.make_node("Split", ["q"], ["q0", "q1", "q2"], axis=-1),
            helper.make_node("Split", ["r"], ["r0", "r1", "r2"], axis=-1),
            helper.make_node("Add", ["q0", "r0"], ["a0"]),
            helper.make_node("Sigmoid", ["a0"], ["z"]),
            helper.make_node("Add", ["q1", "r1"], ["a1"]),
            helper.make_node("Sigmoid", ["a1"], ["s"]),
            helper.make_node("Mul", ["s", "r2"], ["m"]),
            helper.make_node("Add", ["q2", "m"], ["a2"]),
            helper.make_node("Tanh", ["a2"], ["g"]),
            helper.make_node("Sub", ["unity", "z"], ["rest"]),
            helper.make_node("Mul", ["rest", "g"], ["new"]),
            helper.make_node("Mul", ["z", "h"], ["old"]),
            helper.make_node("Add", ["old", "new"], ["out"]),
        ]
    else:
        nodes += [helper.make_node("Add", ["q", "r"], ["a"]), helper.make_node("Tanh", ["a"], ["out"])]
    nodes.append(helper.make_node("Identity", ["out"], ["h_next"]))
    shapes = {"kernel": (2, gates * units), "recurrent": (units, gates * units), "bias": (gates * units,)}
    body = helper.make_graph(
        nodes,
        "body",
        [
            info("round", INT64, []),
            info("go", TensorProto.BOOL, []),
            info("time", INT32, []),
            info("h", DOUBLE, ["N", units]),
            *(info(name, DOUBLE, shape) for name, shape in shapes.items()),
        ],
        [
            info("on", TensorProto.BOOL, []),
            info("time_next", INT32, []),
            info("h_next", DOUBLE, ["N", units]),
            *(info(name, DOUBLE, shape) for name, shape in shapes.items()),
            info("out", DOUBLE, ["N", units]),
        ],
        [
            numpy_helper.from_array(np.array(1, np.int32), "one"),
            numpy_helper.from_array(np.float64(until), "five"),
            numpy_helper.from_array(np.float64(1), "unity"),
        ],
    )
    outer = [
        helper.make_node("Transpose", ["x"], ["times"], perm=[1, 0, 2]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Concat", ["rows", "units"], ["states"], axis=0),
        helper.make_node("Expand", ["nothing", "states"], ["begin"]),
        helper.make_node(
            "ReverseSequence" if backwards else "Identity",
            ["times", "lengths"] if backwards else ["times"],
            ["sequence"],
        ),
        helper.make_node(
            "Loop",
            ["rounds", "", "start", "begin", "K", "R", "b"],
            ["end_time", "end", "k", "r_", "b_", "all"],
            body=body,
        ),
        helper.make_node("Transpose", ["all"], ["outputs"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["outputs", "flat"], ["joined"]),
        helper.make_node("Concat", ["joined", "end"], ["y"], axis=1),
    ]
    if backwards:
        outer.insert(3, helper.make_node("Expand", ["rounds_", "rows"], ["lengths"]))
    constants = {
        "K": RNG.normal(size=shapes["kernel"]),
        "R": RNG.normal(size=shapes["recurrent"]),
        "b": RNG.normal(size=shapes["bias"]),
        "nothing": np.float64(0),
    } | integers(zero=[0], units=[units], rounds=5, rounds_=5, flat=[-1, 15])
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.array(0, np.int32), "start"))
    made = helper.make_graph(outer, "loop", [info("x", DOUBLE, ["N", 5, 2])], [info("y", DOUBLE, None)], initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), constants


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "SimpleRNN"])
def test_loops(kind, backwards):
    """A Loop computes what its layer does, all outputs and the last; its weights keep their shapes, and are trained."""
    proto, constants = looped(kind == "GRU", backwards)
    inputs = RNG.normal(size=(4, 5, 2))
    values, program, start = evaluated(proto, inputs)
    K, R, b, h, outputs = constants["K"], constants["R"], constants["b"], np.zeros((4, 3)), []
    for x in np.moveaxis(inputs, 1, 0)[:: -1 if backwards else 1]:
        q, r = x @ K + b, h @ R
        if kind == "GRU":
            z, s = (1 / (1 + np.exp(-(q[:, part] + r[:, part]))) for part in (slice(0, 3), slice(3, 6)))
            h = z * h + (1 - z) * np.tanh(q[:, 6:] + s * r[:, 6:])
        else:
            h = np.tanh(q + r)
        outputs.append(h)
    assert values == pytest.approx(np.concatenate([*outputs, h], axis=1), rel=1e-12)
    assert sum(tensor.size for tensor in program.parameters if tensor.trained) == K.size + R.size + b.size
    derived = nn.compile_model(nn.from_onnx(proto), until="simplify")["simplify"]
    flat, targets = inputs.reshape(4, -1), RNG.normal(size=values.shape)
    trained = np.concatenate([np.full(tensor.size, tensor.trained) for tensor in program.parameters])
    numeric = np.where(trained, differences(program, start, flat, targets), 0)
    assert gradient_of(derived, start, flat, targets) == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def changed(proto, **values):
    """A graph with other numbers."""
    made = type(proto)()
    made.CopyFrom(proto)
    for name, value in values.items():
        (tensor,) = (initializer for initializer in made.graph.initializer if initializer.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(value, numpy_helper.to_array(tensor).dtype), name))
    return made


@pytest.mark.parametrize(
    ("values", "until", "message"),
    [
        ({"rounds": 6}, 5, "reads position 5 of an axis of size 5"),
        ({"rounds": 0}, 5, "has a number of rounds that is not in the file, none"),
        ({"rounds": 10**9}, 5, "or more than 65,536"),
        ({"start": 3}, 5, "reads position 5 of an axis of size 5"),
        ({}, 3, "may end before its last round"),
    ],
)
def test_refused_loops(values, until, message):
    """Loops whose rounds are not known, or that read beyond a sequence, are refused."""
    with pytest.raises(ModelError, match=message):
        nn.from_onnx(changed(looped(False, until=until)[0], **values))


def test_normalization():
    """tf2onnx makes the mean an input: ``constants`` gives it, and it is not trained; else it is a column of X."""
    arrays = weights(U=(4, 2)) | {"scale": np.array([[1.0, 2.0, 0.5, 3.0]])}
    nodes = [("Sub", "x mean", "d", {}), ("Mul", "d scale", "n", {}), ("MatMul", "n U", "y", {})]
    proto = model(nodes, arrays, [("x", ("N", 4)), ("mean", (1, 4)), ("root", (1, 4))], [("y", DOUBLE)], kind=DOUBLE)
    mean = np.array([[0.5, -1.0, 2.0, 0.0]])
    values, program, _ = evaluated(proto, X, constants={"mean": mean, "root": np.ones((1, 4))})
    assert values == pytest.approx((X - mean) * arrays["scale"] @ arrays["U"], rel=1e-13)
    assert [str(parameter) for parameter in program.inputs] == ["x[n, 4]"]
    assert {parameter.name: parameter.trained for parameter in program.parameters} == {
        "U": True,
        "scale": False,
        "mean": False,
    }
    assert [parameter.name for parameter in nn.from_onnx(proto).describe().inputs] == ["x", "mean", "root"]
    for constants, message in (
        ({"men": mean}, "constants has 'men', which is no input of the ONNX file; there: x, mean, root"),
        ({"mean": mean[0]}, r"the constant 'mean' must be finite, and have the shape \(1, 4\), not \(4,\)"),
        ({"mean": [[1, 2, np.nan, 3]]}, "the constant 'mean' must be finite"),
        ({"mean": "mean"}, "the constant 'mean' must be an array of numbers"),
    ):
        with pytest.raises(ModelError, match=message):
            nn.from_onnx(proto, constants=constants)


EMBEDDED = {
    "int32": (INT32, [("Gather", "E x", "h", {})]),
    "int64": (INT64, [("Gather", "E x", "h", {})]),
    "real numbers": (DOUBLE, [("Cast", "x", "i", {"to": INT64}), ("Gather", "E i", "h", {})]),
    "counted from the end": (INT32, [  # as Keras does with numbers below 0
        ("Add", "x rows", "a", {}), ("Cast", "x", "f", {"to": DOUBLE}), ("Less", "f zero", "l", {}),
        ("Not", "l", "n", {}), ("Cast", "n", "c", {"to": INT32}), ("Mul", "x c", "p", {}),
        ("Cast", "l", "d", {"to": INT32}), ("Mul", "d a", "q", {}), ("Add", "q p", "i", {}),
        ("Gather", "E i", "h", {})]),
}  # fmt: skip


@pytest.mark.parametrize("name", EMBEDDED)
def test_whole_numbers(name, quick_compiler):
    """Numbers of rows are an input; a model of an Embedding predicts, trains, and refuses numbers of no row."""
    kind, nodes = EMBEDDED[name]
    arrays = (
        weights(E=(6, 3), U=(12, 2)) | integers(flat=[-1, 12]) | {"rows": np.array(6, np.int32), "zero": np.float64(0)}
    )
    proto = graph([*nodes, ("Reshape", "h flat", "joined", {}), ("MatMul", "joined U", "y", {})], arrays, kind=kind)
    numbers = RNG.integers(6, size=(5, 4))
    values, program, _ = evaluated(proto, numbers)
    assert values == pytest.approx(arrays["E"][numbers].reshape(5, 12) @ arrays["U"], rel=1e-13)
    assert [(parameter.name, parameter.shape) for parameter in program.parameters] == [("E", (6, 3)), ("U", (4, 3, 2))]
    if name == "int32":
        module = nn.build(nn.from_onnx(proto, name="rows"))
        start = module.initial_parameters()
        assert module.predict(start, numbers) == pytest.approx(values, rel=1e-13)
        result = module.train(numbers, values + 1, optimizer="adam", epochs=5)
        assert result.history[-1] < result.history[0]
        with pytest.raises(ValueError, match="6"):
            module.predict(start, numbers + 1)


def test_whole_numbers_that_are_computed_with():
    """Whole numbers become real ones by a Cast; what would round is refused."""
    nodes = [("Cast", "x", "f", {"to": DOUBLE}), ("MatMul", "f W", "y", {})]
    numbers = RNG.integers(-3, 4, size=(5, 4))
    assert evaluated(graph(nodes, {"W": W["W"]}, kind=INT64), numbers)[0] == pytest.approx(numbers @ W["W"], rel=1e-13)
    for nodes, kind, message in (
        ([("Div", "x x", "q", {}), ("Cast", "q", "y", {"to": DOUBLE})], INT64, "would round its result"),
        ([("Cast", "x", "i", {"to": INT64}), ("Cast", "i", "y", {"to": DOUBLE})], DOUBLE, "does not round"),
        ([("Cast", "x", "i", {"to": INT64}), ("Add", "i i", "j", {}), ("Gather", "W j", "y", {})], DOUBLE, "round"),
        ([("Add", "x x", "j", {}), ("Gather", "W j", "y", {})], INT64, "takes positions that are computed"),
    ):
        with pytest.raises(ModelError, match=message):
            nn.from_onnx(graph(nodes, {"W": W["W"]}, kind=kind))

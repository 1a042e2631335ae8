"""ONNX files with RNN, LSTM and GRU: what onnxruntime makes of them, and what becomes of them here."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.stabilize import stabilize

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def file(kind, ending="last", steps=5, features=3, units=4, layers=1, begun=False, bias=True, ends=False, **attributes):
    """A stack of recurrent nodes as PyTorch writes it, and a product of the last step, of all, or nothing after it."""
    rng, sides = np.random.default_rng(1), 1 + (attributes.get("direction") == "bidirectional")
    nodes = [helper.make_node("Transpose", ["x"], ["y0"], perm=[1, 0, 2])]
    arrays = {"zero": np.array([0]), "one": np.array([1]), "shape": np.array([0, 0, -1]), "last": np.array(-1)}
    width, rows = features, GATES[kind] * units
    if begun:
        nodes.append(helper.make_node("Unsqueeze", ["h", "zero"], ["begin"]))
    for k in range(1, layers + 1):
        arrays |= {f"W{k}": rng.normal(size=(sides, rows, width)), f"R{k}": rng.normal(size=(sides, rows, units))}
        arrays |= {f"B{k}": rng.normal(size=(sides, 2 * rows))} if bias else {}
        sources = [
            f"y{k - 1}",
            f"W{k}",
            f"R{k}",
            f"B{k}" if bias else "",
            "lengths" if ends else "",
            *["begin"] * (begun * (kind == "LSTM") + begun),
        ]
        results = [f"Y{k}", f"H{k}"]
        nodes.append(helper.make_node(kind, sources, results, hidden_size=units, name=f"layer{k}", **attributes))
        if sides == 1:
            nodes.append(helper.make_node("Squeeze", [f"Y{k}", "one"], [f"y{k}"]))
        else:
            nodes.append(helper.make_node("Transpose", [f"Y{k}"], [f"side{k}"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [f"side{k}", "shape"], [f"y{k}"]))
        width = sides * units
    arrays["V"], shape = rng.normal(size=(width, 2)), ["N", 2]
    if ending == "state":
        nodes.append(helper.make_node("Squeeze", [f"H{layers}", "zero"], ["out"]))
        shape = ["N", units]
    elif ending == "last":
        nodes.append(helper.make_node("Gather", [f"y{layers}", "last"], ["end"], axis=0))
    else:
        nodes.append(helper.make_node("Transpose", [f"y{layers}"], ["end"], perm=[1, 0, 2]))
        shape = ["N", steps, 2]
    if ending != "state":
        nodes.append(helper.make_node("MatMul", ["end", "V"], ["out"]))
    inputs = {"x": ["N", steps, features]} | ({"h": ["N", units]} if begun else {})
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in inputs.items()),
            *([helper.make_tensor_value_info("lengths", TensorProto.INT32, ["N"])] if ends else []),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(a.astype("f4") if a.dtype.kind == "f" else a, name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compared(proto):
    """Checks that a file predicts here what it does in onnxruntime; returns the program and its parameters."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(2)
    arrays = {
        value_info.name: rng.normal(size=(3, *value_info.shape[1:])).astype("f4") for value_info in session.get_inputs()
    }
    if "lengths" in arrays:
        arrays["lengths"] = np.array([2, 5, 1], np.int32)
    expected = session.run(None, arrays)[0]
    program = nn.from_onnx(proto).describe()
    flat = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    X = np.concatenate([arrays[tensor.name].reshape(3, -1) for tensor in program.inputs], 1).astype(float)
    values = evaluate(program, flat, X, np.zeros((3, expected[0].size)))
    outputs = np.concatenate([values[e.tensor].reshape(3, -1) for e in program.outputs], 1)
    np.testing.assert_allclose(outputs, expected.reshape(3, -1), atol=2e-6)
    return program, flat, X


CASES = [
    ("RNN", {"direction": "reverse"}),
    ("RNN", {"activations": ["Relu"], "begun": True, "features": 1}),
    ("LSTM", {"ending": "state", "bias": False}),
    ("LSTM", {"direction": "bidirectional", "layers": 2}),
    ("LSTM", {"begun": True, "ending": "all"}),
    ("LSTM", {"begun": True, "direction": "reverse", "units": 1}),
    ("LSTM", {"steps": 1, "units": 1, "features": 1}),
    ("GRU", {"direction": "reverse", "ending": "all"}),
    ("GRU", {"linear_before_reset": 1, "layers": 2}),
    ("GRU", {"direction": "bidirectional", "ending": "all", "units": 2}),
    ("RNN", {"ends": True}),
    ("LSTM", {"ends": True, "ending": "state", "begun": True}),
    ("LSTM", {"ends": True, "ending": "all", "direction": "reverse", "begun": True}),
    ("GRU", {"ends": True, "ending": "all", "direction": "bidirectional", "layers": 2}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_recurrent_nodes(kind, options):
    """Every kind and direction predicts what it does elsewhere, with states, in stacks, also a single step or unit."""
    compared(file(kind, **options))


def test_axes_that_other_nodes_cut():
    """Features may be two axes or two parts, and nodes after the layer may take units and steps apart."""
    rng = np.random.default_rng(4)
    arrays = {
        "flat": np.array([3, 0, -1]),
        "start": np.array([1, 0]),
        "end": np.array([3, 3]),
        "axes": np.array([0, 3]),
    }
    arrays |= {"W": rng.normal(size=(1, 16, 11)), "R": rng.normal(size=(1, 16, 4)), "B": rng.normal(size=(1, 32))}
    nodes = [
        helper.make_node("Transpose", ["x"], ["moved"], perm=[1, 0, 2, 3]),
        helper.make_node("Reshape", ["moved", "flat"], ["merged"]),
        helper.make_node("Transpose", ["z"], ["further"], perm=[1, 0, 2]),
        helper.make_node("Concat", ["merged", "further"], ["joined"], axis=2),
        helper.make_node("LSTM", ["joined", "W", "R", "B"], ["Y"], hidden_size=4),
        helper.make_node("Slice", ["Y", "start", "end", "axes"], ["part"]),
        helper.make_node("Squeeze", ["part", "one"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["out"], perm=[1, 0, 2]),
    ]
    arrays["one"] = np.array([1])
    graph = helper.make_graph(
        nodes,
        "cut",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 2]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3, 3]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 2, 3])],
        [numpy_helper.from_array(a.astype("f4") if a.dtype.kind == "f" else a, name) for name, a in arrays.items()],
    )
    compared(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def test_gates_of_a_reset():
    """A state that is reset before its product is multiplied for the candidate alone; names say which gate it is."""
    steps = {step.target.tensor: str(step) for step in nn.from_onnx(file("GRU")).describe().steps}
    assert "R1[2," in steps["a"]
    assert {"update", "z_reset", "held"} <= steps.keys()


def test_a_loop_over_time():
    """The steps do not grow with a sequence, inputs stay whole, and parameters have the names of the file."""
    programs = [nn.from_onnx(file("LSTM", steps=steps)).describe() for steps in (4, 40)]
    assert len(programs[0].steps) == len(programs[1].steps)
    assert [str(tensor) for tensor in programs[1].inputs] == ["x[n, 40, 3]"]
    assert [tensor.name for tensor in programs[1].parameters] == ["W1", "R1", "B1", "V"]


def test_the_gradient():
    """It is that of the loss, through a product that is reset before, and through states that are given."""
    program, flat, X = compared(file("GRU", begun=True, units=2, steps=3))
    Y, direction = np.ones((3, 2)), np.random.default_rng(3).normal(size=flat.shape)
    derived = differentiate(stabilize(program))
    values = evaluate(derived, flat, X, Y)
    slope = np.concatenate([np.ravel(values[element.tensor]) for element in derived.gradient]) @ direction
    up, down = (float(evaluate(program, flat + h * direction, X, Y)[program.loss.tensor]) for h in (1e-5, -1e-5))
    assert slope == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_refused_nodes():
    """What is not computed here is named."""
    wrong = [
        (file("LSTM", clip=2.0), "attribute clip"),
        (file("GRU", activations=["HardSigmoid", "Tanh"]), "activations HardSigmoid, Tanh"),
        (file("RNN", direction="sideways"), "direction 'sideways'"),
    ]
    for proto, message in wrong:
        with pytest.raises(nn.ModelError, match=message):
            nn.from_onnx(proto)
    compared(with_lengths(5))
    with pytest.raises(nn.ModelError, match="lengths of sequences that are in the file"):
        nn.from_onnx(with_lengths(3))


def with_lengths(steps):
    """A file with as many steps for each of three samples."""
    lengths = file("RNN")
    node = next(node for node in lengths.graph.node if node.op_type == "RNN")
    node.input[4] = "lengths"
    lengths.graph.initializer.append(numpy_helper.from_array(np.full(3, steps, np.int32), "lengths"))
    return lengths


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
def test_a_module_of_torch(dynamo, tmp_path):
    """What PyTorch's exporters write for a stack of recurrent layers is read."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    module, x = Last().eval(), torch.randn(3, 5, 3)
    sizes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if dynamo else {"dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(
        module, (x,), tmp_path / "file.onnx", dynamo=dynamo, input_names=["x"], external_data=False, **sizes
    )
    compared(onnx.load(tmp_path / "file.onnx"))

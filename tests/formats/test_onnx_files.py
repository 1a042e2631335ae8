"""Files of ONNX may come from anywhere: what is wrong with one is told, and no file does more than that."""

import os
import resource
import time

import numpy as np
import pytest

import nncodegen as nn
from nncodegen import ModelError

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper

from tests.support.onnx_models import FLOAT, INT64, model

RNG = np.random.default_rng(11)
W = {"W": RNG.normal(size=(4, 6)).astype(np.float32)}


def integers(**values):
    return {name: np.array(value, dtype=np.int64) for name, value in values.items()}


def sound():
    """A graph with something of everything."""
    return model(
        [("MatMul", "x W", "m", {}), ("Add", "m b", "a", {}), ("Relu", "a", "r", {}),
         ("Slice", "r zero two axis", "s", {}), ("Slice", "r two end axis", "t", {}),
         ("Concat", "t s", "c", {"axis": 1}),
         ("Reshape", "c shape", "k", {}), ("Transpose", "k", "u", {"perm": [0, 2, 1]}), ("Flatten", "u", "f", {}),
         ("Gemm", "f V v", "g", {"transB": 1, "alpha": 0.5}), ("Clip", "g low high", "l", {}),
         ("Pow", "l three", "p", {}),
         ("ReduceMean", "p", "mean", {"axes": [1]}), ("Sub", "p mean", "d", {}), ("Softmax", "d", "y", {"axis": -1})],
        W | {"b": np.zeros(6, np.float32), "V": RNG.normal(size=(3, 6)).astype(np.float32), "v": np.ones(3, np.float32),
             "low": np.float32(-1), "high": np.float32(2), "three": np.float32(3)}
        | integers(zero=[0], two=[2], end=[6], axis=[1], shape=[-1, 2, 3]),
    )  # fmt: skip


def test_sound():
    """What is mutated below is a file that is read."""
    assert len(nn.from_onnx(sound()).describe().parameters) > 6


# --- mutations ---------------------------------------------------------------------------------------------------

NUMBERS = (-(2**63), -(2**31), -1, 0, 1, 7, 2**31, 2**62)
OPERATORS = ("Exp", "Log", "Div", "Concat", "Gather", "Squeeze", "Split", "Where", "MatMul", "Gemm", "Reshape",
             "PRelu", "BatchNormalization", "Max", "Sum", "Shape", "Constant", "LogSoftmax", "Conv", "Det", "Einsum",
             "Expand", "Loop", "MaxPool", "Pad", "Resize", "Scan", "Tile")  # fmt: skip


def mutated_bytes(rng, data):
    """A file with some bytes changed, removed or repeated."""
    data, kind, place = bytearray(data), rng.integers(4), rng.integers(len(data))
    if kind == 0:
        data[place] = rng.integers(256)
    elif kind == 1:
        data[place] ^= 1 << rng.integers(8)
    elif kind == 2:
        del data[place : place + rng.integers(1, 40)]
    else:
        data[place:place] = data[place : place + rng.integers(1, 40)]
    return bytes(data)


def mutated_graph(rng, proto):
    """A file in which some parts say something else."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    for _ in range(rng.integers(1, 3)):
        node, constant = rng.choice(made.graph.node), rng.choice(made.graph.initializer)
        names = [name for node in made.graph.node for name in (*node.input, *node.output)] + [""]
        kind = rng.integers(9)
        if kind == 0:
            node.op_type = str(rng.choice(OPERATORS))
        elif kind == 1:
            node.input.insert(0, str(rng.choice(names)))
        elif kind == 2:
            node.attribute.append(
                helper.make_attribute(
                    str(rng.choice(["axis", "axes", "perm", "alpha", "keepdims", "pads", "kernel_shape"])),
                    [int(rng.choice(NUMBERS))] if rng.integers(2) else int(rng.choice(NUMBERS)),
                )
            )
        elif kind == 3:
            constant.dims[:] = [int(rng.choice(NUMBERS)) for _ in range(rng.integers(4))]
        elif kind == 4:
            array = rng.choice(NUMBERS, size=rng.integers(4))
            constant.CopyFrom(numpy_helper.from_array(array.astype(np.int64), constant.name))
        elif kind == 5:
            array = rng.choice([0, -0.5, 1e38, -1e-38, np.inf, np.nan], size=rng.integers(0, 3, size=rng.integers(3)))
            constant.CopyFrom(numpy_helper.from_array(array.astype(np.float32), constant.name))
        elif kind == 6:
            constant.data_type = int(rng.integers(24))
        elif kind == 7:
            shape = made.graph.input[0].type.tensor_type.shape
            shape.dim[rng.integers(2)].dim_value = int(rng.choice(NUMBERS))
        else:
            del node.input[: rng.integers(3)]
    return made


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.thorough)])
def test_mutations(count):
    """Hundreds of damaged files end in a ModelError or in a model, soon and without much memory."""
    rng, proto = np.random.default_rng(12), sound()
    data = proto.SerializeToString()
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        source = mutated_bytes(rng, data) if number % 2 else mutated_graph(rng, proto)
        start = time.process_time()
        try:
            nn.from_onnx(source)
        except ModelError:
            refused += 1
        assert time.process_time() - start < 20
    assert count / 2 < refused < count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kilobytes


# --- what is refused ---------------------------------------------------------------------------------------------


def test_unknown_operators():
    """A graph with operators that are not known is refused with all of them, of the nodes that its outputs need."""
    proto = model(
        [
            ("DeformConv", "x W", "c", {}),
            ("LpPool", "c", "l", {}),
            ("ml/TreeEnsembleRegressor", "l", "t", {}),
            ("Relu", "t", "y", {}),
            ("Det", "x", "z", {}),
        ],
        W,
    )
    with pytest.raises(
        ModelError, match=r"not know: DeformConv, LpPool, ai\.onnx\.ml\.TreeEnsembleRegressor; it knows"
    ):
        nn.from_onnx(proto)


# --- weights in other files --------------------------------------------------------------------------------------


def external(folder, name="W", dims=(4, 6), data_type=FLOAT, **changes):
    """A network in a folder, whose weights lie beside it, after eight other bytes; with entries that say else."""
    proto = model([("MatMul", "x W", "y", {})], W)
    if not (folder / "weights").exists():
        (folder / "weights").write_bytes(bytes(8) + W["W"].tobytes())
    tensor = onnx.TensorProto(name=name, dims=dims, data_type=data_type, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in ({"location": "weights", "offset": "8", "length": "96"} | changes).items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    proto.graph.initializer[0].CopyFrom(tensor)
    onnx.save(proto, folder / "network.onnx")
    return folder / "network.onnx"


@pytest.mark.parametrize("length", ["96", None])
def test_weights_beside_the_file(tmp_path, monkeypatch, length):
    """Weights in a file beside the network are read, from any folder, by an absolute or a relative path."""
    path = external(tmp_path, length=length)
    for source in (path, str(path)):
        (parameter,) = nn.from_onnx(source).describe().parameters
        np.testing.assert_array_equal(np.frombuffer(parameter.initial.values), W["W"].ravel())
    monkeypatch.chdir(tmp_path)
    assert nn.from_onnx("network.onnx").describe().parameters[0].shape == (4, 6)


def test_weights_beside_the_file_in_a_folder(tmp_path):
    """Weights may lie in a folder within that of the network, and in a Constant; what lies there is read once each."""
    (tmp_path / "data").mkdir()
    external(tmp_path / "data")
    proto = onnx.load(external(tmp_path, location="data/weights"), load_external_data=False)
    (tensor,) = proto.graph.initializer
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["W"], value=tensor))
    del proto.graph.initializer[:]
    onnx.save(proto, tmp_path / "network.onnx")
    (parameter,) = nn.from_onnx(tmp_path / "network.onnx").describe().parameters
    np.testing.assert_array_equal(np.frombuffer(parameter.initial.values), W["W"].ravel())


OUTSIDE = "which is not read: data beside an ONNX file have a name within its folder"
EXTERNAL = {
    "cut off": ({"offset": "9"}, r"takes the bytes 9 to 105 of 'weights', which has 104: the file is cut off"),
    "far out": ({"offset": "9" * 18}, "takes the bytes 999,999,999,999,999,999 to"),
    "a long number": ({"offset": "9" * 5000}, "has the offset '9999.*' in another file: a number of bytes from 0"),
    "negative": ({"offset": "-8"}, "has the offset '-8' in another file: a number of bytes from 0"),
    "no number": ({"length": "many"}, "has the length 'many' in another file"),
    "too long": ({"length": "104"}, "says that it has 104 bytes in 'weights'; its shape takes 96"),
    "too large": ({"dims": (2**20, 2**20), "length": None}, "it may have 16,777,216 values at most"),
    "larger than the file": ({"dims": (2**12, 2**12), "length": None}, "takes the bytes 8 to 67,108,872 of 'weights'"),
    "another type": ({"data_type": 99}, r"has a type that nncodegen does not read \(99\)"),
    "missing": ({"location": "others"}, "lies in 'others', which is not there: the file belongs beside the ONNX file"),
    "no name": ({"location": None}, OUTSIDE),
    "above": ({"location": "../weights"}, OUTSIDE),
    "above by a folder": ({"location": "inner/../../weights"}, OUTSIDE),
    "above in Windows": ({"location": "..\\weights"}, OUTSIDE),
    "from the root": ({"location": "/etc/passwd"}, OUTSIDE),
    "from a drive": ({"location": "C:weights"}, OUTSIDE),
    "a link": ({"location": "link"}, "lies in 'link', where 'link' is a symbolic link, which is not followed"),
    "a folder that is a link": ({"location": "linked/weights"}, "where 'linked' is a symbolic link"),
    "a folder": ({"location": "inner"}, "lies in 'inner', which is no file"),
    "a pipe": ({"location": "pipe"}, "lies in 'pipe', which is no file"),
}
"""What is wrong with weights in another file, and what is said of it."""


@pytest.mark.parametrize("name", EXTERNAL)
def test_refused_weights_beside_the_file(tmp_path, name):
    """No file outside the folder is opened, no link is followed, and nothing is made of a size that is not there."""
    changes, message = EXTERNAL[name]
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "weights").write_bytes(bytes(104))
    (folder / "link").symlink_to(tmp_path / "weights")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError, match=f"the initializer 'W' .*{message}"):
        nn.from_onnx(external(folder, **changes))


def test_weights_beside_the_file_that_add_up(tmp_path, monkeypatch):
    """Many tensors that read the same bytes are refused when they take too much memory in all."""
    monkeypatch.setattr("nncodegen.formats.onnx.reading.external.MOST_BYTES", 200)
    proto = onnx.load(external(tmp_path), load_external_data=False)
    for name in "UV":
        proto.graph.initializer.add().CopyFrom(proto.graph.initializer[0])
        proto.graph.initializer[-1].name = name
    onnx.save(proto, tmp_path / "network.onnx")
    with pytest.raises(ModelError, match="files beside the ONNX file have more than 200 bytes in all"):
        nn.from_onnx(tmp_path / "network.onnx")


def test_weights_beside_bytes(tmp_path):
    """Bytes and protos have no folder: it is said what to do."""
    proto = onnx.load(external(tmp_path), load_external_data=False)
    for source in (proto, proto.SerializeToString()):
        with pytest.raises(ModelError, match=r"'weights', and without a path .*external_data=False"):
            nn.from_onnx(source)


# --- what is said of other files ---------------------------------------------------------------------------------


def constant(array, data_type=FLOAT):
    proto = model([("MatMul", "x W", "y", {})], W)
    proto.graph.initializer[0].CopyFrom(
        onnx.TensorProto(name="W", dims=array, data_type=data_type, raw_data=W["W"].tobytes())
    )
    return proto


def changed(**fields):
    proto = model([("MatMul", "x W", "y", {})], W)
    for name, value in fields.items():
        setattr(proto.graph.node[0], name, value)
    return proto


def with_opset(version):
    return model([("MatMul", "x W", "y", {})], W, opset=version)


REFUSED = {
    "no file": (b"not an ONNX file", "this is no ONNX file, or"),
    "empty": (b"", "this is no ONNX file, or one without a graph"),
    "a text": (3, "from_onnx takes a path, bytes or an onnx.ModelProto, not a int"),
    "too large": (constant([2**20, 2**20]), "it may have 16,777,216 values at most"),
    "negative": (constant([-4, -6]), "the initializer 'W' has the shape"),
    "too short": (constant([4, 7]), "the initializer 'W' is damaged"),
    "another type": (constant([4, 6], 99), r"the initializer 'W' has a type that nncodegen does not read \(99\)"),
    "bfloat16": (constant([4, 6], onnx.TensorProto.BFLOAT16), "'W' is in bfloat16, .* convert .* float32"),
    "bfloat16 made": (model([("MatMul", "x W", "h", {}), ("Cast", "h", "y", {"to": onnx.TensorProto.BFLOAT16})], W),
                      "makes numbers in bfloat16"),
    "not finite": (model([("MatMul", "x W", "y", {})], {"W": np.full((4, 6), np.nan)}), "values that are not finite"),
    "a long name": (changed(name="n" * 400), "the ONNX file calls a node"),
    "a name of lines": (changed(op_type="Mat\nMul"), r"the ONNX file calls an operator 'Mat\\nMul'"),
    "an old version": (with_opset(6), "version 6 of ai.onnx; nncodegen knows 7 to 28: convert it"),
    "a cycle": (model([("MatMul", "a W", "y", {}), ("Relu", "y", "a", {})], W),
                r"run in a circle: the node 'Relu a' \(Relu\) reads what depends on it"),
    "undefined": (model([("MatMul", "x V", "y", {})], W), "reads 'V', which nothing defines"),
    "twice": (model([("MatMul", "x W", "y", {}), ("Relu", "x", "y", {})], W), "defines 'y', which is defined already"),
    "an unknown output": (model([("MatMul", "x W", "z", {})], W), "nothing defines the output 'y'"),
    "no real output": (model([("ArgMax", "x", "y", {})], {}, outputs=[("y", INT64)]),
                       "no outputs that are real numbers"),
    "shapes": (model([("MatMul", "x W", "y", {})], {"W": np.ones((5, 2))}),
               r"shapes \(None, 4\) and \(5, 2\) has no meaning"),
    "over the batch": (model([("MatMul", "x W", "h", {}), ("ReduceSum", "h zero", "y", {})], W | integers(zero=[0])),
                       "reduces the rows of a batch to one"),
    "rows": (model([("MatMul", "x W", "h", {}), ("Reshape", "h flat", "y", {})], W | integers(flat=[-1])),
             "has several rows for each sample"),
    "whole numbers": (model([("MatMul", "x W", "h", {}), ("Cast", "h", "y", {"to": INT64})], W), "of the type int64"),
    "training": (model([("MatMul", "x W", "h", {}), ("BatchNormalization", "h b b b b", "y", {"training_mode": 1})],
                       W | {"b": np.ones(6)}), "is in training mode: export the network in evaluation mode"),
    "a huge exponent": (model([("MatMul", "x W", "h", {}), ("Pow", "h e", "y", {})], W | {"e": np.float32(1e30)}),
                        "it may be from -64 to 64"),
    "an infinite number": (model([("MatMul", "x W", "h", {}), ("Exp", "e", "f", {}), ("Exp", "f", "g", {}),
                                  ("Add", "h g", "y", {})], W | {"e": np.float32(80)}), "computes with inf"),
    "an attribute": (model([("MatMul", "x W", "h", {}), ("Elu", "h", "y", {"alpha": np.inf})], W),
                     "alpha, which is no finite"),
    "columns": (model([("MatMul", "x L", "h", {}), ("Gather", "h order", "y", {"axis": 1})],
                      {"L": np.ones((4, 300))} | integers(order=range(299, -1, -1))), "in more than 256 parts"),
    "no fixed size": (model([("MatMul", "x W", "y", {})], W, [("x", ("N", "M"))]),
                      "every size but that of the first axis"),
}  # fmt: skip
"""Files, and what is said of them."""


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files(name):
    """A ModelError says what is wrong with a file, and where."""
    source, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        nn.from_onnx(source)


def test_numbers_that_double():
    """Shapes and positions that a graph computes stay few, however often it joins them."""
    doubling = [("Concat", f"p{k} p{k}", f"p{k + 1}", {"axis": 0}) for k in range(60)]
    nodes = [*doubling, ("MatMul", "x W", "h", {}), ("Gather", "h p60", "y", {"axis": 1})]
    with pytest.raises(ModelError, match=r"the node 'Concat p17' \(Concat\) joins .* more than 65,536 of them"):
        nn.from_onnx(model(nodes, W | integers(p0=[1])))


def test_parameters_that_add_up(monkeypatch):
    """What a small file makes many parameters of is refused when there are too many."""
    monkeypatch.setattr("nncodegen.formats.onnx.reading.values.MOST_PARAMETERS", 1000)
    folded = [("BatchNormalization", f"h{k} b b b b", f"h{k + 1}", {"epsilon": k + 1.0}) for k in range(90)]
    proto = model([("MatMul", "x W", "h0", {}), *folded, ("Relu", "h90", "y", {})], W | {"b": np.ones(6)})
    with pytest.raises(ModelError, match="the graph has more than 1,000 values in its parameters"):
        nn.from_onnx(proto)


def test_sizes_multiply():
    """Tensors that are small by themselves, but huge together, are refused before anything is made of them."""
    nodes = [("MatMul", "x W", "h", {}), ("Unsqueeze", "h two", "a", {}), ("Add", "a B", "y", {})]
    constants = {"W": np.ones((4, 5000)), "B": np.ones((1, 5000)) * 2.0} | integers(two=[2])
    with pytest.raises(ModelError, match=r"the graph has a tensor of 25,000,000 values in 1 parts: too large"):
        nn.from_onnx(model(nodes, constants))

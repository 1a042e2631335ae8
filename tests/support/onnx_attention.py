"""Graphs of attention that are written node by node, and what onnxruntime makes of them."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import nncodegen as nn
from nncodegen.compiler.ir import evaluate

RNG = np.random.default_rng(5)
STEPS, WIDTH, HEADS = 4, 6, 2
LOWER = np.tri(STEPS, dtype=bool)
LOWEST = float(np.finfo(np.float32).min)


class File:
    """A graph that is written node by node; arrays become initializers."""

    def __init__(self):
        self.nodes, self.initializers = [], []

    def add(self, kind, *inputs, **attributes):
        names = [source if isinstance(source, str) else self.constant(source) for source in inputs]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    def constant(self, array):
        name = f"c{len(self.initializers)}"
        array = np.asarray(array)
        self.initializers.append(
            numpy_helper.from_array(array.astype(np.float32) if array.dtype.kind == "f" else array, name)
        )
        return name

    def model(self, result, inputs, opset):
        value_infos = [helper.make_tensor_value_info(n, kind, ["N", *shape]) for n, kind, shape in inputs]
        value_info = helper.make_tensor_value_info(result, TensorProto.FLOAT, ["N", STEPS, WIDTH])
        graph = helper.make_graph(self.nodes, "attention", value_infos, [value_info], self.initializers)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        onnx.checker.check_model(made, full_check=True)
        return made


def heads_of(file, x):
    """(N, T, 3*width) of queries, keys and values as (N, heads, T, size) each."""
    projected = file.add("Add", file.add("MatMul", x, RNG.normal(size=(WIDTH, 3 * WIDTH))), RNG.normal(size=3 * WIDTH))
    shape = np.array([0, STEPS, 3, HEADS, WIDTH // HEADS])
    turned = file.add("Transpose", file.add("Reshape", projected, shape), perm=[2, 0, 3, 1, 4])
    return [file.add("Gather", turned, np.array(k), axis=0) for k in range(3)]


def joined(file, y):
    flat = file.add("Reshape", file.add("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, STEPS, WIDTH]))
    return file.add("MatMul", flat, RNG.normal(size=(WIDTH, WIDTH)))


def compared(model, *inputs):
    """Checks what is read against onnxruntime, in float32, and that weights may be trained; returns the program."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value_info.name for value_info in session.get_inputs()]
    (expected,) = session.run(None, dict(zip(names, inputs, strict=True)))
    program = nn.from_onnx(model).describe()
    flat = np.concatenate([np.empty(0), *(np.frombuffer(tensor.initial.values) for tensor in program.parameters)])
    rows = np.concatenate([value_info.reshape(len(value_info), -1).astype(float) for value_info in inputs], axis=1)
    values = evaluate(program, flat, rows, np.zeros((len(rows), STEPS * WIDTH)))
    outputs = np.concatenate(
        [values[value_info.tensor].reshape(len(rows), -1) for value_info in program.outputs], axis=1
    )
    np.testing.assert_allclose(outputs.reshape(expected.shape), expected, atol=2e-5)
    return program


def given(steps=STEPS, width=WIDTH, samples=3):
    return RNG.normal(size=(samples, steps, width)).astype(np.float32)


SEQUENCE = ("x", TensorProto.FLOAT, (STEPS, WIDTH))

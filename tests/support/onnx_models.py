"""Graphs of ONNX, of the forms that other programs write, and what the reference of ONNX makes of them."""

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FLOAT, DOUBLE, INT64, STRING = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64,
                                onnx.TensorProto.STRING)  # fmt: skip


def model(nodes, constants, inputs=(("x", ("N", 4)),), outputs=(("y", FLOAT),), opset=17, kind=FLOAT):
    """A model: nodes as (operator, inputs, outputs, attributes), constants by name, inputs with their shapes."""
    made = [
        helper.make_node(operator.split("/")[-1], reads.split(), gives.split(), name=f"{operator} {gives}",
                         domain="ai.onnx.ml" if operator.startswith("ml/") else "", **attributes)
        for operator, reads, gives, attributes in nodes
    ]  # fmt: skip
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, type_, None) for name, type_ in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def reference(proto, *inputs, output=0):
    """What ONNX's own reference gives for some inputs, as (N, columns)."""
    names = [one.name for one in proto.graph.input]
    result = ReferenceEvaluator(proto).run(None, dict(zip(names, inputs, strict=True)))[output]
    return np.asarray(result, dtype=float).reshape(len(inputs[0]), -1)


def mlp(rng, sizes, activations, form="torch", kind=np.float64):
    """A stack of layers as torch.onnx writes it (Gemm), or as skl2onnx and tf2onnx do (MatMul and Add)."""
    constants, nodes, x = {}, [], "x"
    for k, (inner, outer, activation) in enumerate(zip(sizes, sizes[1:], activations, strict=False)):
        W, b = rng.normal(size=(inner, outer)).astype(kind), rng.normal(size=outer).astype(kind)
        name = {"torch": f"{2 * k}.", "tf": f"dense_{k}/"}[form]
        if form == "torch":
            constants |= {f"{name}weight": np.ascontiguousarray(W.T), f"{name}bias": b}
            nodes.append(("Gemm", f"{x} {name}weight {name}bias", f"z{k}", {"transB": 1}))
        else:
            constants |= {f"{name}MatMul/ReadVariableOp:0": W, f"{name}BiasAdd/ReadVariableOp:0": b}
            nodes.append(("MatMul", f"{x} {name}MatMul/ReadVariableOp:0", f"s{k}", {}))
            nodes.append(("Add", f"s{k} {name}BiasAdd/ReadVariableOp:0", f"z{k}", {}))
        x = f"h{k}" if k < len(sizes) - 2 else "y"
        nodes.append((activation, f"z{k}", x, {}))
    kinds = FLOAT if kind == np.float32 else DOUBLE
    return model(nodes, constants, [("x", ("N", sizes[0]))], [("y", kinds)], kind=kinds)

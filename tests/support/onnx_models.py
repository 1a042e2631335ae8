"""Graphs of ONNX, of the forms that other programs write, and what the reference of ONNX makes of them."""

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FLOAT, DOUBLE, INT64, STRING = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.INT64,
    onnx.TensorProto.STRING,
)


def model(nodes, constants, inputs=(("x", ("N", 4)),), outputs=(("y", FLOAT),), opset=17, kind=FLOAT):
    """A model: nodes as (operator, inputs, outputs, attributes), constants by name, inputs with their shapes."""
    made = [
        helper.make_node(
            operator.split("/")[-1],
            reads.split(),
            gives.split(),
            name=f"{operator} {gives}",
            domain="ai.onnx.ml" if operator.startswith("ml/") else "",
            **attributes,
        )
        for operator, reads, gives, attributes in nodes
    ]
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
    names = [value_info.name for value_info in proto.graph.input]
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


def keras(rng, opset):
    """Layers of Keras as tf2onnx writes them: names with colons, batch normalization as a product and a sum, PReLU in
    parts, HardSilu by Clip, layer normalization by means, a branch that is concatenated, Flatten as Reshape."""
    sizes = {"dense/W:0": (12, 6), "dense/b:0": (6,), "dense_1/W:0": (6, 5), "dense_1/b:0": (5,), "slope:0": (6,),
             "batchnorm/mul:0": (11,), "batchnorm/sub:0": (11,), "dense_2/W:0": (11, 4), "dense_2/b:0": (4,),
             "gamma:0": (1, 4), "beta:0": (1, 4), "dense_3/W:0": (4, 3), "dense_3/b:0": (3,)}  # fmt: skip
    constants = {name: rng.normal(size=size) for name, size in sizes.items()}
    constants |= {
        "flatten/shape": np.array([-1, 12]),
        "epsilon:0": np.float64(0.001),
        "three:0": np.float64(3),
        "Relu6_min": np.float64(0),
        "Relu6_max": np.float64(6),
        "sixth:0": np.float64(1 / 6),
    }
    last, along = {"axes": [-1], "keepdims": 1}, ""
    if opset >= 18:
        constants["axes"] = np.array([-1])
        last, along = {"keepdims": 1, "noop_with_empty_axes": 1}, " axes"
    nodes = [
        ("Reshape", "in0 flatten/shape", "flat:0", {}),
        ("MatMul", "flat:0 dense/W:0", "dense/MatMul:0", {}),
        ("Add", "dense/MatMul:0 dense/b:0", "dense/BiasAdd:0", {}),
        ("Relu", "dense/BiasAdd:0", "p_re_lu/Relu:0", {}),
        ("Neg", "dense/BiasAdd:0", "p_re_lu/Neg_1:0", {}),
        ("Relu", "p_re_lu/Neg_1:0", "p_re_lu/Relu_1:0", {}),
        ("Mul", "p_re_lu/Relu_1:0 slope:0", "p_re_lu/mul:0", {}),
        ("Add", "p_re_lu/Relu:0 p_re_lu/mul:0", "p_re_lu:0", {}),
        ("MatMul", "p_re_lu:0 dense_1/W:0", "dense_1/MatMul:0", {}),
        ("Add", "dense_1/MatMul:0 dense_1/b:0", "dense_1/BiasAdd:0", {}),
        ("Add", "dense_1/BiasAdd:0 three:0", "dense_1/add:0", {}),
        ("Clip", "dense_1/add:0 Relu6_min Relu6_max", "dense_1/Relu6:0", {}),
        ("Mul", "dense_1/Relu6:0 sixth:0", "dense_1/truediv:0", {}),
        ("Mul", "dense_1/BiasAdd:0 dense_1/truediv:0", "dense_1/mul:0", {}),
        ("Concat", "dense_1/mul:0 p_re_lu:0", "concat:0", {"axis": 1}),
        ("Mul", "concat:0 batchnorm/mul:0", "batchnorm/mul_1:0", {}),
        ("Add", "batchnorm/mul_1:0 batchnorm/sub:0", "batchnorm/add_1:0", {}),
        ("MatMul", "batchnorm/add_1:0 dense_2/W:0", "dense_2/MatMul:0", {}),
        ("Add", "dense_2/MatMul:0 dense_2/b:0", "dense_2/BiasAdd:0", {}),
        ("ReduceMean", f"dense_2/BiasAdd:0{along}", "moments/mean:0", last),
        ("Sub", "dense_2/BiasAdd:0 moments/mean:0", "moments/difference:0", {}),
        ("Mul", "moments/difference:0 moments/difference:0", "moments/square:0", {}),
        ("ReduceMean", f"moments/square:0{along}", "moments/variance:0", last),
        ("Add", "moments/variance:0 epsilon:0", "norm/add:0", {}),
        ("Sqrt", "norm/add:0", "norm/Rsqrt:0", {}),
        ("Reciprocal", "norm/Rsqrt:0", "norm/Rsqrt__11:0", {}),
        ("Mul", "norm/Rsqrt__11:0 gamma:0", "norm/mul:0", {}),
        ("Mul", "dense_2/BiasAdd:0 norm/mul:0", "norm/mul_2:0", {}),
        ("Neg", "moments/mean:0", "norm/Neg:0", {}),
        ("Mul", "norm/Neg:0 norm/mul:0", "norm/mul_1:0", {}),
        ("Add", "norm/mul_1:0 beta:0", "norm/add_1:0", {}),
        ("Add", "norm/mul_2:0 norm/add_1:0", "norm/add_2:0", {}),
        ("MatMul", "norm/add_2:0 dense_3/W:0", "dense_3/MatMul:0", {}),
        ("Add", "dense_3/MatMul:0 dense_3/b:0", "dense_3/BiasAdd:0", {}),
        ("Softmax", "dense_3/BiasAdd:0", "Identity:0", {}),
    ]
    return model(nodes, constants, [("in0", ("N", 4, 3))], [("Identity:0", DOUBLE)], opset=opset, kind=DOUBLE)

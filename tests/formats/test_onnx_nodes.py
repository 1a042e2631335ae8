"""ONNX's own tests of single operators: what is read of them computes what ONNX expects."""

import contextlib
import importlib
import pkgutil
import re
import warnings

import numpy as np
import pytest

import nncodegen as nn
from nncodegen import ModelError
from tests.support import ROOT

onnx = pytest.importorskip("onnx")
from nncodegen.formats.onnx.reading.network import KNOWN, translated

REAL = ("float16", "float32", "float64")
FEW = {
    "test_constant": "it has no inputs",
    "test_einsum_batch_diagonal": "a letter twice in a term",
    "test_loop11": "rounds that choose the lengths of slices",
    "test_resize_downsample_sizes_nearest_not_larger": "sizes by a policy",
    "test_resize_downsample_sizes_nearest_not_smaller": "sizes by a policy",
    "test_resize_upsample_sizes_nearest_not_larger": "sizes by a policy",
    "test_resize_upsample_sizes_nearest_not_smaller": "sizes by a policy",
    "test_scan_sum": "a Scan of version 8, whose inputs are others",
    "test_slice_start_out_of_bounds": "a result without values",
    **dict.fromkeys(("test_reversesequence_batch", "test_reversesequence_time"), "lengths of sequences"),
    **dict.fromkeys(
        ("test_maxpool_with_argmax_2d_precomputed_pads", "test_maxpool_with_argmax_2d_precomputed_strides"),
        "the places of maxima",
    ),
}
"""Cases that are refused for reasons of their own."""
KINDS = {
    **dict.fromkeys(("GRU", "LSTM", "RNN"), "weights that are inputs, and no axis of samples"),
    "ConstantOfShape": "it has no inputs but a shape",
    "Mod": "remainders of inputs",
}
"""Operators whose cases are."""
SETTINGS = ("Pad", "Resize", "Upsample")
"""Operators whose further inputs say what is done to the first."""


def cases():
    """The cases of operators that are read; those of a file of ONNX are made where it is imported."""
    from onnx.backend.test.case import node

    names = {re.sub(r"^ai\.onnx\.ml\.", "", kind).lower() for kind in KNOWN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules(node.__path__):
            if module.name.replace("_", "") in names:
                importlib.import_module(f"{node.__name__}.{module.name}")
    known = [
        case
        for case in node._NodeTestCases
        if {kind_of(operation) for operation in case.model.graph.node} <= set(KNOWN)
    ]
    return sorted({case.name: case for case in known}.values(), key=lambda case: case.name)


def kind_of(node):
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def array_of(value):
    """An array of a case, or None for what is no tensor of usual numbers."""
    if isinstance(value, onnx.TensorProto):
        known = value.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
        return onnx.numpy_helper.to_array(value) if known else None
    return value if isinstance(value, np.ndarray | np.generic) else None


def reason(case):
    """Why a case is out of scope, from its data alone; empty if it is not."""
    inputs, outputs = (list(map(array_of, part)) for part in case.data_sets[0])
    if case.name in FEW:
        return FEW[case.name]
    if re.search("cubic|linear|tf_crop", case.name) and case.name.startswith("test_resize"):
        return "values between others"
    if re.match("test_rotary_embedding.*_expanded$", case.name):
        return "sizes of a Split that the graph computes"
    if kinds := {node.op_type for node in case.model.graph.node} & set(KINDS):
        return KINDS[min(kinds)]
    if any(array is None for array in (*inputs, *outputs)):
        return "numbers of 8 bits and fewer, sequences"
    if not any(array.dtype.name in REAL for array in outputs):
        return "results that are whole numbers or truth values"
    if any(0 in array.shape for array in (*inputs, *outputs)):
        return "tensors without values"
    if "training" in case.name:
        return "training"
    (first, *_) = case.model.graph.node
    if first.op_type == "Attention" and (any(first.output[1:]) or any(first.input[4:])):
        return "keys and values of earlier calls"
    if any(attribute.name.endswith("window_size") and attribute.i >= 0 for attribute in first.attribute):
        return "windows of places"
    versions = [opset.version for opset in case.model.opset_import if not opset.domain]
    return "versions of ai.onnx before 7" if versions and max(versions) < 7 else ""


def predicted(case):
    """What the network in a case computes. Whole numbers among its inputs, as shapes, and settings are constants.

    Truth values are inputs, such as the mask of an Attention.
    """
    values, constants = [], {}
    for declared, data_set in zip(case.model.graph.input, case.data_sets[0][0], strict=True):
        array = array_of(data_set)
        if array.dtype.kind in "fb" and (not values or case.model.graph.node[0].op_type not in SETTINGS):
            values.append(array.astype(float).ravel())
        else:
            constants[declared.name] = array
    program = nn.from_onnx(case.model, batch=False, constants=constants).describe()
    start = [value for tensor in program.parameters for value in np.frombuffer(tensor.initial.values)]
    targets = np.zeros((1, sum(tensor.size for tensor in program.targets)))
    computed = nn.evaluate(program, start, np.concatenate(values)[None], targets)
    return np.concatenate([computed[element.tensor].ravel() for element in program.outputs])


@pytest.fixture(scope="module")
def all_cases():
    return cases()


def test_cases_of_onnx(all_cases):
    """Every case in scope has the values that ONNX expects, to its tolerance; no other ends in an unexpected error."""
    passed = []
    for case in all_cases:
        if reason(case):
            with contextlib.suppress(ModelError):
                translated(case.model, batch=False)
            continue
        arrays = [array_of(data_set) for data_set in case.data_sets[0][1]]
        expected = np.concatenate([data_set.astype(float).ravel() for data_set in arrays if data_set.dtype.kind == "f"])
        np.testing.assert_allclose(predicted(case), expected, case.rtol, case.atol, err_msg=case.name)
        passed.append(case)
    covered = {kind_of(node) for case in passed for node in case.model.graph.node}
    declared = set(
        "Gemm MatMul Add Sub Mul Div Neg Pow Sqrt Exp Log Relu LeakyRelu Elu Selu Sigmoid HardSigmoid "
        "HardSwish Softplus Softsign Tanh Gelu Mish Celu ThresholdedRelu PRelu Clip Softmax LogSoftmax "
        "ReduceSum ReduceMean ReduceMax Flatten Reshape Transpose Concat Slice Identity Cast Dropout "
        "BatchNormalization".split()
    )
    assert declared <= covered
    text = (ROOT / "docs" / "guide" / "onnx.md").read_text()
    words = " ".join(text.split())  # wherever its lines end
    version, total, count, others = re.search(
        r"With onnx ([\d.]+), the operators of (\d+) of these tests are all in the table; (\d+) of them pass .*?"
        r" The others need (.*?)\. ",
        words,
    ).groups()
    if version == onnx.__version__:
        assert (len(all_cases), len(passed)) == (int(total), int(count))
        assert sum(map(int, re.findall(r"\((\d+)\)", others))) == len(all_cases) - len(passed)


def test_operators_in_the_guide():
    """The guide lists every operator that is read."""
    text = (ROOT / "docs" / "guide" / "onnx.md").read_text()
    for kind in KNOWN:
        assert re.search(rf"\b{kind.split('.')[-1]}\b", text), kind

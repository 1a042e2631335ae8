"""Masks in files of ONNX are what their types say: random graphs of truth values and numbers, judged by onnxruntime."""

import numpy as np
import pytest

import nncodegen as nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from hypothesis import given as drawn_from
from hypothesis import strategies as st
from onnx import TensorProto

from nncodegen.compiler.ir import evaluate
from tests.support.attention import everything, samples
from tests.support.onnx_attention import HEADS, LOWER, RNG, SEQUENCE, STEPS, File, compared, given, heads_of, joined
from tests.support.onnx_files import exported, loaded
from tests.support.search import examples

SAMPLES = 3
INPUTS = [
    ("pairs", TensorProto.BOOL, (STEPS, STEPS)),
    ("there", TensorProto.BOOL, (1, STEPS)),
    ("wanted", TensorProto.INT64, (STEPS, 1)),
    ("level", TensorProto.FLOAT, (STEPS, STEPS)),
]
ARRAYS = {
    "pairs": RNG.random((SAMPLES, STEPS, STEPS)) < 0.5,
    "there": RNG.random((SAMPLES, 1, STEPS)) < 0.7,
    "wanted": RNG.integers(0, STEPS, (SAMPLES, STEPS, 1)),
    "level": RNG.normal(size=(SAMPLES, STEPS, STEPS)).astype(np.float32),
}
PLACES = np.arange(STEPS)

LEAVES = st.sampled_from(
    [
        lambda file: "pairs",
        lambda file: "there",
        lambda file: file.add("Constant", value=onnx.numpy_helper.from_array(LOWER)),
        lambda file: file.add("Less", "level", np.array(0.4)),
        lambda file: file.add("GreaterOrEqual", "wanted", PLACES),
        lambda file: file.add("Equal", "wanted", PLACES),
        lambda file: file.add("LessOrEqual", PLACES, PLACES[:, None]),
        lambda file: file.add("Cast", file.add("Relu", "level"), to=TensorProto.BOOL),
        lambda file: file.add("Cast", file.add("Mul", "wanted", PLACES), to=TensorProto.BOOL),
        lambda file: file.add("Cast", file.add("Cast", "there", to=TensorProto.INT64), to=TensorProto.BOOL),
    ]
)
"""Truth values of pairs of places, by how they are written."""


def joining(kind):
    return lambda *masks: lambda file: file.add(kind, *(mask(file) for mask in masks))


def longer(masks):
    """Operators of truth values, of one, two or three masks."""
    pairs = [st.builds(joining(kind), masks, masks) for kind in ("And", "Or", "Xor", "Equal")]
    others = st.builds(joining("Not"), masks), st.builds(chosen, masks, masks, masks), st.builds(turned, masks)
    return st.one_of(*pairs, *others)


def chosen(condition, mask, other):
    """A choice among masks that are whole numbers, as onnxruntime has none among truth values."""

    def build(file):
        pair = (file.add("Cast", operand(file), to=TensorProto.INT64) for operand in (mask, other))
        return file.add("Cast", file.add("Where", condition(file), *pair), to=TensorProto.BOOL)

    return build


def turned(mask):
    """A mask that is moved about, and is as before."""

    def build(file):
        pair = file.add("Unsqueeze", file.add("Or", mask(file), np.zeros((STEPS, STEPS), bool)), np.array([-3]))
        first, last = (file.add("Slice", pair, *map(np.array, ([a], [b], [-1]))) for a, b in ((0, 2), (2, STEPS)))
        return file.add("Squeeze", file.add("Concat", first, last, axis=-1), np.array([-3]))

    return build


MASKS = st.recursive(LEAVES, longer, max_leaves=6)
WAYS = ("attention", "attention of numbers", "chosen", "otherwise", "added", "moved", "scaled", "two choices")


def attended(file, way, allowed):
    """Attention of x to itself where a mask, (N, 1, T, T), allows it, written in one of several ways."""
    q, k, v = heads_of(file, "x")
    nothing = np.array(-np.inf)
    if way == "attention":
        return file.add("Attention", q, k, v, allowed)
    if way == "attention of numbers":
        return file.add("Attention", q, k, v, file.add("Where", allowed, np.array(0.25), nothing))
    scores = file.add("MatMul", q, file.add("Transpose", k, perm=[0, 1, 3, 2]))
    if way == "chosen":
        scores = file.add("Where", allowed, scores, nothing)
    elif way == "otherwise":
        scores = file.add("Where", file.add("Not", allowed), nothing, scores)
    elif way == "added":
        number = file.add("Cast", allowed, to=TensorProto.FLOAT)
        scores = file.add("Add", file.add("Where", allowed, number, nothing), scores)
    elif way == "moved":  # as torch.onnx spreads a mask over heads, and joins these with the samples
        spread = file.add("Expand", file.add("Where", allowed, np.array(0.0), nothing), np.array([1, HEADS, 1, 1]))
        split = [file.add("Gather", spread, np.array(head), axis=1) for head in range(HEADS)]
        whole = file.add("Concat", *(file.add("Unsqueeze", word, np.array([1])) for word in split), axis=1)
        scores = file.add(
            "Add", scores, file.add("Transpose", file.add("Transpose", whole, perm=[0, 2, 1, 3]), perm=[0, 2, 1, 3])
        )
    elif way == "scaled":
        scores = file.add("Div", file.add("Where", allowed, scores, nothing), np.array(1.7))
        scores = file.add("Mul", np.array(1.1), scores)
    else:
        lower = file.add("Add", scores, np.where(LOWER, 0.5, -np.inf))
        scores = file.add(
            "Where", allowed, file.add("Cast", lower, to=TensorProto.FLOAT), file.add("Where", allowed, scores, nothing)
        )
        scores = file.add("Where", np.eye(STEPS, dtype=bool), np.array(0.1), scores)
    return file.add("MatMul", file.add("Softmax", scores, axis=-1), v)


@examples(25)
@drawn_from(mask=MASKS, way=st.sampled_from(WAYS))
def test_random_masks(mask, way):
    """Attention with any mask of truth values that a graph computes is what onnxruntime gives."""
    file = File()
    visible = file.add("Or", mask(file), np.eye(STEPS, dtype=bool))  # a query without any place is NaN in ONNX
    y = joined(file, attended(file, way, file.add("Unsqueeze", visible, np.array([-3]))))
    read = {name for node in file.nodes for name in node.input}
    inputs = [entry for entry in INPUTS if entry[0] in read]
    compared(file.model(y, [SEQUENCE, *inputs], 23), given(samples=SAMPLES), *(ARRAYS[entry[0]] for entry in inputs))


@examples(10)
@drawn_from(mask=MASKS)
def test_masks_as_numbers(mask):
    """Truth values that are cast to numbers multiply, add and choose as 1 and 0."""
    file = File()
    number = file.add("Cast", mask(file), to=TensorProto.FLOAT)
    seen = file.add("Mul", file.add("Sub", np.array(1.0), number), "level")
    y = file.add("MatMul", file.add("Add", file.add("Where", mask(file), seen, "level"), number), "x")
    inputs = [entry for entry in INPUTS if entry[0] in {name for node in file.nodes for name in node.input}]
    compared(file.model(y, [SEQUENCE, *inputs], 23), given(samples=SAMPLES), *(ARRAYS[entry[0]] for entry in inputs))


@pytest.mark.parametrize("opset", [13, 23])
def test_our_own_files(opset):
    """Attention with a causal mask, a mask of pairs and lengths is read again with the outputs that it had."""
    model, (X, Y) = everything(dropout=0.0), samples(5)
    program = model.describe()
    start = RNG.normal(size=program.parameter_count)
    again = nn.from_onnx(loaded(exported(model, "float64", start, opset=opset))).describe()
    start_again = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in again.parameters])
    outputs = [
        evaluate(version, p, X, Y)[version.outputs[0].tensor].reshape(5, -1)
        for version, p in ((program, start), (again, start_again))
    ]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-12)


@pytest.mark.parametrize(("kind", "operands"), [("ReduceMean", ()), ("ReduceL2", ()), ("Pow", (np.array(0.5),))])
def test_whole_numbers_that_would_be_rounded(kind, operands):
    """ONNX rounds the result of whole numbers to one; this is refused."""
    file = File()
    number = file.add("Cast", file.add(kind, "wanted", *operands), to=TensorProto.FLOAT)
    y = file.add("Add", "x", number)
    with pytest.raises(nn.ModelError, match="would round its result"):
        nn.from_onnx(file.model(y, [SEQUENCE, INPUTS[2]], 23))


def test_tables_are_not_trained():
    """Truth values and whole numbers of a file are no weights, also where they choose or multiply what is trained."""
    file = File()
    z = file.add("MatMul", "x", RNG.normal(size=(6, 6)))
    z = file.add("Mul", z, file.add("Cast", PLACES[:, None], to=TensorProto.FLOAT))
    y = file.add("Where", LOWER[:, :1] & (PLACES > 1)[:, None], z, "x")
    program = compared(file.model(y, [SEQUENCE], 18), given())
    assert [tensor.shape for tensor in program.parameters if tensor.trained] == [(6, 6)]

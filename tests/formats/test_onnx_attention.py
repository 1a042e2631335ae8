"""Files of ONNX with attention, as exporters write them and as operators of opset 23; onnxruntime is the judge."""

import numpy as np
import pytest

import nncodegen as nn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper

from tests.support.onnx_attention import (
    HEADS,
    LOWER,
    LOWEST,
    RNG,
    SEQUENCE,
    STEPS,
    WIDTH,
    File,
    compared,
    given,
    heads_of,
    joined,
)


@pytest.mark.parametrize("how", ["plain", "added", "lowest", "chosen", "folded", "triangle", "of heads"])
def test_products_and_a_softmax(how):
    """Attention as exporters write it: products, a scale, a mask that is added or chosen, and a softmax."""
    file = File()
    q, k, v = heads_of(file, "x")
    scores = file.add("MatMul", q, file.add("Transpose", k, perm=[0, 1, 3, 2]))
    scores = file.add("Mul", scores, np.array(0.6)) if how != "plain" else file.add("Div", scores, np.array(1.5))
    if how in ("added", "lowest", "of heads"):
        mask = np.where(LOWER, RNG.normal(size=LOWER.shape), LOWEST if how == "lowest" else -np.inf)
        scores = file.add("Add", scores, np.stack([mask, mask * 2]) if how == "of heads" else mask)
    elif how == "chosen":
        scores = file.add("Where", ~LOWER[None, None], np.array(-np.inf), scores)
    elif how == "folded":
        scores = file.add("Add", file.add("Where", LOWER, np.array(0.0), np.array(-np.inf)), scores)
    elif how == "triangle":
        ones = file.add("Trilu", file.add("Expand", np.array(1.0), np.array([STEPS, STEPS])), upper=0)
        scores = file.add("Where", file.add("Equal", ones, np.array(0.0)), np.array(-np.inf), scores)
    weights = file.add("Softmax", scores, axis=-1)
    if how == "lowest":
        weights = file.add("Where", file.add("IsNaN", weights), np.array(0.0), weights)
    program = compared(file.model(joined(file, file.add("MatMul", weights, v)), [SEQUENCE], 18), given())
    hides = [step for step in program.steps if step.operator == "softmax" and step.where]
    assert bool(hides) == (how != "plain")


def test_masks_of_samples():
    """A mask that is an input hides places of each sample; one more may be added to it."""
    file = File()
    q, k, v = heads_of(file, "x")
    scores = file.add("MatMul", q, file.add("Transpose", k, perm=[0, 1, 3, 2]))
    there = file.add("Unsqueeze", "mask", np.array([1, 2]))
    scores = file.add("Where", file.add("Cast", there, to=TensorProto.BOOL), scores, np.array(-np.inf))
    scores = file.add("Add", scores, np.where(LOWER, 0, -np.inf))
    y = joined(file, file.add("MatMul", file.add("Softmax", scores, axis=-1), v))
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]], np.float32)
    compared(file.model(y, [SEQUENCE, ("mask", TensorProto.FLOAT, (STEPS,))], 18), given(), mask)


@pytest.mark.parametrize("how", ["plain", "masked", "apart"])
def test_heads_beside_the_samples(how):
    """Attention as torch.onnx writes MultiheadAttention: steps come first, and heads and samples are one axis."""
    file, size = File(), WIDTH // HEADS
    x = file.add("Transpose", "x", perm=[1, 0, 2])
    projected = file.add("Add", file.add("MatMul", x, RNG.normal(size=(WIDTH, 3 * WIDTH))), RNG.normal(size=3 * WIDTH))
    pieces = file.add("Reshape", projected, np.array([STEPS, -1, 3, WIDTH]))
    pieces = file.add("Transpose", file.add("Unsqueeze", pieces, np.array([0])), perm=[3, 1, 2, 0, 4])
    q, k, v = (file.add("Gather", file.add("Squeeze", pieces, np.array([3])), np.array(n), axis=0) for n in range(3))
    q, k, v = (file.add("Reshape", tensor, np.array([STEPS, -1, size])) for tensor in (q, k, v))
    q, k, v = (file.add("Transpose", tensor, perm=[1, 0, 2]) for tensor in (q, k, v))
    if how == "apart":
        q, k, v = (file.add("Reshape", tensor, np.array([-1, HEADS, STEPS, size])) for tensor in (q, k, v))
    turned = [0, 2, 1] if how != "apart" else [0, 1, 3, 2]
    scores = file.add("MatMul", file.add("Mul", q, np.array(0.6)), file.add("Transpose", k, perm=turned))
    if how == "masked":
        scores = file.add("Add", scores, np.where(LOWER, 0.0, -np.inf))
    y = file.add("MatMul", file.add("Softmax", scores, axis=-1), v)
    y = file.add("Transpose", y, perm=[1, 0, 2] if how != "apart" else [2, 0, 1, 3])
    y = file.add("Reshape", y, np.array([-1, WIDTH]))
    y = file.add("Gemm", y, RNG.normal(size=(WIDTH, WIDTH)), RNG.normal(size=WIDTH), transB=1)
    y = file.add("Transpose", file.add("Reshape", y, np.array([STEPS, -1, WIDTH])), perm=[1, 0, 2])
    program = compared(file.model(y, [SEQUENCE], 18), given())
    assert sum(step.operator in ("softmax", "log_softmax") for step in program.steps) == 1


def with_heads_in_rows(rest, per_sample=HEADS, **attributes):
    """Attention whose heads are folded into the samples by a shape: a multiple of their number, and the rest."""
    file = File()
    samples = file.add("Gather", file.add("Shape", "x"), np.array([0]), axis=0)
    folded = file.add("Concat", file.add("Mul", samples, np.array([per_sample])), np.array(rest), axis=0)
    q, k, v = heads_of(file, "x")
    if attributes.pop("steps_first", False):
        q, k, v = (file.add("Transpose", tensor, perm=[0, 2, 1, 3]) for tensor in (q, k, v))
    q, k, v = (file.add("Reshape", tensor, folded, **attributes) for tensor in (q, k, v))
    scores = file.add("Softmax", file.add("MatMul", q, file.add("Transpose", k, perm=[0, 2, 1])), axis=-1)
    y = file.add("Reshape", file.add("MatMul", scores, v), np.array([-1, HEADS, STEPS, WIDTH // HEADS]))
    return file.model(joined(file, y), [SEQUENCE], 18)


@pytest.mark.parametrize("rest", [(STEPS, WIDTH // HEADS), (-1, WIDTH // HEADS), (STEPS, -1)])
def test_heads_folded_into_the_samples(rest):
    """The -1 of a shape whose first axis is a multiple of the samples is the size that is left of each row."""
    compared(with_heads_in_rows(rest), given())


def test_kept_axes_beside_folded_heads():
    """A 0 of such a shape keeps the size of an axis, which is the one at its place before."""
    file = with_heads_in_rows((0, WIDTH // HEADS), steps_first=True)
    with pytest.raises(nn.ModelError, match="mixes the rows of a batch"):
        nn.from_onnx(with_heads_in_rows((0, WIDTH // HEADS)))
    compared(file, given())


@pytest.mark.parametrize("rest", [(STEPS, 1), (-1, 5)])
def test_rows_that_mix_with_values(rest):
    """Shapes that do not hold whole rows are refused."""
    with pytest.raises(nn.ModelError, match="mixes the rows of a batch with their values"):
        nn.from_onnx(with_heads_in_rows(rest, 3))


def test_other_orders_of_folded_values():
    """Values that are folded into the rows in two orders do not meet: the error says so."""
    file = File()
    turned = file.add("Reshape", file.add("Transpose", "x", perm=[0, 2, 1]), np.array([-1]))
    y = file.add("Add", file.add("Reshape", "x", np.array([-1])), turned)
    y = file.add("Reshape", y, np.array([-1, STEPS, WIDTH]))
    with pytest.raises(nn.ModelError, match="rows of a batch meet rows that other axes are folded into"):
        nn.from_onnx(file.model(y, [SEQUENCE], 18))


@pytest.mark.parametrize("axis", [1, 2])
def test_normalizations_of_parts(axis):
    """A normalization goes over steps or features that are several parts, and each part of the result is read alone."""
    file = File()
    first, last = (file.add("Slice", "x", *map(np.array, bounds)) for bounds in (([0], [1], [1]), ([1], [STEPS], [1])))
    x = file.add("Concat", file.add("Tanh", first), last, axis=1)
    x = file.add("Concat", x, file.add("Sin", x), axis=2)
    x = file.add("LayerNormalization", x, np.ones((STEPS, 2 * WIDTH)[axis - 1 :]), axis=axis, epsilon=1e-3)
    y = file.add("Slice", x, np.array([1]), np.array([WIDTH + 1]), np.array([2]))
    compared(file.model(file.add("MatMul", y, RNG.normal(size=(WIDTH, WIDTH))), [SEQUENCE], 18), given())


@pytest.mark.parametrize("how", ["causal", "mask", "groups", "flat"])
def test_attention_of_opset_23(how):
    """The operator Attention, with RMSNormalization before it, and RotaryEmbedding."""
    file = File()
    x = file.add("RMSNormalization", "x", RNG.normal(size=WIDTH), epsilon=1e-3)
    if how == "flat":
        sizes = [file.add("MatMul", x, RNG.normal(size=(WIDTH, WIDTH))) for _ in range(3)]
        y = file.add("Attention", *sizes, q_num_heads=3, kv_num_heads=3, is_causal=1)
        y = file.add("MatMul", y, RNG.normal(size=(WIDTH, WIDTH)))
    else:
        q, k, v = heads_of(file, x)
        if how == "causal":
            q, k, v = (file.add("Slice", tensor, *map(np.array, ([0], [2], [3]))) for tensor in (q, k, v))
            angles = np.arange(STEPS)[:, None] * [1.0]
            tables = [function(angles) for function in (np.cos, np.sin)]
            q, k = (
                file.add("RotaryEmbedding", tensor, *tables, np.arange(STEPS)[None].repeat(3, 0)) for tensor in (q, k)
            )
            y = file.add("Attention", q, k, v, is_causal=1, scale=0.4)
            y = file.add("Concat", y, file.add("Neg", file.add("Slice", y, *map(np.array, ([0], [1], [3])))), axis=3)
        elif how == "mask":
            if tuple(map(int, runtime.__version__.split(".")[:2])) < (1, 27):
                pytest.skip("onnxruntime before 1.27 bounds the scores after the mask, not before it as ONNX says")
            y = file.add("Attention", q, k, v, LOWER | (np.arange(STEPS) == 2), softcap=2.0)
        else:
            k, v = (file.add("Slice", tensor, *map(np.array, ([0], [1], [1]))) for tensor in (k, v))
            y = file.add("Attention", q, k, v, np.where(LOWER, 0.5, -np.inf))
        y = joined(file, y)
    compared(file.model(y, [SEQUENCE], 23), given())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f: f.add("Neg", f.add("Add", "x", np.full((STEPS, WIDTH), -np.inf))), "may only go into a Softmax"),
        (
            lambda f: f.add("Softmax", f.add("Where", np.eye(STEPS, WIDTH) > 0, np.array(-np.inf), "x"), axis=1),
            "another axis than the last one",
        ),
        (lambda f: f.add("Where", f.add("IsNaN", "x"), "x", "x"), "asks for NaN of anything but a softmax"),
        (lambda f: f.add("Trilu", "x"), "a triangle of values that depend on the inputs"),
        (lambda f: f.add("Add", "x", np.full((STEPS, WIDTH), np.inf)), "has values that are not finite"),
        (lambda f: f.add("Attention", "x", "x", "x", q_num_heads=4, kv_num_heads=4), "which 4 heads do not divide"),
    ],
    ids=range(6),
)
def test_what_is_refused(build, message):
    """The error names the node, and says why."""
    file = File()
    made = build(file)
    value_info = helper.make_tensor_value_info(made, TensorProto.FLOAT, ["N", STEPS, WIDTH])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", STEPS, WIDTH])
    graph = helper.make_graph(file.nodes, "refused", [x], [value_info], file.initializers)
    with pytest.raises(nn.ModelError, match=message):
        nn.from_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10))

"""Attention of ONNX: operators of opset 23, normalizations, and what surrounds the softmax of masked scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import sympy

from nncodegen.compiler.describe.normalization import normalized
from nncodegen.compiler.ir.functions import tanh
from nncodegen.errors import ModelError
from nncodegen.formats.activations import number
from nncodegen.formats.onnx.reading.axes import UNIT
from nncodegen.formats.onnx.reading.call import OnnxCall
from nncodegen.formats.onnx.reading.masks import parts
from nncodegen.formats.onnx.reading.types import BOOL
from nncodegen.formats.onnx.reading.values import Value, Weights

Function = Callable[[OnnxCall], Any]


def is_nan(call: OnnxCall) -> Value:
    """Return 0 for each weight of a softmax: a row that a mask hides gives 0 here, which exporters ask for by this."""
    value = call.value(0)
    operators = {step.target: step.operator for step in call.builder.steps}
    if any(operators.get(block) != "softmax" for block in value.blocks.values()):
        raise ModelError(f"{call.node} asks for NaN of anything but a softmax of scores that a mask hides")
    return call.builder.number(0.0, len(value.axes))


def triangle(call: OnnxCall) -> Any:
    """Return the upper or lower triangle of numbers of the file, such as a causal mask."""
    operand = call.inputs[0]
    if isinstance(operand, Value) and all(block.is_number for block in operand.blocks.values()):
        shape = tuple(size or 0 for size in call.builder.shape(operand))
        ((block, *others),) = [tuple(dict.fromkeys(operand.blocks.values()))]
        operand = Weights(call.node.outputs[0], np.full(shape, float(block))) if not others and all(shape) else operand
    if not isinstance(operand, Weights | np.ndarray):
        raise ModelError(f"{call.node} takes a triangle of values that depend on the inputs")
    k = call.integers(1, "a diagonal")[0] if call.given(1) else 0
    cut = np.triu if call.whole("upper", 1) else np.tril
    if isinstance(operand, Weights):
        return Weights(call.node.outputs[0], cut(operand.array, k))
    return cut(operand, k)


# --- normalizations ----------------------------------------------------------------------------------------------


def normalization(centered: bool) -> Function:
    """Return the operator (x - mean)/sqrt(variance + epsilon)*scale + bias, or the same without mean and bias."""

    def operator(call: OnnxCall) -> list[Any]:
        build = call.builder
        x = build.held(call.value(0), "x")
        rank, epsilon, before = len(x.axes), number(call.real("epsilon", 1e-5)), x.axes
        axes = range(call.axis(call.whole("axis", -1), rank), rank)
        count = math.prod(build.shape(x)[axis] or 1 for axis in axes)
        for axis in axes:
            x = build.whole(x, axis, f"{call.node.name or call.node.outputs[0]}:normalized{axis}")
        over = tuple(index for axis in axes for index in x.axes[axis][0])
        parts = {
            position: normalized(build, block, x.indices(position), over, count, epsilon, centered)
            for position, block in x.blocks.items()
        }
        result = replace(x, blocks={position: value for position, (value, _, _) in parts.items()}, summed=False)
        for axis in axes:
            result = build.apart(result, axis, before[axis])
        kept = replace(x, axes=(*x.axes[: axes.start], *(UNIT for _ in axes)), summed=False)
        mean, factor = (
            replace(kept, blocks={position: part[place] for position, part in parts.items()}) for place in (1, 2)
        )
        for k, join in ((1, lambda z, s: z * s), (2, lambda z, s: z + s)):
            if call.given(k):
                weights = call.value(k, as_parameter=True)
                build.trained |= weights.undecided
                result = build.elementwise(join, result, weights)
        return [result, *([mean] if centered else []), factor]

    return operator


# --- opset 23 ----------------------------------------------------------------------------------------------------

# The softmax of these operators is the one of the layers (describe.attention's Rows); their two products and their
# pairs of features are products of matrices and formulas of graphs. A layer computes scores and means only where a
# query may look, so what is not finite elsewhere does not reach them; ONNX multiplies all queries by all keys, hides
# scores after softcap and an added mask, and multiplies the values that are hidden by 0, which is NaN where they are
# not finite. A layer computes its angles from places, and reads the other feature of each pair along an axis that is
# whole; ONNX takes cosines and sines of half the features from the file or the graph, for any positions, pairs that are
# interleaved, and a part of the features, and its axes may be in sections, so that the halves of the pairs cost no
# steps.


def rotary_embedding(call: OnnxCall) -> Value:
    """Return features in pairs, turned by angles whose cosines and sines are in the file."""
    build, x = call.builder, call.value(0)
    flat = len(x.axes) == 3
    if flat:
        x = _heads_apart(call, x, call.whole("num_heads", 0), "num_heads")
    size = call.whole("rotary_embedding_dim", 0) or build.shape(x)[-1] or 1
    half, steps = size // 2, build.shape(x)[2]
    order = [*range(0, size, 2), *range(1, size, 2)] if call.whole("interleaved", 0) else list(range(size))
    first, second = (build.gathered(x, 3, order[k * half : (k + 1) * half]) for k in (0, 1))
    cos, sin = (_angles(call, k, steps or 1, half) for k in (1, 2))
    turned = [
        build.elementwise(lambda p, q, c, s: p * c - q * s, first, second, cos, sin),
        build.elementwise(lambda p, q, c, s: p * s + q * c, first, second, cos, sin),
    ]
    whole = build.shape(x)[-1] or 1
    rest = [build.gathered(x, 3, list(range(size, whole)))] if size < whole else []
    result = build.concatenated([*turned, *rest], 3)
    back = [order.index(k) for k in range(size)] + list(range(size, whole))
    return _heads_together(call, build.gathered(result, 3, back)) if flat else build.gathered(result, 3, back)


def _angles(call: OnnxCall, k: int, steps: int, half: int) -> Value:
    """Return the cosines or sines for each step and pair of features, with an axis for heads."""
    build, operand = call.builder, call.inputs[k]
    positions = np.array(call.integers(3, "positions")).reshape(-1, steps) if call.given(3) else None
    if isinstance(operand, Weights):
        array = operand.array
        if positions is not None:
            inside = array.ndim == 2 and 0 <= positions.min() <= positions.max() < len(array)
            if not inside:
                raise ModelError(f"{call.node} has positions without angles: these have the shape {array.shape}")
            array = array[positions]
        array = array[0] if array.ndim == 3 and (array == array[0]).all() else array
        if array.shape[-2:] != (steps, half):
            raise ModelError(f"{call.node} has angles of the shape {array.shape} for {steps} steps and {half} pairs")
        value = build.parameter(operand.name, array)
        build.fixed |= dict.fromkeys(sorted(value.undecided))
    else:
        value = call.value(k)
        if positions is not None:
            value = build.gathered(value, 0, positions.ravel().tolist())
            value = build.reshaped(value, (*positions.shape, build.shape(value)[-1]))
    return build.inserted(value, 1) if len(value.axes) == 3 else value


def _heads_apart(call: OnnxCall, x: Value, heads: int, name: str) -> Value:
    """Return (samples, steps, heads*features) as (samples, heads, steps, features)."""
    samples, steps, size = call.builder.shape(x)
    if heads < 1 or (size or 0) % heads:
        raise ModelError(f"{call.node} has {size} features, which {heads} heads do not divide: it lacks {name}")
    return call.builder.transposed(
        call.builder.reshaped(x, (samples, steps, heads, (size or 0) // heads)), (0, 2, 1, 3)
    )


def _heads_together(call: OnnxCall, x: Value) -> Value:
    samples, heads, steps, size = call.builder.shape(x)
    return call.builder.reshaped(call.builder.transposed(x, (0, 2, 1, 3)), (samples, steps, (heads or 1) * (size or 1)))


def attention(call: OnnxCall) -> Value:
    """Return the means of the values, weighted by a softmax of query*key*scale over what a query may look at."""
    build = call.builder
    if any(call.given(k) for k in (4, 5, 6)) or any(call.node.outputs[1:]):
        raise ModelError(
            f"{call.node} keeps keys and values of earlier calls, or returns scores: nncodegen reads it without"
        )
    if any(call.whole(f"{side}_window_size", -1) != -1 for side in ("left", "right")):
        raise ModelError(f"{call.node} has a window of places: nncodegen reads it with a mask")
    q, k, v = (call.value(number, as_parameter=False) for number in (0, 1, 2))
    flat = len(q.axes) == 3
    if flat:
        names = ("q_num_heads", "kv_num_heads", "kv_num_heads")
        q, k, v = (_heads_apart(call, x, call.whole(n, 0), n) for x, n in zip((q, k, v), names, strict=True))
    samples, heads, steps, size = build.shape(q)
    groups = build.shape(k)[1] or 1
    scale = call.real("scale", 0.0) or 0.0
    q = call.scaled(q, scale) if scale else call.scaled(q, 1 / sympy.sqrt(sympy.Integer(size or 1)))
    grouped = groups != heads
    if grouped:
        if (heads or 1) % groups:
            raise ModelError(f"{call.node} has {heads} heads of queries, which {groups} heads of keys do not divide")
        q = build.reshaped(q, (samples, groups, (heads or 1) // groups, steps, size))
        k, v = build.inserted(k, 2), build.inserted(v, 2)
    rank = len(q.axes)
    scores = build.product(q, build.transposed(k, (*range(rank - 2), rank - 1, rank - 2)))
    cap = call.real("softcap", 0.0)
    if cap:
        c = number(cap)
        scores = build.elementwise(lambda z: c * tanh(z / c), scores)
    allowed: Value | None = None
    if call.given(3):
        added: Value | None = None
        if call.type(3) == BOOL:
            allowed = call.value(3)
        else:
            added, allowed = parts(call, 3)
        if grouped:
            added, allowed = (
                build.inserted(mask, 2) if mask is not None and len(mask.axes) == 4 else mask
                for mask in (added, allowed)
            )
        if added is not None:
            scores = build.elementwise(lambda p, m: p + m, scores, added)
    weights = build.softmax_where(scores, allowed, bool(call.whole("is_causal", 0)), call.node.outputs[0])
    result = build.product(weights, v)
    if grouped:
        result = build.reshaped(result, (samples, heads, steps, build.shape(v)[-1]))
    return _heads_together(call, result) if flat else result

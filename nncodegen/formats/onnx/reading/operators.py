"""The operators of ONNX: how each is read, as a function of its operands, and where files that are written have it.

https://onnx.ai/onnx/operators defines them. To add one, add an entry to the table at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Abs, Expr, Max, Min, Piecewise, S
from sympy.codegen.cfunctions import Sqrt, expm1

from nncodegen.compiler.describe.activations import clip
from nncodegen.compiler.ir.elementary import RECORDS
from nncodegen.compiler.ir.functions import leaky_relu
from nncodegen.errors import ModelError
from nncodegen.formats.activations import by_names, form_of, number, with_parameters, with_texts
from nncodegen.formats.onnx.reading import attention, onnx_ml, shapes, windows
from nncodegen.formats.onnx.reading.axes import UNIT
from nncodegen.formats.onnx.reading.call import MOST_WHOLE, SAMPLES_SIZE, OnnxCall
from nncodegen.formats.onnx.reading.file import FLOATS, SHORT, type_of
from nncodegen.formats.onnx.reading.masks import (
    hidden_by_choice,
    hidden_by_factor,
    hidden_by_sum,
    of_hidden,
    softmax_of_masked,
)
from nncodegen.formats.onnx.reading.recurrent import LAYERS, recurrent
from nncodegen.formats.onnx.reading.scan import loop, scan
from nncodegen.formats.onnx.reading.types import BOOL, is_exact, is_whole
from nncodegen.formats.onnx.reading.values import Masked, Value, Weights

Function = Callable[[OnnxCall], Any]

LARGEST_EXPONENT = 64
"""The largest absolute value of an exponent, as powers are multiplied out."""

MOST_LETTERS = 12
"""The largest number of letters in the equation of an Einsum."""


def _unary(function: Callable[..., Expr]) -> Function:
    return lambda call: call.builder.elementwise(function, call.value(0), most=1)


def _activation(name: str) -> Function:
    """Return the operator of an activation; a text may choose among the records that have its name."""
    records = by_names("onnx")[name]

    def operator(call: OnnxCall) -> Value:
        record = with_texts(records, "onnx", lambda text: call.text(text, ""))
        parameters = form_of(record, "onnx").parameters.items()
        function = with_parameters(record, [call.real(text, usual) for text, usual in parameters])
        return call.builder.elementwise(function, call.value(0), most=1)

    return operator


# --- arithmetic --------------------------------------------------------------------------------------------------


def _arithmetic(function: Callable[[Any, Any], Expr]) -> Function:
    return lambda call: call.builder.elementwise(function, call.value(0), call.value(1))


def _of_integers(function: Callable[[OnnxCall, int, int], int], otherwise: Function) -> Function:
    """Return the operator that computes a function of integers in the file, such as the product of two sizes.

    Other operands are left to ``otherwise``.
    """

    def operator(call: OnnxCall) -> Any:
        pair = list(call.inputs)
        if len(pair) != 2 or not all(isinstance(operand, np.ndarray) for operand in pair):
            return otherwise(call)
        a, b = (np.asarray(operand, dtype=object) for operand in pair)
        try:
            a, b = np.broadcast_arrays(a, b)
        except ValueError:
            raise ModelError(f"{call.node} has integers of the shapes {a.shape} and {b.shape}") from None
        results = np.array(
            [_integer(call, function, int(p), int(q)) for p, q in zip(a.flat, b.flat, strict=True)], object
        )
        return results.astype(np.int64).reshape(a.shape)

    return operator


def _integer(call: OnnxCall, function: Callable[[OnnxCall, int, int], int], p: int, q: int) -> int:
    """Return a function of two integers, one of which may stand for a multiple of the number of samples."""
    result = function(call, p, q)
    if min(p, q) <= SAMPLES_SIZE:
        times, rest = divmod(result, SAMPLES_SIZE)
        known = function in OF_SAMPLES and rest == 0 and 0 < times < MOST_WHOLE
    else:
        known = abs(result) < -SAMPLES_SIZE
    if not known:
        raise ModelError(f"{call.node} computes with the number of samples, or with numbers that are too large")
    return result


def _product(call: OnnxCall, p: int, q: int) -> int:
    return p * q


def _quotient(call: OnnxCall, p: int, q: int) -> int:
    """Return a quotient of integers, rounded towards 0."""
    if q == 0:
        raise ModelError(f"{call.node} divides an integer by 0")
    return abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1)


def _remainder(call: OnnxCall, p: int, q: int) -> int:
    """Return a remainder with the sign of q, or with that of p if the attribute fmod is 1."""
    return p - q * _quotient(call, p, q) if call.whole("fmod", 0) else p % (q or _quotient(call, p, q))


OF_SAMPLES = (_product, _quotient)
"""The functions of the number of samples that are known: there are as many heads of all samples, for instance."""


def _mod(call: OnnxCall) -> Value:
    raise ModelError(f"{call.node} takes the remainder of values that are not integers in the file")


def _add(call: OnnxCall) -> Value | Masked:
    """Return a sum; a number that is added to a product of matrices is its bias, even if it is a single one."""
    if masked := hidden_by_sum(call):
        return masked
    a, b = (
        call.value(k, as_parameter=isinstance(other, Value) and other.summed and call.builder.shape(other)[-1:] == (1,))
        for k, other in enumerate(reversed((call.as_real(0), call.as_real(1))))
    )
    return call.builder.elementwise(lambda p, q: p + q, a, b)


def _mul(call: OnnxCall) -> Value | Masked:
    if masked := hidden_by_factor(call, lambda p, q: p * q):
        return masked
    return call.builder.elementwise(lambda p, q: p * q, call.value(0), call.value(1))


def _div(call: OnnxCall) -> Value | Masked:
    """Divide; values divided by their sum are a softmax, as for the classes in a file of scikit-learn."""
    call.refuse_rounding(0, 1)
    if masked := hidden_by_factor(call, lambda p, q: p / q):
        return masked
    p, q = call.value(0), call.value(1)
    return call.builder.shares(p, q) or call.builder.elementwise(lambda p, q: p / q, p, q)


def _variadic(join: Callable[..., Expr]) -> Function:
    def operator(call: OnnxCall) -> Value:
        values = [call.value(k) for k in range(max(1, len(call.inputs)))]
        return call.builder.elementwise(join, *values)

    return operator


def _truth(of_arrays: Callable[..., NDArray[Any]], formula: Callable[..., Expr]) -> Function:
    """Return the operator of truth values: 1 where something holds, else 0. Those of the file are computed at once."""

    def operator(call: OnnxCall) -> Value | NDArray[Any]:
        known = [array for array in call.inputs if isinstance(array, np.ndarray)]
        if len(known) < len(call.inputs) or any(array.min(initial=0) <= SAMPLES_SIZE for array in known):
            return call.builder.elementwise(formula, *(call.value(k) for k in range(len(call.inputs))))
        try:
            return np.asarray(of_arrays(*known))
        except ValueError as error:
            raise ModelError(f"{call.node} cannot be computed: {error}") from error

    return operator


def _comparison(of_arrays: Callable[..., NDArray[Any]], condition: Callable[[Any, Any], Any]) -> Function:
    return _truth(of_arrays, lambda p, q: Piecewise((S.One, condition(p, q)), (S.Zero, True)))


def _where(call: OnnxCall) -> Any:
    hidden = hidden_by_choice(call)
    if hidden is not None:
        return hidden
    if all(isinstance(operand, np.ndarray) for operand in call.inputs):
        return np.where(*(np.asarray(operand) for operand in call.inputs))
    values = [call.value(k) for k in range(3)]
    return call.builder.elementwise(lambda c, p, q: Piecewise((q, sympy.Eq(c, 0)), (p, True)), *values)


def _pow(call: OnnxCall) -> Value:
    exponent = call.value(1)
    if not exponent.is_number:
        if not is_whole(call.type(1)):
            call.refuse_rounding(0)
        return call.builder.elementwise(lambda u, b: u**b, call.value(0), exponent, most=1)
    (b,) = exponent.blocks.values()
    if abs(b) > LARGEST_EXPONENT:
        raise ModelError(f"{call.node} has the exponent {b}; it may be from -{LARGEST_EXPONENT} to {LARGEST_EXPONENT}")
    if b < 0 or not b.is_integer:
        call.refuse_rounding(0)
    base = call.value(0)
    base = base if base.is_number else call.builder.held(base, "t")  # otherwise numbers in it would be raised, too
    return call.builder.elementwise(lambda u, b: Sqrt(u) if b == S.Half else u**b, base, exponent)


def _clip(call: OnnxCall) -> Value:
    if call.opset < 11:
        bounds = [call.attributes.get(name) for name in ("min", "max")]
        low, high = (None if bound is None else call.builder.number(bound) for bound in bounds)
    else:
        low, high = (call.value(k) if call.given(k) and not call.is_infinite(k) else None for k in (1, 2))
    for bound in (low, high):
        if bound is not None and any(sections != UNIT for sections in bound.axes):
            raise ModelError(f"{call.node} has bounds that are no single numbers")
    present = [bound for bound in (low, high) if bound is not None]

    def clipped(z: Any, *bounds: Any) -> Expr:
        rest = list(bounds)
        return clip(z, rest.pop(0) if low is not None else None, rest.pop(0) if high is not None else None)

    return call.builder.elementwise(clipped, call.value(0), *present, most=1)


def _prelu(call: OnnxCall) -> Value:
    slope = call.value(1, as_parameter=True)
    x = call.value(0)
    if len(slope.axes) > len(x.axes):
        raise ModelError(f"{call.node} has a slope of {len(slope.axes)} axes for a tensor of {len(x.axes)}")
    return call.builder.elementwise(leaky_relu, x, slope, most=1)


# --- products ----------------------------------------------------------------------------------------------------


def _matmul(call: OnnxCall) -> Value:
    return call.builder.product(call.value(0, as_parameter=True), call.value(1, as_parameter=True))


def _gemm(call: OnnxCall) -> Value:
    a, b = (call.value(k, as_parameter=True) for k in (0, 1))
    if len(a.axes) != 2 or len(b.axes) != 2:
        raise ModelError(f"{call.node} takes matrices, not tensors of {len(a.axes)} and {len(b.axes)} axes")
    a = call.builder.transposed(a, (1, 0)) if call.whole("transA", 0) else a
    b = call.builder.transposed(b, (1, 0)) if call.whole("transB", 0) else b
    total = call.scaled(call.builder.product(a, b), call.real("alpha", 1.0))
    if not call.given(2):
        return total
    bias = call.scaled(call.value(2, as_parameter=True), call.real("beta", 1.0))
    return call.builder.elementwise(lambda p, q: p + q, total, bias)


def _einsum(call: OnnxCall) -> Value:
    """Sum products, as the equation says. An ellipsis, or a letter twice in a term, is refused."""
    equation = call.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if not arrow:  # letters that occur once, in alphabetical order
        result = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    values = [call.value(k, as_parameter=True) for k in range(len(call.inputs))]
    fits = len(terms) == len(values) and all(len(t) == len(v.axes) for t, v in zip(terms, values, strict=False))
    known = all(term.isalpha() and len(set(term)) == len(term) for term in [*terms, result] if term)
    if not fits or not known or not set(result) <= set(left) or len({*left}) > MOST_LETTERS:
        raise ModelError(f"{call.node} has the equation {equation[:80]!r}: nncodegen knows terms of letters, each once")
    return call.builder.contracted(values, terms, result)


def _global_pool(operator: str) -> Function:
    """Return the operator that reduces (N, channels, ...) to one value for each channel."""

    def pooled(call: OnnxCall) -> Value:
        value = call.value(0)
        shape = call.builder.shape(value)
        if len(shape) < 3:
            raise ModelError(f"{call.node} takes a tensor of the shape (samples, channels, ...)")
        result = call.builder.reduce(operator, value, range(2, len(shape)))
        count = math.prod(size or 1 for size in shape[2:])
        return call.scaled(result, 1 / sympy.Integer(count)) if operator == "sum" else result

    return pooled


def _batch_normalization(call: OnnxCall) -> Value:
    """Return the affine function of each channel in predictions: (x - mean)/sqrt(variance + epsilon)*scale + bias."""
    if call.whole("training_mode", 0):
        raise ModelError(f"{call.node} is in training mode: export the network in evaluation mode")
    x = call.value(0)
    if len(x.axes) < 2 or not call.whole("spatial", 1):
        raise ModelError(f"{call.node} takes a tensor of two axes or more, with one mean for each channel")
    epsilon, operands = call.real("epsilon", 1e-5), call.inputs[1:5]
    weights = [operand for operand in operands if isinstance(operand, Weights)]
    channels = (1,) * (len(x.axes) - 2)
    if len(weights) == 4 and len({operand.array.shape for operand in weights}) == 1 and weights[0].array.ndim == 1:
        scale, bias, mean, variance = (operand.array for operand in weights)
        if not (variance + epsilon > 0).all():
            raise ModelError(f"{call.node} has a variance that is negative")
        factor = scale / np.sqrt(variance + epsilon)
        a = call.builder.parameter(weights[0].name, factor)
        b = call.builder.parameter(weights[1].name, bias - mean * factor)
        call.builder.trained |= a.undecided | b.undecided
        a, b = (call.with_axes(operand, channels) for operand in (a, b))
        return call.builder.elementwise(lambda x, a, b: x * a + b, x, a, b)
    values = [call.with_axes(call.value(k, as_parameter=True), channels) for k in (1, 2, 3, 4)]
    e = number(epsilon)
    return call.builder.elementwise(lambda x, s, b, m, v: (x - m) / Sqrt(v + e) * s + b, x, *values)


def _dropout(call: OnnxCall) -> list[Any]:
    if call.given(2) and call.integers(2, "training_mode")[:1] == (1,):
        raise ModelError(f"{call.node} is in training mode: export the network in evaluation mode")
    return [call.first]


# --- along axes --------------------------------------------------------------------------------------------------


def _softmax(logarithm: bool) -> Function:
    def operator(call: OnnxCall) -> Value:
        masked = call.inputs[0] if call.inputs else None
        if isinstance(masked, Masked) and not logarithm:
            return softmax_of_masked(call, masked)
        value = call.value(0)
        rank = len(value.axes)
        axis = call.axis(call.whole("axis", 1 if call.opset < 13 else -1), rank)
        axes = [axis] if call.opset >= 13 else list(range(axis, rank))
        return call.builder.normalized(value, axes, logarithm)

    return operator


def _reduce(operator: str, before: Any = None, after: Any = None, mean: bool = False, since: int = 18) -> Function:
    """Return the operator of a reduction; ``since`` is the version from which the axes are an input."""

    def reduced(call: OnnxCall) -> Value:
        value = call.value(0)
        if mean or after is Sqrt:
            call.refuse_rounding(0)
        rank = len(value.axes)
        axes = call.wholes("axes", ())
        if call.opset >= since and call.given(1):
            axes = call.integers(1, "axes")
        if not axes and call.whole("noop_with_empty_axes", 0):
            return value
        numbers = sorted({call.axis(axis, rank) for axis in axes} or set(range(rank)))
        if before is not None:
            value = call.builder.elementwise(before, value)
        result = call.builder.reduce(operator, value, numbers)
        if mean:
            shape = call.builder.shape(value)
            count = int(np.prod([shape[axis] or 1 for axis in numbers], dtype=object))
            result = call.scaled(result, 1 / sympy.Integer(count))
        if after is not None:
            result = call.builder.elementwise(after, result)
        for axis in reversed(numbers) if not call.whole("keepdims", 1) else ():
            result = call.builder.without(result, axis)
        return result

    return reduced


def _cast(call: OnnxCall) -> Any:
    """Convert: real numbers stay as they are, and to bool they become 0 or 1.

    Real numbers are not converted to integers, which would round them, except inputs that are positions: these are
    integers, or an error where they are used.
    """
    kind = type_of(call.attributes.get("to"))
    if kind in FLOATS and isinstance(call.inputs[0], Masked):
        return call.inputs[0]
    value = call.first
    if kind == "bfloat16":
        raise ModelError(f"{call.node} makes numbers in {SHORT}")
    if kind in FLOATS:
        return call.as_real(0)
    if not isinstance(value, Value) and is_exact(kind):
        return value.array if isinstance(value, Weights) else value
    if isinstance(value, Value) and is_exact(value.type) and (is_whole(kind) or value.type == kind):
        return value
    if kind == BOOL:
        return call.builder.elementwise(lambda z: Piecewise((S.Zero, sympy.Eq(z, 0)), (S.One, True)), call.value(0))
    if isinstance(value, Value) and is_whole(kind) and call.builder.is_input(value):
        return replace(value, rounded=True)
    raise ModelError(f"{call.node} makes numbers of the type {kind}: nncodegen computes with real numbers alone")


# --- the table ---------------------------------------------------------------------------------------------------

SINGLE, BOTH = ("float32",), ("float32", "float64")
"""The precisions in which runtimes compute an operator to the last digits, so that files that are written have it."""


@dataclass(frozen=True)
class Operator:
    """An operator of ONNX.

    ``read`` computes its results from a node, or None if it is only written. ``since`` is the lowest version (opset)
    that has it; 0 for one that ONNX does not have, but exporters write. ``written`` are the precisions in which
    nncodegen writes it, from that version on; ``exports.onnx`` chooses where.
    """

    read: Function | None
    since: int = 1
    written: tuple[str, ...] = ()

    def is_written(self, precision: str, opset: int) -> bool:
        """Return whether a file of a precision and a version may have it."""
        return precision in self.written and self.since <= opset


_FUNCTIONS = {
    record.onnx: record.function
    for record in RECORDS
    if record.onnx and record.arguments == "x" and record.onnx not in by_names("onnx")
}
_SINCE = {
    **dict.fromkeys(("Acos", "Asin", "Atan", "Cos", "Sin", "Tan"), 7),
    **dict.fromkeys(("Acosh", "Asinh", "Atanh", "Cosh", "Erf", "Sign", "Sinh"), 9),
}
_IN_DOUBLE = ("Abs", "Exp", "Log", "Sign", "Sin", "Sqrt")
"""The functions that runtimes have in float64, too. All others are composed there."""

GROUPS: dict[str, dict[str, Operator]] = {
    "products": {
        "Einsum": Operator(_einsum, 12, BOTH),
        "Gemm": Operator(_gemm, 1, BOTH),
        "MatMul": Operator(_matmul, 1, BOTH),
    },
    "arithmetic": {
        "Add": Operator(_of_integers(lambda call, p, q: p + q, _add), 1, BOTH),
        "Div": Operator(_of_integers(_quotient, _div), 1, BOTH),
        "Floor": Operator(None, 1, BOTH),
        "Max": Operator(_variadic(Max), 1, BOTH),
        "Mean": Operator(_variadic(lambda *z: sympy.Add(*z) / len(z))),
        "Min": Operator(_variadic(Min), 1, BOTH),
        "Mod": Operator(_of_integers(_remainder, _mod), 10),
        "Mul": Operator(_of_integers(_product, _mul), 1, BOTH),
        "Neg": Operator(_unary(lambda z: -z), 1, BOTH),
        "Pow": Operator(_pow, 1, BOTH),
        "Reciprocal": Operator(_unary(lambda z: 1 / z), 1, BOTH),
        "Sub": Operator(_of_integers(lambda call, p, q: p - q, _arithmetic(lambda p, q: p - q)), 1, BOTH),
        "Sum": Operator(_variadic(sympy.Add)),
    },
    "functions": {
        **{
            name: Operator(_unary(function), _SINCE.get(name, 1), BOTH if name in _IN_DOUBLE else SINGLE)
            for name, function in _FUNCTIONS.items()
        },
        "Erfc": Operator(_unary(sympy.erfc), 0),  # tf2onnx writes these two, for gelu and celu
        "Expm1": Operator(_unary(expm1), 0),
    },
    "activations": {
        "Celu": Operator(_activation("Celu"), 12),
        "Clip": Operator(_clip),
        "Elu": Operator(_activation("Elu"), 1, SINGLE),
        "Gelu": Operator(_activation("Gelu"), 20),
        "HardSigmoid": Operator(_activation("HardSigmoid"), 1, SINGLE),
        "HardSwish": Operator(_activation("HardSwish"), 14),
        "LeakyRelu": Operator(_activation("LeakyRelu"), 1, SINGLE),
        "LogSoftmax": Operator(_softmax(logarithm=True), 1, BOTH),
        "Mish": Operator(_activation("Mish"), 18),
        "PRelu": Operator(_prelu, 1, SINGLE),
        "Relu": Operator(_activation("Relu"), 1, BOTH),
        "Selu": Operator(_activation("Selu"), 1, SINGLE),
        "Shrink": Operator(_activation("Shrink"), 9),
        "Sigmoid": Operator(_activation("Sigmoid"), 1, BOTH),
        "Softmax": Operator(_softmax(logarithm=False), 1, BOTH),
        "Softplus": Operator(_activation("Softplus"), 1, SINGLE),
        "Softsign": Operator(_activation("Softsign"), 1, SINGLE),
        "Swish": Operator(_activation("Swish"), 24),
        "Tanh": Operator(_activation("Tanh"), 1, BOTH),
        "ThresholdedRelu": Operator(_activation("ThresholdedRelu"), 10, SINGLE),
    },
    "choices": {
        "And": Operator(_truth(np.logical_and, lambda p, q: p * q), 1, BOTH),
        "Equal": Operator(_comparison(np.equal, sympy.Eq), 1, BOTH),
        "Greater": Operator(_comparison(np.greater, lambda p, q: p > q), 1, BOTH),
        "GreaterOrEqual": Operator(_comparison(np.greater_equal, lambda p, q: p >= q), 12, BOTH),
        "Less": Operator(_comparison(np.less, lambda p, q: p < q), 1, BOTH),
        "LessOrEqual": Operator(_comparison(np.less_equal, lambda p, q: p <= q), 12, BOTH),
        "Not": Operator(_truth(np.logical_not, lambda z: 1 - z), 1, BOTH),
        "Or": Operator(_truth(np.logical_or, lambda p, q: p + q - p * q), 1, BOTH),
        "Where": Operator(_where, 9, BOTH),
        "Xor": Operator(_truth(np.logical_xor, lambda p, q: p + q - 2 * p * q), 1, BOTH),
    },
    "reductions": {
        "ReduceL1": Operator(_reduce("sum", before=Abs)),
        "ReduceL2": Operator(_reduce("sum", before=lambda z: z**2, after=Sqrt)),
        "ReduceMax": Operator(_reduce("max"), 1, BOTH),
        "ReduceMean": Operator(_reduce("sum", mean=True)),
        "ReduceMin": Operator(_reduce("max", before=lambda z: -z, after=lambda z: -z), 1, BOTH),
        "ReduceSum": Operator(_reduce("sum", since=13), 1, BOTH),
        "ReduceSumSquare": Operator(_reduce("sum", before=lambda z: z**2)),
    },
    "windows": {
        "AveragePool": Operator(windows.pool("sum"), 1, SINGLE),
        "Conv": Operator(windows.convolution(transposed=False), 1, SINGLE),
        "ConvTranspose": Operator(windows.convolution(transposed=True), 1, SINGLE),
        "GlobalAveragePool": Operator(_global_pool("sum")),
        "GlobalMaxPool": Operator(_global_pool("max")),
        "MaxPool": Operator(windows.pool("max"), 1, SINGLE),
        "Pad": Operator(windows.pad),
    },
    "recurrent layers": {kind: Operator(recurrent(kind)) for kind in LAYERS},
    "loops": {
        "Loop": Operator(loop),
        "Scan": Operator(scan, 8, BOTH),
    },
    "axes": {
        "Concat": Operator(of_hidden(shapes.concat), 1, BOTH),
        "Expand": Operator(of_hidden(shapes.expand), 8, BOTH),
        "Flatten": Operator(of_hidden(shapes.flatten)),
        "Gather": Operator(of_hidden(shapes.gather), 1, BOTH),
        "Range": Operator(shapes.range_of, 11),
        "Reshape": Operator(of_hidden(shapes.reshape), 1, BOTH),
        "Resize": Operator(shapes.resize, 10),
        "ReverseSequence": Operator(shapes.reverse_sequence, 10),
        "Shape": Operator(shapes.shape_of, 1, BOTH),
        "Slice": Operator(of_hidden(shapes.slice_of), 1, BOTH),
        "Split": Operator(of_hidden(shapes.split)),
        "Squeeze": Operator(of_hidden(shapes.squeeze)),
        "Tile": Operator(of_hidden(shapes.tile)),
        "Transpose": Operator(of_hidden(shapes.transpose), 1, BOTH),
        "Unsqueeze": Operator(of_hidden(shapes.unsqueeze), 1, BOTH),
        "Upsample": Operator(shapes.resize),
    },
    "attention": {
        "Attention": Operator(attention.attention, 23, BOTH),
        "IsNaN": Operator(attention.is_nan, 9),
        "LayerNormalization": Operator(attention.normalization(centered=True), 17),
        "RMSNormalization": Operator(attention.normalization(centered=False), 23, SINGLE),
        "RotaryEmbedding": Operator(attention.rotary_embedding, 23, SINGLE),
        "Trilu": Operator(attention.triangle, 14),
    },
    "others": {
        "BatchNormalization": Operator(_batch_normalization),
        "Cast": Operator(_cast, 1, BOTH),
        "Constant": Operator(shapes.constant),
        "ConstantOfShape": Operator(shapes.constant_of_shape, 9),
        "Dropout": Operator(_dropout),
        "Identity": Operator(shapes.identity, 1, BOTH),
    },
    "ai.onnx.ml": {
        "ai.onnx.ml.ArrayFeatureExtractor": Operator(shapes.array_feature_extractor),
        "ai.onnx.ml.LinearClassifier": Operator(onnx_ml.classifier),
        "ai.onnx.ml.LinearRegressor": Operator(onnx_ml.regressor),
        "ai.onnx.ml.Normalizer": Operator(onnx_ml.normalizer),
        "ai.onnx.ml.Scaler": Operator(onnx_ml.scaler),
        "ai.onnx.ml.ZipMap": Operator(lambda call: call.first),  # probabilities stay columns, in the order of classes
    },
}
"""Every operator that nncodegen reads or writes, in groups for the documentation."""

OPERATORS = {name: operator for group in GROUPS.values() for name, operator in group.items()}
"""Every operator by its name, with the domain in front where that is not ai.onnx."""

"""The operators of ai.onnx.ml that linear models and scalers of scikit-learn consist of.

https://onnx.ai/onnx/operators/#ai-onnx-ml defines them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sympy import Abs, Eq, Piecewise
from sympy.codegen.cfunctions import Sqrt

from nncodegen.compiler.ir.functions import sigmoid, softplus
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.call import OnnxCall
from nncodegen.formats.onnx.reading.values import Value, Weights


def scaler(call: OnnxCall) -> Value:
    """Return (x - offset)*scale. offset and scale are not trained."""
    x = call.value(0)
    columns = call.builder.shape(x)[-1] if x.axes else 1
    name = call.node.name or call.node.outputs[0]
    parts = []
    for part in ("offset", "scale"):
        array = call.reals(part)
        if len(array) not in (1, columns):
            raise ModelError(f"{call.node} has {len(array)} numbers in {part} for {columns} columns")
        parts.append(call.weights_value(Weights(f"{name}.{part}", array)))
    return call.builder.elementwise(lambda x, offset, scale: (x - offset) * scale, x, *parts)


def _linear(call: OnnxCall, outputs: int) -> Value:
    """Return x times the coefficients, plus the intercepts, if the node has any."""
    x = call.value(0)
    if len(x.axes) != 2:
        raise ModelError(f"{call.node} takes a matrix, not a tensor of {len(x.axes)} axes")
    columns = call.builder.shape(x)[1] or 0
    name = call.node.name or call.node.outputs[0]
    coefficients, intercepts = call.reals("coefficients"), call.reals("intercepts")
    if len(coefficients) != outputs * columns or len(intercepts) not in (0, outputs):
        raise ModelError(
            f"{call.node} has {len(coefficients)} coefficients and {len(intercepts)} intercepts for {columns} columns "
            f"and {outputs} outputs"
        )
    W = call.builder.parameter(f"{name}.coefficients", coefficients.reshape(outputs, columns))
    z = call.builder.product(x, call.builder.transposed(W, (1, 0)))
    if not len(intercepts):
        return z
    b = call.builder.parameter(f"{name}.intercepts", intercepts)
    return call.builder.elementwise(lambda p, q: p + q, z, b)


def _transformed(call: OnnxCall, scores: Value, opposite: bool = False) -> Value:
    """Return the scores after ``post_transform``; those of two classes may be ``opposite`` numbers."""
    kind = call.text("post_transform", "NONE")
    if kind == "NONE":
        return scores
    if kind == "LOGISTIC" and opposite:
        # The sigmoids of opposite scores sum to 1; as shares of their sum, they do so during training as well.
        return call.builder.normalized(call.builder.elementwise(lambda z: -softplus(-z), scores), [1], logarithm=False)
    if kind == "LOGISTIC":
        return call.builder.elementwise(sigmoid, scores, most=1)
    if kind == "SOFTMAX":
        return call.builder.normalized(scores, [1], logarithm=False)
    raise ModelError(f"{call.node} has the post_transform {kind!r}; nncodegen knows NONE, LOGISTIC and SOFTMAX")


def regressor(call: OnnxCall) -> Value:
    """Return the values of a linear model."""
    targets = call.whole("targets", 1)
    if targets < 1:
        raise ModelError(f"{call.node} has {targets} targets")
    return _transformed(call, _linear(call, targets))


def classifier(call: OnnxCall) -> list[Any]:
    """Return None for the labels, which are left out, and the scores or probabilities of all classes."""
    labels = [call.attributes.get(name, ()) for name in ("classlabels_ints", "classlabels_strings")]
    classes = max((len(array) for array in labels if isinstance(array, tuple)), default=0)
    coefficients, intercepts = call.reals("coefficients"), call.reals("intercepts")
    if classes < 2 or len(coefficients) < classes:
        raise ModelError(f"{call.node} has {classes} labels of classes; it needs coefficients for each of two or more")
    opposite = classes == 2 and all(
        np.array_equal(array[: len(array) // 2], -array[len(array) // 2 :]) for array in (coefficients, intercepts)
    )
    return [None, _transformed(call, _linear(call, classes), opposite)]


def normalizer(call: OnnxCall) -> Value:
    """Return each row divided by its norm; a row of zeros stays one."""
    x = call.builder.held(call.value(0), "t")
    kind, axis = call.text("norm", "MAX"), len(x.axes) - 1
    powers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "L1": ("sum", Abs),
        "L2": ("sum", lambda z: z**2),
        "MAX": ("max", lambda z: z),
    }
    if kind not in powers or axis < 0:
        raise ModelError(f"{call.node} has the norm {kind!r}; there are: {', '.join(powers)}")
    operator, function = powers[kind]
    parts = call.builder.elementwise(function, x)
    norm = call.builder.reduce(operator, call.builder.held(parts, "t") if operator == "max" else parts, [axis])
    if kind == "L2":
        norm = call.builder.elementwise(Sqrt, norm)
    if kind == "L1" and (shares := call.builder.shares(x, norm)):
        return shares
    norm = call.builder.held(norm, "t")
    return call.builder.elementwise(lambda z, s: Piecewise((z, Eq(s, 0)), (z / s, True)), x, norm)

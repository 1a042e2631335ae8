"""Activations and losses by name, and those of the user, which are taken as they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from sympy import Symbol

from nncodegen.certificates.expressions import formula
from nncodegen.certificates.functions import call
from nncodegen.certificates.products import Array
from nncodegen.compiler.describe.functions import call as expression_of
from nncodegen.compiler.ir import Element

Number = Any
"""A real number of mpmath."""

SELU = "1.0507009873554804934193349852946", "1.6732632423543772848170429916717"
"""The scale and alpha of selu, which Klambauer et al. (2017) give to 32 digits."""


def sigmoid(z: Number) -> Number:
    """Return 1/(1 + exp(-z))."""
    return 1 / (1 + mpmath.exp(-z))


def _selu(z: Number) -> Number:
    scale, alpha = map(mpmath.mpf, SELU)
    return scale * z if z > 0 else scale * alpha * (mpmath.exp(z) - 1)


def _between(low: float, z: Number, high: float) -> Number:
    return min(max(z, mpmath.mpf(low)), mpmath.mpf(high))


def _hard_sigmoid(z: Number) -> Number:
    return _between(0, z / 6 + mpmath.mpf(1) / 2, 1)


ACTIVATIONS: dict[str, Callable[[Number], Number]] = {
    "linear": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": mpmath.tanh,
    "relu": lambda z: z if z > 0 else mpmath.mpf(0),
    "leaky_relu": lambda z: z if z > 0 else z / 100,
    "elu": lambda z: z if z > 0 else mpmath.exp(z) - 1,
    "selu": _selu,
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "silu": lambda z: z * sigmoid(z),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda z: z * sigmoid(2 * mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3)),
    "mish": lambda z: z * ((1 + mpmath.exp(z)) ** 2 - 1) / ((1 + mpmath.exp(z)) ** 2 + 1),
    "celu": lambda z: z if z > 0 else mpmath.exp(z) - 1,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda z: z * _hard_sigmoid(z),
    "hard_tanh": lambda z: _between(-1, z, 1),
    "relu6": lambda z: _between(0, z, 6),
    "log_sigmoid": lambda z: -mpmath.log(1 + mpmath.exp(-z)),
    "tanh_shrink": lambda z: z - mpmath.tanh(z),
    "hard_shrink": lambda z: z if abs(z) > 0.5 else mpmath.mpf(0),
    "soft_shrink": lambda z: mpmath.sign(z) * max(abs(z) - 0.5, mpmath.mpf(0)),
    "thresholded_relu": lambda z: z if z > 1 else mpmath.mpf(0),
    "exponential": mpmath.exp,
}
"""Activations by name, as functions of one number; a softmax is one of a whole row."""


def softmax(z: Array) -> Array:
    """Return exp(z) over the sum of exp(z), along the last axis."""
    powers = each(mpmath.exp, z)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=object)


def activated(activation: Any, z: Array) -> Array:
    """Apply an activation, a name or a function of a SymPy expression, to each number. Raises KeyError for others."""
    if callable(activation):
        return _written(activation, z)
    return softmax(z) if activation == "softmax" else each(ACTIVATIONS[activation], z)


def each(function: Callable[..., Number], *arrays: Array) -> Array:
    """Apply a function to numbers at the same place; the result is NaN where it has no real value."""
    return np.asarray(np.frompyfunc(lambda *numbers: call(function, *numbers), len(arrays), 1)(*arrays), dtype=object)


def _written(function: Callable[..., Any], *arrays: Array) -> Array:
    """Apply a function of the user, which returns an expression, to numbers at the same place."""
    symbols = [Symbol(f"argument{k}", real=True) for k in range(len(arrays))]
    elements: dict[Any, Element] = {symbol: Element(symbol.name) for symbol in symbols}
    value = formula(expression_of(function, symbols, "a function of the user's").xreplace(elements))
    places = [[*elements.values()].index(element) for element in value.operands]
    return each(lambda *numbers: value.value(tuple(numbers[place] for place in places)), *arrays)


def _entropy(p: Number, y: Number) -> Number:
    """Return -y*log(p), which is 0 where y is, for every p."""
    return mpmath.mpf(0) if y == 0 else -y * mpmath.log(p)


def _binary_crossentropy(p: Number, y: Number) -> Number:
    return _entropy(p, y) + _entropy(1 - p, 1 - y)


def _huber(p: Number, y: Number) -> Number:
    error = abs(p - y)
    return error**2 / 2 if error <= 1 else error - mpmath.mpf(1) / 2


def _hinge(p: Number, y: Number) -> Number:
    """Return max(0, 1 - y*p), where a target of 0 stands for -1."""
    return max(mpmath.mpf(0), 1 - p * (-1 if y == 0 else y))


def _same(z: Array) -> Array:
    return z


def _sigmoids(z: Array) -> Array:
    return each(sigmoid, z)


LOSSES: dict[str, tuple[Callable[[Number, Number], Number], str, Callable[[Array], Array]]] = {
    "mse": (lambda p, y: (p - y) ** 2, "mean", _same),
    "mae": (lambda p, y: abs(p - y), "mean", _same),
    "huber": (_huber, "mean", _same),
    "log_cosh": (lambda p, y: mpmath.log(mpmath.cosh(p - y)), "mean", _same),
    "poisson": (lambda p, y: p - y * mpmath.log(p), "mean", _same),
    "hinge": (_hinge, "mean", _same),
    "binary_crossentropy": (_binary_crossentropy, "mean", _same),
    "binary_crossentropy_from_logits": (_binary_crossentropy, "mean", _sigmoids),
    "categorical_crossentropy": (_entropy, "sum", _same),
    "categorical_crossentropy_from_logits": (_entropy, "sum", softmax),
    "nll": (lambda p, y: -y * p, "sum", _same),
}
"""Losses by name: the function of an output and its target; "sum" or "mean" over the values of a row; and the function
that turns outputs, such as logits, into the arguments of the first function."""


def loss_of(loss: Any, output: Array, target: Array) -> Array:
    """Return the loss of each sample (samples,), by name or as a function of an output and its target.

    It is the mean over all values, or over rows whose values are added up along the last axis. Raises KeyError for
    other losses.
    """
    target = target.reshape(output.shape)
    if callable(loss):
        values, total = _written(loss, output, target), "mean"
    else:
        function, total, probabilities = LOSSES[loss]
        values = each(function, probabilities(output), target)
    rows = values.reshape(len(values), -1).sum(axis=1)
    return np.asarray(rows / (values[0].size if total == "mean" else values[0].size // values.shape[-1]), dtype=object)

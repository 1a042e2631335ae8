"""Dense layers, formulas over units, normalization, other shapes, and layers that merge several inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions.functions import activated, each
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.products import Array


def dense(layer: Any, use: Use, x: Array) -> Array:
    """Return activation(W x + b) over the last axis; W has a row for each unit, whatever the axes before Flatten."""
    z = x @ use("W").reshape(layer.units, -1).T
    return activated(layer.activation, z + use("b") if layer.use_bias else z)


def activation(layer: Any, use: Use, x: Array) -> Array:
    """Return the activation of each value; a softmax along the last axis."""
    return activated(layer.activation, x)


def prelu(layer: Any, use: Use, x: Array) -> Array:
    """Return x where it is positive, alpha*x elsewhere; along shared axes the slopes alpha are the same."""
    shared = axes_of(layer.shared_axes, x) if layer.shared_axes not in (None, (), []) else ()
    unshared = tuple(axis for axis in range(1, x.ndim) if axis not in shared)
    return np.asarray(np.where(x > 0, x, along(unshared, use("alpha"), x) * x), dtype=object)


def absent(layer: Any, use: Use, x: Array) -> Array:
    """Return x: noise only occurs in the updates of a training."""
    return x


def embedding(layer: Any, use: Use, x: Array) -> Array:
    """Return the row of E for each number."""
    return np.asarray(use("E")[x.astype(int)], dtype=object)


def radial(layer: Any, use: Use, x: Array) -> Array:
    """Return exp(-(w |x - c|)**2) for each unit, with the distance along the last axis."""
    squares = ((x[..., None, :] - use("c")) ** 2).sum(axis=-1)
    return each(mpmath.exp, -(use("w") ** 2) * squares)


def polynomial(layer: Any, use: Use, x: Array) -> Array:
    """Return activation(b + P1 x + P2 x x + ...): for each degree, weights times products of that many inputs."""
    z, products = np.asarray([use("b")] * len(x), dtype=object), np.full((len(x), 1), mpmath.mpf(1), dtype=object)
    for degree in range(1, layer.degree + 1):
        products = np.asarray([np.outer(row, values).reshape(-1) for row, values in zip(products, x, strict=True)])
        z = z + products @ use(f"P{degree}_").reshape(layer.units, -1).T
    return activated(layer.activation, z)


# --- normalization -----------------------------------------------------------------------------------------------


def layer_normalization(layer: Any, use: Use, x: Array) -> Array:
    """Return gamma*(x - mean)/sqrt(variance + epsilon) + beta, over some axes of each sample."""
    axes = axes_of(layer.axis, x)
    return _normalized(layer, use, x, axes, *_mean_and_variance(x, axes))


def batch_normalization(layer: Any, use: Use, x: Array) -> Array:
    """Return gamma*(x - mean)/sqrt(variance + epsilon) + beta for each place along an axis.

    Mean and variance are those of a batch in training, else the moving statistics.
    """
    axes = axes_of(layer.axis, x)
    if use.training and not layer.frozen:
        mean, variance = _mean_and_variance(x, tuple(axis for axis in range(x.ndim) if axis not in axes))
    else:
        mean, variance = (along(axes, use(name), x) for name in ("moving_mean", "moving_variance"))
    return _normalized(layer, use, x, axes, mean, variance)


def axes_of(axis: Any, x: Array) -> tuple[int, ...]:
    """Return the requested axes, given by one number or several, in their order; the samples are axis 0."""
    return tuple(sorted(int(number) % x.ndim for number in np.atleast_1d(axis)))


def _mean_and_variance(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    count = int(np.prod([x.shape[axis] for axis in axes]))
    mean = x.sum(axis=axes, keepdims=True) / count
    return mean, ((x - mean) ** 2).sum(axis=axes, keepdims=True) / count


def _normalized(layer: Any, use: Use, x: Array, axes: tuple[int, ...], mean: Array, variance: Array) -> Array:
    z = (x - mean) / each(mpmath.sqrt, variance + mpmath.mpf(float(layer.epsilon)))
    z = z * along(axes, use("gamma"), x) if layer.scale else z
    return np.asarray(z + along(axes, use("beta"), x) if layer.center else z, dtype=object)


def along(axes: tuple[int, ...], parameter: Array, x: Array) -> Array:
    """Return a parameter whose axes are some of those of x, with all axes."""
    return parameter.reshape([x.shape[axis] if axis in axes else 1 for axis in range(x.ndim)])


# --- other shapes, and several inputs ----------------------------------------------------------------------------


def flatten(layer: Any, use: Use, x: Array) -> Array:
    """Put all values of a sample into one axis, row by row."""
    return x.reshape(len(x), -1)


def reshape(layer: Any, use: Use, x: Array) -> Array:
    """Put the values of a sample, row by row, into other axes."""
    return x.reshape(len(x), *np.atleast_1d(layer.target_shape))


def permute(layer: Any, use: Use, x: Array) -> Array:
    """Put the axes of a sample into another order."""
    return x.transpose(0, *np.atleast_1d(layer.dims))


def concatenate(layer: Any, use: Use, *inputs: Array) -> Array:
    """Put inputs one after the other along an axis."""
    return np.concatenate(inputs, axis=layer.axis)


def merged(join: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Return a layer that joins all inputs, two values at a time; an axis of size 1 goes with any size."""
    return lambda layer, use, *inputs: reduce(join, inputs)


def average(layer: Any, use: Use, *inputs: Array) -> Array:
    """Return the mean of several inputs."""
    return np.asarray(sum(inputs[1:], start=inputs[0]) / len(inputs), dtype=object)

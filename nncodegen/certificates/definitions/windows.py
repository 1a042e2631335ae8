"""Convolutions, their transposes, and pools: one window after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions.functions import activated
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.products import Array, zeros

Numbers = tuple[int, ...]


def _of_axis(option: Any, axis: int) -> int:
    """Return an option along one axis, which is given as one number for all axes, or as one for each."""
    return int(option[axis] if np.ndim(option) else option)


def _each(option: Any, axes: int) -> Numbers:
    """Return an option as one number for each axis."""
    return tuple(_of_axis(option, axis) for axis in range(axes))


def _channels_last(layer: Any, x: Array) -> Array:
    return np.moveaxis(x, 1, -1) if layer.data_format == "channels_first" else x


def _as_given(layer: Any, result: Array) -> Array:
    return np.moveaxis(result, -1, 1) if layer.data_format == "channels_first" else result


def _extent(layer: Any, size: int, stride: int, dilation: int, length: int, axis: int) -> tuple[int, int]:
    """Return how far before an axis the first window begins, and the number of windows.

    "same" has the number of values divided by the stride, rounded up, as number of windows; half of the padding that
    this takes, rounded down, is before them. "causal" pads only before them; a number pads on both sides.
    """
    reach = dilation * (size - 1) + 1
    if layer.padding == "same":
        count = (length + stride - 1) // stride
        return max(0, (count - 1) * stride + reach - length) // 2, count
    if isinstance(layer.padding, str):
        before = around = reach - 1 if layer.padding == "causal" else 0
    else:
        before = _of_axis(layer.padding, axis)
        around = 2 * before
    return before, (length + around - reach) // stride + 1


def _windows(counts: Numbers, before: Numbers, strides: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the place of each window, and where it begins."""
    for place in product(*map(range, counts)):
        yield place, tuple(i * stride - first for i, stride, first in zip(place, strides, before, strict=True))


def _taps(size: Numbers, dilation: Numbers, begin: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the number of each value in a window, and its place."""
    for tap in product(*map(range, size)):
        yield tap, tuple(first + r * apart for first, r, apart in zip(begin, tap, dilation, strict=True))


def _at(place: Numbers) -> tuple[Any, ...]:
    """Return the index of the values of all samples and channels at a place."""
    return (slice(None), *place)


def _inside(where: Numbers, lengths: Numbers) -> bool:
    return all(0 <= place < length for place, length in zip(where, lengths, strict=True))


# --- convolutions ------------------------------------------------------------------------------------------------


def convolution(layer: Any, use: Use, x: Array) -> Array:
    """Return activation(b[o] + sum W[o, c, r]*x[stride*i + dilation*r - padding, c]), where x is 0 outside."""
    x, axes = _channels_last(layer, x), x.ndim - 2
    size, strides, dilation = (_each(o, axes) for o in (layer.kernel_size, layer.strides, layer.dilation_rate))
    lengths = x.shape[1:-1]
    extents = [_extent(layer, size[k], strides[k], dilation[k], lengths[k], k) for k in range(axes)]
    before, counts = zip(*extents, strict=True)
    s = zeros([len(x), *counts, layer.filters])
    for place, begin in _windows(counts, before, strides):
        for tap, where in _taps(size, dilation, begin):
            if _inside(where, lengths):
                s[_at(place)] += _by_groups(layer, use, x[_at(where)], tap)
    return _finished(layer, use, s)


def transposed(layer: Any, use: Use, x: Array) -> Array:
    """Return activation(b + windows of weights, each times a value of the input, added up strides apart).

    The padding is cut off. For "same", half of the part by which windows are longer than the strides is cut off before
    the result.
    """
    x, axes = _channels_last(layer, x), x.ndim - 2
    size, strides, dilation = (_each(o, axes) for o in (layer.kernel_size, layer.strides, layer.dilation_rate))
    lengths = x.shape[1:-1]
    extents = [_spread(layer, size[k], strides[k], dilation[k], lengths[k], k) for k in range(axes)]
    before, counts = zip(*extents, strict=True)
    s = zeros([len(x), *counts, layer.filters])
    for place, begin in _windows(lengths, before, strides):
        for tap, where in _taps(size, dilation, begin):
            if _inside(where, counts):
                s[_at(where)] += _by_groups(layer, use, x[_at(place)], tap)
    return _finished(layer, use, s)


def _spread(layer: Any, size: int, stride: int, dilation: int, length: int, axis: int) -> tuple[int, int]:
    """Return the length that is cut off before a transposed layer's result along an axis, and the result's length."""
    reach = dilation * (size - 1) + 1
    if layer.padding == "same":
        return max(0, reach - stride) // 2, length * stride
    further = 0 if layer.output_padding is None else _of_axis(layer.output_padding, axis)
    if layer.padding == "valid":
        end = max(reach, stride) if layer.output_padding is None else reach + further
        return 0, (length - 1) * stride + end
    cut = _of_axis(layer.padding, axis)
    return cut, (length - 1) * stride + reach - 2 * cut + further


def _by_groups(layer: Any, use: Use, values: Array, tap: Numbers) -> Array:
    """Return the channels of a place (samples, channels) times the weights of one tap, group by group.

    Weights have the axes filters and channels, in a transposed layer channels and filters; the axis of groups comes
    first.
    """
    places: tuple[Any, ...] = (..., *tap)
    weights = use("W")[places] if layer.groups > 1 else use("W")[places][None]
    weights = weights if hasattr(layer, "output_padding") else weights.swapaxes(1, 2)  # as (channels, filters)
    parts = np.split(values, layer.groups, axis=1)
    return np.concatenate([part @ matrix for part, matrix in zip(parts, weights, strict=True)], axis=1)


def _finished(layer: Any, use: Use, s: Array) -> Array:
    """Return activation(s + b); a softmax runs over the last axis of the user's data format."""
    return activated(layer.activation, _as_given(layer, s + use("b") if layer.use_bias else s))


# --- pools -------------------------------------------------------------------------------------------------------


def pool(of_window: Callable[[Any, list[Array], int], Array]) -> Callable[[Any, Use, Array], Array]:
    """Return a layer that makes one value of each window; places outside of the axes have no value."""

    def pooled(layer: Any, use: Use, x: Array) -> Array:
        x, axes = _channels_last(layer, x), x.ndim - 2
        size = _each(layer.pool_size, axes)
        strides = size if layer.strides is None else _each(layer.strides, axes)
        lengths, near = x.shape[1:-1], (1,) * axes
        extents = [_extent(layer, size[k], strides[k], 1, lengths[k], k) for k in range(axes)]
        before, counts = zip(*extents, strict=True)
        result = zeros([len(x), *counts, x.shape[-1]])
        for place, begin in _windows(counts, before, strides):
            there = [x[_at(where)] for _, where in _taps(size, near, begin) if _inside(where, lengths)]
            result[_at(place)] = of_window(layer, there, int(np.prod(size)))
        return _as_given(layer, result)

    return pooled


def largest(layer: Any, there: list[Array], size: int) -> Array:
    """Return the largest value of a window."""
    return np.asarray(np.max(there, axis=0), dtype=object)


def mean(layer: Any, there: list[Array], size: int) -> Array:
    """Return the mean of the existing values; with count_include_pad, the padding counts as zeros."""
    return np.asarray(sum(there, start=mpmath.mpf(0)) / (size if layer.count_include_pad else len(there)), dtype=object)


def global_largest(layer: Any, use: Use, x: Array) -> Array:
    """Return the largest value of each channel."""
    return np.asarray(_channels_last(layer, x).reshape(len(x), -1, _channels(layer, x)).max(axis=1), dtype=object)


def global_mean(layer: Any, use: Use, x: Array) -> Array:
    """Return the mean of each channel."""
    rows = _channels_last(layer, x).reshape(len(x), -1, _channels(layer, x))
    return np.asarray(rows.sum(axis=1) / rows.shape[1], dtype=object)


def _channels(layer: Any, x: Array) -> int:
    return int(x.shape[1 if layer.data_format == "channels_first" else -1])

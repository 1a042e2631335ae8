"""Attention, and the layers that come with it: positions, and normalization by the mean of squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions.functions import each, softmax
from nncodegen.certificates.definitions.layers import along, axes_of
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.products import Array, zeros


def attention(layer: Any, use: Use, *inputs: Array) -> Array | tuple[Array, ...]:
    """Return the projected means of values, for each sample, head and query one after the other; perhaps the weights.

    The weights of a query are a softmax over the keys that it may look at, and 0 for all others.
    """
    tensors = dict(zip(use.arguments or ("query", "value", "key"), inputs, strict=False))
    query = tensors["query"]
    value = tensors.get("value", query)
    key = tensors.get("key", value)
    axes = getattr(layer, "attention_axes", None)
    axes = axes_of(range(1, query.ndim - 1) if axes is None else axes, query)
    Wq = use("Wq")
    grouped = Wq.ndim == 4  # several heads of queries for one of keys
    heads = Wq.shape[:-2]
    q, k, v = (_projected(layer, use, name, x) for name, x in (("q", query), ("k", key), ("v", value)))
    if layer.rotary is not None:
        q, k = (_rotated(layer.rotary, x, axes[0], x.ndim - 1) for x in (q, k))
    steps, places = (tuple(x.shape[axis] for axis in axes) for x in (query, value))
    rest = [axis for axis in range(1, query.ndim - 1) if axis not in axes]
    answers = zeros([*query.shape[:-1], *heads, v.shape[-1]])
    weights = zeros([len(query), *(query.shape[axis] for axis in rest), *heads, *steps, *places])
    for place in np.ndindex(answers.shape[:-1]):
        n, head = place[0], place[query.ndim - 1 :]
        t = tuple(place[axis] for axis in axes)
        allowed = [s for s in np.ndindex(places) if _may_look(use, tensors, n, t, s)]
        if not allowed:
            continue
        head_place = head[:1] if grouped else head
        there = [(*_moved(place[: query.ndim - 1], axes, s), *head_place) for s in allowed]
        scores = np.asarray([np.sum(q[place] * k[at]) for at in there], dtype=object) / mpmath.sqrt(q.shape[-1])
        if "attention_bias" in tensors:
            scores = scores + np.asarray([_bias(tensors, n, head, t, s) for s in allowed], dtype=object)
        row = softmax(scores[None])[0]
        answers[place] = sum(weight * v[at] for weight, at in zip(row, there, strict=True))
        for weight, s in zip(row, allowed, strict=True):
            weights[(n, *(place[axis] for axis in rest), *head, *t, *s)] = weight
    Wo = use("Wo")
    flat = answers.reshape(*query.shape[:-1], -1) @ Wo.reshape(len(Wo), -1).T
    result = flat + use("bo") if layer.use_bias else flat
    if "return_attention_scores" not in use.arguments:
        return result
    return result, weights.reshape(len(query), -1, *steps, *places) if grouped else weights


def _moved(place: Sequence[int], axes: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """Return a place with other numbers along some axes."""
    moved = dict(zip(axes, to, strict=True))
    return tuple(moved.get(axis, number) for axis, number in enumerate(place))


def _projected(layer: Any, use: Use, letter: str, x: Array) -> Array:
    W = use(f"W{letter}")
    rows = (x @ W.reshape(-1, W.shape[-1]).T).reshape(*x.shape[:-1], *W.shape[:-1])
    return rows + use(f"b{letter}") if layer.use_bias else rows


def _may_look(use: Use, tensors: dict[str, Array], n: int, t: tuple[int, ...], s: tuple[int, ...]) -> bool:
    """Return whether a query of a sample may look at a place."""
    if "use_causal_mask" in use.arguments and s > t:
        return False
    if "lengths" in tensors and tensors["lengths"][n, 0] < s[0] + 1:
        return False
    if "attention_mask" in tensors:
        mask = tensors["attention_mask"][n]
        allowed = mask[s] if mask.ndim == len(s) else mask[(*np.minimum(t, np.array(mask.shape[: len(t)]) - 1), *s)]
        return bool(allowed == 1)
    return True


def _bias(tensors: dict[str, Array], n: int, head: Sequence[int], t: tuple[int, ...], s: tuple[int, ...]) -> Any:
    """Return what is added to the score of a place: the same for all heads, or for each its own."""
    bias = tensors["attention_bias"][n]
    return bias[(*head, *t, *s)[-bias.ndim :]]


def positions(layer: Any, use: Use, x: Array) -> Array:
    """Return the first rows of P for each sample."""
    return np.broadcast_to(use("P")[: x.shape[1]], x.shape)


def rotary(layer: Any, use: Use, x: Array) -> Array:
    """Return pairs of features, half of the features apart, rotated by angles that grow with the place."""
    return _rotated(layer, x, layer.sequence_axis % x.ndim, layer.feature_axis % x.ndim)


def _rotated(layer: Any, x: Array, sequence: int, feature: int) -> Array:
    rows = np.moveaxis(x, (sequence, feature), (-2, -1))
    turned, half = rows.copy(), rows.shape[-1] // 2
    scale, wavelength = mpmath.mpf(float(layer.scaling_factor)), mpmath.mpf(float(layer.max_wavelength))
    for t, k in np.ndindex(rows.shape[-2], half):
        angle = t / scale * wavelength ** (-mpmath.mpf(k) / half)
        first, second = rows[..., t, k], rows[..., t, half + k]
        turned[..., t, k] = first * mpmath.cos(angle) - second * mpmath.sin(angle)
        turned[..., t, half + k] = second * mpmath.cos(angle) + first * mpmath.sin(angle)
    return np.moveaxis(turned, (-2, -1), (sequence, feature))


def rms_normalization(layer: Any, use: Use, x: Array) -> Array:
    """Return scale*x/sqrt(mean of squares + epsilon), with the mean over some axes of each sample."""
    axes = axes_of(layer.axis, x)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    squares = (x**2).sum(axis=axes, keepdims=True) / count
    z = x / each(mpmath.sqrt, squares + mpmath.mpf(float(layer.epsilon)))
    return np.asarray(z * along(axes, use("scale"), x) if layer.scale else z, dtype=object)

"""Attention, and the layers that come with it: positions, and normalization by the mean of squares."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions.functions import each, softmax
from nncodegen.certificates.definitions.layers import along, axes_of
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.products import Array, zeros


def attention(layer: Any, use: Use, *inputs: Array) -> Array:
    """Return the projected means of values, for each sample, head and query one after the other.

    The weights of a query are a softmax over the keys that it may look at, and 0 for all others.
    """
    given = dict(zip(use.arguments or ("query", "value", "key"), inputs, strict=False))
    query = given["query"]
    value = given.get("value", query)
    key = given.get("key", value)
    Wq = use("Wq")
    grouped = Wq.ndim == 4  # several heads of queries for one of keys
    q, k, v = (_projected(layer, use, name, x) for name, x in (("q", query), ("k", key), ("v", value)))
    if layer.rotary is not None:
        q, k = (_rotated(layer.rotary, x, 1, x.ndim - 1) for x in (q, k))
    answers = zeros([len(query), query.shape[1], *Wq.shape[:-2], v.shape[-1]])
    for place in np.ndindex(answers.shape[:-1]):
        n, t, *heads = place
        allowed = [s for s in range(value.shape[1]) if _may_look(use, given, n, t, s)]
        if not allowed:
            continue
        own = heads[:1] if grouped else heads
        scores = np.asarray([np.sum(q[place] * k[(n, s, *own)]) for s in allowed], dtype=object)
        weights = softmax((scores / mpmath.sqrt(q.shape[-1]))[None])[0]
        answers[place] = sum(weight * v[(n, s, *own)] for weight, s in zip(weights, allowed, strict=True))
    Wo = use("Wo")
    flat = answers.reshape(*answers.shape[:2], -1) @ Wo.reshape(len(Wo), -1).T
    return flat + use("bo") if layer.use_bias else flat


def _projected(layer: Any, use: Use, letter: str, x: Array) -> Array:
    W = use(f"W{letter}")
    rows = (x @ W.reshape(-1, W.shape[-1]).T).reshape(*x.shape[:2], *W.shape[:-1])
    return rows + use(f"b{letter}") if layer.use_bias else rows


def _may_look(use: Use, given: dict[str, Array], n: int, t: int, s: int) -> bool:
    """Return whether a query of a sample may look at a place."""
    if "use_causal_mask" in use.arguments and s > t:
        return False
    if "lengths" in given and given["lengths"][n, 0] < s + 1:
        return False
    if "attention_mask" in given:
        mask = given["attention_mask"][n]
        own = mask[s] if mask.ndim == 1 else mask[min(t, len(mask) - 1), s]
        return bool(own == 1)
    return True


def positions(layer: Any, use: Use, x: Array) -> Array:
    """Return the first rows of P for each sample."""
    return np.broadcast_to(use("P")[: x.shape[1]], x.shape)


def rotary(layer: Any, use: Use, x: Array) -> Array:
    """Return pairs of features, half of the features apart, rotated by angles that grow with the place."""
    return _rotated(layer, x, layer.sequence_axis % x.ndim, layer.feature_axis % x.ndim)


def _rotated(layer: Any, x: Array, sequence: int, feature: int) -> Array:
    rows = np.moveaxis(x, (sequence, feature), (-2, -1))
    found, half = rows.copy(), rows.shape[-1] // 2
    scale, wavelength = mpmath.mpf(float(layer.scaling_factor)), mpmath.mpf(float(layer.max_wavelength))
    for t, k in np.ndindex(rows.shape[-2], half):
        angle = t / scale * wavelength ** (-mpmath.mpf(k) / half)
        first, second = rows[..., t, k], rows[..., t, half + k]
        found[..., t, k] = first * mpmath.cos(angle) - second * mpmath.sin(angle)
        found[..., t, half + k] = second * mpmath.cos(angle) + first * mpmath.sin(angle)
    return np.moveaxis(found, (-2, -1), (sequence, feature))


def rms_normalization(layer: Any, use: Use, x: Array) -> Array:
    """Return scale*x/sqrt(mean of squares + epsilon), with the mean over some axes of each sample."""
    axes = axes_of(layer.axis, x)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    squares = (x**2).sum(axis=axes, keepdims=True) / count
    z = x / each(mpmath.sqrt, squares + mpmath.mpf(float(layer.epsilon)))
    return np.asarray(z * along(axes, use("scale"), x) if layer.scale else z, dtype=object)

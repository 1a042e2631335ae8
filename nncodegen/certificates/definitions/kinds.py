"""All kinds of layers, each with its definition."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from nncodegen.certificates.definitions import attention, layers, recurrent, windows
from nncodegen.certificates.definitions.functions import activated
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.products import Array
from nncodegen.compiler import describe


def wide_and_deep(layer: Any, use: Use, x: Array) -> Array:
    """Return activation(W h + U x + b), with h the output of the deep layers."""
    h: Any = x
    for place, deep in enumerate(layer.deep, start=1):
        h = DEFINITIONS[type(deep)](deep, use.inner(place, getattr(deep, "name", "")), h)
    return activated(layer.activation, h @ use("W").T + x @ use("U").T + use("b"))


Definition = Callable[..., Any]
"""A function that returns the result of a layer, an array; or its output and further results, as a tuple of arrays."""

DEFINITIONS: dict[type, Definition] = {
    describe.Dense: layers.dense,
    describe.Activation: layers.activation,
    describe.PReLU: layers.prelu,
    describe.Dropout: layers.absent,
    describe.GaussianNoise: layers.absent,
    describe.WideAndDeep: wide_and_deep,
    describe.Embedding: layers.embedding,
    describe.PositionEmbedding: attention.positions,
    describe.RotaryEmbedding: attention.rotary,
    describe.MultiHeadAttention: attention.attention,
    describe.GroupQueryAttention: attention.attention,
    describe.RBF: layers.radial,
    describe.Polynomial: layers.polynomial,
    describe.LayerNormalization: layers.layer_normalization,
    describe.RMSNormalization: attention.rms_normalization,
    describe.BatchNormalization: layers.batch_normalization,
    describe.Flatten: layers.flatten,
    describe.Reshape: layers.reshape,
    describe.Permute: layers.permute,
    describe.Concatenate: layers.concatenate,
    describe.Add: layers.merged(operator.add),
    describe.Subtract: layers.merged(operator.sub),
    describe.Multiply: layers.merged(operator.mul),
    describe.Average: layers.average,
    describe.Maximum: layers.merged(np.maximum),
    describe.Minimum: layers.merged(np.minimum),
    describe.Conv1D: windows.convolution,
    describe.Conv2D: windows.convolution,
    describe.Conv1DTranspose: windows.transposed,
    describe.Conv2DTranspose: windows.transposed,
    describe.MaxPooling1D: windows.pool(windows.largest),
    describe.MaxPooling2D: windows.pool(windows.largest),
    describe.AveragePooling1D: windows.pool(windows.mean),
    describe.AveragePooling2D: windows.pool(windows.mean),
    describe.GlobalMaxPooling1D: windows.global_largest,
    describe.GlobalMaxPooling2D: windows.global_largest,
    describe.GlobalAveragePooling1D: windows.global_mean,
    describe.GlobalAveragePooling2D: windows.global_mean,
    describe.SimpleRNN: recurrent.recurrent(*recurrent.CELLS["SimpleRNN"]),
    describe.LSTM: recurrent.recurrent(*recurrent.CELLS["LSTM"]),
    describe.GRU: recurrent.recurrent(*recurrent.CELLS["GRU"]),
    describe.Bidirectional: recurrent.bidirectional,
}
"""The definitions by the class of a layer; a user's class is not among them, even if derived from one of these."""


def is_defined(layer: Any) -> bool:
    """Return whether a layer, and each layer inside of it, has a definition here."""
    inner = (*getattr(layer, "deep", ()), *([layer.layer] if isinstance(layer, describe.Bidirectional) else []))
    return type(layer) in DEFINITIONS and all(map(is_defined, inner))

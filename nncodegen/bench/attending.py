"""Transformers, in the workloads microgpt and transformer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.describe import (
    Dense,
    Embedding,
    Input,
    MultiHeadAttention,
    Network,
    PositionEmbedding,
    RMSNormalization,
)
from nncodegen.compiler.describe.layer import Node

Array = NDArray[Any]

EPSILON = 1e-5
"""The number that a root-mean-square normalization adds to the mean of squares."""


@dataclass(frozen=True)
class Tokens:
    """A transformer that gives scores of the next token at each step, as microgpt is one; the loss is a cross-entropy.

    Embeddings of tokens and of positions are added and normalized. Each of ``blocks`` adds causal attention and a
    hidden layer of four times the width, with relu, both of a normalized input. There are no biases, and normalizations
    have no weights.
    """

    name: str
    steps: int
    width: int
    heads: int
    vocabulary: int
    blocks: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the arrays: tokens, positions, for each block q, k, v, o, up and down; the head."""
        width, size = self.width, self.width // self.heads
        projections = ((self.heads, size, width),) * 3 + ((width, self.heads, size),)
        block = (*projections, (4 * width, width), (width, 4 * width))
        return ((self.vocabulary, width), (self.steps, width), *block * self.blocks, (self.vocabulary, width))

    @property
    def products(self) -> tuple[int, ...]:
        """Return the multiplications and additions for one sample: of each block, and of the head.

        A causal row of attention has as many terms as there are steps up to its own.
        """
        pairs = self.steps * (self.steps + 1) // 2
        block = 2 * self.steps * 12 * self.width**2 + 2 * 2 * pairs * self.width
        return (*[block] * self.blocks, 2 * self.steps * self.width * self.vocabulary)

    @property
    def model(self) -> Network:
        """Return the model for nncodegen."""

        def normal(h: Node) -> Node:
            return RMSNormalization(epsilon=EPSILON, scale=False)(h)

        tokens, size = Input(self.steps, name="tokens"), self.width // self.heads
        h = Embedding(self.vocabulary, self.width)(tokens)
        h = normal(h + PositionEmbedding(self.steps)(h))
        for _ in range(self.blocks):
            attention = MultiHeadAttention(self.heads, size, use_bias=False)
            h = h + attention(normal(h), use_causal_mask=True)
            hidden = Dense(4 * self.width, "relu", use_bias=False)(normal(h))
            h = h + Dense(self.width, use_bias=False)(hidden)
        scores = Dense(self.vocabulary, use_bias=False)(h)
        return Network(tokens, scores, "sparse_categorical_crossentropy_from_logits", name=self.name)

    def start(self, precision: str) -> Array:
        """Return initial parameters, flat: normal, with a standard deviation of 0.08."""
        count = sum(map(math.prod, self.shapes))
        return (0.08 * np.random.default_rng(0).standard_normal(count)).astype(precision)

    def samples(self, count: int) -> tuple[Array, Array]:
        """Return tokens, and the next token of each: the same rows, one step further."""
        rows = np.random.default_rng(5).integers(0, self.vocabulary, (count, self.steps + 1))
        return rows[:, :-1], rows[:, 1:]

    def unpack(self, flat: Array) -> list[Array]:
        """Return views into flat parameters: the arrays in their order."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

"""Networks for sequences, in the workloads lstm and lstm-16."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncodegen.bench.flat import Array, packed, unpacked
from nncodegen.compiler.describe import LSTM, Dense, Sequential
from nncodegen.compiler.describe.layer import Layer


@dataclass(frozen=True)
class Sequences:
    """An LSTM over ``steps`` steps of ``features`` values, and a linear layer on its last output, with "mse".

    Without ``outputs``, the output of the LSTM is that of the network. Rows of weights are those of the gates i, f, c
    and o, one gate after the other.
    """

    name: str
    steps: int
    features: int
    units: int
    outputs: int = 1

    loss, classifies = "mse", False

    @property
    def inputs(self) -> int:
        """Return the number of values of a sample."""
        return self.steps * self.features

    @property
    def shapes(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Return the shapes of the arrays of each layer: weights of inputs, of states, biases; weights and biases."""
        rows = 4 * self.units
        dense = (((self.outputs, self.units), (self.outputs,)),) if self.outputs else ()
        return (((rows, self.features), (rows, self.units), (rows,)), *dense)

    @property
    def products(self) -> tuple[int, ...]:
        """Return the multiplications and additions for one sample: of inputs, of states, and of the linear layer."""
        of_step = tuple(2 * self.steps * 4 * self.units * size for size in (self.features, self.units))
        return (*of_step, *([2 * self.outputs * self.units] if self.outputs else []))

    @property
    def model(self) -> Sequential:
        """Return the model for nncodegen."""
        layers: list[Layer] = [LSTM(self.units), *([Dense(self.outputs)] if self.outputs else [])]
        return Sequential(layers, (self.steps, self.features), self.loss, self.name)

    def start(self, precision: str) -> Array:
        """Return initial parameters, flat: uniform, with PyTorch's bound."""
        bound = 1 / math.sqrt(self.units)
        count = sum(math.prod(shape) for layer in self.shapes for shape in layer)
        return np.random.default_rng(0).uniform(-bound, bound, count).astype(precision)

    def unpack(self, flat: Array) -> list[tuple[Array, ...]]:
        """Return views into flat parameters: the arrays of each layer."""
        return unpacked(flat, self.shapes)

    def pack(self, layers: Any) -> Array:
        """Return flat parameters from the arrays of each layer: the inverse of ``unpack``."""
        return packed(layers)

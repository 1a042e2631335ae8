"""Convolutional networks for the workloads lenet and conv1d."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nncodegen.bench.flat import Array, packed, unpacked, with_biases
from nncodegen.compiler.describe import (
    Conv1D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    MaxPooling1D,
    MaxPooling2D,
    Sequential,
)
from nncodegen.compiler.describe.layer import Layer


@dataclass(frozen=True)
class Windowed:
    """Convolutions with relu, then a mean over all positions or dense layers with relu; the last layer is a softmax.

    ``shape`` is that of a sample, (rows, columns, channels) or (steps, channels). Windows have the length ``size``
    along each axis and stay within the input. With ``pools``, the largest of each 2 (by 2) values follows a
    convolution, and the last result is flattened; without, its mean is taken. ``dense`` are the units of the dense
    layers after it.
    """

    name: str
    shape: tuple[int, ...]
    filters: tuple[int, ...]
    size: int
    pools: bool
    dense: tuple[int, ...]

    loss = "categorical_crossentropy"
    hidden = "relu"
    classifies = True
    """True if the last layer is a softmax, and the loss its cross-entropy."""

    @property
    def inputs(self) -> int:
        """Return the number of values of a sample."""
        return math.prod(self.shape)

    @property
    def axes(self) -> int:
        """Return the number of axes that windows move over."""
        return len(self.shape) - 1

    @cached_property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """Return the lengths of the result of each convolution along each axis, before its pool."""
        lengths_of_results, lengths = list[tuple[int, ...]](), self.shape[:-1]
        for _ in self.filters:
            lengths_of_results.append(tuple(length - self.size + 1 for length in lengths))
            lengths = tuple(length // 2 for length in lengths_of_results[-1]) if self.pools else lengths_of_results[-1]
        return tuple(lengths_of_results)

    @property
    def left(self) -> tuple[int, ...]:
        """Return the shape of the input of the dense layers: (rows, columns, channels), or (channels,) of a mean."""
        return (*(length // 2 for length in self.places[-1]), self.filters[-1]) if self.pools else self.filters[-1:]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of every array of weights: (filters, channels, *windows), then (units, inputs)."""
        channels = (self.shape[-1], *self.filters)
        windows = (self.size,) * self.axes
        units = (math.prod(self.left), *self.dense)
        return (
            *((f, c, *windows) for f, c in zip(self.filters, channels, strict=False)),
            *zip(self.dense, units, strict=False),
        )

    @property
    def products(self) -> tuple[int, ...]:
        """Return the number of multiplications and additions of each layer for one sample."""
        places = [math.prod(lengths) for lengths in self.places] + [1] * len(self.dense)
        return tuple(2 * count * math.prod(shape) for count, shape in zip(places, self.shapes, strict=True))

    @property
    def model(self) -> Sequential:
        """Return the model for nncodegen."""
        convolution, pool, mean = (
            (Conv1D, MaxPooling1D, GlobalAveragePooling1D)
            if self.axes == 1
            else (Conv2D, MaxPooling2D, GlobalAveragePooling2D)
        )
        layers: list[Layer] = []
        for filters in self.filters:
            layers += [convolution(filters, self.size, activation="relu"), *([pool()] if self.pools else [])]
        layers.append(Flatten() if self.pools else mean())
        layers += [Dense(units, "relu") for units in self.dense[:-1]]
        layers.append(Dense(self.dense[-1], "softmax"))
        return Sequential(layers, self.shape, self.loss, self.name)

    def unpack(self, flat: Array) -> list[tuple[Array, ...]]:
        """Return views into flat parameters: (W, b) of every layer, with W in the shapes of ``shapes``."""
        return unpacked(flat, with_biases(self.shapes))

    def pack(self, layers: Any) -> Array:
        """Return flat parameters from (W, b) of every layer: the inverse of ``unpack``."""
        return packed(layers)

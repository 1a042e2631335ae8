"""Layers of one's own."""

from dataclasses import dataclass

import nncodegen as nn


@dataclass(frozen=True)
class Shift(nn.Layer):
    """A layer that adds a vector of its own: its gradient is that of the bias before it."""

    def describe(self, call):
        return call.output(call.x + call.parameter("c", call.x.indices[1:], "zeros", penalized=False))

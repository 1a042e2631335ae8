"""Layers for operations on values in the ``forward`` of a module of PyTorch, other than calls of modules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nncodegen.describe.call import Call, Part
from nncodegen.describe.layer import Standard
from nncodegen.describe.prelu import PReLU
from nncodegen.ir import Equation


@dataclass(frozen=True)
class Taken(Standard):
    """Some places of each axis, as x[:, 1:, 0]: a number or a range for each axis but that of the samples."""

    places: tuple[int | range, ...]

    def describe(self, call: Call) -> Part:
        """Write the step h[n, j] = sum(i) x[n, i] where i = start + step*j."""
        x = call.x
        indices: list[str] = []
        over: list[str] = []
        where: list[Equation] = []
        for index, place, size in zip(x.indices[1:], self.places, call.shape, strict=True):
            if isinstance(place, int):
                over.append(index)
                where.append(Equation(index, (), place))
            elif place == range(size):
                indices.append(index)
            else:
                own = call.index(len(place))
                indices.append(own)
                over.append(index)
                where.append(Equation(index, ((own, place.step),), place.start))
        if not indices:  # a single value
            indices = [call.index(1)]
        if not over:
            return call.part(x)
        return call.part(call.step("h", (x.indices[0], *indices), x, "sum", over, where))


@dataclass(frozen=True)
class ChannelPReLU(PReLU):
    """A PReLU with a slope for each channel, which is the first axis of a sample, or with one for all values."""

    slopes: int = 1

    def of_slopes(self, call: Call) -> tuple[str, ...]:
        """Return the index of the channels, if each has its own slope."""
        return () if self.slopes == 1 else call.x.indices[1:2]


@dataclass(frozen=True)
class Mean(Standard):
    """The mean over some axes, by number, where 0 is that of the samples; kept: these axes stay, with the size 1."""

    axes: tuple[int, ...]
    kept: bool = False

    def describe(self, call: Call) -> Part:
        """Write the step h[n, j] = sum(i) x[n, i, j]/size."""
        x = call.x
        over = [x.indices[axis] for axis in self.axes]
        indices = [index for index in x.indices if index not in over]
        if self.kept:
            indices = [call.index(1) if index in over else index for index in x.indices]
        elif len(indices) == 1:
            indices.append(call.index(1))
        return call.part(call.step("h", indices, x / math.prod(map(call.size, over)), "sum", over))

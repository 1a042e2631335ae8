"""Layers that reduce each window to one value: the largest, or the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from sympy import Rational

from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.layer import Standard
from nncodegen.compiler.describe.moving import Moving, largest, mean
from nncodegen.compiler.describe.windows import Padding, Sizes, windows_of
from nncodegen.compiler.ir import Element
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.renamed import renamed


@dataclass(frozen=True)
class _Pooling(Standard):
    """The common base of layers that pool windows: their options."""

    pool_size: Sizes = 2
    strides: Sizes | None = None
    padding: Padding = "valid"
    data_format: str = "channels_last"

    axes: ClassVar[int]

    def describe(self, call: Call) -> Part:
        """Write a value h for each window."""
        kind, strides = type(self).__name__, self.pool_size if self.strides is None else self.strides
        size = ("pool_size", self.pool_size)
        windows = windows_of(call, kind, self.axes, size, strides, self.padding, self.data_format)
        if not isinstance(windows.padding, str) and any(
            padding >= length for padding, length in zip(windows.padding, windows.size, strict=True)
        ):
            raise ModelError(
                f"the padding of {windows.role} is below its pool_size, {self.pool_size!r}: {self.padding!r}"
            )
        sources, channel = windows.split(call)
        along = [windows.along(call, axis, call.size(source)) for axis, source in enumerate(sources)]
        places = [call.index(window.places) for window in along]
        taps = [call.index(window.size) for window in along]
        indices = (call.x.indices[0], *windows.joined(places, channel))
        moving = Moving(along, sources, [(place,) for place in places], [(tap,) for tap in taps])
        return self._pooled(call, indices, moving)

    def _pooled(self, call: Call, indices: tuple[str, ...], moving: Moving) -> Part:
        """Return the part with the value of each window."""
        raise NotImplementedError


@dataclass(frozen=True)
class _MaxPooling(_Pooling):
    """The common base of layers that keep the largest value of each window."""

    def _pooled(self, call: Call, indices: tuple[str, ...], moving: Moving) -> Part:
        return call.part(largest(call, "h", indices, call.x, moving))


@dataclass(frozen=True)
class MaxPooling1D(_MaxPooling):
    """The largest value of each window of pool_size steps, which moves by strides (by default, its size).

    Of several largest values, the first one has the derivative. padding is "valid", "same", or a number of places on
    both sides, which have no values. The input has the shape (steps, channels), or (channels, steps) where data_format
    is "channels_first".
    """

    axes: ClassVar[int] = 1


@dataclass(frozen=True)
class MaxPooling2D(_MaxPooling):
    """The two-dimensional MaxPooling1D, over rows and columns: sizes are one number for both, or a pair."""

    axes: ClassVar[int] = 2


with_old_name = renamed("0.3.0", count_padding="count_include_pad")
"""A decorator for means, of which one argument had another name than PyTorch's and ONNX's."""


@dataclass(frozen=True)
class _AveragePooling(_Pooling):
    """The common base of layers that take the mean of each window."""

    count_include_pad: bool = False

    def _pooled(self, call: Call, indices: tuple[str, ...], moving: Moving) -> Part:
        value = mean(call, "h", indices, call.x, moving, self.count_include_pad)
        return call.part(value) if isinstance(value, Element) else call.output(value, indices)


@with_old_name
@dataclass(frozen=True)
class AveragePooling1D(_AveragePooling):
    """The mean of each window of pool_size steps, which moves by strides (by default, its size).

    padding is "valid", "same", or a number of places on both sides. A mean is over the values inside of the input,
    unless count_include_pad takes the padding for zeros. The input has the shape (steps, channels), or (channels,
    steps) where data_format is "channels_first".
    """

    axes: ClassVar[int] = 1


@with_old_name
@dataclass(frozen=True)
class AveragePooling2D(_AveragePooling):
    """The two-dimensional AveragePooling1D, over rows and columns: sizes are one number for both, or a pair."""

    axes: ClassVar[int] = 2


@dataclass(frozen=True)
class _GlobalPooling(Standard):
    """The common base of layers that reduce each channel to one value."""

    data_format: str = "channels_last"

    axes: ClassVar[int]

    def describe(self, call: Call) -> Part:
        """Write one value h for each channel."""
        windows = windows_of(call, type(self).__name__, self.axes, ("size", 1), 1, "valid", self.data_format)
        sources, channel = windows.split(call)
        return self._pooled(call, (call.x.indices[0], channel), sources)

    def _pooled(self, call: Call, indices: tuple[str, ...], over: tuple[str, ...]) -> Part:
        """Return the part with the value of each channel, over all places."""
        raise NotImplementedError


@dataclass(frozen=True)
class _GlobalMaxPooling(_GlobalPooling):
    def _pooled(self, call: Call, indices: tuple[str, ...], over: tuple[str, ...]) -> Part:
        return call.part(call.step("h", indices, call.x, "max", over))


@dataclass(frozen=True)
class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest value of each channel, over all steps: (steps, channels), or the reverse, becomes (channels,)."""

    axes: ClassVar[int] = 1


@dataclass(frozen=True)
class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest value of each channel, over all rows and columns."""

    axes: ClassVar[int] = 2


@dataclass(frozen=True)
class _GlobalAveragePooling(_GlobalPooling):
    def _pooled(self, call: Call, indices: tuple[str, ...], over: tuple[str, ...]) -> Part:
        factor = Rational(1, math.prod(map(call.size, over)))
        return call.part(call.step("h", indices, call.x * factor, "sum", over))


@dataclass(frozen=True)
class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean of each channel over all steps: (steps, channels), or the reverse, becomes (channels,)."""

    axes: ClassVar[int] = 1


@dataclass(frozen=True)
class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean of each channel over all rows and columns."""

    axes: ClassVar[int] = 2

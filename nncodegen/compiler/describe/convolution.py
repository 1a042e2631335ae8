"""Convolution layers, whose weights move over their input, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nncodegen.compiler.describe.activate import activated
from nncodegen.compiler.describe.activations import Activation as ActivationFunction
from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.layer import Array, Standard, with_old_names
from nncodegen.compiler.describe.moving import Groups, Moving, convolved
from nncodegen.compiler.describe.windows import Padding, Sizes, Window, Windows, groups_of, windows_of
from nncodegen.compiler.ir import Element, Equation


@dataclass(frozen=True)
class _Convolution(Standard):
    """The common base of all convolutions: their options, and how they are written as steps."""

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: Padding = "valid"
    data_format: str = "channels_last"
    dilation_rate: Sizes = 1
    groups: int = 1
    activation: ActivationFunction = "linear"
    kernel_initializer: str | float = "glorot_uniform"
    bias_initializer: str | float = "zeros"
    use_bias: bool = True

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"W": ("kernel", "weight"), "b": ("bias", "bias")}

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the values of a parameter in the order of axes used here.

        Keras stores the axes of windows first, then channels and filters; in a transposed layer filters, then channels.
        The axes of groups are parts of these, in row-major order.
        """
        if letters != "W" or origin != "keras" or values.ndim != self.axes + 2:
            return values
        return np.moveaxis(values, (-1, -2), (0, 1))

    def describe(self, call: Call) -> Part:
        """Write the steps s = windows of the input times W, z = s + b, h = activation(z)."""
        kind = type(self).__name__
        windows = windows_of(
            call,
            kind,
            self.axes,
            ("kernel_size", self.kernel_size),
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
            causal=self.axes == 1 and not self.transposed,
        )
        sources, channel = windows.split(call)
        groups, filters = groups_of(call, self.groups, call.size(channel), self.filters, kind)
        along = [self._along(call, windows, axis, call.size(source)) for axis, source in enumerate(sources)]
        return self._described(call, windows, along, groups, filters)

    def _along(self, call: Call, windows: Windows, axis: int, length: int) -> Window:
        """Return the windows along one axis."""
        return windows.along(call, axis, length)

    def _described(self, call: Call, windows: Windows, along: Sequence[Window], groups: int, filters: int) -> Part:
        sources, channel = windows.split(call)
        channels, field = call.size(channel), math.prod(window.size for window in along)
        places = [call.index(window.places) for window in along]
        filter_index = call.index(filters // groups if groups > 1 else filters)
        taps = [call.index(window.size) for window in along]
        moving = Moving(along, sources, [(place,) for place in places], [(tap,) for tap in taps], self.transposed)
        # The numbers of inputs and outputs as Keras counts them: for a transposed layer, those of the layer it
        # transposes.
        fans = (channels // groups * field, filters * field)
        fans = (filters // groups * field, channels * field) if self.transposed else fans
        if groups == 1:
            pair = (channel, filter_index) if self.transposed else (filter_index, channel)
            W = call.parameter("W", (*pair, *taps), self.kernel_initializer, fans)
            indices = (call.x.indices[0], *windows.joined(places, filter_index))
            return self._with_bias(call, convolved(call, "s", indices, call.x, W, moving, (channel,)), windows)
        group, within_group = call.index(groups), call.index(channels // groups)
        pair = (within_group, filter_index) if self.transposed else (filter_index, within_group)
        W = call.parameter("W", (group, *pair, *taps), self.kernel_initializer, fans)
        part_indices = (call.x.indices[0], group, filter_index, *places)
        of_group = Groups(group, (within_group,), channels // groups)
        parts = convolved(call, "part", part_indices, call.x, W, moving, (channel,), of_group)
        result = call.index(filters)
        indices = (call.x.indices[0], *windows.joined(places, result))
        numbered = [Equation(result, ((group, filters // groups), (filter_index, 1)))]
        return self._with_bias(call, call.step("s", indices, parts, "sum", (group, filter_index), numbered), windows)

    def _with_bias(self, call: Call, s: Element, windows: Windows) -> Part:
        if not self.use_bias:
            return activated(call, s, self.activation)
        index = s.indices[1] if windows.channels_first else s.indices[-1]
        b = call.parameter("b", (index,), self.bias_initializer, (1, 1), penalized=False)
        return activated(call, call.step("z", s.indices, s + b), self.activation)


@with_old_names
@dataclass(frozen=True)
class Conv1D(_Convolution):
    """activation(b[o] + sum W[o, c, r]*x[strides*i + dilation_rate*r - padding, c]), with steps i and channels c.

    The input has the shape (steps, channels), or (channels, steps) where data_format is "channels_first"; the output
    has (places, filters) in the same order. W has the shape (filters, channels, kernel_size), b (filters,); with
    groups, W has (groups, filters/groups, channels/groups, kernel_size), and each group of filters reads its own group
    of channels. padding is "valid" (windows stay within the input), "same" (the number of places is that of the steps,
    divided by strides and rounded up), "causal" (places see nothing that comes later), or the number of zeros on both
    sides.
    """

    axes: ClassVar[int] = 1


@with_old_names
@dataclass(frozen=True)
class Conv2D(_Convolution):
    """The two-dimensional Conv1D, over rows and columns: sizes are one number for both, or a pair.

    The input has the shape (rows, columns, channels), or (channels, rows, columns) where data_format is
    "channels_first"; W has (filters, channels, rows of a window, columns of a window).
    """

    axes: ClassVar[int] = 2


@dataclass(frozen=True)
class _Transpose(_Convolution):
    """The common base of transposed convolutions, which add up overlapping windows."""

    output_padding: Sizes | None = None

    transposed: ClassVar[bool] = True

    def _along(self, call: Call, windows: Windows, axis: int, length: int) -> Window:
        output_padding = windows.more(self.output_padding)
        return windows.spread(call, axis, length, output_padding[axis] if output_padding else None)


@with_old_names
@dataclass(frozen=True)
class Conv1DTranspose(_Transpose):
    """The transpose of Conv1D: each step of the input adds a window of weights to the output, strides apart.

    W has the shape (channels, filters, kernel_size), with groups (groups, channels/groups, filters/groups,
    kernel_size); b (filters,). The output has (steps - 1)*strides + max(kernel_size, strides) places for the padding
    "valid", steps*strides for "same". A number as padding is cut off on both sides, and output_padding adds places at
    the end: the output then has (steps - 1)*strides + kernel_size - 2*padding + output_padding.
    """

    axes: ClassVar[int] = 1


@with_old_names
@dataclass(frozen=True)
class Conv2DTranspose(_Transpose):
    """The two-dimensional Conv1DTranspose, over rows and columns: sizes are one number for both, or a pair."""

    axes: ClassVar[int] = 2

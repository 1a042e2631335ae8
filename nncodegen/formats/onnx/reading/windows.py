"""The operators whose windows move over the axes of a tensor (N, channels, ...): convolutions and pooling.

They become sums and maxima with equations between the places of input and output (``ir.equations``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from sympy import Expr

from nncodegen.compiler.describe.moving import Groups, Moving, convolved, largest, mean
from nncodegen.compiler.describe.windows import Window, reach_of, same_padding, sliding, spread
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import SAMPLES, UNIT, Sections
from nncodegen.formats.onnx.reading.call import OnnxCall
from nncodegen.formats.onnx.reading.values import Value


def _windows(
    call: OnnxCall, lengths: Sequence[int], sizes: Sequence[int], transposed: bool = False, ceil: bool = False
) -> list[Window]:
    """Return the windows along all axes. Raise ModelError for attributes that do not fit."""
    ones = (1,) * len(sizes)
    strides, dilations = call.wholes("strides", ones), call.wholes("dilations", ones)
    pads, auto = call.wholes("pads", (0,) * (2 * len(sizes))), call.text("auto_pad", "NOTSET")
    fits = len(strides) == len(dilations) == len(sizes) and len(pads) == 2 * len(sizes) and min(pads, default=0) >= 0
    if not fits or min((*strides, *dilations, *sizes)) < 1 or max((*pads, *strides, *dilations, *sizes)) > 2**20:
        raise ModelError(f"{call.node} has strides, dilations, pads or a kernel_shape that do not fit its input")
    if auto not in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"):
        raise ModelError(f"{call.node} has the auto_pad {auto!r}")
    shape = call.wholes("output_shape", ()) if transposed else ()
    output_padding = call.wholes("output_padding", (0,) * len(sizes)) if transposed else ()
    windows = []
    for axis, axis_moves in enumerate(zip(lengths, sizes, strides, dilations, strict=True)):
        length, size, stride, dilation = axis_moves
        before, after = (0, 0) if auto == "VALID" else (pads[axis], pads[axis + len(sizes)])
        if auto.startswith("SAME") and not transposed:
            before, after = _around(same_padding(*axis_moves), auto == "SAME_UPPER")
        if shape or (transposed and auto.startswith("SAME")):
            wanted = shape[axis - len(sizes)] if len(shape) >= len(sizes) else length * stride
            around = stride * (length - 1) + output_padding[axis] + reach_of(size, dilation) - wanted
            before, after = _around(around, auto == "SAME_UPPER" or around < 0)
        if transposed:
            windows.append(spread(*axis_moves, before, after, output_padding[axis]))
        else:
            windows.append(sliding(*axis_moves, before, after, ceil))
    if (
        min((window.places for window in windows), default=1) < 1
        or math.prod(window.places for window in windows) > 2**24
    ):
        raise ModelError(
            f"{call.node} gives a tensor of {' by '.join(str(window.places) for window in windows)} places"
        )
    return windows


def _around(around: int, upper: bool) -> tuple[int, int]:
    """Return the places before and after an axis; an odd one is at the end if ``upper``, else before."""
    half = max(around // 2, 0)  # below zero, some places are reached by no window
    return (half, around - half) if upper else (around - half, half)


class _Axes:
    """The indices of windows: of places of the input, of places of the output, and of places within a window."""

    def __init__(self, call: OnnxCall, x: Value, key: str) -> None:
        """Bring the axes of x, (N, channels, ...), under one index each."""
        builder = self.builder = call.builder
        if len(x.axes) < 3 or SAMPLES in x.axes[1:] or builder.unfolded(x) is not x:
            raise ModelError(f"{call.node} takes a tensor of the shape (samples, channels, ...)")
        self.key = f"{key}:{call.node.name or call.node.outputs[0]}"
        x = builder.held(x, "x")
        self.before = x.axes
        for axis in range(len(x.axes)):
            x = builder.whole(x, axis, f"{self.key}:in{axis}")
        (self.block,) = x.blocks.values()
        self.x = x
        self.lengths = [builder.axes.length(sections) or 1 for sections in x.axes[2:]]
        self.channel = x.axes[1][0]
        self.sources = [sections[0][0] if sections != UNIT else builder.index(1) for sections in x.axes[2:]]

    def taps(self, sizes: Sequence[int]) -> list[tuple[str, ...]]:
        """Return the indices of the places within windows of these sizes; none for the size 1."""
        return [(self.builder.index(size),) if size > 1 else () for size in sizes]

    def places(self, windows: Sequence[Window]) -> tuple[list[Sections], list[tuple[str, ...]]]:
        """Return the axes of the output, as other nodes see them, and the index of each within the steps here."""
        axes = [self.builder.axis(f"{self.key}:out{axis}", window.places) for axis, window in enumerate(windows)]
        return [of_others for of_others, _ in axes], [whole[0] for _, whole in axes]

    def value(
        self,
        element: Expr,
        places: Sequence[tuple[str, ...]],
        axes: Sequence[Sections],
        channels: Sequence[tuple[str, ...]] = (),
        of_channels: Sequence[Sections] = (),
    ) -> Value:
        """Return the output of the windows, (N, channels, ...), with its axes as other nodes see them.

        ``channels`` are the indices of groups and of the filters of each group, ``of_channels`` the axes of these for
        other nodes; pooling keeps the channels of its input.
        """
        inner = (self.x.axes[0][0], *(channels or [self.channel]), *places)
        outer = (self.before[0], *(of_channels or [self.before[1]]), *axes)
        value = replace(
            self.x, axes=tuple((index,) for index in inner), blocks={(0,) * len(inner): element}, summed=False
        )
        for axis, sections in enumerate(outer):
            value = self.builder.apart(value, axis, sections)
        return self.builder._checked(self.builder.merged(value, 1) if channels else value)


def _weights(call: OnnxCall, groups: int) -> tuple[Value, tuple[Sections, ...]]:
    """Return the weights with one index along each axis, the first that of the groups; and their axes before."""
    builder = call.builder
    W = call.value(1, as_parameter=True)
    shape = [size or 0 for size in builder.shape(W)]
    if len(shape) < 3 or groups < 1 or shape[0] % groups or SAMPLES in W.axes:
        raise ModelError(f"{call.node} has weights of the shape {tuple(shape)} for {groups} groups")
    W = builder.reshaped(W, (groups, shape[0] // groups, *shape[1:])) if groups > 1 else builder.inserted(W, 0)
    before = W.axes
    for axis in range(len(W.axes)):
        W = builder.whole(W, axis, f"weights:{call.node.name or call.node.outputs[0]}:{axis}")
    return builder.held(W, "w"), before


def convolution(transposed: bool) -> Callable[[OnnxCall], Value]:
    """Return the operator Conv, or ConvTranspose.

    Weights are (filters, channels of a group, ...), or the first two in the other order. h[n, f, p] = sum(c, t, s) W[f,
    c, t] x[n, c, s] where s = stride*p + dilation*t - before; transposed, with p and s exchanged.
    """

    def operator(call: OnnxCall) -> Value:
        builder, x, groups = call.builder, call.value(0), call.whole("group", 1)
        W, before = _weights(call, groups)
        first, second, *sizes = (size or 0 for size in builder.shape(W)[1:])
        inner = first if transposed else second
        moving = _Axes(call, x, "windows")
        if len(sizes) != len(moving.lengths) or builder.shape(moving.x)[1] != groups * inner:
            raise ModelError(f"{call.node} has weights of the shape {builder.shape(W)} for {builder.shape(x)}")
        output_padding = call.wholes("output_padding", (0,) * len(sizes)) if transposed else (0,) * len(sizes)
        if len(output_padding) != len(sizes) or not all(0 <= extra < 2**20 for extra in output_padding):
            raise ModelError(f"{call.node} has an output_padding that does not fit its input")
        windows = _windows(call, moving.lengths, sizes, transposed)
        (weights,) = W.blocks.values()
        group, first_axis, second_axis, *taps = (section for (section,) in W.axes)
        own_channel, own_filter = (first_axis, second_axis) if transposed else (second_axis, first_axis)
        axes, of_result = moving.places(windows)
        # A transposed layer has an equation for the place of the result, which needs an index for the size 1, too.
        places = [place or ((builder.index(1),) if transposed else ()) for place in of_result]
        unplaced = tuple(
            index for place, index_of in zip(of_result, places, strict=True) if not place for index in index_of
        )
        steps = Moving(windows, moving.sources, places, taps, transposed)
        if groups == 1:  # the channels of the weights are those of the input
            weights = weights.renamed(dict(zip(own_channel, moving.channel, strict=True)))
        builder.trained |= W.undecided | x.undecided
        indices = (*moving.x.axes[0][0], *group, *own_filter, *(i for at in of_result for i in at))
        of_group = Groups(group[0], own_channel, inner) if groups > 1 else None
        s = convolved(builder, "s", indices, moving.block, weights, steps, moving.channel, of_group, unplaced)
        value = moving.value(s, of_result, axes, [group, own_filter], [before[0], before[2 if transposed else 1]])
        value = replace(
            value, trained=value.trained or W.trained or bool(W.undecided | x.undecided), undecided=frozenset()
        )
        if not call.given(2):
            return replace(value, summed=True)
        bias = call.with_axes(call.value(2, as_parameter=True), (1,) * len(sizes))
        return builder.elementwise(lambda p, q: p + q, value, bias)

    return operator


def pool(operator: str) -> Callable[[OnnxCall], Value]:
    """Return the operator MaxPool ("max") or AveragePool ("sum")."""

    def pooled(call: OnnxCall) -> Value:
        if len(call.node.outputs) > 1 and call.node.outputs[1]:
            raise ModelError(f"{call.node} gives the places of its maxima, which nncodegen does not know")
        builder, moving = call.builder, _Axes(call, call.value(0), "pool")
        sizes, ceil = call.wholes("kernel_shape"), bool(call.whole("ceil_mode", 0))
        if len(sizes) != len(moving.lengths):
            raise ModelError(f"{call.node} has a kernel_shape of {len(sizes)} numbers for {builder.shape(moving.x)}")
        windows = _windows(call, moving.lengths, sizes, ceil=ceil)
        axes, places = moving.places(windows)
        steps = Moving(windows, moving.sources, places, moving.taps(sizes))
        indices = (*moving.x.axes[0][0], *moving.channel, *(i for at in places for i in at))
        if operator == "max":
            return moving.value(largest(builder, "s", indices, moving.block, steps), places, axes)
        includes_padding = bool(call.whole("count_include_pad", 0))
        return moving.value(mean(builder, "s", indices, moving.block, steps, includes_padding), places, axes)

    return pooled


def pad(call: OnnxCall) -> Value:
    """Put constants around the axes of a tensor, by default zeros."""
    builder, value = call.builder, call.value(0)
    if call.text("mode", "constant") != "constant":
        raise ModelError(f"{call.node} pads by {call.text('mode', '')!r}; nncodegen knows 'constant'")
    rank = len(value.axes)
    pads = call.integers(1, "pads") if call.opset >= 11 else call.wholes("pads")
    axes = call.integers(3, "axes") if call.given(3) else tuple(range(rank))
    if len(pads) != 2 * len(axes) or max(map(abs, pads), default=0) > 2**20:
        raise ModelError(f"{call.node} has {len(pads)} pads for {len(axes)} axes")
    filling = 0.0
    if call.opset < 11:
        filling = call.real("value", 0.0)
    elif call.given(2):
        number = call.value(2)
        if not number.is_number:
            raise ModelError(f"{call.node} pads with what is no single number")
        (block,) = number.blocks.values()
        filling = float(block)
    for k, axis in enumerate(axes):
        axis = call.axis(axis, rank)
        before, after = pads[k], pads[k + len(axes)]
        size = builder.shape(value)[axis]
        if size is None and (before or after):
            raise ModelError(f"{call.node} pads the samples of a batch: a model computes row by row")
        if size is not None and (before < 0 or after < 0):
            chosen = range(max(0, -before), size - max(0, -after))
            value = builder.gathered(value, axis, chosen)
        parts = [value]
        for at, count in ((0, before), (1, after)):
            if count > 0:
                shape = (*builder.shape(value)[:axis], count, *builder.shape(value)[axis + 1 :])
                part = builder.filled(f"{call.node.outputs[0]}:{axis}:{at}", filling, shape)
                parts = [part, *parts] if at == 0 else [*parts, part]
        value = builder.concatenated(parts, axis) if len(parts) > 1 else value
    return value

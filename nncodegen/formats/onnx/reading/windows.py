"""The operators whose windows move over the axes of a tensor (N, channels, ...): convolutions and pooling.

They become sums and maxima with equations between the places of input and output (``ir.equations``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from sympy import Expr, S

from nncodegen.compiler.describe.windows import Window, reach_of, same_padding, sliding, spread
from nncodegen.compiler.ir import Equation
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
    more = call.wholes("output_padding", (0,) * len(sizes)) if transposed else ()
    windows = []
    for axis, axis_moves in enumerate(zip(lengths, sizes, strides, dilations, strict=True)):
        length, size, stride, dilation = axis_moves
        before, after = (0, 0) if auto == "VALID" else (pads[axis], pads[axis + len(sizes)])
        if auto.startswith("SAME") and not transposed:
            before, after = _around(same_padding(*axis_moves), auto == "SAME_UPPER")
        if shape or (transposed and auto.startswith("SAME")):
            wanted = shape[axis - len(sizes)] if len(shape) >= len(sizes) else length * stride
            around = stride * (length - 1) + more[axis] + reach_of(size, dilation) - wanted
            before, after = _around(around, auto == "SAME_UPPER" or around < 0)
        if transposed:
            windows.append(spread(*axis_moves, before, after, more[axis]))
        else:
            windows.append(sliding(*axis_moves, before, after, ceil))
    if min((one.places for one in windows), default=1) < 1 or math.prod(one.places for one in windows) > 2**24:
        raise ModelError(f"{call.node} gives a tensor of {' by '.join(str(one.places) for one in windows)} places")
    return windows


def _around(around: int, upper: bool) -> tuple[int, int]:
    """Return the places before and after an axis; an odd one is at the end if ``upper``, else before."""
    half = max(around // 2, 0)  # below zero, some places are reached by no window
    return (half, around - half) if upper else (around - half, half)


class _Moving:
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
        self.sources = [self._index(sections, f"in{axis}") for axis, sections in enumerate(x.axes[2:])]

    def _index(self, sections: Sections, name: str) -> str:
        """Return the index of an axis; for an axis without one, a new index of size 1."""
        return sections[0][0] if sections != UNIT else self._single(name)

    def _single(self, name: str) -> str:
        key = f"{self.key}:{name} alone"
        self.builder.axes.sizes[key] = 1
        return key

    def index(self, name: str, size: int) -> tuple[str, ...]:
        """Make a new index; none for the size 1."""
        if size == 1:
            return ()
        key = f"{self.key}:{name}"
        self.builder.axes.sizes[key] = size
        return (key,)

    def places(self, sizes: Sequence[int]) -> tuple[list[Sections], list[tuple[str, ...]]]:
        """Return the axes of the output, as other nodes see them, and the index of each within the steps here."""
        axes = [self.builder.axes.sections(f"{self.key}:out{axis}", size) for axis, size in enumerate(sizes)]
        own = [
            sections[0] if len(sections) == 1 and len(sections[0]) < 2 else self.index(f"out{axis} together", size)
            for axis, (sections, size) in enumerate(zip(axes, sizes, strict=True))
        ]
        return axes, own

    def given(
        self, element: Expr, own: Sequence[tuple[str, ...]], axes: Sequence[Sections],
        channels: Sequence[tuple[str, ...]] = (), of_channels: Sequence[Sections] = (),
    ) -> Value:  # fmt: skip
        """Return the output of the windows, (N, channels, ...), with its axes as other nodes see them.

        ``channels`` are the indices of groups and of the filters of each group, ``of_channels`` the axes of these for
        other nodes; pooling keeps the channels of its input.
        """
        inner = (self.x.axes[0][0], *(channels or [self.channel]), *own)
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
        moving = _Moving(call, x, "windows")
        if len(sizes) != len(moving.lengths) or builder.shape(moving.x)[1] != groups * inner:
            raise ModelError(f"{call.node} has weights of the shape {builder.shape(W)} for {builder.shape(x)}")
        more = call.wholes("output_padding", (0,) * len(sizes)) if transposed else (0,) * len(sizes)
        if len(more) != len(sizes) or not all(0 <= extra < 2**20 for extra in more):
            raise ModelError(f"{call.node} has an output_padding that does not fit its input")
        windows = _windows(call, moving.lengths, sizes, transposed)
        (weights,) = W.blocks.values()
        group, one, two = (sections[0] for sections in W.axes[1 - 1 : 3])
        own_channel, own_filter = (one, two) if transposed else (two, one)
        taps = [sections[0] for sections in W.axes[3:]]
        axes, own = moving.places([window.places for window in windows])
        where = []
        unplaced: list[str] = []
        for k, window in enumerate(windows):
            place = own[k]
            if transposed and not place:
                place = (moving._single(f"out{k}"),)
                unplaced += place
            source = moving.sources[k]
            left, right = (place[0], (source,)) if transposed else (source, place)
            where.append(window.equation(left, right, taps[k]))
        channel = moving.channel
        over = (*channel, *(i for tap in taps for i in tap), *moving.sources, *unplaced)
        if groups > 1:
            within = ((group[0], inner), *((index, 1) for index in own_channel))
            where.append(Equation(channel[0], within))
            over = (*own_channel, *over)
        else:  # the channels of the weights are those of the input
            weights = weights.renamed(dict(zip(own_channel, channel, strict=True)))
        builder.trained |= W.undecided | x.undecided
        indices = (*moving.x.axes[0][0], *group, *own_filter, *(i for at in own for i in at))
        s = builder.step("s", indices, weights * moving.block, "sum", over, where=tuple(where))
        value = moving.given(s, own, axes, [group, own_filter], [before[0], before[2 if transposed else 1]])
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
        builder, moving = call.builder, _Moving(call, call.value(0), "pool")
        sizes, ceil = call.wholes("kernel_shape"), bool(call.whole("ceil_mode", 0))
        if len(sizes) != len(moving.lengths):
            raise ModelError(f"{call.node} has a kernel_shape of {len(sizes)} numbers for {builder.shape(moving.x)}")
        windows = _windows(call, moving.lengths, sizes, ceil=ceil)
        taps = [moving.index(f"tap{axis}", size) for axis, size in enumerate(sizes)]
        axes, own = moving.places([window.places for window in windows])
        moves = zip(windows, moving.sources, own, taps, strict=True)
        where = tuple(window.equation(source, place, tap) for window, source, place, tap in moves)
        over = (*(i for tap in taps for i in tap), *moving.sources)
        indices = (*moving.x.axes[0][0], *moving.channel, *(i for at in own for i in at))
        value: Expr = builder.step("s", indices, moving.block, operator, over, where=where)
        if operator == "sum":
            value = _mean(call, value, windows, own, taps, moving)
        return moving.given(value, own, axes)

    return pooled


def _mean(
    call: OnnxCall, total: Expr, windows: Sequence[Window], own: Sequence[tuple[str, ...]],
    taps: Sequence[tuple[str, ...]], moving: _Moving,
) -> Expr:  # fmt: skip
    """Return the total of each window divided by the number of its values, with its padding or without."""
    for axis, window in enumerate(windows):
        end = (window.places - 1) * window.stride + window.reach - window.before
        padded = bool(call.whole("count_include_pad", 0))
        room = window.length + window.after if padded else window.length
        before = 0 if padded else window.before
        if end <= room and not before:
            total = total / window.size
            continue
        # Count the places of each window between the first and the last that are included.
        length = room + (window.before if padded else 0)
        source = moving.index(f"counted{axis}", length) or (moving._single(f"counted{axis}"),)
        counted = replace(window, before=before)
        where = (counted.equation(source[0], own[axis], taps[axis]),)
        total = total / call.builder.step("count", own[axis], S.One, "sum", (*taps[axis], *source), where=where)
    return total


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

"""Windows that move over the axes of an input, for convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nncodegen.compiler.describe.call import Call
from nncodegen.compiler.describe.layer import is_integer, positive_integer
from nncodegen.compiler.ir import Equation
from nncodegen.errors import ModelError

Sizes = int | Sequence[int]
"""One number for all axes, or one for each."""

Padding = str | Sizes
""""valid", "same" or a number of places on both sides: one for all axes, or one for each."""

AXES = {1: ("steps",), 2: ("rows", "columns")}
"""The names of the axes that windows move over."""

FORMATS = ("channels_last", "channels_first")
"""Where the channels of a sample are: after the axes that windows move over, or before them."""


@dataclass(frozen=True)
class Window:
    """A window along one axis: ``size`` places that are ``dilation`` apart, which moves by ``stride``.

    The axis has ``length`` places, and ``before`` and ``after`` more that pad it; ``places`` is the number of windows,
    or, where they are added up in a transposed layer, the length of the result.
    """

    length: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    places: int

    @property
    def reach(self) -> int:
        """Return the number of places from the first to the last of a window."""
        return reach_of(self.size, self.dilation)

    def equation(self, left: str, right: Sequence[str], tap: Sequence[str]) -> Equation:
        """Return the equation of the places that a window reads: source = stride*place + dilation*tap - before.

        ``left`` is the index of the source and ``right`` that of the place, or the other way round in a transposed
        layer. An axis of size 1 may have no index.
        """
        terms = (*((index, self.stride) for index in right), *((index, self.dilation) for index in tap))
        return Equation(left, terms, -self.before)


def reach_of(size: int, dilation: int) -> int:
    """Return the number of places from the first to the last of a window."""
    return dilation * (size - 1) + 1


def sliding(length: int, size: int, stride: int, dilation: int, before: int, after: int, ceil: bool = False) -> Window:
    """Return the windows along a padded axis; ``places`` is 0 if it is shorter than a window.

    ceil: the last window may reach beyond the padding, if it does not begin there.
    """
    room = length + before + after - reach_of(size, dilation)
    places = 0 if room < 0 else (-(-room // stride) if ceil else room // stride) + 1
    if ceil and places > 0 and (places - 1) * stride >= length + before:
        places -= 1
    return Window(length, size, stride, dilation, before, after, places)


def spread(length: int, size: int, stride: int, dilation: int, before: int, after: int, more: int = 0) -> Window:
    """Return the windows that a transposed layer adds up, one for each place; ``more`` places follow the last one."""
    places = stride * (length - 1) + more + reach_of(size, dilation) - before - after
    return Window(length, size, stride, dilation, before, after, places)


def same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    """Return the number of places around an axis with which there are as many windows as strides in it."""
    return max((-(-length // stride) - 1) * stride + reach_of(size, dilation) - length, 0)


@dataclass(frozen=True)
class Windows:
    """The windows of a layer, for each of ``axes`` axes; ``needs`` describes the input that it takes.

    ``role`` names the layer in errors.
    """

    role: str
    axes: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str | tuple[int, ...]
    channels_first: bool

    @property
    def needs(self) -> str:
        """Return the input that the layer needs, in words."""
        names = ("channels", *AXES[self.axes]) if self.channels_first else (*AXES[self.axes], "channels")
        return f"an input of the shape ({', '.join(names)})"

    def split(self, call: Call) -> tuple[tuple[str, ...], str]:
        """Return the indices of the input that windows move over, and that of its channels."""
        indices = call.x.indices[1:]
        if len(indices) != self.axes + 1:
            raise call.refuse(self.needs)
        return (indices[1:], indices[0]) if self.channels_first else (indices[:-1], indices[-1])

    def joined(self, places: Sequence[str], channel: str) -> tuple[str, ...]:
        """Return the indices of a sample, from those of places and that of the channels: the reverse of ``split``."""
        return (channel, *places) if self.channels_first else (*places, channel)

    def along(self, call: Call, axis: int, length: int) -> Window:
        """Return the windows along one axis of the input. Raise ModelError if the axis is shorter than a window."""
        moves = self.size[axis], self.stride[axis], self.dilation[axis]
        reach = reach_of(moves[0], moves[2])
        if self.padding == "same":
            around = same_padding(length, *moves)
            return sliding(length, *moves, around // 2, around - around // 2)
        if self.padding == "causal":
            before, after = reach - 1, 0
        else:
            before = after = 0 if isinstance(self.padding, str) else self.padding[axis]
        around = before + after
        if reach > length + around:
            padded = f" (its padding adds {around})" if around else ""
            raise call.refuse(f"at least {reach - around} {AXES[self.axes][axis]} for a window of {reach}{padded}")
        return sliding(length, *moves, before, after)

    def more(self, output_padding: Any) -> tuple[int, ...] | None:
        """Return the numbers of places to add at the end of each axis. Raise ModelError where they are not allowed."""
        if output_padding is None:
            return None
        if self.padding == "same":
            raise ModelError(f"{self.role} has an output_padding, which goes with the padding 'valid' or numbers")
        paddings = _numbers(output_padding, f"the output_padding of {self.role}", self.axes, 0)
        if any(added >= max(pair) for added, *pair in zip(paddings, self.stride, self.dilation, strict=True)):
            raise ModelError(f"the output_padding of {self.role} is below its strides, not {output_padding!r}")
        return paddings

    def spread(self, call: Call, axis: int, length: int, more: int | None) -> Window:
        """Return the windows that a transposed layer adds up along one axis, one for each value of the input.

        ``places`` of these is the length of the result. more is the number of places after the end of the last window.
        """
        size, stride, dilation = moves = self.size[axis], self.stride[axis], self.dilation[axis]
        gap = reach_of(size, dilation) - stride  # negative where windows do not touch
        if self.padding == "same":
            before = max(gap, 0) // 2
            return spread(length, *moves, before, gap - before)
        if self.padding == "valid":
            return spread(length, *moves, 0, min(gap, 0) if more is None else 0, more or 0)
        around = int(self.padding[axis])
        window = spread(length, *moves, around, around, more or 0)
        if window.places < 1:
            raise call.refuse(f"more {AXES[self.axes][axis]}, as its padding of {around} leaves nothing of them")
        return window


def windows_of(
    call: Call,
    kind: str,
    axes: int,
    size: tuple[str, Any],
    strides: Any,
    padding: Any,
    data_format: Any,
    dilation: Any = 1,
    causal: bool = False,
) -> Windows:
    """Return the windows of a layer of a kind, from the options of the user. Raise ModelError where they do not fit."""
    role = f"{call.role}, a {kind},"
    if data_format not in FORMATS:
        raise ModelError(f"the data_format of {role} is {' or '.join(map(repr, FORMATS))}, not {data_format!r}")
    sizes = _numbers(size[1], f"the {size[0]} of {role}", axes, 1)
    named = ("valid", "same", "causal") if causal else ("valid", "same")
    if isinstance(padding, str):
        if padding not in named:
            raise ModelError(
                f"the padding of {role} is {', '.join(map(repr, named))} or a number of places, not {padding!r}"
            )
        around: str | tuple[int, ...] = padding
    else:
        around = _numbers(padding, f"the padding of {role}", axes, 0)
    stride = _numbers(strides, f"the strides of {role}", axes, 1)
    apart = _numbers(dilation, f"the dilation_rate of {role}", axes, 1)
    return Windows(role, axes, sizes, stride, apart, around, data_format == "channels_first")


def _numbers(value: Any, role: str, axes: int, least: int) -> tuple[int, ...]:
    """Return a number for each axis, given as one number or one for each. Raise ModelError for anything else."""
    sizes = tuple(value) if isinstance(value, list | tuple) else (value,) * axes
    if len(sizes) != axes or not all(is_integer(number) and number >= least for number in sizes):
        what = f"an integer from {least}" if axes == 1 else f"an integer from {least}, or {axes} of them"
        raise ModelError(f"{role} must be {what}, not {value!r}")
    return tuple(int(number) for number in sizes)


def groups_of(call: Call, groups: Any, channels: int, filters: Any, kind: str) -> tuple[int, int]:
    """Return the number of groups and that of filters, both checked: groups divide the channels and the filters."""
    filters = positive_integer(filters, f"the filters of {call.role}, a {kind},")
    groups = positive_integer(groups, f"the groups of {call.role}, a {kind},")
    if channels % groups:
        raise call.refuse(f"a number of channels that its {groups} groups divide, not {channels}")
    if filters % groups:
        raise ModelError(f"{call.role} has {filters} filters, which its {groups} groups do not divide")
    return groups, filters

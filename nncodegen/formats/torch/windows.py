"""Convolutions and pooling of PyTorch as layers, with the channels of a sample first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nncodegen.compiler.describe import (
    AveragePooling1D,
    AveragePooling2D,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from nncodegen.compiler.describe.layer import Layer
from nncodegen.errors import ModelError

FIRST = "channels_first"


def _numbers(value: Any) -> Any:
    """Return a size of PyTorch as a number, a text, or a tuple of integers."""
    return tuple(int(size) for size in value) if isinstance(value, list | tuple) else value


def _convolution(
    kind: type[Conv1D] | type[Conv2D] | type[Conv1DTranspose] | type[Conv2DTranspose], module: Any, **further: Any
) -> Layer:
    only(module, padding_mode="zeros")
    size, stride, padding, dilation = (
        _numbers(getattr(module, name)) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    return kind(
        int(module.out_channels),
        size,
        stride,
        padding,
        FIRST,
        dilation,
        int(module.groups),
        use_bias=module.bias is not None,
        **further,
    )


def _transpose(kind: type[Conv1DTranspose] | type[Conv2DTranspose], module: Any) -> Layer:
    return _convolution(kind, module, output_padding=_numbers(module.output_padding))


def _largest(kind: type[MaxPooling1D] | type[MaxPooling2D], module: Any) -> Layer:
    only(module, ceil_mode=False, return_indices=False, dilation=1)
    size, stride, padding = (_numbers(getattr(module, name)) for name in ("kernel_size", "stride", "padding"))
    return kind(size, stride, padding, FIRST)


def _mean(kind: type[AveragePooling1D] | type[AveragePooling2D], module: Any) -> Layer:
    only(module, ceil_mode=False, divisor_override=None)
    size, stride, padding = (_numbers(getattr(module, name)) for name in ("kernel_size", "stride", "padding"))
    return kind(size, stride, padding, FIRST, count_include_pad=bool(module.count_include_pad))


def _whole(kind: Callable[[str], Layer], module: Any) -> Layer:
    only(module, output_size=1)
    return kind(FIRST)


WINDOWS: Mapping[str, tuple[Callable[[Any, Any], Layer], Any]] = {
    "Conv1d": (_convolution, Conv1D),
    "Conv2d": (_convolution, Conv2D),
    "ConvTranspose1d": (_transpose, Conv1DTranspose),
    "ConvTranspose2d": (_transpose, Conv2DTranspose),
    "MaxPool1d": (_largest, MaxPooling1D),
    "MaxPool2d": (_largest, MaxPooling2D),
    "AvgPool1d": (_mean, AveragePooling1D),
    "AvgPool2d": (_mean, AveragePooling2D),
    "AdaptiveAvgPool1d": (_whole, GlobalAveragePooling1D),
    "AdaptiveAvgPool2d": (_whole, GlobalAveragePooling2D),
    "AdaptiveMaxPool1d": (_whole, GlobalMaxPooling1D),
    "AdaptiveMaxPool2d": (_whole, GlobalMaxPooling2D),
}
"""Modules of PyTorch, with the function that makes a layer of them, and its class."""


def window_layer(module: Any) -> Layer | None:
    """Return the layer for a convolution or pooling; None for another module."""
    make, kind = WINDOWS.get(type(module).__name__, (None, None))
    return make(kind, module) if make else None


def only(module: Any, **arguments: Any) -> None:
    """Raise ModelError unless some arguments of a module have these values, as one value or several equal ones."""
    for name, value in arguments.items():
        setting = getattr(module, name, value)
        if any(number != value for number in (setting if isinstance(setting, list | tuple) else (setting,))):
            raise ModelError(f"the module {module} has {name}={setting!r}; from_torch knows {name}={value!r} alone")

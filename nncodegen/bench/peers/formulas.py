"""The formulas, written by hand: one iteration of the shipped perceptron, and the curve of peaks.

All peers in Python share them: they work with numbers, arrays of NumPy, tensors of PyTorch, tracers of JAX, and inside
numba. The iteration is the same as in ``perceptron.c``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Parameters = tuple[Any, ...]
Iteration = Callable[[Parameters, Any, Any, Any, Any], Parameters]


def iterations(exp: Callable[[Any], Any], unit: Any = 1.0) -> tuple[Iteration, Iteration]:
    """Return the simultaneous and the sequential iteration: (parameters, x1, x2, y, rate) -> the next parameters.

    ``unit`` is the number 1 in the type to compute in, if the float 1.0 would widen it.
    """
    two = unit + unit

    def simultaneous(parameters: Parameters, x1: Any, x2: Any, y: Any, rate: Any) -> Parameters:
        w0, w13, w14, w23, w24, w35, w45 = parameters
        bias = two * w0
        f3 = unit / (unit + exp(-(w13 * x1 + w23 * x2 + bias)))
        f4 = unit / (unit + exp(-(w14 * x1 + w24 * x2 + bias)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        d3 = d5 * w35 * f3 * (unit - f3)
        d4 = d5 * w45 * f4 * (unit - f4)
        s3, s4, s5 = rate * d3, rate * d4, rate * d5
        return (
            w0 - two * (s3 + s4 + s5),
            w13 - s3 * x1,
            w14 - s4 * x1,
            w23 - s3 * x2,
            w24 - s4 * x2,
            w35 - s5 * f3,
            w45 - s5 * f4,
        )

    def sequential(parameters: Parameters, x1: Any, x2: Any, y: Any, rate: Any) -> Parameters:
        w0, w13, w14, w23, w24, w35, w45 = parameters
        f3 = unit / (unit + exp(-(w13 * x1 + w23 * x2 + two * w0)))
        f4 = unit / (unit + exp(-(w14 * x1 + w24 * x2 + two * w0)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + two * w0))) - y
        w0 = w0 - rate * two * d5 * (w35 * f3 * (unit - f3) + w45 * f4 * (unit - f4) + unit)
        bias = two * w0
        f3 = unit / (unit + exp(-(w13 * x1 + w23 * x2 + bias)))
        f4 = unit / (unit + exp(-(w14 * x1 + w24 * x2 + bias)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        w13 = w13 - rate * d5 * w35 * f3 * (unit - f3) * x1
        f3 = unit / (unit + exp(-(w13 * x1 + w23 * x2 + bias)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        w14 = w14 - rate * d5 * w45 * f4 * (unit - f4) * x1
        f4 = unit / (unit + exp(-(w14 * x1 + w24 * x2 + bias)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        w23 = w23 - rate * d5 * w35 * f3 * (unit - f3) * x2
        f3 = unit / (unit + exp(-(w13 * x1 + w23 * x2 + bias)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        w24 = w24 - rate * d5 * w45 * f4 * (unit - f4) * x2
        f4 = unit / (unit + exp(-(w14 * x1 + w24 * x2 + bias)))
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        w35 = w35 - rate * d5 * f3
        d5 = unit / (unit + exp(-(w35 * f3 + w45 * f4 + bias))) - y
        return w0, w13, w14, w23, w24, w35, w45 - rate * d5 * f4

    return simultaneous, sequential


def peaks(exp: Callable[[Any], Any], parameters: Parameters, x: Any, fused: bool = False) -> Any:
    """Return the curve of ``Peaks`` at x, both of shape (samples,), computed with a row for each peak.

    The peaks are summed by a matrix product with the heights, or, if ``fused``, by a sum that may share their loop.
    """
    heights, centers, widths, level = parameters
    z = (x - centers[:, None]) / widths[:, None]
    e = exp(-z * z)
    return (heights[:, None] * e).sum(0) + level if fused else heights @ e + level

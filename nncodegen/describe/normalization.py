"""Layers that normalize what they get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from sympy import Expr, Float, sqrt

from nncodegen.describe.call import Call, Part
from nncodegen.describe.checks import is_finite
from nncodegen.describe.layer import Standard
from nncodegen.errors import ModelError


@dataclass(frozen=True)
class LayerNormalization(Standard):
    """gamma*(x - mean)/sqrt(variance + epsilon) + beta, with mean and variance over some axes of each sample.

    (Ba et al., 2016.) axis is the number of an axis, the samples' being 0, or several; -1 is the last. gamma (scale)
    and beta (center) have the shape of these axes.
    """

    axis: int | Sequence[int] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | float = "zeros"
    gamma_initializer: str | float = "ones"

    def describe(self, call: Call) -> Part:
        """Mean and deviation over the axes, then the variance as the mean of the squared deviations."""
        x = call.x
        over = axes_of(call, self.axis)
        rest = tuple(index for index in x.indices if index not in over)
        values = 1
        for index in over:
            values *= call.size(index)
        mean = call.step("mean", rest, x / values, "sum", over)
        deviation = call.step("deviation", x.indices, x - mean)
        variance = call.step("variance", rest, deviation**2 / values, "sum", over)
        factor = call.step("factor", rest, 1 / sqrt(variance + small(call, self.epsilon)))
        return _scaled(call, self, deviation * factor, over)


def _scaled(call: Call, layer: Any, value: Expr, indices: Sequence[str]) -> Part:
    """The part of a layer whose result is gamma*value + beta, where it has these."""
    if layer.scale:
        value *= call.parameter("gamma", indices, layer.gamma_initializer, (1, 1), penalized=False)
    if layer.center:
        value += call.parameter("beta", indices, layer.beta_initializer, (1, 1), penalized=False)
    return call.output(value)


def axes_of(call: Call, axis: Any) -> tuple[str, ...]:
    """The indices of axes, given by their numbers, those of the samples' being 0. Raises ModelError for others."""
    x = call.x
    numbers = tuple(axis) if isinstance(axis, Iterable) and not isinstance(axis, str) else (axis,)
    rank, found = len(x.indices), list[str]()
    for number in numbers:
        whole = isinstance(number, Integral) and not isinstance(number, bool)
        if not whole or int(number) == 0 or abs(int(number)) >= rank:
            raise call.refuse(f"an axis from 1 to {rank - 1}, or from -{rank - 1} to -1, not {number!r}")
        found.append(x.indices[int(number) % rank])
    if not found or len(set(found)) < len(found):
        raise call.refuse(f"axes that are different, not {axis!r}")
    return tuple(index for index in x.indices if index in found)


def small(call: Call, epsilon: Any) -> Expr:
    """What is added to a variance. Raises ModelError unless it is a number above 0."""
    if not is_finite(epsilon) or not epsilon > 0:
        raise ModelError(f"the epsilon of {call.role} is a number above 0, not {epsilon!r}")
    return Float(float(epsilon))

"""Layers that normalize their inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sympy import Expr, Float, sqrt

from nncodegen.compiler.describe.call import Call, Part, Writer
from nncodegen.compiler.describe.checks import is_finite
from nncodegen.compiler.describe.layer import Standard, is_integer
from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.compiler.ir.functions import constant
from nncodegen.errors import ModelError


def normalized(
    write: Writer,
    x: Expr,
    indices: Sequence[str],
    over: Sequence[str],
    count: int,
    epsilon: Expr,
    centered: bool = True,
) -> tuple[Expr, Element | None, Element]:
    """Write mean and variance over ``count`` values; return (x - mean)*factor, mean, and factor.

    The factor is 1/sqrt(variance + epsilon). If it is not centered, there is no mean, and the variance is the mean of
    the squares. ``indices`` are those of x, of which those in ``over`` are normalized together.
    """
    operator = "sum" if over else None
    remaining_indices = tuple(index for index in indices if index not in over)
    mean: Element | None = None
    if centered:
        mean = write.step("mean", remaining_indices, x / count, operator, over)
        x = write.step("deviation", indices, x - mean)
    squares = write.step("variance" if centered else "squares", remaining_indices, x**2 / count, operator, over)
    factor = write.step("factor", remaining_indices, 1 / sqrt(squares + epsilon))
    return x * factor, mean, factor


@dataclass(frozen=True)
class LayerNormalization(Standard):
    """gamma*(x - mean)/sqrt(variance + epsilon) + beta, with mean and variance over some axes of each sample.

    (Ba et al., 2016.) axis is the number of an axis, or several; axis 0 is that of the samples, -1 the last. gamma
    (scale) and beta (center) have the shape of these axes.
    """

    axis: int | Sequence[int] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | float = "zeros"
    gamma_initializer: str | float = "ones"

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"gamma": ("gamma", "weight"), "beta": ("beta", "bias")}

    def describe(self, call: Call) -> Part:
        """Write the mean and the deviation over the axes, then the variance as the mean of the squared deviations."""
        x = call.x
        over = axes_of(call, self.axis)
        value, _, _ = normalized(call, x, x.indices, over, _count(call, over), small(call, self.epsilon))
        return _scaled(call, value, _gamma_and_beta(call, self, over))


@dataclass(frozen=True)
class RMSNormalization(Standard):
    """scale*x/sqrt(mean of squares + epsilon), with the mean over some axes of each sample.

    (Zhang and Sennrich, 2019.) axis is the number of an axis, or several; axis 0 is that of the samples, -1 the last.
    The parameter scale has the shape of these axes, and starts with 1; with scale=False, which Keras does not have,
    there is none.
    """

    axis: int | Sequence[int] = -1
    epsilon: float = 1e-6
    scale: bool = True

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"scale": ("scale", "weight")}

    def describe(self, call: Call) -> Part:
        """Write the mean of the squares over the axes, and the factor that follows from it."""
        if not isinstance(self.scale, bool):
            raise ModelError(f"scale of {call.role} is True or False, not {self.scale!r}")
        x, over = call.x, axes_of(call, self.axis)
        epsilon = small(call, self.epsilon)
        value, _, _ = normalized(call, x, x.indices, over, _count(call, over), epsilon, centered=False)
        return call.output(value * call.parameter("scale", over, "ones", (1, 1), False) if self.scale else value)


@dataclass(frozen=True)
class BatchNormalization(Standard):
    """gamma*(x - mean)/sqrt(variance + epsilon) + beta for each place along an axis, over the samples of a batch.

    (Ioffe and Szegedy, 2015.) In training, mean and (biased) variance are those of the batch, over all axes but the
    given one, and the gradient goes through them; each sample counts once in them, whatever its weight in the loss, as
    in Keras. After an update, the moving statistics, parameters without a gradient, become momentum*themselves + (1 -
    momentum)*those of the batch. Predictions, losses and everything else outside of training take the moving ones.

    All parameters have the size of the axis. A layer that is ``frozen`` takes the moving statistics in training as
    well: those of a network that was trained elsewhere, as Keras and PyTorch have them in such a layer.
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | float = "zeros"
    gamma_initializer: str | float = "ones"
    frozen: bool = False

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gamma": ("gamma", "weight"),
        "beta": ("beta", "bias"),
        "moving_mean": ("moving_mean", "running_mean"),
        "moving_variance": ("moving_variance", "running_var"),
    }

    def describe(self, call: Call) -> Part:
        """Write the layer with the statistics of a batch, which moving ones follow; if frozen, with moving ones.

        The moving statistics are parameters without a gradient.
        """
        if not isinstance(self.frozen, bool):
            raise ModelError(f"frozen of {call.role} is True or False, not {self.frozen!r}")
        if not is_finite(self.momentum) or not 0 <= self.momentum <= 1:
            raise ModelError(f"the momentum of {call.role} is a number from 0 to 1, not {self.momentum!r}")
        x, over = call.x, axes_of(call, self.axis)
        gamma_and_beta = _gamma_and_beta(call, self, over)
        if self.frozen:
            mean = call.parameter("moving_mean", over, "zeros", (1, 1), penalized=False, trained=False)
            variance = call.parameter("moving_variance", over, "ones", (1, 1), penalized=False, trained=False)
            deviation: Expr = x - mean
        else:
            mean, deviation, variance = _of_a_batch(call, over)
            call.follow("moving_mean", mean, "zeros", self.momentum)
            call.follow("moving_variance", variance, "ones", self.momentum)
        factor = call.step("factor", over, 1 / sqrt(variance + small(call, self.epsilon)))
        return _scaled(call, deviation * factor, gamma_and_beta)


def _of_a_batch(call: Call, over: Sequence[str]) -> tuple[Element, Element, Element]:
    """Return mean, deviations from it, and variance, over the samples of a batch and all axes but ``over``.

    The derivative of the variance by the mean is 0, because the deviations sum to 0. So the mean is a constant in the
    variance, and the reverse sweep needs one sum over the samples less.
    """
    x, present = call.x, call.present
    remaining_indices = tuple(index for index in x.indices if index not in over)
    values = math.prod(call.size(index) for index in remaining_indices if index != SAMPLE)
    count = call.step("samples", (), present, "sum", (SAMPLE,))
    total = call.step("total", over, present * x, "sum", remaining_indices)
    mean = call.step("mean", over, total / (values * count))
    deviation = call.step("deviation", x.indices, x - mean)
    squares = call.step("squares", over, present * (x - constant(mean)) ** 2, "sum", remaining_indices)
    return mean, deviation, call.step("variance", over, squares / (values * count))


def _count(call: Call, over: Sequence[str]) -> int:
    return math.prod(map(call.size, over))


def _gamma_and_beta(call: Call, layer: Any, indices: Sequence[str]) -> tuple[Element | None, Element | None]:
    """Return the parameters that a layer scales and shifts with; None for one that it does not have."""
    gamma = call.parameter("gamma", indices, layer.gamma_initializer, (1, 1), False) if layer.scale else None
    beta = call.parameter("beta", indices, layer.beta_initializer, (1, 1), False) if layer.center else None
    return gamma, beta


def _scaled(call: Call, value: Expr, gamma_and_beta: tuple[Element | None, Element | None]) -> Part:
    """Return the part of a layer whose result is gamma*value + beta."""
    gamma, beta = gamma_and_beta
    value = value if gamma is None else value * gamma
    return call.output(value if beta is None else value + beta)


def axes_of(call: Call, axis: Any) -> tuple[str, ...]:
    """Return the indices of axes, given by number; axis 0 is that of the samples. Raise ModelError for others."""
    x = call.x
    numbers = tuple(axis) if isinstance(axis, Iterable) and not isinstance(axis, str) else (axis,)
    rank, indices = len(x.indices), list[str]()
    for number in numbers:
        if not is_integer(number) or number == 0 or abs(number) >= rank:
            raise call.refuse(f"an axis from 1 to {rank - 1}, or from -{rank - 1} to -1, not {number!r}")
        indices.append(x.indices[int(number) % rank])
    if not indices or len(set(indices)) < len(indices):
        raise call.refuse(f"axes that are different, not {axis!r}")
    return tuple(index for index in x.indices if index in indices)


def small(call: Call, epsilon: Any) -> Expr:
    """Return the number that is added to a variance. Raise ModelError unless it is above 0."""
    if not is_finite(epsilon) or not epsilon > 0:
        raise ModelError(f"the epsilon of {call.role} is a number above 0, not {epsilon!r}")
    return Float(float(epsilon))

"""Basic layers: dense ones, activations, noise. To add one, add a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sympy import Expr

from nncodegen.compiler.describe.activate import activated
from nncodegen.compiler.describe.activations import Activation as ActivationFunction
from nncodegen.compiler.describe.call import Call, Part
from nncodegen.compiler.describe.checks import is_finite
from nncodegen.compiler.describe.layer import Array, Layer, Standard, positive_integer, with_old_names
from nncodegen.compiler.ir import Element
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.renamed import renamed


@with_old_names
@dataclass(frozen=True)
class Dense(Standard):
    """activation(W x + b) over the last axis, with W of shape (units, inputs) and b of shape (units,).

    activation is a name (see ``describe.activations``) or a function of a SymPy expression; initializers are
    names (see ``describe.initializers``) or numbers.
    """

    units: int
    activation: ActivationFunction = "linear"
    kernel_initializer: str | float = "glorot_uniform"
    bias_initializer: str | float = "zeros"
    use_bias: bool = True

    elsewhere: ClassVar[Mapping[str, tuple[str, str]]] = {"W": ("kernel", "weight"), "b": ("bias", "bias")}

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the values in the order of axes used here: Keras has weights as (inputs, units)."""
        return values.T if letters == "W" and origin == "keras" else values

    def describe(self, call: Call) -> Part:
        """Write the steps s = W x, z = s + b, h = activation(z)."""
        units, x = positive_integer(self.units, f"the units of {call.role}"), call.x
        if call.unflattened is not None:  # the sum over all its indices equals that over the flattened one
            x = call.unflattened
        leading, over = (x.indices[:-1], x.indices[-1:]) if x == call.x else (x.indices[:1], x.indices[1:])
        j = call.index(units)
        indices, inputs = (*leading, j), math.prod(map(call.size, over))
        W = call.parameter("W", (j, *over), self.kernel_initializer, (inputs, units))
        s = call.step("s", indices, W * x, "sum", over)
        if not self.use_bias:
            return activated(call, s, self.activation)
        b = call.parameter("b", (j,), self.bias_initializer, (inputs, units), penalized=False)
        return activated(call, call.step("z", indices, s + b), self.activation)


@dataclass(frozen=True)
class Activation(Standard):
    """A separate layer for an activation: a name, or a function of a SymPy expression; a softmax of the last axis."""

    activation: ActivationFunction

    def describe(self, call: Call) -> Part:
        """Write the step h = activation(x)."""
        return activated(call, call.x, self.activation)


@dataclass(frozen=True)
class Dropout(Standard):
    """In training, sets a share ``rate`` of its inputs to 0, and divides the others by 1 - rate.

    (Srivastava et al., 2014.) It has no effect on predictions, and none when a loss or a gradient is asked for.
    """

    rate: float

    def describe(self, call: Call) -> Part:
        """Write the step h = x*(1 + noise), where the noise is -1 or rate/(1 - rate)."""
        rate = _real(self.rate, f"the rate of {call.role}, a Dropout,", 0, 1)
        return _noisy(call, "dropout", rate, lambda noise: call.x * (1 + noise))


@dataclass(frozen=True)
class GaussianNoise(Standard):
    """In training, adds normally distributed numbers of the standard deviation ``stddev`` to its inputs.

    It has no effect on predictions, and none when a loss or a gradient is asked for.
    """

    stddev: float

    def describe(self, call: Call) -> Part:
        """Write the step h = x + noise."""
        stddev = _real(self.stddev, f"the stddev of {call.role}, a GaussianNoise,", 0, math.inf)
        return _noisy(call, "normal", stddev, lambda noise: call.x + noise)


@renamed("0.3.0", initializer="kernel_initializer")
@dataclass(frozen=True)
class WideAndDeep(Standard):
    """activation(W h + U x + b) with h the output of the ``deep`` layers for x: a linear path beside hidden layers.

    (Cheng et al., 2016.) W has the shape (units, size of h), U (units, inputs) and b (units,). The parameters of the
    deep layers of layer 1 are W1_1, b1_1, W1_2, and so on, and come first. U starts with zeros, so that at first the
    linear path has no effect.
    """

    deep: Sequence[Layer]
    units: int
    activation: ActivationFunction = "linear"
    kernel_initializer: str | float = "glorot_uniform"
    wide_initializer: str | float = "zeros"
    bias_initializer: str | float = "zeros"

    def describe(self, call: Call) -> Part:
        """Write the steps s = W h, r = U x, z = s + r + b, output = activation(z)."""
        units, role, x = positive_integer(self.units, f"the units of {call.role}"), call.role, call.x
        if not isinstance(self.deep, Iterable) or not all(hasattr(layer, "describe") for layer in self.deep):
            raise ModelError(f"{role} needs a list of its deep layers, such as [Dense(16)], not {self.deep!r}")
        j = call.index(units)
        h, shape = x, call.shape
        for place, layer in enumerate(self.deep, start=1):
            h, shape = call.inner(layer, place, f"{j}_{place}", h, shape)
        if h == x:
            raise ModelError(f"{role} has no deep layers that change its input: use Dense(units, activation)")
        *leading, i = x.indices
        if h.indices[:-1] != tuple(leading):
            raise call.refuse("deep layers that change the last axis of their input alone")
        W = call.parameter("W", (j, h.indices[-1]), self.kernel_initializer)
        U = call.parameter("U", (j, i), self.wide_initializer)
        b = call.parameter("b", (j,), self.bias_initializer, (call.size(i), units), penalized=False)
        s = call.step("s", (*leading, j), W * h, "sum", h.indices[-1:])
        r = call.step("r", (*leading, j), U * x, "sum", (i,))
        return activated(call, call.step("z", (*leading, j), s + r + b), self.activation)


def _noisy(call: Call, distribution: str, scale: float, formula: Callable[[Element], Expr]) -> Part:
    """Return the part of a layer whose formula contains noise. With a scale of 0 it leaves its input as it is."""
    if call.feeds_loss:
        raise ModelError(f"{call.role} puts noise on the output of the network: put a Dense layer after it")
    if not scale:
        return call.part(call.x)
    return call.output(formula(call.noise("noise", call.x.indices, distribution, scale)))


def _real(value: Any, role: str, low: int, high: float) -> float:
    """Return a real number with low <= number < high. Raise ModelError otherwise."""
    if not is_finite(value) or not low <= float(value) < high:
        raise ModelError(
            f"{role} must be a number from {low}{f', below {high}' if high < math.inf else ''}, not {value!r}"
        )
    return float(value)

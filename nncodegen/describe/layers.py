"""Stacks of layers. A layer is a class with a method ``describe``; to add one, add a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

from sympy import Expr, Symbol, exp

from nncodegen.describe.activations import ACTIVATIONS, SOFTMAX, Activation
from nncodegen.describe.checks import bounded, check_name, is_finite
from nncodegen.describe.functions import call
from nncodegen.describe.given import Given, copied, with_initial
from nncodegen.describe.initializers import initial
from nncodegen.describe.loss_steps import Output, entry_of, loss_steps
from nncodegen.describe.losses import LossFunction
from nncodegen.describe.optimizers import Optimizer, check_optimizers
from nncodegen.errors import ModelError
from nncodegen.ir import SAMPLE, Element, Noise, Program, Step, Tensor
from nncodegen.notebook import model_html, model_latex


@dataclass(frozen=True)
class Part:
    """What a layer adds to a Program.

    ``output`` is the element that holds its result, and ``formula`` the same result as an expression. The loss is
    written with the formula of the last layer, so that a logarithm in it can cancel an exponential in the formula.
    """

    parameters: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    output: Element
    formula: Expr
    size: int
    noise: tuple[Noise, ...] = ()


Number = int | str
"""The number of a layer; for a layer inside another one, the numbers of both, such as "2_1"."""


class Layer(Protocol):
    """One stage of a network, from ``x[n, i]`` to an output with one index."""

    def describe(self, x: Element, size: int, number: Number, axis: str, last: bool) -> Part:
        """The steps of layer ``number`` on an input of ``size`` values, with ``axis`` as the index of its output."""
        ...


@dataclass(frozen=True)
class Dense:
    """activation(W x + b), with W of shape (units, inputs) and b of shape (units,).

    activation is a name (see ``describe.activations``) or a function of a SymPy expression; initializers are
    names (see ``describe.initializers``) or numbers.
    """

    units: int
    activation: Activation = "linear"
    initializer: str | float = "glorot_uniform"
    bias_initializer: str | float = "zeros"
    bias: bool = True

    def describe(self, x: Element, size: int, number: Number, axis: str, last: bool) -> Part:
        """S = W x, z = s + b, h = activation(z)."""
        units = _positive_integer(self.units, f"the units of layer {number}")
        (inner,) = x.indices[1:]
        indices = (SAMPLE, axis)
        W, b = Element(f"W{number}", (axis, inner)), Element(f"b{number}", (axis,))
        s, z, h = (Element(f"{letter}{number}", indices) for letter in "szh")
        parameters = [Tensor(W.tensor, (units, size), initial(self.initializer, size, units))]
        steps = [Step(s, W * x, "sum", (inner,))]
        if self.bias:
            parameters.append(Tensor(b.tensor, (units,), initial(self.bias_initializer, size, units), penalized=False))
            steps.append(Step(z, s + b))
        else:
            z = s
        normalized, formula = _activate(self.activation, z, number, last)
        return Part(tuple(parameters), (*steps, *normalized, *_output(h, formula, normalized)), h, formula, units)


@dataclass(frozen=True)
class Dropout:
    """In training, sets a share ``rate`` of its inputs to 0, and divides the others by 1 - rate.

    (Srivastava et al., 2014.) It does nothing when predicting, or when a loss or a gradient is asked for.
    """

    rate: float

    def describe(self, x: Element, size: int, number: Number, axis: str, last: bool) -> Part:
        """H = x*(1 + noise), where the noise is -1 or rate/(1 - rate)."""
        rate = _real(self.rate, f"the rate of layer {number}, a Dropout,", 0, 1)
        return _noisy(x, size, number, last, "dropout", rate, lambda noise: x * (1 + noise))


@dataclass(frozen=True)
class GaussianNoise:
    """In training, adds normally distributed numbers of the standard deviation ``stddev`` to its inputs.

    It does nothing when predicting, or when a loss or a gradient is asked for.
    """

    stddev: float

    def describe(self, x: Element, size: int, number: Number, axis: str, last: bool) -> Part:
        """H = x + noise."""
        stddev = _real(self.stddev, f"the stddev of layer {number}, a GaussianNoise,", 0, math.inf)
        return _noisy(x, size, number, last, "normal", stddev, lambda noise: x + noise)


@dataclass(frozen=True)
class WideAndDeep:
    """activation(W h + U x + b) with h the output of the ``deep`` layers for x: a linear path beside hidden layers.

    (Cheng et al., 2016.) W has the shape (units, size of h), U (units, inputs) and b (units,). The parameters of the
    deep layers of layer 1 are W1_1, b1_1, W1_2, and so on, and come first. U starts with zeros, so that at first the
    linear path has no effect.
    """

    deep: Sequence[Layer]
    units: int
    activation: Activation = "linear"
    initializer: str | float = "glorot_uniform"
    wide_initializer: str | float = "zeros"
    bias_initializer: str | float = "zeros"

    def describe(self, x: Element, size: int, number: Number, axis: str, last: bool) -> Part:
        """S = W h, r = U x, z = s + r + b, output = activation(z)."""
        units = _positive_integer(self.units, f"the units of layer {number}")
        if not isinstance(self.deep, Iterable) or not all(hasattr(layer, "describe") for layer in self.deep):
            raise ModelError(f"layer {number} needs a list of its deep layers, such as [Dense(16)], not {self.deep!r}")
        h, width, parts = x, size, []
        for place, layer in enumerate(self.deep, start=1):
            part = layer.describe(h, width, f"{number}_{place}", f"{axis}_{place}", last=False)
            parts.append(part)
            h, width = part.output, part.size
        if h == x:
            raise ModelError(f"layer {number} has no deep layers that change its input: use Dense(units, activation)")
        indices = (SAMPLE, axis)
        W, U = (Element(f"{name}{number}", (axis, e.indices[1])) for name, e in (("W", h), ("U", x)))
        b, s, r, z, out = Element(f"b{number}", (axis,)), *(Element(f"{letter}{number}", indices) for letter in "srzh")
        own = (
            Tensor(W.tensor, (units, width), initial(self.initializer, width, units)),
            Tensor(U.tensor, (units, size), initial(self.wide_initializer, size, units)),
            Tensor(b.tensor, (units,), initial(self.bias_initializer, size, units), penalized=False),
        )
        sums = (Step(s, W * h, "sum", W.indices[1:]), Step(r, U * x, "sum", U.indices[1:]), Step(z, s + r + b))
        normalized, formula = _activate(self.activation, z, number, last)
        return Part(
            (*(tensor for part in parts for tensor in part.parameters), *own),
            (*(step for part in parts for step in part.steps), *sums, *normalized, *_output(out, formula, normalized)),
            out, formula, units, tuple(source for part in parts for source in part.noise),
        )  # fmt: skip


def _noisy(
    x: Element,
    size: int,
    number: Number,
    last: bool,
    distribution: str,
    scale: float,
    formula: Callable[[Element], Expr],
) -> Part:
    """A layer without parameters whose formula contains noise. With a scale of 0 it leaves its input as it is."""
    if last:
        raise ModelError(f"layer {number} puts noise on the output of the network: put a Dense layer behind it")
    if not scale:
        return Part((), (), x, x, size)
    noise, h = Element(f"noise{number}", x.indices), Element(f"h{number}", x.indices)
    source = Noise(Tensor(noise.tensor, (None, size)), distribution, scale)
    return Part((), (Step(h, formula(noise)),), h, h, size, (source,))


def _activate(activation: Activation, z: Element, number: Number, last: bool) -> tuple[tuple[Step, ...], Expr]:
    """The steps that an activation needs (softmax: its logarithm), and its value as an expression."""
    if isinstance(activation, str) and activation == SOFTMAX:
        if not last:
            raise ModelError(f"softmax stands in layer {number}; it may stand in the last layer only")
        v = Element(f"v{number}", z.indices)
        return (Step(v, z, "log_softmax", z.indices[1:]),), exp(v)
    if callable(activation):
        symbol = Symbol("z", real=True)
        formula = call(activation, [symbol], f"the activation of layer {number}")
        if symbol not in formula.free_symbols:
            raise ModelError(f"the activation of layer {number} does not depend on its argument: {formula}")
        return (), formula.xreplace({symbol: z})
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        names = ", ".join([*ACTIVATIONS, SOFTMAX])
        raise ModelError(f"layer {number} has an unknown activation: {activation!r}; there are: {names}, or a function")
    return (), ACTIVATIONS[activation](z)


def _checked(part: Any, number: int) -> Part:
    """The given Part, checked to hold expressions: SymPy would execute a text among them."""
    formulas = (part.formula, *(step.expression for step in part.steps)) if isinstance(part, Part) else (part,)
    for formula in formulas:
        if not isinstance(formula, Expr):
            raise ModelError(
                f"layer {number} describes itself with {formula!r}: return a Part whose formulas are SymPy expressions"
            )
    checked: Part = part
    return checked


def _output(h: Element, formula: Expr, normalized: tuple[Step, ...]) -> tuple[Step, ...]:
    """The step that holds the output of a layer."""
    if normalized:
        (logarithm,) = normalized
        return (Step(h, logarithm.expression, "softmax", logarithm.over),)
    return (Step(h, formula),)


class Sequential:
    """Layers one after the other, and a loss: a network.

    inputs is the number of values in one sample; loss a name (see ``describe.losses``) or a function
    ``(output, target) -> expression``, whose mean over outputs and samples is minimized. The parameters are W1, b1,
    W2, and so on, numbered by their layers; in a flat array they lie in that order. optimizers are additional update
    rules. initial has values that parameters start with, in place of those that are drawn: arrays by name, such as
    ``{"W1": ..., "b1": ...}``, or all of them in a flat array. Raises ModelError, which names the part that is wrong.
    """

    @bounded("the network")
    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: int,
        loss: str | LossFunction = "mse",
        name: str = "network",
        optimizers: Sequence[Optimizer] = (),
        initial: Given | None = None,
    ) -> None:
        if not isinstance(layers, Iterable):
            raise ModelError(f"{name} needs a list of layers, such as [Dense(1)], not {layers!r}")
        layers = tuple(layers)
        if not layers:
            raise ModelError(f"{name} has no layers: give at least one, such as Dense(1)")
        for layer in layers:
            if not hasattr(layer, "describe"):
                raise ModelError(f"{layer!r} is not a layer: use Dense(units, activation)")
        self.name = check_name(name, "the name of a model")
        self.layers = layers
        self.inputs = _positive_integer(inputs, "inputs, the number of values in a sample,")
        self.loss = loss
        self.optimizers = check_optimizers(optimizers, name)
        self.initial = copied(initial, name)
        self.describe()

    def describe(self) -> Program:
        """The network as a Program."""
        axes = _axes(len(self.layers) + 1)
        x = Element("x", (SAMPLE, axes[0]))
        inputs, size = Tensor("x", (None, self.inputs)), self.inputs
        parts: list[Part] = []
        for number, (layer, axis) in enumerate(zip(self.layers, axes[1:], strict=True), start=1):
            parts.append(_checked(layer.describe(x, size, number, axis, last=number == len(self.layers)), number))
            x, size = parts[-1].output, parts[-1].size
        steps = tuple(step for part in parts for step in part.steps)
        loss = entry_of(self.loss)
        losses = loss_steps(loss, [Output(x, parts[-1].formula)], size, len(self.layers) + 1)
        return Program(
            name=self.name,
            inputs=(inputs,),
            targets=(Tensor("y", (None, size)),),
            parameters=with_initial(
                tuple(tensor for part in parts for tensor in part.parameters), self.initial, self.name
            ),
            weight=Tensor("weight", (None,)),
            steps=(*steps, *losses),
            outputs=(x,),
            loss=Element("loss"),
            noise=tuple(source for part in parts for source in part.noise),
            labels=loss.labels and size > 1,
            threshold=loss.threshold,
            least_squares=self.loss == "mse",
        )

    def _repr_html_(self) -> str:
        return model_html(self.describe(), "a network")

    def _repr_latex_(self) -> str | None:
        return model_latex(self.describe())


def _axes(count: int) -> list[str]:
    """The names of a network's indices: one for the inputs and one for each layer; n is reserved for the samples."""
    letters = "ijklmopqrstuvwxyz"
    return [letters[k] if k < len(letters) else f"i{k}" for k in range(count)]


def _real(value: Any, role: str, low: int, high: float) -> float:
    """A real number with low <= number < high. Raises ModelError otherwise."""
    if not is_finite(value) or not low <= float(value) < high:
        raise ModelError(
            f"{role} must be a number from {low}{f', below {high}' if high < math.inf else ''}, not {value!r}"
        )
    return float(value)


def _positive_integer(value: Any, role: str) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ModelError(f"{role} must be a positive integer, not {value!r}")
    return int(value)

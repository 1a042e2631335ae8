"""What a user has given, as a program of its own, which the stage ``describe`` has no part in.

Formulas are taken as they stand. Layers, activations and losses by name are written as textbooks define them; those
that the user wrote are called. A model of another kind describes itself: then its program is what was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy
from sympy import Abs, Eq, Expr, Piecewise, Rational, S, Symbol, cosh, erfc, exp, log, sqrt, tanh

from nncodegen.describe import Dense, Describable, Dropout, GaussianNoise, Model, Sequential, WideAndDeep
from nncodegen.describe.describable import Named
from nncodegen.ir import SAMPLE, Element, Program, Step, Tensor

FORMULAS, LAYERS, PROGRAM = "the formulas of the model", "the layers of the model", "the program of the model"
"""What the exact values are computed from."""


def _where_positive(positive: Callable[[Expr], Expr], other: Callable[[Expr], Expr]) -> Callable[[Expr], Expr]:
    return lambda z: Piecewise((positive(z), z > 0), (other(z), True))


SELU = Rational("1.0507009873554804934193349852946"), Rational("1.6732632423543772848170429916717")
"""The scale and alpha of selu, which Klambauer et al. (2017) give to 32 digits."""

ACTIVATIONS: dict[str, Callable[[Expr], Expr]] = {
    "linear": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + exp(-z)),
    "tanh": tanh,
    "relu": _where_positive(lambda z: z, lambda z: S.Zero),
    "leaky_relu": _where_positive(lambda z: z, lambda z: z / 100),
    "elu": _where_positive(lambda z: z, lambda z: exp(z) - 1),
    "selu": _where_positive(lambda z: SELU[0] * z, lambda z: SELU[0] * SELU[1] * (exp(z) - 1)),
    "softplus": lambda z: log(1 + exp(z)),
    "softsign": lambda z: z / (1 + Abs(z)),
    "silu": lambda z: z / (1 + exp(-z)),
    "swish": lambda z: z / (1 + exp(-z)),
    "gelu": lambda z: z * erfc(-z / sqrt(2)) / 2,
}
"""Activations by name, as functions of one number."""


def _entropy(p: Expr, y: Expr) -> Expr:
    """-y*log(p), which is 0 where y is, for every p."""
    return Piecewise((S.Zero, Eq(y, 0)), (-y * log(p), True))


def _huber(p: Expr, y: Expr) -> Expr:
    return Piecewise(((p - y) ** 2 / 2, Abs(p - y) <= 1), (Abs(p - y) - Rational(1, 2), True))


def _hinge(p: Expr, y: Expr) -> Expr:
    margin = 1 - p * Piecewise((-1, Eq(y, 0)), (y, True))
    return Piecewise((margin, margin > 0), (margin / 2, Eq(margin, 0)), (S.Zero, True))


LOSSES: dict[str, tuple[Callable[[Expr, Expr], Expr], bool, str]] = {
    "mse": (lambda p, y: (p - y) ** 2, True, "linear"),
    "mae": (lambda p, y: Abs(p - y), True, "linear"),
    "huber": (_huber, True, "linear"),
    "log_cosh": (lambda p, y: log(cosh(p - y)), True, "linear"),
    "poisson": (lambda p, y: p - y * log(p), True, "linear"),
    "hinge": (_hinge, True, "linear"),
    "binary_crossentropy": (lambda p, y: _entropy(p, y) + _entropy(1 - p, 1 - y), True, "linear"),
    "binary_crossentropy_from_logits": (lambda p, y: _entropy(p, y) + _entropy(1 - p, 1 - y), True, "sigmoid"),
    "categorical_crossentropy": (_entropy, False, "linear"),
    "categorical_crossentropy_from_logits": (_entropy, False, "softmax"),
    "nll": (lambda p, y: -y * p, False, "linear"),
}
"""Losses by name: the function of an output and its target, whether the mean over the outputs is taken rather than
their sum, and the activation that makes of a logit what the function expects."""


class _UnknownError(Exception):
    """A part of a model that only the stage ``describe`` understands."""


def given(model: Describable, described: Program) -> tuple[Program, str]:
    """The model as the user gave it, with the tensors of its described program; and what that was read from."""
    while isinstance(model, Named):
        model = model.model
    found, source = described, PROGRAM
    try:
        if type(model) is Model:
            found, source = _formulas(model, described), FORMULAS
        elif type(model) is Sequential:
            found, source = _layers(model, described), LAYERS
    except _UnknownError:
        pass
    own, other = ([(t.name, t.shape) for t in program.parameters] for program in (found, described))
    return (found, source) if own == other else (described, PROGRAM)


def _program(described: Program, inputs: Any, targets: Any, parameters: Any, steps: Any, outputs: Any) -> Program:
    """A program of these steps, the last of which is the loss of a sample."""
    loss, weight = Element(described.loss.tensor), Element(described.weight.name, (SAMPLE,))
    steps = (*steps, Step(loss, steps[-1].target * weight, "sum", (SAMPLE,)))
    return Program(
        described.name, inputs, targets, parameters, described.weight, steps, outputs, loss,
        precision=described.precision,
    )  # fmt: skip


# --- formulas ----------------------------------------------------------------------------------------------------


def _formulas(model: Model, described: Program) -> Program:
    of_samples = (*model.inputs, *model.targets)
    real: dict[Any, Any] = {symbol: Element(symbol.name, (SAMPLE,)) for symbol in of_samples}
    real |= {symbol: Element(symbol.name) for symbol in model.parameters}
    names = [step.target for step in described.steps]
    if len(names) != len(model.outputs) + 2:
        names = [Element(f"given{k}", (SAMPLE,)) for k in range(len(model.outputs) + 1)]
    formulas = (*model.outputs, model.loss)
    steps = [Step(name, formula.xreplace(real)) for name, formula in zip(names, formulas, strict=False)]
    return _program(
        described,
        tuple(Tensor(symbol.name, (None,)) for symbol in model.inputs),
        tuple(Tensor(symbol.name, (None,)) for symbol in model.targets),
        tuple(Tensor(symbol.name) for symbol in model.parameters),
        steps,
        tuple(step.target for step in steps[:-1]),
    )


# --- layers ------------------------------------------------------------------------------------------------------


class _Network:
    """The steps and the parameters of layers, one after the other."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.parameters: list[Tensor] = []

    def add(self, layers: Sequence[Any], x: Element, size: int, prefix: str, axis: str) -> tuple[Element, int]:
        """Adds layers; returns the element that holds the output of the last, and its size."""
        for number, layer in enumerate(layers, start=1):
            label, index = f"{prefix}{number}", f"{axis}{number}"
            if type(layer) is Dense:
                wide: list[tuple[str, Element, int]] = [("W", x, size)]
            elif type(layer) is WideAndDeep:
                inner, width = self.add(list(layer.deep), x, size, f"{label}_", f"{index}_")
                wide = [("W", inner, width), ("U", x, size)]
            elif type(layer) in (Dropout, GaussianNoise):  # without noise, which there is in a training only
                continue
            else:
                raise _UnknownError
            x, size = self._affine(layer, wide, label, index), layer.units
        return x, size

    def _affine(self, layer: Any, wide: Sequence[tuple[str, Element, int]], label: str, index: str) -> Element:
        """activation(W x + b), or with a further matrix."""
        indices = (SAMPLE, index)
        parts: list[Expr] = []
        for letter, x, size in wide:
            (inner,) = x.indices[1:]
            matrix = Element(f"{letter}{label}", (index, inner))
            self.parameters.append(Tensor(matrix.tensor, (int(layer.units), size)))
            self.steps.append(
                Step(Element(f"{'s' if letter == 'W' else 'r'}{label}", indices), matrix * x, "sum", (inner,))
            )
            parts.append(self.steps[-1].target)
        if getattr(layer, "bias", True):
            bias = Element(f"b{label}", (index,))
            self.parameters.append(Tensor(bias.tensor, (int(layer.units),)))
            parts.append(bias)
        z = parts[0]
        if len(parts) > 1:
            z = Element(f"z{label}", indices)
            self.steps.append(Step(z, sympy.Add(*parts)))
        return self.activate(layer.activation, z, Element(f"h{label}", indices))

    def activate(self, activation: Any, z: Any, target: Element) -> Element:
        """The step of an activation."""
        if isinstance(activation, str) and activation == "softmax":
            self.steps.append(Step(target, z, "softmax", target.indices[1:]))
        elif isinstance(activation, str) and activation in ACTIVATIONS:
            self.steps.append(Step(target, ACTIVATIONS[activation](z)))
        elif callable(activation):
            symbol = Symbol("z", real=True)
            self.steps.append(Step(target, sympy.sympify(activation(symbol)).xreplace({symbol: z})))
        else:
            raise _UnknownError
        return target


def _layers(model: Sequential, described: Program) -> Program:
    if not isinstance(model.inputs, int):
        raise _UnknownError
    network, inputs = _Network(), model.inputs
    x = Element("x", (SAMPLE, "i0"))
    output, size = network.add(model.layers, x, inputs, "", "i")
    y = Element("y", output.indices)
    if callable(model.loss):
        function, mean, link = model.loss, True, "linear"
    elif model.loss in LOSSES:
        function, mean, link = LOSSES[model.loss]
    else:
        raise _UnknownError
    p = output if link == "linear" else network.activate(link, output, Element("linked", output.indices))
    symbols: Any = sympy.symbols("output target", real=True)
    loss = sympy.sympify(function(*symbols)).xreplace(dict(zip(symbols, (p, y), strict=True)))
    network.steps.append(Step(Element("loss_n", (SAMPLE,)), loss / size if mean else loss, "sum", output.indices[1:]))
    return _program(
        described, (Tensor("x", (None, inputs)),), (Tensor("y", (None, size)),), tuple(network.parameters),
        network.steps, (output,),
    )  # fmt: skip

"""A network as plain data: text and numbers that can be pickled, hashed, and written as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from sympy import Expr, Symbol

from nncodegen.compiler.describe import Dense, Describable, Dropout, Model, Sequential, WideAndDeep, describe
from nncodegen.compiler.describe.activations import ACTIVATIONS, SOFTMAX, Activation, usual_activation
from nncodegen.compiler.describe.grammar import parse
from nncodegen.compiler.describe.hints import cut
from nncodegen.compiler.describe.layer import Layer
from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.compiler.ir import Program, needed
from nncodegen.compiler.ir.program import NATIVE
from nncodegen.errors import ModelError
from nncodegen.estimators.network.formulas import to_text

Z = {"z": Symbol("z", real=True)}
OUTPUT_AND_TARGET = {name: Symbol(name, real=True) for name in ("output", "target")}


@dataclass(frozen=True)
class Description:
    """A network of dense layers, as plain data.

    inputs      the number of values in one sample
    layers      (units, activation) of each layer; an activation is a name, or a formula in z, as text
    loss        a name, or a formula in output and target, as text
    total       whether the loss of a sample is the "mean" or the "sum" over the outputs, for losses given as formulas
    precision   "float64" or "float32"
    skip        whether the inputs also reach the last layer directly, beside the hidden layers (``WideAndDeep``)
    dropout     the share of the units of each hidden layer that is set to 0 in training
    bits        "native", or "portable" for results that depend neither on the CPU nor on the compiler

    The constructor raises ModelError for a network that cannot be described.
    """

    inputs: int
    layers: tuple[tuple[int, str], ...]
    loss: str
    total: str = "mean"
    precision: str = "float64"
    skip: bool = False
    dropout: float = 0.0
    bits: str = NATIVE

    def __post_init__(self) -> None:
        if self.total not in ("mean", "sum"):
            raise ModelError(f"the total of a loss is mean or sum, not {self.total!r}")
        if not isinstance(self.skip, bool):
            raise ModelError(f"skip is True or False, not {self.skip!r}")
        self.program  # noqa: B018 (this raises an error for wrong options)

    @property
    def outputs(self) -> int:
        """Return the number of outputs."""
        return self.layers[-1][0]

    @property
    def model(self) -> Model | Sequential:
        """Return the network as a model of the compiler."""
        layers: list[Layer] = []
        for number, (units, text) in enumerate(self.layers, 1):
            layers.append(Dense(units, activation_of(text, number)))
            if self.dropout and number < len(self.layers):
                layers.append(Dropout(self.dropout))
        if self.skip and len(layers) > 1:
            *deep, last = layers
            layers = [WideAndDeep(deep, last.units, last.activation)]  # type: ignore[attr-defined]
        return Sequential(layers, self.inputs, self._loss, name="network")

    @property
    def _loss(self) -> str | Callable[[Expr, Expr], Expr]:
        if self.total == "mean" and self.loss in LOSSES:
            return self.loss
        # the compiler takes the mean of the function over the outputs
        scale = self.outputs if self.total == "sum" else 1
        if self.loss in LOSSES:
            function = LOSSES[self.loss].function
            return lambda output, target: scale * function(output, target)
        return lambda output, target: scale * parse(self.loss, {"output": output, "target": target}, "the loss")

    @property
    def program(self) -> Program:
        """Return the network as steps, after the first stage of the compiler alone."""
        return _described(self)

    @property
    def parameter_count(self) -> int:
        """Return the number of parameters."""
        return self.program.parameter_count

    @cached_property
    def hash(self) -> str:
        """Return a hash of the function of the parameters that the network and its loss compute."""
        described = [self.precision, *map(str, self.program.parameters), *map(str, self.program.steps)]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()

    def check(self, hash: str) -> None:
        """Raise ModelError if parameters were stored with another ``hash``: here they would give another function."""
        if hash != self.hash:
            raise ModelError(
                "the network was trained by another version of nncodegen, in which the same description is another "
                "function: predict with that version, or train again"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the description as data for JSON."""
        return {**asdict(self), "layers": [list(layer) for layer in self.layers]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Description:
        """Return a description from the result of ``to_dict``. Raise ModelError for anything else."""
        try:
            layers = tuple((int(units), str(activation)) for units, activation in fields["layers"])
            return cls(**{**fields, "layers": layers})
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelError(f"this describes no network: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        # everything else follows from the fields
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@lru_cache(maxsize=64)
def _described(description: Description) -> Program:
    """Return the program of a description. Equal descriptions share it, as an estimator makes one in every fit."""
    return describe(description.model, description.precision)


@lru_cache(maxsize=64)
def forward(description: Description) -> Program:
    """Return the program of a network without targets and loss: only the steps that its outputs need."""
    program = description.program
    steps = needed(program.steps, program.outputs)
    return replace(program.without_updates, targets=(), steps=steps, loss=None)


def activation_of(text: str, number: int) -> Activation:
    """Return the activation for a text, a name or a formula in z, in layer ``number``."""
    usual: Activation = usual_activation(text)
    if usual in ACTIVATIONS or usual == SOFTMAX:
        return usual
    return lambda z: parse(text, {"z": z}, f"the activation of layer {number}")


def activation_text(activation: Any, number: int) -> str:
    """Return an activation as text. Raise ModelError."""
    activation = usual_activation(activation)
    if isinstance(activation, str) and (activation in ACTIVATIONS or activation == SOFTMAX):
        return activation
    role = f"the activation of layer {number}"
    if isinstance(activation, str) and activation.isidentifier() and activation != "z":
        raise ModelError(
            f"{role} is not known: {activation!r}; there are: {', '.join(ACTIVATIONS)}, or a formula in z, such as "
            f"'z*exp(-z**2)'"
        )
    return to_text(activation, Z, role)


def loss_text(loss: Any) -> str:
    """Return a loss that is a formula as text. Raise ModelError."""
    if isinstance(loss, str) and loss.isidentifier():
        raise ModelError(
            f"there is no loss {loss!r}; there are: {', '.join(LOSSES)}, or a formula in output and target, such as "
            f"'(output - target)**4'"
        )
    if isinstance(loss, Describable):
        raise ModelError(
            f"{cut(repr(loss))} is a model, not a loss: give it to nncodegen.build; estimators describe networks of "
            "their own, and take no equations of motion"
        )
    return to_text(loss, OUTPUT_AND_TARGET, "the loss")

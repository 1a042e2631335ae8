"""What differs from model to model: names, shapes and numbers, as the C of a module holds them."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from itertools import product
from types import MappingProxyType
from typing import NamedTuple


class Parameter(NamedTuple):
    """A named part of the parameters: its shape, how it is drawn at first, and whether penalties apply to it.

    Where the distribution is "given", ``values`` are the bytes of all its values, as floats if these are exact, else as
    doubles, little-endian and in base 64.
    """

    name: str
    shape: tuple[int, ...]
    distribution: str
    scale: float
    penalized: bool
    values: str = ""

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


class Hyperparameter(NamedTuple):
    """A number that an optimizer takes: its default and the interval [low, high) of what is allowed.

    ``excludes_low`` makes the interval open: (low, high).
    """

    name: str
    default: float
    low: float = 0.0
    high: float = math.inf
    excludes_low: bool = False


class Rule(NamedTuple):
    """An update rule, as a training sees it. The learning rate is among its hyperparameters.

    ``state`` maps the variables that are kept for every parameter to their initial values: a number, or the name of a
    hyperparameter. ``scheduled`` tells whether its steps depend on the learning rate.
    """

    hyperparameters: tuple[Hyperparameter, ...]
    state: Mapping[str, float | str] = MappingProxyType({})
    scheduled: bool = True


class Term(NamedTuple):
    """A term of a loss that has samples of its own.

    scale is the target that holds the square root of what the term counts at a sample, 0 at those of other terms;
    targets are the others that it reads, fields what holds that which is squared, or is the loss itself.
    """

    name: str
    scale: str
    targets: tuple[str, ...]
    fields: tuple[str, ...]


class Facts(NamedTuple):
    """The facts of a model. Tensors of inputs, targets and outputs are pairs of a name and a number of columns."""

    name: str
    precision: str
    inputs: tuple[tuple[str, int], ...]
    targets: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    parameters: tuple[Parameter, ...]
    labels: bool
    """Whether targets may be given as the numbers of classes."""
    identity: str
    """The hash of what the model computes, without its name."""
    operations: tuple[int, int]
    """Operations of the loss and its gradient for one sample: written out, and simplified."""
    side_by_side: bool
    """Whether the kernel trains several models at once, in the lanes of vectors."""
    blas: bool | None
    """Whether the user asked for BLAS; None where no product is left to it."""
    not_fitted: str
    """Why there are no fits; empty where there are."""
    curved: bool
    """Whether the loss of a fit is no sum of squares."""
    fits_outputs: bool
    """Whether the rows of a fit are derivatives of the outputs, rather than of the arguments of their activations."""
    rules: dict[str, Rule]
    """The update rules that the user wrote."""
    shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    """The shapes of those inputs, targets and outputs that have several axes, by name."""
    ranges: Mapping[str, tuple[int, int]] = MappingProxyType({})
    """For each input whose values are indices: their range, as the first and one past the last."""
    terms: tuple[Term, ...] = ()
    """The terms of the loss, where each has samples of its own."""
    fields: tuple[str, ...] = ()
    """What is known at every sample then: outputs, their derivatives, the residuals of the terms."""
    frozen: int = 0
    """The number of values of parameters that are neither trained nor follow anything."""
    label_targets: tuple[str, ...] = ()
    """Of several targets, or of one with several axes: those that may be the numbers of classes of their last axis."""
    threshold: float = 0.5
    """The output above which a target of 1 is predicted."""
    following: tuple[tuple[int, int, float], ...] = ()
    """The parameters that follow statistics of the batches: the first, the first behind the last, their momentum."""
    guards: tuple[str, ...] = ()
    """The denominators whose signs a fit keeps, as texts."""


def read(text: str) -> Facts:
    """The facts in a text: a dictionary of literals."""
    found = ast.literal_eval(text)
    found["parameters"] = tuple(Parameter(*row) for row in found["parameters"])
    found["rules"] = {
        name: Rule(tuple(Hyperparameter(*row) for row in hyperparameters), state, scheduled)
        for name, (hyperparameters, state, scheduled) in found["rules"].items()
    }
    found["terms"] = tuple(Term(*row) for row in found.get("terms", ()))
    return Facts(**found)


def columns(tensors: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """One name for each column of some tensors."""
    return tuple(name if size == 1 else f"{name}[{column}]" for name, size in tensors for column in range(size))


def flat_names(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    """One name for each value of some parameters: its own for a number, "W1[0,1]" in an array."""
    return tuple(
        f"{parameter.name}[{','.join(map(str, position))}]" if position else parameter.name
        for parameter in parameters
        for position in product(*map(range, parameter.shape))
    )

"""The facts that differ between models: names, shapes and numbers, as stored in the C of a module."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Parameter(NamedTuple):
    """A named part of the parameters: its shape, its initial distribution, and whether penalties apply to it.

    If the distribution is "given", ``values`` holds all values, little-endian in base 64: as floats if these are exact,
    else as doubles.
    """

    name: str
    shape: tuple[int, ...]
    distribution: str
    scale: float
    penalized: bool
    values: str = ""

    @property
    def size(self) -> int:
        """Return the number of its values."""
        return math.prod(self.shape)


class Hyperparameter(NamedTuple):
    """A number that an optimizer takes: its default and the interval [low, high) of allowed values.

    ``excludes_low`` makes the interval open: (low, high).
    """

    name: str
    default: float
    low: float = 0.0
    high: float = math.inf
    excludes_low: bool = False


class Rule(NamedTuple):
    """An update rule as a training uses it. The learning rate is one of its hyperparameters.

    ``state`` maps the variables that are kept for every parameter to their initial values: a number, or the name of a
    hyperparameter. ``scheduled`` is whether its steps depend on the learning rate.
    """

    hyperparameters: tuple[Hyperparameter, ...]
    state: Mapping[str, float | str] = MappingProxyType({})
    scheduled: bool = True


class Term(NamedTuple):
    """A term of a loss that has separate samples.

    scale is the target that holds the square root of the term's weight at a sample, and 0 at samples of other terms;
    targets are the other targets that it reads; fields are the quantities that are squared, or the loss itself.
    """

    name: str
    scale: str
    targets: tuple[str, ...]
    fields: tuple[str, ...]


class Quantity(NamedTuple):
    """A formula of the parameters that is evaluated after a fit: a tied parameter, or a derived quantity.

    ``formula`` is what the user wrote; ``value`` and the derivatives ``slopes``, each with the index of its parameter,
    are expressions in Python of the list p of all parameters.
    """

    name: str
    tied: bool
    formula: str
    value: str
    slopes: tuple[tuple[int, str], ...]


class TermParameter(NamedTuple):
    """A parameter of a curve by name: its bounds, and a value within them.

    ``short`` is its name in the record of the curve. ``estimate`` is an expression in Python of data x and y, which
    ``fitting/curve_starts.py`` evaluates; it is empty for a parameter that enters linearly.
    """

    name: str
    short: str
    low: float
    high: float
    typical: float
    estimate: str


class CurveTerm(NamedTuple):
    """A curve by name that is a term of an output, and the column of X that is its variable."""

    kind: str
    variable: int
    output: int
    parameters: tuple[TermParameter, ...]


NO_TOKENS = (
    "it takes one input of the shape (steps,), whole numbers that an Embedding reads, and one output of the shape "
    "(steps, tokens), the probabilities of the next token at each step"
)
"""Why most models cannot generate sequences."""

WITHOUT_FIT = "it was built without fit=True"
"""Why a module of a model that may have a fit has none, and no second derivatives."""


class Samples(NamedTuple):
    """The samples of a model. Inputs, targets and outputs are pairs of a name and a number of columns."""

    inputs: tuple[tuple[str, int], ...]
    targets: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    labels: bool
    """True if targets may be given as class indices."""
    shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    """The shapes of those inputs, targets and outputs that have several axes, by name."""
    ranges: Mapping[str, tuple[int, int]] = MappingProxyType({})
    """For each index-valued input: its range, as (first, one past the last)."""
    rising: tuple[str, ...] = ()
    """The inputs whose values must not fall within a sample: times."""
    over_times: bool = False
    """True if the columns of each output are one quantity at the times of a sample."""
    label_targets: tuple[str, ...] = ()
    """Of several targets, or of one with several axes: those that may be class indices instead of their last axis."""
    threshold: float = 0.5
    """The output above which the prediction of a target is 1."""
    terms: tuple[Term, ...] = ()
    """The terms of the loss, if each has separate samples."""
    fields: tuple[str, ...] = ()
    """With such terms, the quantities known at every sample: outputs, their derivatives, the terms' residuals."""


class Fitting(NamedTuple):
    """The facts that fits of a model need."""

    not_fitted: str
    """The reason why the model cannot be fitted; empty if it can."""
    curved: bool
    """True if the loss of a fit is not a sum of squares."""
    fits_outputs: bool
    """True if the rows of a fit are derivatives of the outputs; otherwise of the arguments of their activations."""
    guards: tuple[str, ...] = ()
    """The denominators whose signs a fit keeps, as texts, with changes of inputs that are 0."""
    linear: tuple[str, ...] = ()
    """The parameters of a formula in which its outputs are affine together."""
    own: tuple[str, ...] = ()
    """The parameters that each group of samples has for itself, unless a fit names others."""
    quantities: tuple[Quantity, ...] = ()
    """Tied parameters, then derived quantities."""
    curves: tuple[CurveTerm, ...] = ()
    """The curves by name that the outputs are sums of."""
    starts_from_data: bool = False
    """True if a fit without a start begins at their estimates: the model was given no values of its parameters."""
    mean_over: int = 1
    """The number of values of a sample, each with a likelihood of its own, whose losses have the loss as their mean."""
    apart: int = 1
    """The number of parts of a sample that a fit with such a loss leaves out one by one where targets are missing."""
    noise: tuple[str, ...] = ()
    """The distribution of each target whose scale is a formula: "normal", "laplace", "log_normal" or "log_laplace"."""


class ChosenSteps(NamedTuple):
    """Differential equations whose steps are chosen by an estimate of their error."""

    solver: str = ""
    """Their method and its limits; empty for models without such equations."""
    rtol: float = 0.0
    """The relative tolerance of these steps; 0 for models without such equations."""
    max_steps: int = 0
    """The largest number of these steps of a solution; 0 likewise."""
    lanes: int = 0
    """The number of samples whose equations are solved side by side, in such steps; 0 if they are not."""


class Facts(NamedTuple):
    """The facts of a model."""

    name: str
    precision: str
    identity: str
    """The hash of what the model computes, without its name."""
    operations: tuple[int, int]
    """The numbers of operations of the loss and its gradient for one sample: as written, and simplified."""
    parameters: tuple[Parameter, ...]
    samples: Samples
    fitting: Fitting
    side_by_side: bool
    """True if the kernel trains several models at once, in the lanes of vectors."""
    blas: bool | None
    """True if the user asked for BLAS; None if no product can use it."""
    rules: dict[str, Rule]
    """The update rules that the user wrote."""
    steps: ChosenSteps = ChosenSteps()
    frozen: int = 0
    """The number of parameter values that are neither trained nor follow statistics."""
    following: tuple[tuple[int, int, float], ...] = ()
    """The parameters that follow statistics of the batches: (first, one past the last, momentum)."""
    not_generated: str = NO_TOKENS
    """The reason why the model cannot generate sequences; empty if it can."""
    bits: str = "native"
    """With "native", results may depend on the CPU and the compiler by rounding; with "portable", they do not."""


PARTS: Mapping[str, type[Samples | Fitting | ChosenSteps]] = MappingProxyType(
    {"samples": Samples, "fitting": Fitting, "steps": ChosenSteps}
)
"""The records in the facts of a model; in a dictionary of literals, their members stand beside the others."""

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {name: default for kind in (Facts, *PARTS.values()) for name, default in kind._field_defaults.items()}
)
"""The values of facts that a dictionary of literals may leave out."""


def slices(sizes: Iterable[tuple[T, int]]) -> Iterator[tuple[T, slice]]:
    """Yield things that lie one after the other, given with their numbers of values, each with the slice of these."""
    start = 0
    for thing, size in sizes:
        yield thing, slice(start, start + size)
        start += size


def literals(facts: Facts) -> dict[str, Any]:
    """Return facts as a dictionary of literals, from which ``of_literals`` makes them again."""
    members = {name: value for name, value in facts._asdict().items() if name not in PARTS}
    for name in PARTS:
        members |= getattr(facts, name)._asdict()
    return {name: _literal(value) for name, value in members.items()}


def _literal(value: Any) -> Any:
    """Return a value of facts, whose tuples and mappings may have classes of their own, as literals."""
    if isinstance(value, Mapping):
        return {key: _literal(entry) for key, entry in value.items()}
    return tuple(map(_literal, value)) if isinstance(value, tuple) else value


def read(text: str) -> Facts:
    """Return the facts that a text holds as a dictionary of literals."""
    return of_literals(ast.literal_eval(text))


def of_literals(values: Mapping[str, Any]) -> Facts:
    """Return the facts in a dictionary of literals."""
    members = dict(values)
    members["parameters"] = tuple(Parameter(*row) for row in members["parameters"])
    members["rules"] = {
        name: Rule(tuple(Hyperparameter(*row) for row in hyperparameters), state, scheduled)
        for name, (hyperparameters, state, scheduled) in members["rules"].items()
    }
    members["terms"] = tuple(Term(*row) for row in members.get("terms", ()))
    members["quantities"] = tuple(Quantity(*row) for row in members.get("quantities", ()))
    members["curves"] = tuple(
        CurveTerm(kind, variable, output, tuple(TermParameter(*row) for row in parameters))
        for kind, variable, output, parameters in members.get("curves", ())
    )
    parts: dict[str, Any] = {
        name: kind(**{member: members.pop(member) for member in kind._fields if member in members})
        for name, kind in PARTS.items()
    }
    return Facts(**members, **parts)


def columns(tensors: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Return one name for each column of some tensors."""
    return tuple(name if size == 1 else f"{name}[{column}]" for name, size in tensors for column in range(size))


def flat_names(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    """Return one name for each value of some parameters: "a" for a scalar, "W1[0,1]" in an array."""
    return tuple(
        f"{parameter.name}[{','.join(map(str, position))}]" if position else parameter.name
        for parameter in parameters
        for position in product(*map(range, parameter.shape))
    )


def name_of(key: Any) -> Any:
    """Return the name of a key: a text itself, or the name of a SymPy symbol; anything else unchanged."""
    return key if isinstance(key, str) else getattr(key, "name", key)

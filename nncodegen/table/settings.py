"""The user's decisions about learning from a table, each declared once. Cross-validation makes those that are None.

From a declaration follow the field of ``Settings``, its check and documentation, and the flag of the command ``fit``.
This module needs no pandas, as the command line reads it at its start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from nncodegen.compiler.describe import PRECISIONS
from nncodegen.compiler.limits import MOST_EPOCHS, MOST_LAYERS, MOST_UNITS
from nncodegen.errors import TableError
from nncodegen.runtime.python.arguments.calls import tell_options
from nncodegen.runtime.python.arguments.declarations import Kind, Option, option, optional, real, unchecked, whole

DOUBLES = cast("Any", SimpleNamespace(precision="float64", tiny=0.0))
"""The numbers that settings are checked as, in place of the model whose numbers other options have."""

UNITS, WEIGHT, RATE = whole(1, MOST_UNITS), real(0.0), real(0.0, excludes_low=True)


def _check_layers(model: Any, name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{name} are the units of each, such as (32, 16), not {value!r}")
    if len(value) > MOST_LAYERS:
        raise ValueError(f"there are {len(value)} {name}; at most {MOST_LAYERS} are allowed")
    return tuple(UNITS.check(model, "the units of a layer", units) for units in value)


def _check_precision(model: Any, name: str, value: Any) -> str:
    if value not in PRECISIONS:
        raise ValueError(f"there is no {name} {value!r}; there are: {', '.join(PRECISIONS)}")
    return str(value)


def _check_class_weight(model: Any, name: str, value: Any) -> str | Mapping[str, float]:
    if value != "balanced" and not isinstance(value, Mapping):
        raise ValueError(f"{name} is 'balanced' or {{class: weight}}, not {value!r}")
    for weight in () if isinstance(value, str) else value.values():
        WEIGHT.check(model, "the weight of a class", weight)
    return value  # type: ignore[no-any-return]


def _declared(kind: Kind, default: Any, meaning: str, help: str = "", metavar: str = "") -> Any:
    """Return the field of a setting, which holds its declaration."""
    declaration: Any = option(kind, default, meaning, help=help, metavar=metavar)
    return dataclasses.field(default=default, metadata={"option": declaration})


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of learning from a table.

    {options}

    Raises TableError for a setting that is not allowed.
    """

    layers: tuple[int, ...] | None = _declared(
        optional(Kind("Sequence[int]", _check_layers)),
        None,
        "the units of the hidden layers: only these are tried, without a linear path; () for a linear\nmodel",
        help="Units of hidden layers, such as 32,16; no others are tried. Empty for none.",
        metavar="UNITS,...",
    )
    activation: str | None = _declared(
        unchecked("str | None"), None, "the activation of the hidden layers: a name, or a formula in z"
    )
    loss: str | None = _declared(
        unchecked("str | None"),
        None,
        "a name, or a formula in output and target",
        help="A name, or a formula in output and target.  [default: log loss, or mse]",
    )
    learning_rate: float | None = _declared(
        optional(RATE),
        None,
        "the learning rate of candidates with hidden layers",
        help="The learning rate of networks with hidden layers.",
    )
    l2: float | None = _declared(
        optional(WEIGHT),
        None,
        "the penalty of all candidates: l2/2*sum w**2 is added to the mean loss",
        help="The penalty l2/2*sum w**2 on weights.",
    )
    dropout: float = _declared(
        real(0.0, 1.0),
        0.0,
        "the share of the units of each hidden layer that is set to 0 in training",
        help="The share of the hidden units that is set to 0 in training.",
    )
    class_weight: str | Mapping[str, float] | None = _declared(
        optional(Kind("str | Mapping[str, float]", _check_class_weight)),
        None,
        'the weights of classes: "balanced", or {class: weight}',
        help="The weights of the classes. May be repeated.",
        metavar="balanced|NAME=WEIGHT",
    )
    epochs: int | None = _declared(
        optional(whole(1, MOST_EPOCHS)),
        None,
        "the largest number of epochs of candidates with hidden layers",
        help="The largest number of epochs of networks with hidden layers.",
    )
    time_limit: float | None = _declared(
        optional(RATE),
        None,
        "seconds after which no more candidates are tried; what was chosen then learns again from all\n"
        "rows. The result depends on the machine",
        help="Try nothing more after this time.",
        metavar="SECONDS",
    )
    seed: int = _declared(
        whole(0, 2**64 - 1),
        0,
        "the seed of all random numbers: splits, orders, initial parameters",
        help="The seed of all random numbers.",
    )
    precision: str = _declared(
        Kind("str", _check_precision, choices=PRECISIONS), "float64", '"float64" or "float32"', help="That of numbers."
    )
    threads: int | None = _declared(
        optional(whole(1, 10_000)),
        None,
        "the number of threads that share the work; None for one for each core. No result depends on it",
        help="The number of threads.  [default: one for each core]",
    )

    def __post_init__(self) -> None:
        """Check all settings that are not the defaults. Raises TableError."""
        for name, declaration in OPTIONS.items():
            value, check = getattr(self, name), declaration.kind.check_of(declaration.default)
            if value is declaration.default or check is None:
                continue
            try:
                object.__setattr__(self, name, check(DOUBLES, name, value))
            except ValueError as error:
                raise TableError(str(error)) from error


OPTIONS: dict[str, Option] = {each.name: each.metadata["option"] for each in dataclasses.fields(Settings)}
"""The declarations by name, in the order of the fields."""

tell_options(Settings, OPTIONS)

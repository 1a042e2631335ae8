"""The user's decisions about learning from a table. Those that are None are made by cross-validation."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from nncodegen.compiler.describe import PRECISIONS
from nncodegen.compiler.limits import MOST_EPOCHS, MOST_LAYERS, MOST_UNITS
from nncodegen.errors import TableError

LARGEST_RATE, LARGEST = 1000.0, sys.float_info.max


@dataclass(frozen=True)
class Settings:
    """The settings of learning from a table.

    layers          the units of the hidden layers: only these are tried, without a linear path; () for a linear model
    activation      the activation of the hidden layers: a name, or a formula in z
    loss            a name, or a formula in output and target
    learning_rate   the learning rate of candidates with hidden layers
    l2              the penalty of all candidates: l2/2*sum w**2 is added to the mean loss
    dropout         the share of the units of each hidden layer that is set to 0 in training; 0 <= dropout < 1
    class_weight    the weights of classes: "balanced", or {class: weight}
    epochs          the largest number of epochs of candidates with hidden layers
    time_limit      seconds after which no more candidates are tried; what was chosen then learns again from all rows.
                    The result depends on the machine
    seed            the seed of all random numbers: splits, orders, initial parameters
    precision       "float64" or "float32"
    threads         the number of threads that share the work; None for one for each core. No result depends on it

    Raises TableError for a setting that is not allowed.
    """

    layers: tuple[int, ...] | None = None
    activation: str | None = None
    loss: str | None = None
    learning_rate: float | None = None
    l2: float | None = None
    dropout: float = 0.0
    class_weight: str | Mapping[str, float] | None = None
    epochs: int | None = None
    time_limit: float | None = None
    seed: int = 0
    precision: str = "float64"
    threads: int | None = None

    def __post_init__(self) -> None:
        layers = () if self.layers is None else self.layers
        if not isinstance(layers, Sequence):
            raise TableError(f"layers are the units of each, such as (32, 16), not {layers!r}")
        if len(layers) > MOST_LAYERS:
            raise TableError(f"there are {len(layers)} layers; at most {MOST_LAYERS} are allowed")
        for units in layers:
            _within("the units of a layer", units, 1, MOST_UNITS, whole=True)
        for name, low, high, whole in (
            ("learning_rate", 0.0, LARGEST_RATE, False),
            ("l2", 0.0, LARGEST, False),
            ("dropout", 0.0, 1.0, False),
            ("epochs", 1, MOST_EPOCHS, True),
            ("time_limit", 0.0, LARGEST, False),
            ("seed", 0, 2**64 - 1, True),
            ("threads", 1, 10_000, True),
        ):
            value = getattr(self, name)
            if value is not None:
                _within(name, value, low, high, whole)
        if self.learning_rate == 0 or self.dropout == 1:
            raise TableError("learning_rate must be above 0, and dropout below 1")
        if self.precision not in PRECISIONS:
            raise TableError(f"there is no precision {self.precision!r}; there are: {', '.join(PRECISIONS)}")
        if self.class_weight != "balanced" and not isinstance(self.class_weight, Mapping | None):
            raise TableError(f"class_weight is 'balanced' or {{class: weight}}, not {self.class_weight!r}")
        if isinstance(self.class_weight, Mapping):
            for weight in self.class_weight.values():
                _within("the weight of a class", weight, 0.0, LARGEST, whole=False)


def _within(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    """Raise TableError unless value is a finite number in a range."""
    kind: Any = Integral if whole else Real
    number = float(value) if isinstance(value, Real) and not isinstance(value, Integral) else value
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= number <= high:  # a NaN is not in any range
        bounds = f"from {low:,}" + (f" to {high:,}" if high < LARGEST else "")
        raise TableError(f"{name} must be {'an integer' if whole else 'a number'} {bounds}, not {value!r}")

"""Checks of the parameters of the estimators. Errors name the parameter and the values that are allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from nncodegen.compiler.describe import PRECISIONS
from nncodegen.compiler.ir.program import BITS

SCHEDULES = ("constant", "invscaling", "adaptive")

ALIASES = {"identity": "linear", "logistic": "sigmoid"}
"""scikit-learn's names of activations that have another name in nncodegen."""

RESERVED = ("X", "Y", "parameters", "learning_rate", "epochs", "callback", "progress", "resume", "result")
"""Arguments of train that train_options must not contain."""


def check_parameters(estimator: Any) -> None:
    """Raise ValueError (TypeError for a wrong type) for the first parameter with an invalid value."""
    for name, low, excludes in (
        ("alpha", 0, False),
        ("learning_rate_init", 0, True),
        ("power_t", 0, False),
        ("tol", 0, False),
        ("epsilon", 0, True),
    ):
        _number(estimator, name, low, math.inf, excludes)
    for name in ("momentum", "beta_1", "beta_2", "validation_fraction"):
        _number(estimator, name, 0, 1, False)
    for name in ("max_iter", "max_fun"):
        _integer(estimator, name)
    if estimator.n_iter_no_change != math.inf:
        _integer(estimator, "n_iter_no_change")
    if not isinstance(estimator.batch_size, str) or estimator.batch_size != "auto":
        _integer(estimator, "batch_size", "'auto' or ")
    for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
        if not isinstance(getattr(estimator, name), bool | np.bool_):
            raise TypeError(f"{name} must be True or False, not {getattr(estimator, name)!r}")
    _choice(estimator, "learning_rate", SCHEDULES)
    _choice(estimator, "precision", PRECISIONS)
    _choice(estimator, "bits", BITS)
    _integer(estimator, "threads")
    options = estimator.train_options
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"train_options must map names of arguments to values, or be None, not {options!r}")
    for name in options or {}:
        if name in RESERVED:
            raise ValueError(f"train_options must not contain {name}, which the estimator sets itself")


def hidden_units(units: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers, as a tuple that may be empty."""
    sizes = tuple(units) if isinstance(units, Iterable) and not isinstance(units, str) else (units,)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"hidden_layer_sizes must be integers from 1, not {units!r}")
    return tuple(int(size) for size in sizes)


def hidden_activations(activations: Any, layers: int) -> list[Any]:
    """Return the activation of each hidden layer; activations are one for all, or a list with one for each."""
    several = list(activations) if isinstance(activations, list | tuple) else [activations] * layers
    if len(several) != layers:
        raise ValueError(
            f"activation holds {len(several)} activations, but there are {layers} hidden layers: give one for each, "
            f"or a single one for all"
        )
    return [
        ALIASES.get(activation, activation) if isinstance(activation, str) else activation for activation in several
    ]


def _number(estimator: Any, name: str, low: float, high: float, excludes_low: bool) -> None:
    value = getattr(estimator, name)
    allowed = f"a number {'above' if excludes_low else 'from'} {low}" + (f", below {high}" if high < math.inf else "")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, not {value!r}")
    if not (low < float(value) < high or (value == low and not excludes_low)):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")


def _integer(estimator: Any, name: str, otherwise: str = "") -> None:
    value = getattr(estimator, name)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {otherwise}an integer from 1, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be {otherwise}an integer from 1, not {value!r}")


def _choice(estimator: Any, name: str, choices: Iterable[str]) -> None:
    value = getattr(estimator, name)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

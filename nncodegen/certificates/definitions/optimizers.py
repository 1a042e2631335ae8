"""The first update of each optimizer, as their publications have it, where the state is what it begins with.

At the first update, bias corrections undo the first step of each moving average: what remains is one formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath

Numbers = Mapping[str, Any]
"""The hyperparameters by name, as numbers of mpmath."""


def _over_size(g: Any, n: Numbers) -> Any:
    """Return the gradient divided by its size, to which epsilon is added: m and sqrt(v), both without bias."""
    return g / (abs(g) + n["epsilon"])


def _nadam(p: Any, g: Any, n: Numbers) -> Any:
    """Return the update of T. Dozat, Incorporating Nesterov momentum into Adam, 2016, algorithm 2."""
    now, following = (n["beta_1"] * (1 - mpmath.mpf("0.96") ** (k * n["momentum_decay"]) / 2) for k in (1, 2))
    share = 1 + following * (1 - n["beta_1"]) / (1 - now * following)
    return p - n["learning_rate"] * share * _over_size(g, n)


FIRST: dict[str, Callable[[Any, Any, Numbers], Any]] = {
    "sgd": lambda p, g, n: p - n["learning_rate"] * g,
    "momentum": lambda p, g, n: p - n["learning_rate"] * g,
    "nesterov": lambda p, g, n: p - n["learning_rate"] * (1 + n["momentum"]) * g,
    "adagrad": lambda p, g, n: (
        p - n["learning_rate"] * g / (mpmath.sqrt(n["initial_accumulator"] + g**2) + n["epsilon"])
    ),
    "rmsprop": lambda p, g, n: p - n["learning_rate"] * g / (mpmath.sqrt(1 - n["rho"]) * abs(g) + n["epsilon"]),
    "adam": lambda p, g, n: p - n["learning_rate"] * _over_size(g, n),
    "adamw": lambda p, g, n: (1 - n["learning_rate"] * n["weight_decay"]) * p - n["learning_rate"] * _over_size(g, n),
    "nadam": _nadam,
    "adamax": lambda p, g, n: p - n["learning_rate"] * _over_size(g, n),
    "lion": lambda p, g, n: p - n["learning_rate"] * mpmath.sign(g),
    "rprop": lambda p, g, n: p - min(max(n["learning_rate"], n["min_step"]), n["max_step"]) * mpmath.sign(g),
}
"""By the name of an optimizer: a parameter after its first update, from the parameter and the gradient.

PyTorch's forms of the rules are meant, whose sources ``describe.optimizers`` names.
"""

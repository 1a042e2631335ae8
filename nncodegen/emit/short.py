"""What the short way of a training, in ``short.pyx``, needs to know of an optimizer."""

from typing import Any

_OPTIMIZERS: dict[str, tuple[int, dict[str, tuple[float, float, float, bool]], dict[str, Any], bool]]
_TINIEST: float
_optimizer: Any

_Rule = tuple[str, int, float, float, Any, Any]

_RULES: dict[str, _Rule] = {}
"""Those with all hyperparameters at their defaults, whose state does not depend on the learning rate."""


def _rule(name: str, learning_rate: float, hyperparameters: dict[str, Any]) -> "_Rule | None":
    """The name and number of an update rule, the bounds of its learning rate, its hyperparameters, its state at first.

    The learning rate is the first of the hyperparameters. None where train must look closer.
    """
    try:
        found, number, options, state, decay = _optimizer(name, learning_rate, hyperparameters, None)
    except (TypeError, ValueError):
        return None
    _, known, variables, _ = _OPTIMIZERS[found]
    if next(iter(known)) != "learning_rate" or decay:
        return None
    _, low, high, _ = known["learning_rate"]
    rule = found, number, max(low, _TINIEST), high, options, state[: len(variables)].copy()
    if not hyperparameters and "learning_rate" not in variables.values():
        _RULES[name] = rule
    return rule

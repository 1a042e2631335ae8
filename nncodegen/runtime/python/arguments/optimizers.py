"""The choice of an update rule for a training, with checked options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..ground.names_elsewhere import advice, spelled
from ..ground.renamed import current
from ..ground.rules import ShortRule
from .scalars import flag, number

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


RENAMED = "0.3.0", {"beta1": "beta_1", "beta2": "beta_2"}
"""The version in which old names of hyperparameters go, and the present names."""


class Chosen(NamedTuple):
    """An update rule with its index and options, as the kernel takes it."""

    name: str
    number: int
    options: Array
    """The hyperparameters, in the order of the rule."""
    state: Array
    """The initial values of the state, a row for each variable."""
    weight_decay: float
    """The weight decay that is computed outside of the rule; 0 if the rule has its own."""


def choose(
    model: Model, name: Any, learning_rate: Any, hyperparameters: dict[str, Any], weight_decay: Any = None
) -> Chosen:
    """Return the update rule of a name, with checked options. Raises ValueError, or TypeError for an unknown option."""
    values = dict(hyperparameters, learning_rate=learning_rate)
    name = spelled(name, model.rules)
    if name == "sgd":
        name = _sgd(model, values)
    if not isinstance(name, str) or name not in model.rules:
        raise ValueError(f"there is no optimizer {name!r}; there are: {', '.join(model.rules)}")
    rule = model.rules[name]
    known = [hyperparameter.name for hyperparameter in rule.hyperparameters]
    values = _by_present_names(values, known)
    decay = 0.0
    if weight_decay is not None and "weight_decay" in known:
        values["weight_decay"] = weight_decay
    elif weight_decay is not None:
        decay = number(model, "weight_decay", weight_decay, 0.0, math.inf, False)
    for key in values:
        if key not in known:
            takes = advice("train", key) or f"; the optimizer {name} takes: {', '.join(known)}"
            raise TypeError(f"train() got an unexpected argument {key!r}{takes}")
    options = {
        key: number(model, key, values.get(key, default), low, high, excludes_low)
        for key, default, low, high, excludes_low in rule.hyperparameters
    }
    state = np.zeros((max(1, model.state_size // model.parameter_count), model.parameter_count), model.dtype)
    for row, value in enumerate(rule.state.values()):
        initial = options[value] if isinstance(value, str) else value
        if initial:
            state[row] = initial
    array = np.array([*options.values(), *(0.0 for _ in range(len(options), model.option_count))])
    return Chosen(name, model.rule_numbers[name], array, state, decay)


def _by_present_names(values: dict[str, Any], known: list[str]) -> dict[str, Any]:
    """Return values by present names of hyperparameters; a rule of one's own may have a name that is old elsewhere."""
    version, names = RENAMED
    old = {name: new for name, new in names.items() if name in values and name not in known and new in known}
    return current(version, old, values) if old else values


def _sgd(model: Model, values: dict[str, Any]) -> str:
    """Return which of three rules "sgd" means, as in Keras and PyTorch; removes the options that only decide that."""
    nesterov, momentum = flag("nesterov", values.pop("nesterov", False)), values.get("momentum", 0.0)
    if nesterov:
        return "nesterov"
    if number(model, "momentum", momentum, 0.0, 1.0, False):
        return "momentum"
    values.pop("momentum", None)
    return "sgd"


def short_rule(model: Model, name: str, learning_rate: float, hyperparameters: dict[str, Any]) -> ShortRule | None:
    """Return the rule with the bounds of its learning rate, which is the first of its options.

    None means that ``train`` must take the long way. Rules with default hyperparameters are cached in
    ``model.short_rules``, if their state does not depend on the learning rate.
    """
    try:
        rule_name, position, options, state, decay = choose(model, name, learning_rate, hyperparameters)
    except (TypeError, ValueError):
        return None
    rule = model.rules[rule_name]
    first = rule.hyperparameters[0]
    if first.name != "learning_rate" or decay:
        return None
    low = max(first.low, model.tiny)
    short = ShortRule(rule_name, position, low, first.high, options, state[: len(rule.state)].copy(), rule.scheduled)
    if not hyperparameters and "learning_rate" not in rule.state.values():
        model.short_rules[name] = short
    return short

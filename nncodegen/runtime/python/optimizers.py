"""The update rules that every module has: their hyperparameters, and what they keep for every parameter.

Their formulas stand in ``nncodegen/describe/optimizers.py``; the compiled kernel knows a rule by its place in RULES.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .facts import Hyperparameter, Rule
from .scalars import flag, number

if TYPE_CHECKING:
    from .model import Model
    from .types import Array

LEARNING_RATE = Hyperparameter("learning_rate", 0.01, excludes_low=True)
MOMENTUM = Hyperparameter("momentum", 0.9, high=1.0)
BETA1 = Hyperparameter("beta1", 0.9, high=1.0)
BETA2 = Hyperparameter("beta2", 0.999, high=1.0)
EPSILON = Hyperparameter("epsilon", 1e-8, excludes_low=True)
ADAM = (LEARNING_RATE, BETA1, BETA2, EPSILON)

RULES: dict[str, Rule] = {
    "sgd": Rule((LEARNING_RATE,)),
    "momentum": Rule((LEARNING_RATE, MOMENTUM), {"velocity": 0.0}),
    "nesterov": Rule((LEARNING_RATE, MOMENTUM), {"velocity": 0.0}),
    "adagrad": Rule(
        (LEARNING_RATE, Hyperparameter("decay", 0.0), EPSILON, Hyperparameter("initial_accumulator", 0.0)),
        {"accumulator": "initial_accumulator"},
    ),
    "rmsprop": Rule((LEARNING_RATE, Hyperparameter("rho", 0.9, high=1.0), EPSILON), {"v": 0.0}),
    "adam": Rule(ADAM, {"m": 0.0, "v": 0.0}),
    "adamw": Rule((*ADAM, Hyperparameter("weight_decay", 0.01)), {"m": 0.0, "v": 0.0}),
    "nadam": Rule((*ADAM, Hyperparameter("momentum_decay", 0.004)), {"m": 0.0, "v": 0.0, "rest": 0.0}),
    "adamax": Rule(ADAM, {"m": 0.0, "u": 0.0}),
    "lion": Rule((LEARNING_RATE, BETA1, Hyperparameter("beta2", 0.99, high=1.0)), {"m": 0.0}),
    "rprop": Rule(
        (LEARNING_RATE, Hyperparameter("eta_minus", 0.5, high=1.0, excludes_low=True),
         Hyperparameter("eta_plus", 1.2, low=1.0), Hyperparameter("min_step", 1e-6),
         Hyperparameter("max_step", 50.0, excludes_low=True)),
        {"direction": 0.0, "step": "learning_rate"},
        scheduled=False,
    ),
}  # fmt: skip


BY_SIGN = ("rprop",)
"""The rules whose steps depend on the signs of the gradient alone."""


class Chosen(NamedTuple):
    """An update rule with its numbers, as the kernel takes it."""

    name: str
    number: int
    options: Array
    """The hyperparameters, in the order of the rule."""
    state: Array
    """The variables of the state as they are at first, a row for each."""
    weight_decay: float
    """The decay that is computed besides the rule; 0 where the rule has its own."""


def choose(
    model: Model, name: Any, learning_rate: Any, hyperparameters: dict[str, Any], weight_decay: Any = None
) -> Chosen:
    """The update rule of a name, its hyperparameters checked. Raises ValueError, and TypeError for one it has not."""
    values = dict(hyperparameters, learning_rate=learning_rate)
    if name == "sgd":
        name = _sgd(model, values)
    if not isinstance(name, str) or name not in model.rules:
        raise ValueError(f"there is no optimizer {name!r}; there are: {', '.join(model.rules)}")
    rule = model.rules[name]
    known = [hyperparameter.name for hyperparameter in rule.hyperparameters]
    decay = 0.0
    if weight_decay is not None and "weight_decay" in known:
        values["weight_decay"] = weight_decay
    elif weight_decay is not None:
        decay = number(model, "weight_decay", weight_decay, 0.0, math.inf, False)
    for key in values:
        if key not in known:
            names = ", ".join(known)
            raise TypeError(f"train() got an unexpected argument {key!r}; the optimizer {name} takes: {names}")
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


def _sgd(model: Model, values: dict[str, Any]) -> str:
    """Which of three rules is meant by "sgd", as in Keras and PyTorch; takes what only tells that from the values."""
    nesterov, momentum = flag("nesterov", values.pop("nesterov", False)), values.get("momentum", 0.0)
    if nesterov:
        return "nesterov"
    if number(model, "momentum", momentum, 0.0, 1.0, False):
        return "momentum"
    values.pop("momentum", None)
    return "sgd"


class ShortRule(NamedTuple):
    """What a short training (``short.pxi``) needs to know of an update rule."""

    name: str
    number: int
    low: float
    high: float
    options: Array
    state: Array
    scheduled: bool


def short_rule(model: Model, name: str, learning_rate: float, hyperparameters: dict[str, Any]) -> ShortRule | None:
    """The rule with the bounds of its learning rate, which is the first of its options.

    None where ``train`` must look closer. Rules with all hyperparameters at their defaults are kept in
    ``model.short_rules``, if their state does not depend on the learning rate.
    """
    try:
        found, position, options, state, decay = choose(model, name, learning_rate, hyperparameters)
    except (TypeError, ValueError):
        return None
    rule = model.rules[found]
    first = rule.hyperparameters[0]
    if first.name != "learning_rate" or decay:
        return None
    low = max(first.low, model.tiny)
    short = ShortRule(found, position, low, first.high, options, state[: len(rule.state)].copy(), rule.scheduled)
    if not hyperparameters and "learning_rate" not in rule.state.values():
        model.short_rules[name] = short
    return short

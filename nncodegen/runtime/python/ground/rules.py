"""The update rules of every module: their hyperparameters, and the state that they keep for every parameter.

Their formulas are in ``nncodegen/compiler/describe/optimizers.py``; the compiled kernel knows a rule by its index in
RULES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .facts import Hyperparameter, Rule

if TYPE_CHECKING:
    from .types import Array

LEARNING_RATE = Hyperparameter("learning_rate", 0.01, excludes_low=True)
MOMENTUM = Hyperparameter("momentum", 0.9, high=1.0)
BETA1 = Hyperparameter("beta_1", 0.9, high=1.0)
BETA2 = Hyperparameter("beta_2", 0.999, high=1.0)
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
    "lion": Rule((LEARNING_RATE, BETA1, Hyperparameter("beta_2", 0.99, high=1.0)), {"m": 0.0}),
    "rprop": Rule(
        (
            LEARNING_RATE,
            Hyperparameter("eta_minus", 0.5, high=1.0, excludes_low=True),
            Hyperparameter("eta_plus", 1.2, low=1.0),
            Hyperparameter("min_step", 1e-6),
            Hyperparameter("max_step", 50.0, excludes_low=True),
        ),
        {"direction": 0.0, "step": "learning_rate"},
        scheduled=False,
    ),
}


BY_SIGN = ("rprop",)
"""The rules whose steps depend only on the signs of the gradient."""


class ShortRule(NamedTuple):
    """The properties of an update rule that a short training (``short.pxi``) needs."""

    name: str
    number: int
    low: float
    high: float
    options: Array
    state: Array
    scheduled: bool

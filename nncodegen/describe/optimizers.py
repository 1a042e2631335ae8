"""Optimizers as symbolic update rules: each is one entry. To add one, add a function and an entry.

A rule takes, by name, ``parameter`` and ``gradient``, its state variables, ``t`` (the number of the update,
from 1) and its hyperparameters, all of them symbols, and returns the new parameter followed by the new state.
It is simplified and emitted like the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from sympy import Expr, sqrt

from nncodegen.ir import PARAMETER, Element, Hyperparameter, Step, Update


@dataclass(frozen=True)
class Optimizer:
    """An update rule, the names of its state variables (0 at first), and its hyperparameters."""

    rule: Callable[..., tuple[Expr, ...]]
    state: tuple[str, ...] = ()
    hyperparameters: tuple[Hyperparameter, ...] = ()


def sgd(parameter: Expr, gradient: Expr, learning_rate: Expr) -> tuple[Expr, ...]:
    """Gradient descent."""
    return (parameter - learning_rate * gradient,)


def momentum(parameter: Expr, gradient: Expr, velocity: Expr, learning_rate: Expr, momentum: Expr) -> tuple[Expr, ...]:
    """Polyak's momentum, as PyTorch writes it: the learning rate stands outside the velocity."""
    velocity = momentum * velocity + gradient
    return parameter - learning_rate * velocity, velocity


def nesterov(parameter: Expr, gradient: Expr, velocity: Expr, learning_rate: Expr, momentum: Expr) -> tuple[Expr, ...]:
    """Nesterov's momentum, as PyTorch writes it (Sutskever et al., 2013)."""
    velocity = momentum * velocity + gradient
    return parameter - learning_rate * (gradient + momentum * velocity), velocity


def adam(
    parameter: Expr, gradient: Expr, m: Expr, v: Expr, t: Expr,
    learning_rate: Expr, beta1: Expr, beta2: Expr, epsilon: Expr,
) -> tuple[Expr, ...]:  # fmt: skip
    """Adam (Kingma and Ba, 2015, algorithm 1)."""
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    scale = learning_rate / (1 - beta1**t)
    return parameter - scale * m / (sqrt(v / (1 - beta2**t)) + epsilon), m, v


LEARNING_RATE = Hyperparameter("learning_rate", 0.01, excludes_low=True)
MOMENTUM = Hyperparameter("momentum", 0.9, high=1.0)
BETA1 = Hyperparameter("beta1", 0.9, high=1.0)
BETA2 = Hyperparameter("beta2", 0.999, high=1.0)
EPSILON = Hyperparameter("epsilon", 1e-8, excludes_low=True)

OPTIMIZERS = {
    "sgd": Optimizer(sgd, (), (LEARNING_RATE,)),
    "momentum": Optimizer(momentum, ("velocity",), (LEARNING_RATE, MOMENTUM)),
    "nesterov": Optimizer(nesterov, ("velocity",), (LEARNING_RATE, MOMENTUM)),
    "adam": Optimizer(adam, ("m", "v"), (LEARNING_RATE, BETA1, BETA2, EPSILON)),
}


def describe_update(name: str) -> Update:
    """The update of an optimizer as steps over the index p of all parameters."""
    optimizer = OPTIMIZERS[name]
    tensors = {key: Element(key, (PARAMETER,)) for key in ("parameter", "gradient", *optimizer.state)}
    numbers = {key: Element(key) for key in ("t", *(h.name for h in optimizer.hyperparameters))}
    arguments = {**tensors, **numbers}
    taken = inspect.signature(optimizer.rule).parameters
    values = optimizer.rule(**{key: arguments[key] for key in taken})
    results = tuple(Element(f"next_{key}", (PARAMETER,)) for key in ("parameter", *optimizer.state))
    steps = tuple(Step(result, value) for result, value in zip(results, values, strict=True))
    return Update(name, optimizer.state, optimizer.hyperparameters, steps, results)

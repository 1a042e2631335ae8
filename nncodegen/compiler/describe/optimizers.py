"""Optimizers as symbolic update rules. To add one, add its formula here, and its entry in RULES of the runtime.

The entry (in ``runtime/python/ground/rules.py``) has the hyperparameters of a rule, and its state for every parameter.

A rule takes symbols by name: ``parameter`` and ``gradient``, its state variables, ``t`` (the number of the update, from
1) and its hyperparameters. It returns the new parameter followed by the new state. It is simplified and emitted like
the model.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import sympy
from sympy import Abs, Expr, Max, Min, Piecewise, S, sqrt

from nncodegen.compiler.describe.checks import bounded, check_expression, is_finite
from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.compiler.ir import PARAMETER, DeferredUpdate, Element, Hyperparameter, Step, Update
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.rules import LEARNING_RATE, RULES
from nncodegen.runtime.python.training.many import train_many
from nncodegen.runtime.python.training.training import partial_fit, train, train_on_stream

WITH_HYPERPARAMETERS = (train, train_on_stream, partial_fit, train_many)
"""The functions of a module that take the hyperparameters of a rule by name, in addition to their options."""

HYPERPARAMETERS = ("learning_rate", "weight_decay")
"""The options that a rule may have as hyperparameters."""

OPTIONS = tuple(
    name
    for function in WITH_HYPERPARAMETERS
    for name, argument in inspect.signature(function).parameters.items()
    if argument.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and name not in HYPERPARAMETERS
)
"""The options of these functions that no rule may have."""

TAKEN = ("parameter", "gradient", "t", "nesterov", *OPTIONS)
"""Names that a rule may not use: its own arguments, and options that would get the value of a hyperparameter."""


class Optimizer:
    """An update rule: a function of SymPy symbols, the names of its state, and its hyperparameters.

    The arguments of rule are found by name: any of ``parameter``, ``gradient``, ``t`` (the number of the update,
    from 1), the state and the hyperparameters. It returns the new parameter, or a tuple of it and the new state.
    state names the variables that are kept for every parameter; they start at 0, or, if state is a dictionary, at the
    number or the hyperparameter that it gives. hyperparameters maps names to defaults, or is a sequence of
    Hyperparameters, which also have ranges; ``learning_rate`` is always among them. Raises ModelError, which names the
    part of the rule that is wrong.
    """

    @bounded("the optimizer")
    def __init__(
        self,
        name: str,
        rule: Callable[..., Any],
        state: Sequence[str] | Mapping[str, float | str] = (),
        hyperparameters: Mapping[str, float] | Sequence[Hyperparameter] = (),
    ) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{0,39}", name, re.ASCII):
            raise ModelError(f"the name of an optimizer is a word of letters and digits, not {name!r}")
        role = f"the optimizer {name}"
        if not callable(rule):
            raise ModelError(f"the rule of {role} is a function of SymPy symbols, not {rule!r}")
        self.name = name
        self.rule = rule
        self.hyperparameters = _hyperparameters(hyperparameters, role)
        self.state = _state(state, [hyper.name for hyper in self.hyperparameters], role)
        self.update = self._describe(role)

    def _describe(self, role: str) -> Update:
        """Return the update as steps over the index p of all parameters."""
        tensors = {key: Element(key, (PARAMETER,)) for key in ("parameter", "gradient", *self.state)}
        numbers = {key: Element(key) for key in ("t", *(h.name for h in self.hyperparameters))}
        arguments = {**tensors, **numbers}
        taken = inspect.signature(self.rule).parameters
        for key in taken:
            if key not in arguments:
                raise ModelError(f"the rule of {role} takes {key!r}; it may take: {', '.join(arguments)}")
        try:
            values = self.rule(**{key: arguments[key] for key in taken})
            values = values if isinstance(values, tuple | list) else (values,)
            returned = f"what the rule of {role} returns"
            values = tuple(as_expression(value, arguments, returned) for value in values)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the rule of {role} cannot be evaluated with symbols: {type(error).__name__}: {error}; "
                f"write it with SymPy's functions"
            ) from error
        expected = ("parameter", *self.state)
        if len(values) != len(expected):
            raise ModelError(
                f"the rule of {role} returns {len(values)} values; it must return {len(expected)}: the new "
                f"{', '.join(expected)}, in this order"
            )
        results = tuple(Element(f"next_{key}", (PARAMETER,)) for key in expected)
        steps = tuple(
            Step(result, check_expression(value, arguments.values(), f"the new {key} of {role}"))
            for key, result, value in zip(expected, results, values, strict=True)
        )
        initial = tuple(self.state.values())
        return Update(self.name, tuple(self.state), self.hyperparameters, steps, results, initial)

    def __repr__(self) -> str:
        return f"<Optimizer {self.name}({', '.join(hyper.name for hyper in self.hyperparameters)})>"


def check_optimizers(candidates: Any, name: str) -> tuple[Optimizer, ...]:
    """Return the optimizers given with a model. Raise ModelError for other objects, and for a name that is taken."""
    if isinstance(candidates, Optimizer) or not isinstance(candidates, Iterable):
        raise ModelError(f"the optimizers of {name} are a list of nncodegen.Optimizer, not {candidates!r}")
    optimizers = tuple(candidates)
    names = list(OPTIMIZERS)
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            raise ModelError(f"{optimizer!r} is not an optimizer: use nncodegen.Optimizer(name, rule, state, ...)")
        if optimizer.name in names:
            raise ModelError(f"there is an optimizer {optimizer.name} already: choose another name")
        names.append(optimizer.name)
    return optimizers


def _hyperparameters(declared: Any, role: str) -> tuple[Hyperparameter, ...]:
    """Return all hyperparameters, the learning rate first."""
    if isinstance(declared, Mapping):
        declared = [_unbounded(name, value, role) for name, value in declared.items()]
    hypers = tuple(declared)
    for hyper in hypers:
        if not isinstance(hyper, Hyperparameter):
            raise ModelError(f"a hyperparameter of {role} is a name with a default, or a Hyperparameter, not {hyper!r}")
        bounds = [value for value in (hyper.low, hyper.high) if value not in (-math.inf, math.inf)]
        if not all(map(is_finite, (hyper.default, *bounds))):
            raise ModelError(f"a hyperparameter of {role} has a default or a bound that is not a number: {hyper!r}")
    hypers = tuple(h._replace(default=float(h.default), low=float(h.low), high=float(h.high)) for h in hypers)
    _check_names([hyper.name for hyper in hypers], role)
    rates = tuple(hyper for hyper in hypers if hyper.name == LEARNING_RATE.name)
    return (*(rates or (LEARNING_RATE,)), *(hyper for hyper in hypers if hyper not in rates))


def _unbounded(name: str, value: Any, role: str) -> Hyperparameter:
    if not is_finite(value):
        raise ModelError(f"the default of {name!r} of {role} must be a finite number, not {value!r}")
    if name == LEARNING_RATE.name:
        return Hyperparameter(name, float(value), excludes_low=True)
    return Hyperparameter(name, float(value), low=-math.inf)


def _state(declared: Any, hyperparameters: Sequence[str], role: str) -> dict[str, float | str]:
    """Return the initial value of each variable of the state."""
    if isinstance(declared, str) or not isinstance(declared, Iterable):
        raise ModelError(f"the state of {role} is a sequence of names, such as ('velocity',), not {declared!r}")
    state = dict(declared) if isinstance(declared, Mapping) else dict.fromkeys(declared, 0.0)
    if not isinstance(declared, Mapping) and len(state) != len(tuple(declared)):
        raise ModelError(f"the state of {role} names a variable twice: {', '.join(map(str, declared))}")
    _check_names([*state, *hyperparameters], role)
    for name, value in state.items():
        if not is_finite(value) and value not in hyperparameters:
            raise ModelError(f"{name} of {role} is at first a finite number or a hyperparameter, not {value!r}")
    return {name: value if isinstance(value, str) else float(value) for name, value in state.items()}


def _check_names(names: Sequence[Any], role: str) -> None:
    for position, name in enumerate(names):
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError(f"{role} has a name that is not an identifier: {name!r}")
        if name in TAKEN or name in names[:position]:
            raise ModelError(f"{role} has the name {name!r}, which is taken: choose another")


# --- the rules ---------------------------------------------------------------------------------------------------


def sgd(parameter: Expr, gradient: Expr, learning_rate: Expr) -> Expr:
    """Return the update of gradient descent."""
    return parameter - learning_rate * gradient


def momentum(parameter: Expr, gradient: Expr, velocity: Expr, learning_rate: Expr, momentum: Expr) -> tuple[Expr, ...]:
    """Return the update of Polyak's momentum, as PyTorch writes it: the learning rate stands outside the velocity."""
    velocity = momentum * velocity + gradient
    return parameter - learning_rate * velocity, velocity


def nesterov(parameter: Expr, gradient: Expr, velocity: Expr, learning_rate: Expr, momentum: Expr) -> tuple[Expr, ...]:
    """Return the update of Nesterov's momentum, as PyTorch writes it (Sutskever et al., 2013)."""
    velocity = momentum * velocity + gradient
    return parameter - learning_rate * (gradient + momentum * velocity), velocity


def adagrad(
    parameter: Expr, gradient: Expr, accumulator: Expr, t: Expr, learning_rate: Expr, decay: Expr, epsilon: Expr
) -> tuple[Expr, ...]:
    """Return the update of Adagrad (Duchi, Hazan and Singer, 2011), with the rate decay of ONNX and PyTorch."""
    accumulator = accumulator + gradient**2
    rate = learning_rate / (1 + (t - 1) * decay)
    return parameter - rate * gradient / (sqrt(accumulator) + epsilon), accumulator


def rmsprop(
    parameter: Expr, gradient: Expr, v: Expr, learning_rate: Expr, rho: Expr, epsilon: Expr
) -> tuple[Expr, ...]:
    """Return the update of RMSprop (Tieleman and Hinton, 2012); epsilon stands outside of the root, as in PyTorch."""
    v = rho * v + (1 - rho) * gradient**2
    return parameter - learning_rate * gradient / (sqrt(v) + epsilon), v


def adam(
    parameter: Expr,
    gradient: Expr,
    m: Expr,
    v: Expr,
    t: Expr,
    learning_rate: Expr,
    beta_1: Expr,
    beta_2: Expr,
    epsilon: Expr,
) -> tuple[Expr, ...]:
    """Return the update of Adam (Kingma and Ba, 2015, algorithm 1)."""
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    scale = learning_rate / (1 - beta_1**t)
    return parameter - scale * m / (sqrt(v / (1 - beta_2**t)) + epsilon), m, v


def adamw(
    parameter: Expr,
    gradient: Expr,
    m: Expr,
    v: Expr,
    t: Expr,
    learning_rate: Expr,
    beta_1: Expr,
    beta_2: Expr,
    epsilon: Expr,
    weight_decay: Expr,
) -> tuple[Expr, ...]:
    """Return the update of Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Every parameter decays, as in PyTorch.
    """
    decayed = parameter - learning_rate * weight_decay * parameter
    return adam(decayed, gradient, m, v, t, learning_rate, beta_1, beta_2, epsilon)


def nadam(
    parameter: Expr,
    gradient: Expr,
    m: Expr,
    v: Expr,
    rest: Expr,
    t: Expr,
    learning_rate: Expr,
    beta_1: Expr,
    beta_2: Expr,
    epsilon: Expr,
    momentum_decay: Expr,
) -> tuple[Expr, ...]:
    """Return the update of Adam with Nesterov's momentum (Dozat, 2016), as PyTorch writes it.

    ``rest`` is 1 minus the product of the momenta of all updates so far. It starts at 0, and is computed without
    cancellation.
    """

    def momentum(t: Expr) -> Expr:
        return beta_1 * (1 - S.Half * sympy.Rational(96, 100) ** (t * momentum_decay))

    now, following = momentum(t), momentum(t + 1)
    rest = rest * now + (1 - now)
    next_rest = rest * following + (1 - following)
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    direction = (1 - now) / rest * gradient + following / next_rest * m
    return parameter - learning_rate * direction / (sqrt(v / (1 - beta_2**t)) + epsilon), m, v, rest


def adamax(
    parameter: Expr,
    gradient: Expr,
    m: Expr,
    u: Expr,
    t: Expr,
    learning_rate: Expr,
    beta_1: Expr,
    beta_2: Expr,
    epsilon: Expr,
) -> tuple[Expr, ...]:
    """Return the update of Adam with the infinity norm (Kingma and Ba, 2015, algorithm 2).

    epsilon stands inside the maximum, as in PyTorch.
    """
    m = beta_1 * m + (1 - beta_1) * gradient
    u = Max(beta_2 * u, Abs(gradient) + epsilon)
    return parameter - learning_rate / (1 - beta_1**t) * m / u, m, u


def lion(parameter: Expr, gradient: Expr, m: Expr, learning_rate: Expr, beta_1: Expr, beta_2: Expr) -> tuple[Expr, ...]:
    """Return the update of Lion (Chen et al., 2023, algorithm 2).

    Its decay is the ``weight_decay`` that every optimizer may have.
    """
    direction = _sign(beta_1 * m + (1 - beta_1) * gradient)
    return parameter - learning_rate * direction, beta_2 * m + (1 - beta_2) * gradient


def rprop(
    parameter: Expr,
    gradient: Expr,
    direction: Expr,
    step: Expr,
    eta_minus: Expr,
    eta_plus: Expr,
    min_step: Expr,
    max_step: Expr,
) -> tuple[Expr, ...]:
    """Return the update of iRPROP- (Igel and Hüsken, 2000).

    Each parameter has its own step size, which starts as the learning rate. A parameter whose gradient has changed its
    sign skips one update. The rule needs the gradient of all samples.
    """
    agreement = direction * gradient  # the direction is a sign, so the product does not underflow
    factor = Piecewise((eta_plus, agreement > 0), (eta_minus, agreement < 0), (1, True))
    step = Min(Max(step * factor, min_step), max_step)
    direction = Piecewise((0, agreement < 0), (_sign(gradient), True))
    return parameter - direction * step, direction, step


def _sign(z: Expr) -> Expr:
    """Return the sign; a NaN stays a NaN, so that a diverged gradient is noticed."""
    return Piecewise((1, z > 0), (-1, z < 0), (z, True))


FORMULAS: dict[str, Callable[..., Any]] = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adagrad": adagrad, "rmsprop": rmsprop, "adam": adam,
    "adamw": adamw, "nadam": nadam, "adamax": adamax, "lion": lion, "rprop": rprop,
}  # fmt: skip
"""The formulas of the rules that every module has."""

OPTIMIZERS = {name: (FORMULAS[name], rule.state, rule.hyperparameters) for name, rule in RULES.items()}
"""The rules that every module has: function, state, hyperparameters."""


@cache
def describe_update(name: str) -> Update:
    """Return the update of a built-in optimizer, whose rule is evaluated when its steps are first read.

    To describe and simplify all rules took 0.06 s before the first compiler could start.
    """
    _, state, hyperparameters = OPTIMIZERS[name]
    role = f"the optimizer {name}"
    hypers = _hyperparameters(hyperparameters, role)
    initial = _state(state, [hyper.name for hyper in hypers], role)
    return DeferredUpdate(name, tuple(initial), hypers, tuple(initial.values()), partial(_described, name))


def _described(name: str) -> Update:
    return Optimizer(name, *OPTIMIZERS[name]).update

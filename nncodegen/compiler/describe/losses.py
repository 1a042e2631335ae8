"""Losses by name: each is one entry, a function of one output and its target. To add one, add an entry.

They mean the same as in Keras and PyTorch. ``total`` says how the outputs of a sample are combined: "mean" or "sum".
For losses that take logits, ``link`` names the activation that turns a logit into what the function expects; the rules
of ``stabilize`` then find a stable form of the composition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sympy import Abs, Eq, Expr, Max, Piecewise, Rational, S, log

from nncodegen.compiler.ir.functions import log_cosh, xlogy
from nncodegen.runtime.python.ground.names_elsewhere import spelled

LossFunction = Callable[[Expr, Expr], Expr]


@dataclass(frozen=True)
class Loss:
    """A loss: its function, how outputs are combined, the link from logits, and whether targets may be integer labels.

    ``threshold`` is the output above which a target of 1 is predicted.
    """

    function: LossFunction
    total: str = "mean"
    link: str = "linear"
    labels: bool = False
    threshold: float = 0.5


def _huber(p: Expr, y: Expr) -> Expr:
    e = Abs(p - y)
    return Piecewise((e**2 / 2, e <= 1), (e - Rational(1, 2), True))


def _hinge(p: Expr, y: Expr) -> Expr:
    sign = Piecewise((S.NegativeOne, Eq(y, 0)), (y, True))  # labels 0 and 1 stand for -1 and 1, as in Keras
    return Max(0, 1 - sign * p)


def _binary_crossentropy(p: Expr, y: Expr) -> Expr:
    return -xlogy(y, p) - xlogy(1 - y, 1 - p)


def _categorical_crossentropy(p: Expr, y: Expr) -> Expr:
    return -xlogy(y, p)


def _nll(p: Expr, y: Expr) -> Expr:
    return -y * p


def _poisson(p: Expr, y: Expr) -> Expr:
    return p - y * log(p)


LOSSES = {
    "mse": Loss(lambda p, y: (p - y) ** 2),
    "mae": Loss(lambda p, y: Abs(p - y)),
    "huber": Loss(_huber),
    "log_cosh": Loss(lambda p, y: log_cosh(p - y)),
    "poisson": Loss(_poisson),
    "hinge": Loss(_hinge, threshold=0.0),
    "binary_crossentropy": Loss(_binary_crossentropy),
    "binary_crossentropy_from_logits": Loss(_binary_crossentropy, link="sigmoid", threshold=0.0),
    "categorical_crossentropy": Loss(_categorical_crossentropy, total="sum", labels=True),
    "categorical_crossentropy_from_logits": Loss(_categorical_crossentropy, total="sum", link="softmax", labels=True),
    "nll": Loss(_nll, total="sum", labels=True),
}

SAME = {f"sparse_{name}": name for name in ("categorical_crossentropy", "categorical_crossentropy_from_logits")}
"""Keras has separate names for losses whose targets are labels -> the losses that take labels here."""


def usual_name(loss: Any) -> Any:
    """Return the name of a loss in LOSSES for a synonym, or for another spelling, "MSE"; return others unchanged."""
    name = spelled(loss, (*LOSSES, *SAME))
    return SAME.get(name, name) if isinstance(name, str) else loss

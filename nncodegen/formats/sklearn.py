"""Reads fitted networks of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncodegen.compiler.describe import Dense, Optimizer, Sequential
from nncodegen.compiler.describe.layer import Layer
from nncodegen.compiler.describe.losses import LossFunction
from nncodegen.errors import ModelError

LOSSES = {
    "identity": "mse",
    "logistic": "binary_crossentropy",
    "softmax": "categorical_crossentropy",
    "exp": "poisson",
}
"""The loss that belongs to an activation of the last layer, by ``out_activation_``."""

HIDDEN = ("identity", "logistic", "tanh", "relu")
"""The activations of hidden layers."""


def from_sklearn(
    estimator: Any,
    loss: str | LossFunction | None = None,
    name: str = "network",
    optimizers: Sequence[Optimizer] = (),
) -> Sequential:
    """Return a fitted MLPClassifier or MLPRegressor of scikit-learn as a network that starts with its weights.

    The loss is by default the one that scikit-learn minimizes: "mse", "poisson", "binary_crossentropy" or
    "categorical_crossentropy". The outputs are those of ``predict_proba`` or ``predict``; with two classes, the
    probability of the second alone. Penalties and optimizers are not taken over: they are arguments of ``train``. Raise
    ModelError for anything but such an estimator.
    """
    kinds = {kind.__name__ for kind in type(estimator).__mro__ if kind.__module__.startswith("sklearn.neural_network")}
    if not kinds & {"MLPClassifier", "MLPRegressor"}:
        raise ModelError(
            f"from_sklearn takes a fitted MLPClassifier or MLPRegressor, not a {type(estimator).__name__}; the network "
            f"in a pipeline is pipeline[-1], and skl2onnx with nncodegen.from_onnx takes all of it"
        )
    if not hasattr(estimator, "coefs_"):
        raise ModelError(f"the {type(estimator).__name__} is not fitted: call its fit first")
    if estimator.activation not in HIDDEN or estimator.out_activation_ not in LOSSES:
        raise ModelError(
            f"the {type(estimator).__name__} has an activation that is not known here: "
            f"{estimator.activation!r}, and {estimator.out_activation_!r} in its last layer"
        )
    *hidden, last = (len(intercept) for intercept in estimator.intercepts_)
    usual = LOSSES[estimator.out_activation_]
    layers: list[Layer] = [
        *(Dense(units, estimator.activation) for units in hidden),
        Dense(last, estimator.out_activation_),
    ]
    initial: dict[str, Any] = {}
    for number, (W, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True), start=1):
        initial |= {f"W{number}": np.asarray(W).T, f"b{number}": b}
    return Sequential(layers, len(estimator.coefs_[0]), usual if loss is None else loss, name, optimizers, initial)

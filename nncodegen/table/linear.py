"""Trains the linear candidates: logistic, softmax and linear regression, along a path of penalties."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nncodegen.estimators.network import Description
from nncodegen.runtime.module import Module

MOST_ITERATIONS = 500

MOST_SOLVED = 1_000
"""The most inputs for which a linear regression is solved by the eigenvalues of its normal equations."""


def linear_path(
    network: Description, module: Module, X: Any, Y: Any, weight: Any, penalties: Sequence[float]
) -> Iterator[Any]:
    """Yield the parameters (P,) of a linear model for each penalty, in the layout of a module, which may be padded.

    The squared error of one output is minimized exactly. All other losses are minimized by L-BFGS over all rows; each
    fit starts where the one before it ended.
    """
    plain = network.loss == "mse" and network.outputs == 1 and network.layers[-1][1] == "linear"
    if plain and weight is None and X.shape[1] <= MOST_SOLVED:
        yield from _ridge_path(module, X, Y, penalties)
        return
    parameters = np.zeros(module.parameter_count)
    for l2 in penalties:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it stops where rounding allows no further progress
            result = module.minimize(
                X, Y, parameters, sample_weight=weight, l2=l2, options={"maxiter": MOST_ITERATIONS, "maxcor": 20}
            )
        if np.isfinite(result.parameters).all():
            parameters = result.parameters
        yield np.array(parameters, module.dtype)


def _ridge_path(module: Module, X: Any, Y: Any, penalties: Sequence[float]) -> Iterator[Any]:
    """Yield the minima of mean((X w + b - y)**2) + l2/2*sum(w**2), for X (N, inputs) and Y (N, 1).

    With centred X and y, b is the mean of y, and w solves (2/N X'X + l2) w = 2/N X'y.
    """
    x_mean, y_mean = X.mean(axis=0), Y.mean()
    centred = X - x_mean
    values, vectors = np.linalg.eigh(2 / len(X) * centred.T @ centred)
    along = vectors.T @ (2 / len(X) * centred.T @ (Y[:, 0] - y_mean))
    values = np.maximum(values, np.finfo(float).eps * values[-1])  # what is below is rounding
    for l2 in penalties:
        weights = vectors @ (along / (values + l2))
        parameters = np.zeros(module.parameter_count, module.dtype)
        views = module.unpack(parameters)
        views["W1"][:] = weights.reshape(views["W1"].shape)
        views["b1"][:] = y_mean - x_mean @ weights
        yield parameters

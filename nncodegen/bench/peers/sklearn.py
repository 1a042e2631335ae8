"""scikit-learn's MLPClassifier, with the arithmetic of the task: plain sgd, no penalty, no shuffling."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import Array, Prediction, Stack, Task, Training

warnings.simplefilter("ignore", ConvergenceWarning)  # it is meant to stop after a number of epochs


def make(task: Task, threads: int) -> Run:
    """Return the run of a task; threads are used by BLAS."""
    if isinstance(task, Prediction):
        assert isinstance(task.stack, Stack)
        classes = task.stack.layers[-1][0]
        network = _network(task.stack, 1, 1, 0.1)
        network.fit(np.resize(task.X, (classes, task.stack.inputs)), np.arange(classes))  # allocates its arrays
        _set(network, task.stack, task.parameters)
        return lambda: network.predict_proba(task.X)
    if not isinstance(task, Training) or not isinstance(task.stack, Stack):
        raise TypeError(f"scikit-learn has nothing for {task!r}")
    stack = task.stack
    trained = _network(stack, task.epochs, task.batch, task.learning_rate)
    labels: Any = task.labels
    first = np.unique(labels, return_index=True)[1]
    trained.set_params(max_iter=1, batch_size=1).fit(task.X[first], labels[first])  # allocates its arrays
    trained.set_params(max_iter=task.epochs, batch_size=task.batch)

    def run() -> Array:
        _set(trained, stack, task.start)
        trained.n_iter_, trained.t_, trained.loss_curve_ = 0, 0, []
        trained.fit(task.X, labels)
        return stack.pack((W.T, b) for W, b in zip(trained.coefs_, trained.intercepts_, strict=True))

    return run


def _network(stack: Stack, epochs: int, batch: int, rate: float) -> Any:
    return MLPClassifier(
        [units for units, _ in stack.layers[:-1]],
        activation=stack.hidden,
        solver="sgd",
        alpha=0.0,
        batch_size=batch,
        learning_rate_init=rate,
        max_iter=epochs,
        shuffle=False,
        momentum=0.0,
        nesterovs_momentum=False,
        tol=0.0,
        n_iter_no_change=10**9,
        warm_start=True,
    )


def _set(network: Any, stack: Stack, flat: Array) -> None:
    """Set the parameters of a network, which has been fitted once."""
    layers = stack.unpack(flat)
    network.coefs_ = [np.array(W.T, order="C") for W, _ in layers]
    network.intercepts_ = [b.copy() for _, b in layers]

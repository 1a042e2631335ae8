"""NumPy, by hand: whole-array arithmetic, parameters and gradient in one flat array each, in-place updates.

A single perceptron is computed with plain numbers, since arrays of one element cost NumPy several times as much.
"""

from __future__ import annotations

import math
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.peers.formulas import iterations
from nncodegen.bench.tasks import Array, Peaks, PerceptronTask, Prediction, Stack, Task, Training

_transposed, _transposed_each = attrgetter("T"), methodcaller("swapaxes", 1, 2)
"""Functions that transpose a matrix, or the matrix of each model; both are written in C."""


def make(task: Task, threads: int) -> Run:
    """Return the run of a task; threads are used by BLAS."""
    if isinstance(task, PerceptronTask):
        return _formula(task)
    if isinstance(task, Prediction):
        return _prediction(task)
    assert isinstance(task, Training)
    return _training(task)


def _formula(task: PerceptronTask) -> Run:
    real = task.starts.dtype.type
    alone = len(task.starts) == 1
    numbers = (*task.x[0], task.y[0, 0], real(task.learning_rate))
    exp: Any = np.exp
    if alone and task.precision == "float64":
        numbers, exp = tuple(map(float, numbers)), math.exp
    simultaneous, sequential = iterations(exp, real(1) if exp is np.exp else 1.0)
    iterate = sequential if task.sequential else simultaneous

    def run() -> Array:
        # for each parameter, the values of all models
        p: Any = task.starts[0].tolist() if exp is math.exp else task.starts[0] if alone else np.array(task.starts.T)
        p = tuple(p)
        for _ in range(task.iterations):
            p = iterate(p, *numbers)
        return np.array(p, real).reshape(len(p), -1).T

    return run


def _prediction(task: Prediction) -> Run:
    (W1, b1), (W2, b2) = task.stack.unpack(task.parameters)

    def run() -> Array:
        z = np.tanh(task.X @ W1.T + b1) @ W2.T + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    return run


def _training(task: Training) -> Run:
    batches = [(task.X[rows], task.Y[rows]) for rows in task.batches()]

    def run() -> Array:
        p, g = task.start.copy(), np.empty_like(task.start)
        parameters, gradients = task.stack.unpack(p), task.stack.unpack(g)
        if task.models:
            parameters = [(W, b[:, np.newaxis]) for W, b in parameters]
        m, v, t = np.zeros_like(p), np.zeros_like(p), 0
        for _ in range(task.epochs):
            for x, y in batches:
                _gradient(task, x, y, parameters, gradients)
                if task.optimizer == "sgd":
                    g *= task.learning_rate
                    p -= g
                    continue
                t += 1
                adam(task.learning_rate, p, g, m, v, t)
        return p

    return run


def adam(rate: float, p: Array, g: Array, m: Array, v: Array, t: int) -> None:
    """Make update number t of the parameters p by their gradient g; m and v are the running means of g and g**2."""
    m += (1 - 0.9) * (g - m)
    v += (1 - 0.999) * (g * g - v)
    p -= rate / (1 - 0.9**t) * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def _gradient(task: Training, x: Array, y: Array, parameters: Any, gradients: Any) -> None:
    """Write the gradient of the mean loss of a batch to views of it."""
    if isinstance(task.stack, Peaks):
        _gradient_of_peaks(x.T, y[:, 0], parameters[0], gradients[0])
        return
    assert isinstance(task.stack, Stack)
    transpose = _transposed_each if task.models else _transposed
    values = [x]
    for W, b in parameters:
        z = values[-1] @ transpose(W)
        z += b
        if len(values) < len(parameters):
            z = np.tanh(z, out=z) if task.stack.hidden == "tanh" else np.maximum(z, 0, out=z)
        values.append(z)
    d = values.pop()
    if task.stack.classifies:
        d -= d.max(axis=-1, keepdims=True)
        np.exp(d, out=d)
        d /= d.sum(axis=-1, keepdims=True)
        d -= y
        d /= len(x)
    else:
        d -= y
        d *= 2 / y.size
    for (W, _), (d_W, d_b), h in zip(reversed(parameters), reversed(gradients), reversed(values), strict=True):
        np.matmul(transpose(d), h, out=d_W)
        np.sum(d, axis=-2, out=d_b)
        if h is not x:
            d = d @ W
            d *= 1 - h * h if task.stack.hidden == "tanh" else h > 0


def _gradient_of_peaks(x: Array, y: Array, parameters: Any, gradients: Any) -> None:
    """Write the gradient of the mean loss of the peaks, which are rows of arrays: x is (1, samples), y (samples,)."""
    heights, centers, widths, level = parameters
    d_heights, d_centers, d_widths, d_level = gradients
    z = (x - centers[:, np.newaxis]) / widths[:, np.newaxis]
    e = z * z
    np.exp(np.negative(e, out=e), out=e)
    d = heights @ e
    d += level - y
    d *= 2 / len(y)
    d_level[0] = d.sum()
    np.matmul(e, d, out=d_heights)
    e *= z
    np.multiply(e @ d, 2 * heights / widths, out=d_centers)
    e *= z
    np.multiply(e @ d, 2 * heights / widths, out=d_widths)

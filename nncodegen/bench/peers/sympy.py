"""SymPy alone: its derivatives, evaluated by ``subs`` or by functions of ``lambdify``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy

from nncodegen import perceptron
from nncodegen.bench.peers import Run
from nncodegen.bench.peers.numpy import adam
from nncodegen.bench.tasks import Array, PerceptronTask, Task, Training
from nncodegen.compiler.describe import Model

PARAMETERS = tuple(perceptron.model.parameters)
VALUES = (*PARAMETERS, perceptron.x1, perceptron.x2, perceptron.y)
Gradient = Callable[[list[float]], Any]


def substituted(task: Task, threads: int) -> Run:
    """Return a run with the derivatives, in which symbols are replaced by numbers in each iteration."""
    derivatives = _derivatives()

    def value(k: int, numbers: list[float]) -> float:
        return float(derivatives[k].subs(dict(zip(VALUES, numbers, strict=True))))

    return _make(task, lambda numbers: [value(k, numbers) for k in range(len(PARAMETERS))], value)


def compiled(task: Task, threads: int) -> Run:
    """Return a run with the derivatives as Python functions: one for all, with common subexpressions, and one each."""
    if isinstance(task, Training):
        return _training(task)
    derivatives = _derivatives()
    together = sympy.lambdify(VALUES, derivatives, "math", cse=True)
    each = [sympy.lambdify(VALUES, derivative, "math", cse=True) for derivative in derivatives]
    return _make(task, lambda numbers: together(*numbers), lambda k, numbers: each[k](*numbers))


def _training(task: Training) -> Run:
    """Return the training of a formula on many samples: derivatives by one function of NumPy, updates in NumPy."""
    model = task.model
    if not isinstance(model, Model):
        raise TypeError(f"SymPy alone has nothing for {task!r}")
    derivatives = [sympy.diff(model.loss, parameter) for parameter in model.parameters]
    symbols = (*model.parameters, *model.inputs, *model.targets)
    gradient = sympy.lambdify(symbols, derivatives, "numpy", cse=True)
    samples = (*task.X.T, *task.Y.T)

    def run() -> Array:
        p = task.start.copy()
        m, v = np.zeros_like(p), np.zeros_like(p)
        for t in range(1, task.epochs + 1):
            g = np.array([np.mean(derivative) for derivative in gradient(*p, *samples)])
            adam(task.learning_rate, p, g, m, v, t)
        return p

    return run


def _derivatives() -> list[sympy.Expr]:
    return [sympy.diff(perceptron.model.loss, parameter) for parameter in PARAMETERS]


def _make(task: Task, gradient: Gradient, derivative: Callable[[int, list[float]], float]) -> Run:
    if not isinstance(task, PerceptronTask):
        raise TypeError(f"SymPy alone has nothing for {task!r}")
    sample = [*map(float, task.x[0]), float(task.y[0, 0])]
    rate = task.learning_rate

    def run() -> Array:
        p = task.starts[0].tolist()
        for _ in range(task.iterations):
            if task.sequential:
                for k in range(len(p)):
                    p[k] -= rate * derivative(k, p + sample)
            else:
                p = [value - rate * d for value, d in zip(p, gradient(p + sample), strict=True)]
        return np.array([p])

    return run

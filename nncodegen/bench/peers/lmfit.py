"""lmfit: its Model of a function, with its default method."""

from __future__ import annotations

import lmfit
import numpy as np

from nncodegen.bench.peers import Run
from nncodegen.bench.peers.scipy import one_by_one
from nncodegen.bench.tasks import Array, Fit, Task


def make(task: Task, threads: int) -> Run:
    """Return the run of a task, in double precision, one fit after the other."""
    if not isinstance(task, Fit):
        raise TypeError(f"lmfit fits nothing in {task!r}")
    names = task.curve.parameters
    model = lmfit.Model(task.curve.function("numpy"), independent_vars=list(task.curve.inputs))
    inputs = dict(zip(task.curve.inputs, task.X.astype(float).T, strict=True))

    def fit(y: Array, start: Array) -> tuple[Array, Array]:
        result = model.fit(y, model.make_params(**dict(zip(names, start.tolist(), strict=True))), **inputs)
        errors = [result.params[name].stderr for name in names]
        return np.array([result.best_values[name] for name in names]), np.array(errors, float)

    return one_by_one(task, fit)

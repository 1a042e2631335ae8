"""nncodegen: the compiled module, called as its users call it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nncodegen.bench.moving import FIT, FITS, JACOBIANS, SOLVE, Motion, Trajectories
from nncodegen.bench.peers import Run
from nncodegen.bench.tasks import Equation, Fit, Gradient, PerceptronTask, Prediction, Task, Training
from nncodegen.compiler.building.build import load, prepare_shared
from nncodegen.compiler.emit.printer import REAL_TYPES
from nncodegen.compiler.pipeline import compile_model
from nncodegen.compiler.schedule import NO_CHOICES
from nncodegen.runtime.module import Module


def prepare() -> None:
    """Make what all modules share, which an installed package brings, but a folder of sources does not."""
    for real, _ in REAL_TYPES.values():
        prepare_shared(real)


def with_blas(task: Task, threads: int, force: bool = True) -> Run:
    """Return the run of a task in which SciPy's BLAS computes all products."""
    return make(task, threads, force, {"blas": True})


def make(task: Task, threads: int, force: bool = True, choices: Mapping[str, object] = NO_CHOICES) -> Run:
    """Compile the model anew (without ``force`` unless the cache holds it), and return the run of its module."""
    if isinstance(task, Fit):
        return _fit(task, threads)
    if isinstance(task, Trajectories):
        return _trajectories(task, threads, force)
    module = load(compile_model(task.model, task.precision, force, choices=choices).built)
    if isinstance(task, Motion):
        return _motion(module, task)
    if isinstance(task, Prediction):
        parallel = _threads(module.predict, threads)
        return partial(module.predict, task.parameters, task.X, **parallel)
    if isinstance(task, Training):
        options: dict[str, Any] = {} if task.models else {"final_loss": False}  # train_many always evaluates it
        train = module.train_many if task.models else module.train
        options |= {"batch_size": task.batch, "shuffle": False} if task.batch < len(task.X) else {}
        options |= _threads(train, threads)
        return lambda: (
            train(
                task.X,
                task.Y if task.labels is None else task.labels,
                task.start,
                optimizer=task.optimizer,
                learning_rate=task.learning_rate,
                epochs=task.epochs,
                history=False,
                **options,
            ).parameters
        )
    if isinstance(task, Gradient):
        labels = task.labels.astype(task.precision)
        return lambda: module.loss_and_gradient(task.parameters, task.X, labels)[1]
    if isinstance(task, Equation):
        X, Y = module.stack({"equation": task.X})
        parameters = task.by_inputs(task.parameters)
        return lambda: task.by_units(module.loss_and_gradient(parameters, X, Y)[1])
    return _formula(module, task, threads)


def _fit(task: Fit, threads: int) -> Run:
    """Return fits by a module that is compiled once in a run of the command: its cache is empty when it begins."""
    module: Any = load(compile_model(task.model, task.precision).built)
    if task.fits:
        options = _threads(module.fit_many, threads)
        return lambda: module.fit_many(task.X, task.Y, p0=task.start, **options).parameters

    def run() -> Any:
        result = module.fit(task.X, task.Y, p0=task.start)
        return np.stack([result.parameters, result.standard_errors], dtype=module.dtype, casting="same_kind")

    return run


def _motion(module: Module, task: Motion) -> Run:
    if task.what == JACOBIANS:
        return lambda: module.jacobian(task.parameters, task.times)
    X, Y = task.times[np.newaxis], task.Y[np.newaxis]
    if task.what == SOLVE:
        return lambda: module.predict(task.parameters, X)[0]
    if task.what == FIT:
        return lambda: module.fit(X, Y, p0=task.parameters).parameters
    if task.what == FITS:
        return lambda: module.fit_many(X, task.Y[:, np.newaxis], p0=task.parameters).parameters
    return lambda: module.jacobian(task.parameters, X)[0]


def one_by_one(task: Task, threads: int, force: bool = True) -> Run:
    """Return many fits of equations, each in a call of its own."""
    if not isinstance(task, Motion):
        raise TypeError(f"there are no fits one by one in {task!r}")
    module = load(compile_model(task.model, task.precision, force).built)
    X, rows = task.times[np.newaxis], [*zip(task.Y[:, np.newaxis], task.parameters, strict=True)]
    return lambda: np.stack([module.fit(X, Y, p0=start).parameters for Y, start in rows])


def _trajectories(task: Trajectories, threads: int, force: bool) -> Run:
    """Return simulations by a module without fits."""
    module = load(compile_model(task.model, task.precision, force, fit=False).built)
    X = np.column_stack([np.ones_like(task.rates), task.rates])
    options = _threads(module.predict, threads)
    return lambda: module.predict([], X, **options)[:, 0]


def _formula(module: Module, task: PerceptronTask, threads: int) -> Run:
    options: dict[str, Any] = {
        "learning_rate": task.learning_rate,
        "epochs": task.iterations,
        "update": "sequential" if task.sequential else "simultaneous",
    }
    if len(task.starts) > 1 and hasattr(module, "train_many"):
        del options["update"]  # many models are updated simultaneously
        options["history"] = False  # no peer evaluates a loss
        options |= _threads(module.train_many, threads)
        return lambda: module.train_many(task.x, task.y, parameters=task.starts, **options).parameters
    options |= _threads(module.train, threads)
    if len(task.starts) == 1:
        (start,) = task.starts
        return lambda: module.train(task.x, task.y, start, **options).parameters[np.newaxis]
    return lambda: np.stack([module.train(task.x, task.y, start, **options).parameters for start in task.starts])


def _threads(function: Callable[..., Any], threads: int) -> dict[str, int]:
    """Return the number of threads as an argument: only for several threads, and a function that takes them."""
    takes = "threads" in inspect.signature(function).parameters
    return {"threads": threads} if threads > 1 and takes else {}

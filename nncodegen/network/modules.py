"""Compiles a description once in a process; without a compiler, evaluates it with NumPy."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from nncodegen.errors import BuildError
from nncodegen.ir import Program, evaluate, needed
from nncodegen.module import Module
from nncodegen.network.description import Description
from nncodegen.pipeline import build_module

_modules: dict[Description, Module] = {}
"""The modules of this process. They are never removed, as a shared library stays in memory anyway."""

_lock = threading.Lock()


def module_of(description: Description) -> Module:
    """The compiled module of a network, built at most once in a process. Raises BuildError."""
    with _lock:
        if description not in _modules:
            _modules[description] = build_module(description.model, description.precision)
        return _modules[description]


def predict(description: Description, parameters: Any, X: Any, threads: int = 1) -> Any:
    """The outputs of a network for the rows of X, of shape (N, outputs), in its precision.

    If it cannot be compiled, it is evaluated with NumPy, after one RuntimeWarning in a process.
    """
    try:
        module = module_of(description)
    except BuildError as error:
        _warn(str(error).splitlines()[0])
        return evaluate_outputs(description, parameters, X)
    return module.predict(parameters, X, **({} if threads == 1 else {"threads": threads}))


def predict_mean(description: Description, parameters: Any, X: Any) -> Any:
    """The mean of the outputs of several networks of one kind, (N, outputs), with parameters of the shape (M, P).

    If they cannot be compiled, they are evaluated with NumPy, after one RuntimeWarning in a process.
    """
    try:
        module = module_of(description)
    except BuildError as error:
        _warn(str(error).splitlines()[0])
        outputs = (evaluate_outputs(description, one, X) for one in parameters)
    else:
        outputs = (module.predict(one, X) for one in parameters)
    total = np.zeros((len(X), description.outputs))
    for one in outputs:
        total += one
    return total / len(parameters)


@lru_cache(maxsize=1)
def _warn(reason: str) -> None:
    """Warns once for each reason."""
    warnings.warn(
        f"predicting with NumPy, which is slower: the network cannot be compiled here ({reason})",
        RuntimeWarning,
        stacklevel=3,
    )


def evaluate_outputs(description: Description, parameters: Any, X: Any) -> Any:
    """The outputs of a network, (N, outputs) in its precision, computed by the NumPy evaluator."""
    program = forward(description)
    values = evaluate(program, parameters, np.asarray(X, float))
    return np.asarray(values[program.outputs[0].tensor], description.precision)


@lru_cache(maxsize=64)
def forward(description: Description) -> Program:
    """The program of a network without targets and loss: only the steps that its outputs need."""
    program = description.program
    steps = needed(program.steps, program.outputs)
    return replace(program, targets=(), steps=steps, loss=program.outputs[0], updates=())

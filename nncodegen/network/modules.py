"""Compiles a description once in a process; without a compiler, evaluates it with NumPy."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from nncodegen.errors import BuildError
from nncodegen.ir import Program, evaluate, needed
from nncodegen.module import Module
from nncodegen.network.description import Description
from nncodegen.network.padding import VALUES_AT_ONCE, Padding, shared_inputs
from nncodegen.pipeline import build_module
from nncodegen.runtime.python.sparse import is_sparse

_modules: dict[Description, Module] = {}
"""The modules of this process. They are never removed, as a shared library stays in memory anyway."""

_lock = threading.Lock()


def module_of(description: Description) -> Module:
    """The compiled module of a network, built at most once in a process. Raises BuildError."""
    with _lock:
        if description not in _modules:
            _modules[description] = build_module(description.model, description.precision)
        return _modules[description]


class PaddedNetwork(Padding):
    """A network and the one that is built in its place, with the module of that."""

    @property
    def module(self) -> Module:
        """The compiled module. Raises BuildError."""
        return module_of(self.built)


@lru_cache(maxsize=64)
def padded(network: Description, inputs: int | None = None) -> PaddedNetwork:
    """A network that is built with so many inputs; by default with those of ``shared_inputs``."""
    return PaddedNetwork(network, shared_inputs(network.inputs) if inputs is None else inputs)


def predict(description: Description, parameters: Any, X: Any, threads: int = 1, inputs: int | None = None) -> Any:
    """The outputs of a network for the rows of X, an array or sparse, in its precision: (N, outputs).

    ``inputs`` are those that it is built with (``Padding``). If it cannot be compiled, it is evaluated with NumPy,
    after one RuntimeWarning in a process.
    """
    network = padded(description, inputs)
    try:
        module = network.module
    except BuildError as error:
        _warn(str(error).splitlines()[0])
        return np.concatenate([evaluate_outputs(description, parameters, part) for part in _whole(X)])
    options = {} if threads == 1 else {"threads": threads}
    wide = network.wide(parameters)
    return np.concatenate([module.predict(wide, part, **options) for part in network.parts(X)])


def predict_mean(description: Description, parameters: Any, X: Any) -> Any:
    """The mean of the outputs of several networks of one kind, (N, outputs), with parameters of the shape (M, P).

    If they cannot be compiled, they are evaluated with NumPy, after one RuntimeWarning in a process.
    """
    network = padded(description)
    try:
        module = network.module
    except BuildError as error:
        _warn(str(error).splitlines()[0])
        return _mean(evaluate_outputs(description, one, X) for one in parameters)
    wide = network.wide(parameters)
    return np.concatenate([_mean(module.predict(one, part) for one in wide) for part in network.parts(X)])


def _mean(outputs: Iterable[Any]) -> Any:
    """The mean of arrays of one shape, in double precision."""
    total: Any = 0.0
    count = 0
    for one in outputs:
        total, count = total + np.asarray(one, float), count + 1
    return total / count


def _whole(X: Any) -> Iterator[Any]:
    """X as arrays: the rows of a sparse matrix in parts."""
    if not is_sparse(X):
        yield X
        return
    matrix = X.tocsr()
    step = max(1, VALUES_AT_ONCE // matrix.shape[1])
    for first in range(0, matrix.shape[0], step):
        yield matrix[first : first + step].toarray()


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

"""Compiles a description once in a process; where that fails, NumPy evaluates it to predict."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from nncodegen.compiler.building.compiler import in_one_line
from nncodegen.compiler.pipeline import build_module, evaluated_module
from nncodegen.errors import BuildError
from nncodegen.estimators.network.description import Description
from nncodegen.estimators.network.padding import Padding, shared_inputs
from nncodegen.runtime.module import Module

_modules: dict[Description, Module] = {}
"""The modules of this process. They are never removed, as a shared library stays in memory anyway."""

_lock = threading.Lock()


def module_of(description: Description) -> Module:
    """Return the module of a network, built at most once in a process.

    Without a compiler it is one that NumPy evaluates. Raise BuildError.
    """
    with _lock:
        if description not in _modules:
            _modules[description] = build_module(description.model, description.precision, bits=description.bits)
        return _modules[description]


def built_inputs(network: Description) -> tuple[int, ...]:
    """Return the numbers of inputs of the modules of this process that otherwise are of the given network."""
    with _lock:
        return tuple(
            sorted(
                module_network.inputs
                for module_network in _modules
                if replace(network, inputs=module_network.inputs) == module_network
            )
        )


class PaddedNetwork(Padding):
    """A network and the one that is built in its place, with the module of the latter."""

    @property
    def module(self) -> Module:
        """Return the module. Raise BuildError."""
        return module_of(self.built)


@lru_cache(maxsize=64)
def padded(network: Description, inputs: int | None = None) -> PaddedNetwork:
    """Return a network that is built with ``inputs`` inputs; by default with those of ``shared_inputs``."""
    return PaddedNetwork(network, shared_inputs(network.inputs) if inputs is None else inputs)


def predict(description: Description, parameters: Any, X: Any, threads: int = 1, inputs: int | None = None) -> Any:
    """Return the outputs of a network for the rows of X, an array or sparse, in its precision: (N, outputs).

    ``inputs`` is the number of inputs that it is built with (``Padding``). If it cannot be compiled, NumPy evaluates
    it, and a RuntimeWarning says why, once in a process.
    """
    network, module = _predicting(description, inputs)
    options = {} if threads == 1 else {"threads": threads}
    wide = network.wide(parameters)
    return np.concatenate([module.predict(wide, part, **options) for part in network.parts(X)])


def predict_mean(description: Description, parameters: Any, X: Any) -> Any:
    """Return the mean of the outputs of several networks of one kind, (N, outputs).

    ``parameters`` has the shape (M, P). If the networks cannot be compiled, NumPy evaluates them, and a RuntimeWarning
    says why, once in a process.
    """
    network, module = _predicting(description)
    wide = network.wide(parameters)
    return np.concatenate(
        [_mean(module.predict(parameters_of_one, part) for parameters_of_one in wide) for part in network.parts(X)]
    )


def _mean(outputs: Iterable[Any]) -> Any:
    """Return the mean of arrays of one shape, in double precision."""
    total: Any = 0.0
    count = 0
    for array in outputs:
        total, count = total + np.asarray(array, float), count + 1
    return total / count


def _predicting(description: Description, inputs: int | None = None) -> tuple[PaddedNetwork, Module]:
    """Return the network that is built in place of another, and its module: a compiled one if possible."""
    network = padded(description, inputs)
    try:
        return network, network.module
    except BuildError as error:
        return padded(description, description.inputs), _evaluated(description, in_one_line(error))


@lru_cache(maxsize=64)
def _evaluated(description: Description, reason: str) -> Module:
    return evaluated_module(description.model, description.precision, reason=reason)

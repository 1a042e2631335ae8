"""A Python module with the functions of a compiled one, whose native part is NumPy."""

from __future__ import annotations

import sys
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from nncodegen.compiler.ir import Companion, Program
from nncodegen.compiler.slow.native import NumpyNative
from nncodegen.runtime.module import Module
from nncodegen.runtime.python import fill
from nncodegen.runtime.python.ground.facts import Facts
from nncodegen.runtime.python.ground.warn import warn
from nncodegen.runtime.python.interface import CompiledModule

if TYPE_CHECKING:
    from nncodegen.runtime.python.native.native import Native

NAME = "nncodegen.modules.numpy"
"""The prefix of the names under which modules evaluated with NumPy are registered; their identity and name follow."""


class SlowModule(CompiledModule):
    """A model that is not compiled."""

    def __repr__(self) -> str:
        return f"<slow module {self.__name__!r}, not compiled: evaluated with NumPy>"


def slow_module(program: Program, companions: tuple[Companion, ...], facts: Facts, reason: str) -> Module:
    """Return the module of a simplified program, evaluated with NumPy; reason says why it is not compiled.

    Warns with the reason once in a process, by a RuntimeWarning. To unpickle one of its functions, or a Result, the
    same model must have been built before in that process.
    """
    _warn(reason)
    name = f"{NAME}.{_key(facts, reason)}.{facts.name}"
    if name in sys.modules:
        return cast(Module, sys.modules[name])
    module = SlowModule(name)
    native = cast("Native", NumpyNative(program, companions, reason))  # its properties are attributes in ``Native``
    fill(module.__dict__, facts._replace(side_by_side=False, blas=None), native)
    module.__doc__ = (
        f"{facts.name}: {len(module.input_names)} inputs, {module.output_count} outputs, {module.parameter_count} "
        f"parameters, {facts.precision}. Not compiled ({reason}): NumPy evaluates it, slowly, and it cannot be trained."
    )
    sys.modules[name] = module  # pickles look for it by this name
    return cast(Module, module)


def _key(facts: Facts, reason: str) -> str:
    """Return the key that distinguishes models: those that compute and fit the same share a module for each reason."""
    model = (facts.identity, facts.precision, facts.parameters, facts.rules, facts.following)
    return sha256(repr((*model, facts.fitting.not_fitted, facts.samples.inputs, reason)).encode()).hexdigest()[:16]


@lru_cache(maxsize=16)
def _warn(reason: str) -> None:
    warn(
        f"{reason}: NumPy evaluates the model, which is slow; training and fits take a C compiler",
        RuntimeWarning,
    )

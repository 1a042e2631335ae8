"""A module of Python whose functions are those of a compiled one, and whose native part is NumPy."""

from __future__ import annotations

import sys
import warnings
from functools import lru_cache
from hashlib import sha256
from types import ModuleType
from typing import TYPE_CHECKING, cast

from nncodegen.ir import Program
from nncodegen.module import Module
from nncodegen.runtime.python import fill
from nncodegen.runtime.python.facts import Facts
from nncodegen.slow.native import NumpyNative

if TYPE_CHECKING:
    from nncodegen.runtime.python.native import Native

NAME = "nncodegen.modules.numpy"
"""Where modules that are evaluated with NumPy are known to Python, each by its identity and its name."""


class SlowModule(ModuleType):
    """A model that is not compiled."""

    def __repr__(self) -> str:
        return f"<slow module {self.__name__!r}, not compiled: evaluated with NumPy>"


def slow_module(program: Program, facts: Facts, reason: str) -> Module:
    """The module of a simplified program, evaluated with NumPy; reason says why it is not compiled.

    Says so once in a process for each reason, by a RuntimeWarning. Whoever pickles one of its functions, or a Result,
    needs the same model where it is unpickled, built before.
    """
    _warn(reason)
    name = f"{NAME}.{_key(facts)}.{facts.name}"
    if name in sys.modules:
        return cast(Module, sys.modules[name])
    module = SlowModule(name)
    native = cast("Native", NumpyNative(program, reason))  # whose properties are attributes there
    fill(module.__dict__, facts._replace(side_by_side=False, blas=None), native)
    module.__doc__ = (
        f"{facts.name}: {len(module.input_names)} inputs, {module.output_count} outputs, {module.parameter_count} "
        f"parameters, {facts.precision}. Not compiled ({reason}): NumPy evaluates it, slowly, and it cannot be trained."
    )
    sys.modules[name] = module  # where pickles look for it
    return cast(Module, module)


def _key(facts: Facts) -> str:
    """What tells models apart: modules are shared by those that compute and fit the same."""
    known = (facts.identity, facts.precision, facts.not_fitted, facts.parameters, facts.rules, facts.inputs,
             facts.following)  # fmt: skip
    return sha256(repr(known).encode()).hexdigest()[:16]


@lru_cache(maxsize=16)
def _warn(reason: str) -> None:
    warnings.warn(
        f"{reason}: NumPy evaluates the model, which is slow; training and fits take a C compiler",
        RuntimeWarning,
        stacklevel=5,
    )

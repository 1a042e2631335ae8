"""The wrapper that the modules of a process share: those in the cache, which are linked without one.

A wrapper takes more memory than the kernels of most models. So a module that only this machine uses holds only what
differs from model to model. When Python imports it, it asks for its definition here (module.h), and the wrapper, which
is loaded with the first of them, makes the module. A module that is written to a folder holds a wrapper, and needs
nothing of nncodegen.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from threading import Lock
from types import ModuleType

from nncodegen.compiler.building.build import SHARED_WRAPPER, shared_wrapper, wrapper_name
from nncodegen.compiler.building.compiler import find_compiler

_LOADED: dict[str, ModuleType] = {}
_LOCK = Lock()


def define(wrapper: str, contents: int) -> object:
    """Return the definition of a module, given the name of its wrapper and the address of what its library holds.

    Python makes the module from it. Raises ImportError for a module that needs another wrapper, BuildError if the
    wrapper is missing and cannot be compiled.
    """
    real = wrapper.partition("_")[0]
    if wrapper != wrapper_name(real):
        raise ImportError("this module was built by another version of nncodegen: build the model again")
    with _LOCK:
        if wrapper not in _LOADED:
            path = str(shared_wrapper(real, find_compiler()))
            loader = importlib.machinery.ExtensionFileLoader(SHARED_WRAPPER, path)
            spec = importlib.machinery.ModuleSpec(SHARED_WRAPPER, loader, origin=path)
            loaded = importlib.util.module_from_spec(spec)  # not known by its name: it is of no use by itself
            loader.exec_module(loaded)
            _LOADED[wrapper] = loaded
    definition: object = _LOADED[wrapper].define(contents)
    return definition

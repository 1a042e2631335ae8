"""Modules of version 0.2 by their old names: they can be imported as before, with a DeprecationWarning, until 0.3.

Their files lie in other folders since. What has been pickled by 0.2, and modules that 0.2 wrote, name them, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

FIRST_WITHOUT = "0.3.0"
"""The version that no longer knows the old names."""

COMPILER = (
    "building", "check", "describe", "emit", "ir", "motion", "naming", "notebook", "passes", "pipeline", "schedule",
    "slow", "trial", "typeset",
)  # fmt: skip
"""Parts of ``nncodegen.compiler`` that were at the top, with the same names."""

MOVED = {name: f"compiler.{name}" for name in COMPILER} | {
    "curve": "curves.fitting",
    "curve_table": "table.curves",
    "exports": "formats.export",
    "exports.c": "formats.c",
    "exports.casadi": "formats.casadi",
    "exports.onnx": "formats.onnx.writing",
    "exports.wasm": "formats.wasm",
    "imports": "formats",
    "imports.onnx": "formats.onnx.reading",
    "imports.torch": "formats.torch.from_torch",
    "module": "runtime.module",
    "network": "estimators.network",
}
"""Where the modules and packages of nncodegen are today, by their old names; what a package holds moved with it."""


FACADES = ("exports", "imports")
"""Old packages whose modules have gone to several places.

Python makes a module an attribute of its package: ``nncodegen.imports.onnx`` would take the place of
``nncodegen.formats.onnx``, were ``nncodegen.imports`` the same package as ``nncodegen.formats``.
"""


def present(name: str) -> str | None:
    """Return the present full name of a module, given its old full name; None for any other name."""
    parts = name.split(".")[1:]
    for length in range(min(len(parts), 2), 0, -1):
        if new := MOVED.get(".".join(parts[:length])):
            return ".".join(["nncodegen", new, *parts[length:]])
    return None


class _Finder:
    """Finds modules by their old names, before Python finds their files and makes second modules of them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that moved, after a warning; None for any other name."""
        new = present(name) if name.startswith("nncodegen.") else None
        if new is None:
            return None
        what = f"the module {name} is {new} now: nncodegen {FIRST_WITHOUT} will no longer know the old name"
        warnings.warn(what, DeprecationWarning, stacklevel=2)
        is_facade = name.partition(".")[2] in FACADES
        return ModuleSpec(name, _Loader(new, is_facade), is_package=is_facade)  # type: ignore[arg-type]


class _Loader:
    """Gives the present module in place of one with the old name."""

    def __init__(self, name: str, is_facade: bool) -> None:
        self.name, self.is_facade = name, is_facade
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the present module, whose spec Python replaces; or a module that has the attributes of that."""
        module = import_module(self.name)
        if self.is_facade:
            facade = ModuleType(spec.name, module.__doc__)
            facade.__getattr__ = partial(getattr, module)  # type: ignore[method-assign]
            return facade
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the present module its own spec back: it has been executed."""
        if not self.is_facade:
            module.__spec__ = self.spec


def install() -> None:
    """Let Python find the modules by their old names."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())

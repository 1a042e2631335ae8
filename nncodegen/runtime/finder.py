"""Imports a package whose files are texts in memory: the Python part of a compiled module, which no file holds.

A compiled module executes this text, where its process has no package of the same version yet. It needs only the
standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType


class Finder:
    """Finds the modules of one package, and loads them. Tracebacks show their lines, which ``get_source`` gives."""

    def __init__(self, package: str, texts: Mapping[str, str]) -> None:
        self.package = package
        self.texts = texts

    def _file(self, name: str) -> str:
        return f"{name.removeprefix(self.package).removeprefix('.') or '__init__'}.py"

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of a name, if it is one of the package."""
        if name != self.package and not name.startswith(f"{self.package}."):
            return None
        file = self._file(name)
        if file not in self.texts:
            return None
        origin = f"{self.package}/{file}"
        return ModuleSpec(name, self, origin=origin, is_package=name == self.package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Leaves it to Python to create a module."""

    def exec_module(self, module: ModuleType) -> None:
        """Executes the text of a module."""
        module.__file__ = f"{self.package}/{self._file(module.__name__)}"
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The text of a module, compiled."""
        file = f"{self.package}/{self._file(name)}"
        code: CodeType = compile(self.get_source(name), file, "exec", dont_inherit=True)
        return code

    def get_source(self, name: str) -> str:
        """The text of a module."""
        return self.texts[self._file(name)]


def install(package: str, texts: Mapping[str, str]) -> None:
    """Makes a package known, so that it can be imported; texts are its files by name."""
    if not any(isinstance(finder, Finder) and finder.package == package for finder in sys.meta_path):
        sys.meta_path.append(Finder(package, texts))

"""An importer for a package whose files are texts in memory: the Python part of a compiled module, which is no file.

A compiled module executes this text if its process has no package of the same version yet. It needs only the standard
library.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType


class Finder:
    """The finder and loader of the modules of one package. ``get_source`` returns their lines, for tracebacks."""

    def __init__(self, package: str, texts: Mapping[str, str]) -> None:
        self.package = package
        self.texts = texts

    def _file(self, name: str) -> str:
        """Return the path of the file of a module or a package; "" if there is none."""
        path = name.removeprefix(self.package).removeprefix(".").replace(".", "/")
        files = (f"{path}.py", f"{path}/__init__.py" if path else "__init__.py")
        return next((file for file in files if file in self.texts), "")

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the package, or None for any other name."""
        if name != self.package and not name.startswith(f"{self.package}."):
            return None
        file = self._file(name)
        if not file:
            return None
        origin, is_package = f"{self.package}/{file}", file.endswith("__init__.py")
        return ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None: Python creates the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the text of a module."""
        module.__file__ = f"{self.package}/{self._file(module.__name__)}"
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """Compile the text of a module."""
        file = f"{self.package}/{self._file(name)}"
        code: CodeType = compile(self.get_source(name), file, "exec", dont_inherit=True)
        return code

    def get_source(self, name: str) -> str:
        """Return the text of a module."""
        return self.texts[self._file(name)]


def install(package: str, texts: Mapping[str, str]) -> None:
    """Register a package so that it can be imported; ``texts`` maps the paths of its files to their contents."""
    if not any(isinstance(finder, Finder) and finder.package == package for finder in sys.meta_path):
        sys.meta_path.append(Finder(package, texts))

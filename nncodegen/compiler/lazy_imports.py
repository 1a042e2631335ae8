"""Names of a package that are imported when they are first used, so that a program waits only for what it uses."""

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from nncodegen.compiler.without_gc import without_collector


def homes_of(names: Mapping[str, str]) -> dict[str, str]:
    """Return the module that gives each name, from a text of names for each module."""
    return {name: module for module, text in names.items() for name in text.split()}


def imported_on_use(
    package: str, homes: Mapping[str, str], public: Collection[str], called: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package whose names are imported on first use.

    homes has the module of the package that gives each name; called has the names that differ in that module. The
    modules of the package are imported on first use as well. The names in public are those that ``dir`` lists, beside
    those that the package has already.
    """
    others = called or {}

    def find(name: str) -> Any:
        """Return a name of the package, or one of its modules, which is imported now."""
        if name in homes:
            with without_collector():
                home = import_module(f"{package}.{homes[name]}")
            value = getattr(home, others.get(name, name))
            setattr(sys.modules[package], name, value)
            return value
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        """Return the names that the package has, those that were not used yet among them."""
        return sorted({*vars(sys.modules[package]), *public})

    return find, names

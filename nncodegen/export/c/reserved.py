"""Names that an export as C must not have, since they mean something to C or to CMake."""

from __future__ import annotations

from collections.abc import Iterable

from nncodegen.errors import ModelError

HEADERS = (
    "alloca", "assert", "complex", "ctype", "features", "fenv", "float", "inttypes", "limits", "locale", "malloc",
    "math", "memory", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio",
    "stdlib", "stdnoreturn", "string", "strings", "tgmath", "threads", "time", "uchar", "unistd", "wchar", "wctype",
)  # fmt: skip
"""Headers of C libraries, each without its ending: with -I, the model's own would take the place of one."""

TARGETS = ("all", "c", "clean", "edit_cache", "help", "install", "m", "package", "preinstall", "test")
"""Targets of CMake, and libraries that are linked by such a name."""


def check_name(name: str) -> None:
    """Raises ModelError if files, functions and a library cannot have a name."""
    if name.lower() in (*HEADERS, *TARGETS):
        what = "header of the C library" if name.lower() in HEADERS else "target or library of C programs"
        raise ModelError(f"C cannot have a model called {name}, which is a {what}: give another name (--name, name=)")


def check_rules(names: Iterable[str], taken: Iterable[str]) -> None:
    """Raises ModelError if the function of an optimizer would have the name of another one."""
    taken = set(taken)
    for name in names:
        if name in taken:
            raise ModelError(f"the optimizer {name} has the name of another function in C: rename it")

"""The compiler, as the runtime sees it: it compiles what a module lacks, stands above, and makes itself known here.

A module travels without the compiler. In a process that has not imported it, it is looked for among what is installed,
as an entry point (pyproject.toml): no file of the runtime names a file of the compiler.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Protocol

GROUP, NAME = "nncodegen", "builder"
"""The group and the name of the entry point of the compiler."""


class Builder(Protocol):
    """The functions that the runtime asks of the compiler: ``nncodegen/compiler/building/parts.py`` has them."""

    def address_of(self, file: str, part: str) -> int:
        """Return the address of the table of the functions of a part; 0 if the module has no such part."""

    def check(self, file: str, part: str) -> None:
        """Check a part that has been compiled. Raises CheckError if it is wrong."""

    def module_with_errors(self, identity: str, precision: str, bits: str) -> Any | None:
        """Return the module that fits a model with errors in its inputs; None where it is not known."""

    def load_again(self, path: str) -> Any | None:
        """Import a compiled module that another process has built; None if it is not there undamaged."""


_known: list[Builder] = []
"""The compiler, once it is known."""


def make_known(builder: Builder) -> None:
    """Let modules ask this compiler from now on."""
    _known[:] = [builder]


def find_builder() -> Builder:
    """Return the compiler. Raises ImportError where none is installed."""
    if not _known:
        for point in entry_points(group=GROUP, name=NAME):
            make_known(point.load())
    if not _known:
        raise ImportError(
            "a module looks for the compiler among what is installed, and nncodegen is not, or not as it is now: "
            "python -m pip install nncodegen; in a checkout, python -m pip install -e ."
        )
    return _known[0]

"""The base of all results: each can be printed line by line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ground.names_elsewhere import RESULTS, no_attribute


class Shown:
    """The base class of results."""

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker would believe that there is every attribute

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, for an attribute that other libraries have with what is meant by it here."""
            if name in RESULTS:
                raise no_attribute(f"a {type(self).__name__}", name, f"see {RESULTS[name]}")
            return object.__getattribute__(self, name)  # raises what a property has raised, too

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the result as a table, as ``print(result)`` does.

        Each line is passed to ``print_fn``, by default ``print``; ``lines.append`` collects the lines.
        """
        for line in str(self).split("\n"):
            (print_fn or print)(line)

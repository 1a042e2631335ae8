"""The base of all results: each can be printed line by line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Shown:
    """The base class of results."""

    __slots__ = ()

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the result as a table, as ``print(result)`` does.

        Each line is passed to ``print_fn``, by default ``print``; ``lines.append`` collects the lines.
        """
        for line in str(self).split("\n"):
            (print_fn or print)(line)

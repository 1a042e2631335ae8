"""Names that nothing has yet."""

from __future__ import annotations

from collections.abc import Container
from itertools import count


def unused(name: str, taken: Container[str], mark: str = "_") -> str:
    """Return the name, with a mark appended as often as it is taken."""
    while name in taken:
        name += mark
    return name


def take(name: str, taken: set[str]) -> str:
    """Return the name, with underscores appended while it is taken; from now on the result is taken."""
    name = unused(name, taken)
    taken.add(name)
    return name


def numbered(name: str, taken: set[str], first: str | None = None) -> str:
    """Return the name, with a number, from 2 on, if it is taken; from now on the result is taken.

    ``first`` is what is returned in place of the name without a number.
    """
    free_name = name if first is None else first
    if free_name in taken:
        free_name = next(candidate for number in count(2) if (candidate := f"{name}_{number}") not in taken)
    taken.add(free_name)
    return free_name

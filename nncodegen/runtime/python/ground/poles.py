"""The warning about poles: a denominator of the formula changes its sign among the data."""

from __future__ import annotations

from collections.abc import Sequence

from .warn import warn


def told(poles: Sequence[str]) -> str:
    """Return a sentence about denominators that change their signs among the data."""
    several = len(poles) > 1
    return (
        f"{', '.join(poles)} {'change their signs' if several else 'changes its sign'} among the data: choose another "
        f"start, or bounds"
    )


def warn_of_poles(name: str, poles: Sequence[str]) -> None:
    """Warn that the fit of a model ended with poles among the data."""
    warn(f"the fit of {name} ended at a pole: {told(poles)}", RuntimeWarning)

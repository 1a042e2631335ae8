"""Poles among the data: what is said where a denominator of the formula changes its sign there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence


def told(poles: Sequence[str]) -> str:
    """A sentence about denominators that change their signs among the data."""
    several = len(poles) > 1
    return (
        f"{', '.join(poles)} {'change their signs' if several else 'changes its sign'} among the data: choose another "
        f"start, or bounds"
    )


def warn(name: str, poles: Sequence[str], stacklevel: int) -> None:
    """Warns of poles among the data of a fit of a model."""
    warnings.warn(f"the fit of {name} ended at a pole: {told(poles)}", RuntimeWarning, stacklevel + 1)

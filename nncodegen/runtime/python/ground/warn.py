"""Warnings about what users wrote: they name the line of the user, however many calls of the package lie between."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

BETWEEN = ("nncodegen", "contextlib", "importlib", "sklearn")
"""Packages whose calls lie between: the compiler, and what wraps its functions or imports its modules."""

RUNTIME = "_nncodegen_"
"""The beginning of the name of this package where a module brings it."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn about the first calling line that is outside of the package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        str(frame.f_globals.get("__name__")),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _is_between(frame: FrameType) -> bool:
    """Return whether a frame is that of a call within the package."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in BETWEEN or package.startswith(RUNTIME)

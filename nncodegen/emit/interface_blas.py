"""SciPy's BLAS in a module with large layers: looked for when the module is imported, and called if it can be trusted.

The bits of a result do not depend on the threads of a call, and a call on one thread uses one. Where there is no such
BLAS, the module computes the same by itself; ``blas`` says what it does, and why.
"""

import warnings
from typing import Any

_BLAS_ASKED: bool
_scipy_blas: Any
_use_blas: Any


def _find_blas() -> tuple[bool, str]:
    """Leaves products to the BLAS of SciPy. Returns whether it is fit for them, and what it is or lacks."""
    routine, what = _scipy_blas()
    if routine is not None:
        _use_blas(routine)
    return routine is not None, what


def _told_blas(found: bool, what: str) -> str:
    """What ``blas`` says; a warning where BLAS was asked for and is not there."""
    if found:
        return what
    if _BLAS_ASKED:
        warnings.warn(
            f"schedule asks for BLAS, but {what}: the module computes the same by itself, large layers more slowly",
            RuntimeWarning,
            stacklevel=2,
        )
    return f"not called: {what}"


blas = _told_blas(*_find_blas())

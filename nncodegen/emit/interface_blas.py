"""SciPy's BLAS in a module with large layers: found when the module is imported, and called if it can be trusted.

It must be the OpenBLAS of SciPy, whose integers have 32 bits and whose threads can be told not to be: the bits of a
result do not depend on the threads of a call, and a call on one thread uses one. Whatever else there is, and where
there is none, the module computes the same by itself; ``blas`` says what it does, and why.
"""

import importlib
import warnings
from typing import Any

precision: str
_BLAS_ASKED: bool
_blas_counter: Any
_signature: Any
_use_blas: Any

_ROUTINE = {"float64": "dgemm", "float32": "sgemm"}[precision]
_COUNTER = "_nncodegen_calls"  # of the calls under way in all modules; it is kept where the library is
_PREFIXES = ("scipy_openblas_", "openblas_")  # of SciPy's own wheels, and of others


def _find_blas() -> tuple[bool, str]:
    """Leaves products to the BLAS of SciPy. Returns whether it is fit for them, and what it is or lacks."""
    try:
        scipy = importlib.import_module("scipy")
        library, ctypes = (importlib.import_module(name) for name in ("scipy.linalg.cython_blas", "ctypes"))
        routine = library.__pyx_capi__[_ROUTINE]
    except Exception as error:  # a broken SciPy must not break this module
        if isinstance(error, ModuleNotFoundError) and error.name == "scipy":
            return False, "SciPy is not installed (python3 -m pip install scipy)"
        return False, f"the BLAS of SciPy cannot be imported ({type(error).__name__}: {error})"
    if not _signature(routine).startswith("void (char *, char *, int *, int *, int *, "):
        return False, f"the {_ROUTINE} of SciPy {scipy.__version__} takes other integers than those of 32 bits"
    functions = ctypes.CDLL(library.__file__)  # where a name is looked for in the libraries behind it, too
    for prefix in _PREFIXES:
        if hasattr(functions, f"{prefix}set_num_threads") and hasattr(functions, f"{prefix}get_parallel"):
            break
    else:
        return False, f"the BLAS of SciPy {scipy.__version__} is not OpenBLAS, whose threads can be held to one"
    if functions[f"{prefix}get_parallel"]() == 2:
        return False, f"the OpenBLAS of SciPy {scipy.__version__} has threads of OpenMP, which cannot be held to one"
    if not hasattr(library, _COUNTER):
        setattr(library, _COUNTER, _blas_counter())
    told, telling = (functions[f"{prefix}{name}_num_threads"] for name in ("get", "set"))
    addresses = (ctypes.cast(function, ctypes.c_void_p).value for function in (told, telling))
    _use_blas(routine, getattr(library, _COUNTER), *addresses)
    return True, f"{_ROUTINE} of SciPy {scipy.__version__}"


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

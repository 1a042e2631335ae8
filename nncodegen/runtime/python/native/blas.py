"""The use of SciPy's BLAS, if it is suitable: OpenBLAS with 32-bit integers and threads that can be limited to one.

A module with large layers looks for it when it is imported, and uses it for their products. The bits of a result do
not depend on the threads of a call, and a call on one thread uses one. Without such a BLAS, the module computes the
products itself; its attribute ``blas`` says which of the two it does, and why.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..ground.warn import warn

if TYPE_CHECKING:
    from .model import Model

COUNTER = "_nncodegen_calls"
"""The attribute of SciPy's library module that holds the counter of running calls, shared by all modules."""

PREFIXES = ("scipy_openblas_", "openblas_")
"""The prefixes of OpenBLAS function names: in SciPy's wheels, and elsewhere."""


def know_blas(model: Model) -> tuple[Any, str]:
    """Find the BLAS and set it up. Returns its routine for products and its name, or None and the reason."""
    name = {"float64": "dgemm", "float32": "sgemm"}[model.precision]
    try:
        scipy = importlib.import_module("scipy")
        library, ctypes = (importlib.import_module(name) for name in ("scipy.linalg.cython_blas", "ctypes"))
        routine = library.__pyx_capi__[name]
    except Exception as error:  # a broken SciPy must not break this module
        if isinstance(error, ModuleNotFoundError) and error.name == "scipy":
            return None, "SciPy is not installed (python3 -m pip install scipy)"
        return None, f"the BLAS of SciPy cannot be imported ({type(error).__name__}: {error})"
    if not model.native.signature(routine).startswith("void (char *, char *, int *, int *, int *, "):
        return None, f"the {name} of SciPy {scipy.__version__} takes other integers than those of 32 bits"
    functions = ctypes.CDLL(library.__file__)  # looks for names in the libraries that this one links, too
    for prefix in PREFIXES:
        if hasattr(functions, f"{prefix}set_num_threads") and hasattr(functions, f"{prefix}get_parallel"):
            break
    else:
        return None, f"the BLAS of SciPy {scipy.__version__} is not OpenBLAS, whose threads can be held to one"
    if functions[f"{prefix}get_parallel"]() == 2:
        return None, f"the OpenBLAS of SciPy {scipy.__version__} has threads of OpenMP, which cannot be held to one"
    if not hasattr(library, COUNTER):
        setattr(library, COUNTER, model.native.blas_counter())
    getter, setter = (functions[f"{prefix}{name}_num_threads"] for name in ("get", "set"))
    addresses = (ctypes.cast(function, ctypes.c_void_p).value for function in (getter, setter))
    model.native.know_blas(getattr(library, COUNTER), *addresses)
    return routine, f"{name} of SciPy {scipy.__version__}"


def use_blas(model: Model) -> str:
    """Use SciPy's BLAS for products, if it is suitable. Returns the text of the attribute ``blas``."""
    routine, what = know_blas(model)
    if routine is not None:
        model.native.use_blas(routine)
        return what
    if model.facts.blas:
        warn(
            f"the choices ask for BLAS, but {what}: the module computes the same by itself, large layers more slowly",
            RuntimeWarning,
        )
    return f"not called: {what}"

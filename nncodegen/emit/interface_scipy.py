"""SciPy's BLAS, if it can be trusted: OpenBLAS, whose integers have 32 bits and whose threads can be held to one."""

import importlib
from typing import Any

precision: str
_blas_counter: Any
_know_blas: Any
_signature: Any

_ROUTINE = {"float64": "dgemm", "float32": "sgemm"}[precision]
_COUNTER = "_nncodegen_calls"  # of the calls under way in all modules; it is kept where the library is
_PREFIXES = ("scipy_openblas_", "openblas_")  # of SciPy's own wheels, and of others


def _scipy_blas() -> tuple[Any, str]:
    """The routine for products, of a BLAS that is known from now on, and what it is; or None, and what is lacking."""
    try:
        scipy = importlib.import_module("scipy")
        library, ctypes = (importlib.import_module(name) for name in ("scipy.linalg.cython_blas", "ctypes"))
        routine = library.__pyx_capi__[_ROUTINE]
    except Exception as error:  # a broken SciPy must not break this module
        if isinstance(error, ModuleNotFoundError) and error.name == "scipy":
            return None, "SciPy is not installed (python3 -m pip install scipy)"
        return None, f"the BLAS of SciPy cannot be imported ({type(error).__name__}: {error})"
    if not _signature(routine).startswith("void (char *, char *, int *, int *, int *, "):
        return None, f"the {_ROUTINE} of SciPy {scipy.__version__} takes other integers than those of 32 bits"
    functions = ctypes.CDLL(library.__file__)  # where a name is looked for in the libraries behind it, too
    for prefix in _PREFIXES:
        if hasattr(functions, f"{prefix}set_num_threads") and hasattr(functions, f"{prefix}get_parallel"):
            break
    else:
        return None, f"the BLAS of SciPy {scipy.__version__} is not OpenBLAS, whose threads can be held to one"
    if functions[f"{prefix}get_parallel"]() == 2:
        return None, f"the OpenBLAS of SciPy {scipy.__version__} has threads of OpenMP, which cannot be held to one"
    if not hasattr(library, _COUNTER):
        setattr(library, _COUNTER, _blas_counter())
    told, telling = (functions[f"{prefix}{name}_num_threads"] for name in ("get", "set"))
    addresses = (ctypes.cast(function, ctypes.c_void_p).value for function in (told, telling))
    _know_blas(getattr(library, _COUNTER), *addresses)
    return routine, f"{_ROUTINE} of SciPy {scipy.__version__}"

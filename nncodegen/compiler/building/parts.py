"""Parts of a module in the cache that are compiled on first use, each into a library of its own.

Most formulas are only fitted, and most networks only trained: all other functions of a module together take longer to
compile than these. So a module that only this machine uses is linked without its companions. Its wrapper asks for a
part when one of its functions is called (``need`` in native.pyx); then its C is written and compiled, and kept beside
the module. A module that is written to a folder has all of its parts.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from nncodegen.compiler.building.build import compile_part, load_again
from nncodegen.compiler.building.compiler import Compiler, find_compiler
from nncodegen.compiler.emit import Sources
from nncodegen.errors import CheckError
from nncodegen.runtime.python.native import builder

__all__ = ["address_of", "check", "load_again", "module_with_errors", "offer", "offer_errors"]

_OFFERED: dict[Path, tuple[Callable[[bool], Sources], Compiler]] = {}
"""For the modules of this process: functions that return the sources of the model with all parts, or with those of fits
alone, and compilers."""
_TO_CHECK: dict[Path, Callable[[str], None]] = {}
"""For the modules of this process: functions that check a part, and raise CheckError if it is wrong."""
_NEW: dict[tuple[Path, str], Path] = {}
"""The libraries of parts that this process has compiled and not checked yet."""
_WITH_ERRORS: dict[tuple[str, str, str], Callable[[], Any]] = {}
"""For the models of this process: functions that return the module that fits each with errors in its inputs.

The keys are what tells models apart, wherever their modules were built: identity, precision and bits.
"""
_LOADED: dict[Path, ctypes.CDLL] = {}
_LOCK = Lock()


def offer(module: Path, write: Callable[[bool], Sources], check: Callable[[str], None] | None = None) -> None:
    """Remember how the sources of a module's parts are written, for the first time that one of them is needed.

    ``write`` returns the sources with all parts, or, given True, with those of fits alone. The compiler is the one in
    use now, which has made the module; ``check`` is called with the name of each part that is compiled then. Raises
    BuildError without a compiler.
    """
    _OFFERED[module] = write, find_compiler()
    if check:
        _TO_CHECK[module] = check


def offer_errors(identity: str, precision: str, bits: str, make: Callable[[], Any]) -> None:
    """Remember how the module is made that fits a model with errors in its inputs (``Model.with_errors``)."""
    _WITH_ERRORS[identity, precision, bits] = make


def module_with_errors(identity: str, precision: str, bits: str) -> Any | None:
    """Return the module that fits a model with errors in its inputs; None if this process has not built the model."""
    make = _WITH_ERRORS.get((identity, precision, bits))
    return make() if make else None


def address_of(file: str, part: str) -> int:
    """Return the address of the table of the functions of a part of a module; 0 if the module has no such part.

    Raises BuildError if the part cannot be compiled.
    """
    module = Path(file)
    with _LOCK:
        write, compiler = _OFFERED.get(module, (None, None))
        path, is_new = compile_part(module, part, compiler or find_compiler(), write)
        if path is None:
            return 0
        if is_new:
            _NEW[module, part] = path
        if path not in _LOADED:
            _LOADED[path] = ctypes.CDLL(str(path))
        return ctypes.addressof(ctypes.c_char.in_dll(_LOADED[path], "nncodegen_part"))


def check(file: str, part: str) -> None:
    """Check a part that this process has compiled, when its module can call it. Raises CheckError if it is wrong.

    Such a part is not kept. It stays unchecked in this process, so that each further call is refused as well.
    """
    if path := _NEW.pop((Path(file), part), None):
        try:
            if known := _TO_CHECK.get(Path(file)):
                known(part)
        except CheckError:
            path.unlink(missing_ok=True)
            _NEW[Path(file), part] = path
            raise


builder.make_known(sys.modules[__name__])

"""Parts of a compiled module that are compiled when they are first needed: fits, many models, the Hessian, fields.

Only modules that ``nncodegen.build`` has put into its cache have such parts; a module that is written to a folder is
whole. So this file may ask for nncodegen.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ..ground.missing import MissingDependencyError


def with_errors(module: str, name: str) -> Any:
    """Return the module that fits the model of a module, given by its name, with errors in its inputs.

    Raises ValueError where the formula of the model, from which that is made, is not known in this process.
    """
    try:
        compiler = import_module("nncodegen.building.parts")
    except ImportError:
        compiler = None
    found = None if compiler is None else compiler.module_with_errors(str(sys.modules[module].__file__))
    if found is None:
        raise ValueError(
            f"sigma_x needs the formula of {name}, from which a second module is made: build the model in this "
            f"process, nncodegen.build(model), or use nncodegen.curve_fit"
        )
    return found


def address_of_part(file: str, part: str) -> int:
    """Return the address of the table of the functions of a part, given the file of the module; 0 if it has none.

    The part is compiled if it has not been yet. Raises BuildError if that fails, MissingDependencyError without
    nncodegen.
    """
    try:  # by its name: the runtime stands below the compiler, and travels without it
        compiler = import_module("nncodegen.building.parts")
    except ImportError as error:
        raise MissingDependencyError(
            f"the part {part!r} of {file} is compiled when it is first needed, and the package nncodegen, which does "
            f"that, cannot be imported here: {error}; a module that nncodegen.build(model, out=FOLDER) writes is whole"
        ) from error
    address: int = compiler.address_of(file, part)
    return address

"""The objects that can be exported: models, and objects that hold a model, such as a fitted estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nncodegen.compiler.describe import PRECISIONS, Describable, describe
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.program import NATIVE
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.archives import read_parameters


@dataclass(frozen=True)
class Exportable:
    """A model with its precision, its trained parameters (P,) or None, and the meaning of its inputs and outputs.

    An object of any class can be exported if it has a method ``exportable()`` that returns an Exportable. ``inputs``
    and ``outputs`` have a text for each column; they are empty where the names in the model say enough.
    """

    model: Describable
    precision: str = "float64"
    parameters: Any = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    bits: str = NATIVE
    """With "portable", results have the same bits everywhere, as far as a destination can promise that."""


def exportable(subject: Any, precision: str | None, parameters: Any, use: str = "exported") -> Exportable:
    """Return the Exportable of an object. Raises ModelError, which says that the object cannot be of this ``use``.

    ``precision`` and ``parameters`` override those of the object. Parameters are an array (P,), a mapping from names to
    arrays, a Result or a FitResult, or the path of an .npz archive with any of these.
    """
    if isinstance(subject, Describable):
        exportable = Exportable(subject)
    elif hasattr(subject, "exportable"):
        exportable = subject.exportable()
    else:
        raise ModelError(
            f"a {type(subject).__name__} cannot be {use}: give a nncodegen.Model, a nncodegen.Sequential, a fitted "
            f"estimator or a trained model of a table"
        )
    if precision is not None and precision not in PRECISIONS:
        raise ModelError(f"there is no precision {precision!r}; there are: {', '.join(PRECISIONS)}")
    exportable = replace(exportable, precision=precision or exportable.precision)
    chosen = exportable.parameters if parameters is None else parameters
    program = describe(exportable.model, exportable.precision)
    if chosen is None and not program.parameters:
        chosen = ()  # no parameters are missing
    return exportable if chosen is None else replace(exportable, parameters=parameters_of(chosen, program))


def parameters_of(parameters: Any, program: Program) -> Any:
    """Return parameters as one array (P,) in the precision of a program. Raises ModelError."""
    if isinstance(parameters, str | PathLike):
        parameters = _read(Path(parameters), program)
    elif hasattr(parameters, "parameters") and not isinstance(parameters, Mapping):
        parameters = parameters.parameters
    if isinstance(parameters, Mapping):
        parameters = _joined(parameters, program)
    try:
        array = np.array(parameters, program.precision)
    except (TypeError, ValueError) as error:
        raise ModelError(f"parameters must be numbers, a Result, or a file of them: {error}") from error
    if array.shape != (program.parameter_count,):
        raise ModelError(
            f"the parameters have the shape {array.shape}; {program.name} has {program.parameter_count}: give an array "
            f"of the shape ({program.parameter_count},)"
        )
    if not np.isfinite(array).all():
        raise ModelError("a parameter is not finite: export what has been trained without a divergence")
    return array


def _joined(arrays: Mapping[str, Any], program: Program) -> Any:
    """Return the arrays of all parameters, concatenated in the order of the program. Raises ModelError."""
    needed = {tensor.name: tensor.shape for tensor in program.parameters}
    wrong = sorted(map(str, arrays.keys() ^ needed.keys()))
    if wrong:
        raise ModelError(
            f"the parameters are not those of {program.name}: {', '.join(wrong[:5])} is given or needed, and not both; "
            f"its parameters are: {', '.join(needed)}"
        )
    parts = []
    for name, shape in needed.items():
        part = np.asarray(arrays[name])
        if part.shape != shape:
            raise ModelError(f"the parameter {name} has the shape {part.shape}; expected {shape}")
        parts.append(part.ravel())
    return np.concatenate(parts)


def _read(path: Path, program: Program) -> Any:
    """Return the parameters in an .npz archive: of a Result, one array, or one array each. Raises ModelError."""
    shapes = {tensor.name: tuple(size or 0 for size in tensor.shape) for tensor in program.parameters}
    try:
        return read_parameters(path, shapes)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"{path} {error}") from error

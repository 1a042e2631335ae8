"""The user's arguments of a report after the model: a result, or parameters, and data; from Python or from files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Program, Tensor
from nncodegen.errors import ModelError
from nncodegen.formats.export.subject import parameters_of
from nncodegen.runtime.python.arguments.labels import rows_of, rows_of_steps
from nncodegen.runtime.python.arguments.tables import Columns, Found, find, has_names
from nncodegen.runtime.python.ground.archives import NUMBERS, members_of, read_member, shape_of
from nncodegen.runtime.python.ground.cells import is_number
from nncodegen.runtime.python.ground.facts import columns

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GivenData:
    """Samples: X of the shape (N, inputs), Y (N, targets), or None where only inputs are known."""

    X: Array
    Y: Array | None

    @property
    def samples(self) -> int:
        """Return the number of samples."""
        return len(self.X)


def data_of(data: Any, program: Program) -> GivenData | None:
    """Return data as arrays: from (X, Y), from X alone, or from the path of a table. Raises ModelError."""
    if data is None:
        return None
    if isinstance(data, str | PathLike):
        X, Y = _read(Path(data), program)
    elif isinstance(data, tuple) and len(data) == 2:
        X, Y = data
    else:
        X, Y = data, None
    labelled = tuple(tensor.name for tensor in program.targets) if program.task.labels else program.task.label_targets
    X, Y = _joined(X, program.inputs, program), _joined(Y, program.targets, program, labelled)
    inputs, targets = _width(program.inputs), _width(program.targets)
    rows = None if X is None or not inputs else _matrix(X, inputs, "inputs", program)
    wanted = None if Y is None or not targets else _targets(Y, targets, program)
    if rows is None:
        rows = np.empty((0 if wanted is None else len(wanted), 0))
    if wanted is not None and len(wanted) != len(rows):
        raise ModelError(f"the data have {len(rows)} rows of inputs and {len(wanted)} of targets")
    return GivenData(rows, wanted)


def parameters_in(result: Any, program: Program) -> Array | None:
    """Return the parameters of a result, of a file, or of an array, in the order of the program; None without any."""
    return None if result is None else np.asarray(parameters_of(result, program), float)


def column_names(tensors: Any) -> list[str]:
    """Return a name for each column of some tensors: x, or x0, x1, ... for several columns."""
    return [tensor.name if tensor.size == 1 else f"{tensor.name}{k}" for tensor in tensors for k in range(tensor.size)]


def _joined(table: Any, tensors: tuple[Tensor, ...], program: Program, labelled: tuple[str, ...] = ()) -> Any:
    """Return a mapping or a table as one matrix; flatten the rows of other arrays; return the rest unchanged.

    Tensors are found by their names, those of ``labelled`` also as one column of classes.
    """
    if has_names(table):
        try:
            columns_by_name = find("the table", table, _sizes(tensors), (), labelled)
        except ValueError as error:
            raise ModelError(str(error)) from error
        if not isinstance(columns_by_name, Found):
            return columns_by_name
        if len(tensors) == 1:
            return _joined(next(iter(columns_by_name.parts.values())), tensors, program)
        try:
            arrays = [np.asarray(part, float) for part in columns_by_name.parts.values()]
            parts = [_with_classes(*pair, program) for pair in zip(arrays, tensors, strict=True)]
            return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        except (TypeError, ValueError) as error:
            raise ModelError(f"the arrays of the data do not fit together: {error}") from error
    return table.reshape(len(table), -1) if isinstance(table, np.ndarray) and table.ndim > 2 else table


def _width(tensors: Any) -> int:
    return sum(tensor.size for tensor in tensors)


def _matrix(rows: Any, width: int, what: str, program: Program) -> Array:
    """Return rows of ``width`` numbers each. Raises ModelError."""
    if hasattr(rows, "toarray"):  # sparse
        rows = rows.toarray()
    try:
        array = np.asarray(rows, float)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the {what} of the data must be numbers: {error}") from error
    if array.ndim == 1:
        array = array[:, None] if width == 1 else array[None]
    if array.ndim != 2 or array.shape[1] != width:
        raise ModelError(f"the {what} of the data have the shape {array.shape}; {program.name} takes (N, {width})")
    return array


def _targets(labels_or_rows: Any, width: int, program: Program) -> Array:
    """Return targets as rows; class indices become one-hot rows, also those of each step of a sequence."""
    array = np.asarray(labels_or_rows)
    array = _with_classes(array, program.targets[0], program) if len(program.targets) == 1 else array
    labels = program.task.labels and (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1 != width))
    if not labels:
        return _matrix(array, width, "targets", program)
    numbers = _matrix(array.ravel(), 1, "targets", program)[:, 0]
    if not np.isin(numbers, np.arange(width)).all():
        raise ModelError(f"the targets of the data must be classes, the numbers from 0 to {width - 1}")
    rows: Array = np.eye(width)[numbers.astype(int)]
    return rows


def _with_classes(array: Any, tensor: Tensor, program: Program) -> Any:
    """Return the labels of a target as rows with a 1 at the class, as ``train`` takes them; other targets unchanged."""
    if tensor.name not in program.task.label_targets or not array.ndim or array.dtype.kind not in "biuf":
        return array
    steps, classes = tensor.shape[1:-1], tensor.shape[-1] or 0
    if math.prod(array.shape[1:]) != _labels_of(tensor):
        return array
    expected = f"expected labels 0 to {classes - 1}"
    try:
        if not steps:
            return rows_of(tensor.name, array.reshape(-1), classes, float, expected)
        expected += ", or -1 for a step without a target"
        return rows_of_steps(tensor.name, array.reshape(len(array), -1), classes, float, expected).reshape(
            len(array), -1
        )
    except ValueError as error:
        raise ModelError(f"the targets of the data: {error}") from error


def _labels_of(tensor: Tensor) -> int:
    """Return the number of labels of a sample for a target of classes: one for each step of a sequence."""
    return math.prod(size or 0 for size in tensor.shape[1:-1])


def _read(path: Path, program: Program) -> tuple[Any, Any]:
    """Return X and Y of a file: an .npz archive with X and Y, or a table as CSV. Raises ModelError."""
    try:
        if path.suffix == ".npz":
            return _from_archive(path, program)
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _from_table(path, list(csv.reader(file)), program)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged file makes its reader raise any error
        raise ModelError(f"{path} is damaged, or neither CSV nor an .npz archive: {error}") from error


def _from_archive(path: Path, program: Program) -> tuple[Any, Any]:
    """Return X and Y in an archive; neither is read if its header says that it does not fit the model."""
    with path.open("rb") as file, ZipFile(file) as archive:
        members = members_of(archive, file, compressed=True)
        if "X" not in members and "Y" not in members:
            held = ", ".join(list(members)[:5])
            raise ModelError(f"{path} holds {held}, not X and Y: numpy.savez(FILE, X=..., Y=...)")
        arrays: dict[str, Any] = {}
        for name, tensors in (("X", program.inputs), ("Y", program.targets)):
            width = _width(tensors)
            if name in members and width:
                shape = shape_of(archive, members[name])
                labels = name == "Y" and math.prod(shape[1:]) in _target_widths((), program)
                rows = len(shape) > 1 and math.prod(shape[1:]) == width
                if not (rows or labels or shape == (width,) or (len(shape) == 1 == width)):
                    raise ModelError(f"{name} in {path} has the shape {shape}; {program.name} takes (N, {width})")
                arrays[name] = read_member(archive, members[name], shape, NUMBERS)
    return arrays.get("X"), arrays.get("Y")


def _from_table(path: Path, rows: list[list[str]], program: Program) -> tuple[Any, Any]:
    """Return X and Y in the rows of a table. Columns are found by name, else taken in order: inputs, then targets."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    inputs, targets = column_names(program.inputs), column_names(program.targets)
    header = [cell.strip() for cell in rows[0]] if rows and not all(map(is_number, rows[0])) else None
    body = rows[1:] if header else rows
    if not body:
        raise ModelError(f"{path} has no rows of numbers")
    width = len(body[0])
    table = np.empty((len(body), width))
    for number, row in enumerate(body):
        if len(row) != width:
            raise ModelError(f"{path}, row {number + 1} of the data: {len(row)} cells, where the first row has {width}")
        for column, cell in enumerate(row):
            name = header[column] if header and column < len(header) else ""
            table[number, column] = _number(cell, path, number, name)
    if header and (data := _by_names(header, table, program)):
        return data
    input_count = len(inputs)
    if width - input_count in _target_widths(targets, program):
        return table[:, :input_count], table[:, input_count:]
    if width == input_count:
        return table, None
    wanted = " or ".join(str(input_count + more) for more in _target_widths(targets, program))
    raise ModelError(
        f"{path} has {width} columns; {program.name} has {input_count} inputs and {len(targets)} targets: give "
        f"{wanted} columns, inputs first, or name them in the first row"
    )


def _by_names(header: list[str], table: Array, program: Program) -> tuple[Any, Any] | None:
    """Return X and Y, or None for Y, by the names of the columns; None if none is an input. Raises ModelError.

    A value of a tensor of several is named x[0] or x0. Without columns of targets, these are what is left.
    """
    tensors = (*program.inputs, *program.targets)
    usual = dict(zip(column_names(tensors), columns(_sizes(tensors)), strict=True))
    names = [usual.get(name, name) for name in header]
    named_columns = Columns(dict(zip(names, table.T, strict=True)), names)
    inputs, targets = set(columns(_sizes(program.inputs))), columns(_sizes(program.targets))
    if inputs.isdisjoint(names):
        return None
    X = _joined(named_columns, program.inputs, program)
    if not {*targets}.isdisjoint(names):
        return X, _joined(named_columns, program.targets, program)
    rest = [k for k, name in enumerate(names) if name not in inputs]
    return X, table[:, rest] if len(rest) in _target_widths([*targets], program) else None


def _sizes(tensors: Any) -> tuple[tuple[str, int], ...]:
    return tuple((tensor.name, tensor.size) for tensor in tensors)


def _target_widths(targets: Sequence[str], program: Program) -> tuple[int, ...]:
    """Return the numbers of columns that targets may have: one for each, or one for each class index."""
    if program.task.labels:
        return len(targets), 1
    labelled = [tensor for tensor in program.targets if tensor.name in program.task.label_targets]
    return (len(targets), _labels_of(labelled[0])) if len(labelled) == len(program.targets) == 1 else (len(targets),)


def _number(cell: str, path: Path, row: int, column: str) -> float:
    try:
        return float(cell) if cell.strip() else float("nan")
    except ValueError:
        where = f", column {column}" if column else ""
        raise ModelError(f"{path}, row {row + 1} of the data{where}: {cell!r} is no number") from None

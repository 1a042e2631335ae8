"""``python -m NAME`` in the package of a model: a test of its results, and predictions for a table.

It is copied into the package as ``__main__.py``, and needs NumPy alone.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import math
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MODEL: Any = importlib.import_module(__package__) if __name__ == "__main__" else None
"""The package of the model."""


class InputError(ValueError):
    """The error for wrong input: the message says where it is wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 0, 1 for an error or a failed test, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODEL.name}", description=MODEL.__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="without one, a test of the installation")
    predict = commands.add_parser("predict", help="predict for the rows of a CSV file")
    predict.add_argument("data", metavar="DATA.csv", help="a column for each input, named in the first row")
    predict.add_argument("--out", metavar="FILE", help="the CSV file to write (default: the standard output)")
    predict.add_argument("--parameters", metavar="FILE.npz", help="trained parameters (default: those of the package)")
    options = parser.parse_args(arguments)
    try:
        return _test() if options.command is None else _predict(options.data, options.out, options.parameters)
    except (OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        print(f"error: {reason}", file=sys.stderr)
        return 1


# --- the test ----------------------------------------------------------------------------------------------------


def _test() -> int:
    """Compare outputs, loss and gradient with those that were stored when the package was made."""
    file = Path(__file__).with_name("self_test.npz")
    try:
        with np.load(file, allow_pickle=False) as archive:
            stored = dict(archive)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file} is damaged: {error}; install the package again") from error
    X, Y, parameters = stored.get("X"), stored.get("Y"), stored["parameters"]
    loss, gradient = MODEL.loss_and_gradient(parameters, X, Y)
    results = {"outputs": MODEL.predict(parameters, X), "loss": np.asarray(loss), "gradient": gradient}
    limit = 1e-9 if MODEL.precision == "float64" else 1e-3
    failed = False
    for name, values in results.items():
        difference = _difference(np.asarray(values, float), stored[name])
        failed = failed or not difference <= limit
        print(f"{name:<10}{'agree to' if difference <= limit else 'differ by'} {difference:.0e}")
    print(f"{MODEL.name} on this CPU ({MODEL.variant}): {'FAILED' if failed else 'right'}")
    return int(failed)


def _difference(result: Any, stored: Any) -> float:
    """Return the distance of two arrays relative to the norm of the stored one; infinite if NaN or shapes differ."""
    if result.shape != stored.shape or (np.isfinite(result) != np.isfinite(stored)).any():
        return math.inf
    result, stored = (np.where(np.isfinite(stored), values, 0.0) for values in (result, stored))
    return float(np.linalg.norm(result - stored) / max(float(np.linalg.norm(stored)), 1e-300))


# --- predictions -------------------------------------------------------------------------------------------------


def _predict(data: str, out: str | None, file: str | None) -> int:
    parameters = MODEL.parameters if file is None else _parameters(file)
    if parameters is None:
        raise InputError(f"{MODEL.name} was packed without trained parameters: give --parameters FILE.npz")
    X = _read(data)
    try:
        outputs = MODEL.predict(parameters, X)
    except ValueError as error:
        raise InputError(f"{data}: {error}") from error
    plain_cell = _runtime("ground.cells").plain_cell
    labels = [plain_cell(label) for label in MODEL.output_labels]
    rows = [labels, *([repr(float(value)) for value in row] for row in outputs)]
    if out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return 0
    with open(out, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return 0


def _parameters(file: str) -> Any:
    """Return the parameters in an archive: those of a Result, one array, or one for each parameter."""
    try:
        stored = _runtime("ground.archives").read_parameters(file, MODEL.parameter_shapes)
    except ValueError as error:
        raise InputError(f"{file} {error}") from error
    return np.concatenate([part.ravel() for part in stored.values()]) if isinstance(stored, dict) else stored


def _runtime(name: str) -> Any:
    """Return a module of the runtime, which all compiled modules share."""
    return importlib.import_module(f"{MODEL.Result.__module__.removesuffix('.results.result')}.{name}")


def _read(data: str) -> Any:
    """Return the inputs in a CSV file, (N, inputs): by names in its first row, or by position if that has numbers."""
    with open(data, newline="", encoding="utf-8-sig") as stream:
        rows = [(number, row) for number, row in enumerate(csv.reader(stream), 1) if row]
    if not rows:
        raise InputError(f"{data} is empty")
    (_, first), *rest = rows
    named = not all(map(_is_number, first))
    places = _places(data, first) if named else list(range(len(MODEL.input_names)))
    numbers = [_numbers(data, number, row, places, len(first)) for number, row in (rest if named else rows)]
    if not numbers:
        raise InputError(f"{data} has no rows below the names of its columns")
    return np.array(numbers) if places else None


def _places(data: str, header: list[str]) -> list[int]:
    """Return the index of the column of each input."""
    header = [name.strip() for name in header]
    for names in (MODEL.input_labels, MODEL.input_names):
        missing = [name for name in names if name not in header]
        if not missing:
            return [header.index(name) for name in names]
    if len(header) == len(MODEL.input_names) and len(missing) == len(header):
        return list(range(len(header)))  # other names for the same columns
    wanted = [name for name in MODEL.input_labels if name not in header]
    raise InputError(f"{data} has no column {', '.join(wanted[:5])}; it has: {', '.join(header[:20])}")


def _numbers(data: str, number: int, row: list[str], places: list[int], width: int) -> list[float]:
    if len(row) != width or (places and max(places) >= width):
        raise InputError(f"{data}, row {number}: it has {len(row)} values; expected {max(width, len(places))}")
    for place, label in zip(places, MODEL.input_labels, strict=True):
        if not _is_number(row[place]):
            raise InputError(f"{data}, row {number}, column {label}: {row[place]!r} is no number")
    return [float(row[place]) for place in places]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

"""The files of results: .npz archives that are written atomically, and checked member by member when read."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
import zipfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..ground.archives import members_of, read_member

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

FORMAT = "nncodegen result, version 3"
"""The format marker in the file of a training."""

HEAD: dict[str, tuple[tuple[Any, ...], Any]] = {"format": ((), "U"), "identity": ((), "U"), "model": ((2,), "U")}
"""The shapes and types of the arrays with which every file begins."""

FIGURES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "numbers": ((2,), np.float64),
    "names": ((None,), "U"),
    "figures": ((None, None), np.float64),
    "status": ((2,), "U"),
    "best_epoch": ((), np.int64),
}
"""The shapes and types of the arrays of a training result that do not depend on the model."""

RATES: dict[str, tuple[tuple[Any, ...], Any]] = {"learning_rate": ((None,), np.float64)}
"""The shapes and types of the arrays that older files lack."""

WITHOUT_RATES = "nncodegen result, version 2"
"""The format marker of older files, which can be read too: they have no learning rates."""

FIT = "nncodegen fit, version 1"
"""The format marker in the file of a fit."""

MANY = "nncodegen many models, version 1"
"""The format marker in the file of many trainings."""

MANY_FITS = "nncodegen many fits, version 1"
"""The format marker in the file of many fits."""

GROUPED = "nncodegen fit in groups, version 1"
"""The format marker in the file of a fit in groups."""

PROFILES, MANY_PROFILES = "nncodegen profiles, version 1", "nncodegen profiles of many fits, version 1"
"""The format markers in the files of profiles, of a fit and of many fits."""

LABELS: dict[str, Any] = {"labels": "U", "whole_labels": np.int64, "real_labels": np.float64}
"""The arrays that hold the labels of groups: texts, whole numbers and others."""


class OtherFormatError(ValueError):
    """The error for a file whose format is that of another version."""


def head(model: Model, form: str) -> dict[str, Array]:
    """Return the arrays with which every file begins: its format marker, and the model that it belongs to."""
    return {
        "format": np.array(form),
        "identity": np.array(model.facts.identity),
        "model": np.array([model.name, model.precision]),
    }


def write_archive(path: str | os.PathLike[str], arrays: dict[str, Array]) -> None:
    """Write arrays to a file atomically: a reader of that name finds the old content or the new.

    Raises OSError, which names this file.
    """
    path = os.path.abspath(path)
    beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        if error.errno == errno.ENOSPC:
            reason = "the disk is full"
        elif not os.path.isdir(os.path.dirname(path)):
            reason = f"there is no folder {os.path.dirname(path)}"
        raise OSError(error.errno, f"{reason}, and nothing was written", path) from error


def read_arrays(model: Model, file: IO[bytes]) -> dict[str, Array] | str:
    """Return the arrays in a file, or the name of its model if that is another; any error if it is no Result."""
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no archive, or a truncated one")
    with zipfile.ZipFile(file) as archive:
        members = members_of(archive, file)
        version = str(read_member(archive, members["format"], (), "U"))
        if version not in (FORMAT, WITHOUT_RATES, *_FORMS):
            kind = OtherFormatError if version.startswith("nncodegen ") else ValueError
            raise kind(f"its format is {version[:50]!r}, which is none of {', '.join((FORMAT, *_FORMS))}")
        if str(read_member(archive, members["identity"], (), "U")) != model.facts.identity:
            return " in ".join(map(str, read_member(archive, members["model"], (2,), "U")))
        expected = _FORMS.get(version, _forms)(model, set(members))
        unknown = sorted(set(members) - set(expected))
        if unknown:
            raise ValueError(f"it holds {unknown[0][:50]!r}, which no result has")
        return {key: read_member(archive, members[key], *form) for key, form in expected.items()}


def _forms_of_fit(model: Model, there: set[str]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shape and type of each array of the file of a fit; optional ones only if they are in ``there``."""
    count, dtype, targets = model.parameter_count, model.dtype, len(model.target_names)
    parts = HEAD | {
        "parameters": ((count,), dtype),
        "start": ((count,), dtype),
        "free": ((count,), np.bool_),
        "at_bound": ((count,), np.bool_),
        "triangle": ((None, None), np.float64),
        "Y": ((None, targets), dtype),
        "numbers": ((4,), np.float64),
        "counts": ((5,), np.int64),
        "texts": ((2,), "U"),
    }
    optional = {
        "X": ((None, len(model.input_names)), dtype),
        "residuals": ((None, None), np.float64),
        "sigma": ((), dtype),
        "sigmas": ((None,), dtype),
        "sigmas_of_each": ((None, targets), dtype),
        "lower": ((count,), dtype),
        "upper": ((count,), dtype),
        "costs": ((None,), np.float64),
        "poles": ((None,), "U"),
        **_forms_of_inputs(model),
    }
    return parts | {key: form for key, form in optional.items() if key in there}


def _forms_of_inputs(model: Model) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shapes and types of the arrays that tell the errors of inputs."""
    inputs = len(model.input_names)
    return {
        "sigma_x": ((None, inputs), model.dtype),
        "changes": ((None, inputs), np.float64),
        "x_errors": ((None, inputs), np.float64),
    }


def holds_result(file: IO[bytes]) -> bool:
    """Return whether a file has the form of those that a Result or a FitResult writes, of whatever model."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return "format.npy" in archive.namelist()


def _forms_of_many(model: Model, there: set[str]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shape and type of each array of the file of many trainings, as for a fit."""
    parts = HEAD | {
        "parameters": ((None, model.parameter_count), model.dtype),
        "loss": ((None,), np.float64),
        "epochs": ((None,), np.int64),
        "status": ((None,), "U"),
    }
    optional = {"history": ((None, None), np.float64), "rates": ((None,), np.float64)}
    return parts | {key: form for key, form in optional.items() if key in there}


def _forms_of_fits(model: Model, there: set[str]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shape and type of each array of the file of many fits, as for a fit."""
    count, dtype = model.parameter_count, model.dtype
    parts = HEAD | {
        "parameters": ((None, count), dtype),
        "standard_errors": ((None, count), dtype),
        "chi2": ((None,), np.float64),
        "data": ((None,), np.uint64),
        "iterations": ((None,), np.uint64),
        "poles": ((None,), np.bool_),
        "numbers": ((None,), np.uint8),
        "free_count": ((), np.int64),
    }
    return parts | ({"covariance": ((None, count, count), dtype)} if "covariance" in there else {})


def _forms_of_groups(model: Model, there: set[str]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shape and type of each array of the file of a fit in groups, as for a fit."""
    count, dtype, targets = model.parameter_count, model.dtype, len(model.target_names)
    parts = HEAD | {
        "parameters": ((None, count), dtype),
        "start": ((None, count), dtype),
        "triangles": ((None, None, None), np.float64),
        "costs": ((None,), np.float64),
        "signs": ((None, len(model.facts.fitting.guards)), np.int8),
        "own_at_bound": ((None, None), np.bool_),
        "shared_at_bound": ((None,), np.bool_),
        "unfinished": ((None,), np.bool_),
        "history": ((None,), np.float64),
        "order": ((None,), np.int64),
        "numbers_of_groups": ((None,), np.int64),
        "own": ((count,), np.bool_),
        "free": ((count,), np.bool_),
        "Y": ((None, targets), dtype),
        "numbers": ((2,), np.float64),
        "counts": ((5,), np.int64),
        "texts": ((2,), "U"),
    }
    optional = {
        "X": ((None, len(model.input_names)), dtype),
        "sigma": ((), dtype),
        "sigmas": ((None,), dtype),
        "sigmas_of_each": ((None, targets), dtype),
        "lower": ((count,), dtype),
        "upper": ((count,), dtype),
        **{name: ((None,), kind) for name, kind in LABELS.items()},
        **_forms_of_inputs(model),
        "residuals": ((None, targets), np.float64),
        "chi2_of_groups": ((None,), np.float64),
        "used_in_groups": ((None,), np.int64),
        "group": ((), np.int64),
    }
    return parts | {key: form for key, form in optional.items() if key in there}


def _forms_of_profiles(model: Model, there: set[str]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shape and type of each array of the file of profiles, as for a fit."""
    parts = HEAD | {
        "fit": ((None,), np.uint8),
        "level": ((), np.float64),
        "begins": ((None,), np.int64),
        **dict.fromkeys(("u", "z", "values"), ((None,), np.float64)),
        "points": ((None, None), np.float64),
        "intervals": ((None, 2), np.float64),
        "ends": ((None, 2), np.int8),
        "axis": ((None, None), np.float64),
        "scale": ((3, None), np.float64),
    }
    optional = {
        "names": ((None,), "U"),
        "verdicts": ((None, 4), "U"),
        "places": ((None,), np.int64),
        "positions": ((None,), np.int64),
        "quantities": ((None,), "U"),
        "lower": ((None,), np.int64),
    }
    return parts | {key: form for key, form in optional.items() if key in there}


def _forms(model: Model, there: set[str]) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Return the shape and type of each array of a training file; optional ones only if they are in ``there``."""
    count, dtype = model.parameter_count, model.dtype
    parts = HEAD | FIGURES | {"parameters": ((count,), dtype)}
    state = {
        "identity": ((), "U"),
        "optimizer": ((), "U"),
        "variables": ((None,), "U"),
        "monitor": ((), "U"),
        "last": ((count,), dtype),
        "best": ((count,), dtype),
        "state": ((None, count), dtype),
        "counters": ((8,), np.uint64),
        "numbers": ((4,), np.float64),
        "metrics": ((), np.int64),
        "measures": ((model.measures_size,), np.float64),
    }
    beside = RATES | {
        "classes": ((None,), "U"),
        "numbered_classes": ((None,), np.int64),
        "state.plateau": ((4,), np.float64),
        "state.watched": ((), "U"),
    }
    parts |= {key: form for key, form in beside.items() if key in there}
    return parts | (
        {f"state.{key}": form for key, form in state.items()} if any(key.startswith("state.") for key in there) else {}
    )


_FORMS = {
    FIT: _forms_of_fit,
    MANY: _forms_of_many,
    MANY_FITS: _forms_of_fits,
    GROUPED: _forms_of_groups,
    PROFILES: _forms_of_profiles,
    MANY_PROFILES: _forms_of_profiles,
}
"""The functions that return the arrays of a file, by its format marker; those of a training have several."""

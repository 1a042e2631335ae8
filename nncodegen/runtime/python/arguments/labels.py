"""Labels: conversion of class indices to rows with a 1, and of class names (texts or integers) to indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .tables import of_only_target

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


def classes_of(model: Model, classes: Any, Y: Any, resumed: Any = None) -> Array | None:
    """Return the classes that the labels in Y name, in the order of their indices; None if Y holds indices.

    They are the given ones, or those of a resumed Result, or else the different texts in Y, sorted. Raises ValueError
    if their number is not the number of classes of the model.
    """
    Y = of_only_target(model, Y)
    earlier_classes = None if resumed is None else getattr(resumed, "classes", None)
    if classes is None and earlier_classes is None and not _are_texts(Y):
        return None
    count = len(model.target_names) if model.accepts_labels else 2
    if not model.accepts_labels and len(model.target_names) != 1:
        several = len(model.target_names)
        raise ValueError(f"classes with names need a categorical loss, or one target; there are {several} targets")
    if classes is None and earlier_classes is not None:
        return np.asarray(earlier_classes)
    if classes is None:
        values = _values("Y", Y)
        for row, label in enumerate(values):
            if not isinstance(label, str):
                raise ValueError(f"Y[{row}] is {label!r}, and no text as others are")
        names = np.array(sorted(set(values)))
        if len(names) != count:
            raise ValueError(
                f"Y has {len(names)} different texts ({_listed(names)}), but the model tells {count} classes apart: "
                f"give the names of all as classes, in the order of their numbers"
            )
        return names
    names = _read(classes)
    if len(names) != count:
        raise ValueError(f"classes has {len(names)} names; the model tells {count} classes apart")
    if earlier_classes is not None and names.tolist() != np.asarray(earlier_classes).tolist():
        raise ValueError(
            f"classes is {_listed(names)}, but the training that is resumed had {_listed(earlier_classes)}"
        )
    return names


def numbers_of(name: str, Y: Any, classes: Array) -> Array:
    """Return the class index of each sample, (N,).

    Raises ValueError, with its position, for a label that is not a class.
    """
    places = {label: place for place, label in enumerate(classes.tolist())}
    values = _values(name, Y)
    for row, label in enumerate(values):
        if not isinstance(label, str | int | float) or label not in places:
            raise ValueError(f"{name}[{row}] is {label!r}, which is no class; there are: {_listed(classes)}")
    return np.array([places[label] for label in values], np.intp)


def rows_of(name: str, labels: Array, classes: int, dtype: Any, expected: str) -> Array:
    """Return class indices as rows with a 1 at the class, along an additional axis. Raises ValueError."""
    known = (labels >= 0) & (labels < classes)
    if labels.dtype.kind == "f":
        known &= labels == np.floor(labels)
    if np.count_nonzero(known) < known.size:  # three times as fast as known.all()
        place = tuple(int(k) for k in np.argwhere(~known)[0])
        raise ValueError(f"{name}[{', '.join(map(str, place))}] is {labels[place]}, which is no class; {expected}")
    rows = np.zeros((labels.size, classes), dtype)
    rows[np.arange(labels.size), labels.reshape(-1).astype(np.intp)] = 1
    return rows.reshape(*labels.shape, classes)


NO_TARGET = -1
"""The label of a step of a sequence that has no target."""


def rows_of_steps(name: str, labels: Array, classes: int, dtype: Any, expected: str) -> Array:
    """Return the class indices of steps, (N, steps), as rows with a 1 at the class, or of zeros for NO_TARGET.

    Where a sample has steps without a target, the rows of the others have, instead of 1, the number of all steps over
    that of steps with a target. As the losses of classes are products with the target, the loss of a sample is then the
    mean over its steps that have one. Raises ValueError, also for a sample without any.
    """
    there = labels != NO_TARGET
    if there.all():
        return rows_of(name, labels, classes, dtype, expected)
    counts = there.reshape(len(there), -1).sum(axis=1)
    if not counts.all():
        raise ValueError(f"{name}[{int(np.argmin(counts))}] has no target at any step: leave this sample out")
    factors = there * (there[0].size / counts).reshape(-1, *[1] * (there.ndim - 1))
    rows = rows_of(name, np.where(there, labels, 0), classes, dtype, expected)
    return np.asarray(rows * factors[..., None], dtype)


def _read(classes: Any) -> Array:
    """Check given classes: different texts, or different integers."""
    array = None if isinstance(classes, str) else np.asarray(classes)
    if array is not None and array.dtype.kind == "O" and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array is None or array.ndim != 1 or array.dtype.kind not in "Uiu":
        raise ValueError(f"classes must be a list of different texts or whole numbers, not {classes!r}")
    if len(set(array.tolist())) < len(array):
        raise ValueError(f"classes has a name twice: {_listed(array)}")
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def _are_texts(Y: Any) -> bool:
    """Return whether labels are texts; only the first one is examined."""
    if isinstance(Y, list | tuple):
        return bool(Y) and isinstance(Y[0], str)
    if getattr(getattr(Y, "dtype", None), "kind", "") in ("b", "i", "u", "f") or not hasattr(Y, "__array__"):
        return False
    array = np.asarray(Y)
    return array.size > 0 and isinstance(array.flat[0], str)


def _values(name: str, Y: Any) -> list[Any]:
    """Return the labels of the samples, as Python objects."""
    if Y is None:
        raise ValueError(f"{name} is missing: expected a label for each sample")
    array = np.asarray(Y)
    if array.dtype.kind == "U" and not isinstance(Y, np.ndarray):
        array = np.asarray(Y, dtype=object)  # the values before NumPy converts them to texts
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} has the shape {array.shape}; expected a label for each sample, (samples,)")
    return array.tolist()  # type: ignore[no-any-return]


def _listed(classes: Any) -> str:
    """Return a text that lists some classes, each in quotes if it is a text."""
    shown = [repr(label) for label in np.asarray(classes).tolist()]
    return ", ".join(shown if len(shown) <= 10 else [*shown[:10], "..."])

"""Checks of array arguments. Each returns arrays for C, or raises a ValueError.

C takes arrays of the precision of the model that are C-contiguous, aligned and finite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .labels import rows_of
from .one_matrix import check_ranges, check_rising, joined
from .sparse import is_sparse, read_sparse

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


def check_inputs(model: Model, X: Any, sparse: bool = False) -> tuple[Any, int]:
    """Return X, checked (None without inputs), and the number of samples. A sparse X, if allowed, is a ``Sparse``."""
    if model.input_names and sparse and is_sparse(X) and not model.facts.samples.ranges:
        X = read_sparse(model, "X", X, len(model.input_names), model.expected["X"])
        return X, len(X)
    if model.input_names:
        columns = len(model.input_names)
        if not model.native.takes(X, 2, columns):  # else the usual case, decided quickly
            X = _matrix(model, "X", joined(model, "X", X, to_array), columns)
        if model.facts.samples.ranges:
            check_ranges(model, X)
        if model.facts.samples.rising:
            check_rising(model, X)
        return X, len(X)
    if X is not None:
        raise ValueError("X was given, but the model has no inputs: leave it out")
    return None, 1


def check_samples(model: Model, X: Any, Y: Any, sparse: bool = False) -> tuple[Any, Any, int]:
    """Return X and Y, checked (None if the model has none), and the number of samples; ``sparse`` allows a sparse X."""
    X, samples = check_inputs(model, X, sparse)
    if model.target_names:
        Y = _matrix(model, "Y", one_hot(model, joined(model, "Y", Y, to_array)), len(model.target_names))
        if model.input_names and len(Y) != samples:
            raise ValueError(f"X has {samples} rows, but Y has {len(Y)}: they must have the same number of rows")
        return X, Y, len(Y)
    if Y is not None:
        raise ValueError("Y was given, but the model has no targets: leave it out")
    return X, None, samples


def check_parameters(model: Model, parameters: Any, role: str = "parameters") -> Array:
    """Check parameters and return them with the shape (P,); ``role`` is the name of the argument in errors."""
    if model.native.takes(parameters, 1, model.parameter_count):
        return parameters  # type: ignore[no-any-return]
    expected = f"expected ({model.parameter_count},), such as initial_parameters()"
    if hasattr(parameters, "parameters"):
        raise ValueError(f"{role} is {parameters!r}, not its array: give .parameters of it; {expected}")
    if isinstance(parameters, Mapping):
        raise ValueError(f"{role} is a dictionary: give the flat array, which unpack shows by name; {expected}")
    array = to_array(model, role, parameters, expected)
    if array.shape != (model.parameter_count,):
        raise ValueError(f"{role} has the shape {array.shape}; {expected}")
    return to_finite(model, role, array, expected)


def check_sample_weight(model: Model, sample_weight: Any, samples: int) -> Array | None:
    """Return the weights of samples divided by the largest: only their ratios matter, and no sum of them overflows."""
    if sample_weight is None:
        return None
    expected = f"expected ({samples},)"
    array = to_array(model, "sample_weight", sample_weight, expected)
    if array.shape != (samples,):
        raise ValueError(f"sample_weight has the shape {array.shape}; {expected}")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise ValueError(f"sample_weight[{wrong[0]}] is {array[wrong[0]]}; {expected}, all finite and none below 0")
    largest = array.max()
    if not largest > 0:
        raise ValueError(f"sample_weight is 0 for every sample; {expected}, some above 0")
    return np.ascontiguousarray(array / largest, model.dtype)


def to_array(model: Model, name: str, values: Any, expected: str) -> Array:
    """Return an array of real numbers of any type, or raise a ValueError that names the first value that is none."""
    if type(values) is np.ndarray and values.dtype == model.dtype:
        return values
    if is_sparse(values):
        raise ValueError(f"{name} is sparse, which it must not be here: give {name}.toarray(); {expected}")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is no array, its rows differ in length; {expected}") from error
    derived = isinstance(values, np.ndarray) and type(values) is not np.ndarray  # np.ma takes 10 ms to import
    if derived and isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} is a masked array with masked values; fill them; {expected}")
    if array.dtype.kind in "biuf":
        return array
    objects = np.asarray(values, dtype=object)  # the values before NumPy converts them to one type
    for position, value in np.ndenumerate(objects):
        reason = _not_a_number(value)
        if reason:
            text = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:40]}..."
            raise ValueError(f"{name}{_at(position)} is {text}, which is {reason}; {expected}")
    return objects.astype(float)


def to_column(values: Any, columns: int) -> Any:
    """Return a one-dimensional array as a matrix of one column, if there is one column; anything else unchanged."""
    return values.reshape(-1, 1) if columns == 1 and type(values) is np.ndarray and values.ndim == 1 else values


def to_finite(model: Model, name: str, array: Array, expected: str) -> Array:
    """Return real numbers as C takes them, or raise a ValueError that names the first value that is not finite."""
    converted = for_c(model, array)
    first = model.native.first_not_finite(converted, converted.size)
    if first < converted.size:
        position = np.unravel_index(first, array.shape)
        value = array[position]
        reason = f", which is too large for {model.precision}" if np.isfinite(value) else ""
        raise ValueError(f"{name}{_at(position)} is {value}{reason}; {expected}, all finite")
    return converted


def for_c(model: Model, array: Array) -> Array:
    """Return an array as C takes it, except that values need not be finite; without a copy, if possible."""
    if array.dtype == model.dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    if array.dtype.itemsize <= model.dtype.itemsize or array.dtype.kind == "b":
        return np.array(array, model.dtype, order="C")
    with np.errstate(over="ignore"):
        return np.array(array, model.dtype, order="C")


def _matrix(model: Model, name: str, values: Any, columns: int) -> Array:
    values = to_column(values, columns)
    if model.native.takes(values, 2, columns):
        return values  # type: ignore[no-any-return]
    expected = model.expected[name]
    if values is None:
        raise ValueError(f"{name} is missing: {expected}")
    array = to_column(to_array(model, name, values, expected), columns)
    if array.ndim != 2 or array.shape[1] != columns:
        hint = f"; for one sample, give it as [{name}]" if array.shape == (columns,) else ""
        raise ValueError(f"{name} has the shape {array.shape}; {expected}{hint}")
    if not len(array):
        raise ValueError(f"{name} is empty; {expected}, and at least one sample")
    return to_finite(model, name, array, expected)


def one_hot(model: Model, Y: Any) -> Any:
    """Return integer labels as one-hot rows if the loss takes class probabilities; else the targets unchanged."""
    if not model.accepts_labels or Y is None:
        return Y
    classes, expected = len(model.target_names), model.expected["labels"]
    labels = to_array(model, "Y", Y, expected)
    if not are_labels(labels):
        return labels
    return rows_of("Y", labels.reshape(-1), classes, model.dtype, expected)


def are_labels(Y: Any) -> bool:
    """Return whether targets of a model that takes labels are labels, (N,) or (N, 1), and not probabilities."""
    shape = np.shape(Y)
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _not_a_number(value: Any) -> str:
    """Return the reason why a value is no real number; an empty text if it is one."""
    try:
        if isinstance(value, complex | str | bytes):
            return "no real number"
        float(value)
    except OverflowError:
        return "too large"
    except (TypeError, ValueError):
        return "no real number"
    return ""


def _at(position: Sequence[Any]) -> str:
    return f"[{', '.join(str(int(k)) for k in position)}]" if position else ""

"""Reductions: the operators of steps that run over indices, one record each.

Evaluators, derivatives, certificates and exports read these records by the names of operators, so that to add a
reduction that chooses one of its terms is to add a record. One with another derivative needs a rule in
``passes.reverse``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import NDArray

from nncodegen.ir.elementary import FUNCTIONS

Array = NDArray[Any]
"""An array of floating-point numbers, or of numbers of mpmath."""

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Reduction:
    """An operator over indices.

    array      its values, for terms along some axes; an operator that keeps its indices keeps these
    received   what the terms receive of what the result has received, for certificates, which has all axes, some of
               length 1; no stage of the compiler reads it
    join       what adds one more term to a result, for an operator that takes its terms one by one
    neutral    the value of a term that does not exist
    chooses    whether the result is one of the terms, to which the derivative belongs: in equal parts to all that are
               equal, but in a window to the first of them
    c          the function in C that does the same as ``join``; empty where that is a sum
    onnx       the operator of ONNX
    latex      its symbol in LaTeX, below which its indices stand; empty for what is written as a function
    written    what it is of a few terms that are written out, as a function of SymPy
    """

    array: Callable[[Array, Axes], Array]
    received: Callable[[Array, Array, Axes], Array] | None = None
    join: Any = None
    neutral: float = 0.0
    chooses: bool = False
    c: str = ""
    onnx: str = ""
    latex: str = ""
    written: Any = None


# --- values ------------------------------------------------------------------------------------------------------


def _elementwise(name: str, z: Array) -> Array:
    function = np.frompyfunc(FUNCTIONS[name].exact, 1, 1) if z.dtype == object else FUNCTIONS[name].array
    return np.asarray(function(z))


def _exponentials(z: Array, axes: Axes) -> tuple[Array, Array]:
    """Return z minus its maximum, and the exponentials of that."""
    below = z - np.max(z, axis=axes, keepdims=True)
    return below, _elementwise("exp", below)


def _softmax(z: Array, axes: Axes) -> Array:
    _, e = _exponentials(z, axes)
    return np.asarray(e / np.sum(e, axis=axes, keepdims=True))


def _log_softmax(z: Array, axes: Axes) -> Array:
    below, e = _exponentials(z, axes)
    return np.asarray(below - _elementwise("log", np.sum(e, axis=axes, keepdims=True)))


def _softmax_complement(z: Array, axes: Axes) -> Array:
    return np.asarray(1 - _softmax(z, axes))


def _first(z: Array, axes: Axes) -> Array:
    """Return the number of the first value that is not 0, row by row along the axes; how many there are if all are."""
    kept = [axis for axis in range(z.ndim) if axis not in axes]
    rows = np.transpose(z, (*kept, *axes)).reshape([*(z.shape[axis] for axis in kept), -1])
    is_one = (rows != 0).astype(bool)
    found = np.where(is_one.any(axis=-1), np.argmax(is_one, axis=-1), rows.shape[-1])
    return np.asarray(np.frompyfunc(mpmath.mpf, 1, 1)(found) if z.dtype == object else found.astype(float))


def joined(join: Any) -> Callable[[Array, Axes], Array]:
    """Return what joins all terms along some axes."""
    return lambda z, axes: np.asarray(join.reduce(z, axis=axes), dtype=z.dtype)


# --- what terms receive ------------------------------------------------------------------------------------------


def passed_on(terms: Array, received: Array, axes: Axes) -> Array:
    """Return what the terms of a sum receive: each of them all of it."""
    return received


def shared_by(join: Any) -> Callable[[Array, Array, Axes], Array]:
    """Return what gives a maximum or a minimum to those terms that are it, in equal parts."""

    def received_by(terms: Array, received: Array, axes: Axes) -> Array:
        at_top = terms == join.reduce(terms, axis=axes, keepdims=True)
        return np.asarray(received * at_top / np.sum(at_top, axis=axes, keepdims=True))

    return received_by


def _through_softmax(terms: Array, received: Array, axes: Axes) -> Array:
    p = _softmax(terms, axes)
    return np.asarray(p * (received - np.sum(received * p, axis=axes, keepdims=True)))


def _through_complement(terms: Array, received: Array, axes: Axes) -> Array:
    p = _softmax(terms, axes)
    return np.asarray(-p * (received - np.sum(received * p, axis=axes, keepdims=True)))


def _through_log_softmax(terms: Array, received: Array, axes: Axes) -> Array:
    return np.asarray(received - _softmax(terms, axes) * np.sum(received, axis=axes, keepdims=True))


# --- the records -------------------------------------------------------------------------------------------------

REDUCTIONS: dict[str, Reduction] = {
    "sum": Reduction(joined(np.add), passed_on, np.add, onnx="ReduceSum", latex="\\sum", written=sympy.Add),
    "max": Reduction(
        joined(np.maximum), shared_by(np.maximum), np.maximum, -np.inf, True, c="maximum", onnx="ReduceMax",
        latex="\\max\\limits", written=sympy.Max,
    ),
    "first": Reduction(_first),
}  # fmt: skip
"""Operators that make the indices they run over disappear. ``first`` gives the number of the first term that is not 0,
or the number of terms, if all are: they are counted from 0, row by row, along the indices that no equation gives."""

NORMALIZATIONS: dict[str, Reduction] = {
    "softmax": Reduction(_softmax, _through_softmax, onnx="Softmax"),
    "log_softmax": Reduction(_log_softmax, _through_log_softmax, onnx="LogSoftmax"),
    "softmax_complement": Reduction(_softmax_complement, _through_complement),
}
"""Operators that keep the indices they run over; the complement is 1 - softmax."""


def reduction(name: str | None) -> Reduction:
    """Return the operator of a step by its name."""
    return REDUCTIONS.get(name or "") or NORMALIZATIONS[name or ""]

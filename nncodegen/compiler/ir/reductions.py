"""Reductions: the operators of steps that run over indices, one record each.

Evaluators, derivatives, certificates and exports read these records by the names of operators. A new reduction that
chooses one of its terms needs only a new record; one with another derivative also needs a rule in ``passes.reverse``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import NDArray

from nncodegen.compiler.ir.elementary import FUNCTIONS

Array = NDArray[Any]
"""An array of floating-point numbers, or of numbers of mpmath."""

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Reduction:
    """An operator over indices.

    array      its values, for terms along some axes; an operator that keeps its indices keeps these
    received   the derivatives by the terms, given the derivative by the result, for certificates; the latter has all
               axes, some of length 1; no stage of the compiler reads it
    join       the function that adds one more term to a result, for an operator that takes its terms one by one
    neutral    the value of a term that does not exist; an operator that keeps its indices and has none, 0, takes no
               equations
    chooses    whether the result is one of the terms, to which the derivative belongs: in equal parts to all that are
               equal, but in a window to the first of them
    c          the function in C that corresponds to ``join``; empty if that is a sum
    onnx       the operator of ONNX
    latex      its symbol in LaTeX, below which its indices are written; empty if it is written as a function
    written    its value for a few written-out terms, as a function of SymPy
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
    """Return the number of the first nonzero value, row by row along the axes; the number of values if all are 0."""
    remaining_axes = [axis for axis in range(z.ndim) if axis not in axes]
    rows = np.transpose(z, (*remaining_axes, *axes)).reshape([*(z.shape[axis] for axis in remaining_axes), -1])
    is_one = (rows != 0).astype(bool)
    numbers = np.where(is_one.any(axis=-1), np.argmax(is_one, axis=-1), rows.shape[-1])
    return np.asarray(np.frompyfunc(mpmath.mpf, 1, 1)(numbers) if z.dtype == object else numbers.astype(float))


def joined(join: Any) -> Callable[[Array, Axes], Array]:
    """Return the function that joins all terms along some axes."""
    return lambda z, axes: np.asarray(join.reduce(z, axis=axes), dtype=z.dtype)


# --- what terms receive ------------------------------------------------------------------------------------------


def passed_on(terms: Array, received: Array, axes: Axes) -> Array:
    """Return the derivatives by the terms of a sum: for each term, the derivative by the result."""
    return received


def shared_by(join: Any) -> Callable[[Array, Array, Axes], Array]:
    """Return the function that passes the derivative by an extreme value, in equal parts, to the terms equal to it."""

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
        joined(np.maximum),
        shared_by(np.maximum),
        np.maximum,
        -np.inf,
        True,
        c="maximum",
        onnx="ReduceMax",
        latex="\\max\\limits",
        written=sympy.Max,
    ),
    "first": Reduction(_first),
}
"""Operators that remove the indices they run over. ``first`` returns the number of the first term that is not 0, or the
number of terms if all are 0: they are counted from 0, row by row, along the indices that no equation gives."""

NORMALIZATIONS: dict[str, Reduction] = {
    "softmax": Reduction(_softmax, _through_softmax, neutral=-np.inf, onnx="Softmax"),
    "log_softmax": Reduction(_log_softmax, _through_log_softmax, onnx="LogSoftmax"),
    "softmax_complement": Reduction(_softmax_complement, _through_complement, neutral=-np.inf),
}
"""Operators that keep the indices they run over; the complement is 1 - softmax. Both are 0 for terms that do not exist,
and so are the derivatives."""


def reduction(name: str | None) -> Reduction:
    """Return the operator of a step by its name."""
    return REDUCTIONS.get(name or "") or NORMALIZATIONS[name or ""]

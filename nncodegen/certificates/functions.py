"""Calls of functions over numbers of mpmath, and of their derivatives: NaN if the result is no real number.

Both are those of the records of ``ir.elementary``, by which no stage of the compiler differentiates. Certificates do
not use the derivatives of ``passes.derivatives`` and the ``fdiff`` of ``ir.functions``: a wrong rule in these would
otherwise go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath

from nncodegen.compiler.ir.elementary import NAN, Number

FAILURES = (ValueError, ZeroDivisionError, OverflowError, mpmath.libmp.ComplexResult)
"""Exceptions that mpmath raises where a function has no value."""


def call(function: Callable[..., Number], *arguments: Number) -> Number:
    """Return the value of a function; NaN if it is no real number."""
    try:
        value = function(*arguments)
    except FAILURES:
        return NAN
    return NAN if isinstance(value, mpmath.mpc) else value


def call_all(function: Callable[..., tuple[Number, ...]], *arguments: Number) -> tuple[Number, ...] | None:
    """Return the derivatives of a function, each a real number or NaN; None if they do not exist."""
    try:
        values = function(*arguments)
    except FAILURES:
        return None
    return tuple(NAN if isinstance(value, mpmath.mpc) else value for value in values)

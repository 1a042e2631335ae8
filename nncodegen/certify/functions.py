"""Calls of functions over numbers of mpmath, and of their derivatives: NaN where there is no real number.

Both are those of the records of ``ir.elementary``, which no stage of the compiler differentiates by. The derivatives of
``passes.derivatives`` and the ``fdiff`` of ``ir.functions`` have no part in a certificate: a wrong rule there would not
be seen otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath

from nncodegen.ir.elementary import NAN, Number

FAILURES = (ValueError, ZeroDivisionError, OverflowError, mpmath.libmp.ComplexResult)
"""What mpmath raises where a function has no value."""


def call(function: Callable[..., Number], *arguments: Number) -> Number:
    """Return the value of a function; NaN where it is no real number."""
    try:
        value = function(*arguments)
    except FAILURES:
        return NAN
    return NAN if isinstance(value, mpmath.mpc) else value


def call_all(function: Callable[..., tuple[Number, ...]], *arguments: Number) -> tuple[Number, ...] | None:
    """Return the derivatives that a function gives, each a real number or NaN; None where there are none."""
    try:
        values = function(*arguments)
    except FAILURES:
        return None
    return tuple(NAN if isinstance(value, mpmath.mpc) else value for value in values)

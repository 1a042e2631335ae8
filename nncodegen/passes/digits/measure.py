"""The exact values of formulas at points, and the bits that a form loses there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr
from sympy.codegen.cfunctions import exp2, expm1

from nncodegen.ir.arithmetics import Exact
from nncodegen.ir.elementary import Elementary
from nncodegen.ir.evaluate import interpret
from nncodegen.ir.walk import walk
from nncodegen.passes.digits.points import Array, Points
from nncodegen.passes.simplify import in_primitives

SURE = 96
"""The bits of exact values beyond the range of the numbers of a point, in which all of them can be added up."""

TIMES = (1.0, 1.25, 2.5)
"""The multiples of these bits with which an exact value is computed, until two of them agree."""

FAULTS = (ValueError, ZeroDivisionError, OverflowError, TypeError, AttributeError, mpmath.libmp.NoConvergence)


def exact_values(written: Expr, points: Points, once: bool = False) -> Array:
    """Return the values of a formula at points, rounded to float64; NaN where it has none, or none is certain.

    With ``once``, they are computed with one precision, which is enough for a first look.
    """
    names = tuple(points)
    rows = np.array([points[name] for name in names]).T.tolist() if names else []
    return np.array([_exact(written, names, row, once) for row in rows])


RANGE = 1200
"""The binary exponent from which on a value is too large or too small for float64, whatever its digits are."""


def _exact(written: Expr, names: Sequence[object], row: Sequence[float], once: bool) -> float:
    size = _computed(written, names, row, SURE)
    if size is None or (size and abs(mpmath.mag(size)) > RANGE):
        return float("nan")
    last = float("nan")
    exponents = [0, *(abs(int(np.frexp(number)[1])) for number in row if number)]
    for times in TIMES:
        bits = int(times * (SURE + 2 * max(exponents)))
        value = _computed(written, names, row, bits)
        number = float("nan") if value is None else float(value)
        if once or not np.isfinite(number) or (number == last and number != 0):
            return number
        last = number
    return number if number == last else float("nan")


LARGE = 2.0**24
"""An exponent beyond which an exponential is infinite, or 0: exact ones would take long, and no float64 is near."""


class _Limited(Exact):
    """Exact numbers, but for exponentials that are far out of range: these are infinite, or 0."""

    def call(self, function: Elementary, operands: Sequence[Any]) -> Any:
        """Return the value of a function."""
        (z, *_) = operands
        if function.function in _GROWING and abs(z) > LARGE:
            above, below = _GROWING[function.function]
            return mpmath.mpf(above if z > 0 else below)
        return super().call(function, operands)

    def power(self, base: Any, exponent: Any, symbol: Expr) -> Any:
        """Return a power."""
        if (
            base > 0
            and abs(exponent) > 1
            and abs(exponent * mpmath.mag(base)) > LARGE
            and mpmath.mag(base) not in (0, 1)
        ):
            return mpmath.inf if (exponent > 0) == (base > 1) else mpmath.mpf(0)
        return super().power(base, exponent, symbol)


_GROWING = {
    sympy.exp: (mpmath.inf, 0), expm1: (mpmath.inf, -1), exp2: (mpmath.inf, 0),
    sympy.sinh: (mpmath.inf, -mpmath.inf), sympy.cosh: (mpmath.inf, mpmath.inf),
}  # fmt: skip
"""Functions that grow like exponentials, with their values far above 0 and far below."""


def _computed(written: Expr, names: Sequence[object], row: Sequence[float], bits: int) -> mpmath.mpf | None:
    """Return the value of a formula at a point with a number of bits, or None where it has no finite real one."""
    with mpmath.workprec(bits):
        numbers = {name: mpmath.mpf(number) for name, number in zip(names, row, strict=True)}
        try:
            value = walk(written, _Limited(numbers))  # type: ignore[arg-type]
        except FAULTS:
            return None
    return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None


def values(form: Expr, points: Points) -> Array:
    """Return the values of a form in float64, computed in the steps in which the generated C computes them."""
    steps, held = in_primitives(form)
    known = dict(points)
    with np.errstate(all="ignore"):
        for step in steps:
            known[step.target] = np.asarray(interpret(step.expression, known, exact=False), float)
    return np.broadcast_to(known[held], np.shape(next(iter(points.values()))))


def bits_lost(found: Array, exact: Array) -> Array:
    """Return the binary logarithm of the number of float64 between two numbers, and one: from 0 to 64."""
    there, here = _place(found), _place(exact)
    far = there.astype(float) - here
    distance = np.where((there < 0) == (here < 0), np.abs(there - here), np.abs(far))
    return np.where(np.isnan(found), 64.0, np.minimum(np.log2(distance + 1.0), 64.0))


def _place(numbers: Array) -> Array:
    """Return the places of numbers in the order of all float64."""
    bits = np.ascontiguousarray(numbers).view(np.int64)
    return np.where(bits < 0, -(bits & np.int64(2**63 - 1)), bits)

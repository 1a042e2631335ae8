"""The exact values of a formula at points, by mpmath.

How many bits a value needs shows where it is computed twice and every operation errs in its last bits, each time in
another way: if both results are rounded to the same number, this is the value. If they are not, sums have cancelled,
and more bits are taken, at last as many as the sum of all numbers of a point has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import cycle
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr
from sympy.codegen.cfunctions import exp2, expm1, log1p, log2, log10

from nncodegen.compiler.ir.arithmetics import Exact
from nncodegen.compiler.ir.elementary import Elementary
from nncodegen.compiler.ir.walk import walk
from nncodegen.compiler.passes.digits.formats import Array
from nncodegen.compiler.passes.digits.points import Points, type_of

FEW = 192
"""The bits that suffice where little cancels."""

SURE = 96
"""The bits beyond the range of the numbers of a point, in which all of them can be added up."""

STEP = 256
"""The bits of the range are a multiple of this."""

FAULTS = (ValueError, ZeroDivisionError, OverflowError, TypeError, AttributeError, mpmath.libmp.NoConvergence)

OPERATIONS = 1024
"""The number of operations after which the errors come again, in the same order."""

ERRING = 24
"""The last bits of a number in which operations err."""

LARGE = 2.0**24
"""An exponent beyond which an exponential is infinite, or 0: exact ones would take long, and no float64 is near."""


SMALL = 2.0**-12
"""An exponent below which a power of an exponential that is out of range may be in range."""


class Truth:
    """The exact values of a formula at points, each computed once, when it is first asked for."""

    def __init__(self, written: Expr, points: Points) -> None:
        self._written, self._names = written, tuple(points)
        self._rows = np.array([*points.values()]).T.tolist() if points else []
        self._dtype = type_of(points) if points else np.dtype(np.float64)
        self._known: dict[int, float] = {}

    def at(self, places: Iterable[int]) -> Array:
        """Return the values at some of the points, rounded; NaN where there is none, or none is certain."""
        return np.array([self._at(int(place)) for place in places], self._dtype)

    def everywhere(self) -> Array:
        """Return the values at all points."""
        return self.at(range(len(self._rows)))

    def _at(self, place: int) -> float:
        if place not in self._known:
            self._known[place] = _exact(self._written, self._names, self._rows[place], self._dtype)
        return self._known[place]


def _exact(written: Expr, names: Sequence[object], row: Sequence[float], dtype: np.dtype[Any]) -> float:
    """Return the value at one point."""
    info = np.finfo(dtype)
    largest = max([0, *(abs(int(np.frexp(number)[1])) for number in row if number)])
    sure = SURE + 2 * largest + -2 * largest % STEP
    attempts = [(FEW, 1), (FEW, 2), (sure, 1), (sure, 2), (5 * sure // 2, 1), (5 * sure // 2, 2)]
    if 0 in row:  # what is exactly 0 there must stay so
        attempts = [(FEW, 0), (sure, 0), (5 * sure // 4, 0), (5 * sure // 2, 0)]
    last = float("nan")
    for k, (bits, seed) in enumerate(attempts):
        value = _computed(written, names, row, bits, seed)
        if k == 0:
            if value is None or (value and not info.minexp - info.nmant <= mpmath.mag(value) <= info.maxexp):
                return float("nan")
            if seed == 0:
                continue
        number = float("nan") if value is None else float(np.asarray(float(value), dtype))
        if number == last and (number != 0 or seed or k == len(attempts) - 1):  # where operations err, 0 is no chance
            return number
        last = number
    return float("nan")


class _Limited(Exact):
    """Exact numbers, but for exponentials that are far out of range: these are infinite, or 0."""

    def __init__(self, values: Mapping[Any, Any]) -> None:
        super().__init__(values)
        self._is_cut = False

    def call(self, function: Elementary, operands: Sequence[Any]) -> Any:
        """Return the value of a function."""
        (z, *_) = operands
        if function.function in _GROWING and abs(z) > LARGE:
            self._is_cut = True
            above, below = _GROWING[function.function]
            return mpmath.mpf(above if z > 0 else below)
        if function.function in _LOGARITHMS:
            self._check(z)
        return super().call(function, operands)

    def power(self, base: Any, exponent: Any, symbol: Expr) -> Any:
        """Return a power; of a negative number only where the exponent is known to be an integer, or is none."""
        if base < 0 and not symbol.is_Atom and mpmath.mag(exponent) > mpmath.mp.prec - ERRING:
            raise ValueError("the last digits of an exponent say whether it is an integer")
        if abs(exponent) < SMALL:
            self._check(base)
        if (
            base > 0
            and abs(exponent) > 1
            and abs(exponent * mpmath.mag(base)) > LARGE
            and mpmath.mag(base) not in (0, 1)
        ):
            self._is_cut = True
            return mpmath.inf if (exponent > 0) == (base > 1) else mpmath.mpf(0)
        return super().power(base, exponent, symbol)

    def _check(self, value: Any) -> None:
        """Raise ValueError for a number that may be infinite or 0 only because an exponential has been cut off.

        Its logarithm is a usual number, and so is a small power of it, such as (1 + exp(1e19))**1e-19.
        """
        if self._is_cut and (value == 0 or mpmath.isinf(value)):
            raise ValueError("an exponential is too large to be known exactly")


_GROWING = {
    sympy.exp: (mpmath.inf, 0),
    expm1: (mpmath.inf, -1),
    exp2: (mpmath.inf, 0),
    sympy.sinh: (mpmath.inf, -mpmath.inf),
    sympy.cosh: (mpmath.inf, mpmath.inf),
}
"""Functions that grow like exponentials, with their values far above 0 and far below."""

_LOGARITHMS = (sympy.log, log1p, log2, log10)


def _next(state: int) -> int:
    """Return the next number of a sequence of random numbers, below 2**31."""
    return (state * 1103515245 + 12345) % 2**31


@lru_cache(maxsize=64)
def _factors(bits: int, seed: int) -> tuple[Any, ...]:
    """Return numbers in an order that depends on a seed; they differ from 1 by some of the last 24 bits of a number."""
    state, numbers = 1, []
    for _ in range(256):
        state = _next(state)
        numbers.append(1 + mpmath.ldexp((state >> 7) - 2 ** (ERRING - 1), 1 - bits))
    state, factors = 7919 * seed, []
    for _ in range(OPERATIONS):
        state = _next(state)
        factors.append(numbers[state >> 23])
    return tuple(factors)


class _Erring(_Limited):
    """Numbers whose operations err in their last 24 bits, in a sequence that the seed determines."""

    def __init__(self, values: Mapping[Any, Any], seed: int) -> None:
        super().__init__(values)
        self._factors = cycle(_factors(mpmath.mp.prec, seed))

    def _err(self, value: Any) -> Any:
        return value * next(self._factors) if isinstance(value, mpmath.mpf) else value

    def add(self, values: Sequence[Any]) -> Any:
        """Return a sum."""
        return self._err(super().add(values))

    def multiply(self, values: Sequence[Any]) -> Any:
        """Return a product."""
        return self._err(super().multiply(values))

    def power(self, base: Any, exponent: Any, symbol: Expr) -> Any:
        """Return a power."""
        return self._err(super().power(base, exponent, symbol))

    def call(self, function: Elementary, operands: Sequence[Any]) -> Any:
        """Return the value of a function."""
        return self._err(super().call(function, operands))


def _computed(written: Expr, names: Sequence[object], row: Sequence[float], bits: int, seed: int) -> mpmath.mpf | None:
    """Return the value of a formula at a point with a number of bits, or None where it has no finite real one.

    With a seed, operations err.
    """
    with mpmath.workprec(bits):
        numbers: Any = {name: mpmath.mpf(number) for name, number in zip(names, row, strict=True)}
        try:
            value = walk(written, _Erring(numbers, seed) if seed else _Limited(numbers))
        except FAULTS:
            return None
    return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None

"""Numbers of modules that promise the same bits everywhere, and the words with which they refuse what they cannot.

NumPy and the C library round some functions and sums differently on different CPUs. Single additions, products,
quotients and square roots are exact to the last bit everywhere, and so are numbers of the module ``decimal``.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, DivisionByZero, InvalidOperation
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .facts import Facts
    from .types import Array

PORTABLE = "portable"
"""The option ``bits`` of ``nn.build`` that promises the same bits everywhere."""

_DIGITS = Context(prec=25, traps=[DivisionByZero, InvalidOperation])


def refuse(facts: Facts, what: str) -> None:
    """Raise ValueError for something that a module with the same bits everywhere cannot promise."""
    if facts.bits == PORTABLE:
        raise ValueError(
            f'{facts.name} was built with bits="portable", but {what} may differ by rounding between CPUs and '
            'operating systems: leave it out, or build the model with bits="native"'
        )


def uniform(generator: np.random.Generator, scale: float, size: int) -> Array:
    """Draw numbers between -scale and scale, (size,), as ``generator.uniform`` does without fused operations."""
    return generator.random(size) * (scale + scale) - scale


def standard_normal(generator: np.random.Generator, size: int) -> Array:
    """Draw normal numbers, (size,), by the polar method (Marsaglia and Bray, 1964), with exact logarithms."""
    normals: list[float] = []
    while len(normals) < size:
        x, y = (2 * float(drawn) - 1 for drawn in generator.random(2))
        square = x * x + y * y
        if 0 < square < 1:
            ratio = float(_DIGITS.divide(_DIGITS.ln(Decimal(square)) * -2, Decimal(square)))
            factor = float(np.sqrt(ratio))
            normals += [x * factor, y * factor]
    return np.array(normals[:size])


def log(value: float) -> float:
    """Return the logarithm of a number, rounded from 25 digits. Raises ValueError where ``math.log`` does."""
    if value <= 0:
        raise ValueError(f"{value} has no logarithm")
    return float(_DIGITS.ln(Decimal(value)))


def exp(value: float) -> float:
    """Return the exponential of a number, rounded from 25 digits. Raises OverflowError where ``math.exp`` does."""
    return _finite(_DIGITS.exp(Decimal(value))) if math.isfinite(value) else math.exp(value)


def power(base: float, exponent: float) -> float:
    """Return a power, rounded from 25 digits. Raises ArithmeticError where it is no finite real number.

    Powers of and with 0, infinity and NaN are those of Python, which are not rounded.
    """
    if not (base and exponent and math.isfinite(base) and math.isfinite(exponent)):
        exact: float = base**exponent
        return exact
    return _finite(_DIGITS.power(Decimal(base), Decimal(exponent)))


def _finite(value: Decimal) -> float:
    """Return the nearest number. Raises OverflowError if it is beyond the largest."""
    nearest = float(value)
    if math.isinf(nearest):
        raise OverflowError(f"{value} is beyond the largest number")
    return nearest


SAME_MATH = SimpleNamespace(
    sqrt=math.sqrt, exp=exp, log=log, floor=math.floor, ceil=math.ceil, fabs=math.fabs, pi=math.pi, e=math.e
)
"""The functions of the module ``math`` that are the same everywhere, by their names there."""

"""Rules for holes that no algebra fills: near them a formula is its Taylor series, and as it is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath
import sympy
from sympy import Abs, Add, Expr, Float, Mul, Piecewise, S

from nncodegen.compiler.ir import Element, elements
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.polynomials import polynomial

CIRCLE = 48
"""The number of points on a circle around the hole from which the coefficients are computed."""

RADIUS = 2**-8
"""The radius of the circle; a function with a singularity inside of it has no series here."""

BITS = 640
"""The precision of the coefficients: the function itself may lose most of it on the circle."""

LEAST_TERMS, MOST_TERMS = 3, 26

MOST_POLES = 5
"""Poles of a higher order are no holes."""

KNOWN_BY, DIGITS = (1, 5, 12, 17, CIRCLE // 2 - 1), 80
"""The places on the circle, and the digits of the values there, by which a function is known.

Two near the axis are not enough: sqrt(t**4 + t**6) is t**2*sqrt(1 + t**2) there, and has the other sign between them.
"""

FAULTS = (ValueError, ZeroDivisionError, TypeError, AttributeError, OverflowError, mpmath.libmp.NoConvergence)
"""The errors of a function that has no value at a point of the circle."""

ZERO = mpmath.mpf(2) ** -300
"""A coefficient times the power of the radius that is smaller than this, relative to the largest, is 0."""


def series_near_zero(node: Expr) -> Iterator[Expr]:
    """f(u) = u**k*(c + d*u + e*u**2 + ...) where |u| is small, and f(u) elsewhere, for a function of one argument u.

    The coefficients come from exact values around 0. A part of the radius of convergence, which they show, is the end
    of the series: few terms are needed there, and f(u) has lost only few digits.
    """
    composition = None if node.has(Piecewise) or not node.has(Add) else argument_of(node)
    if composition is None:
        return
    u, function = composition
    series = coefficients(function)
    if series is None:
        return
    k, numbers = series
    for part in (4, 8):
        near = _near(numbers, part)
        if near is None:
            continue
        end, terms = near
        yield Piecewise((polynomial(k, tuple(terms))(u), Abs(u) < end), (node, True))


_POINT = Element("point of the circle")
"""The argument of functions whose series are computed."""


def argument_of(node: Expr) -> tuple[Expr, Expr] | None:
    """Return (u, f) where the node is f(u), with ``_POINT`` in the place of u: one element, or a product of several."""
    read = elements(node)
    if not 1 <= len(read) <= 3 or any(not isinstance(part, Element) for part in read):
        return None
    if len(read) == 1:
        return read[0], node.xreplace({read[0]: _POINT})
    u = Mul(*read)
    others = Mul(*read[:-1])
    function = node.xreplace({read[-1]: _POINT / others})
    if any(function.has(part) for part in read):
        function = function.replace(lambda part: isinstance(part, Add), sympy.expand)
    return None if any(function.has(part) for part in read) else (u, function)


@dataclass(frozen=True)
class _Function:
    """A function of ``_POINT``, however it is written: it is known by its values at some points of the circle."""

    formula: Expr = field(compare=False)
    known_by: tuple[str, ...]


@lru_cache(maxsize=200)
def coefficients(function: Expr) -> tuple[int, tuple[Any, ...]] | None:
    """Return (k, c) with the function t**k*(c[0] + c[1]*t + ...) near t = 0; None where it has no such series."""
    try:
        values = _on_circle(function, KNOWN_BY)
        return _coefficients(_Function(function, tuple(mpmath.nstr(value, DIGITS) for value in values)))
    except FAULTS:
        return None


def _on_circle(function: Expr, places: Iterable[int]) -> list[Any]:
    """Return the values of a function at places on the circle."""
    with mpmath.workprec(BITS):
        around = [RADIUS * mpmath.expjpi(mpmath.mpf(2 * j) / CIRCLE) for j in places]
        return [interpret(function, {_POINT: point}, exact=True) for point in around]


@lru_cache(maxsize=200)  # a search meets one function in many forms
def _coefficients(function: _Function) -> tuple[int, tuple[Any, ...]] | None:
    values = _on_circle(function.formula, range(CIRCLE // 2 + 1))
    with mpmath.workprec(BITS):
        largest = max(map(abs, values))
        if not mpmath.isfinite(largest) or largest == 0:
            return None
        by_power = {}
        halves = [values[0].real / 2, *values[1:-1], values[-1].real / 2]  # the other half has the conjugates
        parts = [part for value in halves for part in (value.real, value.imag)]
        for n in range(-MOST_POLES, MOST_TERMS + MOST_POLES):
            roots = [part for j in range(len(halves)) for part in _roots()[j * n % CIRCLE]]
            scaled = mpmath.fdot(parts, roots) * 2 / CIRCLE
            by_power[n] = scaled / mpmath.mpf(RADIUS) ** n if abs(scaled) > largest * ZERO else mpmath.mpf(0)
        k = next((n for n, number in by_power.items() if number != 0), None)
        if k is None or k > MOST_POLES or k == -MOST_POLES:
            return None
        return k, tuple(by_power[n] for n in range(k, min(k + MOST_TERMS, MOST_TERMS + MOST_POLES)))


@lru_cache(maxsize=1)
def _roots() -> tuple[tuple[Any, Any], ...]:
    """Return the cosines and sines of the angles of the points on the circle."""
    with mpmath.workprec(BITS):
        angles = [mpmath.expjpi(mpmath.mpf(2 * j) / CIRCLE) for j in range(CIRCLE)]
        return tuple((root.real, root.imag) for root in angles)


def _near(numbers: tuple[Any, ...], part: int) -> tuple[Expr, list[Expr]] | None:
    """Return the end of the series, a power of 2 below a part of the radius of convergence, and its coefficients."""
    first = abs(numbers[0])
    sizes = [(abs(c) / first) ** (mpmath.mpf(1) / k) for k, c in enumerate(numbers) if k >= LEAST_TERMS and c != 0]
    if not sizes:
        return None
    exponent = min(int(mpmath.floor(mpmath.log(1 / (max(sizes) * part), 2))), 2)
    end = mpmath.mpf(2) ** exponent
    needed = [k for k, c in enumerate(numbers) if abs(c) * end**k > first * mpmath.mpf(2) ** -56]
    if needed[-1] >= len(numbers) - 2:
        return None
    terms = [Float(str(mpmath.nstr(c, 24)), 24) if c else S.Zero for c in numbers[: needed[-1] + 1]]
    return sympy.Rational(2) ** exponent, [_plain(term) for term in terms]


def _plain(number: Expr) -> Expr:
    """Return a number as a fraction with a small denominator, if it is one."""
    if number == 0:
        return S.Zero
    fraction = sympy.nsimplify(number, rational=True, tolerance=1e-22)
    return fraction if fraction.q <= 10_000 else number

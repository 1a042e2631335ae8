"""Quantiles of Student's t and of the normal distribution, to the last digit: for the same bits everywhere.

SciPy's depend on how it was compiled. These are computed by the module ``decimal``, with 50 digits, and rounded once.
They set no context variable of the thread: NumPy looks one up for each array that it makes, and a tenth of the time of
that would go by finding it beside the context of decimals.
"""

from __future__ import annotations

import contextvars
import math
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.missing import needed
from ..ground.same_bits import PORTABLE

if TYPE_CHECKING:
    from .fitted import Fitted

DIGITS = 50
STEPS = 100
"""The most steps of Newton's method, which take ten from a start with one digit."""

PI = Context(prec=63).create_decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def quantile(result: Fitted, level: float) -> float:
    """Return the half-width, in standard errors, of an interval of this probability after a fit."""
    return half_width(result._model, level, result.absolute_sigma, result.degrees_of_freedom)


def half_width(model: Any, level: float, absolute_sigma: bool, degrees: int) -> float:
    """Return the half-width, in standard errors, of an interval of this probability.

    It is the quantile of Student's t with the degrees of freedom of the fit, since the errors were estimated; that of
    the normal distribution if they are known (absolute_sigma). NaN without degrees of freedom.
    """
    if not isinstance(level, int | float | np.number) or not 0 < level < 1:
        raise ValueError(f"level is a probability between 0 and 1, such as 0.95, not {level!r}")
    above = (1 - float(level)) / 2  # by symmetry: 1 - above would lose digits for levels close to 1
    if model.bits == PORTABLE:
        return quantile_above(above, None if absolute_sigma else degrees)
    with needed("an interval", "SciPy", "scipy"):
        from scipy.special import ndtri, stdtrit  # noqa: PLC0415 (optional)
    if absolute_sigma:
        return -float(ndtri(above))
    return -float(stdtrit(degrees, above)) if degrees > 0 else math.nan


@lru_cache(maxsize=1000)  # it takes some milliseconds, and fits of as many samples ask for the same ones
def quantile_above(above: float, degrees: int | None) -> float:
    """Return the number that a standard variable is above with a probability of at most 1/2.

    Its distribution is Student's t with some degrees of freedom, NaN without any; None is the normal distribution.
    """
    if degrees is not None and degrees <= 0:
        return math.nan
    if above >= 0.5:
        return 0.0
    return contextvars.Context().run(_quantile_above, above, degrees)


def _quantile_above(above: float, degrees: int | None) -> float:
    with localcontext(Context(prec=DIGITS)):
        target = Decimal(above)
        t = _start(target) if degrees is None else _start_of_t(target, Decimal(degrees))
        for _ in range(STEPS):
            left, density = _normal(t) if degrees is None else _student(t, Decimal(degrees))
            step = (left.ln() - target.ln()) * left / density  # on the logarithm, which is nearly straight
            t = max(t + step, t / 2)
            if abs(step) < abs(t) * Decimal(10) ** -25:
                break
        return float(t)


def _start(above: Decimal) -> Decimal:
    """Return about the quantile of the normal distribution."""
    return (-2 * (2 * above).ln()).sqrt() * Decimal("0.9")


def _start_of_t(above: Decimal, degrees: Decimal) -> Decimal:
    """Return about the quantile of Student's t, whose tail falls as a power of t."""
    t = _start(above)
    if degrees > 30:
        return t * (1 + (t * t + 1) / (4 * degrees))
    if degrees > 2:
        return t * (t * t / degrees / 2).exp().min(Decimal(10))
    return (1 / (2 * above)) ** (1 / degrees)


def _normal(t: Decimal) -> tuple[Decimal, Decimal]:
    """Return the probability above t >= 0 of the normal distribution, and its density there."""
    density = (-t * t / 2).exp() / (2 * PI).sqrt()
    if t > 6:  # the continued fraction of Mills' ratio
        value = t
        for k in range(400, 0, -1):
            value = t + k / value
        return density / value, density
    term = total = t
    k = 1
    while term > total * Decimal(10) ** -DIGITS:
        k += 2
        term *= t * t / k
        total += term
    return Decimal("0.5") - density * total, density


def _student(t: Decimal, degrees: Decimal) -> tuple[Decimal, Decimal]:
    """Return the probability above t > 0 of Student's t with some degrees of freedom, and its density there."""
    x = degrees / (degrees + t * t)
    a, half = degrees / 2, Decimal("0.5")
    log_beta = _log_gamma(a) + PI.ln() / 2 - _log_gamma(a + half)
    front = (a * x.ln() + half * (1 - x).ln() - log_beta).exp()
    density = (-log_beta - degrees.ln() / 2 + (a + half) * x.ln()).exp()
    if x < (a + 1) / (a + half + 2):
        return front * _fraction(x, a, half) / a / 2, density
    return (1 - front * _fraction(1 - x, half, a) / half) / 2, density


def _fraction(x: Decimal, a: Decimal, b: Decimal) -> Decimal:
    """Return the continued fraction of the incomplete beta function (Lentz's method; DLMF 8.17.22)."""
    tiny, unit = Decimal(10) ** -200, Decimal(1)
    c, d = unit, unit - (a + b) * x / (a + 1)
    d = unit / (d or tiny)
    value = d
    for m in range(1, 100_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = unit / ((unit + factor * d) or tiny)
            c = (unit + factor / c) or tiny
            value *= c * d
        if abs(c * d - unit) < Decimal(10) ** -(DIGITS - 4):
            break
    return value


BERNOULLI = ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510), (43867, 798),
             (-174611, 330), (854513, 138), (-236364091, 2730), (8553103, 6))  # fmt: skip
"""The Bernoulli numbers B2, B4, ... as fractions."""


def _log_gamma(a: Decimal) -> Decimal:
    """Return log(gamma(a)) for a > 0, by Stirling's series after a shift."""
    shift = Decimal(1)
    while a < 60:
        shift *= a
        a += 1
    series = (a - Decimal("0.5")) * a.ln() - a + (2 * PI).ln() / 2
    for k, (above, below) in enumerate(BERNOULLI, 1):
        series += Decimal(above) / (below * 2 * k * (2 * k - 1) * a ** (2 * k - 1))
    return series - shift.ln()

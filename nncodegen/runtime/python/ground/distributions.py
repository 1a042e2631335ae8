"""The distributions of targets whose scale is a formula: residuals in units of it, and intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .facts import Facts
    from .types import Array

SMALL_NOISE, LEAST_SCATTER = 1e-7, 0.1
"""A noise below this part of its target must at least have residuals with this mean square, in units of the noise: else
it shrinks on, and the likelihood has no bound."""

LOGARITHM, LAPLACE = "log_", "laplace"
"""The beginning of the names of distributions of logarithms, and the end of those of Laplace's distribution."""


def kinds_of_columns(facts: Facts) -> list[str]:
    """Return the distribution of each column of Y, (K,)."""
    kinds = zip(facts.fitting.noise, facts.samples.targets, strict=True)
    return [kind for kind, (_, columns) in kinds for _ in range(columns)]


def are_logarithms(facts: Facts) -> Array:
    """Return a mask of the columns of Y whose logarithms are distributed, (K,)."""
    return np.array([kind.startswith(LOGARITHM) for kind in kinds_of_columns(facts)])


def in_units_of_noise(facts: Facts, outputs: Array, Y: Array, scales: Array) -> tuple[Array, Array]:
    """Return the residuals in units of the noise, (N, K), and the standard deviations that give them, (N, K).

    Of a logarithm, the residual is (log(output) - log(target))/scale, and the standard deviation is the scale times
    the logarithmic mean of both, so that residual times deviation is output - target in any case.
    """
    outputs, targets = outputs.astype(float), Y.astype(float)
    logarithms = are_logarithms(facts)
    deviations = np.where(logarithms, scales * _logarithmic_mean(outputs, targets), scales)
    with np.errstate(invalid="ignore", divide="ignore"):
        residuals = (outputs - targets) / deviations
    return residuals, deviations


def scales_of(facts: Facts, residuals: Array, Y: Array, deviations: Array) -> Array:
    """Return the scales that ``in_units_of_noise`` had, (N, K), from its results."""
    targets = Y.astype(float)
    outputs = targets + residuals * deviations
    return np.where(are_logarithms(facts), deviations / _logarithmic_mean(outputs, targets), deviations)


def vanishes(facts: Facts, residuals: Array, Y: Array, scales: Array) -> bool:
    """Return whether the noise of targets vanishes, where the likelihood has no bound, from residuals in its units."""
    size = np.where(are_logarithms(facts), 1.0, np.abs(Y.astype(float)) + np.nan_to_num(np.abs(residuals * scales)))
    small = ~np.isnan(Y) & (scales <= SMALL_NOISE * size)
    return bool(small.any()) and not float(np.mean(residuals[small] ** 2)) >= LEAST_SCATTER


def reason_not_finite(facts: Facts, outputs: Array, Y: Array, scales: Array, rows: Array) -> str:
    """Return why the likelihood of targets is not finite where their outputs are, as the end of a sentence, or "".

    ``rows`` are the places of the samples among all of them, (N,).
    """
    known, logarithms = ~np.isnan(Y), are_logarithms(facts)
    for values, what in ((Y, ""), (outputs, "the output for ")):
        place = _first(known & logarithms & (values <= 0))
        if place:
            named = f"{what}Y[{rows[place[0]]}, {place[1]}]"
            return f"is that of logarithms, and {named} is {values[place]:.4g}: it must be above 0"
    place = _first(known & np.isfinite(outputs) & ~(scales > 0))
    if not place:
        return ""
    return (
        f"is not above 0 at the start, for Y[{rows[place[0]]}, {place[1]}]: give its parameters other starts, or write "
        f"a formula that is above 0, such as a + b*abs(output)"
    )


def _first(places: Array) -> tuple[int, int] | None:
    """Return the first place that is marked, (N, K), as row and column; None without one."""
    marked = np.argwhere(places)
    return (int(marked[0, 0]), int(marked[0, 1])) if len(marked) else None


def reaches(facts: Facts, scales: Array, level: float, t: float) -> Array:
    """Return how far from its location a new target lies with a probability ``level``, (N, K).

    ``t`` is the quantile of the normal distribution for it.
    """
    laplace = np.array([kind.endswith(LAPLACE) for kind in kinds_of_columns(facts)])
    return scales * np.where(laplace, -math.log1p(-level) if level < 1 else math.inf, t)


def _logarithmic_mean(a: Array, b: Array) -> Array:
    """Return (a - b)/(log(a) - log(b)), which is a where both are equal; NaN unless both are above 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((a > 0) & (b > 0), a / b, np.nan) - 1
        small = np.abs(ratio) < 1e-4
        series = b * (1 + ratio / 2 - ratio**2 / 12 + ratio**3 / 24)
        mean: Array = np.where(small, series, b * ratio / np.where(small, 1, np.log1p(ratio)))
    return mean

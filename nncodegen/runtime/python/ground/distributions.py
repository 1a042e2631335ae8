"""The distributions of targets whose scale is a formula: residuals in units of it, and intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .facts import Facts
    from .types import Array

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
        mean = np.where(small, series, b * ratio / np.where(small, 1, np.log1p(ratio)))
    return mean

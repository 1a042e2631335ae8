"""Measures of how well a model fits: the coefficient of determination, and the criteria of Akaike and Schwarz."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.algebra import BY_LAPACK, Algebra

if TYPE_CHECKING:
    from ..ground.facts import Samples
    from ..ground.types import Array


def r2(Y: Array, residuals: Array, sigma: Any, samples: Samples, algebra: Algebra = BY_LAPACK) -> float:
    """Return 1 - sum(r**2)/sum(((y - mean)/sigma)**2), for data and residuals of the shape (N, K).

    The mean is that of each column, weighted by 1/sigma**2; of an output over times, that of all its times, as a single
    trajectory has one value in each column. Missing values (NaN in Y) do not count. The result is NaN if the data do
    not vary, and if the output of a value is not finite.
    """
    used = ~np.isnan(residuals)
    if not used[~np.isnan(np.asarray(Y, float))].all():
        return math.nan
    weights = np.where(used, 1 / per_value(sigma, residuals.shape) ** 2, 0)
    values = np.where(used, Y, 0).astype(float)
    if samples.over_times:  # all outputs have the same times
        weights, values = (_by_output(array, len(samples.targets)) for array in (weights, values))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = algebra.total(weights * values, 0) / algebra.total(weights, 0)
        total = float(algebra.total(np.nan_to_num(weights * (values - means) ** 2, posinf=np.inf)))
        # the rest that rounding leaves
        rounding = 16 * np.finfo(float).eps ** 2 * float(algebra.total(weights * values**2))
    squares = float(algebra.total(np.nan_to_num(residuals.astype(float) ** 2, posinf=np.inf)))
    return 1 - squares / total if total > rounding else math.nan


def _by_output(values: Array, outputs: int) -> Array:
    """Return (N, outputs*times) values as (N*times, outputs)."""
    return values.reshape(len(values), outputs, -1).transpose(0, 2, 1).reshape(-1, outputs)


def per_value(sigma: Any, shape: tuple[int, ...]) -> Array:
    """Return the standard deviation of each of (N, K) values: 1 for None; (N,) holds for all columns."""
    deviations = np.asarray(1.0 if sigma is None else sigma, float)
    return np.broadcast_to(deviations[:, None] if deviations.ndim == 1 else deviations, shape)


def deviance(chi2: float, count: int, absolute_sigma: bool, algebra: Algebra = BY_LAPACK) -> float:
    """Return -2*log of the largest likelihood of normal errors, without the terms that only depend on the data.

    With absolute_sigma it is chi2. Otherwise sigma is known up to a factor, whose most likely square is chi2/n; then it
    is n*log(chi2/n), as in lmfit (K. P. Burnham, D. R. Anderson, Model Selection and Multimodel Inference, 2002,
    section 2.2). The terms left out are n*log(2*pi) and sum(log(sigma**2)), and n in the second case.
    """
    if absolute_sigma:
        return chi2
    if not count or math.isnan(chi2):
        return math.nan
    return count * algebra.log(chi2 / count) if chi2 > 0 else -math.inf


def aic(chi2: float, count: int, free: int, absolute_sigma: bool, algebra: Algebra = BY_LAPACK) -> float:
    """Return Akaike's criterion, the deviance plus 2*free (H. Akaike, 1974)."""
    return deviance(chi2, count, absolute_sigma, algebra) + 2 * free


def aicc(chi2: float, count: int, free: int, absolute_sigma: bool, algebra: Algebra = BY_LAPACK) -> float:
    """Return Akaike's criterion, corrected for few data: aic + 2*K*(K + 1)/(n - K - 1).

    K is the number of free parameters, and 1 for the variance of the data unless it is known (N. Sugiura, 1978; C. M.
    Hurvich, C.-L. Tsai, 1989). NaN for n of at most K + 1.
    """
    known = free if absolute_sigma else free + 1
    left = count - known - 1
    whole = aic(chi2, count, free, absolute_sigma, algebra)
    return whole + 2 * known * (known + 1) / left if left > 0 else math.nan


def bic(chi2: float, count: int, free: int, absolute_sigma: bool, algebra: Algebra = BY_LAPACK) -> float:
    """Return Schwarz's criterion, the deviance plus free*log(n) (G. Schwarz, 1978)."""
    return deviance(chi2, count, absolute_sigma, algebra) + free * algebra.log(max(count, 1))

"""Profiles of the parameters of many fits: followed side by side where the fits are made so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.warn import warn
from ..quantiles import half_width
from .follow import Best, Follower, stacked
from .many import ManyProfiles
from .observed import quantity_profiles_of_many
from .profile import Scale
from .single import apart, checked_options, followed_within, positions_of
from .walk import UNFINISHED

if TYPE_CHECKING:
    from ...ground.types import Array


def profiles_of_many(
    fits: Any, level: float, parameters: Any, threads: int, time_limit: float | None, progress: bool
) -> ManyProfiles:
    """Return the profiles of some parameters of each fit: see ``ManyFits.profiles``."""
    threads, time_limit = checked_options(threads, time_limit)
    problem = fits._result
    if not hasattr(problem, "fit_again"):
        raise ValueError("the data of these fits are not known: profiles fit them again, which a file cannot")
    model, options = fits._model, problem.data.options
    quantities, others = apart(fits.derived.names, parameters)
    positions = positions_of(fits.names, ~options.fixed, others) if others or not quantities else np.empty(0, int)
    half_widths = _half_widths(fits, level, options.absolute_sigma)
    is_determined = fits.success | (fits.status == "singular")
    is_noisy = options.absolute_sigma | ~(fits.chi2 <= 0)
    places = np.flatnonzero(is_determined & is_noisy & np.isfinite(half_widths))
    if not len(places):
        raise ValueError("none of these fits converged with degrees of freedom left: there is nothing to follow")
    scales = np.ones(len(places)) if options.absolute_sigma else fits.reduced_chi2[places]
    t = half_widths[places]
    curved = model.facts.fitting.curved
    costs = np.array([fits[m].cost for m in places.tolist()]) if curved else fits.chi2[places] / 2
    best = Best(
        fits.parameters[places].astype(float),
        t[:, None] * fits.standard_errors[places],
        costs,
        t**2 * scales / 2,
        *problem.bounds,
    )

    def fit_again(position: int, some: Array, starts: Array) -> tuple[Array, Array]:
        costs, points = problem.fit_again(position, places[some], starts, threads)
        return costs, points.astype(float)

    parts = []
    if len(positions):
        parts.append(followed_within(Follower(best, positions, fit_again), time_limit, progress))
    if quantities:
        results = [fits[m] for m in places.tolist()]
        parts.append(quantity_profiles_of_many(results, quantities, t, threads, time_limit, progress))
    followed = stacked(parts)
    scale = Scale(costs, scales / 2, t**2)
    profiles = ManyProfiles(fits, places, positions, float(level), scale, followed, tuple(quantities))
    if (followed.ends == UNFINISHED).any():
        warn(f"the profiles of {model.name} are not complete: the time limit was reached", RuntimeWarning)
    if followed.lower:
        warn(
            f"profiles of {len(followed.lower):,} of {len(fits):,} fits reached a lower cost than the fit did, so that "
            f"their intervals are not right; the attribute lower of the profiles tells which",
            RuntimeWarning,
        )
    return profiles


def _half_widths(fits: Any, level: float, absolute: bool) -> Array:
    """Return the half-widths of intervals in standard errors, (M,): NaN without degrees of freedom."""
    degrees, places = np.unique(fits.degrees_of_freedom, return_inverse=True)
    widths = np.array([half_width(fits._model, level, absolute, int(each)) for each in degrees])
    return widths[places]

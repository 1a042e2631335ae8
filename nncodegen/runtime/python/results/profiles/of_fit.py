"""Profiles of the parameters and quantities of one fit, with verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.warn import warn
from .follow import Followed, stacked
from .observed import quantity_profiles
from .profile import Profiles, Scale
from .single import (
    apart,
    check_converged,
    checked_options,
    follow,
    level_of,
    lost_by,
    null_of,
    positions_of,
    warn_of_lower,
)
from .verdicts import NOT_IDENTIFIABLE, Direction, Verdict, along_path, verdict_of_ends, with_direction
from .walk import UNFINISHED

if TYPE_CHECKING:
    from ...ground.types import Array


def profiles_of(
    result: Any, level: float, parameters: Any, threads: int, time_limit: float | None, progress: bool
) -> Profiles:
    """Return the profiles of some parameters of a fit: see ``FitResult.profiles``."""
    threads, time_limit = checked_options(threads, time_limit)
    check_converged(result)
    t = level_of(result, level)
    if result.error_scale <= 0:
        raise ValueError(f"the data of {result.model_name} are met exactly: without errors there are no profiles")
    quantities, others = apart(result.derived.names, parameters)
    positions = np.empty(0, int)
    parts: list[Followed] = []
    if not quantities or others:
        positions = positions_of(result.names, result.free, others)
        parts.append(follow(result, t, positions, threads, time_limit, progress))
    if quantities:
        parts.append(quantity_profiles(result, quantities, t, threads, time_limit, progress))
    followed = parts[0] if len(parts) == 1 else stacked(parts)
    if (followed.ends == UNFINISHED).any():
        warn(f"the profiles of {result.model_name} are not complete: the time limit was reached", RuntimeWarning)
    scale = Scale(float(result.cost), result.error_scale / 2, t**2)
    if followed.lower:
        ((cost, better),) = followed.lower.values()
        warn_of_lower(result, cost, better)
        result = result._again_from(better)
    elif parameters is None and not np.isnan(followed.intervals).any():
        result._profiles[t] = followed
    names = (*(result.names[position] for position in positions), *quantities)
    return Profiles(result, names, float(level), scale, followed, verdicts_of(result, positions, followed))


def intervals_by_profiles(result: Any, t: float) -> Array:
    """Return the values (P, 2) where the profiles of all parameters cross a level; fixed parameters keep their values.

    Profiles to this level that the result has already are used again.
    """
    intervals = np.repeat(result.parameters.astype(float)[:, None], 2, axis=1)
    if result.error_scale <= 0:  # in a fit without residuals, any change is too much
        return intervals
    positions = np.flatnonzero(result.free)
    known = result._profiles.get(t)
    if known is None:
        known = follow(result, t, positions)
        if known.lower:
            warn_of_lower(result, *known.lower[0])
    intervals[positions] = known.intervals
    return intervals


def verdicts_of(result: Any, positions: Array, followed: Followed) -> list[Verdict]:
    """Return the verdict on each parameter."""
    lost, verdicts = lost_by(result), []
    curves = followed.curves
    for place, position in enumerate(positions.tolist()):
        name, part = result.names[position], slice(*curves.begins[place : place + 2].tolist())
        is_lost = bool(lost[position])
        verdict = verdict_of_ends(followed.intervals[place].tolist(), followed.ends[place].tolist(), is_lost)
        if verdict.word == NOT_IDENTIFIABLE:
            path = curves.points[part]
            middles = path[len(path) // 8], path[-1 - len(path) // 8]
            if is_lost and (direction := _direction(result, middles)) is not None:
                verdict = with_direction(verdict, name, direction)
            else:
                verdict = along_path(verdict, result.names, position, path)
        verdicts.append(verdict)
    for interval, ends in zip(followed.intervals[len(positions) :], followed.ends[len(positions) :], strict=True):
        verdicts.append(verdict_of_ends(interval.tolist(), ends.tolist(), False))
    return verdicts


def _direction(result: Any, others: Sequence[Array]) -> Direction | None:
    """Return the directions without effect at the best fit and at other points; None where they are not known."""
    points = [result.parameters.astype(float), *others]
    null = [null_of(result, point) for point in points]
    known = [directions for directions in null if directions is not None and len(directions)]
    if len(known) < len(null):
        return None
    names = tuple(name for name, moves in zip(result.names, result.free, strict=True) if moves)
    return Direction(names, [point[result.free] for point in points], known)

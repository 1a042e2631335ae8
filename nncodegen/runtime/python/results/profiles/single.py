"""Profiles of the parameters of one fit, followed by the problem that it solved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arguments.scalars import THREADS, integer
from ...ground.facts import name_of
from ...ground.same_bits import refuse
from ...ground.share import is_ended, share
from ...ground.warn import warn
from ...ground.watch import Watch
from ..covariance import decompose
from ..quantiles import quantile
from .follow import Best, Followed, Follower
from .verdicts import CLOSE
from .walk import UNFINISHED

NEARLY = 1e-11
"""The ratio to the largest singular value up to which rounding may have made others of 0."""

if TYPE_CHECKING:
    from ...ground.types import Array
    from ..fitted import Fitted


def check_converged(result: Any) -> None:
    """Raise ValueError for a fit that ended elsewhere than at a minimum."""
    if not result.converged:
        raise ValueError(
            f"profiles begin at a minimum, and the fit of {result.model_name} did not converge: {result.message}"
        )


def level_of(result: Fitted, level: float) -> float:
    """Return the root of the rise at a level, in standard errors. Raises ValueError if there is none."""
    refuse(result._model.facts, "what profiles compute by NumPy and SciPy,")
    t = quantile(result, level)
    if math.isnan(t):
        raise ValueError(
            f"profiles need degrees of freedom, and there are {result.used} data for {result.free_count} free "
            f"parameters: fit more data, or give sigma with absolute_sigma=True"
        )
    return t


def warn_of_lower(result: Fitted, cost: float, better: Array) -> None:
    """Warn of a lower cost, with its parameters, than that from which profiles began."""
    warn(
        f"a profile reached a lower cost, {cost:.6g}, than the fit did, {result.cost:.6g}, so that its "
        f"intervals are not right: fit again with p0={better.tolist()}",
        RuntimeWarning,
    )


def positions_of(names: tuple[str, ...], is_free: Array, parameters: Any) -> Array:
    """Return the indices of parameters by their names or symbols: all that are free for None.

    The name of a parameter that is an array, or that each group has for itself, stands for all its values. Raises
    ValueError for one that is not there, or is fixed.
    """
    if parameters is None:
        return np.flatnonzero(is_free)
    positions: list[int] = []
    for key in map(name_of, listed_keys(parameters)):
        places = [k for k, name in enumerate(names) if name == key or _base(name) == key]
        if not places:
            raise ValueError(f"there is no parameter {key!r} to follow; there are: {', '.join(names[:50])}")
        free = [place for place in places if is_free[place]]
        if not free:
            raise ValueError(f"the parameter {key!r} is fixed, so that it has no profile: leave it out")
        positions += [place for place in free if place not in positions]
    if not positions:
        raise ValueError("no parameter is named to follow: leave parameters out, which takes all that are free")
    return np.array(positions, int)


def listed_keys(parameters: Any) -> list[Any]:
    """Return names or symbols as a list: one of them may stand for itself."""
    return list(parameters) if isinstance(parameters, list | tuple) else [parameters]


def apart(names: Sequence[str], parameters: Any) -> tuple[list[str], Any]:
    """Return the quantities, of some names, among the names or symbols of what to follow, and what is left of these.

    The name of a quantity that each group has stands for all of them.
    """
    if parameters is None:
        return [], None
    quantities, others = [], []
    for key in map(name_of, listed_keys(parameters)):
        known = [name for name in names if key in (name, _base(name))]
        quantities += [name for name in known if name not in quantities]
        others += [] if known else [key]
    return quantities, others


def _base(name: str) -> str:
    """Return the name of the parameter of which a value is an element, or that groups have."""
    return name.partition("[")[0]


def follow(
    result: Any, t: float, positions: Array, threads: int = 1, time_limit: float | None = None, progress: bool = False
) -> Followed:
    """Follow the profiles of parameters of a fit, by their indices."""
    if result._refit is None:
        raise ValueError("this result holds nothing to fit again with; use method='t'")
    count, held = len(result.parameters), held_by(result)

    def fit_again(position: int, fits: Array, starts: Array) -> tuple[Array, Array]:
        costs, points = np.empty(len(starts)), np.empty((len(starts), count))

        def work(first: int, last: int) -> None:
            for place in range(first, last):
                if is_ended():
                    raise KeyboardInterrupt
                fixed = {**held, position: float(starts[place, position])}
                costs[place], points[place] = result._refit(fixed, starts[place])

        share(work, len(starts), 1, threads)
        return costs, points

    return followed_within(Follower(_best_of(result, t), positions, fit_again), time_limit, progress)


def checked_options(threads: Any, time_limit: Any) -> tuple[int, float | None]:
    """Return the number of threads and the seconds of a time limit. Raises ValueError for values out of range."""
    if time_limit is not None and not (isinstance(time_limit, int | float | np.number) and time_limit >= 0):
        raise ValueError(f"time_limit is {time_limit!r}; expected a number of seconds, at least 0, or None")
    return integer("threads", threads, 1, THREADS), None if time_limit is None else float(time_limit)


def followed_within(follower: Any, time_limit: float | None, progress: bool) -> Followed:
    """Return the profiles of a follower, at least as far as a time limit allows."""
    watch = _FollowerWatch(follower, time_limit, progress)
    followed: Followed
    try:
        with watch.asked_by_calls():
            follower.follow()
            followed = follower.followed(True)
    except KeyboardInterrupt:
        if not watch.reason:
            raise
        followed = follower.followed(False)
    finally:
        watch.show(last=True)
    return followed


def held_by(result: Fitted) -> Mapping[int, float]:
    """Return the fixed parameters of a fit by their indices."""
    return {int(k): float(result.parameters[k]) for k in np.flatnonzero(~result.free)}


def _best_of(result: Fitted, t: float) -> Best:
    """Return the fit from which its profiles begin, to the level that is t standard errors away."""
    count = len(result.parameters)
    low, high = result._bounds or (np.full(count, -np.inf), np.full(count, np.inf))
    errors = np.asarray(result.standard_errors, float).copy()
    errors[lost_by(result)] = np.inf
    return Best(
        result.parameters[None].astype(float),
        t * errors[None],
        np.array([result.cost], float),
        np.array([t**2 * result.error_scale / 2], float),
        np.asarray(low, float),
        np.asarray(high, float),
    )


def lost_by(result: Any) -> Array:
    """Return which parameters no derivative determines, (P,): rounding may have given them standard errors."""
    lost = np.isin(np.array(result.names), result.undetermined)
    if result.condition > 1 / NEARLY and (null := null_of(result, result.parameters.astype(float))) is not None:
        lengths = np.abs(null) / np.maximum(np.abs(null).max(axis=1, keepdims=True), np.finfo(float).tiny)
        lost[np.flatnonzero(result.free)[(lengths > CLOSE).any(axis=0)]] = True
    return lost


def null_of(result: Any, point: Array) -> Array | None:
    """Return the directions (D, F) of the free parameters that change no output at a point."""
    triangle = result._triangle_at(point)
    if triangle is None or not np.isfinite(triangle).all():
        return None
    decomposition = decompose(triangle, result._model.epsilon)
    singular = decomposition.singular
    rank = min(decomposition.rank, int(np.count_nonzero(singular > NEARLY * singular.max(initial=0))))
    directions: Array = decomposition.directions[rank:] / decomposition.norms
    return directions


class _FollowerWatch(Watch):
    """The watch of profiles that are followed."""

    def __init__(self, follower: Any, time_limit: float | None, progress: bool) -> None:
        self._follower = follower
        super().__init__(self, time_limit, progress, None, None, len(follower.ends), "end")

    def count_done(self) -> int:
        """Return the number of ends that have been reached."""
        return int(np.count_nonzero(self._follower.ends != UNFINISHED))

    def figures(self) -> dict[str, float]:
        """Return an empty dictionary: no figure describes all profiles."""
        return {}

    def progress(self) -> None:
        """Return None: there is no callback."""

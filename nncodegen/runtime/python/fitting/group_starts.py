"""The search for starts of a fit in groups: shared values from one group at a time, own values that suit them.

A fit of one group by itself tells values of the shared parameters that belong together. Their medians over all groups
need not: where two terms of a formula may be exchanged, or a sign, groups end at different ones of equal minima, and
medians mix them. So the shared values of each group are tried as they are, and those of all data as one group. With
them, each group is fitted by its own parameters alone; the candidates that leave least begin fits of all groups, beside
the start that was given, which therefore is never better than the result.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..ground.share import is_ended, share
from ..ground.watch import ended_by
from .automatic import automatic_start
from .curve_starts import curve_start
from .problem import of_samples
from .starting_points import best_start, reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ground.types import Array
    from .fit_watch import FitWatch
    from .problem import Problem

SEARCHED = 12
"""The most groups whose shared values are candidates, and by which candidates are compared, spread over all groups."""

KEPT = 3
"""The candidates at which fits of all groups begin, beside the start that was given."""

EXAMPLES = 6
"""The most groups whose own values are tried in another group."""

POOR = 4.0
"""A group is searched again with shared values that raise its cost, relative to its fit by itself, by this many times
as much as that of most groups."""

SAME = 1e-4
"""Candidates whose costs differ by less than this part count as one."""


class GroupSearch(NamedTuple):
    """The way to a start: in the data, by points within the bounds, or by the estimates of curves alone.

    ``points`` is the number of points within the bounds, or None; ``given`` is the mask (P,) of the parameters whose
    values the user gave.
    """

    looks: bool
    points: int | None
    seed: int
    given: Array

    def begin(self, group: Problem, start: Array, held: Array | None) -> Array:
        """Return the start of one group, (P,)."""
        if self.points is not None:
            return best_start(group, start, held, self.points, self.seed, 1, None)
        if self.looks:
            return automatic_start(group, start, held, self.seed, 1, None, self.given)[1]
        return curve_start(group, start, held, self.given)


def candidates(
    problem: Problem,
    begins: Array,
    order: Array,
    own_indices: Sequence[int],
    starts: Array,
    held: Array | None,
    search: GroupSearch,
    threads: int,
    watch: FitWatch | None,
) -> list[Array]:
    """Return starts of all groups, (G, P) each, the given one first; held parameters keep their values in it.

    If a watch ends the search, these are the given start, and what is known by then.
    """
    group_search = _Search(problem, begins, order, own_indices, starts, held, search, threads)
    with ended_by(watch):
        group_search.run()
    return [starts, *group_search.kept]


class _Search:
    """A running search."""

    def __init__(
        self,
        problem: Problem,
        begins: Array,
        order: Array,
        own_indices: Sequence[int],
        starts: Array,
        held: Array | None,
        search: GroupSearch,
        threads: int,
    ) -> None:
        self.problem, self.starts, self.search, self.threads = problem, starts, search, threads
        self.groups = [of_samples(problem, order[first:last]) for first, last in pairwise(begins.astype(int).tolist())]
        self.fixed = np.zeros(starts.shape[1], np.uint8) if held is None else held.astype(np.uint8)
        is_own = np.isin(np.arange(starts.shape[1]), list(own_indices))
        self.own, self.shared = np.flatnonzero(is_own & (self.fixed == 0)), np.flatnonzero(~is_own & (self.fixed == 0))
        self.held = np.maximum(self.fixed, (~is_own).astype(np.uint8))
        """The mask of the parameters that a group keeps while its own ones follow shared values"""
        there = np.flatnonzero([not np.isnan(group.Y).all() for group in self.groups])
        chosen = there if not len(self.shared) else there[:: -(-len(there) // SEARCHED) or 1]
        self.chosen = chosen.tolist()
        self.alone: dict[int, tuple[float, Array]] = {}
        """The cost and the parameters of groups that were fitted by themselves"""
        self.kept: list[Array] = []

    def run(self) -> None:
        """Fill ``kept``."""

        def fit_alone(first: int, last: int) -> None:
            for place in self.chosen[first:last]:
                if is_ended():
                    raise KeyboardInterrupt
                begin = self.search.begin(self.groups[place], self.starts[place], self.fixed)
                solution = self.groups[place].solve(begin, self.fixed, with_residuals=False)
                cost = solution.cost if np.isfinite(solution.cost) else np.inf
                self.alone[place] = cost, solution.parameters

        share(fit_alone, len(self.chosen), 1, self.threads)
        if not self.alone:
            return
        if not len(self.shared):
            point = self.starts.copy()
            for place, (_, parameters) in self.alone.items():
                point[place] = parameters
            self.kept.append(point)
            return
        trials = [self._suited(shared, self.chosen) for shared in self._shared_values()]
        total = np.array([sum(cost for cost, _ in trial.values()) for trial in trials])
        last = np.inf
        for place in np.argsort(np.where(np.isnan(total), np.inf, total), kind="stable"):
            if len(self.kept) == KEPT or not np.isfinite(total[place]):
                break
            if abs(total[place] - last) > SAME * total[place]:
                self.kept.append(self._whole(trials[place]))
                last = total[place]

    def _shared_values(self) -> list[Array]:
        """Return parameters, (P,) each, whose shared values are tried."""
        points = [parameters for _, (_, parameters) in sorted(self.alone.items())]
        points.append(np.median(points, axis=0).astype(points[0].dtype))
        if len(self.groups) > 1:  # groups may be too small to tell all parameters by themselves
            pooled = self.search.begin(self.problem, self.starts[self.chosen[0]], self.fixed)
            points.append(self.problem.solve(pooled, self.fixed, with_residuals=False).parameters)
        return [point for point in points if np.isfinite(point).all()]

    def _suited(self, shared: Array, places: Sequence[int]) -> dict[int, tuple[float, Array]]:
        """Return the cost and the parameters of groups whose own parameters suit shared values, (P,)."""
        best = {}
        examples = [shared, *(self.alone[place][1] for place in self.chosen[:: -(-len(self.chosen) // EXAMPLES)])]
        for place in places:
            if is_ended():
                raise KeyboardInterrupt
            points = [*([self.alone[place][1]] if place in self.alone else []), self.starts[place], *examples]
            best[place] = self._best(place, shared, np.array(points))
        return best

    def _best(self, place: int, shared: Array, own_values: Array) -> tuple[float, Array]:
        """Return the cost and the parameters of a group that begins at some own values, (K, P), with shared ones."""
        points = np.tile(self.starts[place], (len(own_values), 1))
        points[:, self.shared], points[:, self.own] = shared[self.shared], own_values[:, self.own]
        if not len(self.own):
            points = points[:1]
        costs, ends, _ = reached(self.groups[place], points, self.held, 1, None)
        costs = np.where(np.isfinite(costs), costs, np.inf)
        best = int(np.argmin(costs))
        return float(costs[best]), ends[best]

    def _whole(self, trial: dict[int, tuple[float, Array]]) -> Array:
        """Return the start of all groups, (G, P), that continues a trial with some of them."""
        shared = next(iter(trial.values()))[1]
        others = [place for place in range(len(self.groups)) if place not in trial]
        every = {**trial, **self._suited(shared, others)}
        if self.search.looks and len(self.own):
            growth = {place: every[place][0] / (cost or 1.0) for place, (cost, _) in self.alone.items()}
            usual = float(np.median([*growth.values()]))
            for place in [place for place, ratio in growth.items() if ratio > POOR * usual]:
                begin = every[place][1]
                end = automatic_start(
                    self.groups[place], begin, self.held, self.search.seed, 1, None, self.search.given
                )[1]
                every[place] = min(
                    every[place], self._best(place, shared, end[None]), key=lambda candidate: candidate[0]
                )
        return np.array([every[place][1] for place in range(len(self.groups))])

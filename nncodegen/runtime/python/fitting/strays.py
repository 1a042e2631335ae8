"""Groups of a fit that went astray: they fit much worse than the others, and begin again by themselves.

While shared parameters are far from the solution, a step that serves most groups may lead some to other minima, which
are often far away, so that the whole fit waits for them. So groups whose cost for a value is many times the usual one
are fitted by themselves, with the present shared parameters: from their starts, and from the own parameters of another
group, that of some which fit well whose values suit them best. The fit of all groups continues from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from ..ground.share import is_ended, share
from ..native.algebra import algebra_of

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model
    from .problem import Problem

MANY_TIMES, SUSPECTS = 4.0, 3
"""A group is astray if its cost for a value is this many times the usual one; at most this part of all groups is."""

ALMOST = 0.1
"""Groups have almost arrived where a step promises to lower their cost by less than this part."""

SAME = 1e-3
"""A group whose cost changes by less than this part of it was at that minimum before: it is noise that is larger."""

PART = 4
"""The least number of groups that a thread fits at once."""

EXAMPLES = 32
"""The most groups that fit well whose own parameters are tried."""


class Groups(Protocol):
    """The groups of a fit, of which some go astray: a ``GroupedProblem``, which knows this file."""

    model: Model
    Y: Array
    begins: Array
    own: Array
    threads: int

    @property
    def groups(self) -> int:
        """Return the number of groups."""

    def costs(self, parameters: Array) -> Array:
        """Return the cost of each group, (G,), of the parameters (G, P)."""

    def of_groups(self, places: Array) -> Groups:
        """Return some of the groups."""

    def alone(self, place: int) -> Problem:
        """Return the fit of one group."""


class Found(NamedTuple):
    """The groups that fit better after they began again, by their places, and the point (G, P) with these."""

    moved: Array
    point: Array


class Strays:
    """The search for groups that are astray: each begins again once at most."""

    def __init__(self, problem: Groups, start: Array) -> None:
        self._problem, self._start = problem, start
        there = ~np.isnan(problem.Y).all(axis=1)
        self._used = np.add.reduceat(there, problem.begins[:-1].astype(np.intp), dtype=np.intp)
        self._has_data = self._used > 0
        self._tried = ~self._has_data
        self._total = algebra_of(problem.model).total

    def are_left(self, costs: Array, falls: Array, noise: float) -> bool:
        """Return whether groups are astray, and the others have almost arrived: a step promised the falls (G,).

        ``noise`` is how much rounding may change the cost of all groups.
        """
        bad = self._are_bad(costs, noise)
        if not (bad & ~self._tried).any() or np.count_nonzero(bad) > len(costs) // SUSPECTS:
            return False
        return float(self._total(falls[~bad])) <= ALMOST * float(self._total(costs[~bad]))

    def begin_again(self, point: Array, costs: Array, noise: float) -> Found | None:
        """Fit groups that are astray at a point (G, P) by themselves; return what they find, or None if nothing.

        A group is moved if its cost falls to less than half of it.
        """
        bad = self._are_bad(costs, noise)
        places = np.flatnonzero(bad & ~self._tried)
        worst = np.argsort(-costs[places] / self._used[places], kind="stable")[: len(costs) // SUSPECTS]
        places = np.sort(places[worst])
        if not len(places):
            return None
        self._tried[places] = True
        suspects, own_indices = self._problem.of_groups(places), self._problem.own
        good = np.flatnonzero(~bad & self._has_data)
        starts = self._examples(suspects, point[places], point[good]), self._start[places][:, own_indices]
        held = np.ones(point.shape[1], np.uint8)
        held[own_indices] = 0
        parameters = point.copy()

        def fit(first: int, last: int) -> None:
            for number in range(first, last):
                if is_ended():
                    raise KeyboardInterrupt
                alone, place = suspects.alone(number), places[number]
                least = costs[place] / 2
                for values in starts:
                    begin = point[place].copy()
                    begin[own_indices] = values[number]
                    other = alone.solve(begin, held, with_residuals=False)
                    if other.cost < least:
                        least, parameters[place] = other.cost, other.parameters
                    elif abs(other.cost - costs[place]) <= SAME * costs[place]:
                        break

        share(fit, len(places), PART, self._problem.threads)
        moved = np.flatnonzero((parameters != point).any(axis=1))
        return Found(moved, parameters) if len(moved) else None

    def _are_bad(self, costs: Array, noise: float) -> Array:
        """Return which groups fit much worse than usual, (G,); the usual cost of a value is at least rounding."""
        of_value = costs / np.maximum(self._used, 1)
        usual = np.maximum(np.median(of_value[self._has_data]), noise / self._used.sum())
        bad: Array = of_value > MANY_TIMES * usual
        return bad

    def _examples(self, suspects: Groups, here: Array, good: Array) -> Array:
        """Return own parameters of good groups for each of n suspects: those at which its cost is least, (n, Q).

        ``here`` is (n, P), the parameters of the suspects, and ``good`` those of groups that fit well; own ones that
        are fixed stay those of the suspects, and the shared ones are the same in all rows.
        """
        own_indices = suspects.own
        best, least = here.copy(), np.full(suspects.groups, np.inf)
        for example in good[:: -(-len(good) // EXAMPLES)]:
            trial = here.copy()
            trial[:, own_indices] = example[own_indices]
            costs = suspects.costs(trial)
            better = costs < least
            least[better], best[better] = costs[better], trial[better]
        return best[:, own_indices]

"""The fit of one formula to groups of samples that share some parameters: its arguments and its start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments.arguments import for_c, to_array, to_finite
from ..arguments.bounds import check_within
from ..arguments.grouping import Grouping, grouping_of, own_of
from ..arguments.parameters_by_name import place_of
from ..ground.endings import ENDINGS
from ..ground.facts import flat_names, name_of
from ..ground.watch import ended_by
from ..results.grouped_fit import GroupedFit
from ..results.grouped_with_errors import GroupedFitWithErrors
from .group_starts import candidates
from .grouped import GroupedProblem
from .grouped_with_errors import GroupedProblemWithErrors
from .problem import of_samples

if TYPE_CHECKING:
    from ..arguments.bounds import Bounds
    from ..ground.types import Array
    from ..native.model import Model
    from .fit_watch import FitWatch
    from .group_starts import GroupSearch
    from .problem import Problem


EQUAL = 1e-6
"""The share by which the cost from another start must be lower: of equal minima, that of the given start is taken."""


class Sharing(NamedTuple):
    """The arguments that only a fit in groups has: the groups, and the indices of their own parameters."""

    grouping: Grouping
    own: tuple[int, ...]


def sharing_of(model: Model, groups: Any, own_names: Any, samples: int, terms: Any) -> Sharing | None:
    """Return the groups of a fit, checked, or None without groups. Raises ValueError for options that do not fit."""
    if groups is None:
        if own_names is not None:
            raise ValueError("own has no effect without groups: give groups, a label for each sample")
        return None
    if terms is not None:
        raise ValueError("groups are for X and Y: a network with losses by name has no groups")
    if model.facts.fitting.curved and not model.facts.fitting.noise:
        raise ValueError(
            f"groups are for least squares, robust losses and a noise that is a formula; the loss of {model.name} is "
            f"another, such as a cross-entropy: leave out groups, and fit each of them by itself"
        )
    return Sharing(grouping_of(groups, samples), own_of(model, own_names))


def fit_in_groups(
    problem: Problem,
    sharing: Sharing,
    start: Array,
    fixed: Array | None,
    threads: int,
    watch: FitWatch | None,
    sigma_x: Array | None = None,
    search: GroupSearch | None = None,
) -> GroupedFit:
    """Fit a checked problem, whose samples are in their given order, from a start (G, P), or from the best of a search.

    ``sigma_x`` are the standard deviations of inputs with errors, (N, inputs), in that order, too.
    """
    model, order = problem.model, sharing.grouping.order
    starts = [start]
    if search is not None:
        starts = candidates(problem, sharing.grouping.begins, order, sharing.own, start, fixed, search, threads, watch)
    free = [p for p in range(model.parameter_count) if fixed is None or not fixed[p]]
    own_indices = np.array([p for p in free if p in sharing.own], np.intp)
    shared = np.array([p for p in free if p not in sharing.own], np.intp)
    if (np.diff(order) != 1).any():
        problem = of_samples(problem, order)
    values = (
        model,
        problem.X,
        problem.Y,
        problem.sigma,
        sharing.grouping.begins,
        own_indices,
        shared,
        sharing.own,
        problem.options,
        threads,
    )
    start, first = _best_of(GroupedProblem(*values), starts, watch)
    if sigma_x is None:
        grouped = GroupedProblem(*values)
        solution = grouped.informed(grouped.solve(first, watch, looks_for_strays=True))
        return GroupedFit(grouped, solution, sharing.grouping, start)
    whole = GroupedProblemWithErrors(*values, sigma_x=for_c(model, sigma_x[order]), changes=np.zeros(sigma_x.shape))
    solution = whole.solve(_start_without_errors(GroupedProblem(*values), first, watch), watch)
    if ENDINGS[solution.ending].status in ("stalled", "max_iterations"):
        other = whole.solve(first, watch)
        solution = other if other.rows.cost < solution.rows.cost else solution
    return GroupedFitWithErrors(whole.settled(solution), solution, sharing.grouping, start)


def _best_of(grouped: GroupedProblem, starts: list[Array], watch: FitWatch | None) -> tuple[Array, Array]:
    """Return that of some starts, (G, P), whose fit ends at the least cost, and the parameters at which it ends.

    A single start is returned as it is. If a watch ends the fits, it is the best of those that are done.
    """
    best, end, least = starts[0], starts[0], np.inf
    if len(starts) > 1:
        with ended_by(watch):
            for start in starts:
                solution = grouped.solve(start, looks_for_strays=True)
                if solution.rows.cost < least - EQUAL * abs(least) or not np.isfinite(least):
                    best, end, least = start, solution.parameters, solution.rows.cost
    return best, end


def _start_without_errors(grouped: GroupedProblem, start: Array, watch: FitWatch | None) -> Array:
    """Return the solution of a problem as if its inputs had no errors, (G, P), or the start if there is none.

    Far from a solution, residuals are many times as large as errors are, so that inputs move far, too.
    """
    with ended_by(watch):
        solution = grouped.solve(start, looks_for_strays=True)
        return solution.parameters if ENDINGS[solution.ending].converged else start
    return start


def starts_of(model: Model, sharing: Sharing, initial: Array, p0: Any, fixed: Any, limits: Bounds | None) -> Array:
    """Return the starts, (G, P), from those of one group, (P,), and values that are given for each of the groups.

    p0 may be an array (P,) or (G, P), or a mapping from names to numbers, to (G,) in the order of the groups, or to
    mappings from labels to numbers; the same holds for values of ``fixed``. Raises ValueError.
    """
    labels, count = sharing.grouping.labels, model.parameter_count
    start = np.tile(initial, (len(labels), 1))
    if p0 is not None and not isinstance(p0, Mapping):
        expected = f"expected ({count},), or a row for each of the {len(labels)} groups"
        array = to_array(model, "p0", p0, expected)
        if array.shape not in ((count,), start.shape):
            raise ValueError(f"p0 has the shape {array.shape}; {expected}")
        start = np.array(np.broadcast_to(to_finite(model, "p0", array, expected), start.shape))
    elif limits is not None:
        start = np.clip(start, *limits)
    for argument, values in (("p0", p0), ("fixed", fixed)):
        if isinstance(values, Mapping):
            for key, value in values.items():
                _put(model, sharing, start, argument, key, value)
    shared = [p for p in range(count) if p not in sharing.own]
    apart = np.flatnonzero((start[:, shared] != start[0, shared]).any(axis=0))
    if len(apart):
        name = flat_names(model.facts.parameters)[shared[apart[0]]]
        raise ValueError(f"p0 has several values of {name}, which all groups share: name it in own, or give one value")
    check_within(model, start, limits)
    return for_c(model, start)


def _put(model: Model, sharing: Sharing, start: Array, argument: str, key: Any, value: Any) -> None:
    """Set the values of one parameter in the starts (G, P)."""
    labels, place, role = sharing.grouping.labels, place_of(model, argument, key), f"{argument}[{name_of(key)!r}]"
    if isinstance(value, Mapping):
        for label, group_value in value.items():
            if label not in labels:
                raise ValueError(f"{role} names the group {label!r}, which there is not")
            _put_values(model, start[labels.index(label)][None], place, f"{role}[{label!r}]", group_value, 1)
        return
    _put_values(model, start, place, role, value, len(labels))


def _put_values(model: Model, start: Array, place: slice, role: str, value: Any, groups: int) -> None:
    size = place.stop - place.start
    expected = (
        f"expected a number{f', {size}' * (size > 1)}{f', or one for each of the {groups} groups' * (groups > 1)}"
    )
    array = to_finite(model, role, to_array(model, role, value, expected), expected)
    if array.size == size * groups and array.ndim:
        array = array.reshape(groups, size)
    elif array.size in (1, size):
        array = array.reshape(-1)
    else:
        raise ValueError(f"{role} has the shape {array.shape}; {expected}")
    start[:, place] = array

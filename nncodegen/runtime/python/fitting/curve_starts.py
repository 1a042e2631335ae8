"""The start of a sum of curves by name, computed from data, and the order of terms of equal kind.

Each term estimates its parameters that are not linear from what the terms before it leave, backgrounds first; the
linear ones are those of least squares. Of several terms, the first one takes the largest peak, whatever its shape: so
where terms are of different kinds, each order of them gives another start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from ..ground.same_bits import PORTABLE
from . import estimates
from .starting_points import reached

if TYPE_CHECKING:
    from ..ground.facts import CurveTerm
    from ..ground.types import Array
    from ..native.model import Model
    from .problem import Problem

SCOPE = {
    **{name: function for name, function in vars(estimates).items() if callable(function)},
    "__builtins__": {"abs": abs, "max": max, "min": min},
    "sqrt": np.sqrt,
    "pi": np.pi,
}
"""The names that the texts of estimates may use, in addition to x, y and the parameters before their own."""

SWEEPS = 2
"""The number of times that each term estimates its parameters again, from what all others leave."""

MOST_ORDERS, MOST_TERMS = 24, 7
"""The most orders of terms that are tried, and the most terms that are put into others than their own order."""

System = Callable[[Sequence["CurveTerm"], Mapping[str, float], Sequence[str]], "tuple[Array, Array]"]
"""A function of some terms, of the values of their parameters, and of the names of linear ones, which returns the
derivatives by these, (N, names), and the sum of the terms where these are 0, (N,)."""


def has_estimates(term: CurveTerm) -> bool:
    """Return whether a term has parameters that are not linear."""
    return any(parameter.estimate for parameter in term.parameters)


def estimated(
    terms: Iterable[CurveTerm],
    x: Array,
    y: Array,
    system: System,
    known: Mapping[str, float] | None = None,
    sweeps: int = SWEEPS,
) -> dict[str, float]:
    """Return a start for each parameter of some terms, from data (N,) with x ascending; terms estimate in their order.

    Values that are ``known`` are kept. In each sweep, all terms estimate again.
    """
    known_values = dict(known or {})
    guesses: dict[str, float] = dict(known_values)
    before: list[CurveTerm] = []
    rest = y
    for term in sorted(terms, key=has_estimates):
        if has_estimates(term):
            guesses |= _of_term(term, x, rest) | known_values
        before.append(term)
        guesses, rest = _with_linear(before, guesses, known_values, y, system)
    least = float(rest @ rest)
    for term in [term for term in before if has_estimates(term)] * sweeps if len(before) > 1 else ():
        others = [other for other in before if other is not term]
        names = {parameter.name for parameter in term.parameters}
        without = {name: value for name, value in guesses.items() if name not in names}
        _, values = system(others, without, ())
        with np.errstate(all="ignore"):
            left = y - np.nan_to_num(values)
        trial, rest = _with_linear(before, guesses | _of_term(term, x, left) | known_values, known_values, y, system)
        if float(rest @ rest) < least:
            guesses, least = trial, float(rest @ rest)
    return guesses


def _with_linear(
    terms: Sequence[CurveTerm], values: Mapping[str, float], known_values: Mapping[str, float], y: Array, system: System
) -> tuple[dict[str, float], Array]:
    """Return values with linear parameters by least squares, those that are not kept, and what all leave of y, (N,)."""
    names = [
        parameter.name
        for term in terms
        for parameter in term.parameters
        if not parameter.estimate and parameter.name not in known_values
    ]
    columns, others = system(terms, values, names)
    completed = {**values, **_least_squares(names, columns, y - others)}
    with np.errstate(all="ignore"):
        rest = y - np.nan_to_num(others + columns @ np.array([completed[name] for name in names]))
    return completed, np.nan_to_num(rest)


def _of_term(term: CurveTerm, x: Array, y: Array) -> dict[str, float]:
    """Return the estimates of a term, moved into its bounds; those that are not finite become typical ones."""
    guesses: dict[str, float] = {}
    by_short_name: dict[str, float] = {}
    for parameter in term.parameters:
        if not parameter.estimate:
            continue
        with np.errstate(all="ignore"):
            value = float(eval(parameter.estimate, SCOPE, {"x": x, "y": y, **by_short_name}))
        value = value if np.isfinite(value) else parameter.typical
        low, high = (
            bound * (1 + side * 1e-3) if bound else side * 1e-6 * float(x[-1] - x[0])
            for bound, side in ((parameter.low, 1), (parameter.high, -1))
        )
        by_short_name[parameter.short] = guesses[parameter.name] = (
            min(max(value, low), high) if low <= high else parameter.typical
        )
    return guesses


def _least_squares(names: Sequence[str], columns: Array, target: Array) -> dict[str, float]:
    """Return the linear parameters by least squares; rows that are not finite are left out."""
    if not names:
        return {}
    good = np.isfinite(columns).all(axis=1) & np.isfinite(target)
    norms = np.linalg.norm(columns[good], axis=0)
    norms[norms == 0] = 1
    values = np.linalg.lstsq(columns[good] / norms, target[good], rcond=None)[0] / norms
    return dict(zip(names, values.tolist(), strict=True))


def orders_of(terms: Sequence[CurveTerm]) -> Iterator[tuple[CurveTerm, ...]]:
    """Yield orders of terms, the given one first, none of which only exchanges terms of equal kind."""
    with_estimates = [term for term in terms if has_estimates(term)]
    others = [term for term in terms if not has_estimates(term)]
    if len(with_estimates) > MOST_TERMS:
        yield tuple(terms)
        return
    seen: set[tuple[str, ...]] = set()
    for order in permutations(with_estimates):
        kinds = tuple(term.kind for term in order)
        if kinds in seen:
            continue
        seen.add(kinds)
        yield (*others, *order)
        if len(seen) == MOST_ORDERS:
            return


# --- the start of a model that is made of curves -------------------------------------------------------------------


def begins_in_data(model: Model) -> bool:
    """Return whether a fit without a start begins at estimates from the data."""
    return model.facts.fitting.starts_from_data and model.bits != PORTABLE


def curve_starts(problem: Problem, start: Array, is_given: Array) -> Array:
    """Return starts, (K, P), of a model that is made of curves: one for each order of its terms.

    Parameters of ``is_given``, a mask (P,), keep their values in ``start``, and so do those of no curve. There is
    none if the data do not tell any: they need two different values of x.
    """
    model = problem.model
    names = list(model.places)
    starts: list[Array] = [np.asarray(start, float)[None]]
    has_data = False
    for output in sorted({term.output for term in model.facts.fitting.curves}):
        terms = [term for term in model.facts.fitting.curves if term.output == output]
        data = _data(problem, terms[0].variable, output)
        if data is None:
            continue
        has_data = True
        rows, x, y = data
        system = _System(problem, np.asarray(start, float), rows, output)
        given_values = {
            name: float(start[model.places[name].start]) for name in names if is_given[model.places[name].start]
        }
        guesses = [
            {
                name: value
                for name, value in estimated(order, x, y, system, given_values, sweeps).items()
                if np.isfinite(value)
            }
            for order in orders_of(terms)
            for sweeps in (SWEEPS, 0)[: len(terms)]
        ]
        starts = [_put(model, point, each) for point in starts for each in guesses][: 2 * MOST_ORDERS]
    if not has_data:
        return np.empty((0, len(start)), model.dtype)
    points = np.concatenate(starts)
    if problem.options.bounds is not None:
        points = np.clip(points, *problem.options.bounds)
    return np.asarray(points, model.dtype)


def exchanged(problem: Problem, point: Array, is_given: Array) -> Array:
    """Return starts, (K, P), in which terms of other kinds stand for the terms of a point (P,).

    Each term estimates its parameters from the values of the one in whose place it stands.
    """
    model, starts = problem.model, []
    for output in sorted({term.output for term in model.facts.fitting.curves}):
        terms = [term for term in model.facts.fitting.curves if term.output == output and has_estimates(term)]
        data = _data(problem, terms[0].variable, output) if terms else None
        if data is None:
            continue
        rows, x, y = data
        every = [term for term in model.facts.fitting.curves if term.output == output]
        system = _System(problem, np.asarray(point, float), rows, output)
        values = {
            parameter.name: float(point[model.places[parameter.name].start])
            for term in every
            for parameter in term.parameters
            if parameter.name in model.places
        }
        given_values = {name: value for name, value in values.items() if is_given[model.places[name].start]}
        curves = [system([term], _of(term, values), ())[1] for term in terms]
        for order in [*orders_of(terms)][1:]:
            trial = dict(values)
            for curve, term in zip(curves, order, strict=True):
                trial |= _of_term(term, x, curve) | given_values
            trial = _with_linear(every, trial, given_values, y, system)[0]
            starts.append(_put(model, np.asarray(point, float)[None], trial))
    points = np.concatenate(starts) if starts else np.empty((0, len(point)))
    points = points[np.isfinite(points).all(axis=1)]
    limits = problem.options.bounds
    return np.asarray(points if limits is None else np.clip(points, *limits), model.dtype)


def _of(term: CurveTerm, values: Mapping[str, float]) -> dict[str, float]:
    """Return those values that are of a term."""
    return {parameter.name: values[parameter.name] for parameter in term.parameters if parameter.name in values}


def curve_start(problem: Problem, start: Array, held: Array | None, is_given: Array) -> Array:
    """Return the start, (P,), of a model that is made of curves: of several orders, that of the best short fit."""
    points = curve_starts(problem, start, is_given)
    if not len(points):
        return start
    best: Array = points[0]
    if len(points) > 1:
        costs, _, poles = reached(problem, points, held, 1, None)
        costs = np.where(np.isfinite(costs) & ~poles, costs, np.inf)
        best = points[int(np.argmin(costs))]
    ordered: Array = in_order(problem, best[None], held, is_given)[0]
    return ordered


def in_order(problem: Problem, points: Array, held: Array | None, is_given: Array) -> Array:
    """Return points, (K, P), whose terms of equal kind are in the order of their first parameter that is not linear.

    Terms keep their places if anything else tells them apart: bounds, values that are given or held, or a tie.
    """
    model = problem.model
    ordered = points.copy()
    for group in _alike(problem, held, is_given):
        keys = ordered[:, group[:, 0]]
        order = np.argsort(np.where(np.isnan(keys), np.inf, keys), axis=1, kind="stable")
        for place, term_order in enumerate(order):
            ordered[place, group] = points[place, group[term_order]]
    return ordered.astype(model.dtype, copy=False)


def _alike(problem: Problem, held: Array | None, is_given: Array) -> Iterator[Array]:
    """Yield the places of terms that may be exchanged, (terms, parameters), those by which they are ordered first."""
    model = problem.model
    stays = is_given if held is None else is_given | (held != 0)
    low, high = problem.options.bounds or (np.full(len(stays), -np.inf), np.full(len(stays), np.inf))
    kinds: dict[tuple[str, int], list[Array]] = {}
    if model.facts.fitting.quantities and any(parameter.tied for parameter in model.facts.fitting.quantities):
        return
    for term in model.facts.fitting.curves:
        if has_estimates(term) and all(parameter.name in model.places for parameter in term.parameters):
            ordered = sorted(term.parameters, key=lambda parameter: not parameter.estimate)
            kinds.setdefault((term.kind, term.output), []).append(
                np.array([model.places[parameter.name].start for parameter in ordered])
            )
    for places in kinds.values():
        group = np.array(places)
        same = all((bound[group] == bound[group[0]]).all() for bound in (low, high))
        if len(group) > 1 and same and not stays[group].any():
            yield group


def _put(model: Model, point: Array, values: Mapping[str, float]) -> Array:
    """Return a copy of a point, (1, P), with values of some parameters."""
    changed = point.copy()
    for name, value in values.items():
        if name in model.places:
            changed[0, model.places[name].start] = value
    return changed


def _data(problem: Problem, variable: int, output: int) -> tuple[Array, Array, Array] | None:
    """Return the rows with data of an output, x and y there with x ascending; None if they have a single x."""
    if problem.X is None:
        return None
    x, y = problem.X[:, variable].astype(float), problem.Y[:, output].astype(float)
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    rows = rows[np.argsort(x[rows], kind="stable")]
    return (rows, x[rows], y[rows]) if len(rows) and x[rows[0]] != x[rows[-1]] else None


class _System:
    """The terms of an output of a compiled model: a term whose linear parameters are 0 is 0."""

    def __init__(self, problem: Problem, start: Array, rows: Array, output: int) -> None:
        self.model = problem.model
        self.X = None if problem.X is None else np.ascontiguousarray(problem.X[rows])
        self.start, self.samples, self.output = start, len(rows), output
        self.linear = [self.model.places[name].start for name in self.model.facts.fitting.linear]

    def __call__(
        self, terms: Sequence[CurveTerm], values: Mapping[str, float], names: Sequence[str]
    ) -> tuple[Array, Array]:
        """Return the derivatives of the output by linear parameters, and the output where these are 0."""
        model = self.model
        point = self.start.copy()
        point[self.linear] = 0
        point = _put(model, point[None], {name: value for name, value in values.items() if name not in names})[0]
        point = point.astype(model.dtype)
        outputs = np.empty((self.samples, model.output_count), model.dtype)
        slopes = np.empty((*outputs.shape, len(point)), model.dtype)
        model.native.predict(point, self.X, self.samples, outputs)
        model.native.jacobian(point, self.X, self.samples, slopes)
        columns = [
            slopes[:, self.output, model.places[name].start] if name in model.places else np.zeros(self.samples)
            for name in names
        ]
        return np.array(columns, float).reshape(len(names), self.samples).T, outputs[:, self.output].astype(float)

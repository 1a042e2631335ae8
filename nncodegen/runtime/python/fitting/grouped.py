"""A least-squares problem in which groups of samples have parameters of their own, and its solution from a start.

The method is that of Levenberg and Marquardt, with a damping for the own parameters of each group and one for those
that all share: a group that is far from its solution shortens its own steps only. Dampings that follow the gains alone
are too small, by many orders of magnitude, when the gains of a group end suddenly, as with outliers. So the lengths of
steps are limited as well, as in fit.h: their limits shrink from the lengths of steps that failed, and dampings are
raised at once for them. Each step is that of ``bordered``, so that time and memory grow with the number of groups, not
with its square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments.fit_options import taken_from
from ..ground.algebra import IN_FIXED_ORDER
from ..ground.distributions import in_units_of_noise, vanishes
from ..ground.endings import ENDINGS, LEAST_GAIN
from ..ground.share import share
from ..native.algebra import algebra_of
from ..results.bordered import eliminate, in_lanes, solve
from ..results.covariance import least_ratio
from ..results.goodness import per_value
from ..results.penalty import without
from .problem import KEPT, Problem, at_bounds, of_samples
from .strays import Strays

if TYPE_CHECKING:
    from ..arguments.fit_options import CheckedFitOptions
    from ..ground.types import Array
    from ..native.model import Model
    from ..results.penalty import Penalty
    from .fit_watch import FitWatch

PART = 64
"""The least number of groups that a thread evaluates at once."""

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-16, 1e16
"""The dampings, for columns of length 1: at the start, the least, and that beyond which no step makes progress."""

FIRST_RADIUS = 0.305
"""The longest first step, relative to the length of the parameters: see fit.h."""

MOST_DESCENTS = 4
"""The most descents: one follows where groups began again, or where changes of inputs were damped (see fit.h)."""

ROUNDS = 20
"""The most times that parameters are clamped at bounds on the way of one step, or that dampings are raised for it."""

EITHER_SIGN = 3
"""The sign of a guard of which no sample has told: see guards.h."""

PATIENCE = 100
"""The most steps, beside ten for each own or shared parameter, that gain less than LEAST_GAIN in all: see fit.h."""

LAST_STEPS = 20
"""The most steps without damping that follow convergence: see polish.h."""


class Rows(NamedTuple):
    """The rows at a point: a triangle for each group, and its sums."""

    triangles: Array
    """(G, F, F + 1), in lanes: see bordered"""
    costs: Array
    signs: Array
    """(G, guards), int8: of the guards of the model whose C computes the rows; those of a solution are the model's"""
    own_falls: Array
    """The falls of the costs that changes of inputs alone would bring, (G,); 0 without errors in the inputs"""
    sizes_of_losses: Array | None = None
    """The sums of the sizes of all losses of each group, (G,), where costs may have any sign; None where they cannot"""

    @property
    def cost(self) -> float:
        """Return the cost of all groups, NaN if that of one is."""
        return float(IN_FIXED_ORDER.total(self.costs))

    @property
    def sizes(self) -> Array:
        """Return the sizes of the costs, (G,), to which tolerances are relative."""
        return self.costs if self.sizes_of_losses is None else self.sizes_of_losses


class GroupedSolution(NamedTuple):
    """The end of a fit in groups."""

    parameters: Array
    """(G, P)"""
    rows: Rows
    ending: str
    iterations: int
    evaluations: int
    history: Array
    own_at_bound: Array
    """(G, Q), whether a bound holds an own parameter"""
    shared_at_bound: Array
    unfinished: Array
    """(G,), whether a step without damping promises to lower the cost of a group by more than the tolerance"""
    changes: Array | None = None
    """Those of the inputs, (N, inputs), if these have errors"""


class GroupedProblem:
    """The arguments of a fit in groups, except its start. It is pickled with the result."""

    penalty: Penalty | None = None
    """A part of the cost, by all parameters in their order; each of its functions reads own ones of one group alone."""

    known: tuple[Array, Array, Array] | None = None
    """The values that ``told`` returns at the solution, where C is not to compute them."""

    def __init__(
        self,
        model: Model,
        X: Array | None,
        Y: Array,
        sigma: Array | None,
        begins: Array,
        own_indices: Array,
        shared: Array,
        every_own: tuple[int, ...],
        options: CheckedFitOptions,
        threads: int,
    ) -> None:
        self.model = model
        self.X, self.Y, self.sigma = X, Y, sigma
        self.begins = begins
        self.own, self.shared = own_indices, shared
        """The indices of the own and of the shared parameters that are not fixed."""
        self.layout = Layout(len(begins) - 1, model.parameter_count, every_own)
        self.options = options
        self.threads = threads

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "options" not in state:
            state = state.copy()
            state["options"] = taken_from(state)
        self.__dict__.update(state)

    @property
    def groups(self) -> int:
        """Return the number G of groups."""
        return len(self.begins) - 1

    @property
    def columns(self) -> Array:
        """Return the indices of the parameters of the columns, (F,)."""
        return np.concatenate([self.own, self.shared]).astype(np.uintp)

    @property
    def least(self) -> float:
        """Return the ratio to the largest singular value up to which others count as 0."""
        return least_ratio(len(self.own) + len(self.shared), self.model.epsilon)

    def evaluate(self, parameters: Array, signs: Array | None, errors: tuple[Any, ...] | None = None) -> Rows:
        """Return the rows at parameters (G, P); signs are those of a point that no pole may separate from this one.

        ``errors`` are those of inputs, as C takes them; it writes the falls.
        """
        count = len(self.columns)
        triangles, costs = np.empty((self.groups, count, count + 1)), np.empty(self.groups)
        seen = np.zeros((self.groups, len(self._fitting().facts.fitting.guards)), np.int8)
        sizes = np.empty(self.groups) if self.model.facts.fitting.curved else None
        self._call(parameters, signs, (triangles, costs, sizes, None, None, seen), errors)
        rows = self._rows(triangles, costs, sizes, seen)
        return rows if self.penalty is None else self._with_penalty(rows, parameters)

    def _rows(self, triangles: Array, costs: Array, sizes: Array | None, seen: Array) -> Rows:
        """Return the rows of all values of a sample, from those of their mean where the loss is one."""
        finite = np.isfinite(triangles).all(axis=(1, 2))
        if not finite.all():
            costs[~finite] = np.nan
        values = self.model.facts.fitting.mean_over
        if values > 1:
            triangles, costs = triangles * math.sqrt(values), costs * values
            sizes = None if sizes is None else sizes * values
        return Rows(in_lanes(triangles), costs, seen, np.zeros(self.groups), sizes)

    def _with_penalty(self, rows: Rows, parameters: Array) -> Rows:
        """Return the rows at parameters (G, P) with those of the penalty, each in one group."""
        count = len(self.columns)
        for place, slopes, value in self.penalty_rows(parameters):
            stacked = np.vstack([rows.triangles[place], np.append(slopes, value)])
            if np.isfinite(stacked).all():
                rows.triangles[place] = algebra_of(self.model).triangles(stacked)[:count]
            rows.costs[place] += value**2 / 2
            if rows.sizes_of_losses is not None:
                rows.sizes_of_losses[place] += value**2 / 2
        return rows

    def penalty_rows(self, parameters: Array) -> list[tuple[int, Array, float]]:
        """Return for each function of the penalty its group, derivatives by the columns (F,), and value at (G, P)."""
        if self.penalty is None:
            return []
        values = self.penalty.values(self.layout.flat(parameters.astype(float))).tolist()
        parts = []
        for flat, value in zip(self.penalty.slopes, values, strict=True):
            slopes = self.layout.full(flat)
            place = int(np.argmax(np.abs(slopes[:, self.own]).sum(axis=1))) if len(self.own) else 0
            parts.append((place, slopes[place, self.columns.astype(np.intp)], value))
        return parts

    def costs(self, parameters: Array) -> Array:
        """Return the costs of the groups at parameters (G, P), NaN where something is not finite."""
        costs = np.empty(self.groups)
        self._call(parameters, None, (None, costs, None, None, None, None))
        return costs * self.model.facts.fitting.mean_over

    def of_groups(self, places: Array) -> GroupedProblem:
        """Return this problem with some of its groups, by their places, in that order."""
        begins = self.begins.astype(np.intp)
        rows = np.concatenate([np.arange(begins[place], begins[place + 1]) for place in places.tolist()])
        sizes = begins[places + 1] - begins[places]
        some_samples = of_samples(self, rows)
        return GroupedProblem(
            self.model,
            some_samples.X,
            some_samples.Y,
            some_samples.sigma,
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.uintp),
            self.own,
            self.shared,
            self.layout.own,
            self.options,
            self.threads,
        )

    def alone(self, place: int) -> Problem:
        """Return the problem of one group by itself."""
        return of_samples(self, slice(*self.begins[place : place + 2].tolist()))

    def told(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Return the residuals (N, targets), and for each group chi2 (G,) and the number of its residuals (G,)."""
        return self._figures(parameters) if self.known is None else self.known

    def _figures(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Return what ``told`` returns, as C computes it."""
        costs, chi2, used = np.empty(self.groups), np.empty(self.groups), np.empty(self.groups, np.uint64)
        residuals = np.empty(self.Y.shape)
        self._call(parameters, None, (None, costs, chi2, used, residuals, None))
        if self.model.facts.fitting.noise:
            residuals, chi2 = self._in_units_of_noise(parameters, residuals)
        return residuals, chi2, used.astype(np.intp)

    def _in_units_of_noise(self, parameters: Array, scales: Array) -> tuple[Array, Array]:
        """Return residuals in units of their noise, whose scales C has written, and chi2 of each group.

        The deviations become the ``sigma`` of this problem.
        """
        alone = [self.alone(place) for place in range(self.groups)]
        outputs = np.concatenate([one.outputs(point) for one, point in zip(alone, parameters, strict=True)])
        scales = scales / math.sqrt(self.model.facts.fitting.mean_over)
        residuals, self.sigma = in_units_of_noise(self.model.facts, outputs, self.Y, scales)
        squares = (np.nan_to_num(residuals) ** 2).sum(axis=1)
        return residuals, np.add.reduceat(squares, self.begins[:-1].astype(np.intp))

    def informed(self, solution: GroupedSolution) -> GroupedSolution:
        """Return a solution whose triangles are those of the information, where those for steps may be others."""
        if not self.model.facts.fitting.noise:
            return solution
        if ENDINGS[solution.ending].converged:
            residuals, _, _ = self.told(solution.parameters)
            if vanishes(self.model.facts, residuals, self.Y, np.asarray(self.sigma)):
                solution = solution._replace(ending="no_noise")
        if not math.isfinite(solution.rows.cost):
            return solution
        count = len(self.columns)
        triangles, costs, sizes = (
            np.empty((self.groups, count, count + 1)),
            np.empty(self.groups),
            np.empty(self.groups),
        )
        seen = np.zeros(solution.rows.signs.shape, np.int8)
        self._call(solution.parameters, None, (triangles, costs, sizes, None, np.empty(self.Y.shape), seen))
        rows = self._rows(triangles, costs, sizes, solution.rows.signs)
        return solution._replace(rows=rows._replace(costs=solution.rows.costs))

    def settled(self, solution: GroupedSolution) -> GroupedProblem:
        """Return the problem of the result of a solution, where its fits begin."""
        return self

    def trials(self) -> Trials:
        """Return the trials of a descent."""
        return Trials(self)

    def signs_of(self, rows: Rows) -> Array:
        """Return the signs of the guards of the model, (G, guards); one that the rows do not have keeps its sign."""
        guards = self._fitting().facts.fitting.guards
        shared_signs = np.full((self.groups, 1), EITHER_SIGN, np.int8)
        every = np.concatenate([rows.signs, shared_signs], axis=1)
        return every[
            :, [guards.index(guard) if guard in guards else len(guards) for guard in self.model.facts.fitting.guards]
        ]

    def _fitting(self) -> Model:
        """Return the model whose C computes the rows."""
        return self.model

    def _wide(self, parameters: Array) -> Array:
        """Return the parameters of the model whose C computes the rows, from those of the model, (G, P)."""
        return np.ascontiguousarray(parameters, self.model.dtype)

    def _call(
        self,
        parameters: Array,
        signs: Array | None,
        results: tuple[Array | None, ...],
        errors: tuple[Any, ...] | None = None,
    ) -> None:
        data, columns = (self.X, self.Y, self.sigma), self.columns
        model, parameters = self._fitting(), self._wide(parameters)

        def work(first: int, last: int) -> None:
            model.native.fit_groups(
                data,
                self.begins,
                *self.options.native_loss,
                parameters,
                columns,
                signs,
                first,
                last,
                results,
                errors,
            )

        share(work, self.groups, PART, self.threads)

    def solve(
        self,
        start: Array,
        watch: FitWatch | None = None,
        held: tuple[Array, Array] | None = None,
        looks_for_strays: bool = False,
    ) -> GroupedSolution:
        """Solve the problem from a start, (G, P).

        ``held`` are masks (G, Q) and (S,) of parameters that keep their starting values, in addition to fixed ones.
        With ``looks_for_strays``, groups that went astray begin again: see ``strays``. Where the part that fits is not
        compiled yet, predictions tell first that outputs at the start are not finite.
        """
        if not (self._is_compiled() or self._can_begin(start)):
            return self._unsolved(start)
        return _Descent(self, start, watch, held, looks_for_strays).run()

    def _is_compiled(self) -> bool:
        """Return whether the C that computes the rows is compiled."""
        return self.model.native.has("fitting")

    def _can_begin(self, start: Array) -> bool:
        """Return whether outputs of all groups are finite at a start, (G, P): see ``Problem.can_begin``."""
        return all(self.alone(place).can_begin((start[place],)) for place in range(self.groups))

    def _unsolved(self, start: Array) -> GroupedSolution:
        """Return the solution from a start, (G, P), at which outputs of a group are not finite.

        Its values come from predictions, and ``told`` returns them.
        """
        alone = [self.alone(place) for place in range(self.groups)]
        outputs = [problem.outputs(point) for problem, point in zip(alone, start, strict=True)]
        residuals = (np.concatenate(outputs) - self.Y).astype(float)
        seen = ~np.isnan(self.Y)
        with np.errstate(over="ignore"):
            squares = np.where(seen, residuals / per_value(self.sigma, self.Y.shape), 0) ** 2
        begins = self.begins[:-1].astype(np.intp)
        chi2 = np.add.reduceat(squares.sum(axis=1), begins)
        self.known = residuals, chi2, np.add.reduceat(seen.sum(axis=1), begins)
        costs = chi2 / 2 if self.options.loss == "linear" else np.full(self.groups, math.nan)
        count, guards = len(self.columns), self.model.facts.fitting.guards
        at = at_bounds(start, self.options.bounds) != 0
        rows = Rows(
            in_lanes(np.zeros((self.groups, count, count + 1))),
            np.where(np.isfinite(costs), costs, math.nan),
            np.full((self.groups, len(guards)), EITHER_SIGN, np.int8),
            np.zeros(self.groups),
        )
        return GroupedSolution(
            start.copy(),
            rows,
            "not_finite",
            0,
            1,
            np.empty(0),
            at[:, self.own],
            at[0, self.shared],
            np.ones(self.groups, bool),
        )

    def __call__(self, fixed: Mapping[int, float], start: Array, penalty: Penalty | None = None) -> tuple[float, Array]:
        """Return the lowest cost, and its parameters, with some fixed; both are those of the result: shared, then own.

        It is the function by which profiles repeat a fit, as ``Problem`` does.
        """
        flat = np.array(start, float)
        for place, value in fixed.items():
            flat[place] = value
        layout = self.layout
        parameters = layout.full(flat)
        masks = layout.full(np.isin(np.arange(len(flat)), list(fixed)).astype(float)) > 0
        held = masks[:, self.own], masks[0, self.shared]
        problem = self
        if penalty is not None:
            problem = copy(self)
            problem.penalty = penalty
        solution = problem.solve(parameters, held=held)
        reached = layout.flat(solution.parameters)
        return without(penalty, solution.rows.cost, reached), reached


class Layout(NamedTuple):
    """The order of all parameters in one array: shared ones, then those of each group, fixed ones included."""

    groups: int
    parameters: int
    own: tuple[int, ...]

    @property
    def shared(self) -> tuple[int, ...]:
        """Return the indices of the shared parameters."""
        return tuple(p for p in range(self.parameters) if p not in self.own)

    def flat(self, values: Array) -> Array:
        """Return one array of the values (G, P)."""
        return np.concatenate([values[0, list(self.shared)], values[:, list(self.own)].reshape(-1)])

    def full(self, flat: Array) -> Array:
        """Return the values (G, P) of one array."""
        shared = len(self.shared)
        parameters = np.empty((self.groups, self.parameters), flat.dtype)
        parameters[:, list(self.shared)] = flat[:shared]
        parameters[:, list(self.own)] = flat[shared:].reshape(self.groups, len(self.own))
        return parameters


class Trials:
    """The point of a descent, and the one that it tries; subclasses know more of them than the parameters."""

    length = 0.0
    """That of the last step, apart from the parameters."""

    def __init__(self, problem: GroupedProblem) -> None:
        self.problem = problem

    def begin(self, parameters: Array) -> Rows:
        """Return the rows at the start, (G, P)."""
        return self.problem.evaluate(parameters, None)

    def go(self, trial: Array, change: Array, rows: Rows, controlled: bool) -> tuple[Array, Rows]:
        """Return how much a step lowers the cost of each group if residuals are linear, (G,), and the rows at its end.

        It leads from the point with some rows to a trial (G, P); ``change`` is that of the free parameters, (G, F). If
        it is not controlled, it changes no damping.
        """
        return falls_of(self.problem.model, rows, change), self.problem.evaluate(trial, rows.signs)

    def take(self) -> None:
        """Make the trial the point."""

    def again(self, rows: Rows) -> Rows:
        """Return the rows at the point after a trial that is not taken."""
        return rows

    def release(self, rows: Rows, within: bool = False) -> Rows | None:
        """Return the rows at the point without dampings of the trials' own; None if there are none.

        ``within`` says that a trial was stopped, which may have changed dampings already.
        """
        return None

    def changes(self) -> Array | None:
        """Return the changes of the inputs at the point, (N, inputs), if these have errors."""
        return None


def falls_of(model: Model, rows: Rows, change: Array) -> Array:
    """Return how much a change (G, F) lowers the cost of each group if the residuals are linear, (G,)."""
    T, algebra = rows.triangles, algebra_of(model)
    moved = algebra.contract("gij,gj->gi", T[:, :, :-1], change)
    falls: Array = -algebra.contract("gi,gi->g", moved, T[:, :, -1] + moved / 2)
    return falls


class _Step(NamedTuple):
    """A change of the free parameters in units of their scales: (G, Q) of the own ones, (S,) of the shared ones."""

    own: Array
    shared: Array


class _Descent:
    """A running fit: the point, the rows there, and what controls the next step."""

    iterations, evaluations = 0, 0
    damping: Array
    shared_damping = FIRST_DAMPING
    reach: tuple[Array, float]
    """The longest steps of the own parameters of each group, (G,), and of the shared ones"""

    def __init__(
        self,
        problem: GroupedProblem,
        start: Array,
        watch: FitWatch | None,
        pinned: tuple[Array, Array] | None,
        looks_for_strays: bool,
    ) -> None:
        self.problem, self.watch = problem, watch
        few = not looks_for_strays or not len(problem.own) or not len(problem.shared)
        few = few or problem.model.facts.fitting.curved  # the least costs of groups tell nothing of each other then
        self.strays = None if few else Strays(problem, start)
        self.point = np.array(start, problem.model.dtype)
        self.own, self.shared = problem.own, problem.shared
        self.count = len(self.own)
        groups = problem.groups
        self.pinned = pinned or (np.zeros((groups, self.count), bool), np.zeros(len(self.shared), bool))
        self.history: list[float] = []
        self.rounding = 4 * problem.model.epsilon
        self.algebra = algebra_of(problem.model)
        self.scales = np.zeros((groups, self.count)), np.zeros(len(self.shared))
        self.damping = np.full(groups, FIRST_DAMPING)
        none = np.full(start.shape[1], np.inf)
        lower, upper = problem.options.bounds or (-none, none)
        self.limits = (lower[self.own], upper[self.own]), (lower[self.shared], upper[self.shared])
        self.bounded = problem.options.bounds is not None
        self.least = problem.least
        self.trials = problem.trials()
        self.rows = self.trials.begin(self.point)
        self.evaluations = 1

    def run(self) -> GroupedSolution:
        """Return the solution."""
        within = False
        try:
            ending = self._watched()
        except KeyboardInterrupt:
            if self.watch is None or not self.watch.reason:
                raise
            ending, within = self.watch.reason, True
        finally:
            if self.watch is not None:
                self.watch.show(last=True)
        self.rows = self.trials.release(self.rows, within) or self.rows  # of a descent that did not get to that
        at = at_bounds(self.point, self.problem.options.bounds) != 0
        return GroupedSolution(
            self.point,
            self.rows._replace(signs=self.problem.signs_of(self.rows)),
            ending,
            self.iterations,
            self.evaluations,
            np.array(self.history[-KEPT:]),
            at[:, self.own],
            at[0, self.shared],
            self._unfinished(ending),
            self.trials.changes(),
        )

    def _unfinished(self, ending: str) -> Array:
        """Return which groups prevent that the fit has converged, (G,); all where it was not that far."""
        if ENDINGS[ending].converged:
            return np.zeros(len(self.point), bool)
        if ending not in ("stalled", "max_iterations"):
            return np.ones(len(self.point), bool)
        least = max(self.problem.options.tolerance, self.rounding) * self.size / len(self.point)
        return ~(self._possible_falls() <= least)

    def _watched(self) -> str:
        """Descend while the watch, if there is one, may end it. Returns how it ended."""
        if self.watch is None:
            return self._descend()
        self.watch.native = self  # type: ignore[assignment]
        if self.watch.reason:
            return self.watch.reason
        with self.watch.asked_by_calls():
            return self._descend()

    # --- what the watch reads ---

    @property
    def cost(self) -> float:
        """Return the cost at the point."""
        return self.rows.cost

    @property
    def size(self) -> float:
        """Return the size of the cost at the point: the cost itself, unless that may have any sign."""
        return float(IN_FIXED_ORDER.total(self.rows.sizes))

    def parameters(self) -> Array:
        """Return a copy of the parameters at the point, (G, P)."""
        return self.point.copy()

    # --- the iteration ---

    def _descend(self) -> str:
        if not math.isfinite(self.cost):  # rows of groups that could begin alone tell nothing of a fit of all
            self.rows = self.rows._replace(triangles=np.zeros_like(self.rows.triangles))
            return "not_finite"
        if np.isnan(self.problem.Y).all():
            return "no_data"
        for number in range(MOST_DESCENTS):
            ending = self._steps()
            if not ENDINGS[ending].converged and ending != "stalled":
                break
            released = self.trials.release(self.rows) if ending != "stalled" else None
            if released is not None:
                self.rows = released
            elif number == MOST_DESCENTS - 1 or not self._bring_back():  # steps of all follow where groups began again
                break
        if ENDINGS[ending].converged:
            self._polish(max(1e-13, 1e-5 * self.problem.options.tolerance))
        return ending

    def _steps(self) -> str:
        """Take steps until the descent ends. Returns how."""
        self._update_gradient_and_scales()
        tolerance = self.problem.options.tolerance
        self.reach = self._first_reach()
        ending = ""
        gained, since = self.cost, self.iterations
        patience = PATIENCE + 10 * (len(self.own) + len(self.shared))
        while not ending:
            if self._largest_cosine() <= tolerance:
                ending = "gradient"
            elif self.iterations >= self.problem.options.max_iterations:
                return "max_iterations"
            else:
                ending = self._try(self._step_within_reach())
                if self.watch is not None and self._is_ended_by_watch() and not ending:
                    return self.watch.reason
            if gained - self.cost > max(tolerance, LEAST_GAIN) * self.size:
                gained, since = self.cost, self.iterations
            if not ending and self.iterations - since >= patience:  # it no longer gains
                ending = self._end_of_valley()
        return ending

    def _try(self, step: _Step) -> str:
        """Try a step. Returns how the fit has ended, or an empty text."""
        trial, change = self._place(step)
        falls, rows = self.trials.go(trial, change, self.rows, controlled=True)
        expected = float(self.algebra.total(falls))
        self.evaluations += 1
        self.iterations += 1
        gains = self.rows.costs - rows.costs
        gain, size_of_cost = float(self.algebra.total(gains)), self.size
        ratio = gain / expected if expected > 0 else 0.0
        least = max(self.problem.options.tolerance, self.rounding) * size_of_cost
        length, size = self._lengths(step)
        length = math.sqrt(length**2 + self.trials.length**2) if self.trials.length else length
        tolerance = self.problem.options.tolerance
        is_short = length <= tolerance * (size + tolerance * math.sqrt(2 * size_of_cost))
        is_flat = expected <= least
        taken = ratio > 1e-4 or (gain >= 0 and (is_short or is_flat))
        gain_ratios = self._control(gains, falls, ratio, size_of_cost)
        self._change_reach(step, gain_ratios, ratio)
        only_strays = self.strays is not None and self.strays.are_left(self.rows.costs, falls, self._noise())
        if taken:
            self._take(trial, rows)
        else:
            self.rows = self.trials.again(self.rows)
        if taken or self.trials.length:
            self._update_gradient_and_scales()
        if only_strays and self._bring_back():
            self.history.append(self.cost)
            return ""
        self.history.append(self.cost)
        free = self.shared_damping <= 1 and (not len(self.damping) or float(self.damping.max()) <= 1)
        if taken and gain <= least and self._possible_fall() <= least:
            return "cost"
        if (is_short or expected <= self.rounding * size_of_cost) and (free or not taken) and (taken or is_flat):
            return "step" if is_short else "cost"
        if self.shared_damping < MOST_DAMPING and (self.damping < MOST_DAMPING).any():
            return ""
        return self._end_of_radius()

    def _end_of_valley(self) -> str:
        """Return how a fit has ended that no longer gains, along a valley: see endings.h.

        Residuals are nearly orthogonal to all columns everywhere in a flat valley, which tells nothing.
        """
        least = max(self.problem.options.tolerance, self.rounding) * self.size
        return "cost" if self._possible_fall() <= max(least, self._noise()) else "stalled"

    def _end_of_radius(self) -> str:
        """Return how a fit has ended whose dampings leave no step that gains: see endings.h."""
        fall = self._possible_fall()
        least = max(self.problem.options.tolerance, self.rounding) * self.size
        if fall <= least or self._largest_cosine() ** 2 <= self.problem.options.tolerance:
            return "step"
        return "cost" if fall <= self._noise() else "stalled"

    def _bring_back(self) -> bool:
        """Let groups that went astray begin again with the present shared parameters; return whether any is better."""
        refitted = self.strays.begin_again(self.point, self.rows.costs, self._noise()) if self.strays else None
        if refitted is None:
            return False
        self.point, self.rows = refitted.point, self.problem.evaluate(refitted.point, None)
        self.evaluations += 1
        self.scales[0][refitted.moved] = 0
        self.damping[refitted.moved] = self.shared_damping = FIRST_DAMPING
        self._update_gradient_and_scales()
        self.reach = self._first_reach()
        return True

    def _take(self, trial: Array, rows: Rows) -> None:
        """Make a trial the point."""
        self.point, self.rows = trial, rows
        self.trials.take()

    def _control(self, gains: Array, falls: Array, ratio: float, size: float) -> Array:
        """Change the dampings after a step, by how much of its promise each group kept, (G,), which is returned."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(falls > 1e-12 * size, gains / falls, 1.0)
        gain_ratios = np.nan_to_num(ratios, nan=-1.0, posinf=1.0, neginf=-1.0)
        if ratio > 1e-4:
            factors, factor = _factor(gain_ratios), float(_factor(np.array(ratio)))
        else:
            factors, factor = np.where(gain_ratios < 0.25, 8.0, 1.0), 8.0
        self.damping = np.clip(self.damping * factors, LEAST_DAMPING, 10 * MOST_DAMPING)
        self.shared_damping = min(max(self.shared_damping * factor, LEAST_DAMPING), 10 * MOST_DAMPING)
        return gain_ratios

    def _first_reach(self) -> tuple[Array, float]:
        """Return the longest first steps: a part of the length of the parameters of each group, and of shared ones."""
        own_scaled, shared_scaled = (value * scale for value, scale in zip(self._values(), self.scales, strict=True))
        lengths, (rest, rest_shared) = self.algebra.lengths, self._least_reach()
        longest = np.maximum(FIRST_RADIUS * lengths(own_scaled, 1), rest)
        return longest, max(FIRST_RADIUS * float(lengths(shared_scaled, 0)), rest_shared)

    def _step_within_reach(self) -> _Step:
        """Return a step that is not longer than the reach, up to a tenth, for dampings that are raised for that.

        They are raised by the factor that a step needs which a damping makes short, at least by 2, at most by 10: own
        and shared steps depend on each other, and those that are damped too much at once are short for long.
        """
        lengths, (longest, longest_shared) = self.algebra.lengths, self.reach
        for _ in range(ROUNDS):
            step = self._step(self.damping, self.shared_damping)
            own_lengths, shared_length = lengths(step.own, 1), float(lengths(step.shared, 0))
            long, too_long = own_lengths > 1.1 * longest, shared_length > 1.1 * longest_shared
            if not too_long and not long.any():
                break
            with np.errstate(divide="ignore"):
                self.damping[long] *= np.clip(1.2 * own_lengths[long] / longest[long], 2, 10)
            if too_long:
                self.shared_damping *= (
                    float(np.clip(1.2 * shared_length / longest_shared, 2, 10)) if longest_shared else 10
                )
        return step

    def _least_reach(self) -> tuple[Array, float]:
        """Return lengths of steps of each group, (G,), and of the shared parameters that are small, but not 0."""
        return 1e-3 * np.sqrt(2 * self.rows.sizes), 1e-3 * math.sqrt(2 * self.size)

    def _change_reach(self, step: _Step, gain_ratios: Array, ratio: float) -> None:
        """Change how far steps of each group are trusted, by how much of its promise the last one kept: see fit.h."""
        lengths, (rest, rest_shared) = self.algebra.lengths, self._least_reach()
        (longest, longest_shared), own_lengths, shared_length = (
            self.reach,
            lengths(step.own, 1),
            float(lengths(step.shared, 0)),
        )
        shorter = np.minimum(longest, 10 * own_lengths) / 4
        further = np.where(gain_ratios > 0.75, np.maximum(longest, np.maximum(2 * own_lengths, rest)), longest)
        far = max(longest_shared, 2 * shared_length, rest_shared) if ratio > 0.75 else longest_shared
        near = min(longest_shared, 10 * shared_length) / 4
        self.reach = np.where(gain_ratios > 0.25, further, shorter), far if ratio > 0.25 else near

    def _is_ended_by_watch(self) -> bool:
        assert self.watch is not None
        if self.watch.after_each and self.watch.calls():
            return True
        return self.watch.stops()

    # --- the point, and steps from it ---

    def _values(self) -> tuple[Array, Array]:
        """Return the free parameters, (G, Q) and (S,)."""
        return self.point[:, self.own].astype(float), self.point[0, self.shared].astype(float)

    def _update_gradient_and_scales(self) -> None:
        """Compute what follows from the rows at the point: gradient, lengths, scales, and the bounds that hold."""
        T, count = self.rows.triangles, self.count
        own_columns, shared_columns, side = T[:, :, :count], T[:, :, count:-1], T[:, :, -1]
        contract = self.algebra.contract
        self.lengths = (
            np.sqrt(contract("gij,gij->gj", own_columns, own_columns)),
            np.sqrt(contract("gij,gij->j", shared_columns, shared_columns)),
        )
        self.gradient = contract("gij,gi->gj", own_columns, side), contract("gij,gi->j", shared_columns, side)
        self.scales = tuple(map(np.maximum, self.scales, self.lengths))  # type: ignore[assignment]
        self.by_scale = tuple(np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 1) for scale in self.scales)
        self.held = self.pinned
        if self.bounded:
            self.held = tuple(  # type: ignore[assignment]
                pinned | ((value <= low) & (slope > 0)) | ((value >= high) & (slope < 0))
                for pinned, value, (low, high), slope in zip(
                    self.pinned, self._values(), self.limits, self.gradient, strict=True
                )
            )

    def _largest_cosine(self) -> float:
        """Return the largest cosine of an angle between the residuals and a column that no bound holds."""
        size, largest = math.sqrt(2 * self.size), 0.0
        for slope, length, held in zip(self.gradient, self.lengths, self.held, strict=True):
            known = ~held & (length > 0)
            if known.any() and size > 0:
                largest = max(largest, float((np.abs(slope[known]) / length[known]).max()) / size)
        own_fall = float(self.algebra.total(self.rows.own_falls))
        if own_fall > 0 and size > 0:  # no cosine with the column of a change is larger than this
            largest = max(largest, math.sqrt(own_fall / self.size))
        return largest

    def _step(self, damping: Array | None, shared_damping: float = 0.0) -> _Step:
        """Return the step for some dampings, within bounds: where it meets these, parameters are clamped to them."""
        blocks = self.rows.triangles.copy("K")
        count, width = self.count, len(self.shared)
        blocks[:, :, :count] *= self.by_scale[0][:, None]
        blocks[:, :, count:-1] *= self.by_scale[1]
        clamped = [self.held[0].copy(), self.held[1].copy()]
        step = [np.zeros(clamped[0].shape), np.zeros(width)]
        room = [
            tuple((bound - value) / by for bound in limits)
            for value, by, limits in zip(self._values(), self.by_scale, self.limits, strict=True)
        ]
        for _ in range(ROUNDS):
            left = self._without(blocks, clamped, step)
            eliminated = eliminate(self.algebra, left, count, self.least, damping, shared_damping)
            shared_step = np.where(clamped[1], step[1], solve(self.algebra, eliminated.triangle, self.least))
            moved = self.algebra.product(eliminated.own[:, :, :width], np.where(clamped[1], 0, shared_step))
            own_step = np.where(clamped[0], step[0], moved + eliminated.own[:, :, width])
            step = [own_step, shared_step]
            if not self.bounded:
                break
            beyond = [
                ~fast & ((values < low) | (values > high))
                for fast, values, (low, high) in zip(clamped, step, room, strict=True)
            ]
            step = [np.clip(values, low, high) for values, (low, high) in zip(step, room, strict=True)]
            if not any(each.any() for each in beyond):
                break
            clamped = [fast | over for fast, over in zip(clamped, beyond, strict=True)]
        return _Step(*step)

    def _without(self, blocks: Array, clamped: list[Array], step: list[Array]) -> Array:
        """Return the blocks without the columns of clamped parameters, whose given steps change the right-hand side."""
        if not clamped[0].any() and not clamped[1].any():
            return blocks
        count, reduced = self.count, blocks.copy("K")
        known = np.where(clamped[0], step[0], 0), np.where(clamped[1], step[1], 0)
        by_own = self.algebra.contract("gij,gj->gi", blocks[:, :, :count], known[0])
        reduced[:, :, -1] += by_own + self.algebra.product(blocks[:, :, count:-1], known[1])
        reduced[:, :, :count] *= ~clamped[0][:, None]
        reduced[:, :, count:-1] *= ~clamped[1]
        return reduced

    def _place(self, step: _Step) -> tuple[Array, Array]:
        """Return the parameters after a step, and the change of the free ones, (G, F), after rounding."""
        trial = self.point.copy()
        parts = zip(self._values(), step, self.by_scale, self.limits, strict=True)
        own_values, shared_values = (np.clip(value + part * by, *limits) for value, part, by, limits in parts)
        trial[:, self.own], trial[:, self.shared] = own_values, shared_values
        columns = np.concatenate([self.own, self.shared])
        return trial, trial[:, columns].astype(float) - self.point[:, columns].astype(float)

    def _possible_falls(self) -> Array:
        """Return how much the cost of each group would fall without damping if the residuals were linear, (G,)."""
        return falls_of(self.problem.model, self.rows, self._place(self._step(None))[1]) + self.rows.own_falls

    def _possible_fall(self) -> float:
        """Return how much the cost would fall without damping if the residuals were linear."""
        return float(self.algebra.total(self._possible_falls()))

    def _lengths(self, step: _Step) -> tuple[float, float]:
        """Return the length of a step, and that of the parameters, in units of the scales."""
        own_scaled, shared_scaled = (value * scale for value, scale in zip(self._values(), self.scales, strict=True))
        return self._length(step.own, step.shared), self._length(own_scaled, shared_scaled)

    def _length(self, own_part: Array, shared_part: Array) -> float:
        """Return the length of a vector in two parts."""
        return float(self.algebra.lengths(np.concatenate([own_part.reshape(-1), shared_part]), 0))

    @cached_property
    def _squares(self) -> float:
        """Return the sum of the squares of the targets, in units of their standard deviations."""
        if self.problem.model.facts.fitting.curved:
            return 0.0
        weighed = self.problem.Y / per_value(self.problem.sigma, self.problem.Y.shape)
        return float(self.algebra.total(np.nan_to_num(weighed.astype(float) ** 2, posinf=np.inf)))

    def _noise(self) -> float:
        """Return how much rounding, or the error of solutions in chosen steps, may change the cost: see endings.h."""
        noise = max(self.rounding, self.problem.model.facts.steps.rtol) * math.sqrt(self._squares + 2 * self.size)
        return noise * (math.sqrt(2 * self.size) + noise / 2)

    # --- the last digits ---

    def _polish(self, tolerance: float) -> None:
        """Take full steps, extrapolated, as long as they become shorter, until the rest is below the tolerance."""
        last, before = math.inf, None
        for number in range(LAST_STEPS):
            self.scales = tuple(np.zeros(scale.shape) for scale in self.scales)  # type: ignore[assignment]
            self._update_gradient_and_scales()
            step = self._step(None)
            length, size = self._lengths(step)
            if not length < (3 * last if number == 1 else last):
                return
            full = np.concatenate([step.own.reshape(-1), step.shared])
            by_scale = np.concatenate([by.reshape(-1) for by in self.by_scale])
            here = np.concatenate([value.reshape(-1) for value in self._values()])
            goal = full
            if before is not None:
                difference = full - before[0] / by_scale
                square = float(self.algebra.contract("i,i->", difference, difference))
                factor = float(self.algebra.contract("i,i->", full, difference)) / square if square > 0 else 0.0
                goal = full - factor * ((here - before[1]) / by_scale + difference)
            before = full * by_scale, here
            split = step.own.size
            trial, change = self._place(_Step(goal[:split].reshape(step.own.shape), goal[split:]))
            sizes = np.maximum(np.abs(here), 1e-3 * size * by_scale)
            with np.errstate(invalid="ignore", divide="ignore"):
                relative = float(np.nan_to_num(np.abs(goal * by_scale) / sizes).max(initial=0.0))
            _, rows = self.trials.go(trial, change, self.rows, controlled=False)
            self.evaluations += 1
            if not rows.cost <= self.cost + 1e-9 * self.size:
                return
            self._take(trial, rows)
            factor = length / last if number > 0 and length < 0.9 * last else 0.9
            if relative * factor <= tolerance * (1 - factor):
                return
            last = length


def _factor(ratio: Array) -> Array:
    """Return the factors of dampings after a step that kept these parts of its promise."""
    return np.where(ratio > 0.75, 0.1, np.where(ratio > 0.25, 1.0, 4.0))

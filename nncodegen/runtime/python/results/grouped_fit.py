"""The result of a fit in which groups of samples share some parameters, and have others of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import check_inputs
from ..arguments.grouping import Grouping, places_in
from ..arguments.tables import has_names
from ..ground.algebra import IN_FIXED_ORDER
from ..ground.endings import ENDINGS
from ..ground.facts import flat_names, name_of, slices
from ..ground.markup import listed
from ..native.model import result_of_model
from . import goodness
from .bordered import BlockErrors
from .fit_result import LEVEL, FitResult
from .grouped_plot import plot_groups
from .intervals import Predicted
from .quantities import as_function
from .saved import GROUPED, head, write_archive
from .solution import solution_of

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from .profiles.profile import Profiles
    from .quantities import Function

MOST_CORRELATED = 500
"""The most parameters whose correlations a table looks at."""


@result_of_model
class OneGroup(FitResult):
    """The fit of one group, for its own and the shared parameters together.

    Its errors are those of the whole fit: the scale of the errors and their degrees of freedom are those of all groups.
    """

    _whole: tuple[GroupedFit, int]
    """The fit of all groups, and the number of this one."""

    _status = ""
    _scale = _reduced = math.nan
    _degrees = 0

    @property
    def status(self) -> str:
        """Return how the fit of this group ended, as a word: see ``GroupedFit.group_status``."""
        return self._status

    @property
    def error_scale(self) -> float:
        """Return the factor of the covariance, which is that of the whole fit."""
        return self._scale

    @property
    def degrees_of_freedom(self) -> int:
        """Return the number of degrees of freedom of the whole fit."""
        return self._degrees

    @property
    def reduced_chi2(self) -> float:
        """Return the reduced chi2 of the whole fit."""
        return self._reduced

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Return what the table says of the other groups."""
        return [*super().notes, ("errors", "from all groups, as are reduced chi2 and degrees of freedom")]

    def profiles(self, *positional: Any, **named: Any) -> Profiles:
        """Raise ValueError: profiles are those of the whole fit, which has names for the parameters of each group."""
        whole, place = self._whole
        label = label_text(whole.labels[place])
        example = f"{whole.own[0]}[{label}]" if whole.own else whole.shared[0]
        raise ValueError(f"profiles are those of the fit of all groups: follow them there, as parameters=[{example!r}]")

    def _in_whole(self, functions: list[Function]) -> tuple[FitResult, list[Function]]:
        whole, place = self._whole
        return whole, [_of_group(whole._problem.layout, place, function) for function in functions]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fit of this group to a file, from which the module's ``load`` reads it.

        The file holds the whole fit, on which the errors of a group depend: see ``GroupedFit.save``.
        """
        whole, place = self._whole
        write_archive(path, whole._archive() | {"group": np.array(place, np.int64)})


@result_of_model
class GroupedFit(FitResult):
    """The result of ``fit`` with groups: G groups, S shared parameters, and Q parameters of each group.

    It has all attributes of a FitResult, for the P = S + G*Q parameters in one order: the shared ones first, then those
    of each group, with names such as "a[plate 1]". In addition:

    labels              the labels of the groups, in the order in which they first occur
    shared, own         the names of the parameters that all groups share, and of those that each has for itself
    group_parameters    (G, S + Q), the parameters of each group, in the order of the model
    group_errors        their standard errors, and group_covariances (G, S + Q, S + Q)
    group_chi2          (G,), the part of each group in chi2
    group_used          (G,), the number of its residuals that are not missing
    group_status        (G,), how the fit of each group ended

    result["k"] is the value of a shared parameter; result["a"] are those of an own one, (G,); result.group(label) is
    the fit of a group as a FitResult. An evaluation is one of all groups: fits of single groups, which begin again
    where they went astray, are not counted. ``covariance`` and ``correlation`` are matrices (P, P), which may be large:
    they are computed when they are asked for. All else takes memory for each group alone.
    """

    def __init__(  # those of fitting/grouped.py, which stands above results
        self, problem: Any, grouped_solution: Any, grouping: Grouping, start: Array
    ) -> None:
        residuals, self.group_chi2, self.group_used = problem.told(grouped_solution.parameters)
        self._order, self._numbers = grouping.order, grouping.numbers
        self.labels = grouping.labels
        self._found, self._problem = grouped_solution, problem
        in_order = np.empty_like(residuals)
        in_order[grouping.order] = residuals
        layout = problem.layout
        fixed = np.ones(grouped_solution.parameters.shape, bool)
        fixed[:, problem.own] = fixed[:, problem.shared] = False
        at = np.zeros(grouped_solution.parameters.shape, bool)
        at[:, problem.own], at[:, problem.shared] = grouped_solution.own_at_bound, grouped_solution.shared_at_bound
        guards, signs = problem.model.facts.fitting.guards, grouped_solution.rows.signs
        poles = tuple(guard for guard, lost in zip(guards, (signs == 0).any(axis=0), strict=True) if lost)
        chi2 = float(IN_FIXED_ORDER.total(self.group_chi2)) if grouped_solution.ending != "not_finite" else math.nan
        solution = solution_of(
            layout.flat(grouped_solution.parameters),
            in_order,
            np.empty((0, 0)),
            layout.flat(at),
            grouped_solution.rows.cost,
            chi2,
            int(self.group_used.sum()),
            grouped_solution.ending,
            grouped_solution.iterations,
            grouped_solution.evaluations,
            grouped_solution.history,
            poles,
        )
        super().__init__(problem, solution, layout.flat(start), layout.flat(fixed), problem)
        if self._bounds is not None:
            low, high = (layout.flat(np.broadcast_to(side, fixed.shape)) for side in self._bounds)
            self._bounds = low, high
        del self._triangle  # the property below makes it if it is asked for

    def _again_from(self, parameters: Array) -> GroupedFit:
        """Return the result of this fit from another start, (P,)."""
        problem = self._problem
        grouping = Grouping(self.labels, self._numbers, self._order, problem.begins)
        solution = problem.informed(problem.solve(problem.layout.full(parameters)))
        return type(self)(problem.settled(solution), solution, grouping, problem.layout.full(self.p0))

    # --- names and values ---

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Return the names of the shared parameters, (S,)."""
        names = flat_names(self._model.facts.parameters)
        return tuple(names[p] for p in self._problem.layout.shared)

    @cached_property
    def own(self) -> tuple[str, ...]:
        """Return the names of the parameters that each group has for itself, (Q,)."""
        names = flat_names(self._model.facts.parameters)
        return tuple(names[p] for p in self._problem.layout.own)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return a name for each of all parameters, (P,): shared ones as they are, others with their groups."""
        return (*self.shared, *(f"{name}[{label_text(label)}]" for label in self.labels for name in self.own))

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Return what a table says of the groups: pairs of a label and a text."""
        parts = [f"{len(self.labels):,} share {listed(self.shared) or 'nothing'}"]
        parts.append(f"each has its own {listed(self.own)}")
        bad = [
            f"{label_text(label)} ({status})"
            for label, status in zip(self.labels, self.group_status, strict=True)
            if status != "converged"
        ]
        return [("groups", "; ".join(parts)), *([("not converged", listed(bad))] if bad else [])]

    @property
    def shows_correlations(self) -> bool:
        """Return whether a table lists strong correlations: for few parameters, since all of them are computed."""
        return len(self.parameters) <= MOST_CORRELATED

    @property
    def group_parameters(self) -> Array:
        """Return the parameters of each group, shared ones included, in the order of the model, (G, S + Q)."""
        parameters: Array = self._found.parameters
        return parameters

    def __getitem__(self, name: Any) -> Any:
        """Return a shared parameter, an own one of all groups with a first axis G, or one value by its full name."""
        name = name_of(name)
        if name in self.derived.names:
            return self.derived[name]
        if name in {quantity.name for quantity in self._model.facts.fitting.quantities}:
            return np.array([self.group(label)[name] for label in self.labels])
        for parameter, place in slices((parameter, parameter.size) for parameter in self._model.facts.parameters):
            if parameter.name == name:
                values = self.group_parameters[:, place].reshape(-1, *parameter.shape)
                every = set(range(place.start, place.stop)) & set(self._problem.layout.own)
                return values if every else values[0] if parameter.shape else float(values[0])
        return super().__getitem__(name)

    def group(self, label: Any) -> FitResult:
        """Return the fit of one group, by its label: parameters, errors, intervals, predictions and a plot of it.

        Its covariance is that of the group's own and the shared parameters in the whole fit. Raises KeyError.
        """
        place = self._place(label)
        problem, grouped_solution = self._problem, self._found
        rows = slice(int(problem.begins[place]), int(problem.begins[place + 1]))
        columns = np.concatenate([problem.own, problem.shared])
        triangle = self._group_triangle(place)[:, np.argsort(columns)]
        fixed = np.ones(self._model.parameter_count, bool)
        fixed[columns] = False
        at = np.zeros(len(fixed), bool)
        at[problem.own], at[problem.shared] = grouped_solution.own_at_bound[place], grouped_solution.shared_at_bound
        guards, signs = self._model.facts.fitting.guards, grouped_solution.rows.signs[place]
        residuals = self.residuals[self._order[rows]]  # type: ignore[index]
        poles = tuple(guard for guard, sign in zip(guards, signs.tolist(), strict=True) if not sign)
        solution = solution_of(
            grouped_solution.parameters[place],
            residuals,
            self._algebra.triangles(triangle),
            at,
            float(grouped_solution.rows.costs[place]),
            float(self.group_chi2[place]),
            int(self.group_used[place]),
            self._ending,
            self.iterations,
            self.evaluations,
            None,
            poles,
        )
        result = self._one(rows, problem.alone(place), solution, problem.layout.full(self.p0)[place], fixed)
        result._whole, result.absolute_sigma = (self, place), self.absolute_sigma
        result._status, result._degrees = str(self.group_status[place]), self.degrees_of_freedom
        result._scale, result._reduced = self.error_scale, self.reduced_chi2
        return result

    def _one(self, rows: slice, *values: Any) -> OneGroup:
        """Return the fit of one group, whose samples are rows of the sorted ones, from what ``Fitted`` takes."""
        return OneGroup(*values)

    def _place(self, label: Any) -> int:
        if label not in self._places:
            raise KeyError(f"there is no group {label!r}; there are: {', '.join(map(repr, self.labels[:10]))}")
        return self._places[label]

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {label: place for place, label in enumerate(self.labels)}

    # --- errors ---

    @property
    def free_count(self) -> int:
        """Return the number F of free parameters of all groups."""
        problem = self._problem
        return int(len(problem.own) * problem.groups + len(problem.shared))

    @property
    def degrees_of_freedom(self) -> int:
        """Return the number of residuals that are used, minus that of the parameters that the data determine.

        A group that determines less than its own parameters, such as one without data, thus leaves the errors of the
        others as they are.
        """
        return self.used - self.rank

    @cached_property
    def _triangle(self) -> Array:  # type: ignore[override]
        """Return the triangle of all free parameters in their order, (F, F), which is large."""
        return self._joined_triangle(self._found.rows.triangles)

    def _triangle_at(self, parameters: Array) -> Array | None:
        """Return the triangle (F, F) of the weighted derivatives at parameters, (P,)."""
        problem = self._problem
        return self._joined_triangle(problem.trials().begin(problem.layout.full(parameters)).triangles)

    def _joined_triangle(self, T: Array) -> Array:
        """Return the triangle of all free parameters from those of the groups."""
        problem = self._problem
        own_count, shared = len(problem.own), len(problem.shared)
        count = own_count + shared
        full = np.zeros((problem.groups, count, self.free_count))
        for place in range(problem.groups):
            full[place, :, shared + place * own_count : shared + (place + 1) * own_count] = T[place, :, :own_count]
        full[:, :, :shared] = T[:, :, own_count:-1]
        rows = full.reshape(-1, self.free_count)
        missing = np.zeros((max(self.free_count - len(rows), 0), self.free_count))
        return self._algebra.triangles(np.concatenate([rows, missing]))

    @cached_property
    def _errors(self) -> BlockErrors:
        return BlockErrors(self._problem, self._found.rows.triangles)

    def _group_triangle(self, place: int) -> Array:
        """Return the triangle of the joint covariance of a group's own and the shared parameters, (F, F)."""
        own_count = len(self._problem.own)
        joint = self._found.rows.triangles[place, :, :-1].copy()
        joint[own_count:, own_count:] = self._errors.triangle
        triangle: Array = joint
        return triangle

    @property
    def rank(self) -> int:
        """Return the number of combinations of the free parameters that the data determine; normally F."""
        return self._errors.rank

    @cached_property
    def group_covariances(self) -> Array:
        """Return the covariance of the parameters of each group, shared ones included, (G, S + Q, S + Q)."""
        own_indices, shared = self._problem.own, self._problem.shared
        covariances = np.zeros((self._problem.groups, self._model.parameter_count, self._model.parameter_count))
        own_part, cross, shared_part = self._errors.covariances(self.error_scale)
        covariances[:, own_indices[:, None], own_indices] = own_part
        covariances[:, own_indices[:, None], shared] = cross
        covariances[:, shared[:, None], own_indices] = np.swapaxes(cross, 1, 2)
        covariances[:, shared[:, None], shared] = shared_part
        return covariances

    @cached_property
    def group_errors(self) -> Array:
        """Return the standard errors of the parameters of each group, (G, S + Q): see ``standard_errors``."""
        errors: Array = np.sqrt(np.einsum("gii->gi", self.group_covariances))
        return errors

    @cached_property
    def standard_errors(self) -> Array:
        """Return the standard errors of all parameters, (P,): infinite for undetermined ones, 0 for fixed ones."""
        errors: Array = self._problem.layout.flat(self.group_errors)
        return errors

    @cached_property
    def covariance(self) -> Array:
        """Return the covariance of all parameters, (P, P), which may be large: ``group_covariances`` are its blocks."""
        layout, problem = self._problem.layout, self._problem
        places = layout.full(np.arange(len(self.parameters)))
        at_own, at_shared = places[:, problem.own].reshape(-1), places[0, problem.shared]
        own_part, cross, shared_part = self._errors.covariances(self.error_scale)
        between = self._errors.between(self.error_scale)
        count = len(problem.own)
        for place, block in enumerate(own_part):
            rows = slice(place * count, (place + 1) * count)
            between[rows, rows] = block
        matrix = np.zeros((len(self.parameters), len(self.parameters)))
        matrix[np.ix_(at_own, at_own)] = between
        matrix[np.ix_(at_own, at_shared)] = cross.reshape(len(at_own), len(at_shared))
        matrix[np.ix_(at_shared, at_own)] = cross.reshape(len(at_own), len(at_shared)).T
        matrix[np.ix_(at_shared, at_shared)] = shared_part
        lost = np.isin(self.names, self.undetermined)
        matrix[lost] = matrix[:, lost] = np.inf
        return matrix

    @cached_property
    def correlation(self) -> Array:
        """Return the covariance divided by the standard errors, (P, P); NaN for fixed or undetermined parameters."""
        errors = np.where(np.isfinite(self.standard_errors) & self.free, self.standard_errors, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix: Array = np.clip(self.covariance / errors / errors[:, None], -1, 1)
        return matrix

    @cached_property
    def undetermined(self) -> tuple[str, ...]:
        """Return the names of free parameters that the data do not determine: some change of them changes no output."""
        unknown = np.zeros(self._found.parameters.shape, bool)
        unknown[:, self._problem.own] = self._errors.own_lost
        unknown[:, self._problem.shared] = self._errors.shared_lost
        lost = self._problem.layout.flat(unknown)
        return tuple(self.names[place] for place in np.flatnonzero(lost))

    @cached_property
    def group_status(self) -> Array:
        """Return how the fit of each group ended, (G,), as texts.

        "no_data" if all its targets are missing, "not_finite" if its outputs are not finite at the start,
        "too_few_data" if it has fewer data than free parameters of its own, "singular" if its data do not determine
        these; else "converged", or as the whole fit if the group could be fitted better.
        """
        statuses = np.where(self._found.unfinished, ENDINGS[self._ending].status, "converged").astype("U16")
        ended = statuses == "converged"
        if ended.any():
            statuses[ended & self._errors.own_lost.any(axis=1)] = "singular"
            statuses[ended & (self.group_used < len(self._problem.own))] = "too_few_data"
        statuses[~np.isfinite(self._found.rows.costs)] = "not_finite"
        statuses[self.group_used == 0] = "no_data"
        return statuses

    # --- goodness ---

    @cached_property
    def r2(self) -> float:
        """Return 1 - chi2/sum(((y - mean)/sigma)**2), with one mean for each output, not one for each group."""
        residuals: Any = self.residuals
        return goodness.r2(self._Y, residuals[self._order], self._sigma, self._model.facts.samples, self._algebra)

    @cached_property
    def loss(self) -> float:
        """Return the mean loss of the model at the parameters, as ``train`` has it: without sigma and a robust loss."""
        model: Any = self._model
        total, count = 0.0, 0
        known = ~np.any(np.isnan(self._Y), axis=1).reshape(-1)
        begins = self._problem.begins.astype(int).tolist()
        for place, (first, last) in enumerate(pairwise(begins)):
            rows = first + np.flatnonzero(known[first:last])
            if len(rows):
                X = None if self._X is None else self._X[rows]
                total += len(rows) * float(model.loss(self.group_parameters[place], X, self._Y[rows]))
                count += len(rows)
        return total / count if count else math.nan

    # --- predictions, pictures, tables ---

    def predict(  # type: ignore[override]
        self,
        X: ArrayLike | None = None,
        groups: Any = None,
        interval: str | None = None,
        level: float = LEVEL,
        sigma: Any = None,
        method: str = "t",
    ) -> Any:
        """Return the outputs for the rows of X, (N, K); with an interval, (outputs, lower, upper), each (N, K).

        groups is a label for each row, or one label for all rows; the rest is as for ``FitResult.predict``. Raises
        ValueError for a group that the fit had not: its own parameters are not known.
        """
        if groups is None:
            raise ValueError("predict needs groups: a label for each row of X, or one for all")
        inputs = None
        if X is not None:
            inputs = check_inputs(self._model, X if has_names(X) else np.atleast_1d(X))[0]
        samples = len(inputs) if inputs is not None else len(groups) if np.ndim(groups) else 1
        numbers = places_in(self.labels, groups, samples)
        width = self._model.output_count
        outputs = np.empty((3, samples, width), self._model.dtype if interval is None else float)
        order = np.argsort(numbers, kind="stable")
        ends = np.flatnonzero(np.diff(numbers[order])) + 1
        per_row = sigma is not None and np.ndim(sigma)
        model: Any = self._model
        for rows in np.split(order, ends):
            place = int(numbers[rows[0]])
            group_inputs = None if inputs is None else inputs[rows]
            if interval is None and sigma is None and level == LEVEL and method == "t":
                outputs[0, rows] = model.predict(self.group_parameters[place], group_inputs)
                continue
            group_fit = self.group(self.labels[place])
            group_sigma = np.asarray(sigma)[rows] if per_row else sigma
            outputs[:, rows] = group_fit.predict(group_inputs, interval, level, group_sigma, method)
        return outputs[0] if interval is None else Predicted(*outputs)

    def plot(
        self, axes: Any = None, interval: str | None = "confidence", level: float = LEVEL, kind: str | None = None
    ) -> Any:
        """Draw the groups in a grid with matplotlib: data, curve and band of each; or the "history" of the fit.

        axes are those to draw on, one for each group; by default those of a new figure, for the first 100 groups. The
        rest is as for ``FitResult.plot``. Returns the figure.
        """
        if kind == "history":
            return super().plot(axes, interval, level, kind)
        if kind not in (None, "fit"):
            raise ValueError(f"there is no picture {kind!r}; there are: 'fit', 'history'")
        return plot_groups(self, axes, interval, level)

    @cached_property
    def derived(self) -> Any:
        """Return the tied parameters and derived quantities of all groups: names such as "half_life[plate 1]"."""
        return GroupedQuantities(self)

    def _quantity(self, place: int) -> Function:
        """Return a tied parameter or derived quantity of a group as a function of all parameters."""
        quantities = self._model.facts.fitting.quantities
        group, number = divmod(place, len(quantities))
        return _of_group(self._problem.layout, group, as_function(quantities[number]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result with its data to a file, an .npz archive, from which the module's ``load`` reads it.

        A file of that name is replaced atomically. Raises ValueError for labels that are neither texts nor numbers;
        such a result can be pickled.
        """
        write_archive(path, self._archive())

    def _archive(self) -> dict[str, Any]:
        """Return the arrays of the file. Raises ValueError for labels that it cannot hold."""
        problem, solution = self._problem, self._found
        labels = np.array(self.labels)
        kinds: dict[str, tuple[str, Any]] = {
            "U": ("labels", labels.dtype),
            "i": ("whole_labels", np.int64),
            "f": ("real_labels", np.float64),
        }
        plain_labels = all(type(label) in (str, int, float) for label in self.labels)
        if not plain_labels or labels.ndim != 1 or labels.dtype.kind not in kinds or labels.tolist() != self.labels:
            raise ValueError("labels that are neither texts nor numbers are not saved: pickle the result")
        name, kind = kinds[labels.dtype.kind]
        is_own, free = (np.zeros(self._model.parameter_count, bool) for _ in range(2))
        is_own[list(problem.layout.own)] = True
        free[problem.columns.astype(np.intp)] = True
        options = problem.options.changed(absolute_sigma=self.absolute_sigma)  # which pickles of 0.2 have here alone
        counts = [self.iterations, self.evaluations, *options.stored("counts"), problem.threads]
        arrays = head(self._model, GROUPED) | {
            "parameters": solution.parameters,
            "start": problem.layout.full(self.p0),
            "triangles": solution.rows.triangles,
            "costs": solution.rows.costs,
            "signs": solution.rows.signs,
            "own_at_bound": solution.own_at_bound,
            "shared_at_bound": solution.shared_at_bound,
            "unfinished": solution.unfinished,
            "history": solution.history,
            "order": self._order.astype(np.int64),
            "numbers_of_groups": self._numbers[self._order].astype(np.int64),
            "own": is_own,
            "free": free,
            "Y": problem.Y,
            "numbers": np.array(options.stored("numbers")),
            "counts": np.array(counts, np.int64),
            "texts": np.array([self._ending, *options.stored("texts")]),
            name: labels.astype(kind),
        }
        lower, upper = options.bounds or (None, None)
        optional = {"X": problem.X, "lower": lower, "upper": upper}
        if problem.sigma is not None:
            optional[("sigma", "sigmas", "sigmas_of_each")[problem.sigma.ndim]] = problem.sigma
        optional |= self._arrays_of_inputs()
        return arrays | {key: array for key, array in optional.items() if array is not None}

    def _arrays_of_inputs(self) -> dict[str, Any]:
        """Return the arrays of the file that tell the errors of the inputs, None for those that it does not need."""
        return {}

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {self.status} after {self.iterations} iterations, {len(self.labels)} groups, "
            f"chi2 {self.chi2:.6g}>"
        )


class GroupedQuantities:
    """The tied parameters and derived quantities of all groups, in the order of the groups: see ``Quantities``."""

    def __init__(self, result: GroupedFit) -> None:
        quantities = result._model.facts.fitting.quantities
        self.names = tuple(
            f"{quantity.name}[{label_text(label)}]" for label in result.labels for quantity in quantities
        )
        self.tied = np.array([quantity.tied for quantity in quantities] * len(result.labels), bool)
        self._result = result

    @cached_property
    def values(self) -> Array:
        """Return the values, one after the other."""
        return self._joined(lambda group_fit: group_fit.derived.values)

    @cached_property
    def standard_errors(self) -> Array:
        """Return the standard errors, one after the other."""
        return self._joined(lambda group_fit: group_fit.derived.standard_errors)

    def confidence_intervals(self, level: float = LEVEL) -> Array:
        """Return the ends of an interval for each, as those of a single fit."""
        return self._joined(lambda group_fit: group_fit.derived.confidence_intervals(level))

    def _joined(self, part: Callable[[FitResult], Array]) -> Array:
        if not self.names:
            return np.empty((0,))
        return np.concatenate([part(self._result.group(label)) for label in self._result.labels])

    def __getitem__(self, name: Any) -> float:
        """Return the value of one by its full name."""
        return float(self.values[self.names.index(name_of(name))])

    def __len__(self) -> int:
        return len(self.names)


def _of_group(layout: Any, place: int, function: Function) -> Function:
    """Return a function of the parameters of one group as one of all parameters of a fit in groups."""
    own, shared = list(layout.own), list(layout.shared)

    def of_all(flat: Array) -> tuple[float, Array]:
        value, slopes = function(layout.full(flat)[place])
        every = np.zeros((layout.groups, len(slopes)))
        every[place, own], every[0, shared] = slopes[own], slopes[shared]
        return value, layout.flat(every)

    return of_all


def label_text(label: Any) -> str:
    """Return a label as it stands in the name of a parameter; the parts of a tuple with commas between them."""
    return ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)

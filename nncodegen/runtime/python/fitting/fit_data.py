"""The data of many fits, checked: arrays for C, from which each fit's own result can be computed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments.arguments import for_c, to_array, to_finite
from ..arguments.errors_in_x import check_many_sigma_x
from ..arguments.fit_options import CheckedFitOptions
from ..arguments.initial import initial_parameters
from ..arguments.one_matrix import check_ranges, check_rising
from ..arguments.parameters_by_name import check_counts
from ..arguments.tables import OF_INPUTS, has_names, named_parts
from ..ground.share import is_ended
from .fit import placed, result_of, with_steps
from .fit_with_errors import ProblemWithErrors, result_with_errors
from .problem import Problem

if TYPE_CHECKING:
    from ..arguments.bounds import Bounds
    from ..ground.types import Array
    from ..native.model import Model
    from ..results.fit_result import FitResult


class FitOptions(NamedTuple):
    """The options of fits on which the result of a single one depends."""

    bounds: Bounds | None
    fixed: Array
    tolerance: float
    absolute_sigma: bool

    @property
    def held(self) -> Array | None:
        """Return the mask of the fixed parameters as C takes it, None without any."""
        return self.fixed.astype(np.uint8) if self.fixed.any() else None

    def of_problem(self, model: Model, max_iterations: int | None = None) -> CheckedFitOptions:
        """Return the options of the problem of a single fit."""
        options = CheckedFitOptions.of(tolerance=self.tolerance, max_iterations=max_iterations)
        return options.kept(model, self.bounds, self.absolute_sigma)


def by_names(model: Model, name: str, values: Any) -> Any:
    """Return X, Y or sigma of many fits as an array if it is a table or a mapping, (N,) or (M, N) for each name.

    A list, one entry for each fit, may have tables as well. Anything else is returned unchanged. Raises ValueError.
    """
    if isinstance(values, list | tuple) and any(map(has_names, values)):
        return [by_names(model, name, entry) for entry in values]
    parts = named_parts(model, name, values) if has_names(values) else values
    if not isinstance(parts, dict):
        return parts
    arrays = [to_array(model, f"{name}[{key!r}]", part, "expected numbers") for key, part in parts.items()]
    sizes = [size for _, size in (model.facts.samples.inputs if name in OF_INPUTS else model.facts.samples.targets)]
    if sizes == [1]:
        return arrays[0]
    arrays = [array[..., None] if size == 1 else array for array, size in zip(arrays, sizes, strict=True)]
    try:
        rows = np.broadcast_shapes(*(array.shape[:-1] for array in arrays))
        return np.concatenate([np.broadcast_to(array, (*rows, array.shape[-1])) for array in arrays], axis=-1)
    except ValueError as error:
        raise ValueError(f"the arrays of {name} have shapes that do not fit together: {error}") from error


class FitData:
    """The checked data of all fits: arrays for C, each shared or with a first axis for the fits."""

    sigma: Array | None
    sigma_x: Array | None = None
    starts: Array
    lengths: Array | None
    options: FitOptions

    def __init__(self, model: Model, X: Any, Y: Any) -> None:
        self.model = model
        self.columns = len(model.target_names)
        self.axes = 1 if self.columns == 1 else 2
        """The number of axes of the targets of one fit; a single target has no axis."""
        self.counts: dict[str, int] = {}
        """For each argument that has an axis for fits: their number."""
        self.samples, self.Y = self._targets(Y)
        self.X = self._inputs(X)

    def fits(self) -> int:
        """Return the number of fits."""
        if not self.counts:
            return 1
        check_counts(self.counts)
        first, count = next(iter(self.counts.items()))
        if count < 1:
            raise ValueError(f"{first} is empty; expected at least one fit")
        return count

    def strides(self) -> Array:
        """Return the strides from one fit to the next, in values, of inputs, targets, sigma, starts and sigma_x.

        They are 0 for what all fits share.
        """
        arrays = (*self._own(), (self.sigma_x, "sigma_x" in self.counts))
        return np.array([0 if array is None or not has else array[0].size for array, has in arrays], np.uintp)

    def sigma_x_of(self, m: int) -> Array:
        """Return the standard deviations of the inputs of one fit, (samples, inputs)."""
        assert self.sigma_x is not None
        deviations: Array = self.sigma_x[m] if "sigma_x" in self.counts else self.sigma_x
        return deviations[: self.samples if self.lengths is None else int(self.lengths[m])]

    def of_fit(self, m: int) -> tuple[Array | None, Array, Array | None, Array]:
        """Return X (samples, inputs), Y (samples, targets), sigma like Y or None, and the start (P,) of one fit."""
        count = self.samples if self.lengths is None else int(self.lengths[m])
        X, Y, sigma, start = (array[m] if has and array is not None else array for array, has in self._own())
        rows = [None if each is None else each.reshape(self.samples, -1)[:count] for each in (X, Y, sigma)]
        return rows[0], rows[1], rows[2], start  # type: ignore[return-value]

    def of_fits(self, indices: Array) -> FitData:
        """Return the data of some fits, by their indices, (n,)."""
        some = copy(self)
        some.counts = dict.fromkeys(self.counts, len(indices)) | {"p0": len(indices)}
        if len(indices) == self.fits() and (indices == np.arange(len(indices))).all():
            return some
        for name in ("X", "Y", "sigma", "sigma_x", "lengths"):
            if name in self.counts:
                setattr(some, name, getattr(self, name)[indices])
        return some

    def can_any_begin(self) -> bool:
        """Return whether any of the fits can begin at its start: see ``Problem.can_begin``."""
        for m in range(self.fits()):
            if is_ended():
                raise KeyboardInterrupt
            if self.problem(m).can_begin((self.of_fit(m)[3],)):
                return True
        return False

    def problem(self, m: int) -> Problem:
        """Return the problem of fit m, without errors in its inputs."""
        X, Y, sigma, _ = self.of_fit(m)
        return Problem(self.model, X, Y, sigma, self.options.of_problem(self.model))

    def result(self, m: int, parameters: Array, ending: str, iterations: int) -> FitResult:
        """Return the result of fit m, which ended at some parameters; all other values are computed again there."""
        X, Y, sigma, start = self.of_fit(m)
        held, options = self.options.held, self.options.of_problem(self.model)
        if self.sigma_x is not None:
            return self._result_with_errors(m, parameters, ending, iterations)
        none = options.changed(tolerance=-1.0, max_iterations=0)  # takes no step, and meets no tolerance
        there = Problem(self.model, X, Y, sigma, none)
        solution = there.solve(parameters, held)
        if solution.ending == "max_iterations":
            solution = solution._replace(ended=ending)
        again = Problem(self.model, X, Y, sigma, options)
        solution = solution._replace(iterations=iterations, evaluations=iterations + 1, costs=None)
        return with_steps(result_of(again, solution, start, held), again, parameters[None])

    def problem_with_errors(self, m: int, max_iterations: int | None = None) -> ProblemWithErrors:
        """Return the problem of fit m, whose inputs have errors."""
        X, Y, sigma, _ = self.of_fit(m)
        errors = np.ascontiguousarray(self.sigma_x_of(m))
        problem = Problem(self.model, X, Y, sigma, self.options.of_problem(self.model, max_iterations))
        return ProblemWithErrors(problem, errors, np.zeros(errors.shape))

    def _result_with_errors(self, m: int, parameters: Array, ending: str, iterations: int) -> FitResult:
        """Return the result of fit m with errors in its inputs, whose changes are found again at the parameters."""
        problem, start = self.problem_with_errors(m), self.of_fit(m)[3]
        held = self.options.held
        _, changes = problem.solve(parameters, np.ones(len(parameters), np.uint8))
        there = ProblemWithErrors(problem.given, problem.sigma_x, changes)
        solution, changes = there.solve(parameters, held, most=0)
        if solution.ending == "max_iterations":
            solution = solution._replace(ended=ending)
        solution = solution._replace(iterations=iterations, evaluations=iterations + 1, costs=None)
        return result_with_errors(there, solution, changes, start, held)

    def _own(self) -> tuple[tuple[Array | None, bool], ...]:
        """Return X, Y, sigma and the starts, each with whether it has an axis for the fits."""
        arrays = {"X": self.X, "Y": self.Y, "sigma": self.sigma}
        return *((array, name in self.counts) for name, array in arrays.items()), (self.starts, self.starts.ndim == 2)

    def add_starts(self, p0: Any) -> None:
        """Set the starts of the fits, except values that are given by name."""
        model, count = self.model, self.model.parameter_count
        if p0 is None or isinstance(p0, Mapping):
            self.starts = initial_parameters(model)
            return
        expected = f"expected ({count},), such as initial_parameters(), or (M, {count})"
        array = to_array(model, "p0", p0, expected)
        if array.ndim not in (1, 2) or array.shape[-1] != count:
            raise ValueError(f"p0 has the shape {array.shape}; {expected}")
        if array.ndim == 2:
            self.counts["p0"] = len(array)
        self.starts = to_finite(model, "p0", array, expected)

    def place_starts(self, p0: Any, fixed: Any, limits: Bounds | None) -> None:
        """Move initial parameters within the bounds, and set values that are given by name."""
        if limits is not None and (p0 is None or isinstance(p0, Mapping)):
            self.starts = np.clip(self.starts, *limits)
        self.starts = placed(self.model, self.starts, p0, fixed, limits, many=True)
        if self.starts.ndim == 2 and "p0" not in self.counts:
            self.counts["p0" if isinstance(p0, Mapping) else "fixed"] = len(self.starts)

    def add_lengths(self, lengths: Any) -> None:
        """Set the number of samples of each fit."""
        self.lengths = None
        if lengths is None:
            return
        expected = f"expected (M,) integers from 0 to {self.samples}, the samples of each fit"
        array = to_array(self.model, "lengths", lengths, expected)
        if array.ndim != 1:
            raise ValueError(f"lengths has the shape {array.shape}; {expected}")
        wrong = np.flatnonzero(~((array >= 0) & (array <= self.samples) & (array == np.floor(array))))
        if len(wrong):
            raise ValueError(f"lengths[{wrong[0]}] is {array[wrong[0]]}; {expected}")
        self.counts["lengths"] = len(array)
        self.lengths = np.ascontiguousarray(array, np.uintp)

    def check_inputs(self) -> None:
        """Raise ValueError, with its fit and position, for an index out of its range, or a time after a later one.

        Indices are checked in all samples of a fit, as C reads at each; times only where a target is not missing.
        """
        model, X = self.model, self.X
        if X is None or not (model.facts.samples.ranges or model.facts.samples.rising):
            return
        if "X" not in self.counts:
            check_ranges(model, X)
            check_rising(model, X)
            return
        count = self.fits()
        within = np.ones((count, self.samples), bool)
        if self.lengths is not None:
            within = np.arange(self.samples) < self.lengths[:, None]
        known = ~np.isnan(self.Y).reshape(-1, self.samples, self.columns).all(axis=2, keepdims=True)
        known = np.broadcast_to(known, (count, self.samples, 1))

        def check(fits: slice) -> None:
            check_ranges(model, X[fits][within[fits]])
            check_rising(model, np.where(known[fits], X[fits], np.nan)[within[fits]])

        with suppress(ValueError):
            check(slice(count))
            return
        m = 0
        try:
            for m in range(count):
                check(slice(m, m + 1))
        except ValueError as error:
            raise ValueError(f"the data of fit {m}: {error}") from error

    def add_sigma(self, sigma: Any) -> None:
        """Set the standard deviations of the targets."""
        self.sigma = None
        if sigma is None:
            return
        expected = f"expected a number above 0, or {self._shapes()}"
        array = to_array(self.model, "sigma", sigma, expected)
        shape = (self.samples,) if self.columns == 1 else (self.samples, self.columns)
        if array.ndim == 0:
            array = np.full(shape, array)
        elif array.ndim == 3 and array.shape[2] == 1 == self.columns:
            array = array[..., 0]
        if array.shape[-self.axes :] != shape or array.ndim > self.axes + 1:
            raise ValueError(f"sigma has the shape {array.shape}, where the samples are {self.samples}; {expected}")
        if array.ndim > self.axes:
            self.counts["sigma"] = len(array)
        self.sigma = for_c(self.model, array)
        self._check_sigma(np.shape(sigma) == (), expected)

    def add_sigma_x(self, sigma_x: Any) -> None:
        """Set the standard deviations of the inputs."""
        expected = f"expected a number, {self._shapes_of_inputs()}, or a mapping from names of inputs"
        if not isinstance(sigma_x, Mapping):  # whose further inputs are exact
            sigma_x = by_names(self.model, "sigma_x", sigma_x)
        deviations = check_many_sigma_x(self.model, sigma_x, self.samples, expected)
        if deviations.ndim == 3:
            self.counts["sigma_x"] = len(deviations)
        self.sigma_x = deviations

    def _check_sigma(self, alone: bool, expected: str) -> None:
        """Raise ValueError for a standard deviation that is not positive and finite, if its target is used."""
        sigma = self.sigma
        if sigma is None or (sigma.min() >= self.model.tiny and sigma.max() < np.inf):
            return
        fits, shape = self.fits(), (self.samples, self.columns)
        wrong = ~((sigma >= self.model.tiny) & (sigma < np.inf))
        used = ~np.isnan(self.Y).reshape(-1, *shape)
        if self.lengths is not None:
            used = used & (np.arange(self.samples)[:, None] < self.lengths[:, None, None])
        bad = np.argwhere(np.broadcast_to(wrong.reshape(-1, *shape) & used, (fits, *shape)))
        if len(bad):
            m, n, k = map(int, bad[0])
            place = ([m] if sigma.ndim > self.axes else []) + [n] + ([k] if self.columns > 1 else [])
            at = "" if alone else f"[{', '.join(map(str, place))}]"
            raise ValueError(f"sigma{at} is {sigma[tuple(place)]}; {expected}, all above 0 and finite")

    def _targets(self, Y: Any) -> tuple[int, Array]:
        """Return the number of samples, and the targets: NaN where they are missing."""
        expected = f"expected {self._shapes()}, NaN where a target is missing"
        if Y is None:
            raise ValueError(f"Y is missing: {expected}")
        array = to_array(self.model, "Y", Y, expected)
        if array.ndim == 3 and array.shape[2] == 1 == self.columns:
            array = array[..., 0]
        if array.ndim not in (self.axes, self.axes + 1) or (self.axes == 2 and array.shape[-1] != self.columns):
            raise ValueError(f"Y has the shape {array.shape}; {expected}")
        if array.ndim > self.axes:
            self.counts["Y"] = len(array)
        samples = array.shape[-self.axes]
        if not samples:
            raise ValueError(f"Y has the shape {array.shape}; {expected}, and at least one sample")
        return samples, for_c(self.model, array)

    def _inputs(self, X: Any) -> Array | None:
        """Return the inputs. Shared ones must be finite; others may be anything where a target is missing."""
        model, count = self.model, len(self.model.input_names)
        if not count:
            if X is not None:
                raise ValueError("X was given, but the model has no inputs: leave it out")
            return None
        expected = f"expected {self._shapes_of_inputs()}"
        if X is None:
            raise ValueError(f"X is missing: {expected}")
        array = to_array(model, "X", X, expected)
        if count == 1 and (array.ndim == 1 or (array.ndim == 2 and array.shape[1] != 1)):
            array = array[..., None]
        if array.ndim not in (2, 3) or array.shape[-2:] != (self.samples, count):
            raise ValueError(f"X has the shape {np.shape(X)}; {expected}")
        if array.ndim == 2:
            return to_finite(model, "X", array, expected)
        self.counts["X"] = len(array)
        return for_c(self.model, array)

    def _shapes_of_inputs(self) -> str:
        """Return a text about the shapes that inputs may have."""
        count = len(self.model.input_names)
        of_single_input = ", or (N,), or (M, N)" if count == 1 else ""
        return f"(N, {count}), shared by all fits, or (M, N, {count}){of_single_input}, with N = {self.samples} as in Y"

    def _shapes(self) -> str:
        """Return a text about the shapes that targets may have."""
        if self.columns == 1:
            return "(M, N), a row for each fit, or (N,), shared by all"
        names = ", ".join(self.model.target_names)
        return f"(M, N, {self.columns}), with the columns {names}, or (N, {self.columns}), shared by all fits"

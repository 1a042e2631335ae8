"""One fit, with its complete result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import are_labels, check_inputs, check_parameters, for_c, one_hot, to_array, to_column
from ..arguments.bounds import check_fixed, check_within, given_in, limits_of
from ..arguments.calls import FIT
from ..arguments.errors_in_x import check_sigma_x
from ..arguments.initial import initial_parameters
from ..arguments.one_matrix import joined
from ..arguments.parameters_by_name import put
from ..arguments.scalars import SEED, integer
from ..arguments.start import check_seed, start_of
from ..arguments.terms import take_terms
from ..evaluation.jacobian import check_fitted
from ..evaluation.noise import scales_at
from ..ground.distributions import reason_not_finite
from ..ground.facts import flat_names
from ..ground.outcomes import is_explicit
from ..ground.poles import warn_of_poles
from ..ground.warn import warn
from ..results.fit_result import FitResult
from ..results.result import with_samples
from .automatic import automatic_start, usual_steps
from .curve_starts import begins_in_data, curve_start
from .fit_in_groups import fit_in_groups, sharing_of, starts_of
from .fit_watch import watch_of
from .fit_with_errors import fit_with_errors
from .group_starts import GroupSearch
from .problem import Problem, of_samples
from .starting_points import best_start

if TYPE_CHECKING:
    from ..arguments.bounds import Bounds
    from ..ground.types import Array
    from ..native.model import Model
    from ..results.solution import Solution
    from .fit_watch import FitWatch

AUTO = "auto"
"""The value of p0 and n_starts with which starting points are looked for."""


class Epochs(int):
    """A number of iterations as ``train`` gives it: there is no warning where all of them are used."""


@FIT
def fit(model: Model, /, *positional: Any, **named: Any) -> FitResult:
    """Fit the model to data by least squares (Levenberg and Marquardt), with the errors of its parameters.

    It finds the P parameters that minimize the sum of ((output - target)/sigma)**2 over N samples. A model whose
    loss is not a sum of squares, but convex in the outputs, is fitted by generalized Gauss-Newton: it minimizes the
    sum of the losses of all values, which counts as a negative log-likelihood, so that the covariance is the
    inverse of the Fisher information.

    {options}

    Instead of a name, a symbol of SymPy can be given.

    Returns a FitResult: parameters, standard_errors, covariance, confidence_intervals(), predict(), plot(), and a
    table when it is printed; with groups it is a GroupedFit, with sigma_x a FitWithErrors, or a GroupedFit that
    has the estimated inputs, too. If the fit did not converge, its status says why ("time_limit", and "stopped" by
    the callback, among others), and so does a RuntimeWarning, unless the callback ended it. Raises ValueError for
    an argument that is invalid or has no effect, for a model that cannot be fitted, and, with the index of the row,
    for a loss that turns out not to be convex in the outputs.
    """
    check_fitted(model, "fit")
    options, _ = FIT.settings(model, positional, named)
    p0, fixed, n_starts, seed = options.p0, options.fixed, options.n_starts, options.seed
    X, Y, terms = take_terms(model, options.X, options.Y, options.data, options.loss_weights, "sigma, 1/sqrt(weight)")
    inputs, samples = check_inputs(model, X)
    targets = _targets(model, Y, samples if model.input_names else None)
    errors = None if options.sigma_x is None else _errors_in_x(model, options.sigma_x, len(targets), terms)
    sharing = sharing_of(model, options.groups, options.own, len(targets), terms)
    if isinstance(p0, str):
        n_starts = automatic(p0, n_starts)
        p0 = None
    if type(seed) is not int or seed:
        others = "; starting points are, where n_starts is given"
        seed = check_seed(model, seed, p0, others, "p0") if n_starts is None else integer("seed", seed, 0, SEED)
    curves = model.facts.fitting.curves
    limits = None if options.bounds is None and not curves else limits_of(model, options.bounds, p0, fixed)
    start = _start(model, None if sharing else p0, seed, () if sharing else fixed, limits)
    held = None if type(fixed) is tuple and not fixed else check_fixed(model, fixed).view(np.uint8)
    if options.loss == "linear" and options.f_scale != 1:
        raise ValueError("f_scale has no effect on the loss 'linear': give a robust loss, or leave it out")
    if model.facts.fitting.curved:
        check_curved(model, options.sigma, options.loss)
    checked = options.kept(model, limits, options.absolute_sigma or model.facts.fitting.curved)
    problem = Problem(model, inputs, targets, _sigma(model, options.sigma, targets), checked)
    watch = watch_of(options, checked.max_iterations)
    known = given_in(model, p0, fixed) if curves else None
    if known is not None and sharing is None and begins_in_data(model) and not known.all():
        if p0 is None and n_starts is None:
            n_starts = AUTO
        elif n_starts != AUTO:
            start = curve_start(problem, start, held, known)
    first = start
    if sharing is not None:
        starts = starts_of(model, sharing, start, p0, fixed, limits)
        grouped = fit_in_groups(
            problem,
            sharing,
            starts,
            held,
            options.threads,
            watch,
            errors,
            _search_of(model, n_starts, seed, given_in(model, p0, fixed)),
        )
        check_noise(grouped, problem, grouped.group_parameters, sharing.grouping.numbers)
        return _after_warnings(with_steps(grouped, problem, grouped.group_parameters, sharing.grouping.numbers), False)
    if isinstance(n_starts, str):
        if n_starts != AUTO:
            raise ValueError(f"n_starts is {n_starts!r}; expected a number, or {AUTO!r}")
        start, first = automatic_start(problem, start, held, seed, options.threads, watch, known)
    elif n_starts is not None:
        count = integer("n_starts", n_starts, 1, 2**20)
        first = best_start(problem, start, held, count, seed, options.threads, watch)
    if errors is not None:
        return _after_warnings(fit_with_errors(problem, errors, start, first, held, watch), False)
    result = with_samples(result_of(problem, solved(problem, first, held, watch), start, held), terms)
    check_noise(result, problem, result.parameters[None])
    if model.facts.steps.max_steps:
        result = with_steps(result, problem, result.parameters[None])
    return _after_warnings(result, type(named.get("max_iterations")) is Epochs)


def check_noise(result: FitResult, problem: Problem, parameters: Array, groups: Array | int = 0) -> None:
    """Raise ValueError where a noise that is a formula is not above 0 at the start of a fit, or reaches 0.

    ``parameters`` are those of each group (G, P), ``groups`` the numbers of the groups of the samples, (N,).
    """
    facts, name = problem.model.facts, result.model_name
    if not facts.fitting.noise:
        return
    if result.status == "no_noise":
        raise ValueError(f"the fit of {name} has no end: {result.message}")
    if result._ending != "not_finite":
        return
    numbers = np.broadcast_to(groups, problem.samples)
    for group, point in enumerate(parameters):
        rows = np.flatnonzero(numbers == group)
        part = of_samples(problem, rows)
        scales = scales_at(problem.model, for_c(problem.model, point), part.X, part.samples)
        reason = reason_not_finite(facts, part.outputs(point), part.Y, scales, rows)
        if reason:
            raise ValueError(f"the noise of {name} {reason}")


def _search_of(model: Model, n_starts: Any, seed: int, is_given: Array) -> GroupSearch | None:
    """Return how a fit in groups looks for its start; None if it begins where it is told."""
    if n_starts is not None:
        count = None if n_starts == AUTO else integer("n_starts", n_starts, 1, 2**20)
        return GroupSearch(n_starts == AUTO, count, seed, is_given)
    return GroupSearch(False, None, seed, is_given) if begins_in_data(model) and not is_given.all() else None


def _errors_in_x(model: Model, sigma_x: Any, samples: int, terms: Any) -> Array:
    """Return the standard deviations of the inputs, (N, inputs). Raises ValueError where they do not fit."""
    if terms is not None or model.facts.fitting.curved:
        if model.facts.fitting.noise:
            raise ValueError(
                f"sigma_x is for targets with a sigma that is given; {model.name} has a formula of its noise: leave it "
                f"out, or give sigma in place of the formula"
            )
        raise ValueError(f"sigma_x is for least squares of X and Y; the loss of {model.name} is another: leave it out")
    return check_sigma_x(model, sigma_x, samples)


def with_steps(result: FitResult, problem: Problem, parameters: Array, groups: Array | int = 0) -> FitResult:
    """Return the result, which knows whether solutions took very many steps of an explicit method where it ended.

    ``parameters`` are those of each group (G, P), ``groups`` the numbers of the groups of the samples, (N,).
    """
    model, steps = problem.model, usual_steps(problem.model)
    if not steps or not is_explicit(model.facts.steps.solver) or result.converged or not np.isfinite(result.cost):
        return result
    numbers = np.broadcast_to(groups, problem.samples)
    for group, group_parameters in enumerate(parameters):
        if exceeds(of_samples(problem, np.flatnonzero(numbers == group)), group_parameters, steps):
            result._many_steps = steps
            break
    return result


def exceeds(problem: Problem, parameters: Array, steps: int) -> bool:
    """Return whether some solution at parameters, (P,), at which the cost is finite, takes more than some steps."""
    return bool(np.isnan(problem.limited(steps).outputs(parameters)).any())


def _after_warnings(result: FitResult, trained: bool) -> FitResult:
    """Return the result, after warnings if it did not converge (unless it was stopped) or if it has poles.

    If ``trained``, ``train`` called, which is meant to use up the epochs that it was given.
    """
    meant = ("stopped", "max_iterations") if trained else ("stopped",)
    if not result.converged and result.status not in meant:
        warn(f"the fit of {result.model_name} did not converge: {result.message}", RuntimeWarning)
    elif result.used < result.free_count:
        warn(f"the fit of {result.model_name} has too few data: {result.message}", RuntimeWarning)
    if result.poles:
        warn_of_poles(result.model_name, result.poles)
    return result


def automatic(p0: str, n_starts: Any = None) -> str:
    """Return n_starts for a p0 that is a text, which must be "auto". Raises ValueError."""
    if p0 != AUTO:
        raise ValueError(f"p0 is {p0!r}; expected an array, a mapping from names to values, or {AUTO!r}")
    if n_starts not in (None, AUTO):
        raise ValueError(f"p0={AUTO!r} looks for starting points itself: leave out n_starts")
    return AUTO


def solved(problem: Problem, first: Array, held: Array | None, watch: FitWatch | None) -> Solution:
    """Return the solution from a start, under a watch that may have ended the fit already."""
    if watch is None or not watch.reason:
        return problem.solve(first, held, watch=watch)
    return problem.with_iterations(0).solve(first, held)._replace(ended=watch.reason)


def result_of(problem: Problem, solution: Solution, start: Array, held: Array | None) -> FitResult:
    """Return the result of a fit from its solution."""
    return FitResult(problem, solution, start.copy(), held, problem)


def _start(model: Model, p0: Any, seed: int, fixed: Any, limits: Bounds | None) -> Array:
    """Return the start of a fit, (P,): given values must be within the bounds; initial parameters are moved there."""
    if type(fixed) is tuple and limits is None:  # the usual cases, decided quickly
        if p0 is None:
            return initial_parameters(model, seed)
        if type(p0) is np.ndarray:
            return check_parameters(model, p0, "p0")
    start = start_of(model, None if isinstance(p0, Mapping) else p0, seed, "p0")
    if p0 is None or isinstance(p0, Mapping):
        start = start if limits is None else np.minimum(np.maximum(start, limits[0]), limits[1])
    return placed(model, start, p0, fixed, limits)


def placed(model: Model, start: Array, p0: Any, fixed: Any, limits: Bounds | None, many: bool = False) -> Array:
    """Return a start, (P,) or (M, P), with the values of two mappings: where to begin, and fixed values.

    Raises ValueError if it is outside of the bounds then, or if the mappings contradict each other.
    """
    if isinstance(p0, Mapping):
        start = put(model, "p0", p0, start, many)
    if isinstance(fixed, Mapping):
        begin, start = start, put(model, "fixed", fixed, start, many)
        if isinstance(p0, Mapping):
            is_given = check_fixed(model, p0)
            wrong = np.flatnonzero(is_given & np.any(np.atleast_2d(begin != start), axis=0))
            if len(wrong):
                name = flat_names(model.facts.parameters)[wrong[0]]
                raise ValueError(f"p0 and fixed give different values of {name}: leave it out of p0")
    if limits is not None:
        check_within(model, start, limits)
    return start


def check_curved(model: Model, sigma: Any, loss: str = "linear") -> None:
    """Raise ValueError for arguments that have a meaning only for residuals."""
    for name, is_given in (("sigma", sigma is not None), ("loss", loss != "linear")):
        if is_given and model.facts.fitting.noise:
            raise ValueError(
                f"{name} has no meaning beside the noise of {model.name}, a formula that says how far targets lie from "
                f"outputs: leave it out"
            )
        if is_given:
            raise ValueError(f"{name} is for least squares; the loss of {model.name} is another, so leave it out")


def _targets(model: Model, Y: Any, samples: int | None) -> Array:
    """Return Y, (N, targets), as C takes it: NaN where a target is missing."""
    columns = len(model.target_names)
    usual = not model.facts.samples.label_targets and model.native.takes(Y, 2, columns)
    if not usual:
        Y = to_column(joined(model, "Y", Y, to_array), columns)
        usual = model.native.takes(Y, 2, columns)
    if usual and (samples is None or samples == len(Y)):
        return Y  # type: ignore[no-any-return]
    expected = f"expected ({'samples' if samples is None else samples}, {columns}), NaN where a target is missing"
    if Y is None:
        raise ValueError(f"Y is missing: {expected}")
    array = to_column(to_array(model, "Y", Y, expected), columns)
    if model.accepts_labels and are_labels(array):
        array = to_array(model, "Y", one_hot(model, Y), expected)
    if array.ndim != 2 or array.shape[1] != columns or not len(array) or (samples or len(array)) != len(array):
        raise ValueError(f"Y has the shape {array.shape}; {expected}")
    converted = for_c(model, array)
    if np.isinf(converted.sum()) and np.isinf(converted).any():
        row, column = np.argwhere(np.isinf(converted))[0]
        raise ValueError(f"Y[{row}, {column}] is {array[row, column]}, which is not finite; {expected}")
    return converted


def _sigma(model: Model, sigma: Any, targets: Array) -> Array | None:
    """Return the standard deviations, of the shape (), (N,) or (N, targets), checked."""
    if sigma is None:
        return None
    samples, columns = targets.shape
    expected = f"expected a number, ({samples},) or ({samples}, {columns}), all finite and above 0"
    array = to_array(model, "sigma", joined(model, "sigma", sigma, to_array), expected)
    if array.shape == (samples, 1):
        array = array.reshape(-1)
    if array.shape not in ((), (samples,), (samples, columns)):
        raise ValueError(f"sigma has the shape {array.shape}; {expected}")
    converted = for_c(model, array)
    if not (converted.min() >= model.tiny and converted.max() < np.inf):
        wrong = np.argwhere(~((converted >= model.tiny) & (converted < np.inf)))
        place = f"[{', '.join(map(str, wrong[0]))}]" if converted.ndim else ""
        raise ValueError(f"sigma{place} is {converted[tuple(wrong[0])]}; {expected}")
    return converted

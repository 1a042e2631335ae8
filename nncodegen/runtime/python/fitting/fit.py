"""One fit, with its complete result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.arguments import are_labels, check_inputs, check_parameters, for_c, one_hot, to_array, to_column
from ..arguments.bounds import check_fixed, check_within, given_in, limits_of
from ..arguments.errors_in_x import check_sigma_x
from ..arguments.initial import initial_parameters
from ..arguments.joined import joined
from ..arguments.named import put
from ..arguments.scalars import SEED, THREADS, flag, integer, number
from ..arguments.start import check_seed, start_of
from ..arguments.terms import take_terms
from ..evaluation.jacobian import check_fitted
from ..ground.facts import flat_names
from ..ground.habits import no_argument
from ..ground.outcomes import is_explicit
from ..ground.poles import warn_of_poles
from ..ground.renamed import by_present_names, renamed
from ..ground.warn import warn
from ..results.fit_result import FitResult
from ..results.result import with_samples
from .automatic import automatic_start, usual_steps
from .curve_starts import begins_in_data, curve_start
from .fit_in_groups import fit_in_groups, sharing_of, starts_of
from .fit_watch import watch_of
from .fit_with_errors import fit_with_errors
from .group_starts import GroupSearch
from .problem import LOSSES, Problem, Solution, check_iterations, check_tolerance, of_samples
from .starting_points import best_start

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..arguments.bounds import Bounds
    from ..ground.progress import FitProgress
    from ..ground.types import Array
    from ..native.model import Model
    from .fit_watch import FitWatch

UNSCALED = 1.0
"""The default of ``f_scale``, which needs no checks."""

AUTO = "auto"
"""The value of p0 and n_starts with which starting points are looked for."""


class Epochs(int):
    """A number of iterations as ``train`` gives it: there is no warning where all of them are used."""


@renamed("0.3.0", parameters="p0", starts="n_starts", robust="loss", robust_scale="f_scale", weights="loss_weights")
def fit(
    model: Model,
    /,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    p0: ArrayLike | Mapping[Any, Any] | str | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    bounds: Any = None,
    fixed: Iterable[Any] | Mapping[Any, Any] = (),
    loss: str | None = "linear",
    f_scale: float = UNSCALED,
    n_starts: int | str | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    max_iterations: int | None = None,
    threads: int = 1,
    data: Mapping[str, Any] | None = None,
    loss_weights: Mapping[str, float] | None = None,
    time_limit: float | None = None,
    callback: Callable[[FitProgress], Any] | None = None,
    progress: bool = False,
    groups: Any = None,
    own: Any = None,
    sigma_x: Any = None,
    **old: Any,
) -> FitResult:
    """Fit the model to data by least squares (Levenberg and Marquardt), with the errors of its parameters.

    It finds the P parameters that minimize the sum of ((output - target)/sigma)**2 over N samples. A model whose
    loss is not a sum of squares, but convex in the outputs, is fitted by generalized Gauss-Newton: it minimizes the
    sum of the losses of all values, which counts as a negative log-likelihood, so that the covariance is the
    inverse of the Fisher information.

    X               (N, inputs); with one input also (N,). Or a table, such as a DataFrame, or a mapping, whose
                    columns are taken by the names of the inputs
    Y               (N, targets); with one target also (N,), or a table as in X. NaN means missing; with a loss that
                    sees several outputs together, such as those of a softmax, they are all missing then. Labels
                    (N,), if train takes them
    p0              the start, within the bounds: (P,), or {name: value} of some; the others begin at the initial
                    parameters, moved into the bounds if necessary, or, of a model whose output is a curve by name
                    without values of its parameters, at estimates from the data. "auto": no start is needed, since
                    one is looked for, as with n_starts="auto"
    sigma           standard deviations of the targets, above 0: a number, (N,), or the shape of Y
    absolute_sigma  whether sigma is in the units of the targets; by default it is right up to a factor, and the
                    covariance is scaled by the reduced chi-square, as in scipy.optimize.curve_fit
    bounds          (lower, upper), each a number or (P,); or {name: (lower, upper)}; None or infinity: no bound.
                    Parameters of curves by name that a mapping leaves out have the bounds of the curve
    fixed           names or indices of parameters that keep their starting values; or {name: value}, the values
                    that they keep
    loss            "linear": residuals count as their squares; or a robust loss, "huber", "soft_l1" or "cauchy":
                    residuals beyond f_scale count less, as in scipy.optimize.least_squares
    n_starts        the number of additional starting points, a Sobol sequence within the bounds, which all free
                    parameters need; the best of all fits is the result. This needs SciPy. "auto": starting points
                    are drawn from the scales of the data, without bounds; parameters that enter the formula
                    linearly are projected out, and the best of many short fits is continued. This is for formulas
    seed            the seed of starting points, and of the initial parameters of a network
    tolerance       the fit ends if a step changes the cost or the parameters by less than this fraction, or if the
                    cosine between residuals and derivatives is below it; by default 1e-8, in float32 1e-5, and not
                    less than rtol/10 where steps of differential equations are chosen
    max_iterations  the most steps that are tried; by default 1,000 plus 100 for each parameter
    threads         1 to 64 threads, which share the starting points
    data, loss_weights
                    for a network with losses by name, in place of X and Y: see train
    time_limit      the seconds after which to stop, with the best parameters so far. They do not count the
                    compilation of a part of the module, which the first fit may need
    callback        a function of one argument, with the attributes iterations, cost, seconds and parameters, called
                    after each iteration; it ends the fit if it returns something true
    progress        show a bar on the standard error, as train does
    groups          a label for each sample, (N,): the samples of a label are a group, which has some parameters of
                    its own and shares the others. Labels are numbers, texts, dates or tuples, none of them missing.
                    Then threads share the groups, and p0="auto" or n_starts finds a start for each
    own             the names of the parameters that each group has for itself; by default those of the model. Their
                    values in p0 and fixed may be numbers, (G,) in the order in which groups first occur, or
                    mappings from labels to numbers
    sigma_x         standard deviations of the inputs, 0 for an exact one: a number, (N,) with one input,
                    (N, inputs), or {name: values}. The fit then estimates the true inputs, too (orthogonal
                    distances), also in groups. The model must have been built in this process

    Instead of a name, a symbol of SymPy can be given.

    Returns a FitResult: parameters, standard_errors, covariance, confidence_intervals(), predict(), plot(), and a
    table when it is printed; with groups it is a GroupedFit, with sigma_x a FitWithErrors, or a GroupedFit that
    has the estimated inputs, too. If the fit did not converge, its status says why ("time_limit", and "stopped" by
    the callback, among others), and so does a RuntimeWarning, unless the callback ended it. Raises ValueError for
    an argument that is invalid or has no effect, for a model that cannot be fitted, and, with the index of the row,
    for a loss that turns out not to be convex in the outputs.
    """
    if old:
        if "weights" in old and not model.facts.samples.terms:
            raise no_argument("fit", "weights")
        return by_present_names(fit, old, locals())  # type: ignore[no-any-return]
    check_fitted(model, "fit")
    X, Y, terms = take_terms(model, X, Y, data, loss_weights, "sigma, 1/sqrt(weight)")
    inputs, samples = check_inputs(model, X)
    targets = _targets(model, Y, samples if model.input_names else None)
    errors = None if sigma_x is None else _errors_in_x(model, sigma_x, len(targets), terms)
    sharing = sharing_of(model, groups, own, len(targets), terms)
    if isinstance(p0, str):
        n_starts = automatic(p0, n_starts)
        p0 = None
    if type(seed) is not int or seed:
        others = "; starting points are, where n_starts is given"
        seed = check_seed(model, seed, p0, others, "p0") if n_starts is None else integer("seed", seed, 0, SEED)
    limits = None if bounds is None and not model.facts.fitting.curves else limits_of(model, bounds, p0, fixed)
    start = _start(model, None if sharing else p0, seed, () if sharing else fixed, limits)
    held = None if type(fixed) is tuple and not fixed else check_fixed(model, fixed).view(np.uint8)
    loss, scale = _robust_loss(model, loss, f_scale)
    absolute = flag("absolute_sigma", absolute_sigma)
    if model.facts.fitting.curved:
        check_curved(model, sigma, loss)
        absolute = True
    problem = Problem(
        model, inputs, targets, _sigma(model, sigma, targets), limits, loss, scale,
        check_tolerance(model, tolerance), check_iterations(model, max_iterations),
    )  # fmt: skip
    watch = watch_of(model, time_limit, progress, callback, problem.max_iterations)
    given = given_in(model, p0, fixed) if model.facts.fitting.curves else None
    if given is not None and sharing is None and begins_in_data(model) and not given.all():
        if p0 is None and n_starts is None:
            n_starts = AUTO
        elif n_starts != AUTO:
            start = curve_start(problem, start, held, given)
    first = start
    if type(threads) is not int or threads != 1:
        threads = integer("threads", threads, 1, THREADS)
    if sharing is not None:
        starts = starts_of(model, sharing, start, p0, fixed, limits)
        grouped = fit_in_groups(
            problem, sharing, starts, held, threads, watch, absolute, errors,
            _search_of(model, n_starts, seed, given_in(model, p0, fixed)),
        )  # fmt: skip
        return _told(_with_steps(grouped, problem, grouped.group_parameters, sharing.grouping.numbers), False)
    if isinstance(n_starts, str):
        if n_starts != AUTO:
            raise ValueError(f"n_starts is {n_starts!r}; expected a number, or {AUTO!r}")
        start, first = automatic_start(problem, start, held, seed, threads, watch, given)
    elif n_starts is not None:
        first = best_start(problem, start, held, integer("n_starts", n_starts, 1, 2**20), seed, threads, watch)
    if errors is not None:
        return _told(fit_with_errors(problem, errors, start, first, held, watch, absolute), False)
    result = with_samples(result_of(problem, solved(problem, first, held, watch), start, held, absolute), terms)
    return _told(_with_steps(result, problem, result.parameters[None]), type(max_iterations) is Epochs)


def _robust_loss(model: Model, loss: str | None, f_scale: float) -> tuple[str, float]:
    """Return a robust loss by its name, and its scale. Raises ValueError."""
    loss = "linear" if loss is None else loss
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; there are: {', '.join(map(repr, LOSSES))}")
    scale = f_scale if f_scale is UNSCALED else number(model, "f_scale", f_scale, 0.0, np.inf, True)
    if loss == "linear" and scale != 1:
        raise ValueError("f_scale has no effect on the loss 'linear': give a robust loss, or leave it out")
    return loss, scale


def _search_of(model: Model, n_starts: Any, seed: int, given: Array) -> GroupSearch | None:
    """Return how a fit in groups looks for its start; None if it begins where it is told."""
    if n_starts is not None:
        count = None if n_starts == AUTO else integer("n_starts", n_starts, 1, 2**20)
        return GroupSearch(n_starts == AUTO, count, seed, given)
    return GroupSearch(False, None, seed, given) if begins_in_data(model) and not given.all() else None


def _errors_in_x(model: Model, sigma_x: Any, samples: int, terms: Any) -> Array:
    """Return the standard deviations of the inputs, (N, inputs). Raises ValueError where they do not fit."""
    if terms is not None or model.facts.fitting.curved:
        raise ValueError(f"sigma_x is for least squares of X and Y; the loss of {model.name} is another: leave it out")
    return check_sigma_x(model, sigma_x, samples)


def _with_steps(result: FitResult, problem: Problem, parameters: Array, groups: Array | int = 0) -> FitResult:
    """Return the result, which knows whether solutions took very many steps of an explicit method where it ended.

    ``parameters`` are those of each group (G, P), ``groups`` the numbers of the groups of the samples, (N,).
    """
    model, steps = problem.model, usual_steps(problem.model)
    if not steps or not is_explicit(model.facts.steps.solver) or result.converged or not np.isfinite(result.cost):
        return result
    numbers = np.broadcast_to(groups, problem.samples)
    for group, own in enumerate(parameters):
        some = of_samples(problem, np.flatnonzero(numbers == group))
        outputs = np.empty(some.Y.shape, model.dtype)
        model.native.predict(for_c(model, own), some.X, some.samples, outputs, steps)
        if np.isnan(outputs).any():
            result._many_steps = steps
            break
    return result


def _told(result: FitResult, trained: bool) -> FitResult:
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
        found = problem.unsolved(first, held) if problem.model.facts.steps.solver else None
        return found or problem.solve(first, held, watch=watch)
    return problem.with_iterations(0).solve(first, held)._replace(ended=watch.reason)


def result_of(problem: Problem, found: Solution, start: Array, held: Array | None, absolute_sigma: bool) -> FitResult:
    """Return the result of a fit from its solution."""
    return FitResult(
        problem.model, found.parameters, start.copy(), held, found.active, found.triangle, found.cost, found.chi2,
        found.residuals, problem.X, problem.Y, problem.sigma, found.used, found.ending, found.iterations,
        found.evaluations, absolute_sigma, problem.bounds, problem.loss, problem.f_scale, problem, found.costs,
        found.poles,
    )  # fmt: skip


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
            given = check_fixed(model, p0)
            wrong = np.flatnonzero(given & np.any(np.atleast_2d(begin != start), axis=0))
            if len(wrong):
                name = flat_names(model.facts.parameters)[wrong[0]]
                raise ValueError(f"p0 and fixed give different values of {name}: leave it out of p0")
    if limits is not None:
        check_within(model, start, limits)
    return start


def check_curved(model: Model, sigma: Any, loss: str = "linear") -> None:
    """Raise ValueError for arguments that have a meaning only for residuals."""
    for name, given in (("sigma", sigma is not None), ("loss", loss != "linear")):
        if given:
            raise ValueError(f"{name} is for least squares; the loss of {model.name} is another, so leave it out")


def _targets(model: Model, Y: Any, samples: int | None) -> Array:
    """Return Y, (N, targets), as C takes it: NaN where a target is missing."""
    columns = len(model.target_names)
    Y = to_column(joined(model, "Y", Y, to_array), columns)
    if model.native.takes(Y, 2, columns) and (samples is None or samples == len(Y)):
        return Y  # type: ignore[no-any-return]
    expected = f"expected ({'samples' if samples is None else samples}, {columns}), NaN where a target is missing"
    if Y is None:
        raise ValueError(f"Y is missing: {expected}")
    array = to_column(to_array(model, "Y", Y, expected), columns)
    if model.accepts_labels and are_labels(array):
        array = to_array(model, "Y", one_hot(model, Y), expected)
    if array.ndim != 2 or array.shape[1] != columns or not len(array) or (samples or len(array)) != len(array):
        raise ValueError(f"Y has the shape {array.shape}; {expected}")
    found = for_c(model, array)
    if np.isinf(found.sum()) and np.isinf(found).any():
        row, column = np.argwhere(np.isinf(found))[0]
        raise ValueError(f"Y[{row}, {column}] is {array[row, column]}, which is not finite; {expected}")
    return found


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
    found = for_c(model, array)
    if not (found.min() >= model.tiny and found.max() < np.inf):
        wrong = np.argwhere(~((found >= model.tiny) & (found < np.inf)))
        place = f"[{', '.join(map(str, wrong[0]))}]" if found.ndim else ""
        raise ValueError(f"sigma{place} is {found[tuple(wrong[0])]}; {expected}")
    return found

"""One fit, with all that it tells."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import poles
from .arguments import are_labels, check_inputs, check_parameters, for_c, one_hot, to_array, to_column
from .bounds import check_bounds, check_fixed, check_within
from .facts import flat_names
from .fit_result import FitResult
from .fit_watch import watch_of
from .initial import initial_parameters
from .jacobian import check_fitted
from .joined import joined
from .named import put
from .problem import ROBUST, Problem, Solution, check_iterations, check_tolerance
from .scalars import SEED, THREADS, flag, integer, number
from .start import check_seed, start_of
from .starting_points import best_start
from .terms import take_terms

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .bounds import Bounds
    from .fit_watch import FitWatch
    from .model import Model
    from .progress import FitProgress
    from .types import Array


def fit(
    model: Model,
    /,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    bounds: Any = None,
    fixed: Iterable[Any] | Mapping[Any, Any] = (),
    robust: str | None = None,
    robust_scale: float = 1.0,
    starts: int | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    max_iterations: int | None = None,
    threads: int = 1,
    data: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
    time_limit: float | None = None,
    callback: Callable[[FitProgress], Any] | None = None,
    progress: bool = False,
) -> FitResult:
    """Fits the model to data by least squares (Levenberg and Marquardt), with the errors of its parameters.

    It looks for the P parameters for which the sum of ((output - target)/sigma)**2 over N samples is least. A
    model whose loss is no sum of squares, but convex in the outputs, is fitted by generalized Gauss-Newton: it
    looks for the least sum of the losses, which counts as a negative log-likelihood, so that the covariance is the
    inverse of the Fisher information.

    X               (N, inputs); with one input also (N,)
    Y               (N, targets); with one target also (N,). What is NaN is missing; with a loss that is no sum of
                    squares, so is the whole row. Labels (N,), where train takes them
    parameters      where to start, within the bounds: (P,), or {name: value} of some; what is not given begins at
                    the initial parameters, or at what is nearest to them there
    sigma           standard deviations of the targets, above 0: a number, (N,), or the shape of Y
    absolute_sigma  whether sigma is in the units of the targets; by default it is right up to a factor, and the
                    covariance is scaled by the reduced chi-square, as in scipy.optimize.curve_fit
    bounds          (lower, upper), each a number or (P,); or {name: (lower, upper)}; None or infinity: no bound
    fixed           names or numbers of parameters that stay as they are at the start; or {name: value}, at which
                    they stay
    robust          "huber", "soft_l1" or "cauchy": residuals beyond robust_scale count less than their squares,
                    as in scipy.optimize.least_squares; None: all count alike
    starts          so many starting points besides, a Sobol sequence within the bounds, which all free parameters
                    need; the best of all fits is the result. This needs SciPy
    seed            of the Sobol sequence, and of the initial parameters of a network
    tolerance       the fit ends where a step changes the cost or the parameters by less than this part, or where
                    the cosine between residuals and derivatives is below it; by default 1e-8, in float32 1e-5
    max_iterations  the most steps that are tried; by default 1,000, and 100 for each parameter
    threads         1 to 64, which share the starting points
    data, weights   for a network with losses by name, in the place of X and Y: see train
    time_limit      seconds after which to stop, with the best parameters so far
    callback        a function of one argument, with the attributes iterations, cost, seconds and parameters, called
                    after each iteration; it ends the fit if it returns something true
    progress        show a bar on the standard error, as train does

    A name may be a symbol of SymPy as well.

    Returns a FitResult: parameters, standard_errors, covariance, confidence_intervals(), predict(), plot(), a table
    where it is printed. Where the fit did not converge, its status says why ("time_limit", and "stopped" by the
    callback, among others), and so does a RuntimeWarning, unless the callback ended it. Raises ValueError for an
    argument that cannot be meant or has no effect, for a model that cannot be fitted, and, with the number of the
    row, for a loss that turns out not to be convex in the outputs.
    """
    check_fitted(model, "fit")
    X, Y, _ = take_terms(model, X, Y, data, weights, "sigma, 1/sqrt(weight)")
    inputs, samples = check_inputs(model, X)
    targets = _targets(model, Y, samples if model.input_names else None)
    if type(seed) is not int or seed:
        others = "; starting points are, where starts is given"
        seed = check_seed(model, seed, parameters, others) if starts is None else integer("seed", seed, 0, SEED)
    limits = None if bounds is None else check_bounds(model, bounds)
    start = _start(model, parameters, seed, fixed, limits)
    held = None if type(fixed) is tuple and not fixed else check_fixed(model, fixed).view(np.uint8)
    if robust not in ROBUST:
        names = ", ".join(repr(name) for name in ROBUST)
        raise ValueError(f"robust is {robust!r}; there are: {names}")
    absolute = flag("absolute_sigma", absolute_sigma)
    if model.facts.curved:
        check_curved(model, sigma, robust)
        absolute = True
    scale = number(model, "robust_scale", robust_scale, 0.0, np.inf, True)
    if robust is None and scale != 1:
        raise ValueError("robust_scale has no effect without a robust loss: give robust, or leave it out")
    problem = Problem(
        model, inputs, targets, _sigma(model, sigma, targets), limits, robust, scale,
        check_tolerance(model, tolerance), check_iterations(model, max_iterations),
    )  # fmt: skip
    watch = watch_of(model, time_limit, progress, callback, problem.max_iterations)
    first = start
    if type(threads) is not int or threads != 1:
        threads = integer("threads", threads, 1, THREADS)
    if starts is not None:
        first = best_start(problem, start, held, integer("starts", starts, 1, 2**20), seed, threads, watch)
    return _told(result_of(problem, solved(problem, first, held, watch), start, held, absolute))


def solved(problem: Problem, first: Array, held: Array | None, watch: FitWatch | None) -> Solution:
    """Return the solution from a start, under a watch that may have ended the fit before."""
    if watch is None or not watch.reason:
        return problem.solve(first, held, watch=watch)
    return problem.with_iterations(0).solve(first, held)._replace(ended=watch.reason)


def result_of(problem: Problem, found: Solution, start: Array, held: Array | None, absolute_sigma: bool) -> FitResult:
    """What a fit has come to."""
    free = ~np.zeros(len(start), bool) if held is None else held == 0
    return FitResult(
        problem.model, found.parameters, start.copy(), free, found.active.astype(bool), found.triangle, found.cost,
        found.chi2, found.residuals, problem.X, problem.Y, problem.sigma, found.used, found.ending, found.iterations,
        found.evaluations, absolute_sigma, problem.bounds, problem.robust, problem.robust_scale, problem, found.costs,
        found.poles,
    )  # fmt: skip


def _told(result: FitResult) -> FitResult:
    """Return the result, after a warning where it did not converge, unless it was stopped, and one of poles."""
    if not result.converged and result.status != "stopped":
        warnings.warn(f"the fit of {result.model_name} did not converge: {result.message}", RuntimeWarning, 3)
    if result.poles:
        poles.warn(result.model_name, result.poles, 3)
    return result


def _start(model: Model, parameters: Any, seed: int, fixed: Any, limits: Bounds | None) -> Array:
    """Where a fit begins, (P,): what is given must be within the bounds; the initial parameters are moved there."""
    if type(fixed) is tuple and limits is None:  # the usual cases, told at once
        if parameters is None:
            return initial_parameters(model, seed)
        if type(parameters) is np.ndarray:
            return check_parameters(model, parameters)
    start = start_of(model, None if isinstance(parameters, Mapping) else parameters, seed)
    if parameters is None or isinstance(parameters, Mapping):
        start = start if limits is None else np.minimum(np.maximum(start, limits[0]), limits[1])
    return placed(model, start, parameters, fixed, limits)


def placed(model: Model, start: Array, parameters: Any, fixed: Any, limits: Bounds | None, many: bool = False) -> Array:
    """Return a start, (P,) or (M, P), with what mappings say of it: parameters where to begin, fixed where to stay.

    Raises ValueError where it is outside of the bounds then, or where they say different things.
    """
    if isinstance(parameters, Mapping):
        start = put(model, "parameters", parameters, start, many)
    if isinstance(fixed, Mapping):
        begin, start = start, put(model, "fixed", fixed, start, many)
        if isinstance(parameters, Mapping):
            given = check_fixed(model, parameters)
            wrong = np.flatnonzero(given & np.any(np.atleast_2d(begin != start), axis=0))
            if len(wrong):
                name = flat_names(model.facts.parameters)[wrong[0]]
                raise ValueError(f"parameters and fixed give different values of {name}: leave it out of parameters")
    if limits is not None:
        check_within(model, start, limits)
    return start


def check_curved(model: Model, sigma: Any, robust: str | None) -> None:
    """Raises ValueError for what has a meaning for residuals alone."""
    for name, value in (("sigma", sigma), ("robust", robust)):
        if value is not None:
            raise ValueError(f"{name} is for least squares; the loss of {model.name} is another, so leave it out")


def _targets(model: Model, Y: Any, samples: int | None) -> Array:
    """Y, (N, targets), as C takes it: NaN where a target is missing."""
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
    """Standard deviations, of the shape (), (N,) or (N, targets)."""
    if sigma is None:
        return None
    samples, columns = targets.shape
    expected = f"expected a number, ({samples},) or ({samples}, {columns}), all finite and above 0"
    array = to_array(model, "sigma", sigma, expected)
    if array.shape == (samples, 1):
        array = array.reshape(-1)
    if array.shape not in ((), (samples,), (samples, columns)):
        raise ValueError(f"sigma has the shape {array.shape}; {expected}")
    found = for_c(model, array)
    wrong = np.argwhere(~((found >= model.tiny) & (found < np.inf)))
    if len(wrong):
        place = f"[{', '.join(map(str, wrong[0]))}]" if found.ndim else ""
        raise ValueError(f"sigma{place} is {found[tuple(wrong[0])]}; {expected}")
    return found

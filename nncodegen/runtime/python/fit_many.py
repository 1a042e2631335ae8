"""Many fits of a formula, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .arguments import for_c, to_array, to_finite
from .bounds import check_bounds, check_fixed
from .fit import check_curved, placed, result_of
from .fits_in_turn import fit_in_turn
from .initial import initial_parameters
from .jacobian import check_fitted
from .many_fits import ManyFits, beyond_rounding
from .named import check_counts
from .options import check_options
from .problem import Problem, check_iterations, check_tolerance
from .ragged import is_ragged, lengths_of, padded
from .scalars import THREADS, flag, integer
from .share import share
from .watch import Watch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .bounds import Bounds
    from .fit_result import FitResult
    from .model import Model
    from .types import Array

GROUPS = 8
"""The least number of groups of lanes that a thread fits at once: at the end of each part some lanes are empty."""


def fit_many(
    model: Model,
    /,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    bounds: Any = None,
    fixed: Iterable[Any] | Mapping[Any, Any] = (),
    lengths: ArrayLike | None = None,
    covariance: bool = False,
    tolerance: float | None = None,
    max_iterations: int | None = None,
    threads: int = 1,
    time_limit: float | None = None,
    progress: bool = False,
) -> ManyFits:
    """Fit the formula to M sets of data at once, each by least squares (Levenberg and Marquardt).

    Each of the M fits finds the P parameters that minimize the sum of ((output - target)/sigma)**2 over its N
    samples.

    X               (N, inputs), shared by all fits, or (M, N, inputs); with one input also (N,) or (M, N)
    Y               (M, N), or (M, N, targets) if there are several; NaN means missing. Without the first axis, all
                    fits share it. A C-contiguous array in the module's precision is not copied. A list of arrays of
                    unequal lengths, one for each fit, can be given, too; X and sigma are then such lists, or shared
    parameters      the start, within the bounds: (P,) for all fits, or (M, P), or {name: value} of some, with a
                    value for all fits or (M,); the others begin at the initial parameters, moved into the bounds if
                    necessary
    sigma           standard deviations of the targets, above 0: a number, or an array of a shape that Y may have
    absolute_sigma  whether sigma is in the units of the targets; by default it is right up to a factor, and
                    covariances are scaled by reduced_chi2, as in scipy.optimize.curve_fit
    bounds          (lower, upper), each a number or (P,); or {name: (lower, upper)}; None or infinity: no bound
    fixed           names or indices of parameters that keep their starting values; or {name: value}, the values
                    that they keep, with a value for all fits or (M,)
    lengths         (M,), the number of samples of each fit, which are the first of its N; by default all
    covariance      whether to keep the covariances of the parameters, M*P*P numbers; standard errors always are
    tolerance       a fit ends if a step changes the sum of squares or the parameters by less than this fraction, or
                    if the cosine between residuals and derivatives is below it; by default 1e-8, in float32 1e-5,
                    and never less than 8 units of rounding
    max_iterations  the most steps that a fit tries; by default 1,000 plus 100 for each parameter
    threads         1 to 64 threads, which share the fits
    time_limit      the seconds after which to stop: the fits that have not ended then keep their starts
    progress        show a bar on the standard error, as train does

    Instead of a name, a symbol of SymPy can be given. The bits of a fit do not depend on other fits, on their
    number, or on threads. A fit that fails does not affect the others, and a RuntimeWarning tells how many failed.
    Fits of layers, of formulas of more than 400 statements and of losses that are not sums of squares are made one
    after the other, each by ``fit``. Returns a ManyFits. Raises ValueError for an invalid argument.
    """
    check_fitted(model, "fit_many")
    if model.facts.curved:
        check_curved(model, sigma, None)
        absolute_sigma = True
    if any(map(is_ragged, (X, Y, sigma))):
        X, Y, sigma, lengths = _even(X, Y, sigma, lengths)
    data = Data(model, X, Y)
    data.add_starts(parameters)
    data.add_lengths(lengths)
    data.add_sigma(sigma)
    limits, held = check_bounds(model, bounds), check_fixed(model, fixed)
    data.place_starts(parameters, fixed, limits)
    absolute = flag("absolute_sigma", absolute_sigma)
    found = ManyFits(model, data.fits(), int(model.parameter_count - held.sum()), flag("covariance", covariance), data)
    wanted = beyond_rounding(model, check_tolerance(model, tolerance))
    steps = check_iterations(model, max_iterations)

    def fit(first: int, last: int) -> None:
        model.native.fit_many(
            (data.X, data.Y, data.sigma, data.starts, data.lengths), data.strides(), data.samples,
            (*(limits or (None, None)), held if held.any() else None), wanted, steps, absolute, first, last,
            found.arrays(),
        )  # fmt: skip

    def fit_others(first: int, last: int) -> None:
        fit_in_turn(model, data, limits, held, wanted, steps, absolute, first, last, found)

    data.options = Options(limits, held, wanted, absolute)
    lanes, threads = model.native.fits_lanes, integer("threads", threads, 1, THREADS)
    watch = _ManyWatch(model, found, time_limit, progress)
    try:
        with watch.asked_by_calls():
            share(fit if lanes else fit_others, len(found), GROUPS * lanes or 1, threads)
    except KeyboardInterrupt:
        if not watch.reason:
            raise
        found.leave(data.starts)
    finally:
        watch.show(last=True)
    _warn(found)
    return found


class _ManyWatch(Watch):
    """The watch of many fits."""

    def __init__(self, model: Model, found: ManyFits, time_limit: Any, progress: Any) -> None:
        limit, shows = check_options(model, time_limit=time_limit, progress=progress)
        self._found = found
        super().__init__(self, limit, shows, None, None, len(found), "fit")

    def count_done(self) -> int:
        """Return the number of fits that have ended."""
        return int(np.count_nonzero(self._found.done))

    def figures(self) -> dict[str, float]:
        """Return an empty dictionary: no figure describes all fits."""
        return {}

    def progress(self) -> None:
        """Return None: there is no callback."""


def _warn(found: ManyFits) -> None:
    """Warn of fits that did not converge, with the reasons, and of fits with a pole among the data."""
    counts = {status: count for status, count in found.counts.items() if status != "converged"}
    if counts:
        reasons = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        warnings.warn(
            f"{sum(counts.values()):,} of {len(found):,} fits did not converge: {reasons}; the attribute status of the "
            f"result tells which",
            RuntimeWarning,
            stacklevel=3,
        )
    if found.poles.any():
        warnings.warn(
            f"{np.count_nonzero(found.poles):,} of {len(found):,} fits ended at a pole, where a denominator of the "
            f"formula changes its sign among the data; the attribute poles of the result tells which",
            RuntimeWarning,
            stacklevel=3,
        )


def _even(X: Any, Y: Any, sigma: Any, lengths: Any) -> tuple[Any, Any, Any, Array]:
    """Return X, Y and sigma as arrays, and the lengths, (M,); at least one is a list of unequal lengths."""
    if lengths is not None:
        raise ValueError("lengths are for arrays: lists of X and Y tell themselves how many samples each fit has")
    if not isinstance(Y, list | tuple):
        raise ValueError("X or sigma is a list of arrays of unequal lengths, but Y is not: give Y as such a list")
    found = lengths_of("Y", Y)
    X, Y, sigma = (padded(name, values, found) for name, values in (("X", X), ("Y", Y), ("sigma", sigma)))
    return X, Y, sigma, found


class Options(NamedTuple):
    """The options of fits on which the result of a single one depends."""

    bounds: Bounds | None
    fixed: Array
    tolerance: float
    absolute_sigma: bool


class Data:
    """The checked data of all fits: arrays for C, each shared or with a first axis for the fits."""

    sigma: Array | None
    starts: Array
    lengths: Array | None
    options: Options

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
        """Return the strides from one fit to the next, in values, of inputs, targets, sigma and starts; 0 if shared."""
        own = self._own()
        return np.array([0 if array is None or not has else array[0].size for array, has in own], np.uintp)

    def of_fit(self, m: int) -> tuple[Array | None, Array, Array | None, Array]:
        """Return X (samples, inputs), Y (samples, targets), sigma like Y or None, and the start (P,) of one fit."""
        count = self.samples if self.lengths is None else int(self.lengths[m])
        X, Y, sigma, start = (array[m] if has and array is not None else array for array, has in self._own())
        rows = [None if each is None else each.reshape(self.samples, -1)[:count] for each in (X, Y, sigma)]
        return rows[0], rows[1], rows[2], start  # type: ignore[return-value]

    def result(self, m: int, parameters: Array, ending: str, iterations: int) -> FitResult:
        """Return the result of fit m, which ended at some parameters; all other values are computed again there."""
        limits, fixed, tolerance, absolute_sigma = self.options
        X, Y, sigma, start = self.of_fit(m)
        held = fixed.astype(np.uint8) if fixed.any() else None
        there = Problem(self.model, X, Y, sigma, limits, None, 1.0, -1.0, 0)  # takes no step, and meets no tolerance
        found = there.solve(parameters, held)
        if found.ending == "max_iterations":
            found = found._replace(ended=ending)
        again = Problem(self.model, X, Y, sigma, limits, None, 1.0, tolerance, check_iterations(self.model))
        found = found._replace(iterations=iterations, evaluations=iterations + 1, costs=None)
        return result_of(again, found, start, held, absolute_sigma)

    def _own(self) -> tuple[tuple[Array | None, bool], ...]:
        """Return X, Y, sigma and the starts, each with whether it has an axis for the fits."""
        arrays = {"X": self.X, "Y": self.Y, "sigma": self.sigma}
        return *((array, name in self.counts) for name, array in arrays.items()), (self.starts, self.starts.ndim == 2)

    def add_starts(self, parameters: Any) -> None:
        """Set the starts of the fits, except values that are given by name."""
        model, count = self.model, self.model.parameter_count
        if parameters is None or isinstance(parameters, Mapping):
            self.starts = initial_parameters(model)
            return
        expected = f"expected ({count},), such as initial_parameters(), or (M, {count})"
        array = to_array(model, "parameters", parameters, expected)
        if array.ndim not in (1, 2) or array.shape[-1] != count:
            raise ValueError(f"parameters has the shape {array.shape}; {expected}")
        if array.ndim == 2:
            self.counts["parameters"] = len(array)
        self.starts = to_finite(model, "parameters", array, expected)

    def place_starts(self, parameters: Any, fixed: Any, limits: Bounds | None) -> None:
        """Move initial parameters within the bounds, and set values that are given by name."""
        if limits is not None and (parameters is None or isinstance(parameters, Mapping)):
            self.starts = np.clip(self.starts, *limits)
        self.starts = placed(self.model, self.starts, parameters, fixed, limits, many=True)
        if self.starts.ndim == 2 and "parameters" not in self.counts:
            self.counts["parameters" if isinstance(parameters, Mapping) else "fixed"] = len(self.starts)

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
        one = ", or (N,), or (M, N)" if count == 1 else ""
        expected = (
            f"expected (N, {count}), shared by all fits, or (M, N, {count}){one}, with N = {self.samples} as in Y"
        )
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

    def _shapes(self) -> str:
        """Return a text about the shapes that targets may have."""
        if self.columns == 1:
            return "(M, N), a row for each fit, or (N,), shared by all"
        names = ", ".join(self.model.target_names)
        return f"(M, N, {self.columns}), with the columns {names}, or (N, {self.columns}), shared by all fits"

"""Many fits of a formula, side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments.bounds import check_fixed, given_in, limits_of
from ..arguments.calls import FIT_MANY
from ..arguments.fit_options import CheckedFitOptions, iterations_of, tolerance_of
from ..evaluation.jacobian import check_fitted
from ..ground.outcomes import is_explicit
from ..ground.ragged import is_ragged, lengths_of, padded
from ..ground.share import is_ended, share
from ..ground.warn import warn
from ..ground.watch import Watch
from ..results.advice import stiff
from ..results.many_fits import ManyFits, beyond_rounding
from .automatic import automatic_start, usual_steps
from .curve_starts import begins_in_data, curve_start
from .fit import AUTO, automatic, check_curved, exceeds
from .fit_data import FitData, FitOptions, by_names
from .many_with_errors import fits_with_errors
from .one_by_one import fit_one_by_one
from .problem import Problem

if TYPE_CHECKING:
    from ..arguments.bounds import Bounds
    from ..ground.types import Array
    from ..native.model import Model
    from ..results.fit_result import FitResult

FitSome = Callable[[int, int], None]
"""Makes the fits from the first index up to the last, which it leaves out."""

GROUPS = 8
"""The least number of groups of lanes that a thread fits at once: at the end of each part some lanes are empty."""


@FIT_MANY
def fit_many(model: Model, /, *positional: Any, **named: Any) -> ManyFits:
    """Fit the formula to M sets of data at once, each by least squares (Levenberg and Marquardt).

    Each of the M fits finds the P parameters that minimize the sum of ((output - target)/sigma)**2 over its N
    samples.

    {options}

    Instead of a name, a symbol of SymPy can be given. The bits of a fit do not depend on other fits, on their
    number, or on threads. A fit that fails does not affect the others, and a RuntimeWarning tells how many failed.
    Formulas, and equations of motion or other recurrences with few parameters, are fitted side by side; fits that
    do not converge there, or to parameters that the data hardly determine, are made again by ``fit``. Fits of
    layers, of formulas of more than 400 statements and of losses that are not sums of squares are made one after
    the other, each by ``fit``. Returns a ManyFits. Raises ValueError for an invalid argument.
    """
    check_fitted(model, "fit_many")
    options, _ = FIT_MANY.settings(model, positional, named)
    p0, fixed, sigma_x, lengths = options.p0, options.fixed, options.sigma_x, options.lengths
    if model.facts.fitting.curved:
        check_curved(model, options.sigma)
        if sigma_x is not None:
            raise ValueError(f"sigma_x is for least squares; the loss of {model.name} is another: leave it out")
    X, Y, sigma = (by_names(model, name, getattr(options, name)) for name in ("X", "Y", "sigma"))
    if any(map(is_ragged, (X, Y, sigma, sigma_x))):
        X, Y, sigma, sigma_x, lengths = _even(X, Y, sigma, sigma_x, lengths)
    if looks := isinstance(p0, str) and automatic(p0) == AUTO:
        p0 = None
    data = FitData(model, X, Y)
    data.add_starts(p0)
    data.add_lengths(lengths)
    data.check_inputs()
    data.add_sigma(sigma)
    if sigma_x is not None:
        data.add_sigma_x(sigma_x)
    limits, held = limits_of(model, options.bounds, p0, fixed), check_fixed(model, fixed)
    data.place_starts(p0, fixed, limits)
    steps, absolute = iterations_of(model, options.max_iterations), options.absolute_sigma or model.facts.fitting.curved
    wanted = beyond_rounding(model, tolerance_of(model, options.tolerance))
    data.options = FitOptions(limits, held, wanted, absolute)
    problem = ManyProblem(data, steps)
    fits = ManyFits(model, data.fits(), int(np.count_nonzero(~held)), options.covariance, problem)
    watch = _ManyWatch(fits, options)
    find_starts = _search_of(model, data, limits, held, p0, fixed, looks)
    try:
        with watch.asked_by_calls():
            if find_starts is not None:
                share(find_starts, len(fits), 1, options.threads)
            problem.fit(fits, options.threads)
    except KeyboardInterrupt:
        if not watch.reason:
            raise
        fits.leave(data.starts)
    finally:
        watch.show(last=True)
    _warn(fits, _advice_of(fits, data))
    return fits


def _advice_of(fits: ManyFits, data: FitData) -> str:
    """Return a clause about the fits without convergence at whose ends an explicit method takes very many steps."""
    steps, solver = usual_steps(data.model), data.model.facts.steps.solver
    if not steps or not is_explicit(solver):
        return ""
    failed = np.flatnonzero(np.isin(fits.status, ("stalled", "max_iterations")))
    stiff_fits = sum(exceeds(data.problem(m), fits.parameters[m], steps) for m in failed.tolist())
    return f"; at the ends of {stiff_fits:,} of them: {stiff(solver, steps)}" if stiff_fits else ""


class ManyProblem:
    """The data and options of many fits; called, it gives the result of one of them. It is pickled with the fits."""

    def __init__(self, data: FitData, steps: int) -> None:
        self.data, self.steps = data, steps

    def __call__(self, m: int, parameters: Array, ending: str, iterations: int) -> FitResult:
        """Return the result of fit m, which ended at some parameters."""
        return self.data.result(m, parameters, ending, iterations)

    def fit(self, fits: ManyFits, threads: int, with_errors: bool = True) -> None:
        """Make all fits from their starts; without the standard errors of their parameters if nobody asks for them."""
        together, lanes = self._way(fits, with_errors)
        share(together, len(fits), GROUPS * lanes or 1, threads)

    def fit_again(self, position: int, indices: Array, starts: Array, threads: int) -> tuple[Array, Array]:
        """Return costs (n,), NaN where they are not finite, and parameters (n, P) of some fits, by their indices.

        One parameter keeps its values in the starts (n, P).
        """
        data, model = self.data.of_fits(indices), self.data.model
        data.starts = np.ascontiguousarray(starts, model.dtype)
        fixed = self.data.options.fixed.copy()
        fixed[position] = True
        if not self._are_side_by_side():
            return _again_one_by_one(data, np.flatnonzero(fixed), threads)
        data.options = self.data.options._replace(fixed=fixed)
        fits = ManyFits(model, len(starts), int(np.count_nonzero(~fixed)), False)
        ManyProblem(data, self.steps).fit(fits, threads, with_errors=False)
        return fits.chi2 / 2, fits.parameters

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Return the bounds of the parameters, (P,) each."""
        count = self.data.model.parameter_count
        low, high = self.data.options.bounds or (np.full(count, -np.inf), np.full(count, np.inf))
        return np.asarray(low, float), np.asarray(high, float)

    def _are_side_by_side(self) -> bool:
        """Return whether fits are made side by side, and not one after the other."""
        return bool(self._way(ManyFits(self.data.model, 1, 0, False), False)[1])

    def _way(self, fits: ManyFits, with_errors: bool) -> tuple[FitSome, int]:
        """Return the function that makes some of the fits, and how many it makes at once; 0 if it makes one by one."""
        data, model, steps = self.data, self.data.model, self.steps
        if data.sigma_x is not None:
            return fits_with_errors(model, data, steps, fits)

        def side_by_side(first: int, last: int) -> None:
            options, arrays = data.options, fits.arrays()
            model.native.fit_many(
                (data.X, data.Y, data.sigma, data.starts, data.lengths, None),
                data.strides(),
                data.samples,
                (*(options.bounds or (None, None)), options.fixed if options.fixed.any() else None),
                options.tolerance,
                steps,
                options.absolute_sigma,
                first,
                last,
                arrays if with_errors else (arrays[0], None, *arrays[2:]),
            )
            fit_one_by_one(model, data, steps, fits.doubtful(first, last), fits)

        def one_by_one(first: int, last: int) -> None:
            fit_one_by_one(model, data, steps, range(first, last), fits)

        begins = model.native.has("fits") or data.can_any_begin()
        lanes = model.native.fits_lanes if begins else 0  # compiles a part if it has to
        return (side_by_side if lanes else one_by_one), lanes


def _again_one_by_one(data: FitData, held: Array, threads: int) -> tuple[Array, Array]:
    """Return costs (n,) and parameters (n, P) of fits that begin at their starts, with some parameters held there."""
    costs, parameters = np.empty(data.fits()), data.starts.copy()

    def fit(first: int, last: int) -> None:
        for m in range(first, last):
            if is_ended():
                raise KeyboardInterrupt
            problem = data.problem(m) if data.sigma_x is None else data.problem_with_errors(m)
            costs[m], parameters[m] = problem({int(k): float(data.starts[m, k]) for k in held}, data.starts[m])

    share(fit, len(costs), 1, threads)
    return costs, parameters


def _search_of(
    model: Model, data: FitData, limits: Bounds | None, held: Array, p0: Any, fixed: Any, looks: bool
) -> Callable[[int, int], None] | None:
    """Return the function that finds the starts of some fits in their data; None where each begins where it is told."""
    is_given = given_in(model, p0, fixed)
    if not looks and (is_given.all() or not begins_in_data(model)):
        return None
    data.starts = np.tile(data.starts, (1 if data.starts.ndim == 2 else data.fits(), 1))
    fixed_mask = held.astype("u1") if held.any() else None
    return partial(_find_starts, model, data, limits, fixed_mask, looks, is_given)


def _find_starts(
    model: Model,
    data: FitData,
    limits: Bounds | None,
    held: Array | None,
    looks: bool,
    is_given: Array,
    first: int,
    last: int,
) -> None:
    """Replace the starts of the fits first <= m < last by those that are found in their data.

    They are looked for, or else they are those of curves by name. Parameters of ``is_given`` keep their starts.
    """
    for m in range(first, last):
        if is_ended():
            raise KeyboardInterrupt
        X, Y, sigma, start = data.of_fit(m)
        problem = Problem(model, X, Y, sigma, CheckedFitOptions.of().kept(model, limits, False))
        if not len(Y):
            continue
        if looks:
            data.starts[m] = automatic_start(problem, start.copy(), held, 0, 1, None, is_given)[1]
        else:
            data.starts[m] = curve_start(problem, start.copy(), held, is_given)


class _ManyWatch(Watch):
    """The watch of many fits."""

    def __init__(self, fits: ManyFits, options: CheckedFitOptions) -> None:
        self._found = fits
        super().__init__(self, options.time_limit, options.progress, None, None, len(fits), "fit")

    def count_done(self) -> int:
        """Return the number of fits that have ended."""
        return int(np.count_nonzero(self._found.done))

    def figures(self) -> dict[str, float]:
        """Return an empty dictionary: no figure describes all fits."""
        return {}

    def progress(self) -> None:
        """Return None: there is no callback."""


def _warn(fits: ManyFits, advice: str) -> None:
    """Warn of fits that did not converge, with the reasons and advice, and of fits with a pole among the data."""
    counts = {status: count for status, count in fits.counts.items() if status != "converged"}
    if counts:
        reasons = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        warn(
            f"{sum(counts.values()):,} of {len(fits):,} fits did not converge: {reasons}; the attribute status of the "
            f"result tells which{advice}",
            RuntimeWarning,
        )
    if fits.poles.any():
        warn(
            f"{np.count_nonzero(fits.poles):,} of {len(fits):,} fits ended at a pole, where a denominator of the "
            f"formula changes its sign among the data; the attribute poles of the result tells which",
            RuntimeWarning,
        )


def _even(X: Any, Y: Any, sigma: Any, sigma_x: Any, lengths: Any) -> tuple[Any, Any, Any, Any, Array]:
    """Return X, Y, sigma and sigma_x as arrays, and the lengths, (M,); at least one is a list of unequal lengths."""
    if lengths is not None:
        raise ValueError("lengths are for arrays: lists of X and Y tell themselves how many samples each fit has")
    if not isinstance(Y, list | tuple):
        raise ValueError("X or sigma is a list of arrays of unequal lengths, but Y is not: give Y as such a list")
    row_counts = lengths_of("Y", Y)
    arrays = {"X": X, "Y": Y, "sigma": sigma, "sigma_x": sigma_x}
    X, Y, sigma, sigma_x = (padded(name, values, row_counts) for name, values in arrays.items())
    return X, Y, sigma, sigma_x, row_counts

"""The result of ``fit_many``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.endings import STATUSES
from ..ground.frames import ERROR, frame_of, joined_columns
from ..ground.renamed import renamed_attributes
from ..native.model import Model, result_of_model
from .many import ROWS, SPREAD, Many, spread
from .many_plot import plot_fits
from .many_quantities import ManyQuantities
from .saved import MANY_FITS, head, write_archive

if TYPE_CHECKING:
    from os import PathLike

    from ..ground.types import Array
    from .fit_result import FitResult
    from .profiles.many import ManyProfiles

STATUS = (
    "time_limit", "converged", "converged", "converged", "max_iterations", "singular", "too_few_data", "no_data",
    "not_finite", "stalled", "stationary", "converged", "no_noise",
)  # fmt: skip
"""The statuses by C's number for the end of a fit, one of them of fits one by one. The first has not ended."""

ENDINGS = ("time_limit", "cost", "step", "gradient", "max_iterations", "cost", "cost", "no_data", "not_finite",
           "stalled", "stationary", "cost", "no_noise")  # fmt: skip
"""The endings of a single fit (``endings``) by that number; "singular" and "too_few_data" fits have converged."""

FADED = 11
"""The number of fits that converged where a derivative has almost vanished: see fits.h."""

DOUBTFUL = (*(STATUS.index(status) for status in ("max_iterations", "singular", "too_few_data", "stalled")), FADED)
"""The numbers of fits side by side that are made again one by one: these follow flat valleys with more care."""

LEAST = 8
"""The least tolerance, in units of epsilon: rounding hides smaller changes."""


def beyond_rounding(model: Model, tolerance: float) -> float:
    """Return a tolerance, or the least that makes sense in the precision of the model."""
    return max(tolerance, LEAST * model.epsilon)


HEAD = ("of those that converged", *SPREAD)


Single = Callable[[int, "Array", str, int], "FitResult"]
"""A function that returns the result of one fit: takes its index, parameters (P,), ending and number of iterations.

It is pickled with the fits.
"""


@result_of_model
@renamed_attributes("0.3.0", converged="success")
class ManyFits(Many):
    """The result of ``fit_many``, for M fits of P parameters.

    parameters       (M, P), those of the lowest chi2; the start if there are no data, or nothing is finite there
    standard_errors  (M, P), infinite for parameters that the data do not determine, 0 for those that are fixed
    covariance       (M, P, P), with the squares of standard_errors on the diagonals; None if it was not asked for
    chi2             (M,), the sum of ((output - target)/sigma)**2, in float64; NaN for "not_finite" and "time_limit"
    data             (M,), the number of targets that are not missing; 0 for "time_limit"
    iterations       (M,), the number of steps that were tried
    poles            (M,), whether a denominator of the formula is 0 or changes its sign among the data: a fit only ends
                     like that if it starts like that
    free_count       the number of parameters that are not fixed
    derived          the tied parameters and derived quantities, with values and standard_errors (M, Q)
    success          (M,), whether each converged to parameters that the data determine
    message          (M,), how each ended, as a sentence

    ``fits[m]`` is the ``FitResult`` of fit m, and iterating over the fits yields these.

    Standard errors and covariances are those of a linear model with the Jacobian at the solution, as
    scipy.optimize.curve_fit gives them.
    """

    __slots__ = (
        "_model", "_numbers", "_result", "chi2", "covariance", "data", "free_count", "iterations", "parameters",
        "poles", "standard_errors",
    )  # fmt: skip

    def __init__(
        self, model: Model, fits: int, free_count: int, covariance: bool, result: Single | None = None
    ) -> None:
        count = model.parameter_count
        self._result = result
        self._model = model
        self.free_count = free_count
        self.parameters = np.empty((fits, count), model.dtype)
        self.standard_errors = np.empty((fits, count), model.dtype)
        self.covariance = np.empty((fits, count, count), model.dtype) if covariance else None
        self.chi2 = np.empty(fits)
        self.data = np.empty(fits, np.uint64)
        self.iterations = np.empty(fits, np.uint64)
        self.poles = np.zeros(fits, bool)
        self._numbers = np.zeros(fits, np.uint8)

    def put(self, fit: int, result: FitResult, used: int, status: str) -> None:
        """Store the result of one fit; status is one of STATUS."""
        self.parameters[fit] = result.parameters
        self.standard_errors[fit] = result.standard_errors
        if self.covariance is not None:
            self.covariance[fit] = result.covariance
        self.chi2[fit] = result.chi2
        self.data[fit] = used
        self.iterations[fit] = result.iterations
        self.poles[fit] = bool(result.poles)
        self._numbers[fit] = STATUS.index(status)

    def arrays(self) -> tuple[Array | None, ...]:
        """Return the arrays that C writes (``native.py``)."""
        return (
            self.parameters,
            self.standard_errors,
            self.covariance,
            self.chi2,
            self.data,
            self.iterations,
            self._numbers,
            self.poles,
        )

    def doubtful(self, first: int, last: int) -> Array:
        """Return the indices of the fits first <= m < last whose ends side by side are doubtful."""
        return first + np.flatnonzero(np.isin(self._numbers[first:last], DOUBTFUL))

    @property
    def done(self) -> Array:
        """Return which fits have ended by themselves, before a time limit, (M,)."""
        done: Array = self._numbers != 0
        return done

    def leave(self, starts: Array) -> None:
        """Fill in the fits that have not ended: parameters at their starts, (P,) or (M, P), and unknown errors."""
        left = ~self.done
        self.parameters[left] = np.broadcast_to(starts, self.parameters.shape)[left]
        self.standard_errors[left] = np.inf
        if self.covariance is not None:
            self.covariance[left] = np.inf
        self.chi2[left] = np.nan
        self.data[left] = self.iterations[left] = 0

    @property
    def status(self) -> Array:
        """Return how each fit ended, (M,), as texts.

        "converged"
        "max_iterations"   the parameters are the best that were found until then
        "singular"         at an optimum, but the data do not determine all parameters
        "too_few_data"     as "singular", because there are fewer data than free parameters
        "no_data"          all targets are missing
        "not_finite"       outputs or derivatives are not finite at the start
        "stalled"          no step lowers the cost, though the derivatives predict that one should
        "stationary"       for fits that are made one after the other, as of ``fit``
        "no_noise"         a noise that is a formula reaches 0, where the likelihood has no bound
        "time_limit"       time was over before the fit ended: the parameters are those at the start
        """
        return np.array(STATUS)[self._numbers]

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of fits for each status that occurred."""
        counts = dict.fromkeys(STATUSES, 0)
        for number, count in enumerate(np.bincount(self._numbers, minlength=len(STATUS)).tolist()):
            counts[STATUS[number]] += count  # a status has several numbers
        return {word: count for word, count in counts.items() if count}

    @property
    def degrees_of_freedom(self) -> Array:
        """Return the number of data minus that of free parameters, (M,); it may be negative."""
        return self.data.astype(np.intp) - self.free_count

    @property
    def reduced_chi2(self) -> Array:
        """Return chi2 for each degree of freedom, (M,); NaN if there is none."""
        degrees = self.degrees_of_freedom
        reduced: Array = np.divide(self.chi2, degrees, out=np.full(len(self), np.nan), where=degrees > 0)
        return reduced

    def __getitem__(self, m: int) -> FitResult:
        """Return the result of fit m with everything that ``fit`` provides: residuals, intervals, a plot, a table.

        It is computed from the data of that fit and the parameters found, without another fit. A negative index counts
        from the end. Raises IndexError for an index out of range, TypeError for one that is not an integer.
        """
        place = self._place(m, "fit")
        if self._result is None:
            raise ValueError("the data of these fits are not known")
        ending, iterations = ENDINGS[self._numbers[place]], int(self.iterations[place])
        return self._result(place, self.parameters[place], ending, iterations)

    def profiles(
        self,
        level: float = 0.95,
        parameters: Any = None,
        threads: int = 1,
        time_limit: float | None = None,
        progress: bool = False,
    ) -> ManyProfiles:
        """Return what the data of each fit say of parameters, as ``FitResult.profiles`` does for one of them.

        The arguments are the same. Fits that did not converge, or have no degrees of freedom, have no profiles: their
        intervals are NaN. What is fitted side by side is followed side by side; ``profiles[m]`` are those of fit m.
        """
        from .profiles.of_many import profiles_of_many  # noqa: PLC0415 (most fits need no profiles)

        return profiles_of_many(self, level, parameters, threads, time_limit, progress)

    @property
    def derived(self) -> ManyQuantities:
        """Return the tied parameters and derived quantities of all fits, with their standard errors.

        Errors need the data of the fits, which a file does not have.
        """
        return ManyQuantities(self)

    def plot(self, axes: Any = None) -> Any:
        """Draw each parameter with its standard error over the fits that converged, with matplotlib.

        axes are those to draw on, one for each parameter; by default those of a new figure. Of more than 20 parameters
        the first are drawn, of more than 200 fits 200. Returns the figure. Raises ValueError if no fit converged,
        MissingDependencyError without matplotlib.
        """
        return plot_fits(self, self.standard_errors, axes)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fits to a file, an .npz archive, from which the module's ``load`` reads them, without their data.

        A file of that name is replaced atomically: a reader finds the old content or the new.
        """
        write_archive(path, self._archive())

    def _archive(self) -> dict[str, Any]:
        """Return the arrays of the file of the fits."""
        arrays = head(self._model, MANY_FITS) | {
            "parameters": self.parameters,
            "standard_errors": self.standard_errors,
            "chi2": self.chi2,
            "data": self.data,
            "iterations": self.iterations,
            "poles": self.poles,
            "numbers": self._numbers,
            "free_count": np.array(self.free_count),
        }
        return arrays if self.covariance is None else arrays | {"covariance": self.covariance}

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each fit.

        Each parameter has two columns, NAME and NAME_error; then follow data, chi2, reduced_chi2, iterations and
        status. A fit without data has NaN for its parameters. Raises MissingDependencyError without pandas.
        """
        columns: dict[str, Any] = {}
        without = self.data == 0
        for p, name in enumerate(self.names):
            columns[name] = np.where(without, np.nan, self.parameters[:, p])
            columns[f"{name}{ERROR}"] = np.where(without, np.nan, self.standard_errors[:, p])
        figures = {
            "data": self.data.astype(np.int64),
            "chi2": self.chi2,
            "reduced_chi2": self.reduced_chi2,
            "iterations": self.iterations.astype(np.int64),
            "status": self.status,
        }
        return frame_of(joined_columns(columns, figures), range(len(self)), "fit")

    def _head(self) -> tuple[str, ...]:
        return HEAD

    def _outcome_text(self) -> str:
        counts = [f"{count:,} {status}" for status, count in self.counts.items()]
        if self.poles.any():
            counts.append(f"{np.count_nonzero(self.poles):,} with a pole among the data")
        return f"{len(self):,} fit{'s' * (len(self) != 1)} of {self.free_count} parameters, {', '.join(counts)}"

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the parameters, errors and so on of the fits that converged, and how they are distributed."""
        if not self.success.any():
            return []
        columns = []
        for p, name in enumerate(self.names[:ROWS]):
            columns += [(name, self.parameters[:, p]), (f"standard error of {name}", self.standard_errors[:, p])]
        columns += [("reduced chi2", self.reduced_chi2), ("iterations", self.iterations)]
        return [(name, *spread(values[self.success])) for name, values in columns]

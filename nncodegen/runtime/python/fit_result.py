"""The result of a fit: the values that the native fit found, and values that are computed from them on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import goodness
from .covariance import Decomposition, correlation, covariance, decompose, least_ratio, undetermined
from .endings import DOUBTFUL, ENDINGS, UNFINISHED, advice_of, not_told
from .facts import flat_names, slices
from .fit_plot import plot
from .fit_table import html_table, text_table
from .frames import frame_of_fit
from .intervals import Predicted, confidence_intervals, predict_with_interval
from .named import name_of
from .saved import FIT, head, write_archive

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike

    from .model import Model
    from .types import Array

LEVEL = 0.95
"""The default probability of intervals."""

Refit = Callable[[Mapping[int, float], "Array"], "tuple[float, Array]"]
"""A function that repeats a fit with some parameters fixed: takes their values by their indices, and a start (P,).

It returns the cost, NaN if the model is not finite, and the parameters (P,). It is pickled with the result.
"""


class FitResult:
    """The result of ``fit``, for P parameters, F of them free, and N samples of K outputs.

    result["a"] is the parameter of that name; the key may also be a symbol of SymPy.

    Found by the fit:

    parameters      (P,), those of the lowest cost
    start           (P,), the parameters at the start
    free            (P,), False for parameters that were fixed
    at_bound        (P,), whether a parameter lies at one of its bounds
    cost            half of chi2; with a robust loss, half of the sum of its values; the sum of the losses, if the loss
                    of the model is not a sum of squares
    chi2            the sum of the squared residuals; NaN with such a loss
    residuals       (N, K), (output - target)/sigma; NaN where a target is missing; None with such a loss
    used            the number of residuals that are not missing; with such a loss, of samples
    iterations      the number of steps that were accepted or tried
    evaluations     the number of evaluations of the model for all samples
    absolute_sigma  whether sigma counts as known; otherwise it is known up to a factor
    robust          the name of the robust loss, or None; robust_scale is the residual beyond which it grows slower
    poles           the denominators that are 0 or change their signs among the data, as texts: a fit only ends so if it
                    starts so

    A loss that is no sum of squares counts as a negative log-likelihood: the covariance is the inverse of its second
    derivatives, aic is 2*cost + 2*F, and bic is 2*cost + F*log(used); chi2, reduced_chi2 and r2 are NaN.

    All other values are computed when they are first used.
    """

    def __init__(
        self,
        model: Model,
        parameters: Array,
        start: Array,
        free: Array,
        at_bound: Array,
        triangle: Array,
        cost: float,
        chi2: float,
        residuals: Array | None,
        X: Array | None,
        Y: Array,
        sigma: Any,
        used: int,
        ending: str,
        iterations: int,
        evaluations: int,
        absolute_sigma: bool = False,
        bounds: tuple[Array, Array] | None = None,
        robust: str | None = None,
        robust_scale: float = 1.0,
        refit: Refit | None = None,
        costs: Array | None = None,
        poles: tuple[str, ...] = (),
    ) -> None:
        self._model = model
        self.parameters = parameters
        self.start = start
        self.free = free
        self.at_bound = at_bound
        self._triangle = triangle
        self.cost = cost
        self.chi2 = math.nan if model.facts.curved else chi2
        self.residuals = residuals
        self._X = X
        self._Y = Y
        self._sigma = sigma
        self.used = used
        self._ending = ending
        self.iterations = iterations
        self.evaluations = evaluations
        self.absolute_sigma = absolute_sigma
        self._bounds = bounds
        self.robust = robust
        self.robust_scale = robust_scale
        self._refit = refit
        self._costs = costs
        self.poles = poles

    @property
    def model_name(self) -> str:
        """Return the name of the model."""
        return self._model.name

    @property
    def status(self) -> str:
        """Return how the fit ended, as a word.

        "converged", "max_iterations", "stalled", "stationary", "not_finite", "no_data", "time_limit" or "stopped".
        """
        return ENDINGS[self._ending].status

    @property
    def converged(self) -> bool:
        """Return whether a test of convergence ended the fit."""
        return ENDINGS[self._ending].converged

    @property
    def message(self) -> str:
        """Return how the fit ended, as a sentence, and what to do about it."""
        message = ENDINGS[self._ending].message
        advice = advice_of(self) if self._ending in UNFINISHED else ""
        if self._ending in DOUBTFUL and self.undetermined:
            advice = not_told(self.undetermined)
        return f"{message}; {advice}" if advice else message

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return a name for each value of the parameters, (P,): "a", or "W1[0,1]" for an element of an array."""
        return flat_names(self._model.facts.parameters)

    @cached_property
    def values(self) -> dict[str, float]:
        """Return the parameters by name."""
        return dict(zip(self.names, self.parameters.tolist(), strict=True))

    def __getitem__(self, name: Any) -> Any:
        """Return a parameter by its name or its SymPy symbol: a number, or an array for a parameter that is one."""
        name = name_of(name)
        if name in self.values:
            return self.values[name]
        for parameter, own in slices((parameter, parameter.size) for parameter in self._model.facts.parameters):
            if parameter.name == name:
                return self.parameters[own].reshape(parameter.shape)
        known = [parameter.name for parameter in self._model.facts.parameters]
        raise KeyError(f"there is no parameter {name!r}; there are: {', '.join(known)}")

    # --- errors of the parameters ---

    @property
    def free_count(self) -> int:
        """Return the number F of free parameters."""
        return len(self._triangle)

    @property
    def degrees_of_freedom(self) -> int:
        """Return the number of residuals that are used, minus the number of free parameters."""
        return self.used - self.free_count

    @cached_property
    def _decomposition(self) -> Decomposition:
        return decompose(np.asarray(self._triangle, float), self._model.epsilon)

    @property
    def rank(self) -> int:
        """Return the number of combinations of the free parameters that the data determine; normally F."""
        return self._decomposition.rank

    @property
    def condition(self) -> float:
        """Return the condition number of the weighted Jacobian with normalized columns: it is independent of units."""
        return self._decomposition.condition

    @property
    def error_scale(self) -> float:
        """Return the factor of the covariance: 1 with absolute_sigma, else 2*cost/(used - F).

        Without a robust loss, that is the reduced chi2, as in SciPy's curve_fit. NaN without degrees of freedom.
        """
        if self.absolute_sigma:
            return 1.0
        return 2 * self.cost / self.degrees_of_freedom if self.degrees_of_freedom > 0 else math.nan

    @cached_property
    def covariance(self) -> Array:
        """Return (J'J)^-1 times ``error_scale``, (P, P); J is the weighted Jacobian of the free parameters.

        It is that of SciPy's curve_fit, with two differences: a fixed parameter has the variance 0, and if the rank is
        not full, only the rows and columns of undetermined parameters are infinite. Bounds are not taken into account,
        not even active ones.
        """
        free, count = self.free_count, len(self.parameters)
        known = np.empty((free, free))
        least = least_ratio(free, self._model.epsilon)
        if not self._model.native.covariance(self._triangle, self.error_scale, least, known):
            known = covariance(self._decomposition, self._model.epsilon, self.error_scale)
        if free == count:
            return known
        found = np.zeros((count, count))
        found[np.ix_(self.free, self.free)] = known
        return found

    @cached_property
    def standard_errors(self) -> Array:
        """Return the roots of the variances, (P,): infinite for undetermined parameters, 0 for fixed ones."""
        errors: Array = np.sqrt(self.covariance.diagonal())
        return errors

    @cached_property
    def correlation(self) -> Array:
        """Return the covariance divided by the standard errors, (P, P); NaN for fixed or undetermined parameters."""
        found = np.full((len(self.parameters), len(self.parameters)), np.nan)
        found[np.ix_(self.free, self.free)] = correlation(self._decomposition, self._model.epsilon)
        return found

    @cached_property
    def undetermined(self) -> tuple[str, ...]:
        """Return the names of free parameters that the data do not determine: some change of them changes no output."""
        unknown = np.zeros(len(self.parameters), bool)
        unknown[self.free] = undetermined(self._decomposition, self._model.epsilon)
        return tuple(name for name, lost in zip(self.names, unknown, strict=True) if lost)

    # --- goodness of the fit ---

    @property
    def reduced_chi2(self) -> float:
        """Return chi2/(used - F); NaN without degrees of freedom."""
        return self.chi2 / self.degrees_of_freedom if self.degrees_of_freedom > 0 else math.nan

    @cached_property
    def r2(self) -> float:
        """Return the coefficient of determination, 1 - chi2/sum(((y - mean)/sigma)**2), with a mean for each output."""
        if self.residuals is None:
            return math.nan
        return goodness.r2(self._Y, self.residuals, self._sigma)

    @property
    def aic(self) -> float:
        """Return Akaike's criterion for normal errors: n*log(chi2/n) + 2*F, with absolute_sigma chi2 + 2*F.

        n is ``used``. Terms that are the same for all models of the same data are left out. The first is lmfit's
        definition.
        """
        if self._model.facts.curved:
            return 2 * self.cost + 2 * self.free_count
        return goodness.aic(self.chi2, self.used, self.free_count, self.absolute_sigma)

    @property
    def bic(self) -> float:
        """Return Schwarz's criterion: n*log(chi2/n) + F*log(n), with absolute_sigma chi2 + F*log(n), like ``aic``."""
        if self._model.facts.curved:
            return 2 * self.cost + self.free_count * math.log(max(self.used, 1))
        return goodness.bic(self.chi2, self.used, self.free_count, self.absolute_sigma)

    # --- intervals, pictures, texts ---

    def confidence_intervals(self, level: float = LEVEL, method: str = "t") -> Array:
        """Return the ends of an interval for each parameter, (P, 2), that covers the true value with this probability.

        method "t" gives parameter +- t*standard error, with Student's t of ``degrees_of_freedom`` (of the normal
        distribution with absolute_sigma). It is exact for a linear model. "profile" extends to where chi2, minimized
        over all other parameters, has risen by t**2*``error_scale``; it fits the model again some ten times for each
        end, and follows its curvature (D. M. Bates, D. G. Watts, Nonlinear Regression Analysis and Its Applications,
        1988, chapter 6). An end is infinite if chi2 never rises that far, and it is the bound if that is reached first.
        The interval of a fixed parameter is its value alone.

        Needs SciPy. Raises ValueError for another method, or a level that is not between 0 and 1.
        """
        return confidence_intervals(self, level, method)

    def predict(
        self, X: ArrayLike | None = None, interval: str | None = None, level: float = LEVEL, sigma: Any = None
    ) -> Any:
        """Return the outputs for the rows of X, (N, K); with an interval, (outputs, lower, upper), each (N, K).

        "confidence" is for the mean of possible observations: outputs +- t*sqrt(g'Cg), with g the derivative of an
        output by the parameters and C their covariance (the delta method). "prediction" is for a new observation, whose
        own variance error_scale*sigma**2 is added. sigma is then that of the new observations: a number, (N,) or (N,
        K); by default that of the fit, if it was a number or not given.

        An interval needs SciPy. It is infinite where the data do not determine the output.
        """
        model: Any = self._model
        if interval is None and (sigma is not None or level != LEVEL):
            name = "level" if sigma is None else "sigma"
            raise ValueError(f"{name} has no effect without an interval: give interval, or leave it out")
        if interval is None:
            outputs: Array = model.predict(self.parameters, X)
            return outputs
        found: Predicted = predict_with_interval(self, X, interval, level, sigma)
        return found

    def plot(self, axes: Any = None, interval: str | None = "confidence", level: float = LEVEL) -> Any:
        """Draw data, curve and band, and the weighted residuals below, with matplotlib.

        axes are two axes of matplotlib, one above the other; by default those of a new figure. The abscissa is the
        input if there is one; with several inputs the targets are drawn against the outputs, without inputs against
        their index. interval is that of ``predict``, or None for no band, which needs no SciPy.

        Returns the figure, which ``savefig`` writes to a file; its ``axes`` are these two.
        """
        return plot(self, axes, interval, level)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each parameter, by its name.

        Its columns are value, standard_error, start, free and at_bound. Raises ImportError without pandas.
        """
        return frame_of_fit(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result with its data to a file, an .npz archive, from which the module's ``load`` reads it.

        A file of that name is replaced atomically: a reader finds the old content or the new.
        """
        problem: Any = self._refit  # it has the options that the result itself does not need
        sigma = None if self._sigma is None else np.asarray(self._sigma)
        arrays = head(self._model, FIT) | {
            "parameters": self.parameters,
            "start": self.start,
            "free": self.free,
            "at_bound": self.at_bound,
            "triangle": self._triangle,
            "Y": self._Y,
            "numbers": np.array([self.cost, self.chi2, self.robust_scale, problem.tolerance]),
            "counts": np.array(
                [self.used, self.iterations, self.evaluations, problem.max_iterations, self.absolute_sigma], np.int64
            ),
            "texts": np.array([self._ending, self.robust or ""]),
        }
        lower, upper = self._bounds or (None, None)
        optional = {"X": self._X, "residuals": self.residuals, "lower": lower, "upper": upper, "costs": self._costs}
        if self.poles:
            optional["poles"] = np.array(self.poles)
        if sigma is not None:
            optional[("sigma", "sigmas", "sigmas_of_each")[sigma.ndim]] = sigma
        write_archive(path, arrays | {name: array for name, array in optional.items() if array is not None})

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the result as plain Python values: dictionaries by name, lists, numbers and texts."""

        def named(values: Array) -> dict[str, Any]:
            return dict(zip(self.names, values.tolist(), strict=True))

        figures = ("cost", "chi2", "reduced_chi2", "degrees_of_freedom", "r2", "aic", "bic", "used", "iterations",
                   "evaluations", "rank", "condition", "absolute_sigma", "robust", "robust_scale")  # fmt: skip
        return {
            "model": self._model.name,
            "status": self.status,
            "converged": self.converged,
            "message": self.message,
            "parameters": named(self.parameters),
            "standard_errors": named(self.standard_errors),
            "start": named(self.start),
            "free": named(self.free),
            "at_bound": named(self.at_bound),
            "covariance": self.covariance.tolist(),
            "undetermined": list(self.undetermined),
            "poles": list(self.poles),
            **{name: getattr(self, name) for name in figures},
        }

    def __str__(self) -> str:
        return text_table(self)

    def __repr__(self) -> str:
        figure = f"loss {self.cost:.6g}" if self._model.facts.curved else f"chi2 {self.chi2:.6g}"
        return f"<FitResult: {self.status} after {self.iterations} iterations, {figure}>"

    def _repr_html_(self) -> str:
        return html_table(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the result, and the name of the module that made it."""
        held = {name: value for name, value in vars(self).items() if name != "_model"}
        return self._model.empty_result, (type(self).__name__,), held

"""The result of a fit: its values, with intervals, predictions, a picture, tables and a file."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.endings import DOUBTFUL, ENDINGS, UNFINISHED
from ..ground.facts import name_of
from ..ground.frames import frame_of
from ..ground.renamed import renamed_attributes
from ..native.model import result_of_model
from .advice import advice_of, reasons_of, stiff, unsolved
from .base import Shown
from .fit_plot import plot
from .fit_table import html_table, text_table
from .fitted import Fitted
from .intervals import Predicted, confidence_intervals, predict_with_interval
from .quantities import Quantities, as_function
from .saved import FIT, head, write_archive
from .terms_plot import plot_solution
from .training_plot import plot_history

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike

    from ..ground.types import Array
    from .profiles.contour import Contour
    from .profiles.profile import Profiles
    from .quantities import Function

LEVEL = 0.95
"""The default probability of intervals."""


@result_of_model
@renamed_attributes("0.3.0", start="p0", robust_scale="f_scale")
class FitResult(Shown, Fitted):
    """The result of ``fit``, for P parameters, F of them free, and N samples of K outputs.

    result["a"] is the parameter, tied parameter or derived quantity of that name; the key may be a symbol, too.

    Found by the fit:

    parameters      (P,), those of the lowest cost
    p0              (P,), the parameters at the start
    cost            half of chi2; with a robust loss, half of the sum of its values; the sum of the losses, if the loss
                    of the model is not a sum of squares
    chi2            the sum of the squared residuals; NaN with such a loss
    residuals       (N, K), (output - target)/sigma; NaN where a target is missing; None with such a loss
    used            the number of residuals that are not missing; with such a loss, of samples,
                    or of all their values, or groups of outputs, where the loss is a sum or mean over these
    iterations      the number of steps that were accepted or tried
    evaluations     the number of evaluations of the model for all samples
    absolute_sigma  whether sigma counts as known; otherwise it is known up to a factor
    robust          the robust loss that was given as ``loss``, or None; f_scale is the residual beyond which it grows
                    slower
    poles           the denominators that are 0 or change their signs among the data, as texts: a fit only ends so if it
                    starts so

    A loss that is no sum of squares counts as a negative log-likelihood: the covariance is the inverse of its second
    derivatives, aic is 2*cost + 2*F, and bic is 2*cost + F*log(used); chi2, reduced_chi2 and r2 are NaN. Where
    the loss of a sample is the mean over several outputs or times, each of these values has such a likelihood: the cost
    is the sum of all their losses, and used counts them. Where it is none, because of loss_weights or outputs with
    different numbers of values, the likelihood is that of a sample.

    All other values are computed when they are first used.
    """

    _samples: tuple[Array, Array, dict[str, int]] | None = None
    """The samples of the terms of a network with losses by name, for its plot."""

    _many_steps: int = 0
    """The number of steps of an explicit method that solutions exceed where a fit ended without convergence, or 0."""

    @property
    def message(self) -> str:
        """Return how the fit ended, as a sentence, and what to do about it."""
        message = ENDINGS[self._ending].message
        advice = advice_of(self) if self._ending in UNFINISHED else ""
        if self._ending in DOUBTFUL or self.status == "singular":
            advice = "; or ".join(reasons_of(self))
        if self.status == "too_few_data":
            advice = f"but there are fewer data, {self.used:,}, than free parameters, {self.free_count:,}"
        if self._ending == "not_finite" and (solver := self._model.facts.steps.solver):
            advice = unsolved(solver)
        steps = stiff(self._model.facts.steps.solver, self._many_steps) if self._many_steps else ""
        return "; ".join(part for part in (message, advice, steps) if part)

    @cached_property
    def derived(self) -> Quantities:
        """Return the tied parameters and derived quantities of the model, with their standard errors and intervals."""
        return Quantities(self)

    def __getitem__(self, name: Any) -> Any:
        """Return a parameter, tied parameter or derived quantity by its name or its SymPy symbol.

        It is a number, or an array for a parameter that is one. Raises KeyError.
        """
        return self.derived[name] if name_of(name) in self.derived.names else super().__getitem__(name)

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

    def _quantity(self, place: int) -> Function:
        """Return a tied parameter or derived quantity, by its place, as a function of all parameters."""
        return as_function(self._model.facts.fitting.quantities[place])

    def _in_whole(self, functions: list[Function]) -> tuple[FitResult, list[Function]]:
        """Return the fit to repeat, and functions of the parameters of this one as such of its parameters."""
        return self, functions

    def profiles(
        self,
        level: float = LEVEL,
        parameters: Any = None,
        threads: int = 1,
        time_limit: float | None = None,
        progress: bool = False,
    ) -> Profiles:
        """Return what the data say of parameters: the best cost for each value of a parameter, the others fitted.

        level       the probability of the intervals at which profiles end, on both sides, or a little beyond
        parameters  the names of those to follow, or one; by default all that are free. Tied parameters and derived
                    quantities can be named, too
        threads     1 to 64 threads, which share the fits
        time_limit  the seconds after which to stop; profiles that are not followed to their ends have no intervals
        progress    show how far it is

        A profile goes to where the cost has risen by t**2*``error_scale``/2, as ``confidence_intervals`` with method
        "profile". Between its points it is known to 1 % of that. Returns a ``Profiles``: intervals, verdicts in words
        ("identifiable", "bounded from one side only", "not identifiable", and what is determined in its place), a
        table, a picture. Where a profile comes to a lower cost than the fit, a RuntimeWarning says so, and ``result``
        of the profiles is that fit; this one does not change.

        Needs SciPy. Raises ValueError for a level that is not between 0 and 1, a parameter that is fixed or not there,
        and for a fit that did not converge, or has no degrees of freedom.
        """
        from .profiles.of_fit import profiles_of  # noqa: PLC0415 (most fits need no profiles)

        return profiles_of(self, level, parameters, threads, time_limit, progress)

    def contour(
        self, a: Any, b: Any, level: float = LEVEL, joint: bool = True, points: int = 48, threads: int = 1
    ) -> Contour:
        """Return how far two parameters can go together: the contour on which the best cost has risen to a level.

        a, b     the names of two parameters
        level    the probability: that both are inside together, or, without ``joint``, that each is within its extremes
        points   the number of directions from the best values in which the contour is looked for
        threads  1 to 64 threads, which share the fits

        All other parameters are fitted at each point. The rise of the cost is that of F's quantile with 2 and the
        degrees of freedom of the fit (chi2's with absolute_sigma); without ``joint`` that of ``profiles``. Directions
        are straight lines: a contour that is seen twice along one is followed to where it is seen first.

        Needs SciPy. Returns a ``Contour``, which can be drawn. Raises ValueError as ``profiles`` does, and where the
        data do not determine one of both.
        """
        from .profiles.contour import contour_of  # noqa: PLC0415 (most fits need no contours)

        return contour_of(self, a, b, level, joint, points, threads)

    def predict(
        self,
        X: ArrayLike | None = None,
        interval: str | None = None,
        level: float = LEVEL,
        sigma: Any = None,
        method: str = "t",
    ) -> Any:
        """Return the outputs for the rows of X, (N, K); with an interval, (outputs, lower, upper), each (N, K).

        "confidence" is for the mean of possible observations: outputs +- t*sqrt(g'Cg), with g the derivative of an
        output by the parameters and C their covariance (the delta method). "prediction" is for a new observation, whose
        own variance error_scale*sigma**2 is added. sigma is then that of the new observations: a number, (N,) or (N,
        K); by default that of the fit, if it was a number or not given.

        With method "profile", a confidence interval extends to where the cost of the best fit that gives the output
        its value has risen as in ``profiles``: it follows the curvature of the model, and takes some twenty fits for
        each output.

        An interval needs SciPy. It is infinite where the data do not determine the output.
        """
        model: Any = self._model
        if interval is None and (sigma is not None or level != LEVEL or method != "t"):
            name = "method" if method != "t" else "level" if sigma is None else "sigma"
            raise ValueError(f"{name} has no effect without an interval: give interval, or leave it out")
        if interval is None:
            outputs: Array = model.predict(self.parameters, X)
            return outputs
        prediction: Predicted = predict_with_interval(self, X, interval, level, sigma, method)
        return prediction

    def plot(
        self, axes: Any = None, interval: str | None = "confidence", level: float = LEVEL, kind: str | None = None
    ) -> Any:
        """Draw the fit with matplotlib.

        kind is "fit": data, curve and band, and the weighted residuals below; "solution": the solution of equations,
        and its residuals, as the plot of a training; or "history": the loss over the iterations. By default it is the
        solution for a network with losses by name, the history where there are no residuals, else the fit.

        axes are two axes of matplotlib, one above the other; by default those of a new figure. The abscissa is the
        input if there is one; with several inputs the targets are drawn against the outputs, without inputs against
        their index, and with equations of motion over the times of all samples. interval is that of ``predict``, or
        None for no band, which needs no SciPy.

        Returns the figure, which ``savefig`` writes to a file; its ``axes`` are these two.
        """
        model = self._model
        if kind is None:
            kind = "solution" if model.facts.samples.terms else "history" if self.residuals is None else "fit"
        if kind == "fit":
            return plot(self, axes, interval, level)
        if kind == "solution":
            return plot_solution(model, self.parameters, None, self._samples, axes)
        if kind != "history":
            raise ValueError(f"there is no picture {kind!r}; there are: 'fit', 'solution', 'history'")
        title = f"{model.name}: {self.status} after {self.iterations} iterations"
        return plot_history(title, {"loss": self.history}, None, None, axes, "iteration")

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas with a row for each parameter, by its name.

        Its columns are value, standard_error, p0, free and at_bound. Rows of tied parameters and derived quantities
        follow, which have no start. Raises MissingDependencyError without pandas.
        """
        columns = {
            "value": self.parameters,
            "standard_error": self.standard_errors,
            "p0": self.p0,
            "free": self.free,
            "at_bound": self.at_bound,
        }
        derived = self.derived
        if derived.names:
            none = np.zeros(len(derived), bool)
            derived_columns = (derived.values, derived.standard_errors, np.full(len(derived), np.nan), none, none)
            columns = {
                name: np.concatenate([column, other])
                for (name, column), other in zip(columns.items(), derived_columns, strict=True)
            }
        return frame_of(columns, (*self.names, *derived.names), "parameter")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result with its data to a file, an .npz archive, from which the module's ``load`` reads it.

        A file of that name is replaced atomically: a reader finds the old content or the new.
        """
        write_archive(path, self._archive())

    def _archive(self) -> dict[str, Any]:
        """Return the arrays of the file of the result."""
        return head(self._model, FIT) | {name: array for name, array in self._arrays().items() if array is not None}

    def _arrays(self) -> dict[str, Any]:
        """Return the arrays of the file of the result by name, None for those that it does not need."""
        problem: Any = self._refit
        options = problem.options.changed(absolute_sigma=self.absolute_sigma)  # which pickles of 0.2 have here alone
        sigma = None if self._sigma is None else np.asarray(self._sigma)
        arrays = {
            "parameters": self.parameters,
            "start": self.p0,
            "free": self.free,
            "at_bound": self.at_bound,
            "triangle": self._triangle,
            "Y": self._Y,
            "numbers": np.array([self.cost, self.chi2, *options.stored("numbers")]),
            "counts": np.array([self.used, self.iterations, self.evaluations, *options.stored("counts")], np.int64),
            "texts": np.array([self._ending, *options.stored("texts")]),
        }
        lower, upper = self._bounds or (None, None)
        optional = {"X": self._X, "residuals": self.residuals, "lower": lower, "upper": upper, "costs": self._costs}
        if self.poles:
            optional["poles"] = np.array(self.poles)
        if sigma is not None:
            optional[("sigma", "sigmas", "sigmas_of_each")[sigma.ndim]] = sigma
        return arrays | optional

    def _again_from(self, parameters: Array) -> FitResult:
        """Return the result of this fit from another start, (P,)."""
        problem: Any = self._refit
        held = None if self.free.all() else (~self.free).view(np.uint8)
        return type(self)(problem, problem.solve(parameters.astype(self._model.dtype), held), self.p0, held, problem)

    def _triangle_at(self, parameters: Array) -> Array | None:
        """Return the triangle (F, F) of the weighted derivatives at parameters, (P,); None where it is not known."""
        problem: Any = self._refit
        held = None if self.free.all() else (~self.free).view(np.uint8)
        there = problem.with_iterations(0)
        return there.solve(parameters.astype(self._model.dtype), held, with_residuals=False).triangle  # type: ignore[no-any-return]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the result as plain Python values: dictionaries by name, lists, numbers and texts."""

        def named(values: Array) -> dict[str, Any]:
            return dict(zip(self.names, values.tolist(), strict=True))

        figures = ("cost", "chi2", "reduced_chi2", "degrees_of_freedom", "r2", "aic", "bic", "used", "iterations",
                   "evaluations", "rank", "condition", "absolute_sigma", "robust", "f_scale")  # fmt: skip
        return {
            "model": self._model.name,
            "status": self.status,
            "converged": self.converged,
            "message": self.message,
            "parameters": named(self.parameters),
            "standard_errors": named(self.standard_errors),
            "p0": named(self.p0),
            "free": named(self.free),
            "at_bound": named(self.at_bound),
            "covariance": self.covariance.tolist(),
            "derived": dict(zip(self.derived.names, self.derived.values.tolist(), strict=True)),
            "derived_errors": dict(zip(self.derived.names, self.derived.standard_errors.tolist(), strict=True)),
            "undetermined": list(self.undetermined),
            "poles": list(self.poles),
            **{name: getattr(self, name) for name in figures},
        }

    def __str__(self) -> str:
        return text_table(self, self.message, self.derived)

    def __repr__(self) -> str:
        if self._model.facts.fitting.noise:
            figure = f"log-likelihood {self.log_likelihood:.6g}"
        else:
            figure = f"loss {self.cost:.6g}" if self._model.facts.fitting.curved else f"chi2 {self.chi2:.6g}"
        return f"<FitResult: {self.status} after {self.iterations} iterations, {figure}>"

    def _repr_html_(self) -> str:
        return html_table(self, self.message, self.derived)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values of the result, and the name of the module that made it."""
        held = {name: value for name, value in vars(self).items() if name != "_model"}
        return self._model.empty_result, (type(self).__name__,), held

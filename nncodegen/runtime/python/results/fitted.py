"""The values of a fit: those that the native fit found, and statistics that are computed from them on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.algebra import Algebra
from ..ground.distributions import scales_of
from ..ground.endings import ENDINGS, LEAST_GAIN, SMALL_PART, SUCCESSES
from ..ground.facts import flat_names, name_of, slices
from ..native.algebra import algebra_of
from . import goodness
from .covariance import Decomposition, correlation, covariance, decompose, least_ratio, undetermined

if TYPE_CHECKING:
    from ..ground.types import Array
    from .solution import LeastSquares, Solution

Refit = Callable[[Mapping[int, float], "Array"], "tuple[float, Array]"]
"""A function that repeats a fit with some parameters fixed: takes their values by their indices, and a start (P,).

It returns the cost, NaN if the model is not finite, and the parameters (P,). It is pickled with the result.
"""


class Fitted:
    """The values of a fit; ``FitResult`` describes them, and shows them to people."""

    def __init__(
        self, problem: LeastSquares, solution: Solution, p0: Array, fixed: Array | None, refit: Refit | None = None
    ) -> None:
        model, options = problem.model, problem.options
        self._model = model
        self.parameters = solution.parameters
        self.p0 = p0
        self._fixed = fixed  # a mask, or None; like the next one converted when it is used, for most fits are short
        self._at_bound = solution.active
        self._triangle = solution.triangle
        self.cost = solution.cost
        fitting = model.facts.fitting
        self.chi2 = math.nan if fitting.curved and not fitting.noise else solution.chi2
        self.residuals = solution.residuals
        self._X = problem.X
        self._Y = problem.Y
        self._sigma: Any = problem.sigma if solution.deviations is None else solution.deviations
        self.used = solution.used
        self._ending = solution.ending
        self.iterations = solution.iterations
        self.evaluations = solution.evaluations
        self.absolute_sigma = options.absolute_sigma
        self._bounds = options.bounds
        self.robust = None if options.loss == "linear" else options.loss
        self.f_scale = options.f_scale
        self._refit = refit
        self._costs = solution.costs
        self.poles = solution.poles

    @cached_property
    def _profiles(self) -> dict[float, Any]:
        """Return the profiles of all free parameters that were followed, by the root of the rise at their level."""
        return {}

    @cached_property
    def free(self) -> Array:
        """Return a mask of the parameters that were not fixed, (P,)."""
        return np.ones(len(self.parameters), bool) if self._fixed is None else self._fixed == 0

    @cached_property
    def at_bound(self) -> Array:
        """Return a mask of the parameters that lie at one of their bounds, (P,)."""
        return self._at_bound.astype(bool)

    @property
    def model_name(self) -> str:
        """Return the name of the model."""
        return self._model.name

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Return notes for the table of the fit, in addition to those of every fit: pairs of a label and a text."""
        return []

    @property
    def shows_correlations(self) -> bool:
        """Return whether the table of the fit lists strong correlations."""
        return True

    @property
    def status(self) -> str:
        """Return how the fit ended, as a word.

        "converged", or where the data do not determine all parameters "singular", or "too_few_data" with fewer data
        than free parameters; "max_iterations", "stalled", "stationary", "not_finite", "no_data", "time_limit" or
        "stopped".
        """
        if not self.converged:
            return ENDINGS[self._ending].status
        if self.used < self.free_count:
            return "too_few_data"
        return "converged" if self.rank == self.free_count else "singular"

    @property
    def success(self) -> bool:
        """Return whether the fit converged to parameters that the data determine."""
        return self.status in SUCCESSES

    @property
    def converged(self) -> bool:
        """Return whether a test of convergence ended the fit."""
        return ENDINGS[self._ending].converged

    def gains_nothing_from_its_end(self) -> bool:
        """Return whether a fit that begins where this one ended hardly lowers the cost, though no test was met.

        One standard error away, the cost of D degrees of freedom is higher by a D-th part: it may fall by SMALL_PART of
        that. Such a limit is relative to the cost, so it is strict where data are exact.
        """
        if self._refit is None or self._ending not in ("stalled", "max_iterations"):
            return False
        fixed = {int(p): float(self.parameters[p]) for p in np.flatnonzero(~self.free)}
        problem: Any = self._refit
        cost, _ = problem(fixed, self.parameters)
        least = max(problem.options.tolerance, LEAST_GAIN)
        if self.degrees_of_freedom > 0:
            least = max(least, SMALL_PART / self.degrees_of_freedom)
        return bool(cost >= self.cost - least * abs(self.cost))

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
        for parameter, place in slices((parameter, parameter.size) for parameter in self._model.facts.parameters):
            if parameter.name == name:
                return self.parameters[place].reshape(parameter.shape)
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

    @property
    def _algebra(self) -> Algebra:
        return algebra_of(self._model)

    @cached_property
    def _decomposition(self) -> Decomposition:
        return decompose(np.asarray(self._triangle, float), self._model.epsilon, self._algebra)

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
        degrees = self.degrees_of_freedom
        return 2 * self.cost / degrees if degrees > 0 else math.nan

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
        full = np.zeros((count, count))
        full[np.ix_(self.free, self.free)] = known
        return full

    @cached_property
    def standard_errors(self) -> Array:
        """Return the roots of the variances, (P,): infinite for undetermined parameters, 0 for fixed ones."""
        errors: Array = np.sqrt(self.covariance.diagonal())
        return errors

    @cached_property
    def correlation(self) -> Array:
        """Return the covariance divided by the standard errors, (P, P); NaN for fixed or undetermined parameters."""
        full = np.full((len(self.parameters), len(self.parameters)), np.nan)
        full[np.ix_(self.free, self.free)] = correlation(self._decomposition, self._model.epsilon)
        return full

    @cached_property
    def undetermined(self) -> tuple[str, ...]:
        """Return the names of free parameters that the data do not determine: some change of them changes no output."""
        unknown = np.zeros(len(self.parameters), bool)
        unknown[self.free] = undetermined(self._decomposition, self._model.epsilon)
        return tuple(name for name, lost in zip(self.names, unknown, strict=True) if lost)

    # --- goodness of the fit ---

    @cached_property
    def noise(self) -> Array | None:
        """Return the scale of the noise of each target, (N, K), as its formula gives it; None without a formula."""
        if not self._model.facts.fitting.noise or self.residuals is None:
            return None
        return scales_of(self._model.facts, self.residuals, self._Y, self._sigma)

    @property
    def log_likelihood(self) -> float:
        """Return the logarithm of the likelihood where the model has a loss that counts as such; otherwise NaN.

        It is -cost. Least squares leave out of their cost what depends on the data alone.
        """
        return -self.cost if self._model.facts.fitting.curved else math.nan

    @property
    def history(self) -> Array:
        """Return the mean loss after each of the last 10,000 iterations; none for a fit that ``fit_many`` made.

        They are the costs, scaled so that the last is ``loss``. With sigma or a robust loss these are not proportional
        to the mean loss, but to what the fit minimizes.
        """
        if self._costs is None:
            return np.empty(0)
        return self._costs * (self.loss / self.cost if self.cost > 0 else math.nan)

    @cached_property
    def loss(self) -> float:
        """Return the mean loss of the model at the parameters, as ``train`` has it: without sigma and a robust loss.

        It is that of the samples of which no target is missing; NaN if there are none.
        """
        known = ~np.isnan(self._Y).any(axis=1)
        if not known.any():
            return math.nan
        model: Any = self._model
        return float(model.loss(self.parameters, None if self._X is None else self._X[known], self._Y[known]))

    @property
    def reduced_chi2(self) -> float:
        """Return chi2/(used - F); NaN without degrees of freedom."""
        return self.chi2 / self.degrees_of_freedom if self.degrees_of_freedom > 0 else math.nan

    @cached_property
    def r2(self) -> float:
        """Return the coefficient of determination, 1 - chi2/sum(((y - mean)/sigma)**2), with a mean for each output.

        With equations of motion, that is the mean over all times of all samples.
        """
        if self.residuals is None:
            return math.nan
        return goodness.r2(self._Y, self.residuals, self._sigma, self._model.facts.samples, self._algebra)

    @property
    def aic(self) -> float:
        """Return Akaike's criterion for normal errors: n*log(chi2/n) + 2*F, with absolute_sigma chi2 + 2*F.

        n is ``used``. Terms that are the same for all models of the same data are left out. The first is lmfit's
        definition.
        """
        if self._model.facts.fitting.curved:
            return 2 * self.cost + 2 * self.free_count
        return goodness.aic(self.chi2, self.used, self.free_count, self.absolute_sigma, self._algebra)

    @property
    def aicc(self) -> float:
        """Return ``aic`` with its correction for few data: 2*K*(K + 1)/(n - K - 1) is added.

        K counts the free parameters, and the variance of the data unless it is known. NaN for n of at most K + 1.
        """
        if self._model.facts.fitting.curved:
            left = self.used - self.free_count - 1
            return self.aic + 2 * self.free_count * (self.free_count + 1) / left if left > 0 else math.nan
        return goodness.aicc(self.chi2, self.used, self.free_count, self.absolute_sigma, self._algebra)

    @property
    def bic(self) -> float:
        """Return Schwarz's criterion: n*log(chi2/n) + F*log(n), with absolute_sigma chi2 + F*log(n), like ``aic``."""
        if self._model.facts.fitting.curved:
            return 2 * self.cost + self.free_count * self._algebra.log(max(self.used, 1))
        return goodness.bic(self.chi2, self.used, self.free_count, self.absolute_sigma, self._algebra)

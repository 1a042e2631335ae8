"""The minimizers of SciPy, if it is installed, applied to the loss of the module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments.arguments import check_parameters
from ..arguments.calls import MINIMIZE, check_trainable
from ..arguments.labels import classes_of
from ..arguments.samples import CheckedSamples, statistics_of
from ..arguments.start import check_seed, start_of
from ..arguments.terms import take_samples
from ..evaluation.evaluate import outputs_of
from ..evaluation.hessian import check_hessian, products, symmetric
from ..ground.clock import clock
from ..ground.missing import needed
from ..ground.names_elsewhere import advice
from ..ground.same_bits import refuse
from ..ground.warn import warn
from ..native.blas import know_blas
from ..results.advice import unsolved
from ..results.result import Result, with_samples

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

WITHOUT_GRADIENT = ("nelder-mead", "powell", "cobyla", "cobyqa")
WITH_HESSIAN = ("trust-exact", "dogleg", "trust-constr")
WITH_PRODUCTS = ("trust-ncg", "trust-krylov", "newton-cg")
NOT_WITHOUT = ("trust-exact", "dogleg", "trust-ncg", "trust-krylov")
"""The minimizers that take no gradient; that take the Hessian; that take products with it; that need one of these."""

SEARCHES = ("bfgs", "cg", "l-bfgs-b", "newton-cg", "tnc", "slsqp")
"""The minimizers that search along a line: NaN ends them, and a value that is too high shortens the step."""

WITH_ANSWERS = ("trust-constr",)
"""The minimizers that a true value of the callback ends; StopIteration ends all."""

WITH_BOUNDS = ("l-bfgs-b", "tnc", "slsqp", "trust-constr")
OUT_OF_ITERATIONS = {
    "nelder-mead": (1, 2),
    "powell": (1, 2),
    "tnc": (3,),
    "slsqp": (9,),
    "cobyla": (2,),
    "cobyqa": (5, 6),
    "trust-constr": (0,),
}
"""The statuses of a minimizer that has used up its iterations or evaluations; 1 for all others."""

USED_UP = "MAXFUN"
"""A word that only then is in the message of COBYLA, whose statuses mean something else from SciPy 1.16 on."""

ELSEWHERE = "give bounds within which the model has values, or begin elsewhere"

NOWHERE = f"the loss is not finite at the start: {ELSEWHERE}"
"""The message where no parameters that a minimizer tried have a loss."""

LEFT = f"the loss is not finite at the parameters that it tried: these are the last ones before; {ELSEWHERE}"
"""The message where a minimizer leaves the parameters that have a loss."""

ENDED = {"stalled": "stalled", "not_finite": "cannot begin"}
"""The statuses of which a warning tells, and its words for them."""

STEEPER = 3.0
"""The slope at the end of a step without a loss, in units of that at its begin."""

OTHERS = ("tol", "bounds", "constraints", "callback", "options", "hess", "hessp")
"""The arguments of SciPy's function that a call may give."""

EXACT = 4
"""Outputs whose residuals are below this number of roundings of the targets, by their norms, are the targets."""


@MINIMIZE
def minimize(model: Model, /, *positional: Any, **named: Any) -> Result:
    """Minimize loss + l1*sum |w| + l2/2*sum w**2 with SciPy's minimizers; w are the weights, without biases.

    method        any of SciPy's. Those that take a gradient get it. Those that take the Hessian, or products with
                  it, get these if the module has them (see hessian); trust-exact, dogleg, trust-ncg and
                  trust-krylov need them
    l1            exactly, by splitting each weight into two that are not negative: for L-BFGS-B, TNC, SLSQP and
                  trust-constr
    options       other arguments of ``scipy.optimize.minimize``: tol, bounds, options={"maxiter": ...}, callback,
                  ...; in single precision L-BFGS-B has the option ftol=1e-6, since a loss has no more digits

    The other arguments are those of ``train``. Returns a Result: its history holds the loss with the penalties
    after each iteration, metrics["step_length"] the norm of the change of the parameters in each, and message is
    that of SciPy. Its status is "converged", "max_iterations", "stopped" by the callback, which raises
    StopIteration, or for any other end "stalled", with a RuntimeWarning. Least squares have also converged where
    outputs are targets up to rounding, though SciPy finds no lower loss there. BFGS, CG, L-BFGS-B, Newton-CG, TNC
    and SLSQP shorten a step that ends where the loss is not finite, and the trust-... methods and Powell go back
    from there. Where a minimizer ends at such a loss, that is "stalled", too: the parameters are the last ones with
    a finite loss, and the message says so. Without any, as where that of the start is not finite, it is
    "not_finite". ``train`` cannot resume a result. With BatchNormalization, all samples are one batch, and the
    moving statistics become those of all samples.
    """
    refuse(model.facts, "what a minimizer of SciPy computes")
    with needed("minimize", "SciPy", "scipy"):
        from scipy import optimize  # noqa: PLC0415 (optional, and slow to import)
    check_trainable(model)
    settings, options = MINIMIZE.settings(model, positional, named)
    samples = take_samples(model, settings)
    classes = classes_of(model, settings.classes, settings.Y)
    data = CheckedSamples(model, settings.X, settings.Y, settings.sample_weight, classes)
    data.weigh_classes(settings.class_weight)
    start = start_of(model, settings.parameters, check_seed(model, settings.seed, settings.parameters))
    objective = Objective(model, data, settings.l1, settings.l2)
    called = _of_scipy(options, settings.l1) if settings.method is None else settings.method
    method = str(called).lower()
    _complete(options, model, objective, method, called)
    search = _Search(objective, start, options.pop("callback", None), method in WITH_ANSWERS)
    gradient = method not in WITHOUT_GRADIENT
    function = objective.value_or_infinity if gradient else objective.high_value
    if method in SEARCHES:
        function = objective.value_or_hill
    try:
        know_blas(model)
        # the vectors of a minimizer are too short for threads to pay; infinity less infinity is NaN without a word
        with model.native.blas_held(), np.errstate(invalid="ignore"):
            optimum = optimize.minimize(function, search.last, jac=gradient, method=called, callback=search, **options)
        lost = not math.isfinite(objective.value(optimum.x))
        accepted = "constraints" in options or (optimum.success and not lost)
        reached = search.result(search.kept(optimum.x, lost, not accepted), "converged", str(optimum.message))
        reached.loss, reached.classes = objective.loss(reached.parameters), classes
    except BaseException as interrupt:  # Ctrl-C, or an error of a callback
        interrupt.result = search.result(search.last, "interrupted", "")  # type: ignore[attr-defined]
        raise
    if search.stopped:
        reached.status = "stopped"
    elif lost or not optimum.success:
        used_up = not lost and (
            optimum.status in OUT_OF_ITERATIONS.get(method, (1,)) or USED_UP in str(optimum.message)
        )
        reached.status = "max_iterations" if used_up else "stalled" if math.isfinite(reached.loss) else "not_finite"
    if reached.status == "stalled" and not (settings.l1 or settings.l2) and _is_exact(data, reached.parameters):
        reached.status = "converged"
    if reached.status in ENDED:
        reached._message = _message_of_end(reached, model.facts.steps.solver, lost, objective.hills)
        warn(f"SciPy's {called} {ENDED[reached.status]}: {reached.message}", RuntimeWarning)
    return with_samples(reached, samples)


def _is_exact(data: CheckedSamples, parameters: Array) -> bool:
    """Return whether the loss is a sum of squares, and all of its residuals are 0 up to rounding.

    No loss is lower there, whatever a minimizer says that looks for a descent.
    """
    facts = data.model.facts
    if facts.fitting.not_fitted or facts.fitting.curved or not facts.fitting.fits_outputs or data.Y is None:
        return False
    used = slice(None) if data.weights is None else data.weights > 0
    targets = data.Y[used].astype(float)
    residuals = outputs_of(data, parameters)[used] - targets
    noise = EXACT * data.model.epsilon * np.linalg.norm(targets, axis=0)
    return bool((np.linalg.norm(residuals, axis=0) <= noise).all())


def _message_of_end(reached: Result, solver: str, lost: bool, hills: int) -> str:
    """Return the message of a minimizer that found no minimum: where the loss is not finite, what to do about it.

    ``solver`` tells how the model solves differential equations; ``lost`` says that it left the parameters that have a
    loss, ``hills`` how many steps it shortened.
    """
    finite = math.isfinite(reached.loss)
    if solver and not finite:
        return f"the loss is not finite; {unsolved(solver)}"
    if lost:
        return LEFT if finite else NOWHERE
    if hills:
        tried = "parameters that it tried, before which it ended steps"
        message = reached.message.rstrip(":. ")
        return f"{message}; the loss is not finite at {hills:,} of the {tried}: {ELSEWHERE}"
    return reached.message


def _of_scipy(options: Mapping[str, Any], l1: float) -> str:
    """Return the method that SciPy chooses if none is named."""
    if options.get("constraints"):
        return "SLSQP"
    return "L-BFGS-B" if l1 or options.get("bounds") is not None else "BFGS"


def _check_names(options: dict[str, Any]) -> None:
    """Raise TypeError for arguments that SciPy's function does not have, or that the module gives."""
    for key in options:
        if key not in OTHERS:
            takes = advice("minimize", key) or f": besides its own, it takes those of SciPy: {', '.join(OTHERS)}"
            raise TypeError(f"minimize() got an unexpected argument {key!r}{takes}")


def _complete(options: dict[str, Any], model: Model, objective: Objective, method: str, name: Any) -> None:
    """Check the arguments of SciPy, and add those that follow from the objective and the precision."""
    _check_names(options)
    if objective.l1:
        if method not in WITH_BOUNDS or "bounds" in options:
            raise ValueError(f"l1 needs the method L-BFGS-B, TNC, SLSQP or trust-constr, and no bounds, not {name!r}")
        options["bounds"] = [(0, None)] * (2 * model.parameter_count)
    if "hess" not in options and "hessp" not in options:
        if method in NOT_WITHOUT:
            check_hessian(model, f"the method {name!r}")
        if method in WITH_HESSIAN and model.native.has_hessian:
            options["hess"] = objective.finite_hessian if method in NOT_WITHOUT else objective.hessian
        if method in WITH_PRODUCTS and model.native.has_hessian:
            options["hessp"] = objective.hessian_product
    if method == "l-bfgs-b" and model.dtype == np.float32 and "tol" not in options:
        options["options"] = {"ftol": 1e-6, **(options.get("options") or {})}


class _Search:
    """A running minimizer: its last points, and for each iteration the objective and the length of the step.

    ``finite`` is the last point whose objective is finite; the start, if there is none.
    """

    def __init__(self, objective: Objective, start: Array, callback: Any, asks: bool) -> None:
        self.objective, self.callback, self.asks = objective, callback, asks
        self.last = self.finite = objective.split(start.astype(float))
        self.history: list[float] = []
        self.lengths: list[float] = []
        self.begun = clock.now()
        self.stopped = False
        """True if the callback ended the search."""

    def __call__(self, *arguments: Any) -> Any:
        """Record an iteration; SciPy calls this with the point, and some minimizers pass more."""
        before, self.last = self.last, np.array(arguments[0], float)
        self.lengths.append(float(np.linalg.norm(self.objective.join(self.last - before))))
        self.history.append(self.objective.value(self.last))
        if math.isfinite(self.history[-1]):
            self.finite = self.last
        self.objective.went_on(self.last)
        try:
            answer = None if self.callback is None else self.callback(*arguments)
        except StopIteration:
            self.stopped = True
            raise
        self.stopped = self.asks and bool(answer)
        return answer

    def kept(self, variables: Array, lost: bool, best: bool) -> Array:
        """Return the variables to keep: those reached, or the last finite ones if those are lost; or the best tried.

        The best ones count only where steps ended before variables without a finite objective.
        """
        reached = self.finite if lost else variables
        place = self.objective.best if best and self.objective.hills else None
        return place.variables if place and place.value < self.objective.value(reached) else reached

    def result(self, variables: Array, status: str, message: str) -> Result:
        """Return the Result at some variables, without the loss."""
        model = self.objective.model
        reached = self.objective.followed(check_parameters(model, self.objective.join(variables)))
        count = len(self.history)  # an error in the objective leaves a length without a loss
        metrics = {"loss": np.array(self.history, float), "step_length": np.array(self.lengths[:count], float)}
        return Result(model, reached, math.nan, metrics, status, None, clock.now() - self.begun, message)


class _Place(NamedTuple):
    """Variables at which the objective and its gradient are finite."""

    variables: Array
    value: float
    slope: Array


class Objective:
    """The loss with its penalties in double precision; with l1, of positive and negative parts of the parameters."""

    def __init__(self, model: Model, data: CheckedSamples, l1: float, l2: float) -> None:
        self.model, self.data, self.l1, self.l2 = model, data, l1, l2
        parameters = model.facts.parameters
        self.penalized = np.repeat(
            [float(parameter.penalized) for parameter in parameters], [parameter.size for parameter in parameters]
        )
        self._last: tuple[Any, float] = (None, math.nan)
        self._tried: list[_Place] = []
        self.best: _Place | None = None
        """Where the objective was least."""
        self.hills = 0
        """The number of times that a step ended where the loss is not finite."""

    def split(self, parameters: Array) -> Array:
        """Return the variables of the minimizer for given parameters."""
        return np.concatenate([np.maximum(parameters, 0), np.maximum(-parameters, 0)]) if self.l1 else parameters

    def join(self, variables: Array) -> Array:
        """Return the parameters for given variables of the minimizer."""
        count = self.model.parameter_count
        return variables[:count] - variables[count:] if self.l1 else variables

    def value_and_gradient(self, variables: Array) -> tuple[float, Array]:
        """Return the objective and its gradient."""
        parameters = self.join(variables)
        slope = np.empty(self.model.parameter_count, self.model.dtype)
        value = self.loss(parameters, slope) + self._penalty(variables, parameters)
        self._last = (variables.copy(), value)
        slope = slope.astype(float) + self.l2 * self.penalized * parameters
        if self.l1:
            slope = np.concatenate([slope + self.l1 * self.penalized, self.l1 * self.penalized - slope])
        return value, slope

    def value_or_infinity(self, variables: Array) -> tuple[float, Array]:
        """Return the objective and its gradient; infinity, at which a trust region shrinks, for NaN."""
        value, slope = self.value_and_gradient(variables)
        return math.inf if math.isnan(value) else value, slope

    def high_value(self, variables: Array) -> float:
        """Return the objective; infinity, which is no minimum along a line, for NaN."""
        value = self.value(variables)
        return math.inf if math.isnan(value) else value

    def value_or_hill(self, variables: Array) -> tuple[float, Array]:
        """Return the objective and its gradient; those of a hill where one is not finite, so that steps end before it.

        Along the step from where the last iteration ended, the hill is the parabola that begins with the slope there,
        m < 0, and is as much higher at the end of the step as m alone would be lower: its slope there is -3*m. A search
        that interpolates goes back to a quarter of the step.
        """
        value, slope = self.value_and_gradient(variables)
        if math.isfinite(value) and np.isfinite(slope).all():
            place = _Place(variables.copy(), value, slope)
            self._tried.append(place)
            if self.best is None or value < self.best.value:
                self.best = place
            return value, slope
        if not self._tried:
            return value, slope
        begin = self._tried[0]
        step = variables - begin.variables
        length = float(np.linalg.norm(step))
        rise = abs(float(begin.slope @ step)) or abs(begin.value) or 1.0
        if not (0 < length < math.inf and math.isfinite(rise)):
            return value, slope
        self.hills += 1
        return begin.value + rise, (STEEPER * rise / length) * (step / length)

    def went_on(self, variables: Array) -> None:
        """Take the variables at which an iteration ended as the begin of the next steps."""
        same = [place for place in self._tried if np.array_equal(place.variables, variables)]
        self._tried = same[-1:] or self._tried[:1]

    def value(self, variables: Array) -> float:
        """Return the objective."""
        if self._last[0] is not None and np.array_equal(variables, self._last[0]):
            return self._last[1]
        parameters = self.join(variables)
        return self.loss(parameters) + self._penalty(variables, parameters)

    def loss(self, parameters: Array, slope: Array | None = None) -> float:
        """Return the loss; its gradient is written to ``slope``, if given. Statistics are those of the samples."""
        if not self.model.facts.following:
            return self.data.loss(self._own(parameters), slope)
        slope = np.empty(self.model.parameter_count, self.model.dtype) if slope is None else slope
        value = self.data.loss(self._own(parameters), slope)
        statistics_of(self.model, slope)
        return value

    def followed(self, parameters: Array) -> Array:
        """Return the parameters, with those that follow statistics of batches set to the statistics of the samples."""
        if not self.model.facts.following:
            return parameters
        slope, parameters = np.empty(self.model.parameter_count, self.model.dtype), parameters.copy()
        self.data.loss(self._own(parameters), slope)
        statistics = statistics_of(self.model, slope)
        for first, last, _ in self.model.facts.following:
            parameters[first:last] = statistics[first:last]
        return parameters

    def hessian(self, variables: Array) -> Array:
        """Return the second derivatives of the objective."""
        units = np.eye(self.model.parameter_count)
        whole = symmetric(self._products(variables, units)) + np.diag(self.l2 * self.penalized)
        return np.block([[whole, -whole], [-whole, whole]]) if self.l1 else whole

    def finite_hessian(self, variables: Array) -> Array:
        """Return the second derivatives of the objective, zeros where one is not finite.

        SciPy's trust-exact asks for them before it rejects a step to parameters that have no loss.
        """
        whole = self.hessian(variables)
        return whole if np.isfinite(whole).all() else np.zeros_like(whole)

    def hessian_product(self, variables: Array, vector: Array) -> Array:
        """Return the second derivatives of the objective times a vector."""
        product: Array = self._products(variables, vector[None])[0]
        return product + self.l2 * self.penalized * vector

    def _products(self, variables: Array, directions: Array) -> Array:
        """Return the Hessian of the loss times directions, one in each row."""
        point = self._own(self.join(variables))
        return products(self.model, point, self._own(directions), self.data).astype(float)

    def _own(self, values: Array) -> Array:
        """Return values in the precision of the model."""
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, self.model.dtype)

    def _penalty(self, variables: Array, parameters: Array) -> float:
        total = 0.5 * self.l2 * float(self.penalized @ parameters**2)
        if self.l1:
            total += self.l1 * float(np.tile(self.penalized, 2) @ variables)
        return total

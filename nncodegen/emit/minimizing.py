"""The minimizers of SciPy over the loss of the module, where SciPy is installed."""

import math
import time
import warnings
from typing import Any

import numpy as np

dtype: Any
parameter_count: int
parameter_shapes: dict[str, tuple[int, ...]]
_PENALIZED: tuple[bool, ...]
initial_parameters: Any
_parameters: Any
_native_loss: Any
_number: Any
_integer: Any
_Data: Any
_scipy_blas: Any
_BlasHeld: Any
Result: Any

_WITHOUT_GRADIENT = ("nelder-mead", "powell", "cobyla", "cobyqa")
_WITH_BOUNDS = ("l-bfgs-b", "tnc", "slsqp", "trust-constr")
_OUT_OF_ITERATIONS = {"nelder-mead": (1, 2), "powell": (1, 2), "tnc": (3,), "slsqp": (9,), "cobyla": (2,),
                      "cobyqa": (5, 6), "trust-constr": (0,)}  # fmt: skip
"""What the status of a minimizer is when it has used up its iterations or evaluations; 1 for all others."""


def minimize(
    X: Any = None,
    Y: Any = None,
    parameters: Any = None,
    method: str = "L-BFGS-B",
    sample_weight: Any = None,
    class_weight: Any = None,
    l1: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
    **options: Any,
) -> Any:
    """Minimizes loss + l1*sum |w| + l2/2*sum w**2 with ``scipy.optimize.minimize``; w are the weights, without biases.

    method        any of SciPy's; those that take a gradient get it
    l1            exactly, by splitting each weight into two that are not below 0: for L-BFGS-B, TNC, SLSQP and
                  trust-constr
    options       what else scipy.optimize.minimize takes: tol, bounds, options={"maxiter": ...}, callback, ...; in
                  single precision L-BFGS-B has the option ftol=1e-6, as a loss has no digits beyond

    The other arguments are those of ``train``. Returns a Result, whose history holds the loss with the penalties
    after each iteration, and whose message is that of SciPy; its status is "converged", "completed" (after the
    iterations that were allowed) or "stopped", with a RuntimeWarning. ``train`` cannot resume it.
    """
    try:
        from scipy import optimize  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise ImportError("minimize needs SciPy, which is not installed: python -m pip install scipy") from error
    data = _Data(X, Y, sample_weight)
    data.weigh_classes(class_weight)
    start = initial_parameters(seed) if parameters is None else _parameters(parameters)
    objective = _Objective(data, _number("l1", l1, 0.0, math.inf, False), _number("l2", l2, 0.0, math.inf, False))
    named = str(method).lower()
    for key in ("fun", "x0", "args", "jac"):
        if key in options:
            raise TypeError(f"minimize() got an unexpected argument {key!r}: the module gives it to SciPy itself")
    if objective.l1:
        if named not in _WITH_BOUNDS or "bounds" in options:
            raise ValueError(f"l1 needs the method L-BFGS-B, TNC, SLSQP or trust-constr, and no bounds, not {method!r}")
        options["bounds"] = [(0, None)] * (2 * parameter_count)
    if named == "l-bfgs-b" and dtype == np.float32 and "tol" not in options:
        options["options"] = {"ftol": 1e-6, **(options.get("options") or {})}
    call = options.pop("callback", None)
    history: list[float] = []
    last = [objective.split(start.astype(float))]

    def callback(*given: Any) -> Any:  # SciPy calls it with the point, or also with what it knows of it
        last[0] = np.array(given[0], float)
        history.append(objective.value(last[0]))
        return None if call is None else call(*given)

    def result(variables: Any, status: str, message: str, value: float = math.nan) -> Any:
        metrics = {"loss": np.array(history, float)}
        reached = _parameters(objective.join(variables))
        return Result(reached, value, metrics, status, None, time.perf_counter() - begun, message)

    begun = time.perf_counter()
    gradient = named not in _WITHOUT_GRADIENT
    function = objective.value_and_gradient if gradient else objective.value
    try:
        _scipy_blas()
        with _BlasHeld():  # the vectors of a minimizer are short: to wake other threads for them takes longer
            found = optimize.minimize(function, last[0], jac=gradient, method=method, callback=callback, **options)
        reached = result(found.x, "converged", str(found.message))
        reached.loss = objective.loss(reached.parameters)
    except BaseException as interrupt:  # Ctrl-C, or an error of a callback
        interrupt.result = result(last[0], "interrupted", "")  # type: ignore[attr-defined]
        raise
    if not found.success:
        reached.status = "completed" if found.status in _OUT_OF_ITERATIONS.get(named, (1,)) else "stopped"
    if reached.status == "stopped":
        warnings.warn(f"SciPy's {method} stopped: {found.message}", RuntimeWarning, stacklevel=2)
    return reached


class _Objective:
    """The loss with its penalties, of parameters in double precision; with l1, of their positive and negative parts."""

    def __init__(self, data: Any, l1: float, l2: float) -> None:
        self.data, self.l1, self.l2 = data, l1, l2
        sizes = [math.prod(shape) for shape in parameter_shapes.values()]
        self.penalized = np.repeat(np.array(_PENALIZED, float), sizes)
        self._last: tuple[Any, float] = (None, math.nan)

    def split(self, parameters: Any) -> Any:
        """The variables for parameters."""
        return np.concatenate([np.maximum(parameters, 0), np.maximum(-parameters, 0)]) if self.l1 else parameters

    def join(self, variables: Any) -> Any:
        """The parameters for variables."""
        return variables[:parameter_count] - variables[parameter_count:] if self.l1 else variables

    def value_and_gradient(self, variables: Any) -> tuple[float, Any]:
        """The objective and its gradient."""
        parameters = self.join(variables)
        slope = np.empty(parameter_count, dtype)
        value = self.loss(parameters, slope) + self._penalty(variables, parameters)
        self._last = (variables.copy(), value)
        slope = slope.astype(float) + self.l2 * self.penalized * parameters
        if self.l1:
            slope = np.concatenate([slope + self.l1 * self.penalized, self.l1 * self.penalized - slope])
        return value, slope

    def value(self, variables: Any) -> float:
        """The objective."""
        if self._last[0] is not None and np.array_equal(variables, self._last[0]):
            return self._last[1]
        parameters = self.join(variables)
        return self.loss(parameters) + self._penalty(variables, parameters)

    def loss(self, parameters: Any, slope: Any = None) -> float:
        """The loss alone; its gradient is written to slope, where there is one."""
        data = self.data
        with np.errstate(over="ignore"):
            point = np.ascontiguousarray(parameters, dtype)
        value: float = _native_loss(point, data.X, data.Y, data.weights, data.samples, slope)
        return value

    def _penalty(self, variables: Any, parameters: Any) -> float:
        total = 0.5 * self.l2 * float(self.penalized @ parameters**2)
        if self.l1:
            total += self.l1 * float(np.tile(self.penalized, 2) @ variables)
        return total

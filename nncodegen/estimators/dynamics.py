"""DynamicsRegressor: equations of motion, fitted by least squares to trajectories, as an estimator for scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from nncodegen.compiler.describe import describe, identity_of
from nncodegen.compiler.describe.hints import cut
from nncodegen.compiler.ir import Program, Tensor
from nncodegen.compiler.motion import Dynamics
from nncodegen.compiler.passes.fitting import never_fitted
from nncodegen.compiler.pipeline import build_module
from nncodegen.curves.fitting.interface import refuse_two_values
from nncodegen.errors import ModelError
from nncodegen.estimators.columns import validated
from nncodegen.estimators.fit_parameters import take_parameters, with_fit_parameters
from nncodegen.estimators.least_squares import LeastSquaresRegressor
from nncodegen.formats.export import Exportable
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.arguments.tables import Columns, Found, find, warn_of_order
from nncodegen.runtime.python.fitting.fit import automatic
from nncodegen.runtime.python.ground.renamed import renamed
from nncodegen.runtime.python.ground.warn import warn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nncodegen.runtime.module import FitParameters

KEPT = 64
"""The number of models whose modules a process remembers; the others are found in the cache on disk."""


@renamed("0.3.0", tolerance="tol", max_iterations="max_iter")
@with_fit_parameters(
    p0=(
        "where to start: a mapping from names of parameters to numbers, or (P,) in the order of the model.\n"
        "The other parameters begin at the values that the model has for them, or within their bounds.\n"
        '"auto": a start is looked for, from the scales of the data'
    ),
    absolute_sigma=(
        "whether 1/sample_weight are the variances of the observations; else they are known up to a common\nfactor"
    ),
    random_state="the seed for drawing these starting points, and the initial weights of networks in the equations",
)
class DynamicsRegressor(LeastSquaresRegressor):
    """Equations of motion, whose parameters are fitted to trajectories by least squares (Levenberg and Marquardt).

    One sample is one trajectory: a row of X has its times, then its inputs, then its columns, as ``predict`` of the
    module takes them; a row of y has the values of the first output at all times, then those of the next one. An
    observation that is missing is NaN in y. So cross-validations leave out whole trajectories.

    The columns of a DataFrame X that have names of the model, such as t[0], t[1], dose, are found by them, in any order
    and among others, which are left out. If none has one, all are taken in the order of the model.

    dynamics        the model, nncodegen.Dynamics(...)
    {options}
    precision       "float64" or "float32"
    bits            "native", or "portable": results do not depend on the CPU, the compiler or the operating system

    Fitted attributes, for P parameters:

    parameters_       {name: value}
    standard_errors_  {name: standard error}, infinite for parameters that the data do not determine
    covariance_       (P, P), in the same order
    n_iter_           the number of iterations, 1 if there were none
    result_           the result of the module's ``fit``, with everything about the fit: print it. It is not pickled
    dynamics_         the model that was fitted
    n_features_in_, feature_names_in_

    A fit that does not converge gives a ConvergenceWarning.
    """

    def __init__(
        self,
        dynamics: Any,
        *,
        precision: str = "float64",
        bits: str = "native",
        **options: Unpack[FitParameters],
    ) -> None:
        self.dynamics = dynamics
        self.precision = precision
        self.bits = bits
        take_parameters(self, options)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> DynamicsRegressor:
        """Fit the parameters to X (N, inputs) and y (N, outputs times the times); with one value of a row, also (N,).

        sample_weight is (N,), 1/sigma**2 with the standard deviation sigma of all observations of a trajectory; one
        with the weight 0 is left out. Raises ModelError for a model that is none of motion or has no fit, ValueError
        for unsuitable data or arguments.
        """
        model = _checked(self.dynamics)
        X, Y = self._data(model, X, y, self.precision, reset=True)
        X, Y, sigma = self._weighed(X, Y, sample_weight)
        if np.isnan(Y).all():
            raise ValueError("every observation in y is missing (NaN): there is nothing to fit")
        refuse_two_values("p0", self.p0, self.fixed)
        module = module_of(model, self.precision, self.bits)
        start, n_starts = self.p0, self.n_starts
        if isinstance(start, str):
            n_starts = automatic(start, n_starts)
            start = None
        native: Any = module
        is_drawn = native._model.constants is None and (start is None or isinstance(start, Mapping))
        result = self._search(module, X, Y, start, sigma, self.bounds, n_starts, is_drawn)
        self.dynamics_ = model
        self._keep(result, result.names, result.parameters, result.standard_errors, result.covariance)
        return self

    def predict(self, X: Any) -> Any:
        """Return what is observed of each trajectory of X (N, inputs): (N, outputs times the times).

        The order is that of y in ``fit``. Where a solution fails, its values are NaN from there on; ``outcomes`` of the
        model tells why.
        """
        check_is_fitted(self)
        X = validated(self, X, dtype=np.dtype(self._precision), reset=False)
        return self._predicted(self._ordered(self.dynamics_, X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R2 over the observations that exist, the mean over the outputs.

        For each output, it is scikit-learn's r2_score of its values at all times of all trajectories that are not NaN
        in y, so that a single trajectory has one as well. It is NaN, after a warning, where the solution of a
        trajectory fails. sample_weight is (N,). Other scorers of scikit-learn take no NaN.
        """
        check_is_fitted(self)
        X, Y = self._data(self.dynamics_, X, y, self._precision, reset=False)
        weight = np.ones(len(X))
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        seen = ~np.isnan(Y) & (weight > 0)[:, None]
        if not seen.any():
            raise ValueError("every observation in y is missing (NaN): there is no score")
        predicted = self._predicted(X)
        failed = np.flatnonzero((np.isnan(predicted) & seen).any(axis=1))
        if len(failed):
            warn(
                f"the score is NaN: the solution of trajectory {failed[0]} of X is not finite where y has "
                f"observations; outcomes of dynamics_ tells why",
                RuntimeWarning,
            )
            return math.nan
        weights = np.broadcast_to(weight[:, None], Y.shape)
        times = self.dynamics_.times
        scores = []
        for output in range(Y.shape[1] // times):
            place = slice(output * times, (output + 1) * times)
            here = seen[:, place]
            if here.any():
                values, expected, sample_weights = (array[:, place][here] for array in (Y, predicted, weights))
                scores.append(r2_score(values, expected, sample_weight=sample_weights))
        return float(np.mean(scores))

    def exportable(self) -> Exportable:
        """Return the model with its parameters, for ``nncodegen.export``. Its inputs are those of X."""
        check_is_fitted(self)
        names, columns = self._features(), _columns(self.dynamics_.describe().inputs)
        inputs = tuple(columns) if _named(names, columns) else tuple(names)
        return Exportable(self.dynamics_, self._precision, self._values(), inputs, (), self._bits)

    def _values(self) -> list[float]:
        """Return the parameters in the order of the model."""
        return list(self.parameters_.values())

    def _predicted(self, X: Any) -> Any:
        return module_of(self.dynamics_, self._precision, self._bits).predict(self._values(), X)

    def _data(self, model: Dynamics, X: Any, y: Any, precision: str, reset: bool) -> tuple[Any, Any]:
        """Return X and y as matrices. Raises ValueError where they are not trajectories of the model."""
        number = np.dtype(precision)
        observations = {"ensure_2d": False, "ensure_all_finite": "allow-nan", "dtype": number}
        program = model.describe()
        X, Y = validated(
            self, X, _targets(program, y), reset=reset, validate_separately=({"dtype": number}, observations)
        )
        check_consistent_length(X, Y)
        X, outputs = self._ordered(model, X), _columns(program.targets)
        if Y.ndim == 1 and len(outputs) == 1:
            Y = Y[:, None]
        if Y.shape != (len(X), len(outputs)):
            raise ValueError(
                f"y has the shape {Y.shape}; {model.name} has {_observations_in_words(model)} of each trajectory, "
                f"in a row: expected {(len(X), len(outputs))}, NaN where an observation is missing"
            )
        return X, Y

    def _features(self) -> list[str]:
        """Return the names of the columns of X, none if it was no DataFrame with texts as names."""
        return [str(name) for name in getattr(self, "feature_names_in_", ())]

    def _ordered(self, model: Dynamics, X: Any) -> Any:
        """Return the columns of X in the order of the model, by their names if some are names of the model.

        Raises ValueError for columns that are missing.
        """
        names, tensors = self._features(), model.describe().inputs
        inputs = _columns(tensors)
        if _named(names, inputs):
            columns = find("X", Columns(dict(zip(names, X.T, strict=True)), names), _sizes(tensors))
            return np.ascontiguousarray(np.column_stack([*columns.parts.values()]))
        if X.shape[1] != len(inputs):
            raise ValueError(
                f"X has {X.shape[1]} features; {model.name} takes {len(inputs)} for each trajectory, in a row: "
                f"{cut(', '.join(inputs))}"
            )
        return X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _checked(model: object) -> Dynamics:
    """Return a model of motion that can be fitted by an estimator. Raises ModelError for what is none."""
    if not isinstance(model, Dynamics):
        raise ModelError(
            f"DynamicsRegressor takes a model of motion, nncodegen.Dynamics(equations, initial, parameters, "
            f"times=...), not {cut(repr(model))}"
        )
    program = model.describe()
    if not program.inputs:
        raise ModelError(
            f"{model.name} reads no times, inputs or columns, so that X would be empty: fit it without an estimator, "
            f"by nncodegen.build(model).fit(Y=...)"
        )
    reason = never_fitted(program)
    if reason:
        raise ModelError(
            f"DynamicsRegressor fits by least squares, and {model.name} has no fit: {reason}; "
            f"nncodegen.build(model).train(X, Y) trains it"
        )
    return model


def _sizes(tensors: Iterable[Tensor]) -> tuple[tuple[str, int], ...]:
    return tuple((tensor.name, tensor.size) for tensor in tensors)


def _columns(tensors: Iterable[Tensor]) -> list[str]:
    """Return the names of the columns of X or y: t[0], t[1], ..., dose."""
    return [
        f"{tensor.name}[{k}]" if tensor.shape[1:] else tensor.name for tensor in tensors for k in range(tensor.size)
    ]


def _targets(program: Program, y: Any) -> Any:
    """Return y with its columns in the order of the model, if it is a table with names of the model; else unchanged."""
    tensors = _sizes(program.targets)
    outputs = tuple((element.tensor, program.count(element.indices)) for element in program.outputs)
    columns = find("y", y, tensors, outputs)
    if not isinstance(columns, Found):
        return y
    if columns.reordered:
        warn_of_order("y", columns.reordered, tensors)
    return np.column_stack([*columns.parts.values()])


def _named(names: Iterable[str], inputs: Iterable[str]) -> bool:
    """Return whether columns of X have names of the model, so that they are found by these."""
    return not {*names}.isdisjoint(inputs)


def _observations_in_words(model: Dynamics) -> str:
    """Return the observations of one trajectory in words."""
    times = f"{model.times} time{'s' * (model.times > 1)}"
    return f"{cut(', '.join(model.observed))} at {times}"


@dataclass(frozen=True)
class _Content:
    """A model that equals all others that compute the same and have the same start."""

    identity: str
    name: str
    parameters: tuple[Tensor, ...]
    model: Dynamics = field(compare=False, repr=False)


@lru_cache(maxsize=KEPT)
def module_of(model: Dynamics, precision: str, bits: str) -> Module:
    """Return the compiled module of a model. One process builds it, or finds it in the cache, once.

    Searches clone estimators with their models, so copies of a model share its module.
    """
    program = describe(model, precision)
    return _module_of(_Content(identity_of(program), model.name, program.parameters, model), precision, bits)


@lru_cache(maxsize=KEPT)
def _module_of(content: _Content, precision: str, bits: str) -> Module:
    return build_module(content.model, precision, bits=bits)

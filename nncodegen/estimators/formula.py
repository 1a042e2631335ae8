"""FormulaRegressor: a formula with parameters, fitted by least squares, as an estimator for scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from nncodegen.compiler.ir.program import NATIVE, PORTABLE
from nncodegen.curves.fitting.formula import (
    Formula,
    module_of,
    names_of,
    names_of_columns,
    read_formula,
    with_quantities,
)
from nncodegen.curves.fitting.interface import refuse_two_values
from nncodegen.curves.fitting.start import limits_of, named, start_and_search
from nncodegen.estimators.columns import validated
from nncodegen.estimators.fit_parameters import take_parameters, with_fit_parameters
from nncodegen.estimators.least_squares import LeastSquaresRegressor
from nncodegen.formats.export import Exportable
from nncodegen.runtime.python.ground.algebra import IN_FIXED_ORDER
from nncodegen.runtime.python.ground.renamed import renamed
from nncodegen.runtime.python.results.bordered import solve

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from nncodegen.runtime.module import FitParameters


@renamed(
    "0.3.0",
    start="p0",
    starts="n_starts",
    robust="loss",
    robust_scale="f_scale",
    tolerance="tol",
    max_iterations="max_iter",
)
@with_fit_parameters(
    p0=(
        "where to start: a mapping from names of parameters to numbers, or (P,) in the order in which the\n"
        "text first names them (alphabetical for an expression). Parameters without a start begin at 1, or\n"
        "within their bounds. The linear function begins at the least-squares solution of least norm, so that\n"
        'undetermined parameters stay small. "auto": a start is looked for, from the scales of the data, as\n'
        "it is by default for a curve"
    ),
)
class FormulaRegressor(LeastSquaresRegressor):
    """A formula of the features, whose parameters are fitted by least squares (Levenberg and Marquardt).

    formula         a text such as "a*exp(-b*x) + c", which is never run as Python, a SymPy expression, or a curve of
                    nncodegen.curves. The features have the names of a DataFrame's columns; without these they are
                    x1, x2, ..., and a single one is x. All other names are parameters. It need not use every feature.
                    None is b0 + b1*x1 + b2*x2 + ..., a linear function of all features, whatever their names
    {options}
    ties            parameters that are formulas of others, {"b": "2*a"}: they have no start and no bounds, and are
                    among the fitted attributes, with errors by propagation
    precision       "float64" or "float32"
    bits            "native", or "portable": results do not depend on the CPU, the compiler or the operating system

    Fitted attributes, for P parameters:

    parameters_       {name: value}
    standard_errors_  {name: standard error}, infinite for parameters that the data do not determine
    covariance_       (P, P), in the same order
    n_iter_           the number of iterations, 1 if there were none
    result_           the result of the module's ``fit``, with everything about the fit: print it. It is not pickled
    formula_          the formula that was read: its expression, columns and parameters
    n_features_in_, feature_names_in_

    A fit that does not converge gives a ConvergenceWarning.
    """

    def __init__(
        self,
        formula: Any = None,
        *,
        ties: Mapping[Any, Any] | None = None,
        precision: str = "float64",
        bits: str = "native",
        **options: Unpack[FitParameters],
    ) -> None:
        self.formula = formula
        self.ties = ties
        self.precision = precision
        self.bits = bits
        take_parameters(self, options)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> FormulaRegressor:
        """Fit the formula to X (N, features) and y (N,).

        sample_weight is (N,), 1/sigma**2 with the standard deviations sigma of y; a row with the weight 0 is left out.
        Raises ModelError for a formula that cannot be read, ValueError for unsuitable data or arguments.
        """
        X, y = validated(self, X, y, multi_output=True, y_numeric=True, dtype=np.dtype(self.precision))
        y = column_or_1d(y, warn=True).astype(self.precision, copy=False)
        X, y, sigma = self._weighed(X, y, sample_weight)
        formula, places = self._read()
        refuse_two_values("p0", self.p0, self.fixed)
        bounds = limits_of(formula, self.bounds)
        start, n_starts = start_and_search(formula, self.p0, self.n_starts, bounds, "p0", self.precision, self.bits)
        if self.formula is None and self.p0 is None and not self.ties:
            start = np.clip(_linear(X, y, sigma, self.bits), *(bounds or (-np.inf, np.inf)))
        module = module_of(formula, self.precision, self.bits)
        result = self._search(module, X[:, places], y, start, sigma, bounds, n_starts)
        self.formula_, self._places = formula, places
        values, errors, covariance = result.parameters, result.standard_errors, result.covariance
        if formula.ties:
            values, covariance = result.derived.with_parameters(formula.every)
            errors = np.sqrt(covariance.diagonal())
        self._keep(result, formula.every, values, errors, covariance)
        return self

    def predict(self, X: Any) -> Any:
        """Return the value of the formula for each row of X (N, features): (N,)."""
        check_is_fitted(self)
        X = validated(self, X, dtype=np.dtype(self._precision), reset=False)
        module = module_of(self.formula_, self._precision, getattr(self, "_bits", NATIVE))
        return module.predict(self._values(), X[:, self._places])[:, 0]

    def exportable(self) -> Exportable:
        """Return the formula with its parameters, for ``nncodegen.export``. Its inputs are the features that it uses.

        They are in the order of the features; the texts of the inputs name them.
        """
        check_is_fitted(self)
        return Exportable(
            self.formula_.model("formula"),
            self._precision,
            self._values(),
            self.formula_.columns,
            ("prediction",),
            getattr(self, "_bits", NATIVE),
        )

    def _values(self) -> list[float]:
        """Return the parameters of the module, which are not tied, in their order."""
        return [self.parameters_[name] for name in self.formula_.parameters]

    def _read(self) -> tuple[Formula, list[int]]:
        """Return the formula, and the indices of the features that it uses."""
        count = self.n_features_in_
        if self.formula is None:
            names = [f"x{number}" for number in range(1, count + 1)]
            terms = " + ".join(f"b{number}*{name}" for number, name in enumerate(names, 1))
            return with_quantities(read_formula(f"b0 + {terms}", names), self.ties), list(range(count))
        names, start_names = list(getattr(self, "feature_names_in_", ())), named(self.p0, self.bounds, self.fixed)
        if not names:
            names = list(names_of_columns(self.formula, count, start_names))
        elif not set(names).intersection(names_of(self.formula, (*names, *start_names))):
            raise ValueError(
                f"the formula {self.formula} uses none of the features, so its parameters cannot be told from them; "
                f"the features are: {', '.join(names)}"
            )
        formula = with_quantities(read_formula(self.formula, names, start_names), self.ties)
        return formula, [names.index(name) for name in formula.columns]


def _linear(X: Any, y: Any, sigma: Any, bits: str) -> Any:
    """Return the parameters of least norm of a linear function fitted by least squares: (1 + features,)."""
    factor = np.ones(len(y)) if sigma is None else sigma.min() / sigma
    matrix = np.column_stack([np.ones(len(X)), X]) * factor[:, None]
    if bits == PORTABLE:
        rows = np.column_stack([matrix, -y * factor]).astype(float)
        triangle = IN_FIXED_ORDER.triangles(np.vstack([rows, np.zeros((rows.shape[1], rows.shape[1]))]))
        return solve(IN_FIXED_ORDER, triangle[:-1], np.finfo(matrix.dtype).eps * max(matrix.shape))
    return np.linalg.lstsq(matrix, y * factor, rcond=None)[0]

"""``curve_fit``: the interface of scipy.optimize.curve_fit for formulas that are compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr

from nncodegen.curve.formula import Formula, module_of, read_formula
from nncodegen.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Array = np.ndarray[Any, np.dtype[Any]]

VARIABLE = "x"
"""The name of the independent variable of a formula, where the data have no names."""


def curve_fit(
    formula: str | Expr,
    x: ArrayLike | Mapping[str, ArrayLike],
    y: ArrayLike,
    p0: ArrayLike | Mapping[str, float] | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    bounds: Any = None,
    **options: Any,
) -> tuple[Array, Array]:
    """Fits a formula to data by least squares: SciPy's ``curve_fit``, for a formula in place of a function.

    formula         a text such as "a*exp(-b*x) + c", which is never evaluated, or an expression of SymPy. The names
                    that are no data are the parameters, in the order in which the text first names them (an
                    expression: in that of the alphabet)
    x               the variable x of the formula, (N,); several variables x1, x2, ... (or x0, x1, ...) as an array
                    (k, N); or a mapping, such as a DataFrame, from the names in the formula to arrays (N,)
    y               the data, (N,)
    p0              where to start, (P,), or a mapping from names; by default 1 for each parameter
    sigma           the standard deviations of y, a number or (N,)
    absolute_sigma  whether these are known; else only their ratios count, and the covariance is scaled by the reduced
                    chi-square
    bounds          (lower, upper), each a number or (P,); or a mapping from names to pairs
    options         what else the compiled module's ``fit`` takes: robust, starts, tolerance, ...

    Returns (popt, pcov): the parameters, (P,), and their covariance, (P, P), as SciPy does. For all else that a fit
    tells, build the model and use its ``fit``. The module is compiled once for a formula. Raises ModelError for a
    formula that cannot be read, ValueError for data that do not fit to it, and RuntimeError where the fit fails.
    """
    names, columns = _columns(formula, x)
    read = read_formula(formula, names)
    module = module_of(read)
    data = [np.asarray(columns[name]) for name in read.columns]
    X = np.column_stack(data) if data else None
    result = module.fit(
        X, y, parameters=_start(read, p0), sigma=sigma, absolute_sigma=absolute_sigma, bounds=bounds, **options
    )
    if not result.converged:
        raise RuntimeError(f"the fit of {formula} failed: {result.message}")
    return result.parameters, result.covariance


def _columns(formula: str | Expr, x: Any) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """The names of the data, and the data by their names. Raises ValueError where these cannot be told."""
    if isinstance(x, Mapping) or hasattr(x, "columns"):
        return tuple(map(str, x.keys())), {str(name): x[name] for name in x.keys()}  # noqa: SIM118 (a DataFrame)
    array = np.asarray(x)
    if array.ndim == 1:
        return (VARIABLE,), {VARIABLE: array}
    if array.ndim != 2:
        raise ValueError(f"x has the shape {array.shape}; expected (N,), (k, N), or a mapping from names to (N,)")
    every = read_formula(formula, ()).parameters
    for first in (1, 0):
        names = tuple(f"{VARIABLE}{number}" for number in range(first, first + len(array)))
        if any(name in every for name in names) and f"{VARIABLE}{first + len(array)}" not in every:
            return names, dict(zip(names, array, strict=True))
    raise ValueError(
        f"x has {len(array)} rows, but the formula {formula} does not name them x1 to x{len(array)}: give a "
        f"mapping from names to arrays"
    )


def _start(formula: Formula, p0: Any) -> Any:
    """The start, (P,); None for the usual. Raises ModelError for names that are no parameters."""
    if not isinstance(p0, Mapping):
        return p0
    unknown = [name for name in p0 if str(name) not in formula.parameters]
    if unknown:
        raise ModelError(f"p0 names {unknown[0]}; the parameters are: {', '.join(formula.parameters)}")
    given = {str(name): value for name, value in p0.items()}
    return np.array([given.get(name, 1.0) for name in formula.parameters])

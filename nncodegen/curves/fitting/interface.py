"""``curve_fit``: the interface of scipy.optimize.curve_fit for formulas that are compiled."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nncodegen.compiler.describe.hints import shown
from nncodegen.compiler.emit.fit_parameters import OTHERS
from nncodegen.curves.fitting.formula import (
    Formula,
    Given,
    module_of,
    names_of,
    names_of_columns,
    quoted,
    read_formula,
    with_quantities,
)
from nncodegen.curves.fitting.full_output import full_output_of
from nncodegen.curves.fitting.missing import without_missing
from nncodegen.curves.fitting.start import limits_of, named, start_and_search
from nncodegen.runtime.python.arguments.tables import has_names, named_columns
from nncodegen.runtime.python.ground.markup import listed
from nncodegen.runtime.python.ground.names_elsewhere import advice
from nncodegen.runtime.python.ground.poles import warn_of_poles
from nncodegen.runtime.python.ground.renamed import known_as, renamed
from nncodegen.runtime.python.ground.warn import warn
from nncodegen.runtime.python.results.advice import not_told

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from nncodegen.runtime.module import FitOptions

    Array = np.ndarray[Any, np.dtype[Any]]


Function = TypeVar("Function", bound=Callable[..., Any])

SCIPY = {"f": "formula", "xdata": "x", "ydata": "y", "max_nfev": "maxfev"}
"""The names of arguments in SciPy's ``curve_fit``, and those here; both may be given."""

METHODS = (None, "lm", "trf", "dogbox")
"""SciPy's methods of least squares."""


def _with_options(function: Function) -> Function:
    """Return a function whose documentation names the options that it hands on."""
    if function.__doc__:  # with python -OO, there are no docstrings
        lines = textwrap.wrap(", ".join(OTHERS), 100)
        function.__doc__ = function.__doc__.replace("{options}", f"\n{' ' * 20}".join(lines))
    return function


@renamed("0.3.0", starts="n_starts", robust="loss", robust_scale="f_scale")
@known_as(**SCIPY)
@_with_options
def curve_fit(
    formula: Given,
    x: ArrayLike | Mapping[str, ArrayLike],
    y: ArrayLike,
    p0: ArrayLike | Mapping[str, float] | str | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    bounds: Any = None,
    full_output: bool = False,
    ties: Mapping[Any, Any] | None = None,
    *,
    method: str | None = None,
    maxfev: int | None = None,
    check_finite: bool | None = None,
    nan_policy: str | None = None,
    **options: Unpack[FitOptions],
) -> tuple[Array, Array] | tuple[Array, Array, dict[str, Any], str, int]:
    """Fit a formula to data by least squares: SciPy's ``curve_fit``, for a formula in place of a function.

    formula         a text such as "a*exp(-b*x) + c", which is never evaluated, an expression of SymPy, or a curve of
                    nncodegen.curves. Names that are not data are parameters, in the order in which the text first
                    names them (an expression: in alphabetical order)
    x               the variable x of the formula, (N,); several variables x1, x2, ... (or x0, x1, ...) as an array
                    (k, N); or a mapping, such as a DataFrame, from the names in the formula to arrays (N,); None where
                    the formula has no variable
    y               the data, (N,)
    p0              where to start, (P,), or a mapping from names; by default where SciPy starts: at 1, or within
                    bounds. "auto": a start is looked for, from the scales of the data; this is the default for a curve,
                    which computes a start from the data as well
    sigma           the standard deviations of y, a number or (N,)
    absolute_sigma  whether these are known; else only their ratios count, and the covariance is scaled by the reduced
                    chi-square
    bounds          (lower, upper), each a number or (P,); SciPy's Bounds; or a mapping from names to pairs. A curve has
                    bounds of its own, unless these are given
    ties            parameters that are formulas of others, {"b": "2*a"}: they have no start, and are among the results
                    in the order of the formula, with covariances by the propagation of errors
    full_output     whether to return the additional results of SciPy as well: see below
    method          "lm", "trf" or "dogbox", without effect: there is one method, which is Levenberg and Marquardt's
    maxfev          the most evaluations, max_iterations of ``fit``; 0 or None for the default
    check_finite    whether NaN and infinities in x or y are errors; by default NaN in y means that it is missing
    nan_policy      "raise": NaN in x or y is an error; "omit": these data are left out
    options         the other options of the compiled module's ``fit``, which describes them:
                    {options}

    The names of SciPy's arguments, f, xdata and ydata, can be given as well.

    Returns (popt, pcov): the parameters, (P,), and their covariance, (P, P), as SciPy does. With full_output it is
    (popt, pcov, infodict, mesg, ier): infodict has "nfev", the evaluations; "fvec", the residuals f(x) - y divided by
    sigma, (N,); and of the Jacobian of these, J[:, ipvt - 1] = Q R, "fjac", (P, N), whose first columns are the
    transpose of R, "ipvt", (P,), and "qtf", (P,), the first of Q' fvec; mesg says how the fit ended, and ier is 1, 2 or
    4 where cost, parameters or gradient ended it. For all other results of a fit, build the model and use its ``fit``.
    The module is compiled once for a formula. Where the data do not determine all parameters, pcov is infinite, and a
    RuntimeWarning says why. So does one where no test of convergence is met, but a fit that begins where the first
    ended hardly lowers the cost, as in a flat valley: by at most a twentieth of what it rises by at one standard error.
    Raises ModelError for a formula that cannot be read, ValueError for data that do not fit to it, and RuntimeError
    where the fit fails.
    """
    if options:
        _check_options(options)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; there are: 'lm', 'trf', 'dogbox', which all mean the same here")
    if maxfev:
        if options.get("max_iterations") is not None:
            raise TypeError("maxfev and max_iterations are the same argument: leave one of them out")
        options["max_iterations"] = maxfev
    _refuse_texts(formula, x, y)
    named_parameters = named(p0, bounds, options.get("fixed"))
    names, columns = _columns(formula, x, named_parameters)
    read = read_formula(formula, names, named_parameters)
    if ties:
        read = with_quantities(read, ties)
    if names and not read.columns and read.curve is None:
        raise ValueError(
            f"the formula {quoted(formula)} uses none of the data, so its parameters cannot be told from them; the "
            f"data are: {', '.join(names)}"
        )
    refuse_two_values("p0", p0, options.get("fixed"))
    limits = limits_of(read, bounds)
    with warnings.catch_warnings():  # the warning of a fit that did not converge, which is an error here
        warnings.simplefilter("ignore", RuntimeWarning)
        module = module_of(read)
        X, y, sigma = without_missing(_matrix(read, columns), y, sigma, check_finite, nan_policy)
        start, options["n_starts"] = start_and_search(read, p0, options.get("n_starts"), limits, "p0")
        result = module.fit(X, y, p0=start, sigma=sigma, absolute_sigma=absolute_sigma, bounds=limits, **options)
    if not result.converged:
        if not result.gains_nothing_from_its_end():
            raise RuntimeError(f"the fit of {quoted(formula)} failed: {result.message}")
        warn(
            f"the fit of {quoted(formula)} ended where another that begins there hardly lowers the cost, in a flat "
            f"valley or at a corner, so its standard errors tell little: {result.message}",
            RuntimeWarning,
        )
    if result.poles:
        warn_of_poles(quoted(formula), result.poles)
    popt, pcov = result.parameters, result.covariance
    if read.ties:
        popt, pcov = result.derived.with_parameters(read.every)
    if not np.isfinite(pcov).all():
        what = not_told(result.undetermined)
        if result.used < result.free_count:
            lost = listed(result.undetermined) or "all of them"
            what = f"{result.used} data for {result.free_count} parameters do not determine {lost}"
        elif result.degrees_of_freedom <= 0 and not result.undetermined:
            what = f"{result.used} data for {result.free_count} parameters leave nothing to tell errors from"
        warn(f"the covariance of the parameters of {quoted(formula)} is infinite: {what}", RuntimeWarning)
    if full_output:
        additional = full_output_of(result, module, X, y, sigma)
        return popt, pcov, *additional
    return popt, pcov


def refuse_two_values(role: str, start: Any, fixed: Any) -> None:
    """Raise ValueError for a parameter for which two mappings give different values, as its start and as fixed."""
    if not (isinstance(start, Mapping) and isinstance(fixed, Mapping)):
        return
    stay = {str(name): value for name, value in fixed.items()}
    for name, value in start.items():
        if str(name) in stay and stay[str(name)] != value:
            raise ValueError(f"{role} and fixed give different values of {name}: leave it out of {role}")


def _check_options(options: Collection[str]) -> None:
    """Raise TypeError, as Python does, for an option that neither ``curve_fit`` nor the ``fit`` of a module has."""
    known = _names_of_options()
    for name in options:
        if name not in known:
            alike = {option.lower(): option for option in known}
            near = get_close_matches(name.lower(), alike, 1)
            hint = f"did you mean {alike[near[0]]}?" if near else f"there are: {', '.join(known)}"
            raise TypeError(
                f"curve_fit() got an unexpected keyword argument {name!r}{advice('fit', name) or f'; {hint}'}"
            )


@cache
def _names_of_options() -> tuple[str, ...]:
    """Return the names of the arguments of ``curve_fit``, and of the options that it hands on to a module's ``fit``."""
    names = [name for name in signature(curve_fit).parameters if name != "options"]
    return tuple(dict.fromkeys((*names, *SCIPY, *OTHERS)))


def _refuse_texts(formula: Any, x: Any, y: Any) -> None:
    """Raise ValueError for a text where data are expected: it may be the formula, in another place."""
    for role, data, expected in (("x", x, "(N,), (k, N), or a mapping from names to (N,)"), ("y", y, "(N,)")):
        if isinstance(data, str):
            if not isinstance(formula, Given):
                raise ValueError(f"the formula and {role} are swapped: write curve_fit({shown(data)}, x, y)")
            raise ValueError(f"{role} is the text {shown(data)}; expected data, numbers of the shape {expected}")


def _columns(formula: Given, x: Any, parameter_names: Collection[str]) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Return the names of the data, and the data by their names. Raises ValueError where these are not clear."""
    if x is None:
        return (), {}
    if has_names(x):
        data = named_columns(x)
        names = _by_place(formula, x, {*data}, parameter_names)
        return names or tuple(data), dict(zip(names, data.values(), strict=True)) if names else data
    array = np.asarray(x)
    if array.ndim not in (1, 2):
        raise ValueError(f"x has the shape {array.shape}; expected (N,), (k, N), or a mapping from names to (N,)")
    rows = array if array.ndim == 2 else (array,)
    names = names_of_columns(formula, len(rows), parameter_names)
    return names, dict(zip(names, rows, strict=True))


def _by_place(formula: Given, x: Any, there: Collection[str], parameter_names: Collection[str]) -> tuple[str, ...]:
    """Return the formula's names of the columns of a table that has none of its names; none where they are not clear.

    The keys of a mapping have no order to go by.
    """
    if isinstance(x, Mapping) or not {*there}.isdisjoint(names_of(formula, (*there, *parameter_names))):
        return ()
    with suppress(ValueError):
        return names_of_columns(formula, len(there), parameter_names)
    return ()


def _matrix(formula: Formula, columns: Mapping[str, Any]) -> Any:
    """Return X, (N, inputs), or (N,) for one, of a formula's columns; None without any. Raises ValueError."""
    if not formula.columns:
        return None
    data = {name: np.asarray(columns[name]) for name in formula.columns}
    first = next(iter(data))
    for name, values in data.items():
        if values.ndim == 0:
            raise ValueError(f"{name} is {shown(str(values))}; expected data, numbers of the shape (N,)")
        if values.ndim != 1 or len(values) != len(data[first]):
            raise ValueError(f"{name} has the shape {values.shape}; expected ({len(data[first])},), as {first} has")
    return data[first] if len(data) == 1 else np.column_stack(list(data.values()))

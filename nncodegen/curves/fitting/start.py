"""Bounds of parameters by name or in their order, and the default start of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from nncodegen.compiler.ir.program import NATIVE
from nncodegen.curves.fitting.formula import Formula, module_of
from nncodegen.errors import ModelError
from nncodegen.runtime.python.arguments.arguments import to_array, to_finite
from nncodegen.runtime.python.arguments.parameters_by_name import put
from nncodegen.runtime.python.fitting.fit import AUTO
from nncodegen.runtime.python.ground.same_bits import refuse

Array = np.ndarray[Any, np.dtype[Any]]
Bounds = tuple[Array, Array]
"""The lower and the upper bounds of all parameters, (P,) each; infinite where a parameter has none."""


def read_bounds(names: tuple[str, ...], bounds: Any) -> Bounds | None:
    """Return the bounds of the named parameters from the user's argument; None without any.

    bounds is a pair (lower, upper), each a number or (P,), with None for an open end; SciPy's Bounds; or a mapping from
    names to pairs of numbers. Raises ValueError for anything else.
    """
    if bounds is None:
        return None
    if isinstance(bounds, Mapping):
        bound_pairs = {str(name): _pair(pair, f"the bounds of {name}") for name, pair in bounds.items()}
        check_names(names, bound_pairs, "bounds")
        pairs = [bound_pairs.get(name, (None, None)) for name in names]
        lower, upper = [low for low, _ in pairs], [high for _, high in pairs]
        return _numbers(names, lower, "lower", -np.inf), _numbers(names, upper, "upper", np.inf)
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):  # scipy.optimize.Bounds
        bounds = bounds.lb, bounds.ub
    low, high = _pair(bounds, "bounds")
    return _numbers(names, low, "lower", -np.inf), _numbers(names, high, "upper", np.inf)


def limits_of(formula: Formula, bounds: Any) -> Any:
    """Return the bounds of a formula's parameters as ``fit`` takes them; None without any.

    The module of a curve knows its bounds: a mapping leaves those that it does not name.
    """
    if formula.curve is None or not isinstance(bounds, Mapping):
        return read_bounds(formula.parameters, bounds)
    pairs = {str(name): _pair(pair, f"the bounds of {name}") for name, pair in bounds.items()}
    check_names(formula.parameters, pairs, "bounds")
    return pairs


def start_and_search(
    formula: Formula, start: Any, n_starts: Any, bounds: Any, role: str, precision: str = "float64", bits: str = NATIVE
) -> tuple[Any, Any]:
    """Return the start and n_starts as ``fit`` takes them, from those of the user: a curve finds its start in data.

    The start "auto", and a curve of which nothing is given, have starting points that are looked for. Raises ValueError
    for another text.
    """
    if isinstance(start, str):
        if start != AUTO:
            raise ValueError(f"{role} is {start!r}; expected numbers, or {AUTO!r}")
        if n_starts not in (None, AUTO):
            raise ValueError(f"{role}={AUTO!r} looks for starting points itself: leave out n_starts")
        start, n_starts = None, AUTO
    if formula.curve is None or not (start is None or isinstance(start, Mapping)):
        return read_start(formula, start, bounds, role, precision, bits), n_starts
    module: Any = module_of(formula, precision, bits)
    model = module._model
    refuse(model.facts, f"the start that a curve finds in data (give {role} as an array)")
    if start is None:
        return None, AUTO if n_starts is None else n_starts
    put(model, role, start, model.constants)  # with the name of the argument, if it is wrong
    return start, n_starts


def read_start(
    formula: Formula, start: Any, bounds: Bounds | None, role: str, precision: str = "float64", bits: str = NATIVE
) -> Array:
    """Return the start, (P,), from an array (P,), a mapping from names to numbers, or None; ``role`` is its name.

    A parameter that is not given starts at 1 without bounds, at the middle of two bounds, and 1 away from a single one,
    as in SciPy's ``curve_fit``. If, with all parameters at 1, all derivatives of the formula are 0 or not finite, no
    step would lead away. Then the parameters start at different numbers, from 1.5 down to 1, so that differences are
    above 0 as they are usually written: ka - ke in d*ka/(ka - ke)*(exp(-ke*x) - exp(-ka*x)). Raises ValueError.
    """
    module: Any = module_of(formula, precision, bits)
    model = module._model
    if start is None or isinstance(start, Mapping):
        usual = np.array(_first_guess(formula, precision, bits)) if bounds is None else _within(*bounds)
        return usual if start is None else put(model, role, start, usual)
    names = formula.parameters
    expected = f"expected ({len(names)},), for {', '.join(names)}"
    array = to_array(model, role, start, expected)
    if array.shape != (len(names),):
        raise ValueError(f"{role} has the shape {array.shape}; {expected}")
    return to_finite(model, role, array, expected)


@lru_cache(maxsize=256)
def _first_guess(formula: Formula, precision: str, bits: str) -> tuple[float, ...]:
    """Return a start for each parameter: 1, unless all derivatives are 0 or not finite if all are 1."""
    count = len(formula.parameters)
    ones = np.ones(count)
    X = np.random.default_rng(0).lognormal(size=(16, len(formula.columns))) if formula.columns else None
    slopes = module_of(formula, precision, bits).jacobian(ones, X)
    tied = not np.nan_to_num(slopes, posinf=0.0, neginf=0.0).any()
    return tuple(ones + np.arange(count)[::-1] / (2 * count)) if tied else tuple(ones)


def named(*mappings: Any) -> tuple[str, ...]:
    """Return the names of parameters in starts and bounds that are mappings."""
    return tuple(dict.fromkeys(str(name) for each in mappings if isinstance(each, Mapping) for name in each))


def check_names(names: tuple[str, ...], values: Mapping[str, Any], role: str) -> None:
    """Raise ModelError for the first name that is no parameter."""
    unknown = next((name for name in values if name not in names), None)
    if unknown is not None:
        raise ModelError(f"{role} names {unknown}, which is no parameter; there are: {', '.join(names)}")


def _within(low: Array, high: Array) -> Array:
    """Return a point within bounds, (P,)."""
    with np.errstate(invalid="ignore"):  # infinities of both signs, whose sum is not used
        middle = low / 2 + high / 2
    below, above = np.isfinite(low), np.isfinite(high)
    return np.select([below & above, below, above], [middle, low + 1, high - 1], 1.0)


def _pair(pair: Any, role: str) -> tuple[Any, Any]:
    if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(f"{role} must be a pair (lower, upper), with None for an open end, not {pair!r}")
    return pair[0], pair[1]


def _numbers(names: tuple[str, ...], values: Any, side: str, none: float) -> Array:
    """Return the bounds on one side, (P,), from an array or one number for all; ``none`` stands for no bound."""
    expected = f"the {side} bounds must be a number or ({len(names)},), for {', '.join(names)}"
    if np.ndim(values):
        values = [none if value is None else value for value in values]
    try:
        array = np.asarray(none if values is None else values, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected}, not {values!r}") from error
    if array.shape not in ((), (1,), (len(names),)):
        raise ValueError(f"{expected}, not {array.shape}")
    return np.broadcast_to(array, (len(names),)).copy()

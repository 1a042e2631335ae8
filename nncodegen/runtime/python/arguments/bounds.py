"""Bounds of parameters, and fixed parameters, as arguments of fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import flat_names, name_of
from ..ground.warn import warn
from .arguments import for_c, to_array
from .parameters_by_name import place_of

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

Bounds = tuple["Array", "Array"]
"""The lower and the upper bounds of all parameters, (P,) each; infinite for an open end."""


def limits_of(model: Model, bounds: Any, *starts: Any) -> Bounds | None:
    """Return the bounds of a fit: those given, and those of the model's curves for other parameters; None without any.

    A pair (lower, upper) replaces all bounds of the curves, a mapping those of the parameters that it names. ``starts``
    are arguments that give values, arrays or mappings: where such a value is outside of the bounds of a curve, these do
    not hold, after a warning.
    """
    limits = check_bounds(model, bounds)
    if limits is None or not model.facts.fitting.curves or (bounds is not None and not isinstance(bounds, Mapping)):
        return limits
    has_curve_bounds = np.ones(model.parameter_count, bool)
    for key in bounds or ():
        has_curve_bounds[place_of(model, "bounds", key)] = False
    low, high = limits[0].copy(), limits[1].copy()
    for p, value in _values_in(model, starts):
        if has_curve_bounds[p] and not low[p] <= value <= high[p]:
            bound, side = (low, "below") if value < low[p] else (high, "above")
            warn(
                f"{flat_names(model.facts.parameters)[p]} begins at {value:g}, {side} the bound {bound[p]:g} of its "
                f"curve, so it has no bounds in this fit; give bounds to choose others",
                UserWarning,
            )
            low[p], high[p] = -np.inf, np.inf
    return (low, high) if np.isfinite(low).any() or np.isfinite(high).any() else None


def _values_in(model: Model, starts: tuple[Any, ...]) -> Iterator[tuple[int, float]]:
    """Yield the index of each parameter that arguments give, with each of its values; others say what is wrong."""
    for start in starts:
        with suppress(TypeError, ValueError):
            if isinstance(start, Mapping):
                for key, values in start.items():
                    place = place_of(model, "p0", key).start
                    each = list(values.values()) if isinstance(values, Mapping) else values
                    yield from ((place, float(value)) for value in np.unique(np.asarray(each, float)))
            elif start is not None and not isinstance(start, str):
                array = np.asarray(start, float)
                if array.ndim and array.shape[-1] == model.parameter_count:
                    for p, column in enumerate(array.reshape(-1, model.parameter_count).T):
                        yield from ((p, float(value)) for value in np.unique(column))


def check_bounds(model: Model, bounds: Any) -> Bounds | None:
    """Return the bounds from a pair (lower, upper) or a mapping from names to pairs; None if no parameter has one.

    Parameters that a mapping does not name have the bounds of their curves, and so have all without any bounds.
    """
    if bounds is None and not model.facts.fitting.curves:
        return None
    low, high = _of_names(model, bounds or {}) if isinstance(bounds, Mapping | None) else _of_pair(model, bounds)
    ordered = low < high
    if not ordered.all():
        p = int(np.argmin(ordered))
        raise ValueError(
            f"bounds of {flat_names(model.facts.parameters)[p]} are crossed: the lower, {low[p]:g}, is not below the "
            f"upper, {high[p]:g}; a parameter that is to stay as it is belongs into fixed"
        )
    return (low, high) if np.isfinite(low).any() or np.isfinite(high).any() else None


def check_within(model: Model, starts: Array, bounds: Bounds | None) -> None:
    """Raise ValueError if starting parameters, (P,) or (M, P), are outside of their bounds."""
    if bounds is None or ((starts >= bounds[0]) & (starts <= bounds[1])).all():
        return
    for bound, outside, side in zip(bounds, (starts < bounds[0], starts > bounds[1]), ("below", "above"), strict=True):
        if outside.any():
            *fit, p = np.argwhere(outside)[0]
            name, place = flat_names(model.facts.parameters)[p], f" of fit {fit[0]}" if fit else ""
            edge = "lower" if side == "below" else "upper"
            raise ValueError(
                f"the start{place} is outside of the bounds: {name} is {starts[(*fit, p)]:g}, {side} its {edge} bound "
                f"{bound[p]:g}; give parameters within the bounds"
            )


def check_fixed(model: Model, fixed: Any) -> Array:
    """Return whether each parameter is fixed, (P,), from names or indices, or a mapping from these to values."""
    is_fixed = np.zeros(model.parameter_count, bool)
    if isinstance(fixed, str) or not isinstance(fixed, Iterable):
        fixed = (fixed,)
    for key in fixed:
        is_fixed[place_of(model, "fixed", key)] = True
    return is_fixed


def given_in(model: Model, p0: Any, fixed: Any) -> Array:
    """Return which parameters have values that a start or fixed values give, (P,)."""
    if p0 is not None and not isinstance(p0, Mapping | str):
        return np.ones(model.parameter_count, bool)
    has_value = np.zeros(model.parameter_count, bool)
    for values in (p0, fixed):
        if isinstance(values, Mapping):
            has_value |= check_fixed(model, values)
    return has_value


def _of_names(model: Model, bounds: Mapping[Any, Any]) -> Bounds:
    """Return the bounds from a mapping, or of curves; a key names all values of a parameter, or one."""
    low = np.full(model.parameter_count, -np.inf, model.dtype)
    high = -low
    for term in model.facts.fitting.curves:
        for parameter in term.parameters:
            if parameter.name in model.places:
                low[model.places[parameter.name]], high[model.places[parameter.name]] = parameter.low, parameter.high
    for key, pair in bounds.items():
        place, name = place_of(model, "bounds", key), name_of(key)
        pair = _pair(pair, f"bounds of {name}")
        for side, value, which, end in ((low, pair[0], "lower", -np.inf), (high, pair[1], "upper", np.inf)):
            ends = np.full(side[place].shape, end, model.dtype)
            side[place] = _numbers(model, f"the {which} bound of {name}", value, ends)
    return low, high


def _of_pair(model: Model, bounds: Any) -> Bounds:
    """Return the bounds of all parameters, given in their order or as one number for all."""
    lower, upper = _pair(bounds, "bounds")
    high = np.full(model.parameter_count, np.inf, model.dtype)
    return _numbers(model, "the lower bound", lower, -high), _numbers(model, "the upper bound", upper, high)


def _pair(pair: Any, name: str) -> Any:
    """Check a pair (lower, upper); None is an open end."""
    if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(f"{name} must be a pair (lower, upper), with None for an open end, not {pair!r}")
    return pair


def _numbers(model: Model, name: str, values: Any, ends: Array) -> Array:
    """Broadcast a scalar or a sequence to the length of ``ends``, which has what None stands for."""
    count = len(ends)
    expected = f"expected a number, or ({count},)"
    if values is None:
        return ends
    if isinstance(values, list | tuple) and len(values) == count:
        values = [end if value is None else value for value, end in zip(values, ends, strict=True)]
    array = to_array(model, name, values, expected)
    if array.shape not in ((), (count,)):
        raise ValueError(f"{name} has the shape {array.shape}; {expected}")
    if np.isnan(array).any():
        raise ValueError(f"{name} is NaN; {expected}, infinite for an open end")
    if array.shape == (count,):
        return for_c(model, array)
    with np.errstate(over="ignore"):
        return np.full(count, array, model.dtype)

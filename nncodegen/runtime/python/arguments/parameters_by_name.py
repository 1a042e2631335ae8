"""Parameters by name in arguments: their positions in the array, and values that are given by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import name_of
from .arguments import to_array, to_finite
from .scalars import integer

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


def place_of(model: Model, argument: str, key: Any) -> slice:
    """Return the slice of the values that a name, a symbol or the index of a value selects. Raises ValueError."""
    name = name_of(key)
    if not isinstance(name, str):
        number = integer(f"the number of a parameter in {argument}", name, 0, model.parameter_count - 1)
        return slice(number, number + 1)
    places = model.places
    if name not in places:
        names = list(places)
        listed = ", ".join(names if len(names) <= 12 else [*names[:10], "..."])
        raise ValueError(f"{argument} names {name!r}, which is no parameter; there are: {listed}")
    return places[name]


def put(model: Model, argument: str, replacements: Mapping[Any, Any], values: Array, many: bool = False) -> Array:
    """Return a copy of parameters, (P,) or (M, P), with those replaced that a mapping names.

    A parameter is given as a number, or as an array of its shape. With ``many``, an array may have a first axis of
    length M, one entry for each of M fits; then the result is (M, P). Raises ValueError.
    """
    replaced, counts = values, {argument: len(values)} if values.ndim == 2 else {}
    places = []
    for key, value in replacements.items():
        place = place_of(model, argument, key)
        size, role = place.stop - place.start, f"{argument}[{name_of(key)!r}]"
        expected = f"expected a number{'' if size == 1 else f', or {size}'}{', or one for each fit' * many}"
        array = to_finite(model, role, to_array(model, role, value, expected), expected)
        if many and array.ndim and array.size not in (1, size):
            array = array.reshape(len(array), -1)
            counts[role] = len(array)
        elif array.ndim:
            array = array.reshape(-1)
        if array.ndim and array.shape[-1] not in (1, size):
            raise ValueError(f"{role} has the shape {np.shape(value)}; {expected}")
        places.append((place, array))
    check_counts(counts)
    if counts and values.ndim == 1:
        replaced = np.broadcast_to(values, (next(iter(counts.values())), len(values)))
    replaced = replaced.copy()
    for place, array in places:
        replaced[..., place] = array
    return replaced


def check_counts(counts: Mapping[str, int]) -> None:
    """Raise ValueError if arguments, given as {name: number of fits}, are for different numbers of fits."""
    if len(set(counts.values())) > 1:
        (first, count), *others = counts.items()
        name, other = next(each for each in others if each[1] != count)
        raise ValueError(f"{first} is for {count} fits, but {name} for {other}: the numbers must be equal")

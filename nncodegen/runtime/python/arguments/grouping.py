"""The groups of the samples of a fit: labels of any kind, and the order of the samples by them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .parameters_by_name import place_of
from .tables import only_column

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model


MISSING = ("nan", "<NA>", "NaT")
"""Missing labels as texts: NaN, and those of pandas. A label that is such a text is not missing."""


class Grouping(NamedTuple):
    """Samples in groups.

    labels   the labels of the G groups, in the order in which they first occur
    numbers  (N,), the number of the group of each sample
    order    (N,), the samples sorted by groups, in which they keep their order
    begins   (G + 1,), the place of the first of each group in that order, and N (uintp)
    """

    labels: list[Any]
    numbers: Array
    order: Array
    begins: Array


def grouping_of(groups: Any, samples: int) -> Grouping:
    """Return the groups that labels, one for each sample, make. Raises ValueError, with the row of a missing label."""
    labels, numbers = _factored(groups, samples, "groups")
    return Grouping(labels, numbers, np.argsort(numbers, kind="stable"), begins_of(numbers, len(labels)))


def begins_of(numbers: Array, groups: int) -> Array:
    """Return where each group begins among samples sorted by groups, and the number of samples, (G + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=groups))]).astype(np.uintp)


def places_in(labels: Sequence[Any], groups: Any, samples: int) -> Array:
    """Return the number of the group of each sample, (N,); one label may stand for all. Raises ValueError."""
    groups = only_column(groups)
    if isinstance(groups, str | tuple) or not hasattr(groups, "__len__"):
        groups = [groups] * samples
    known = {label: place for place, label in enumerate(labels)}
    different, numbers = _factored(groups, samples, "groups")
    for label in different:
        if label not in known:
            shown = ", ".join(map(repr, labels[:10])) + ", ..." * (len(labels) > 10)
            row = int(np.argmax(numbers == different.index(label)))
            raise ValueError(f"groups[{row}] is {label!r}, which the fit had not; there are: {shown}")
    return np.array([known[label] for label in different], np.intp)[numbers]


def own_of(model: Model, own_names: Any) -> tuple[int, ...]:
    """Return the indices of the parameters that each group has for itself, in their order. Raises ValueError."""
    if isinstance(own_names, Mapping):
        raise ValueError(
            "own names the parameters that each group has for itself, such as own=('a', 'b'); groups within groups, "
            "with parameters for each of several levels, are not fitted"
        )
    own_names = own_names if own_names is not None else model.facts.fitting.own or None
    if own_names is None:
        raise ValueError("groups needs own: the names of the parameters that each group has for itself")
    names = [own_names] if isinstance(own_names, str) or not hasattr(own_names, "__iter__") else list(own_names)
    places = {p for name in names for p in range(*place_of(model, "own", name).indices(model.parameter_count))}
    if not places:
        raise ValueError("own names no parameter: without one, groups have no effect")
    return tuple(sorted(places))


def _factored(groups: Any, samples: int, name: str) -> tuple[list[Any], Array]:
    """Return different labels in the order in which they first occur, and the place of each sample's among them."""
    expected = f"expected a label for each of the {samples} samples"
    groups = only_column(groups)
    if isinstance(groups, str | bytes | Mapping) or not hasattr(groups, "__len__"):
        raise ValueError(f"{name} is {type(groups).__name__}; {expected}")
    is_list = isinstance(groups, list | tuple)
    array = None if is_list else np.asarray(groups)
    if array is not None and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array is not None and array.ndim != 1:
        raise ValueError(
            f"{name} has the shape {array.shape}; {expected}. Groups within groups are not fitted: one label tells the "
            f"group of a sample, such as a tuple of several columns"
        )
    if len(groups) != samples:
        raise ValueError(f"{name} has {len(groups)} labels; {expected}")
    if array is None or array.dtype.kind == "O":
        return _by_hand(groups if array is None else array.tolist(), name, expected)
    wrong = np.isnat(array) if array.dtype.kind in "mM" else np.isnan(array) if array.dtype.kind == "f" else None
    if wrong is not None and wrong.any():
        raise ValueError(f"{name}[{int(np.argmax(wrong))}] is missing; {expected}")
    values, first, numbers = np.unique(array, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    return values[order].tolist(), rank[numbers.reshape(-1)]


def _by_hand(groups: Sequence[Any], name: str, expected: str) -> tuple[list[Any], Array]:
    """Return the same for Python objects, which need not have an order."""
    known: dict[Any, int] = {}
    numbers = np.empty(len(groups), np.intp)
    for row, label in enumerate(groups):
        if label is None or (not isinstance(label, str) and str(label) in MISSING):
            raise ValueError(f"{name}[{row}] is missing; {expected}")
        if not isinstance(label, Hashable) or isinstance(label, np.ndarray):
            raise ValueError(f"{name}[{row}] is {label!r}, which is no label; {expected}")
        numbers[row] = known.setdefault(label, len(known))
    return list(known), numbers

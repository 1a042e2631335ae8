"""Tables and mappings as arguments: their columns are found by the names of inputs and targets.

A table is a DataFrame of pandas or polars, a Table or RecordBatch of pyarrow, a structured array of NumPy, or what
offers the same: it is recognised by its attributes, since a module needs NumPy alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..ground.facts import columns, name_of
from ..ground.markup import listed
from ..ground.warn import warn

if TYPE_CHECKING:
    from ..native.model import Model

Tensors = tuple[tuple[str, int], ...]
"""Names with numbers of values."""

OF_INPUTS = ("X", "sigma_x")
"""The arguments whose columns are those of inputs; the columns of others are those of targets."""


class Columns(Mapping[Any, Any]):
    """The columns of a table by their names, in order. A name that several columns have is refused where it is used."""

    def __init__(self, table: Any, names: Iterable[Any]) -> None:
        self._table = table
        self._counts = Counter(names)

    def __getitem__(self, name: Any) -> Any:
        """Return a column. Raises KeyError, and ValueError for the name of several columns."""
        count = self._counts[name]
        if not count:
            raise KeyError(name)
        if count > 1:
            raise ValueError(f"{count} columns have the name {name!r}: give each a name of its own")
        return self._table[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._counts)

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def is_structured(self) -> bool:
        """Return whether this is a structured array of NumPy, which version 0.1 did not take."""
        return isinstance(self._table, np.ndarray)

    def matrix(self) -> Any:
        """Return all columns side by side, (N, columns)."""
        if self.is_structured:
            from numpy.lib.recfunctions import structured_to_unstructured  # noqa: PLC0415 (slow, and rarely needed)

            return structured_to_unstructured(self._table)
        if isinstance(self._table, Mapping):
            return np.column_stack([*self._table.values()])
        return np.asarray(self._table)


class Found(NamedTuple):
    """The values of some tensors in a table or a mapping.

    parts      the values of each tensor, (N,) or (N, size), in the order of the tensors
    reordered  the names of all columns, where version 0.1 took them by their places, and these were others
    """

    parts: dict[str, Any]
    reordered: tuple[str, ...] = ()


def columns_of(values: Any) -> Columns | None:
    """Return the columns of a table by name; None for anything else."""
    if isinstance(values, Columns):
        return values
    if isinstance(values, np.ndarray):
        names: Any = values.dtype.names if values.ndim == 1 else None
        return None if names is None else Columns(values, names)
    if isinstance(values, list | tuple | str | Mapping) or not hasattr(type(values), "__len__"):
        return None
    names = getattr(values, "column_names", None)  # pyarrow, whose ``columns`` are the arrays
    names = getattr(values, "columns", None) if names is None else names
    return None if names is None or callable(names) else Columns(values, names)


def has_names(values: Any) -> bool:
    """Return whether values are a mapping or a table, whose columns have names."""
    return isinstance(values, Mapping) or columns_of(values) is not None


def only_column(values: Any) -> Any:
    """Return the column of a table that has one; anything else unchanged."""
    table = columns_of(values)
    return values if table is None or len(table) != 1 else table[next(iter(table))]


def named_columns(values: Any) -> dict[str, Any]:
    """Return the columns of a table, or the values of a mapping, by their names as texts."""
    table = columns_of(values)
    mapping: Mapping[Any, Any] = values if table is None else table
    return {str(name_of(key)): mapping[key] for key in mapping}


def find(role: str, values: Any, tensors: Tensors, alternatives: Tensors = (), labelled: Collection[str] = ()) -> Any:
    """Return what a mapping or a table holds of tensors, ``Found``; a table without their names as a matrix.

    A tensor is found by its name, or value by value: "t[0]", "t[1]". Further keys are ignored. In a table, the name of
    a tensor of several values counts only where the column holds that number in each row, or, for one of ``labelled``,
    classes. ``alternatives`` are tensors of the same sizes, whose names are accepted as well. ``role`` is the name of
    the argument in errors. Anything else is returned unchanged. Raises ValueError for a mapping or a table that lacks
    some of the values.
    """
    table = columns_of(values)
    mapping = values if table is None else table
    if not isinstance(mapping, Mapping):
        return values
    keys = {name_of(key): key for key in mapping}
    first = None
    for choice in (tensors, alternatives):
        sought = _Sought(keys, mapping, choice, labelled, by_value_alone=table is not None)
        if choice and not sought.missing:
            reordered = () if table is None or table.is_structured else sought.reordered()
            return Found(sought.parts(role), reordered)
        first = first or (sought if sought.places else None)
    if first is None and table is not None:
        return table.matrix()
    what = "array" if table is None else "column"
    missing = first.missing if first else [tensor for tensor, _ in tensors]
    raise ValueError(
        f"{role} has no {what} {listed(missing)}; it has {listed([*map(str, keys)]) or 'nothing'}; expected one for "
        f"each of {listed([name for name, _ in tensors] if table is None else columns(tensors))}"
    )


def named_parts(model: Model, name: str, values: Any) -> Any:
    """Return a mapping or a table of inputs or targets, by the name of the argument, as {key: values} in their order.

    A table without any of their names is returned as a matrix, and anything else unchanged. Raises ValueError for
    values that are missing.
    """
    facts = model.facts
    tensors, others = (
        (facts.samples.inputs, ()) if name in OF_INPUTS else (facts.samples.targets, facts.samples.outputs)
    )
    if len(others) != len(tensors):
        others = ()
    labelled = (
        tuple(tensor for tensor, _ in (*tensors, *others)) if facts.samples.labels else facts.samples.label_targets
    )
    values_by_name = find(name, values, tensors, others, labelled if name == "Y" else ())
    if not isinstance(values_by_name, Found):
        return values_by_name
    if values_by_name.reordered and not model.has_told_of_order:
        warn_of_order(name, values_by_name.reordered, tensors)
        model.has_told_of_order = True
    return values_by_name.parts


def of_only_target(model: Model, Y: Any) -> Any:
    """Return what a mapping or a table holds of the target of a model that has one, such as labels; else Y."""
    if len(model.facts.samples.targets) != 1 or not has_names(Y):
        return Y
    parts = named_parts(model, "Y", Y)
    return next(iter(parts.values())) if isinstance(parts, dict) else parts


class _Sought:
    """The search for tensors among the keys of a mapping: where each is, and the names that are missing."""

    def __init__(
        self,
        keys: dict[Any, Any],
        mapping: Mapping[Any, Any],
        tensors: Tensors,
        labelled: Collection[str],
        by_value_alone: bool,
    ) -> None:
        self.keys, self.given = keys, mapping
        self.places: dict[str, list[str]] = {}
        """The keys of each tensor that is there, at least in part."""
        self.missing: list[str] = []
        for tensor, size in tensors:
            whole = tensor in keys and (
                size == 1 or not by_value_alone or tensor in labelled or np.ndim(mapping[keys[tensor]]) > 1
            )
            names = (tensor,) if whole else columns(((tensor, size),))
            if size == 1 and not whole and f"{tensor}[0]" in keys:
                names = (f"{tensor}[0]",)
            there = [name for name in names if name in keys]
            if there:
                self.places[tensor] = there
            if by_value_alone or there:
                self.missing += [name for name in names if name not in keys]
            else:
                self.missing.append(tensor)

    def parts(self, role: str) -> dict[str, Any]:
        """Return the values of each tensor. Raises ValueError where its columns are not equally long vectors."""
        parts = {}
        for tensor, names in self.places.items():
            if isinstance(self.given, Columns) and names == [*self.given] and len(self.given) == len(names) > 1:
                parts[tensor] = self.given.matrix()  # column by column would take long for many
                continue
            values = [self.given[self.keys[name]] for name in names]
            if len(names) == 1:
                parts[tensor] = values[0]
                continue
            arrays = [np.asarray(column) for column in values]
            for name, array in zip(names, arrays, strict=True):
                if array.ndim != 1 or len(array) != len(arrays[0]):
                    raise ValueError(
                        f"{role}[{name!r}] has the shape {array.shape}; expected (samples,), as the others have"
                    )
            # texts and missing values stay what they are, for messages to tell them
            exact = [array if array.dtype.kind in "biuf" else array.astype(object) for array in arrays]
            parts[tensor] = np.column_stack(exact)
        return parts

    def reordered(self) -> tuple[str, ...]:
        """Return the names of all columns if they are those of the tensors in another order; else none."""
        wanted = [name for names in self.places.values() for name in names]
        there = list(self.keys)
        return tuple(there) if there != wanted and sorted(map(str, there)) == sorted(wanted) else ()


def warn_of_order(role: str, there: Collection[str], tensors: Tensors) -> None:
    """Warn that columns are taken by name, where version 0.1 took them in another order."""
    warn(
        f"the columns of {role} ({listed([*map(str, there)])}) are taken by their names; version 0.1 took them by "
        f"their places, as {listed(columns(tensors))}",
        UserWarning,
    )

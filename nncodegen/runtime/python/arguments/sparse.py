"""Sparse inputs: SciPy's sparse matrices in the form that C takes. C expands them to full rows, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

VALUES_AT_ONCE = 2**20
"""The number of values expanded to full rows at once, where C takes full rows only."""

TILES = 64
"""The number of rows expanded at once is a multiple of this."""


class Sparse:
    """A sparse matrix by rows; values that are not stored are 0.

    values   (stored values,), in the precision of the model, all finite
    starts   (rows + 1,), the index of the first stored value of each row
    columns  (stored values,), the column of each; a column occurs at most once in a row
    width    the number of columns
    """

    __slots__ = ("columns", "starts", "values", "width")

    def __init__(self, values: Array, starts: Array, columns: Array, width: int) -> None:
        self.values, self.starts, self.columns, self.width = values, starts, columns, width

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: Array) -> Sparse:
        """Return some of the rows, given by their indices."""
        begins = self.starts[rows].astype(np.intp)
        counts = self.starts[rows + 1].astype(np.intp) - begins
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begins - ends + counts, counts)
        starts = np.concatenate([[0], ends]).astype(np.uintp)
        return Sparse(self.values[places], starts, self.columns[places], self.width)

    def whole(self, first: int, last: int) -> Array:
        """Return the rows first <= n < last as a full array, (rows, width)."""
        begin, end = int(self.starts[first]), int(self.starts[last])
        starts = self.starts[first : last + 1].astype(np.intp)
        counts = starts[1:] - starts[:-1]
        rows = np.zeros((last - first, self.width), self.values.dtype)
        rows[np.repeat(np.arange(last - first), counts), self.columns[begin:end]] = self.values[begin:end]
        return rows

    def parts(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield the ranges (begin, end) of the rows from first to last, in parts small enough to expand at once."""
        last = len(self) if last is None else last
        step = max(1, VALUES_AT_ONCE // (self.width * TILES)) * TILES
        for begin in range(first, last, step):
            yield begin, min(begin + step, last)


def is_sparse(values: Any) -> bool:
    """Return whether values are a sparse matrix or array of SciPy, or of a library that converts to one."""
    return hasattr(values, "tocsr")


def read_sparse(model: Model, name: str, sparse_matrix: Any, width: int, expected: str) -> Sparse:
    """Return the rows of a sparse matrix of any kind. Raises ValueError for a matrix that C cannot take."""
    if len(sparse_matrix.shape) != 2 or sparse_matrix.shape[1] != width:
        raise ValueError(f"{name} has the shape {tuple(sparse_matrix.shape)}; {expected}")
    if not sparse_matrix.shape[0]:
        raise ValueError(f"{name} is empty; {expected}, and at least one sample")
    if np.dtype(sparse_matrix.dtype).kind not in "biuf":
        raise ValueError(
            f"{name} holds values of the type {sparse_matrix.dtype}, which are no real numbers; {expected}"
        )
    matrix = sparse_matrix.tocsr()
    _check_places(name, matrix, width)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    count = int(matrix.indptr[-1])
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(matrix.data[:count], model.dtype)
    first = model.native.first_not_finite(values, count)
    if first < count:
        value, row = matrix.data[first], np.searchsorted(matrix.indptr, first, "right") - 1
        reason = f", which is too large for {model.precision}" if np.isfinite(value) else ""
        raise ValueError(f"{name}[{row}, {matrix.indices[first]}] is {value}{reason}; {expected}, all finite")
    columns = np.ascontiguousarray(matrix.indices[:count], np.uint32)
    return Sparse(values, np.ascontiguousarray(matrix.indptr, np.uintp), columns, width)


def _check_places(name: str, matrix: Any, width: int) -> None:
    """Raise ValueError for indices outside of the matrix, which C would not notice."""
    starts, columns = np.asarray(matrix.indptr), np.asarray(matrix.indices)
    sound = len(starts) == matrix.shape[0] + 1 and starts[0] == 0 and (starts[1:] >= starts[:-1]).all()
    sound = sound and starts[-1] <= min(len(columns), len(matrix.data))
    if not sound or (columns[: starts[-1]] < 0).any() or (columns[: starts[-1]] >= width).any():
        raise ValueError(f"{name} is a damaged sparse matrix: it has values outside of its rows and columns")

"""Linear algebra for the results of a model, by its native part where bits do not depend on the CPU (decompose.h)."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.algebra import BY_LAPACK, IN_FIXED_ORDER, Algebra, FixedOrder
from ..ground.same_bits import PORTABLE
from .absent import AbsentNative

if TYPE_CHECKING:
    from ..ground.types import Array
    from .model import Model


def algebra_of(model: Model) -> Algebra:
    """Return the linear algebra for the results of a model."""
    if model.bits != PORTABLE:
        return BY_LAPACK
    return IN_FIXED_ORDER if isinstance(model.native, AbsentNative) else FixedOrderInC(model)


class FixedOrderInC(FixedOrder):
    """Operations with the same bits by the native part of a model, which takes less time than calls of NumPy."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickles this: the native part is not pickled."""
        return algebra_of, (self._model,)

    def svd(self, matrices: Array) -> tuple[Array, Array, Array]:
        """See ``Algebra``."""
        rows, columns = matrices.shape[-2:]
        if rows < columns:
            directions, singular, U = self.svd(matrices.swapaxes(-1, -2))
            return U.swapaxes(-1, -2), singular, directions.swapaxes(-1, -2)
        before = matrices.shape[:-2]
        stack = np.ascontiguousarray(matrices, float).reshape(math.prod(before), rows, columns)
        count = len(stack)
        U, singular, directions = np.empty(stack.shape), np.empty((count, columns)), np.empty((count, columns, columns))
        self._model.native.singular_values(stack, U, singular, directions)
        if len(before) == 1:
            return U, singular, directions
        directions = directions.reshape(*before, columns, columns)
        return U.reshape(matrices.shape), singular.reshape(*before, columns), directions

    def triangles(self, rows: Array) -> Array:
        """See ``Algebra``."""
        before, (count, width) = rows.shape[:-2], rows.shape[-2:]
        stack = np.ascontiguousarray(rows, float).reshape(math.prod(before), count, width)
        triangular = np.empty((len(stack), min(count, width), width))
        self._model.native.triangles(stack, triangular)
        return triangular.reshape(*before, *triangular.shape[1:])

    def lengths(self, values: Array, axis: int) -> Array:
        """See ``Algebra``."""
        axis %= values.ndim
        rows = np.ascontiguousarray(values.transpose(_last(axis, values.ndim)), float)
        lengths = np.empty(rows.shape[:-1])
        self._model.native.lengths(rows.reshape(lengths.size, rows.shape[-1]), lengths)
        return lengths


@cache
def _last(axis: int, axes: int) -> tuple[int, ...]:
    """Return the order of axes in which one of them is the last."""
    return *(other for other in range(axes) if other != axis), axis

"""Layers that put the same values into other axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nncodegen.describe.call import Call, Part
from nncodegen.describe.layer import Standard


@dataclass(frozen=True)
class Permute(Standard):
    """The axes of each sample in another order: dims are their numbers, from 1, as (2, 1) for a transposed matrix."""

    dims: Sequence[int]

    def describe(self, call: Call) -> Part:
        """H[n, j, i] = x[n, i, j]."""
        x, axes = call.x, range(1, len(call.x.indices))
        dims = tuple(self.dims) if isinstance(self.dims, list | tuple) else (self.dims,)
        if sorted(dims, key=str) != list(axes):
            raise call.refuse(f"each of the axes {', '.join(map(str, axes))} once, not dims {self.dims!r}")
        return call.output(x, (x.indices[0], *(x.indices[dim] for dim in dims)))

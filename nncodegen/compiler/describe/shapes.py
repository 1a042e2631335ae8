"""Layers that rearrange the axes of their input and keep its values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nncodegen.compiler.describe.call import Call, Part, Shape, count, told
from nncodegen.compiler.describe.layer import Standard, is_integer
from nncodegen.compiler.ir import SAMPLE, Element, Equation
from nncodegen.errors import ModelError


@dataclass(frozen=True)
class Permute(Standard):
    """The axes of each sample in another order: dims are their numbers, from 1, as (2, 1) for a transposed matrix."""

    dims: Sequence[int]

    def describe(self, call: Call) -> Part:
        """Write the step h[n, j, i] = x[n, i, j]."""
        x, axes = call.x, range(1, len(call.x.indices))
        dims = tuple(self.dims) if isinstance(self.dims, list | tuple) else (self.dims,)
        if sorted(dims, key=str) != list(axes):
            raise call.refuse(f"each of the axes {', '.join(map(str, axes))} once, not dims {self.dims!r}")
        return call.output(x, (x.indices[0], *(x.indices[dim] for dim in dims)))


@dataclass(frozen=True)
class Flatten(Standard):
    """All values of each sample in one axis, in row-major order.

    The weights of a Dense layer directly after it have the original axes: (units, *shape), in the same order; but an
    input of the network that nothing else reads has only one axis from the start.
    """

    def describe(self, call: Call) -> Part:
        """Write the step h[n, k] = x[n, i, j], where k = columns*i + j."""
        if len(call.shape) == 1:
            return call.part(call.x)
        inside = tuple(zip(call.x.indices[1:], call.shape, strict=True))
        return replace(reshaped(call, (count(call.shape),)), unflattened=call.x, inside=inside)


@dataclass(frozen=True)
class Reshape(Standard):
    """The values of each sample, in row-major order, in other axes. One size may be -1: it follows from the others."""

    target_shape: Sequence[int]

    def describe(self, call: Call) -> Part:
        """Write the step h[n, j, k] = x[n, i], where i = columns*j + k."""
        return reshaped(call, _wanted(call, self.target_shape))


def reshaped(call: Call, shape: Shape) -> Part:
    """Return the part whose result has the values of the only input, in row-major order, in axes of these sizes."""
    x, rest = list(zip(call.x.indices[1:], call.shape, strict=True)), list(shape)
    indices: list[str] = []
    where: list[Equation] = []
    over: list[str] = []
    while x or rest:  # the least number of axes, before and after, that hold equally many values
        before, after = [x.pop(0)] if x else [], [rest.pop(0)] if rest else []
        while math.prod(size for _, size in before) != math.prod(after) or (x and x[0][1] == 1 and not rest):
            if rest and math.prod(after) < math.prod(size for _, size in before):
                after.append(rest.pop(0))
            else:
                before.append(x.pop(0))
        if len(before) == len(after) == 1:
            indices.append(before[0][0])
            continue
        if not before:  # an axis of size 1 at the end: the values get an additional index
            indices.append(call.index(1))
            continue
        axes = [(call.index(size), size) for size in after]
        indices += [index for index, _ in axes]
        over += [index for index, _ in before]
        where.append(_same_place(before, axes))
    if over:
        return call.part(call.step("h", (SAMPLE, *indices), call.x, "sum", over, where))
    return call.part(call.x) if shape == call.shape else call.output(call.x, (SAMPLE, *indices))


def _same_place(before: Sequence[tuple[str, int]], after: Sequence[tuple[str, int]]) -> Equation:
    """Return the equation that two groups of indices, with their sizes, denote the same value in row-major order."""
    strides = [_with_strides(group) for group in (before, after)]
    *others, (last, _) = strides[1]
    return Equation(last, (*strides[0], *((index, -stride) for index, stride in others)))


def _with_strides(indices: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return each index with its stride, the distance of its neighboring values."""
    return [(index, math.prod(size for _, size in indices[k:])) for k, (index, _) in enumerate(indices, start=1)]


def _wanted(call: Call, target: Any) -> Shape:
    """Return the requested shape. Raise ModelError where it does not hold the values of the input."""
    sizes = tuple(target) if isinstance(target, Iterable) and not isinstance(target, str) else (target,)
    if not sizes or any(not is_integer(size) or (size < 1 and size != -1) for size in sizes) or sizes.count(-1) > 1:
        raise ModelError(f"the target_shape of {call.role} has sizes above 0, and -1 at most once, not {target!r}")
    known, values = math.prod(size for size in sizes if size != -1), count(call.shape)
    shape = tuple(values // known if size == -1 else int(size) for size in sizes)
    if count(shape) != values:
        raise call.refuse(f"a number of values that fits the shape {told(sizes)}")
    return shape


@dataclass(frozen=True)
class Concatenate(Standard):
    """The concatenation of its inputs along an axis: axis is its number; 0 are the samples, -1 is the last."""

    axis: int = -1

    def describe(self, call: Call) -> Part:
        """Write h[n, k] = a[n, i] where k = i, + b[n, j] where k = j + (the size of i)."""
        if len(call.inputs) < 2:
            raise ModelError(f"{call.role}, Concatenate, needs at least two inputs, not {len(call.inputs)}")
        rank = len(call.shapes[0]) + 1
        if not is_integer(self.axis) or self.axis == 0 or not -rank < self.axis < rank:
            raise call.refuse(f"an axis from 1 to {rank - 1}, or from -{rank - 1} to -1, not {self.axis!r}")
        axis = self.axis % rank
        if len({(*shape[: axis - 1], *shape[axis:]) for shape in call.shapes}) > 1 or len({*map(len, call.shapes)}) > 1:
            raise call.refuse(f"inputs whose shapes differ in axis {axis} alone")
        k = call.index(sum(shape[axis - 1] for shape in call.shapes))
        first = call.inputs[0].indices
        parts: list[Element] = []
        start = 0
        for number, (x, shape) in enumerate(zip(call.inputs, call.shapes, strict=True), start=1):
            i = x.indices[axis]
            x = call.under(x, (*first[:axis], i, *first[axis + 1 :]), f"input{number}_")
            where = [Equation(k, ((i, 1),), start)]
            parts.append(call.step(f"part{number}_", (*first[:axis], k, *first[axis + 1 :]), x, "sum", (i,), where))
            start += shape[axis - 1]
        return call.output(sum(parts), parts[0].indices)

"""Functions of several tensors, element by element: axes are broadcast as in NumPy, and then share their indices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy
from sympy import Expr

from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import UNIT
from nncodegen.formats.onnx.reading.values import LONG, MOST_BLOCKS, MOST_SIZE, OnnxParameter, Steps, Value


class Broadcasting(Steps):
    """The methods that write functions of elements as steps."""

    def elementwise(
        self, function: Callable[..., Expr], *values: Value, most: int = LONG, largest: int = MOST_SIZE
    ) -> Value:
        """Return a function of the elements of tensors, whose axes are broadcast as in NumPy.

        Operands with more than ``most`` elements are computed by earlier steps. ``largest`` is the size up to which the
        result is allowed; a result that is summed at once is never stored.
        """
        values = tuple(self.short(value, most) for value in values)
        rank = max(len(value.axes) for value in values)
        values = tuple(self.padded(value, rank) for value in values)
        if all(value.is_number for value in values):
            return self._folded(function, values)
        values = self._met(values)
        axes = tuple(next((v.axes[k] for v in values if v.axes[k] != UNIT), UNIT) for k in range(rank))
        result = Value(axes, {}, **self._origin(values))
        if math.prod(map(len, axes)) > MOST_BLOCKS:
            raise ModelError(f"the graph has a tensor in more than {MOST_BLOCKS} parts: that is too large")
        blocks = {
            position: function(*(value.blocks[_at(value, position)] for value in values))
            for position in result.positions()
        }
        return self._checked(replace(result, blocks=blocks), largest)

    def padded(self, value: Value, rank: int) -> Value:
        """Return the value with axes of size one in front, so that it has ``rank`` axes."""
        missing = rank - len(value.axes)
        blocks = {((0,) * missing + position): block for position, block in value.blocks.items()}
        return replace(value, axes=(UNIT,) * missing + value.axes, blocks=blocks) if missing else value

    def _folded(self, function: Callable[..., Expr], values: Sequence[Value]) -> Value:
        """Return a function of numbers as one number, computed in double precision."""
        symbols = [Element(f"operand{k}") for k in range(len(values))]
        numbers = [np.float64(float(block)) for value in values for block in value.blocks.values()]
        with np.errstate(all="ignore"):
            result = interpret(sympy.sympify(function(*symbols)), dict(zip(symbols, numbers, strict=True)), exact=False)
        return self.number(float(result), len(values[0].axes))

    def _origin(self, values: Sequence[Value]) -> dict[str, Any]:
        """Return what the result of a function depends on: inputs, trained parameters, and undecided ones.

        Parameters that meet a trained one are noted as trained, those that meet only inputs as fixed.
        """
        of_inputs, trained = any(v.of_inputs for v in values), any(v.trained for v in values)
        undecided = frozenset(name for value in values for name in value.undecided)
        if trained:
            self.trained |= undecided
            undecided = frozenset()
        elif of_inputs:
            self.fixed |= dict.fromkeys(sorted(undecided))
            undecided = frozenset()
        return {"of_inputs": of_inputs, "trained": trained, "undecided": undecided}

    def _met(self, values: Sequence[Value], but: int | None = None) -> tuple[Value, ...]:
        """Return the values with common indices along all axes (except ``but``) that several have."""
        rank = len(values[0].axes)
        met = list(values)
        for axis in range(rank):
            wide = [k for k, value in enumerate(met) if value.axes[axis] != UNIT]
            if axis == but or not wide:
                continue
            lengths = {self.axes.length(met[k].axes[axis]) for k in wide}
            if len(lengths) > 1:
                sizes = " and ".join("that of the samples" if n is None else str(n) for n in sorted(lengths, key=str))
                raise ModelError(f"axes of different sizes meet: {sizes}")
            if lengths == {None}:
                sections = {met[k].axes[axis] for k in wide}
                if len(sections) == 1:
                    continue
                if len({self.axes.around_samples(axis_of_samples) for axis_of_samples in sections}) > 1:
                    raise ModelError("rows of a batch meet rows that other axes are folded into")
            self.axes.same_sections([met[k].axes[axis] for k in wide])
            self._unite_all(met, wide, axis)
        repeated = self._repeated(met) if but is None else None
        while repeated is not None:
            first = None
            for k, value in enumerate(met):
                if value.axes[repeated] != UNIT:
                    copied = self._copied(value, repeated)
                    met[k] = copied if first is None else self._one(first, copied, repeated)
                    first = first or met[k]
            repeated = self._repeated(met)
        return tuple(met)

    def _unite_all(self, values: list[Value], wide: Sequence[int], axis: int) -> None:
        """Bring the values that have an axis to common indices along it."""
        first, *others = wide
        united = [self._united(values[first], values[k], axis) for k in others]
        if None in united:  # a layer may have the size of a part of its own outputs: h R, with R [k, (4 k)]
            values[first] = self._copied(values[first], axis)
            united = [self._one(values[first], values[k], axis) for k in others]
        for k, value in zip(others, united, strict=True):
            values[k] = value or values[k]

    def _one(self, value: Value, other: Value, axis: int) -> Value:
        """Return the result of ``_united``. Raise ModelError where it is None."""
        united = self._united(value, other, axis)
        if united is None:
            raise ModelError("a tensor meets its own transpose, which index notation has no name for")
        return united

    def _united(self, value: Value, other: Value, axis: int) -> Value | None:
        """Return ``other``, or a copy, under the indices of ``value`` along an axis; None if neither is possible."""
        for attempt in (other, None):
            other = attempt or self._copied(other, axis)
            pairs = [
                (index, mine)
                for section, same in zip(value.axes[axis], other.axes[axis], strict=True)
                for index, mine in zip(section, same, strict=True)
            ]
            if all(self.axes.unite(index, mine) for index, mine in pairs):
                return other
        return None

    def _repeated(self, values: Sequence[Value]) -> int | None:
        """Return an axis of the result of a function with an index that an earlier axis has, too; None if none has."""
        seen: set[str] = set()
        for axis in range(len(values[0].axes)):
            sections = next((value.axes[axis] for value in values if value.axes[axis] != UNIT), UNIT)
            indices = {self.axes.find(index) for section in sections for index in section}
            if indices & seen:
                return axis
            seen |= indices
        return None

    def _copied(self, value: Value, axis: int) -> Value:
        """Return the value under new indices along an axis: its product with an identity matrix."""
        value = self.held(value, "t")
        new: dict[str, str] = {}
        for section in value.axes[axis]:
            for index in section:
                if index == SAMPLE:
                    raise ModelError("the graph combines rows of a batch with each other: a model computes row by row")
                if index not in new:
                    new[index] = self.axes.copy_of(index)
        blocks = dict(value.blocks)
        for position, block in value.blocks.items():
            for index in value.axes[axis][position[axis]]:
                if index not in _indices_of(block):
                    continue  # it is constant along this index
                indices = [new.get(i, i) if i == index else i for i in _indices_of(block)]
                block = self.step("copy", indices, self._identity(new[index], index) * block, "sum", (index,))
            blocks[position] = block
        sections = tuple(tuple(new[index] for index in section) for section in value.axes[axis])
        axes = (*value.axes[:axis], sections, *value.axes[axis + 1 :])
        return self._checked(replace(value, axes=axes, blocks=blocks))

    def _identity(self, new: str, index: str) -> Element:
        """Return the identity matrix under two indices, as a parameter that is never trained."""
        size = self.axes.sizes[index]
        if size > 1024:
            raise ModelError(f"the graph needs a copy of an axis of {size} values; that is done for 1024 at most")
        self.count(size * size)
        name = self.fresh(f"identity{size}")
        self.parameters[name] = OnnxParameter(name, np.eye(size), [(name, (new, index), np.eye(size))])
        self.tables.add(name)
        self.axes.together((new, index))
        return Element(name, (new, index))


def _at(value: Value, position: tuple[int, ...]) -> tuple[int, ...]:
    """Return the position of the block that is broadcast to a position."""
    return tuple(0 if sections == UNIT else k for sections, k in zip(value.axes, position, strict=True))


def _indices_of(block: Expr) -> tuple[str, ...]:
    return block.indices if isinstance(block, Element) else ()

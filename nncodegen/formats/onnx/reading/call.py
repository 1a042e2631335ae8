"""One node of a graph while it is computed: its operands and attributes, checked when they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from nncodegen.errors import ModelError
from nncodegen.formats.activations import number
from nncodegen.formats.onnx.reading.builder import Builder
from nncodegen.formats.onnx.reading.file import OnnxNode
from nncodegen.formats.onnx.reading.types import DOUBLE, is_whole
from nncodegen.formats.onnx.reading.values import Masked, Shape, Value, Weights

SAMPLES_SIZE = -(2**40)
"""Stands for the number of samples in a shape that the graph computes."""

MOST_WHOLE = 2**16
"""The largest number of integers in the result of a node, such as a shape or positions."""


HIDDEN = "scores that a mask hides by minus infinity: these may only go into a Softmax"
"""The end of an error for what is no number."""


@dataclass(frozen=True)
class Clock:
    """The round counter of a Loop, or a result computed from it: one number, or truth value, for each round."""

    values: NDArray[Any]


Operand = Value | Weights | NDArray[Any] | Clock | Masked | None
"""A tensor, numbers of the file, integers such as those of a shape, the counter of a Loop, or nothing."""


def type_of_operand(operand: Operand) -> str:
    """Return the type of an operand's elements; "" for none, and for a type that is not known."""
    if isinstance(operand, Value):
        return operand.type
    if isinstance(operand, Clock):
        return operand.values.dtype.name
    if isinstance(operand, np.ndarray):
        return operand.dtype.name
    return "" if operand is None else DOUBLE


@dataclass(frozen=True)
class OnnxCall:
    """A node, its operands, and the objects that it is computed with."""

    node: OnnxNode
    inputs: Sequence[Operand]
    builder: Builder
    opset: int
    batch: bool
    """True if the first axis of the inputs is that of the samples."""
    scope: Mapping[str, Operand]
    """All operands that are known where the node stands, by name."""
    evaluate: Callable[[Sequence[OnnxNode], Sequence[str], dict[str, Operand]], None]
    """Computes nodes and adds their results to the known ones, given the names of those that are read in the end."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes of the node."""
        return self.node.attributes

    # --- attributes ----------------------------------------------------------------------------------------------

    def whole(self, name: str, default: int) -> int:
        """Return an attribute that is an integer."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ModelError(f"{self.node} has the attribute {name}, which is no whole number")
        return value

    def real(self, name: str, default: float) -> float:
        """Return an attribute that is a finite number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise ModelError(f"{self.node} has the attribute {name}, which is no finite number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a text."""
        value = self.attributes.get(name, default)
        if isinstance(value, bytes):
            return value.decode("ascii", "replace")
        if not isinstance(value, str):
            raise ModelError(f"{self.node} has the attribute {name}, which is no text")
        return value

    def wholes(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return an attribute that is a list of integers. Raise ModelError if it is missing and has no default."""
        value = self.attributes.get(name, default)
        if not isinstance(value, tuple) or not all(isinstance(number, int) for number in value):
            raise ModelError(f"{self.node} lacks the attribute {name}, which is a list of whole numbers")
        return value

    def reals(self, name: str) -> NDArray[np.float64]:
        """Return an attribute that is a list of finite numbers, perhaps empty."""
        value = self.attributes.get(name, ())
        if not isinstance(value, tuple) or not all(isinstance(item, int | float) for item in value):
            raise ModelError(f"{self.node} has the attribute {name}, which is no list of numbers")
        array = np.array(value, dtype=np.float64)
        if not np.isfinite(array).all():
            raise ModelError(f"{self.node} has the attribute {name} with a value that is not finite")
        return array

    def axis(self, axis: int, rank: int) -> int:
        """Return the number of an axis, which may be counted from the end."""
        if not -rank <= axis < rank:
            raise ModelError(f"{self.node} names axis {axis} of a tensor of {rank} axes")
        return axis % rank

    # --- operands ------------------------------------------------------------------------------------------------

    @property
    def first(self) -> Value | Weights | NDArray[Any]:
        """Return the first operand."""
        operand = self.inputs[0] if self.inputs else None
        if isinstance(operand, Clock):
            raise ModelError(f"{self.node} computes with the rounds of a Loop")
        if isinstance(operand, Masked):
            raise ModelError(f"{self.node} computes with {HIDDEN}")
        if operand is None:
            raise ModelError(f"{self.node} lacks its first operand")
        return operand

    def given(self, k: int) -> bool:
        """Return whether the node has operand number k."""
        return k < len(self.inputs) and self.inputs[k] is not None

    def type(self, k: int) -> str:
        """Return the type of the elements of operand number k, such as "bool"; "" if there is none, or none known."""
        return type_of_operand(self.inputs[k]) if k < len(self.inputs) else ""

    def refuse_rounding(self, *operands: int) -> None:
        """Raise ModelError if these operands are whole numbers, of which ONNX makes a whole number by rounding."""
        if all(is_whole(self.type(k)) for k in operands):
            raise ModelError(
                f"{self.node} computes with whole numbers, and would round its result: nncodegen does not round"
            )

    def value(self, k: int, as_parameter: bool = False) -> Value:
        """Return an operand as a tensor; a single number is a parameter only with ``as_parameter``."""
        operand = self.as_real(k)
        if isinstance(operand, Value):
            return operand
        return self.weights_value(operand, as_parameter)

    def weights_value(self, weights: Weights, as_parameter: bool = False) -> Value:
        """Return numbers of the file as a tensor."""
        if weights.fixed:
            return self.builder.table(weights.name, weights.array)
        known = weights.name in self.builder.known
        if (known or (as_parameter and weights.array.ndim)) and np.isfinite(weights.array).all():
            return self.builder.parameter(weights.name, weights.array)
        return self.builder.constant(weights)

    def as_real(self, k: int) -> Value | Weights:
        """Return an operand as real numbers; integers of the file are converted."""
        operand = self.inputs[k] if k < len(self.inputs) else None
        if operand is None:
            raise ModelError(f"{self.node} lacks its operand number {k + 1}")
        if isinstance(operand, Clock):
            raise ModelError(f"{self.node} computes with the rounds of a Loop")
        if isinstance(operand, Masked):
            raise ModelError(f"{self.node} computes with {HIDDEN}")
        if isinstance(operand, Value) and operand.rounded:
            raise ModelError(f"{self.node} computes with real numbers that were rounded: nncodegen does not round")
        if not isinstance(operand, np.ndarray):
            return operand
        return Weights(self.node.inputs[k], self._computable(operand).astype(np.float64), fixed=True)

    def _computable(self, whole: NDArray[Any]) -> NDArray[Any]:
        """Return whole numbers of the file. Raise ModelError if one stands for the number of samples, or for many."""
        if whole.size and whole.min() <= SAMPLES_SIZE:
            raise ModelError(f"{self.node} computes with the number of samples")
        if whole.dtype != np.bool_ and whole.size > MOST_WHOLE:
            raise ModelError(f"{self.node} computes with {whole.size:,} whole numbers; {MOST_WHOLE:,} at most")
        return whole

    def integers(self, k: int, role: str) -> tuple[int, ...]:
        """Return an operand as integers, which the file holds."""
        operand = self.inputs[k] if k < len(self.inputs) else None
        if not isinstance(operand, np.ndarray):
            raise ModelError(f"{self.node} takes {role} that are not in the file: nncodegen needs fixed shapes")
        return tuple(int(number) for number in operand.ravel())

    def is_infinite(self, k: int) -> bool:
        """Return whether an operand is a single infinite number, which as a bound means none."""
        operand = self.inputs[k]
        return isinstance(operand, Weights) and operand.array.size == 1 and bool(np.isinf(operand.array).all())

    def scaled(self, value: Value, factor: float | Expr) -> Value:
        """Return a tensor times a number."""
        exact = number(factor) if isinstance(factor, float) else factor
        return value if exact == 1 else self.builder.elementwise(lambda z: exact * z, value)

    def with_axes(self, value: Value, axes: Sequence[int]) -> Value:
        """Return the value with further axes of size one at the end."""
        for _ in axes:
            value = self.builder.inserted(value, len(value.axes))
        return value

    def shape_to_reshape(self, wanted: Sequence[int], value: Value, keeps_zero: bool) -> tuple[int | None, ...]:
        """Return the shape that a Reshape asks for: -1 and 0 resolved, None for the samples."""
        old = self.builder.shape(value)
        if len(wanted) > 8:
            raise ModelError(f"{self.node} makes a tensor of {len(wanted)} axes; it may have 8 at most")
        if None in old[1:]:
            return self._around_samples(wanted, old, keeps_zero)
        samples = old[:1] == (None,)
        first = wanted[0] if wanted else 1
        rest: list[int | None] = list(wanted)
        result: list[int | None] = []
        if samples:
            total = int(np.prod([n or 1 for n in old], dtype=object))
            others = [self._size(n, old, k, keeps_zero) for k, n in enumerate(rest)][1:]
            if first == SAMPLES_SIZE or (first == 0 and not keeps_zero) or (first == -1 and -1 not in others):
                result = [None]
            elif first > 0 and -1 not in others:
                result = [None]  # the number of rows that the network was exported with
            known = int(np.prod([n for n in others if n != -1], dtype=object))
            if not result or known < 1 or (known != total and -1 not in others):
                raise ModelError(f"{self.node} changes the rows of a batch: a model computes row by row")
            rest = list(rest[1:])
        offset = len(result)
        sizes = [self._size(n, old, k + offset, keeps_zero) for k, n in enumerate(rest)]
        count = int(np.prod([n or 1 for n in old], dtype=object))
        known = int(np.prod([n for n in sizes if n != -1], dtype=object))
        if sizes.count(-1) > 1 or any(n < -1 or n == 0 for n in sizes) or (known and count % known):
            raise ModelError(f"{self.node} cannot make the shape {tuple(wanted)} of {old}")
        return (*result, *(count // known if n == -1 else n for n in sizes))

    def _around_samples(self, wanted: Sequence[int], old: Sequence[int | None], keeps_zero: bool) -> Shape:
        """Return the shape for a Reshape where the samples are not the first axis: axes up to the samples stay."""
        at = old.index(None)
        sizes = [self._size(n, old, k, keeps_zero) for k, n in enumerate(wanted)]
        before, after = sizes[:at], sizes[at + 1 :]
        count = math.prod(n or 1 for n in old[at + 1 :])
        known = math.prod(n for n in after if n != -1)
        rows = sizes[at] if len(sizes) > at else 0
        keeps_samples = rows == SAMPLES_SIZE or (rows > 0 and -1 not in sizes) or (rows == -1 and -1 not in after)
        keeps_samples = keeps_samples and (rows != -1 or count == known)
        if not keeps_samples or before != list(old[:at]) or after.count(-1) > 1 or known < 1 or count % known:
            raise ModelError(f"{self.node} cannot make the shape {tuple(wanted)} of {tuple(old)}")
        return (*before, None, *(count // known if n == -1 else n for n in after))

    def _size(self, size: int | None, old: Sequence[int | None], k: int, keeps_zero: bool) -> int:
        if size == 0 and not keeps_zero and k < len(old):
            return old[k] or SAMPLES_SIZE
        return 0 if size is None else size

"""Tensors of a graph as formulas of elements, and the steps that define them.

A value consists of blocks, one for each choice of a section of every axis. A tensor that is not cut has one block. A
formula grows as operators are applied to it, until its value is needed: then a step defines it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Piecewise, preorder_traversal

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Step, elements
from nncodegen.compiler.ir.names import unused
from nncodegen.errors import ModelError
from nncodegen.formats.activations import number
from nncodegen.formats.onnx.reading.axes import SAMPLES, UNIT, Axes, Cuts, Sections

MOST_SIZE, MOST_BLOCKS, MOST_STEPS, MOST_WORK = 2**24, 4096, 20_000, 100_000
"""Upper bounds for the values of a tensor (of one sample), for its blocks, for the steps of a graph, and for the blocks
of all its tensors."""

MOST_PRODUCTS = 2**36
"""The largest number of products that are summed for a tensor."""

MOST_PARAMETERS = 2**26
"""The largest number of values in all parameters."""

LONG = 40
"""The number of nodes of a formula beyond which a step defines it before it is used further."""

Shape = tuple[int | None, ...]
Blocks = Mapping[tuple[int, ...], Expr]


@dataclass(frozen=True)
class Weights:
    """Numbers from the file that may become a parameter or parts of formulas; this is not known yet.

    Those that are ``fixed`` follow from whole numbers, such as the places of a sequence: they are never a parameter.
    """

    name: str
    array: NDArray[Any]
    fixed: bool = False


@dataclass(frozen=True)
class Value:
    """A tensor: the sections of its axes, and a formula for each block.

    ``of_inputs`` says whether it depends on the inputs, ``trained`` whether on a parameter that is trained; the other
    parameters that it depends on are in ``undecided``. ``summed`` says that it is a product of matrices, and
    ``rounded`` that its values are real numbers that a Cast has declared to be integers. ``type`` is the type of its
    elements in the file, such as "bool", whose values are 1 and 0; "" until its node is computed, or if unknown.
    """

    axes: tuple[Sections, ...]
    blocks: Blocks
    of_inputs: bool = False
    trained: bool = False
    undecided: frozenset[str] = frozenset()
    summed: bool = False
    rounded: bool = False
    type: str = ""

    @property
    def is_number(self) -> bool:
        """Return whether it is a single number."""
        return all(sections == UNIT for sections in self.axes) and all(b.is_number for b in self.blocks.values())

    def positions(self) -> Iterator[tuple[int, ...]]:
        """Return the positions of all blocks, in order."""
        return product(*(range(len(sections)) for sections in self.axes))

    def indices(self, position: tuple[int, ...]) -> tuple[str, ...]:
        """Return the indices of a block, from the first axis to the last."""
        return tuple(index for sections, k in zip(self.axes, position, strict=True) for index in sections[k])


@dataclass(frozen=True)
class Masked:
    """Scores of which a mask hides some: they are minus infinity where ``allowed`` is 0, and it is 1 elsewhere."""

    value: Value
    allowed: Value


@dataclass
class OnnxParameter:
    """A parameter of the graph: its array, and the pieces that it is cut into."""

    name: str
    array: NDArray[Any]
    pieces: list[tuple[str, tuple[str, ...], NDArray[Any]]] = field(default_factory=list)
    """The name, the indices and the values of each piece."""


class Steps:
    """The steps that are collected while a graph is read, with its inputs and parameters."""

    def __init__(self, cuts: Cuts, reserved: Iterable[str] = (), ours: bool = False) -> None:
        self.axes = Axes(cuts)
        self.ours = ours
        """True if nncodegen wrote the graph."""
        self._reserved = set(reserved)
        """The names that no tensor of ours may get: those in the file, and all that are taken."""
        self._work = 0
        self._parameters = 0
        self.steps: list[Step] = []
        self.inputs: list[tuple[str, tuple[str, ...]]] = []
        self.parameters: dict[str, OnnxParameter] = {}
        self.trained: set[str] = set()
        self.known: set[str] = set()
        """Names of constants that are parameters, even if they are single numbers."""
        self.fixed: dict[str, None] = {}
        """Parameters that prepare the inputs, before any trained parameter."""
        self.tables: set[str] = set()
        """Parameters that no training may change: whole numbers, truth values and identity matrices."""
        self.time: str | None = None
        """The index of time while the body of a Scan is read: tensors in the body have no axis for it."""
        self.exported: int | None = None
        """The number of samples in the shapes of the file, where it is fixed."""
        self.rounds: Any = None
        """The rounds of a Scan or Loop, while its body is read."""
        self._values: dict[str, Value] = {}
        self._taken: set[str] = set()
        self._copies: dict[tuple[str, str], Element] = {}

    # --- inputs, parameters and numbers --------------------------------------------------------------------------

    def input(self, name: str, shape: Shape, kind: str = "") -> Value:
        """Return an input of a shape and a type; None stands for the samples. Its columns keep their order."""
        axes = tuple(
            SAMPLES if size is None else self.axes.sections(f"{name}:{k}", size) for k, size in enumerate(shape)
        )
        self.axes.merged([sections for sections in axes if sections != SAMPLES] or [UNIT])  # else columns mix
        value = Value(axes, {}, of_inputs=True)
        blocks = {}
        for position in value.positions():
            indices = tuple(index for index in value.indices(position) if index != SAMPLE)
            tensor = self.fresh(self._piece(name, value.axes, position), of_file=True)
            self.inputs.append((tensor, indices))
            blocks[position] = Element(tensor, (SAMPLE, *indices))
        return self._checked(replace(value, blocks=blocks, type=kind))

    def is_input(self, value: Value) -> bool:
        """Return whether all blocks of a value are inputs, perhaps in other places."""
        names = {name for name, _ in self.inputs}
        return all(isinstance(block, Element) and block.tensor in names for block in value.blocks.values())

    def parameter(self, name: str, array: NDArray[Any]) -> Value:
        """Return a parameter that starts with the values of an array.

        If the name belongs to a parameter with other values, ' is appended to it.
        """
        while name in self.parameters:
            known = self.parameters[name].array
            if known is array or np.array_equal(known, array):
                return self._values[name]
            name += "'"
        if not array.size:
            raise ModelError(f"{name!r} has the shape {array.shape}, without any values")
        if not np.isfinite(array).all():
            raise ModelError(f"{name!r} has values that are not finite")
        self.count(array.size)
        axes = tuple(self.axes.sections(f"{name}:{k}", size) for k, size in enumerate(array.shape))
        value = Value(axes, {}, undecided=frozenset([name]))
        parameter = self.parameters[name] = OnnxParameter(name, array)
        blocks = {}
        for position in value.positions():
            indices = value.indices(position)
            tensor = self.fresh(self._piece(name, axes, position), of_file=True)
            part = array[tuple(slice(*self._range(s, k)) for s, k in zip(axes, position, strict=True))]
            sizes = [self.axes.sizes[index] for index in indices]
            parameter.pieces.append((tensor, indices, part.reshape(sizes)))
            blocks[position] = Element(tensor, indices)
        self._values[name] = self._checked(replace(value, blocks=blocks))
        return self._values[name]

    def _range(self, sections: Sections, k: int) -> tuple[int, int]:
        start = sum(map(self.axes.size, sections[:k]))
        return start, start + self.axes.size(sections[k])

    def _piece(self, name: str, axes: Sequence[Sections], position: Sequence[int]) -> str:
        """Return the name of a block: that of its tensor, with the ranges that are cut out of it."""
        if all(len(sections) == 1 for sections in axes):
            return name
        ranges = [
            ":" if len(s) == 1 else ":".join(map(str, self._range(s, k)))
            for s, k in zip(axes, position, strict=True)
            if s != SAMPLES
        ]
        return f"{name}[{','.join(ranges)}]"

    def count(self, values: int) -> None:
        """Count the values of a parameter. Raise ModelError where the total is too large."""
        self._parameters += values
        if self._parameters > MOST_PARAMETERS:
            raise ModelError(f"the graph has more than {MOST_PARAMETERS:,} values in its parameters: too many")

    def table(self, name: str, array: NDArray[Any]) -> Value:
        """Return numbers of the file that no training may change, such as whole numbers and truth values."""
        if array.size == 1:
            return self.number(float(array.ravel()[0]), array.ndim)
        value = self.parameter(name, array.astype(np.float64))
        self.tables |= value.undecided
        return replace(value, undecided=frozenset())

    def constant(self, weights: Weights) -> Value:
        """Return given numbers: a single one as part of formulas, others as a parameter."""
        if weights.array.size == 1:
            return self.number(weights.array.ravel()[0], weights.array.ndim)
        return self.parameter(weights.name, weights.array)

    def number(self, value: float, rank: int = 0) -> Value:
        """Return a single number, as a tensor of ``rank`` axes."""
        if not math.isfinite(value):
            raise ModelError(f"the graph computes with {value}, which is no number")
        return Value((UNIT,) * rank, {(0,) * rank: number(value)})

    def filled(self, name: str, value: float, shape: Shape) -> Value:
        """Return one number in every place of a shape; None stands for the samples."""
        if any(size is not None and size < 1 for size in shape):
            raise ModelError(f"the graph has a tensor of the shape {tuple(shape)}")
        axes = tuple(
            SAMPLES if size is None else self.axes.sections(f"{name}:{k}", size) for k, size in enumerate(shape)
        )
        empty = Value(axes, {})
        return self._checked(replace(empty, blocks=dict.fromkeys(empty.positions(), number(value))))

    def fresh(self, name: str, of_file: bool = False) -> str:
        """Return an unused name; names from the file are reserved for their own tensors (``of_file``)."""
        name = unused(name, self._taken if of_file else self._reserved)
        self._taken.add(name)
        self._reserved.add(name)
        return name

    def index(self, size: int) -> str:
        """Return a new index, which no other node can cut."""
        index = f"index {len(self.axes.sizes)}:{size}"
        self.axes.sizes[index] = size
        return index

    # --- shapes and steps ----------------------------------------------------------------------------------------

    def shape(self, value: Value) -> Shape:
        """Return the sizes of the axes; None for the samples."""
        return tuple(map(self.axes.length, value.axes))

    def _checked(self, value: Value, largest: int = MOST_SIZE) -> Value:
        """Return the value. Raise ModelError for one that is too large."""
        size = math.prod(self.axes.length(sections) or 1 for sections in value.axes)
        if size > largest or len(value.blocks) > MOST_BLOCKS:
            raise ModelError(f"the graph has a tensor of {size:,} values in {len(value.blocks)} parts: too large")
        self._work += len(value.blocks)
        if self._work > MOST_WORK:
            raise ModelError("the graph computes with too many parts of tensors")
        for position in value.blocks:
            self.axes.together(value.indices(position))
        return value

    def step(
        self,
        letters: str,
        indices: Iterable[str],
        value: Expr,
        operator: str | None = None,
        over: Iterable[str] = (),
        where: Iterable[Equation] = (),
        of_file: bool = False,
    ) -> Element:
        """Define a tensor by a step, and return its element.

        Its first index is that of the samples, if the value depends on it; then comes that of time, in the body of a
        Scan.
        """
        indices, over, where = tuple(indices), tuple(over), tuple(where)
        read = {*indices, *(i for e in elements(value) for i in e.indices)}
        read |= {i for equation in where if equation.data is not None for i in equation.data.indices}
        first = tuple(index for index in (SAMPLE, self.time) if index in read and index not in over)
        target = Element(self.fresh(letters, of_file), (*first, *(index for index in indices if index not in first)))
        self.define(target, value, operator, over, where)
        return target

    def define(
        self,
        target: Element,
        expression: Expr,
        operator: str | None = None,
        over: tuple[str, ...] = (),
        where: tuple[Equation, ...] = (),
    ) -> None:
        """Add the step that defines a tensor."""
        if len(self.steps) >= MOST_STEPS:
            raise ModelError(f"the graph takes more than {MOST_STEPS} steps: that is too large")
        self.axes.together((*target.indices, *over, *(index for equation in where for index in equation.indices)))
        self.steps.append(Step(target, expression, operator, over, where))

    def held(self, value: Value, name: str) -> Value:
        """Return the value, with a step for each block that is not a tensor already."""
        blocks = {
            position: block
            if isinstance(block, Element) or block.is_number
            else self.step(name, value.indices(position), block)
            for position, block in value.blocks.items()
        }
        return replace(value, blocks=blocks)

    def short(self, value: Value, most: int = LONG) -> Value:
        """Return the value, with steps if a block is long, or reads more than ``most`` elements."""
        long = any(
            len(block.free_symbols) > most
            or block.has(Piecewise)  # nested choices would give conditions that have no C form
            or sum(1 for _ in preorder_traversal(block)) > LONG
            for block in value.blocks.values()
        )
        return self.held(value, "t") if long else value

"""Steps that share one nest of loops (see ``loops``), before it is known where tensors lie.

When the places of all tensors are known, ``lower`` decides the rest, and makes statements of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum

from nncodegen.ir import SAMPLE, Element, Solved, Step
from nncodegen.schedule.around import Repeat, Segments


class Shape(Enum):
    """How the loops of a nest are run."""

    LOOPS = "loops"
    PACK = "a copy in padded rows"
    PLACES = "sums by lists of places"
    CONTRACT = "blocks of outputs in registers"
    ACCUMULATE = "blocks of weights in registers"
    LANE_SUMS = "blocks of weights in registers, summed across lanes"
    ADD_UP = "vectors"
    BLAS = "one call of BLAS"
    DOT_PRODUCTS = "dot products of rows"
    DOT_PRODUCTS_OF_SAMPLES = "dot products along the samples"
    MATRIX_BY_ROW = "dot products of the rows of a matrix with one row"
    ROW_BY_MATRIX = "blocks of one row in registers"
    REDUCE_ROW = "a reduction of one row"


class Place(Enum):
    """Where a tensor lives."""

    PARAMETER = "parameters"
    INPUT = "inputs"
    TARGET = "targets"
    WEIGHT = "weights"
    PRESENT = "1 for each sample"
    NOISE = "random numbers"
    LOCAL = "a local variable"
    VARIABLE = "a variable of all loops"
    ARRAY = "work memory"
    SUM = "sums over samples"
    GRADIENT_SUM = "sums over samples, in single precision for some tiles"
    OUTPUT = "outputs"
    GRADIENT = "gradient"
    IDENTITY = "an identity matrix, which is in no memory"
    OPTION = "hyperparameters"
    NEXT = "the next parameters"


class Role(Enum):
    """What samples, units and models do in a plan."""

    ABSENT = "absent"
    TILED = "in tiles"
    ONE_BY_ONE = "one by one"
    VECTOR = "along the vector"
    UNROLLED = "written out"


class When(Enum):
    """What is known only when a kernel runs, and decides which of two nests runs."""

    LOSS = "where the loss is wanted"
    FEW = "for few samples"
    MANY = "for many samples"
    BLAS = "where there is a BLAS"
    NO_BLAS = "where there is no BLAS"
    ADDED = "where the gradient is added to what is there"


class Filling(Enum):
    """What pads an array behind its samples, or behind the values of a row, to whole vectors."""

    ZERO_ENDS = "zeros at the end of the rows of"
    ZERO_SAMPLES = "zeros behind the samples of"
    LAST_SAMPLE = "the last sample again, behind those of"


@dataclass(frozen=True)
class Storage:
    """The place of a tensor, the number of its first value (its first column) there, and a stride for each index.

    An array that also has the values of a recurrence begins with them; ``shift`` is where its own values begin. In one
    that has the values of one segment at a time, the index ``within`` is counted from the begin of that.
    """

    place: Place
    offset: int = 0
    strides: tuple[int, ...] = ()
    shift: int = 0
    within: str = ""


@dataclass(frozen=True)
class Nest:
    """Steps that share one nest of loops: over ``outer``, then ``reduced``, then (``samples``) over a tile.

    ``innermost`` is the index that runs innermost, along the vectors. The indices ``unrolled`` have so few values that
    each has statements of its own in the loop over the others. ``cuts`` are the tensors of each part, one after the
    other, where the target decides whether the parts share their loops.
    """

    outer: tuple[str, ...]
    reduced: tuple[str, ...]
    samples: bool
    steps: tuple[Step, ...]
    innermost: str = SAMPLE
    shape: Shape = Shape.LOOPS
    unrolled: tuple[str, ...] = ()
    cuts: tuple[frozenset[str], ...] = ()
    solved: Solved | None = None
    """How the equations of its only step are met, where that has reduced indices."""
    repeat: Repeat | None = None
    """The loop around it and its neighbours that depend on each other."""
    segments: Segments | None = None
    """The loop over segments around it and its neighbours."""
    phase: int = 0
    """The number of its phase (see ``phases``); before the samples, of the phase for which it is computed."""

    @property
    def parts(self) -> tuple[tuple[Step, ...], ...]:
        """The steps of each part, or all of them in one."""
        parts = (tuple(step for step in self.steps if step.target.tensor in names) for names in self.cuts)
        return tuple(part for part in parts if part) or (self.steps,)

    @property
    def loops(self) -> tuple[str, ...]:
        """All indices, from the outermost loop to the innermost."""
        indices = (*self.outer, *self.reduced, *([SAMPLE] if self.samples else []))
        return (*(i for i in indices if i != self.innermost), *(i for i in indices if i == self.innermost))

    @property
    def around(self) -> tuple[str, ...]:
        """The indices of loops around a call: those of the rows that a matrix is multiplied with, one after another."""
        if self.shape is not Shape.MATRIX_BY_ROW:
            return ()
        matrix, _ = matrix_and_row(self.steps[0])
        return tuple(index for index in self.outer if index not in matrix.indices)

    @property
    def sums(self) -> tuple[Step, ...]:
        """The steps that sum over the samples."""
        return tuple(step for step in self.steps if SAMPLE in step.over)


def only(nests: Iterable[Nest], wanted: Callable[[Step], bool]) -> tuple[Nest, ...]:
    """The nests with those of their steps that are wanted, without any that has none."""
    kept = []
    for nest in nests:
        steps = tuple(filter(wanted, nest.steps))
        kept.append(replace(nest, steps=steps) if steps != nest.steps else nest)
    return tuple(nest for nest in kept if nest.steps)


def matrix_and_row(step: Step) -> tuple[Element, Element]:
    """The factors of a product of a matrix and vectors: the former has the last index of the result."""
    first, second = step.operands
    return (first, second) if step.target.indices[-1] in first.indices else (second, first)

"""Storage of tensors: the kinds of places, and the offset and strides of each tensor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nncodegen.compiler.ir import Element, Step


class Place(Enum):
    """The kinds of places in which a tensor is stored."""

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


@dataclass(frozen=True)
class Storage:
    """The place of a tensor, the number of its first value (its first column) in it, and a stride for each index.

    An array that also has the values of a recurrence begins with them; ``shift`` is where its own values begin. In an
    array that has the values of one segment at a time, the index ``within`` is counted from the begin of the segment.
    """

    place: Place
    offset: int = 0
    strides: tuple[int, ...] = ()
    shift: int = 0
    within: str = ""


@dataclass(frozen=True)
class Memory:
    """The memory that a kernel takes, in numbers of values, and the tensors in special places.

    arrays          work memory of a tile
    sums            sums over samples
    gradient_sums   up to the last of the sums that blocks compute with columns along the vectors: they lie in the
                    gradient, or after it
    lane_sums       other sums that blocks compute, with a partial sum in every lane; they lie before all other sums
    in_place        the gradient sums that lie in their places of the gradient; the others lie after all of it
    outputs         number of values among which outputs lie, if this is more than the outputs
    crossing        the arrays that only later parts of the same loops read: they are needed only where loops are cut
    paths           further work memory after the arrays, for the steps in time of differential equations
    """

    arrays: int = 0
    sums: int = 0
    gradient_sums: int = 0
    lane_sums: int = 0
    outputs: int = 0
    in_place: frozenset[str] = frozenset()
    crossing: frozenset[str] = frozenset()
    paths: int = 0

    def has_copied(self, step: Step) -> bool:
        """Return whether a step copies a sum to the gradient that already lies in its place."""
        return isinstance(step.expression, Element) and step.expression.tensor in self.in_place

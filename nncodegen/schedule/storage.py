"""Where tensors live: the kinds of places, and what is known of each tensor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nncodegen.ir import Element, Step


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
class Memory:
    """How much memory a kernel takes, in values, and what lies where for a reason of its own.

    arrays          work memory of a tile
    sums            over samples
    gradient_sums   up to the last of the sums that blocks compute with columns along the vectors: they lie in the
                    gradient, or behind it
    lane_sums       other sums that blocks compute, with a partial sum in every lane; they lie before all other sums
    in_place        the gradient sums that lie where the gradient has them; the others lie behind all of it
    outputs         values among which outputs lie, if there are more than outputs
    crossing        the arrays that only later parts of the loops read that compute them: of use where loops are cut
    """

    arrays: int = 0
    sums: int = 0
    gradient_sums: int = 0
    lane_sums: int = 0
    outputs: int = 0
    in_place: frozenset[str] = frozenset()
    crossing: frozenset[str] = frozenset()

    def has_copied(self, step: Step) -> bool:
        """Return whether a step copies a sum to the gradient that lies there already."""
        return isinstance(step.expression, Element) and step.expression.tensor in self.in_place

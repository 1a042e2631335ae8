"""Loops and places: what a schedule is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum

from nncodegen.ir import SAMPLE, Element, Step

PARTIALS = 4096
"""Weights up to which every lane keeps partial sums: 256 kB with the longest vectors."""


class Shape(Enum):
    """How the loops of a nest are run."""

    LOOPS = "loops"
    PACK = "a copy in padded rows"
    CONTRACT = "blocks of outputs in registers"
    ACCUMULATE = "blocks of weights in registers"
    ACROSS = "blocks of weights in registers, summed across lanes"
    ADD_UP = "vectors"
    BLAS = "one call of BLAS"


class Place(Enum):
    """Where a tensor lives."""

    PARAMETER = "parameters"
    INPUT = "inputs"
    TARGET = "targets"
    WEIGHT = "weights"
    NOISE = "random numbers"
    LOCAL = "a local variable"
    VARIABLE = "a variable of all loops"
    ARRAY = "work memory"
    SUM = "sums over samples"
    WHOLE = "sums over samples, in single precision for some tiles"
    OUTPUT = "outputs"
    GRADIENT = "gradient"


class When(Enum):
    """What is known only when a kernel runs, on which it depends which of two nests does."""

    LOSS = "the loss is wanted"


@dataclass(frozen=True)
class Storage:
    """The place of a tensor, the number of its first value (its first column) there, and a stride for each index."""

    place: Place
    offset: int = 0
    strides: tuple[int, ...] = ()


@dataclass(frozen=True)
class Nest:
    """Steps that share one nest of loops: over ``outer``, then ``reduced``, then (``samples``) over a tile.

    ``lanes`` is the index that runs innermost and along the vectors; ``few`` are indices of so few values that each has
    statements of its own in the loop over the others. ``cuts`` are the tensors of each part, one after the other, where
    the target decides whether the parts share their loops.
    """

    outer: tuple[str, ...]
    reduced: tuple[str, ...]
    samples: bool
    steps: tuple[Step, ...]
    lanes: str = SAMPLE
    shape: Shape = Shape.LOOPS
    few: tuple[str, ...] = ()
    cuts: tuple[frozenset[str], ...] = ()
    branch: Branch | None = None

    @property
    def parts(self) -> tuple[tuple[Step, ...], ...]:
        """The steps of each part, or all of them in one."""
        parts = (tuple(step for step in self.steps if step.target.tensor in names) for names in self.cuts)
        return tuple(part for part in parts if part) or (self.steps,)

    @property
    def loops(self) -> tuple[str, ...]:
        """All indices, from the outermost loop to the innermost."""
        indices = (*self.outer, *self.reduced, *([SAMPLE] if self.samples else []))
        return (*(i for i in indices if i != self.lanes), *(i for i in indices if i == self.lanes))

    def show(self) -> str:
        """The loops and the steps in them, as text."""
        blocks = "" if self.shape is Shape.LOOPS else f" in {self.shape.value}"
        written_out = f", {', '.join(self.few)} written out" if self.few else ""
        head = f"for {', '.join(self.loops)}{written_out}{blocks}:" if self.loops else "once:"
        parts = ("\n".join(f"    {step}" for step in part) for part in self.parts)
        return "\n".join([head, "\n  in the same loops or the next:\n".join(parts)])


@dataclass(frozen=True)
class Branch:
    """The nest that runs where a condition holds, and the one that runs elsewhere, if any."""

    when: When
    then: Nest
    otherwise: Nest | None = None


def only(nests: Iterable[Nest], wanted: Callable[[Step], bool]) -> tuple[Nest, ...]:
    """The nests with those of their steps that are wanted, without any that has none."""
    kept = (replace(nest, steps=tuple(filter(wanted, nest.steps))) for nest in nests)
    return tuple(nest for nest in kept if nest.steps)


@dataclass(frozen=True)
class Kernel:
    """The loops of one entry point, and the places of its tensors."""

    name: str
    before: tuple[Nest, ...]
    tile: tuple[Nest, ...]
    after: tuple[Nest, ...]
    storage: dict[str, Storage]
    arrays: int
    sums: int
    whole: int
    """The values up to the last of the sums that come from blocks with one partial sum each; they lie in the gradient,
    or behind it."""
    across: int
    """The other sums that come from blocks, with a partial sum in every lane; they lie first."""
    in_place: frozenset[str]
    """The whole sums that lie where the gradient has them; the others lie behind all of it."""
    crossing: frozenset[str] = frozenset()
    """The arrays that only later parts of the nest read that computes them: of use where its loops are cut."""
    measured: tuple[Nest, ...] = ()
    """What metrics need of a tile besides: it runs only where they are wanted."""
    outputs: tuple[Element, ...] = ()
    """The outputs that metrics compare with targets; they are kept until the tile is done."""
    of_loss: frozenset[str] = frozenset()
    """The tensors of a tile that the loss needs, and neither the gradient nor metrics: they are not always wanted."""
    in_vectors: bool = False
    """Whether all but what copies rows from and to outside works on whole vectors (see ``vectors``)."""
    whole_rows: bool = False
    """Whether it is given the rows of whole vectors alone (see ``vectors``)."""

    @property
    def direct(self) -> bool:
        """Whether the lanes of a block are added up in every tile."""
        return self.across > PARTIALS

    @property
    def finishing(self) -> tuple[Nest, ...]:
        """What comes after the samples, but for copies of sums to the gradient, where they lie in place."""
        return only(self.after, lambda step: not self._copies_in_place(step))

    @property
    def descends(self) -> bool:
        """Whether sums in place come behind all that reads parameters: what has them may be the parameters."""
        whole = (n for n, nest in enumerate(self.tile) if nest.steps[0].target.tensor in self.in_place)
        first = next(whole, None)
        of_parameters = {step.target.tensor for nest in self.before for step in nest.steps}
        of_parameters = {name for name in of_parameters if self.storage[name].place is Place.LOCAL}  # computed again
        later = (*self.tile[first:], *self.measured, *self.finishing)
        read = {operand.tensor for nest in later for step in nest.steps for operand in step.operands}
        kept = Place.PARAMETER not in {self.storage[name].place for name in read}
        return first is not None and kept and not read & of_parameters

    def _copies_in_place(self, step: Step) -> bool:
        """Whether a step copies a sum that lies in place, which no other reads."""
        return isinstance(step.expression, Element) and step.expression.tensor in self.in_place

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests, in their order, but for what metrics need besides."""
        return (*self.before, *self.tile, *self.after)

    @property
    def nests_with_metrics(self) -> tuple[Nest, ...]:
        """All nests, in their order."""
        return (*self.before, *self.tile, *self.measured, *self.after)

    @property
    def shapes(self) -> frozenset[Shape]:
        """The shapes that occur."""
        return frozenset(nest.shape for nest in self.nests)

    def show(self) -> str:
        """The loops, and what lives outside of local variables, as text."""
        notes = {
            "on whole vectors": self.in_vectors or self.whole_rows,
            "by which parameters may change where they are": self.descends,
        }
        lines = [", ".join([f"kernel {self.name}", *(note for note, holds in notes.items() if holds)])]
        parts = {"before": self.before, "tile": self.tile, "metrics": self.measured, "after": self.after}
        for title, nests in parts.items():
            if nests:
                lines.append(f"  {title}")
                lines += ["    " + line for nest in nests for line in nest.show().splitlines()]
        lines.append(f"  work memory {self.arrays} values, sums {self.sums}")
        for name, storage in self.storage.items():
            if storage.place is Place.ARRAY:
                strides = f", strides {', '.join(map(str, storage.strides))}" if storage.strides else ""
                lines.append(f"    {name} at {storage.offset}{strides}")
        return "\n".join(lines) + "\n"

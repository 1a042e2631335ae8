"""What the stage ``schedule`` gives: the kernels of every plan, and what follows from them for a whole training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from sympy import Pow, log

from nncodegen.ir import SAMPLE, Companion, Program, Tensor
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout, bytes_of
from nncodegen.schedule.registers import Registers
from nncodegen.schedule.shapes import Shape
from nncodegen.schedule.side_by_side import SideBySide, SingleSample
from nncodegen.schedule.storage import Place
from nncodegen.schedule.tree import Group
from nncodegen.schedule.walks import steps_in, walk

BATCH = 4096
"""Samples up to which a batch counts as usual where it has statistics."""

MEMORY = 2**25
"""Bytes up to which the arrays of its tiles are kept, in each thread."""

Range = tuple[int, int]
"""The numbers of the first of some values, and of the first behind them."""


@dataclass(frozen=True)
class Descent:
    """Plain gradient descent where the parameters are: its number among the updates, and the most samples of a batch.

    The derivatives in the ranges ``elsewhere`` come from sums in other places, and are taken from the parameters after.
    """

    update: int
    samples: int
    elsewhere: tuple[Range, ...]


@dataclass(frozen=True)
class Schedule:
    """A program and the kernels that compute its outputs, its loss, and its loss with the gradient.

    Where these run in blocks, a single sample has kernels of its own. Where the program is small, there are statements
    without a loop for training on single samples. Many models are trained side by side if the program is a formula, or
    a small network.
    """

    program: Program
    layout: Layout
    kernels: tuple[Kernel, ...]
    unrolled: Registers | None = None
    side_by_side: SideBySide | None = None
    single_sample: SingleSample | None = None
    companions: tuple[Schedule, ...] = ()
    """Those of the companions of the program, each with a kernel by its name."""
    fits: SideBySide | None = None
    """The rows of many fits side by side."""
    companion: Companion | None = None
    """What it is the schedule of, if that is a companion."""

    @property
    def gradient(self) -> Kernel:
        """The kernel of the loss and the gradient."""
        return self.kernels[-1]

    @property
    def sharing(self) -> tuple[Kernel, ...]:
        """All kernels that work in the same memory: those of tiles, and those of single samples."""
        single = self.single_sample
        others = (single.predict, single.gradient) if single else ()
        return (*self.kernels, *(kernel for kernel in others if kernel))

    @property
    def loops(self) -> int:
        """How many nests of loops, and calls, the kernels have for a tile."""
        groups = (each for kernel in self.kernels for each in walk(kernel.trees.tile) if isinstance(each, Group))
        return sum(1 for group in groups if group.steps)

    @property
    def many(self) -> bool:
        """Whether many models are trained side by side."""
        return bool(self.side_by_side)

    @property
    def calls_blas(self) -> bool:
        """Whether any product is left to BLAS."""
        return any(Shape.BLAS in kernel.shapes for kernel in self.kernels)

    @property
    def tile(self) -> int:
        """The samples of a tile."""
        return self.layout.tile

    @property
    def blocks(self) -> bool:
        """Whether any steps are computed in blocks or vectors, for which tiles are padded."""
        return self.program.moves or any(kernel.shapes for kernel in self.kernels)

    def in_vectors(self, place: Place) -> bool:
        """Whether vectors along the samples are read from rows of a place outside, which then must fill these."""
        return any(kernel.storage[name].place is place for kernel in self.kernels for name in kernel.along)

    @property
    def flushes_subnormals(self) -> bool:
        """Whether subnormal numbers are next to nothing: no logarithm or root is taken of what depends on samples."""
        expressions = [step.expression for step in self.program.steps if SAMPLE in step.indices]
        powers = (power for expression in expressions for power in expression.atoms(Pow))
        return not any(expression.has(log) for expression in expressions) and all(p.exp.is_Integer for p in powers)

    @property
    def penalized(self) -> tuple[Range, ...]:
        """The ranges of the parameters for which there are penalties."""
        return self._ranges(lambda tensor: tensor.penalized and tensor.trained)

    @property
    def frozen(self) -> tuple[Range, ...]:
        """The ranges of the parameters that keep their values."""
        return self._ranges(lambda tensor: not tensor.trained)

    def _ranges(self, wanted: Callable[[Tensor], bool]) -> tuple[Range, ...]:
        """The ranges of some parameters; neighbours are one range."""
        ranges: list[Range] = []
        for tensor, start in self._with_starts:
            if wanted(tensor) and ranges and ranges[-1][1] == start:
                ranges[-1] = ranges[-1][0], start + tensor.size
            elif wanted(tensor):
                ranges.append((start, start + tensor.size))
        return tuple(ranges)

    @property
    def transposed(self) -> tuple[tuple[int, int, int], ...]:
        """The matrices of parameters that lie transposed in a training: where they begin, their rows and columns."""
        matrices = ((tensor, start) for tensor, start in self._with_starts if tensor.name in self.layout.transposed)
        return tuple((start, tensor.shape[0] or 1, tensor.shape[1] or 1) for tensor, start in matrices)

    @property
    def ranges(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """Those of all kinds."""
        return {"PENALIZED": self.penalized, "FROZEN": self.frozen, "FOLLOWING": self.following}

    @property
    def in_phases(self) -> dict[str, int]:
        """How often a gradient works through all samples, and how many tiles are kept, where that is more than once."""
        return {"PHASES": self.gradient.trees.phases, "KEPT": self.kept} if self.gradient.trees.phases > 1 else {}

    @property
    def kept(self) -> int:
        """Of how many tiles the arrays are kept from one phase to the next: of those of usual batches."""
        bytes_of_a_tile = bytes_of(max(kernel.memory.arrays for kernel in self.sharing), self.program)
        return max(1, min(BATCH // self.tile, MEMORY // max(1, bytes_of_a_tile)))

    @property
    def following(self) -> tuple[tuple[int, int, float], ...]:
        """The ranges of the parameters that follow statistics of the batches, each with its momentum."""
        known = ((tensor, start) for tensor, start in self._with_starts if tensor.momentum is not None)
        return tuple((start, start + tensor.size, tensor.momentum or 0.0) for tensor, start in known)

    @property
    def _with_starts(self) -> tuple[tuple[Tensor, int], ...]:
        """The parameters, and where each begins."""
        starts = accumulate((tensor.size for tensor in self.program.parameters), initial=0)
        return tuple(zip(self.program.parameters, starts, strict=False))

    @property
    def descent(self) -> Descent | None:
        """How parameters change where they are; none if no optimizer or no kernel does that."""
        number = next((k for k, update in enumerate(self.program.updates) if update.is_plain_descent), None)
        single = self.single_sample is not None and self.single_sample.gradient is not None
        if number is None or not (self.gradient.descends or single):
            return None
        finished = (step.target for step in steps_in(self.gradient.trees.after))
        places = ((self.gradient.storage[e.tensor], self.program.count(e.indices)) for e in finished)
        ranges = tuple((known.offset, known.offset + size) for known, size in places if known.place is Place.GRADIENT)
        return Descent(number, self.tile if self.gradient.descends else 1, ranges)

    def show(self) -> str:
        """The choices, the loops of every kernel, and what lives outside of local variables, as text."""
        notes = {"single samples in registers": bool(self.unrolled), "many models in the lanes of vectors": self.many}
        small = [", ".join(note for note, holds in notes.items() if holds) + "\n"] if any(notes.values()) else []
        others = [plan.show() for plan in (self.single_sample, self.unrolled, self.side_by_side, self.fits) if plan]
        kernels = (kernel.show() for kernel in self.kernels)
        own = [self.layout.show(), self._show_training(), *small, *kernels, *others]
        derived = (f"-- {each.companion.name}\n\n{each.show()}" for each in self.companions if each.companion)
        return "\n".join([*own, *derived])

    def _show_training(self) -> str:
        """What holds in all of a training, as text."""
        flushed = "count as zero" if self.flushes_subnormals else "keep their values"
        lines = [f"subnormal numbers {flushed} in a training"]
        if self.in_phases:
            most = f"{self.kept * self.tile:,} samples"
            lines.append(
                f"a batch has {self.gradient.trees.phases} phases; of one of more than {most}, those before run again"
            )
        if self.descent:
            name = self.program.updates[self.descent.update].name
            most = f"{self.descent.samples} samples" if self.descent.samples > 1 else "one sample"
            lines.append(f"{name} changes parameters where they are, in batches of up to {most}")
        return "\n".join(lines) + "\n"

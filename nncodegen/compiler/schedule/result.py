"""The result of the stage ``schedule``: the kernels of every plan, and the data of a training that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Pow, log

from nncodegen.compiler.ir import SAMPLE, Companion, Program, Tensor, slices_of
from nncodegen.compiler.passes.findings import NO_FINDINGS, Findings
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout, bytes_of
from nncodegen.compiler.schedule.plain import OneSample
from nncodegen.compiler.schedule.rates import Rates
from nncodegen.compiler.schedule.registers import Registers
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.side_by_side import SideBySide, SingleSample
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Group
from nncodegen.compiler.schedule.tree_walks import steps_in, walk

BATCH = 4096
"""Number of samples up to which the size of a batch with statistics counts as usual."""

MEMORY = 2**25
"""Bytes up to which the arrays of the tiles of such a batch are kept, in each thread."""

Range = tuple[int, int]
"""A range of values: the number of the first, and of the first after the last."""


@dataclass(frozen=True)
class Descent:
    """Plain gradient descent in place: the number of its update, and the largest number of samples of a batch.

    The derivatives in the ranges ``elsewhere`` come from sums in other places, and are subtracted from the parameters
    afterwards.
    """

    update: int
    samples: int
    elsewhere: tuple[Range, ...]


@dataclass(frozen=True)
class Schedule:
    """A program and the kernels that compute its outputs and, if it has one, its loss, and its loss with the gradient.

    Where these run in blocks, a single sample has separate kernels. A small program has statements without a loop for
    training on single samples. Many models are trained side by side if the program is a formula or a small network.
    """

    program: Program
    layout: Layout
    kernels: tuple[Kernel, ...]
    unrolled: Registers | None = None
    side_by_side: SideBySide | None = None
    single_sample: SingleSample | None = None
    companions: tuple[Schedule, ...] = ()
    """The schedules of the companions of the program, each with one named kernel."""
    fits: SideBySide | None = None
    """The kernel of the rows of many fits side by side."""
    companion: Companion | None = None
    """The companion that this is the schedule of, if any."""
    rates: tuple[Rates, ...] = ()
    """The kernels of the rates of differential equations with networks."""
    findings: Findings = NO_FINDINGS
    """The findings of the stages before this one."""
    point: OneSample | None = None
    """The kernel of one point, of a program of values alone."""

    @property
    def fits_apart(self) -> SideBySide | None:
        """Return the kernel of the rows of many fits if it has a file of its own.

        That of sweeps takes compilers as long as the fit itself, which most programs need alone.
        """
        return self.fits if self.companion and self.companion.forward else None

    @property
    def operations(self) -> tuple[int, int] | None:
        """Return the operations for one sample before and after the program was simplified, if they were counted."""
        return (self.companion or self.findings).operations

    @property
    def gradient(self) -> Kernel:
        """Return the kernel of the loss and the gradient."""
        return self.kernels[-1]

    @property
    def sharing(self) -> tuple[Kernel, ...]:
        """Return all kernels that share work memory: those of tiles, and those of single samples."""
        single = self.single_sample
        single_kernels = (single.predict, single.gradient) if single else ()
        return (*self.kernels, *(kernel for kernel in single_kernels if kernel))

    @property
    def loops(self) -> int:
        """Return the number of nests of loops and calls that the kernels have for a tile."""
        groups = (each for kernel in self.kernels for each in walk(kernel.trees.tile) if isinstance(each, Group))
        return sum(1 for group in groups if group.steps)

    @property
    def many(self) -> bool:
        """Return whether many models are trained side by side."""
        return bool(self.side_by_side)

    @property
    def calls_blas(self) -> bool:
        """Return whether any product is left to BLAS."""
        return any(Shape.BLAS in kernel.shapes for kernel in self.kernels)

    @property
    def tile(self) -> int:
        """Return the samples of a tile."""
        return self.layout.tile

    @property
    def blocks(self) -> bool:
        """Return whether any steps are computed in blocks or vectors. Their tiles are padded."""
        return self.program.moves or any(kernel.shapes for kernel in self.kernels)

    @property
    def long(self) -> bool:
        """Return whether a kernel runs in several functions. Then tiles are padded, as those of blocks are.

        Otherwise compilers copy each loop for samples that do not fill a vector: of 990 parameters, a quarter of their
        time went into these copies. Such samples are computed faster in a vector, too: batches of 5 take half the time.
        """
        return any(kernel.trees.long for kernel in self.kernels)

    def in_vectors(self, place: Place) -> bool:
        """Return whether vectors along the samples are read from rows of a place outside, which must then fill them."""
        return any(kernel.storage[name].place is place for kernel in self.kernels for name in kernel.along)

    @property
    def flushes_subnormals(self) -> bool:
        """Return whether subnormal numbers count as zero: no logarithm or root depends on samples."""
        expressions = [step.expression for step in self.program.steps if SAMPLE in step.indices]
        powers = (power for expression in expressions for power in expression.atoms(Pow))
        return not any(expression.has(log) for expression in expressions) and all(p.exp.is_Integer for p in powers)

    @property
    def penalized(self) -> tuple[Range, ...]:
        """Return the ranges of the parameters that have penalties."""
        return self._ranges(lambda tensor: tensor.penalized and tensor.trained)

    @property
    def frozen(self) -> tuple[Range, ...]:
        """Return the ranges of the parameters that keep their values."""
        return self._ranges(lambda tensor: not tensor.trained)

    def _ranges(self, wanted: Callable[[Tensor], bool]) -> tuple[Range, ...]:
        """Return the ranges of some parameters; neighbours are one range."""
        ranges: list[Range] = []
        for tensor, values in slices_of(self.program.parameters):
            if wanted(tensor) and ranges and ranges[-1][1] == values.start:
                ranges[-1] = ranges[-1][0], values.stop
            elif wanted(tensor):
                ranges.append((values.start, values.stop))
        return tuple(ranges)

    @property
    def transposed(self) -> tuple[tuple[int, int, int], ...]:
        """Return the begin, rows and columns of each matrix of parameters that lies transposed in a training."""
        parameters = slices_of(self.program.parameters)
        matrices = ((tensor, values.start) for tensor, values in parameters if tensor.name in self.layout.transposed)
        return tuple((start, tensor.shape[0] or 1, tensor.shape[1] or 1) for tensor, start in matrices)

    @property
    def ranges(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """Return the ranges of all kinds, by the names of their constants."""
        return {"PENALIZED": self.penalized, "FROZEN": self.frozen, "FOLLOWING": self.following}

    @property
    def in_phases(self) -> dict[str, int]:
        """Return the number of phases and of kept tiles, if a gradient goes through all samples more than once."""
        return {"PHASES": self.gradient.trees.phases, "KEPT": self.kept} if self.gradient.trees.phases > 1 else {}

    @property
    def kept(self) -> int:
        """Return for how many tiles the arrays are kept from one phase to the next: enough for usual batches."""
        bytes_of_a_tile = bytes_of(max(kernel.memory.arrays for kernel in self.sharing), self.program)
        return max(1, min(BATCH // self.tile, MEMORY // max(1, bytes_of_a_tile)))

    @property
    def following(self) -> tuple[tuple[int, int, float], ...]:
        """Return the ranges of the parameters that follow statistics of the batches, each with its momentum."""
        parameters = slices_of(self.program.parameters)
        return tuple(
            (values.start, values.stop, parameter.momentum)
            for parameter, values in parameters
            if parameter.momentum is not None
        )

    @property
    def descent(self) -> Descent | None:
        """Return how parameters are updated in place; None if no optimizer or no kernel does that."""
        number = next((k for k, update in enumerate(self.program.updates) if update.is_plain_descent), None)
        single = self.single_sample is not None and self.single_sample.gradient is not None
        if number is None or not (self.gradient.descends or single):
            return None
        finished = (step.target for step in steps_in(self.gradient.trees.after))
        places = ((self.gradient.storage[e.tensor], self.program.count(e.indices)) for e in finished)
        ranges = tuple((known.offset, known.offset + size) for known, size in places if known.place is Place.GRADIENT)
        return Descent(number, self.tile if self.gradient.descends else 1, ranges)

    def show(self) -> str:
        """Return the choices, the loops of every kernel, and the tensors that are not local variables, as text."""
        notes = {"single samples in registers": bool(self.unrolled), "many models in the lanes of vectors": self.many}
        small = [", ".join(note for note, holds in notes.items() if holds) + "\n"] if any(notes.values()) else []
        plans = (self.single_sample, self.unrolled, self.side_by_side, self.fits, *self.rates)
        plan_texts = [plan.show() for plan in plans if plan]
        kernels = (kernel.show() for kernel in self.kernels)
        sections = [self.layout.show(), self._show_training(), *small, *kernels, *plan_texts]
        derived = (f"-- {each.companion.name}\n\n{each.show()}" for each in self.companions if each.companion)
        return "\n".join([*sections, *derived])

    def _show_training(self) -> str:
        """Return the facts about a whole training, as text."""
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

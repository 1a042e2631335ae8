"""The plans of a program: which kernels there are besides those of a tile, and what each of their axes does."""

from __future__ import annotations

from dataclasses import dataclass

from nncodegen.ir import Program
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.registers import StraightLine


@dataclass(frozen=True)
class Scalars:
    """A program without an index but that of the samples: its statements for training in registers.

    ``group`` is for many models of it, if it is a formula.
    """

    program: Program
    kernel: StraightLine
    group: Lanes | None


@dataclass(frozen=True)
class Lanes:
    """The kernel of the gradients of so many models, whose values lie side by side, for tiles of so many samples."""

    models: int
    samples: int
    kernel: Kernel

    def show(self) -> str:
        """The loops, as text: each has one over the models innermost."""
        samples = f"{self.samples} samples of each in a tile" if self.samples > 1 else "one sample of each"
        head = f"{self.models} models side by side, {samples}\n"
        return "\n".join([head, self.kernel.show()])


@dataclass(frozen=True)
class Rows:
    """A program without samples, and the kernels of one: of its outputs, and of its loss with the gradient.

    The gradient of a batch of up to so many samples is taken one by one.
    """

    program: Program
    predict: Kernel
    gradient: Kernel | None
    samples: int

    def show(self) -> str:
        """The loops, as text."""
        kernels = [self.predict, *([self.gradient] if self.gradient else [])]
        head = f"sample by sample, gradients in batches of up to {self.samples}\n"
        return "\n".join([head, *(kernel.show() for kernel in kernels)])


@dataclass(frozen=True)
class Schedule:
    """A program and the kernels that compute its outputs, its loss, and its loss with the gradient.

    Where these run in blocks, single samples have kernels of their own, ``rows``. Where the program is small,
    ``scalars`` are for training on single samples; many models are trained side by side by them if it is a formula,
    and by ``lanes`` if it is a network.
    """

    program: Program
    layout: Layout
    kernels: tuple[Kernel, ...]
    scalars: Scalars | None = None
    lanes: Lanes | None = None
    rows: Rows | None = None

    @property
    def many(self) -> bool:
        """Whether many models are trained side by side."""
        return bool(self.lanes or (self.scalars and self.scalars.group))

    @property
    def tile(self) -> int:
        """The samples of a tile."""
        return self.layout.tile

    @property
    def blocks(self) -> bool:
        """Whether any nest is run in blocks or vectors, for which tiles are padded."""
        return bool(self.rows)

    def show(self) -> str:
        """The choices, the loops of every kernel, and what lives outside of local variables, as text."""
        notes = {"single samples in registers": bool(self.scalars), "many models in the lanes of vectors": self.many}
        small = [", ".join(note for note, holds in notes.items() if holds) + "\n"] if any(notes.values()) else []
        straight, group = (self.scalars.kernel, self.scalars.group) if self.scalars else (None, None)
        others = [plan.show() for plan in (self.rows, self.lanes, straight, group) if plan]
        return "\n".join([self.layout.show(), *small, *(kernel.show() for kernel in self.kernels), *others])

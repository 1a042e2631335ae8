"""Kernels other than those of a tile: for models side by side, and for single samples."""

from __future__ import annotations

from dataclasses import dataclass

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout, bytes_of

BYTES = 2**24
"""Bytes of a group up to which the values of its recurrences may lie side by side."""


@dataclass(frozen=True)
class SideBySide:
    """The kernel of the gradients of a group of models, whose values lie side by side, for short tiles of samples."""

    layout: Layout
    kernel: Kernel

    @property
    def models(self) -> int:
        """Return the number of models of a group."""
        return self.layout.padding

    @property
    def samples(self) -> int:
        """Return the number of samples of each model in a tile."""
        return self.layout.tile

    def show(self) -> str:
        """Return the loops as text; each has one over the models innermost."""
        samples = f"{self.samples} samples of each in a tile" if self.samples > 1 else "one sample of each"
        head = f"{self.models} models side by side, {samples}\n"
        return "\n".join([head, self.kernel.show()])


def takes_much_memory(values: int, models: int, program: Program) -> bool:
    """Return whether this number of values of each model or fit is too much for a group of them."""
    return bytes_of(values * models, program) > BYTES


@dataclass(frozen=True)
class SingleSample:
    """A program without samples, and the kernels of one: of its outputs, and of its loss with the gradient.

    The gradient of a batch of up to ``samples`` samples is computed one by one.
    """

    program: Program
    predict: Kernel
    gradient: Kernel | None
    samples: int

    def show(self) -> str:
        """Return the loops, as text."""
        kernels = [self.predict, *([self.gradient] if self.gradient else [])]
        head = f"sample by sample, gradients in batches of up to {self.samples}\n"
        return "\n".join([head, *(kernel.show() for kernel in kernels)])

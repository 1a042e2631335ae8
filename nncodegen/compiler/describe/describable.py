"""The interface between a model and the compiler: an object that describes itself as a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.ir import Program


@runtime_checkable
class Describable(Protocol):
    """A model of any kind: it has a name, optimizers in addition to the usual ones, and a program."""

    @property
    def name(self) -> str:
        """Return the name of the model, which is also that of its program."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Return the update rules in addition to those that every model has."""
        ...

    def describe(self) -> Program:
        """Return the model as a Program: steps for its outputs and the loss."""
        ...


@dataclass(frozen=True)
class Described:
    """A program as a model, such as one from a file: it is described already."""

    program: Program
    optimizers: tuple[Optimizer, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the program."""
        return self.program.name

    def describe(self) -> Program:
        """Return the program itself."""
        return self.program


@dataclass(frozen=True)
class Named:
    """A model under another name."""

    model: Describable
    name: str

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Return the optimizers of the model."""
        return self.model.optimizers

    def describe(self) -> Program:
        """Return the program of the model under the new name."""
        return replace(self.model.describe(), name=self.name)

"""What a model is to the compiler: an object that describes itself as a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from nncodegen.describe.optimizers import Optimizer
from nncodegen.ir import Program


@runtime_checkable
class Describable(Protocol):
    """A model of any kind: it has a name, rules of optimizers besides the usual ones, and a program."""

    @property
    def name(self) -> str:
        """The name of the model, which the program has, too."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Update rules besides those that every model has."""
        ...

    def describe(self) -> Program:
        """The model as steps: its outputs and the loss."""
        ...


@dataclass(frozen=True)
class Named:
    """A model under another name."""

    model: Describable
    name: str

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Those of the model."""
        return self.model.optimizers

    def describe(self) -> Program:
        """The program of the model."""
        return replace(self.model.describe(), name=self.name)

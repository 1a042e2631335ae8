"""What a model is to the compiler: an object that describes itself as a program."""

from __future__ import annotations

from collections.abc import Sequence
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

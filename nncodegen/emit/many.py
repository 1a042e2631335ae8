"""Training of many models at once: lanes of vectors are models.

The values of a group of models lie side by side: ``parameters[p][m]``. A group always has MODELS lanes, the last one
too, so that the bits of a model do not depend on how many there are. The gradient of a group comes from the statements
of a formula (see ``formulas``) or from the loops of a network (see ``lanes``); updates, epochs and what is told of them
are the same for both.
"""

from __future__ import annotations

from typing import Protocol

from nncodegen.emit.formulas import FormulaGroup
from nncodegen.emit.lanes import NetworkGroup
from nncodegen.emit.lines import Lines
from nncodegen.schedule import Schedule


class Group(Protocol):
    """What writes the gradient of a group of models."""

    models: str
    """The models of a group, in C."""
    samples: int
    """The samples of each model that the gradient takes at once."""
    values: int
    """The values of a model that the gradient keeps in memory meanwhile."""
    sums: int
    """The sums of a model over samples: the loss, then the derivatives by its parameters unless they lie apart."""
    finishes: bool
    """Whether something is left to do when all samples are summed up."""
    gradient_apart: bool
    """Whether the gradient has memory of its own."""

    def emit_gradient(self) -> None:
        """The function that adds some samples of each model to the sums."""

    def emit_finish(self) -> None:
        """The function that does what is left to do."""


class GroupEmitter:
    """Writes the gradient of a group of models."""

    def __init__(self, schedule: Schedule, lines: Lines) -> None:
        self._program = schedule.program
        self._group: Group
        if schedule.lanes:
            self._group = NetworkGroup(self._program, schedule.lanes, lines)
        elif schedule.scalars:
            self._group = FormulaGroup(schedule.scalars, lines)

    def emit(self) -> None:
        """The functions of a group."""
        self._group.emit_gradient()
        if self._group.finishes:
            self._group.emit_finish()
        group = self._group
        self._descends = isinstance(group, FormulaGroup) and group.emit_descent(self._program.updates) is not None

    @property
    def configuration(self) -> dict[str, object]:
        """What the runtime must know of a group, once its functions are written."""
        group = self._group
        flags = {
            "GROUP_FINISHES": group.finishes,
            "GROUP_GRADIENT_APART": group.gradient_apart,
            "GROUP_DESCENDS": self._descends,
        }
        return {
            "MODELS": group.models,
            "GROUP_SAMPLES": group.samples,
            "GROUP_VALUES": group.values,
            "GROUP_SUMS": group.sums,
            **{name: 1 for name, holds in flags.items() if holds},
        }

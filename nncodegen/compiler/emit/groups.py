"""The kernel of a group of models side by side: those of a formula, or of a network.

The innermost loop runs over the models of a group, whose values are contiguous: ``parameters[p*MODELS + lane]``, and
``h1[(j*8 + n)*MODELS + lane]``. The sums over samples lie in the order of the parameters, after the loss: they are the
gradient, or the values from which ``group_finish`` computes it (see ``schedule.formulas`` and ``schedule.layers``).
"""

from __future__ import annotations

from nncodegen.compiler.emit.calls import CallsOfModels
from nncodegen.compiler.emit.elements import ElementsOfModels
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule import SideBySide
from nncodegen.compiler.schedule.tree import CallerFlag, If, Tree
from nncodegen.compiler.schedule.tree_walks import walk


class GroupEmitter:
    """Writer of the functions of a group of models."""

    def __init__(self, program: Program, group: SideBySide, lines: Lines) -> None:
        self._program, self._group, self._kernel, self._lines = program, group, group.kernel, lines
        self._at = ElementsOfModels(program, group.layout, group.kernel)
        self._trees = group.kernel.trees

    def emit(self) -> None:
        """Write the gradient, which an update may apply without storing it, and the function of the finished sums."""
        self._emit_gradient()
        if self._trees.after:
            self._emit_finish()

    @property
    def configuration(self) -> dict[str, object]:
        """Return the settings of the group for the runtime."""
        flags = {
            "GROUP_FINISHES": self._trees.after,
            "GROUP_GRADIENT_APART": self._trees.after and not self._program.layered,
            "GROUP_DESCENDS": self._descends,
        }
        return {
            "MODELS": self._group.models,
            "GROUP_SAMPLES": self._group.samples,
            "GROUP_VALUES": self._kernel.memory.arrays,
            "GROUP_SUMS": self._kernel.memory.sums,
            **{name: 1 for name, holds in flags.items() if holds},
        }

    @property
    def _descends(self) -> bool:
        """Return whether the gradient of a sample can be subtracted from the parameters at once."""
        conditions = (each.condition for each in walk(self._trees.tile) if isinstance(each, If))
        return CallerFlag.DESCENT in conditions

    def _emit_gradient(self) -> None:
        lines = self._lines
        about = (
            "/* The derivatives of the losses of some samples of each model, and the losses if they are asked for: the",
            "   sums, or (add) what is added to them. Values that several loops need lie in the array values. */",
        )
        head = (
            "static HOT void group_gradient(int add, int with_loss, const real *restrict parameters,\n"
            "    const real *restrict inputs, const real *restrict targets, real weight, size_t count,\n"
            "    real *restrict values, real *restrict sums)"
        )
        if not self._descends:
            lines.add(*about)
            with lines.function(head):
                self._emit(self._trees.tile)
            lines.add("")
            return
        lines.add("/* Loops that give derivatives or (descends) the next parameters, compiled for each. */")
        with lines.function(
            "INLINE void group_loops(int descends, int add, int with_loss, const real *restrict learning_rates,\n"
            "    const real *restrict parameters, const real *restrict inputs, const real *restrict targets,\n"
            "    real weight, real *restrict values, real *restrict sums, real *restrict next)"
        ):
            self._emit(self._trees.tile)
        lines.add("", *about)
        with lines.function(head):
            lines.add("group_loops(0, add, with_loss, 0, parameters, inputs, targets, weight, values, sums, 0);")
        lines.add("", "/* The next parameters by gradient descent, of one sample of each model. */")
        with lines.function(
            "static HOT void group_descend(const real *restrict learning_rates, const real *restrict parameters,\n"
            "    const real *restrict inputs, const real *restrict targets, real *restrict values, real *restrict next)"
        ):
            lines.add("group_loops(1, 0, 0, learning_rates, parameters, inputs, targets, 1, values, 0, next);")
        lines.add("")

    def _emit_finish(self) -> None:
        lines = self._lines
        lines.add("/* The gradient of each model, from its sums over the samples of a batch. */")
        with lines.function(
            "static HOT void group_finish(const real *restrict parameters, real *restrict values, const real *sums,\n"
            "    real *gradient)"
        ):
            self._emit(self._trees.after)
        lines.add("")

    def _emit(self, tree: Tree) -> None:
        self._lines.add(*self._at.declarations(tree))
        LoopPrinter(self._at, CallsOfModels(self._at), self._lines).print(tree)

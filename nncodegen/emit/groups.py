"""The kernel of a group of models side by side: those of a formula, or of a network.

The innermost loop runs over the models of a group, whose values lie side by side: ``parameters[p*MODELS + lane]``, and
``h1[(j*8 + n)*MODELS + lane]``. The sums over samples lie in the order of the parameters, behind the loss: they are the
gradient, or what ``group_finish`` computes it from (see ``schedule.formulas`` and ``schedule.layers``).
"""

from __future__ import annotations

from collections.abc import Callable

from nncodegen.emit.calls import CallsOfModels
from nncodegen.emit.elements import ElementsOfModels
from nncodegen.emit.lines import Lines
from nncodegen.emit.loops import LoopPrinter
from nncodegen.emit.printer import Printer
from nncodegen.ir import LEARNING_RATE, Element, Program, Update
from nncodegen.schedule import SideBySide, When
from nncodegen.schedule.tree import Combine, Group, If, Let, Store, Tree, Value, rewritten


class GroupEmitter:
    """Writes the functions of a group of models."""

    def __init__(self, program: Program, group: SideBySide, lines: Lines) -> None:
        self._program, self._group, self._kernel, self._lines = program, group, group.kernel, lines
        self._at = ElementsOfModels(program, group.layout, group.kernel)
        self._trees = group.kernel.trees

    def emit(self) -> None:
        """The gradient, what is computed from the finished sums, and an update that stores no gradient."""
        self._emit_gradient()
        if self._kernel.after:
            self._emit_finish()
        if self._descent:
            self._emit_descent(self._descent)

    @property
    def configuration(self) -> dict[str, object]:
        """What the runtime must know of the group."""
        flags = {
            "GROUP_FINISHES": self._kernel.after,
            "GROUP_GRADIENT_APART": self._kernel.after and not self._program.layered,
            "GROUP_DESCENDS": self._descent,
        }
        return {
            "MODELS": self._group.models,
            "GROUP_SAMPLES": self._group.samples,
            "GROUP_VALUES": self._kernel.arrays,
            "GROUP_SUMS": self._kernel.sums,
            **{name: 1 for name, holds in flags.items() if holds},
        }

    @property
    def _descent(self) -> Update | None:
        """Plain gradient descent, if the gradient of a sample can be subtracted from the parameters at once."""
        if self._program.layered or self._kernel.after:
            return None
        return next((update for update in self._program.updates if update.is_descent), None)

    def _emit_gradient(self) -> None:
        lines = self._lines
        lines.add(
            "/* The derivatives of the losses of some samples of each model, and the losses if they are asked for: the",
            "   sums, or (add) what is added to them. Values that several loops need lie in the array values. */",
        )
        count = " size_t count," if self._group.samples > 1 else ""
        with lines.function(
            "static HOT void group_gradient(int add, int with_loss, const real *restrict parameters,\n"
            f"    const real *restrict inputs, const real *restrict targets, real weight,{count}\n"
            "    real *restrict values, real *restrict sums)"
        ):
            self._emit(self._tile)
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

    def _emit_descent(self, update: Update) -> None:
        """The gradient for one sample of each model and its update at once."""
        lines = self._lines
        lines.add(f"/* The next parameters by {update.name} of one sample of each model. */")

        def descend(target: Element, gradient: str) -> str:
            position = f"{self._kernel.storage[target.tensor].offset - 1}*MODELS + lane"  # behind the loss
            return f"next[{position}] = {_next(update, self._program.precision, position, gradient)};"

        with lines.function(
            "static HOT void group_descend(const real *restrict learning_rates, const real *restrict parameters,\n"
            "    const real *restrict inputs, const real *restrict targets, real *restrict values, real *restrict next)"
        ):
            lines.add("const real weight = 1;")
            self._emit(rewritten(self._tile, {If: _without_loss, Group: _not_empty, Store: _descent}), descend)
        lines.add("")

    @property
    def _tile(self) -> Tree:
        ((_, tree),) = self._trees.parts
        return tree

    def _emit(self, tree: Tree, descend: Callable[[Element, str], str] | None = None) -> None:
        self._lines.add(*self._at.declarations(tree))
        LoopPrinter(self._at, CallsOfModels(self._at), self._lines, descend).print(tree)


def _without_loss(statement: If) -> Tree:
    """What runs where the loss is not wanted."""
    return statement.otherwise if statement.condition is When.LOSS else (statement,)


def _not_empty(group: Group) -> Tree:
    return (group,) if group.body else ()


def _descent(store: Store) -> Tree:
    """The update by a sum that is not stored."""
    if store.combine is not Combine.ADD_OR_SET:
        return (store,)
    target = store.target
    return (Let(target, store.value), Store(target, Value((target,)), Combine.DESCEND))


def _next(update: Update, precision: str, position: str, gradient: str) -> str:
    """The next value of the parameter at a position, given the name of its derivative."""
    texts = {"parameter": f"parameters[{position}]", "gradient": gradient, LEARNING_RATE: "learning_rates[lane]"}
    return Printer(precision, lambda element: texts[element.tensor]).print(update.steps[0].expression)

"""The gradient of a group of models of a formula: the statements of one sample, in loops over the models.

The innermost loop runs over a group of models, whose values lie side by side: ``parameters[p][m]``. The statements
stand in several loops, each short enough for a core to overlap its rounds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from sympy import Abs, Function, Piecewise, count_ops

from nncodegen.emit.chains import unbranched
from nncodegen.emit.descent import LEARNING_RATE, is_descent
from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import SAMPLE, Element, Step, Update, needed
from nncodegen.schedule import Place, Scalars, Storage

WINDOW = 32
"""Operations of a loop over the models. A core looks about a hundred instructions ahead: where these hold two or three
rounds of a loop, it finds work that does not wait, and none where they hold a part of one long chain."""

BYTES = 512
"""Bytes of the values of a group: several vectors, as many as the innermost loops need to be worth their beginnings."""

CALL = 20
"""Operations of a function such as exp."""


def in_loops(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps in loops of WINDOW/2 to WINDOW operations, a longer step alone, cut where the fewest values go across."""
    costs = [_cost(step) for step in steps]
    across = [len(shared((steps[:cut], steps[cut:]))) for cut in range(len(steps))]
    loops, start = [], 0
    while start < len(steps):
        sums = list(accumulate(costs[start:]))
        end = start + max(1, bisect_right(sums, WINDOW))
        cuts = range(start + 1 + bisect_left(sums, WINDOW / 2), end + 1)
        if end < len(steps) and cuts:
            end = min(cuts, key=lambda cut: (across[cut], -cut))
        loops.append(list(steps[start:end]))
        start = end
    return loops


def _cost(step: Step) -> int:
    """The operations of a step."""
    calls = [node for node in step.expression.atoms(Function) if not isinstance(node, Abs | Piecewise)]
    return int(count_ops(step.expression)) + CALL * len(calls)


def shared(loops: Sequence[Sequence[Step]]) -> list[str]:
    """The tensors that one loop computes and another reads."""
    names = []
    for number, steps in enumerate(loops):
        read = {element.tensor for other in loops[number + 1 :] for step in other for element in step.operands}
        names += [step.target.tensor for step in steps if step.target.tensor in read]
    return names


class FormulaGroup:
    """Writes the gradient of one sample of each model of a group."""

    models, samples = f"{BYTES}/sizeof(real)", 1

    def __init__(self, scalars: Scalars, lines: Lines) -> None:
        program, kernel = scalars.program, scalars.kernel
        self._kernel, self._precision, self._lines = kernel, program.precision, lines
        self._names = Names(("m", "k", "x", "y", "more", "first", "weight", "learning_rates", "values", "with_loss"))
        for tensor in program.declared:
            self._names[tensor.name]
        self._before = [step for nest in kernel.before for step in nest.steps]
        written = (*self._before, *(step for nest in kernel.tile for step in nest.steps))
        sums = tuple(step.target for step in written if SAMPLE in step.over)
        steps = unbranched(written, sums)
        of_gradient = needed(steps, (target for target in sums if target != program.loss))
        self._gradient_loops = in_loops(of_gradient)
        self._shared = shared(self._gradient_loops)
        # The loss is not always asked for: it computes again what is neither shared nor costly.
        costly = [step.target.tensor for step in of_gradient if _cost(step) >= CALL]
        rest = [step for step in steps if step.target.tensor not in {*self._shared, *costly}]
        of_loss = needed(rest, [program.loss])
        read = {element.tensor for step in of_loss for element in step.operands}
        self._shared += [name for name in costly if name in read and name not in self._shared]
        self._loss_loops = in_loops(of_loss)
        self._of_loss = shared(self._loss_loops)
        self._in_arrays: set[str] = set()  # the tensors that the present loops share
        self._after = [step for nest in kernel.after for step in nest.steps]
        self.finishes = self.gradient_apart = not all(map(self._copies, self._after))
        self.sums, self.values = kernel.sums, len(self._shared) + len(self._of_loss)

    def emit_gradient(self) -> None:
        """Adds one sample of each model to the sums of a group."""
        lines = self._lines
        lines.add(
            "/* The derivatives of the loss of one sample of each model, and the loss if it is asked for: the sums, or",
            "   (more) what is added to them. Values that several loops need lie in the array values. */",
        )
        head = (
            "static HOT void group_gradient(int more, int with_loss, const real *restrict parameters,\n"
            "    const real *restrict x, const real *restrict y, real weight, real *restrict values,\n"
            "    real *restrict sums)"
        )
        with lines.block(head), lines.unused("more", "with_loss", "parameters", "x", "y", "weight", "values", "sums"):
            self._emit_loops(self._gradient_loops, [], self._shared)
            with lines.block("if (with_loss)"):
                self._emit_loops(self._loss_loops, self._shared, self._of_loss)
        lines.add("")

    def emit_finish(self) -> None:
        """The gradient, from sums over the samples of a batch."""
        lines = self._lines
        steps = [*needed(self._before, (e for s in self._after for e in s.operands)), *self._after]
        lines.add("/* The gradient of each model, from its sums over the samples of a batch. */")
        head = (
            "static void group_finish(const real *restrict parameters, real *restrict values,\n"
            "    const real *restrict sums, real *restrict gradient)"
        )
        with lines.block(head), lines.unused("parameters", "values", "sums"):
            self._emit_loop(steps)
        lines.add("")

    def _copies(self, step: Step) -> bool:
        """Whether a step says that the derivative by a parameter is the sum in the same place behind the loss."""
        source, target = step.expression, self._kernel.storage[step.target.tensor]
        if not isinstance(source, Element) or target.place is not Place.GRADIENT:
            return False
        storage = self._kernel.storage[source.tensor]
        return storage.place is Place.SUM and storage.offset == 1 + target.offset

    def _emit_loops(
        self, loops: Sequence[Sequence[Step]], known: list[str], shared: list[str], update: Update | None = None
    ) -> None:
        """Loops with the arrays of what they share; those of what is known already have been declared."""
        for number, name in enumerate(shared, start=len(known)):
            self._lines.add(f"real *const {self._names[name]} = values + {number}*MODELS;")
        self._in_arrays = {*known, *shared}
        for steps in loops:
            self._emit_loop(steps, update)
        self._in_arrays = set()

    def _emit_loop(self, steps: Sequence[Step], update: Update | None = None) -> None:
        """A loop over the models; with an update the sums, each of one sample, become the next parameters."""
        self._lines.add("MODELS_LOOP")
        with self._lines.block("for (size_t m = 0; m < MODELS; m++)"):
            self._emit_loads(steps)
            self._emit_statements(steps, update)

    def _emit_loads(self, steps: Sequence[Step]) -> None:
        read = {element.tensor for step in steps for element in step.operands}
        for name, storage in self._kernel.storage.items():
            if name not in read:
                continue
            text = self._names[name]
            if storage.place is Place.PARAMETER:
                self._lines.add(f"const real {text} = parameters[{storage.offset}*MODELS + m];")
            elif storage.place in (Place.INPUT, Place.TARGET):
                array = "x" if storage.place is Place.INPUT else "y"
                self._lines.add(f"const real {text} = {array}[{storage.offset}*MODELS + m];")

    def _emit_statements(self, steps: Sequence[Step], update: Update | None) -> None:
        printer = Printer(self._precision, self._element)
        for step in steps:
            storage = self._kernel.storage.get(step.target.tensor, Storage(Place.LOCAL))
            value = printer.print(step.expression)
            if SAMPLE in step.over and update:
                name = self._names[step.target.tensor]
                position = f"{storage.offset - 1}*MODELS + m"  # behind the loss
                self._lines.add(f"const real {name} = {value};")
                self._lines.add(f"next[{position}] = {descent(update, self._precision, position, name)};")
            elif SAMPLE in step.over:
                sum_ = f"sums[{storage.offset}*MODELS + m]"
                self._lines.add(f"{sum_} = {value} + (more ? {sum_} : 0);")
            elif storage.place is Place.GRADIENT:
                self._lines.add(f"gradient[{storage.offset}*MODELS + m] = {value};")
            elif step.target.tensor in self._in_arrays:
                self._lines.add(f"{self._element(step.target)} = {value};")
            else:
                self._lines.add(f"const real {self._names[step.target.tensor]} = {value};")

    def _element(self, element: Element) -> str:
        storage = self._kernel.storage.get(element.tensor, Storage(Place.LOCAL))
        if storage.place is Place.WEIGHT:
            return "weight"
        if storage.place is Place.SUM:
            return f"sums[{storage.offset}*MODELS + m]"
        return f"{self._names[element.tensor]}[m]" if element.tensor in self._in_arrays else self._names[element.tensor]

    def emit_descent(self, updates: Sequence[Update]) -> int | None:
        """The gradient for one sample of each model and its update at once: no derivative is kept in between.

        Returns the number of the optimizer; none where there is no such optimizer, or more to do for the gradient.
        """
        number = next((number for number, update in enumerate(updates) if is_descent(update)), None)
        if number is None or self.finishes:
            return None
        update, lines = updates[number], self._lines
        lines.add(f"/* The next parameters by {update.name} of one sample of each model. */")
        head = (
            "static HOT void group_descend(const real *restrict learning_rates, const real *restrict parameters,\n"
            "    const real *restrict x, const real *restrict y, real *restrict values, real *restrict next)"
        )
        with lines.block(head), lines.unused("learning_rates", "parameters", "x", "y", "values"):
            lines.add("const real weight = 1;")
            with lines.unused("weight"):
                self._emit_loops(self._gradient_loops, [], self._shared, update)
        lines.add("")
        return number


def descent(update: Update, precision: str, position: str, gradient: str) -> str:
    """The next value of the parameter at a position, given the name of its derivative."""
    texts = {"parameter": f"parameters[{position}]", "gradient": gradient, LEARNING_RATE: "learning_rates[m]"}
    return Printer(precision, lambda element: texts[element.tensor]).print(update.steps[0].expression)

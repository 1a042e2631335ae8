"""The gradient of a group of models of a formula: the statements of one sample, in loops over the models.

The innermost loop runs over a group of models, whose values lie side by side: ``parameters[p][m]`` (see
``schedule.formulas``).
"""

from __future__ import annotations

from collections.abc import Sequence

from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import LEARNING_RATE, SAMPLE, Element, Step, Update
from nncodegen.schedule import Nest, Place, Scalars


class FormulaGroup:
    """Writes the gradient of one sample of each model of a group."""

    def __init__(self, scalars: Scalars, lines: Lines) -> None:
        program, group = scalars.program, scalars.group
        assert group is not None
        self._kernel, self._precision, self._lines = group.kernel, program.precision, lines
        self._names = Names(("m", "k", "x", "y", "more", "first", "weight", "learning_rates", "values", "with_loss"))
        for tensor in program.declared:
            self._names[tensor.name]
        self._gradient = [nest for nest in group.kernel.tile if not nest.branch]
        self._loss = [nest for nest in group.kernel.tile if nest.branch]
        self.models, self.samples = str(group.models), group.samples
        self.finishes = self.gradient_apart = bool(group.kernel.after)
        self.sums, self.values = group.kernel.sums, group.kernel.arrays

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
            self._emit_loops(self._gradient)
            with lines.block("if (with_loss)"):
                self._emit_loops(self._loss)
        lines.add("")

    def emit_finish(self) -> None:
        """The gradient, from sums over the samples of a batch."""
        lines = self._lines
        lines.add("/* The gradient of each model, from its sums over the samples of a batch. */")
        head = (
            "static void group_finish(const real *restrict parameters, real *restrict values,\n"
            "    const real *restrict sums, real *restrict gradient)"
        )
        with lines.block(head), lines.unused("parameters", "values", "sums"):
            self._emit_loops(self._kernel.after)
        lines.add("")

    def _emit_loops(self, nests: Sequence[Nest], update: Update | None = None) -> None:
        """Loops over the models; with an update the sums, each of one sample, become the next parameters."""
        for name in (step.target.tensor for nest in nests for step in nest.steps):
            storage = self._kernel.storage[name]
            if storage.place is Place.ARRAY:
                self._lines.add(f"real *const {self._names[name]} = values + {storage.offset}*MODELS;")
        for nest in nests:
            self._lines.add("MODELS_LOOP")
            with self._lines.block("for (size_t m = 0; m < MODELS; m++)"):
                self._emit_loads(nest.steps)
                self._emit_statements(nest.steps, update)

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
            storage = self._kernel.storage[step.target.tensor]
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
            elif storage.place is Place.ARRAY:
                self._lines.add(f"{self._element(step.target)} = {value};")
            else:
                self._lines.add(f"const real {self._names[step.target.tensor]} = {value};")

    def _element(self, element: Element) -> str:
        storage = self._kernel.storage[element.tensor]
        if storage.place is Place.WEIGHT:
            return "weight"
        if storage.place is Place.SUM:
            return f"sums[{storage.offset}*MODELS + m]"
        return f"{self._names[element.tensor]}[m]" if storage.place is Place.ARRAY else self._names[element.tensor]

    def emit_descent(self, updates: Sequence[Update]) -> int | None:
        """The gradient for one sample of each model and its update at once: no derivative is kept in between.

        Returns the number of the optimizer; none where there is no such optimizer, or more to do for the gradient.
        """
        number = next((number for number, update in enumerate(updates) if update.is_descent), None)
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
                self._emit_loops(self._gradient, update)
        lines.add("")
        return number


def descent(update: Update, precision: str, position: str, gradient: str) -> str:
    """The next value of the parameter at a position, given the name of its derivative."""
    texts = {"parameter": f"parameters[{position}]", "gradient": gradient, LEARNING_RATE: "learning_rates[m]"}
    return Printer(precision, lambda element: texts[element.tensor]).print(update.steps[0].expression)

"""Training of many formulas at once: lanes of vectors are models.

The statements are those of one sample; the innermost loop runs over a group of models, whose values lie side by
side: ``parameters[p][m]``. A group always has MODELS lanes, the last one too, so that the bits of a model do not
depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.emit.registers import in_registers
from nncodegen.ir import SAMPLE, Element, Program, Step, Update, needed
from nncodegen.schedule import Kernel, Place, Schedule

HERE = Path(__file__).parent
LEARNING_RATE = "learning_rate"


def lanes_are_models(schedule: Schedule) -> bool:
    """Whether the models of ``train_many`` share vectors: those of a formula do, networks are trained by themselves."""
    return in_registers(schedule)


class ManyEmitter:
    """Writes the gradient and the updates of a group of models, and their loops."""

    def __init__(self, program: Program, kernel: Kernel, precision: str, lines: Lines) -> None:
        self._program, self._kernel, self._precision, self._lines = program, kernel, precision, lines
        self._names = Names(("m", "k", "x", "y", "first", "weight", "learning_rates"))
        for tensor in program.declared:
            self._names[tensor.name]

    def emit(self) -> str:
        """Adds the functions of a group to the lines; returns the text of the loops, which stands last in the file."""
        self._emit_gradient()
        self._emit_finish()
        for update in self._program.updates:
            GroupUpdateEmitter(update, self._precision, self._lines).emit()
        self._emit_dispatch()
        return (HERE / "many.c").read_text()

    def _emit_gradient(self) -> None:
        """Adds one sample of each model to the sums of a group."""
        kernel, lines = self._kernel, self._lines
        steps = [step for nest in (*kernel.before, *kernel.tile) for step in nest.steps]
        lines.add(
            "/* Adds the loss of one sample of each model, and its derivatives, to the sums, which the first sets. */"
        )
        head = (
            "static inline __attribute__((always_inline)) void group_gradient(const int first,\n"
            "    const real *restrict parameters, const real *restrict x, const real *restrict y, real weight,\n"
            "    real *restrict sums)"
        )
        with lines.block(head), lines.unused("first", "x", "y", "weight", "sums"):
            self._emit_loop(steps)
        lines.add("")

    def _emit_finish(self) -> None:
        kernel, lines = self._kernel, self._lines
        after = [step for nest in kernel.after for step in nest.steps]
        before = [step for nest in kernel.before for step in nest.steps]
        steps = [*needed(before, (e for s in after for e in s.operands)), *after]
        lines.add("/* The gradient of each model, from its sums over the samples of a batch. */")
        head = (
            "static void group_finish(const real *restrict parameters, const real *restrict sums,\n"
            "    real *restrict gradient)"
        )
        with lines.block(head), lines.unused("parameters", "sums"):
            self._emit_loop(steps)
        lines.add("")

    def _emit_loop(self, steps: list[Step]) -> None:
        self._lines.add("MODELS_LOOP")
        with self._lines.block("for (size_t m = 0; m < MODELS; m++)"):
            self._emit_loads(steps)
            self._emit_statements(steps)

    def _emit_loads(self, steps: list[Step]) -> None:
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

    def _emit_statements(self, steps: list[Step]) -> None:
        printer = Printer(self._precision, self._element)
        for step in steps:
            storage = self._kernel.storage[step.target.tensor]
            value = printer.print(step.expression)
            if SAMPLE in step.over:
                place = f"sums[{storage.offset}*MODELS + m]"
                self._lines.add(f"{place} = (first ? 0 : {place}) + {value};")
            elif storage.place is Place.GRADIENT:
                self._lines.add(f"gradient[{storage.offset}*MODELS + m] = {value};")
            else:
                self._lines.add(f"const real {self._names[step.target.tensor]} = {value};")

    def _element(self, element: Element) -> str:
        storage = self._kernel.storage[element.tensor]
        if storage.place is Place.WEIGHT:
            return "weight"
        return f"sums[{storage.offset}*MODELS + m]" if storage.place is Place.SUM else self._names[element.tensor]

    def _emit_dispatch(self) -> None:
        lines = self._lines
        lines.add("/* One update of a group by the optimizer of the given number. */")
        head = (
            "static void group_update(int optimizer, const double *restrict options, double t,\n"
            "    const real *restrict learning_rates, const real *restrict parameter, const real *restrict gradient,\n"
            "    real *restrict state, real *restrict next)"
        )
        with lines.block(head), lines.block("switch (optimizer)"):
            for number, update in enumerate(self._program.updates):
                call = f"group_update_{update.name}(options, t, learning_rates, parameter, gradient, state, next);"
                label = f"case {number}:" if number < len(self._program.updates) - 1 else "default:"
                lines.add(label, f"    {call}", "    break;")
        lines.add("")


class GroupUpdateEmitter:
    """Writes the update of a group by one optimizer, each model with a learning rate of its own."""

    def __init__(self, update: Update, precision: str, lines: Lines) -> None:
        self._update, self._precision, self._lines = update, precision, lines
        self._names = Names(("p", "m", "k", "learning_rates"))
        of_lanes = {LEARNING_RATE}
        for step in update.steps:
            if step.target.indices or any(element.tensor in of_lanes for element in step.operands):
                of_lanes.add(step.target.tensor)
        self._uniform = [step for step in update.steps if step.target.tensor not in of_lanes]
        self._of_lanes = [step for step in update.steps if step.target.tensor in of_lanes]

    def emit(self) -> None:
        """The function: numbers first, in double, then one loop over parameters and models."""
        update, lines = self._update, self._lines
        double, single = self._printer("float64", self._double), self._printer(self._precision, self._element)
        lines.add(f"/* One update of a group by {update.name}. */")
        head = (
            f"static void group_update_{update.name}(const double *restrict options, double t,\n"
            f"    const real *restrict learning_rates, const real *restrict parameter, const real *restrict gradient,\n"
            f"    real *restrict state, real *restrict next)"
        )
        with lines.block(head), lines.unused("options", "t", "state", "learning_rates"):
            read = {e.tensor for step in update.steps for e in step.operands}
            for number, hyperparameter in enumerate(update.hyperparameters):
                if hyperparameter.name != LEARNING_RATE and hyperparameter.name in read:
                    lines.add(f"const double {self._double(Element(hyperparameter.name))} = options[{number}];")
            for step in self._uniform:
                lines.add(f"const double {self._double(step.target)} = {double(step)};")
            with lines.block("for (size_t p = 0; p < PARAMETERS; p++)"):
                lines.add("MODELS_LOOP")
                with lines.block("for (size_t m = 0; m < MODELS; m++)"):
                    lines.add("const size_t k = p*MODELS + m;")
                    for step in self._of_lanes:
                        lines.add(f"const real {self._names[step.target.tensor]} = {single(step)};")
                    for target, result in zip(
                        ("next[k]", *map(self._state, update.state)), update.results, strict=True
                    ):
                        lines.add(f"{target} = {self._element(result)};")
        lines.add("")

    def _printer(self, precision: str, element: Callable[[Element], str]) -> Callable[[Step], str]:
        printer = Printer(precision, element)
        return lambda step: printer.print(step.expression)

    def _double(self, element: Element) -> str:
        return "t" if element.tensor == "t" else f"{self._names[element.tensor]}_d"

    def _state(self, name: str) -> str:
        return f"state[{self._update.state.index(name)}*PARAMETERS*MODELS + k]"

    def _element(self, element: Element) -> str:
        if element.tensor in ("parameter", "gradient"):
            return f"{element.tensor}[k]"
        if element.tensor in self._update.state:
            return self._state(element.tensor)
        if element.tensor == LEARNING_RATE:
            return "learning_rates[m]"
        if any(step.target == element for step in self._of_lanes):
            return self._names[element.tensor]
        return f"(real) {self._double(element)}"

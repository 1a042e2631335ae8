"""Training of many models at once: lanes of vectors are models.

The values of a group of models lie side by side: ``parameters[p][m]``. A group always has MODELS lanes, the last one
too, so that the bits of a model do not depend on how many there are. The gradient of a group comes from the statements
of a formula (see ``formulas``) or from the loops of a network (see ``lanes``); updates, epochs and what is told of them
are the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sympy import Add, Mul

from nncodegen.emit.descent import LEARNING_RATE
from nncodegen.emit.formulas import FormulaGroup
from nncodegen.emit.lanes import NetworkGroup
from nncodegen.emit.lines import Lines, keep
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import Element, Step, Update
from nncodegen.schedule import Schedule

HERE = Path(__file__).parent


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


class ManyEmitter:
    """Writes the gradient and the updates of a group of models, and their loops."""

    def __init__(self, schedule: Schedule, lines: Lines) -> None:
        self._program, self._lines = schedule.program, lines
        self._group: Group
        if schedule.lanes:
            self._group = NetworkGroup(self._program, schedule.lanes, lines)
        elif schedule.scalars:
            self._group = FormulaGroup(schedule.scalars, lines)

    def emit(self) -> str:
        """Adds the functions of a group to the lines; returns the text of the loops, which stands last in the file."""
        group, updates = self._group, self._program.updates
        self._lines.include(
            _filled("group.c", MODELS=group.models, SAMPLES=group.samples, VALUES=group.values, SUMS=group.sums)
        )
        group.emit_gradient()
        if group.finishes:
            group.emit_finish()
        for update in updates:
            GroupUpdateEmitter(update, self._program.precision, self._lines).emit()
        self._emit_dispatch()
        self._emit_remains()
        counted, one = ("weight, count", "1, 1") if group.samples > 1 else ("weight", "1")
        descent = group.emit_descent(updates) if isinstance(group, FormulaGroup) else None
        text = _filled("many.c", COUNTED=counted, ONE=one, NUMBER=descent)
        marks = {"FINISH": group.finishes, "APART": group.gradient_apart, "TOGETHER": not group.gradient_apart}
        for mark, kept in {**marks, "DESCENT": descent is not None}.items():
            text = keep(text, mark, kept)
        return text

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

    def _emit_remains(self) -> None:
        lines = self._lines
        numbers = [number for number, update in enumerate(self._program.updates) if remains_infinite(update)]
        lines.add(
            "/* Whether a parameter that is not finite remains so: the next one is a multiple of it plus something. */"
        )
        with lines.block("static int remains_infinite(int optimizer)"):
            if len(numbers) == len(self._program.updates):
                lines.add("(void) optimizer;", "return 1;")
            else:
                lines.add(f"return {' || '.join(f'optimizer == {number}' for number in numbers) or '0*optimizer'};")
        lines.add("")


def _filled(file: str, **texts: object) -> str:
    """A file of C with texts for some of its marks."""
    text = (HERE / file).read_text()
    for mark, value in texts.items():
        text = text.replace(f"@{mark}@", str(value))
    return text


def remains_infinite(update: Update) -> bool:
    """Whether the next parameter is a sum with a multiple of the present one, which is infinite or NaN where it is."""
    last = next(step for step in update.steps if step.target == update.results[0])
    factors = (factor for term in Add.make_args(last.expression) for factor in Mul.make_args(term))
    return any(isinstance(factor, Element) and factor.tensor == "parameter" for factor in factors)


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
            f"static HOT void group_update_{update.name}(const double *restrict options, double t,\n"
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

"""The update rules of optimizers in plain C: the body of a function for each, over all parameters.

What is the same for all parameters is computed in double, as in compiled modules.
"""

from __future__ import annotations

from nncodegen.emit.lines import Lines, wrapped
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.export.c.dialects import doubles, exported
from nncodegen.ir import LEARNING_RATE, Element, Update

KNOWN = ("parameter", "gradient", LEARNING_RATE)
"""What stands under its own name in the loop over the parameters."""


class RuleWriter:
    """The text of a rule for numbers of one precision."""

    def __init__(self, rule: Update, name: str, precision: str, libm: bool, helpers: dict[str, None]) -> None:
        self._rule, self._name, self._upper = rule, name, name.upper()
        self._names = Names(("t", *KNOWN, "p", "parameters", "state"))
        everything = {operand.tensor for step in rule.steps for operand in step.operands}
        self._hyperparameters = [h for h in rule.hyperparameters if h.name in everything]
        self._numbers = [h.name for h in self._hyperparameters if h.name != LEARNING_RATE]
        self._counts = "t" in everything
        depends = {"parameter", "gradient", LEARNING_RATE, *rule.state}
        for step in rule.steps:
            if depends & {operand.tensor for operand in step.operands}:
                depends.add(step.target.tensor)
        self._uniform = [step for step in rule.steps if step.target.tensor not in depends]
        self._steps = [step for step in rule.steps if step.target.tensor in depends]
        read = {operand.tensor for step in self._steps for operand in step.operands}
        self._cast = [n for n in (*self._numbers, *(s.target.tensor for s in self._uniform), "t") if n in read]
        self._double = Printer("float64", self._of_update, doubles(precision, libm), helpers)
        self._real = Printer(precision, self._value, exported(libm), helpers)

    @property
    def about(self) -> tuple[str, ...]:
        """What the function does, and what it is given."""
        rule, lines = self._rule, [f"One update by {self._rule.name}, given the gradient."]
        if rule.state:
            values = (value if isinstance(value, str) else f"{value:g}" for value in rule.initial)
            begins = ", ".join(f"{name} = {value}" for name, value in zip(rule.state, values, strict=True))
            count = "" if len(rule.state) == 1 else f"{len(rule.state)}*"
            lines.append(f"state: {count}{self._upper}_PARAMETERS values, at first {begins}.")
        if self._counts:
            lines.append("t: the number of the update, from 1.")
        usual = ", ".join(f"{h.name} {h.default:g}" for h in self._hyperparameters if h.name in self._numbers)
        return (*lines, f"Usual: {usual}.") if usual else tuple(lines)

    @property
    def head(self) -> str:
        """The head of the function."""
        state = ["real *state"] if self._rule.state else []
        count = ["unsigned long t"] if self._counts else []
        numbers = [f"double {self._text(name)}" for name in self._numbers]
        rate = [f"real {h.name}" for h in self._hyperparameters if h.name == LEARNING_RATE]
        arguments = ["real *parameters", "const real *gradient", *state, *count, *rate, *numbers]
        return f"void {self._name}_{self._rule.name}({', '.join(arguments)})"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the function is given behind parameters and gradient: "state", "t", hyperparameters."""
        rate = [h.name for h in self._hyperparameters if h.name == LEARNING_RATE]
        return (*(["state"] if self._rule.state else []), *(["t"] if self._counts else []), *rate, *self._numbers)

    def write(self, lines: Lines) -> None:
        """The body."""
        for step in self._uniform:
            text = f"const double {self._text(step.target.tensor)} = {self._double.print(step.expression)};"
            lines.add(*wrapped(text, "[-+]"))
        lines.add(*(f"const real {self._now(name)} = (real) {self._text(name)};" for name in self._cast))
        lines.add(*([""] if self._uniform or self._cast else []))
        with lines.block(f"for (size_t p = 0; p < {self._upper}_PARAMETERS; p++)"):
            self._write_step(lines)

    def _write_step(self, lines: Lines) -> None:
        rule = self._rule
        for number, name in enumerate(rule.state):
            if any(name in {operand.tensor for operand in step.operands} for step in self._steps):
                lines.add(f"const real {self._text(name)} = state[{self._place(number)}];")
        final, *state = rule.results
        for step in self._steps:
            alone = step.target == final and step is self._steps[-1] and not state
            value = self._real.print(step.expression)
            target = "parameters[p]" if alone else f"const real {self._text(step.target.tensor)}"
            lines.add(*wrapped(f"{target} = {value};", "[-+]"))
        if not any(step.target == final for step in self._steps[-1:]) or state:
            lines.add(f"parameters[p] = {self._value(final)};")
        for number, result in enumerate(state):
            lines.add(f"state[{self._place(number)}] = {self._value(result)};")

    def _place(self, number: int) -> str:
        """Where a variable of the state stands: those of one kind lie side by side."""
        rows = "" if number == 1 else f"{number}*"
        return f"{rows}{self._upper}_PARAMETERS + p" if number else "p"

    def _of_update(self, element: Element) -> str:
        """A number that is the same for all parameters, in double."""
        return "(double) t" if element.tensor == "t" else self._text(element.tensor)

    def _text(self, name: str) -> str:
        return name if name in ("t", *KNOWN) else self._names[name]

    def _now(self, name: str) -> str:
        return self._names.current(self._text(name))

    def _value(self, element: Element) -> str:
        name = element.tensor
        if name in ("parameter", "gradient"):
            return {"parameter": "parameters[p]", "gradient": "gradient[p]"}[name]
        return self._now(name) if name in self._cast else self._text(name)

"""The update rules of optimizers in plain C: a function for each, over all parameters."""

from __future__ import annotations

from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.rules import COUNT, GIVEN, Frame, RulePrinter
from nncodegen.compiler.ir import LEARNING_RATE, Update
from nncodegen.formats.c.dialects import doubles, exported


def arguments(rule: Update) -> tuple[str, ...]:
    """Return the arguments of a rule's function after parameters and gradient: "state", "t", hyperparameters."""
    return tuple(_arguments(rule, RulePrinter(rule, Frame())))


def _arguments(rule: Update, printer: RulePrinter) -> dict[str, str]:
    """Return the arguments of a rule after parameters and gradient: name in the rule -> declaration in C."""
    return {
        **({"state": "real *state"} if rule.state else {}),
        **({COUNT: "unsigned long t"} if printer.counts else {}),
        **({LEARNING_RATE: f"real {LEARNING_RATE}"} if printer.takes_rate else {}),
        **{hyper.name: f"double {printer.name(hyper.name)}" for hyper in printer.hyperparameters},
    }


class RuleWriter:
    """A writer of the function of a rule in one precision."""

    def __init__(self, rule: Update, name: str, precision: str, libm: bool, helpers: dict[str, None]) -> None:
        self._rule, self._name, self._count = rule, name, f"{name.upper()}_PARAMETERS"
        frame = Frame(
            precision,
            reals=exported(libm),
            doubles=doubles(precision, libm),
            taken=(*GIVEN, "p", "parameters", "state"),
            parameter="parameters[p]",
            gradient="gradient[p]",
            count="(double) t",
            held="",
            first="p",
            stride=self._count,
            stored="parameters[p]",
        )
        self._printer = RulePrinter(rule, frame, helpers)

    @property
    def about(self) -> tuple[str, ...]:
        """Return a comment on the function: what it does, and its arguments."""
        rule, lines = self._rule, [f"One update by {self._rule.name}, given the gradient."]
        if rule.state:
            values = (value if isinstance(value, str) else f"{value:g}" for value in rule.initial)
            begins = ", ".join(f"{name} = {value}" for name, value in zip(rule.state, values, strict=True))
            count = "" if len(rule.state) == 1 else f"{len(rule.state)}*"
            lines.append(f"state: {count}{self._count} values, at first {begins}.")
        if self._printer.counts:
            lines.append("t: the number of the update, from 1.")
        usual = ", ".join(f"{hyper.name} {hyper.default:g}" for hyper in self._printer.hyperparameters)
        return (*lines, f"Usual: {usual}.") if usual else tuple(lines)

    @property
    def head(self) -> str:
        """Return the head of the function."""
        arguments = ["real *parameters", "const real *gradient", *_arguments(self._rule, self._printer).values()]
        return f"void {self._name}_{self._rule.name}({', '.join(arguments)})"

    def write(self, lines: Lines) -> None:
        """Write the body of the function."""
        printer = self._printer
        before = list(printer.uniform())
        before += [f"const real {printer.held(name)} = (real) {printer.name(name)};" for name in printer.numbers]
        lines.add(*before, *([""] if before else []))
        with lines.block(f"for (size_t p = 0; p < {self._count}; p++)"):
            lines.add(*printer.steps())

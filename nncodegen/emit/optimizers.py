"""The update rules of the optimizers in C: one step of one parameter, which single models and groups share.

Each rule becomes three things: the numbers that are the same for all parameters in an update (a structure, computed in
double), the step of one parameter, and a line in the list of rules, from which ``rules.h`` makes the loops. The rules
that every model has are printed once, into ``optimizers.h`` of the runtime (held by a test), those of a
model's own into the C of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Add, Mul

from nncodegen.emit.dialects import ANY_TYPE, IN_MODULES
from nncodegen.emit.lines import Lines, wrapped
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import LEARNING_RATE, Element, Update
from nncodegen.runtime.python.optimizers import RULES

OWN = "own_"
"""The prefix in C of the names of rules that a user wrote: these may be any word."""

HEAD = """\
/* The update rules of optimizers that every model has, printed from nncodegen/describe/optimizers.py: edit that file,
   and renew this one with pytest --update-golden.

   Needs base.h. Gives for each rule NAME_numbers, what is the same for all parameters in an update, NAME_prepare, which
   computes these, and NAME_step, which returns the next value of a parameter; and NN_RULES, the list of the rules,
   RULE(number, name, variables, linear): how many values of state each parameter has, and whether a parameter that is
   not finite always remains so. */

#ifndef NNCODEGEN_OPTIMIZERS_H
#define NNCODEGEN_OPTIMIZERS_H

#include "base.h"

/* Rules have the same arguments, and need not use all of them. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

"""

TAIL = """
#pragma GCC diagnostic pop

#endif
"""


class RuleEmitter:
    """Writes the numbers, ``prepare`` and ``step`` of a rule."""

    def __init__(self, update: Update, precision: str | None, lines: Lines) -> None:
        self._update, self._precision, self._lines = update, precision, lines
        self._rule = update.name if precision is None else OWN + update.name
        self._names = Names(("t",))
        of_parameters = {LEARNING_RATE}
        for step in update.steps:
            if step.target.indices or any(element.tensor in of_parameters for element in step.operands):
                of_parameters.add(step.target.tensor)
        self._uniform = [step for step in update.steps if step.target.tensor not in of_parameters]
        self._steps = [step for step in update.steps if step.target.tensor in of_parameters]
        read = {element.tensor for step in self._steps for element in step.operands}
        uniform = ["t", *(hyper.name for hyper in update.hyperparameters if hyper.name != LEARNING_RATE)]
        self._numbers = [name for name in (*uniform, *(s.target.tensor for s in self._uniform)) if name in read]

    def emit(self) -> None:
        """All of it."""
        rule, lines = self._rule, self._lines
        lines.add(f"/* {rule} */")
        with lines.structure(f"{rule}_numbers"):
            numbers = [self._names[name] for name in self._numbers]
            lines.add(f"real {', '.join(numbers)};" if numbers else "char none;")
        with lines.function(f"INLINE {rule}_numbers {rule}_prepare(const double *options, double t)"):
            self._emit_prepare()
        lines.add("")
        with lines.function(
            f"INLINE real {rule}_step({rule}_numbers numbers, real {LEARNING_RATE}, real parameter, real gradient,\n"
            f"    real *state, size_t stride)"
        ):
            self._emit_step()
        lines.add("")

    def _emit_prepare(self) -> None:
        """The numbers, in double."""
        lines, read = self._lines, {e.tensor for step in self._uniform for e in step.operands}
        printer = Printer("float64", lambda element: self._double(element.tensor))
        for number, hyper in enumerate(self._update.hyperparameters):
            if hyper.name != LEARNING_RATE and (hyper.name in read or hyper.name in self._numbers):
                lines.add(f"const double {self._double(hyper.name)} = options[{number}];")
        for step in self._uniform:
            lines.add(f"const double {self._double(step.target.tensor)} = {printer.print(step.expression)};")
        values = [f"(real) {self._double(name)}" for name in self._numbers] or ["0"]
        lines.add(*wrapped(f"return ({self._rule}_numbers) {{{', '.join(values)}}};"))

    def _emit_step(self) -> None:
        update, lines = self._update, self._lines
        dialect = IN_MODULES if self._precision else ANY_TYPE
        printer = Printer(self._precision or "float64", self._element, dialect)
        read = {element.tensor for step in self._steps for element in step.operands}
        for number, name in enumerate(update.state):
            if name in read or any(result.tensor == name for result in update.results):
                lines.add(f"const real {self._names[name]} = state[{self._offset(number)}];")
        for step in self._steps:
            lines.add(
                *wrapped(f"const real {self._names[step.target.tensor]} = {printer.print(step.expression)};", "[-+]")
            )
        for number, result in enumerate(update.results[1:]):
            lines.add(f"state[{self._offset(number)}] = {self._element(result)};")
        lines.add(f"return {self._element(update.results[0])};")

    @staticmethod
    def _offset(number: int) -> str:
        return ("0", "stride")[number] if number < 2 else f"{number}*stride"

    def _double(self, name: str) -> str:
        return "t" if name == "t" else self._names[name]

    def _element(self, element: Element) -> str:
        if element.tensor in ("parameter", "gradient", LEARNING_RATE):
            return element.tensor
        name = self._double(element.tensor)
        return f"numbers.{name}" if element.tensor in self._numbers else name


def is_linear(update: Update) -> bool:
    """Whether the next parameter is a sum with a multiple of the current one, which is infinite or NaN where it is."""
    last = next(step for step in update.steps if step.target == update.results[0])
    factors = (factor for term in Add.make_args(last.expression) for factor in Mul.make_args(term))
    return any(isinstance(factor, Element) and factor.tensor == "parameter" for factor in factors)


def emit_rules(updates: Sequence[Update], first: int, listed: str, precision: str | None, lines: Lines) -> None:
    """The rules, numbered from ``first`` on, and a macro that lists them; for any type of numbers, or one precision."""
    for update in updates:
        RuleEmitter(update, precision, lines).emit()
    prefix = "" if precision is None else OWN
    rows = [
        f"    RULE({number}, {prefix}{update.name}, {len(update.state)}, {int(is_linear(update))})"
        for number, update in enumerate(updates, start=first)
    ]
    lines.add(" \\\n".join([f"#define {listed}(RULE)", *rows]))


def emit_optimizers(updates: Sequence[Update]) -> str:
    """The text of ``optimizers.h``, given the rules that every model has."""
    lines = Lines()
    emit_rules(updates, 0, "NN_RULES", None, lines)
    return HEAD + str(lines) + TAIL


def own(updates: Sequence[Update]) -> Sequence[Update]:
    """Those of the rules that a model has besides."""
    return [update for update in updates if update.name not in RULES]

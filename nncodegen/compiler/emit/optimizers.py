"""The update rules of the optimizers in C: one step of one parameter, which single models and groups share.

Each rule becomes three things: the numbers that are the same for all parameters in an update (a structure, computed in
double), the step of one parameter, and a line in the list of rules, from which ``rules.h`` makes the loops. The rules
that every model has are printed once, into ``optimizers.h`` of the runtime (held by a test); the further rules of a
model are printed into its C.
"""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Add, Mul

from nncodegen.compiler.emit.dialects import ANY_TYPE
from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.compiler.emit.rules import Frame, RulePrinter
from nncodegen.compiler.ir import LEARNING_RATE, Element, Update
from nncodegen.runtime.python.ground.rules import RULES

OWN = "own_"
"""The prefix in C of the names of rules that a user wrote: these may be any word."""

HEAD = """\
/* The update rules of optimizers that every model has, printed from compiler/describe/optimizers.py: edit that file,
   and renew this one with pytest --update-golden.

   Needs base.h. Gives for each rule NAME_numbers, what is the same for all parameters in an update, NAME_prepare, which
   computes these, and NAME_step, which returns the next value of a parameter; and NN_RULES, the list of the rules,
   RULE(number, name, variables, linear): how many values of state each parameter has, and whether a parameter that is
   not finite always remains so. */

#ifndef NNCODEGEN_OPTIMIZERS_H
#define NNCODEGEN_OPTIMIZERS_H

#include "nncodegen/base/base.h"

/* Rules have the same arguments, and need not use all of them. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

"""

TAIL = """
#pragma GCC diagnostic pop

#endif
"""


def _emit_rule(update: Update, precision: str | None, lines: Lines) -> None:
    """Write the numbers, ``prepare`` and ``step`` of a rule: for any floating-point type, or for one precision."""
    rule = update.name if precision is None else OWN + update.name
    printer = RulePrinter(update, Frame(reals=ANY_TYPE) if precision is None else Frame(precision))
    lines.add(f"/* {rule} */")
    with lines.structure(f"{rule}_numbers"):
        numbers = [printer.name(name) for name in printer.numbers]
        lines.add(f"real {', '.join(numbers)};" if numbers else "char none;")
    with lines.function(f"INLINE {rule}_numbers {rule}_prepare(const double *options, double t)"):
        for number, hyper in enumerate(update.hyperparameters):
            if hyper in printer.hyperparameters:
                lines.add(f"const double {printer.name(hyper.name)} = options[{number}];")
        lines.add(*printer.uniform())
        values = [f"(real) {number}" for number in numbers] or ["0"]
        lines.add(*wrapped(f"return ({rule}_numbers) {{{', '.join(values)}}};"))
    lines.add("")
    with lines.function(
        f"INLINE real {rule}_step({rule}_numbers numbers, real {LEARNING_RATE}, real parameter, real gradient,\n"
        f"    real *state, size_t stride)"
    ):
        lines.add(*printer.steps())
    lines.add("")


def is_linear(update: Update) -> bool:
    """Return whether the next parameter is a sum with a multiple of the current one, and so stays infinite or NaN."""
    following = update.results[0]
    value = next((step.expression for step in update.steps if step.target == following), following)
    factors = (factor for term in Add.make_args(value) for factor in Mul.make_args(term))
    return any(isinstance(factor, Element) and factor.tensor == "parameter" for factor in factors)


def emit_rules(updates: Sequence[Update], first: int, listed: str, precision: str | None, lines: Lines) -> None:
    """Write the rules, numbered from ``first``, and a macro that lists them: for any type, or for one precision."""
    for update in updates:
        _emit_rule(update, precision, lines)
    prefix = "" if precision is None else OWN
    rows = [
        f"    RULE({number}, {prefix}{update.name}, {len(update.state)}, {int(is_linear(update))})"
        for number, update in enumerate(updates, start=first)
    ]
    lines.add(" \\\n".join([f"#define {listed}(RULE)", *rows]))


def emit_optimizers(updates: Sequence[Update]) -> str:
    """Return the text of ``optimizers.h``, given the rules that every model has."""
    lines = Lines()
    emit_rules(updates, 0, "NN_RULES", None, lines)
    return HEAD + str(lines) + TAIL


def own(updates: Sequence[Update]) -> Sequence[Update]:
    """Return the rules of a model that not every model has."""
    return [update for update in updates if update.name not in RULES]

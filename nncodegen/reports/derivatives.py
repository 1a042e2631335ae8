"""The partial derivatives of the loss: in the values of the sweep, and written out in inputs and parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sympy import Expr

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor
from nncodegen.reports.reverse_sweep import forward_steps

WRITTEN_OUT = 250
"""The most operations of a derivative that is written out; longer ones are shown in the values of the steps."""


@dataclass(frozen=True)
class Partial:
    """The derivative of the loss by a parameter: in values of the network, and in inputs and parameters alone.

    The second is None where it is long, or where it contains sums over units.
    """

    parameter: Tensor
    step: Step
    in_values: Step
    written_out: Step | None
    operations: int


def partials(program: Program) -> list[Partial]:
    """Return all partial derivatives of a differentiated program."""
    defined = {step.target: step for step in program.steps}
    forward = {step.target.tensor for step in forward_steps(program)}
    values: dict[Element, Expr] = {}
    full: dict[Element, Expr | None] = {}
    for step in program.steps:
        values[step.target] = _replaced(step, values, forward)
        full[step.target] = _full(step, full)
    derivatives = []
    for parameter, element in zip(program.parameters, program.gradient, strict=True):
        step = defined[element]
        over = step.operator in (None, "sum") and set(step.over) <= {SAMPLE} and not step.where
        known = {e: values[e] for e in step.operands if e in values and e.tensor not in forward}
        inner = step.expression.xreplace(known)
        in_values = replace(step, expression=inner)
        whole = _written(step, full)
        out = Step(element, whole, step.operator, step.over) if whole is not None and over else None
        derivatives.append(Partial(parameter, step, in_values, out, int(inner.count_ops())))
    return derivatives


def _replaced(step: Step, values: dict[Element, Expr], forward: set[str]) -> Expr:
    """Return the value of a step of the sweep in values of the network; its name, if it is a sum or long."""
    if step.operator is not None or step.where:
        return step.target
    known = {e: values[e] for e in step.operands if e in values and e.tensor not in forward}
    whole = step.expression.xreplace(known)
    return whole if whole.count_ops() <= WRITTEN_OUT else step.target


def _full(step: Step, full: dict[Element, Expr | None]) -> Expr | None:
    """Return the value of a step in inputs and parameters; None where it is long or has an operator."""
    return None if step.operator is not None or step.where else _written(step, full)


def _written(step: Step, full: dict[Element, Expr | None]) -> Expr | None:
    known = {element: full[element] for element in step.operands if element in full}
    if any(value is None for value in known.values()):
        return None
    whole = step.expression.xreplace(known)
    return whole if whole.count_ops() <= WRITTEN_OUT else None

"""The reverse sweep, step by step: each step of the loss with the derivatives that come from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sympy import Add, Expr, S

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, elements, needed
from nncodegen.compiler.passes.derivatives import derivative
from nncodegen.compiler.passes.reverse import active


@dataclass(frozen=True)
class Local:
    """The derivative of a step by one of its operands."""

    operand: Element
    value: Expr


@dataclass(frozen=True)
class Row:
    """A step of the loss, and the steps of the sweep that belong to it.

    ``adjoint`` is the derivative of the loss by the step, where it has no separate step but is a number or an element.
    ``steps`` are the steps that the derivative needs, the derivative itself, and those by parameters that are complete
    with it.
    """

    number: int
    step: Step
    local: tuple[Local, ...]
    adjoint: Expr | None
    steps: tuple[Step, ...]


def forward_steps(program: Program) -> tuple[Step, ...]:
    """Return the steps of a differentiated program that its outputs and its loss need."""
    training = program.in_training
    return needed(program.steps, (*training.outputs, training.loss))


def sweep(program: Program) -> list[Row]:
    """Return the steps of the loss from the last to the first, each with its derivatives."""
    forward = needed(program.steps, [program.in_training.loss])
    known = {step.target.tensor for step in forward_steps(program)}
    backward = [step for step in program.steps if step.target.tensor not in known]
    trained = active(program, forward)
    adjoints = _adjoints(program, forward, backward)
    owners = _owners(program, forward, backward, adjoints)
    rows = []
    for k, step in enumerate(reversed(forward)):
        step_derivatives = tuple(each for each in backward if owners[each.target.tensor] == step.target.tensor)
        local = tuple(each for each in _local(step) if each.operand.tensor in trained)
        adjoint = adjoints.get(step.target.tensor)
        named = any(
            each.target == adjoint and each.target.tensor == f"d_{step.target.tensor}" for each in step_derivatives
        )
        rows.append(Row(len(forward) - k, step, local, None if named else adjoint, step_derivatives))
    return rows


def _owners(
    program: Program, forward: tuple[Step, ...], backward: list[Step], adjoints: dict[str, Expr]
) -> dict[str, str]:
    """Return, for each step of the sweep, the step of the loss that it comes from."""
    names = {step.target.tensor for step in forward}
    owners = {
        value.tensor: name
        for name, value in adjoints.items()
        if isinstance(value, Element) and not value.tensor.startswith("d_")
    }
    for parameter, element in zip(program.parameters, program.gradient, strict=True):
        first = next((step for step in forward if any(e.tensor == parameter.name for e in step.operands)), forward[-1])
        owners[element.tensor] = first.target.tensor
    for step in backward:
        by = step.target.tensor.removeprefix("d_")
        if step.target.tensor.startswith("d_") and by in names:
            owners.setdefault(step.target.tensor, by)
    last = forward[-1].target.tensor
    for step in reversed(backward):  # a step without such a name belongs to the first that needs it
        if step.target.tensor not in owners:
            users = (each for each in backward if step.target in each.operands and each.target.tensor in owners)
            owners[step.target.tensor] = next((owners[user.target.tensor] for user in users), last)
    return owners


def _local(step: Step) -> tuple[Local, ...]:
    """Return the derivatives of the expression under a step's operator, by its elements."""
    if step.operator not in (None, "sum"):
        return ()
    terms = Add.make_args(step.expression)
    partials = []
    for operand in elements(step.expression):
        value = Add(*(derivative(term, operand, False) for term in terms if term.has(operand)))
        partials.append(Local(operand, value))
    return tuple(partials)


def _adjoints(program: Program, forward: tuple[Step, ...], backward: list[Step]) -> dict[str, Expr]:
    """Return the derivatives of the loss by steps: the elements that hold them, or values without a separate step.

    Derivatives that do not follow from the derivative of one operator are left out.
    """
    named = {step.target.tensor: step.target for step in backward}
    plain = [step for step in backward if step.operator == "sum" and not step.where]
    sums = {(step.expression, step.over): step.target for step in plain}
    adjoints: dict[str, Expr] = {program.in_training.loss.tensor: S.One}
    terms: defaultdict[str, list[Expr | None]] = defaultdict(list)
    for step in reversed(forward):
        name, named_step = step.target.tensor, named.get(f"d_{step.target.tensor}")
        parts = terms[name]
        if named_step is not None:
            adjoints[name] = named_step
        elif parts and None not in parts:
            total = Add(*parts)
            if total.is_number or isinstance(total, Element):
                adjoints[name] = total
        adjoint = adjoints.get(name)
        for local in _local(step):
            lost = tuple(index for index in step.indices if index not in local.operand.indices and index != SAMPLE)
            value = None if adjoint is None or step.where else adjoint * local.value
            terms[local.operand.tensor].append(sums.get((value, lost)) if lost else value)
        if not _local(step):
            for operand in step.operands:
                terms[operand.tensor].append(None)
    return adjoints

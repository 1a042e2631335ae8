"""The reverse sweep over the steps of a program: the derivatives of one scalar by all parameters.

For a step ``v[B] = sum(C) f(..., u[A], ...)`` the operand ``u`` receives

    d_u[A] += sum((B + C) - A) d_v[B]*df/du[A]

``derivatives`` gives ``df/du`` of the small scalar expression; the rest is bookkeeping of indices. The sweep adds a
few steps for each step, however many parameters there are. (Differentiating the whole formula for each parameter would
take quadratic time and more.) The derivative by a parameter is a sum over the samples; without that sum, it is a row of
the Jacobian for each of them.
"""

from __future__ import annotations

from collections import defaultdict

from sympy import Add, Eq, Expr, Piecewise, S

from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element, Program, Step
from nncodegen.ir.functions import defined, plain_conditions
from nncodegen.passes.derivatives import derivative, may_vanish, product
from nncodegen.passes.infinities import Infinities
from nncodegen.passes.numbering import Numbering


def reverse_sweep(
    program: Program,
    steps: tuple[Step, ...],
    loss: Element,
    numbering: Numbering,
    each_sample: bool = False,
    rows: tuple[str, ...] = (),
) -> tuple[Element, ...]:
    """Adds the steps of the reverse sweep to the numbering; returns the elements that hold the derivatives of the loss.

    There is one for each parameter; with ``each_sample`` it has the index of the samples and is not summed over them.
    Where the loss has indices, ``rows``, there are derivatives for each of their values.
    """
    leading = (*([SAMPLE] if each_sample else []), *rows)
    # for each tensor, the terms of its adjoint, grouped by the indices that they are summed over
    terms: defaultdict[Element, defaultdict[tuple[str, ...], list[Expr]]]
    terms = defaultdict(lambda: defaultdict(list))
    terms[loss][()].append(S.One)
    active = _active(program, steps)
    infinities = Infinities(steps, loss)
    for step in reversed(steps):  # reversed: every use of a tensor is visited before its definition
        if step.target not in terms:
            continue
        adjoint = _adjoint(step.target, terms.pop(step.target), numbering)
        for operand, over, term in _contributions(step, adjoint, infinities, numbering):
            if operand.tensor in active and term != 0:
                summed = tuple(index for index in over if index not in leading)
                terms[operand][summed].append(term)
    used = {e.tensor: e for step in program.steps for e in step.operands}
    parameters = (used.get(tensor.name, Element(tensor.name)) for tensor in program.parameters)
    return tuple(_gradient(parameter, leading, terms.pop(parameter, {}), numbering) for parameter in parameters)


def _active(program: Program, steps: tuple[Step, ...]) -> set[str]:
    """The names of the tensors that depend on what is trained (used for membership only: a set has no fixed order)."""
    active = {tensor.name for tensor in program.parameters if tensor.trained}
    for step in steps:
        if any(operand.tensor in active for operand in step.operands):
            active.add(step.target.tensor)
    return active


def _adjoint(target: Element, terms: dict[tuple[str, ...], list[Expr]], numbering: Numbering) -> Expr:
    """The derivative of the loss by a tensor; indices on which it does not depend are left out.

    For the loss itself it is the number 1.
    """
    total = _total(terms, numbering)
    return total if total.is_number or isinstance(total, Element) else numbering.define(total, f"d_{target.tensor}")


def _gradient(
    parameter: Element, leading: tuple[str, ...], terms: dict[tuple[str, ...], list[Expr]], numbering: Numbering
) -> Element:
    """The derivative of the loss by a parameter, in a tensor of its own, with leading indices before its own."""
    name, indices = f"d_{parameter.tensor}", tuple(dict.fromkeys((*leading, *parameter.indices)))
    if len(terms) == 1:
        ((over, expressions),) = terms.items()
        if over:
            return numbering.define(Add(*expressions), name, indices, "sum", over)
    return numbering.define(_total(terms, numbering), name, indices)


def _total(terms: dict[tuple[str, ...], list[Expr]], numbering: Numbering) -> Expr:
    """The sum of terms. Each is summed up over units by itself: the sum of one product is a product of matrices."""
    total = Add(*terms.get((), []))
    for over, expressions in terms.items():
        if over:
            parts = [Add(*expressions)] if over == (SAMPLE,) else expressions
            total += Add(*(numbering.define(part, operator="sum", over=over) for part in parts))
    return total


def _contributions(
    step: Step, adjoint: Expr, infinities: Infinities, numbering: Numbering
) -> list[tuple[Element, tuple[str, ...], Expr]]:
    """(operand, indices to sum over, term) for each operand of a step."""
    if step.operator == "log_softmax":
        return [_log_softmax_contribution(step, adjoint, numbering)]
    if step.operator in ("softmax", "softmax_complement"):
        return [_softmax_contribution(step, adjoint, numbering)]
    if step.operator == "max":
        adjoint = _share_of_largest(step, adjoint, numbering)
    elif step.operator not in (None, "sum"):
        raise ProgramError(f"{step.operator} has no derivative, in: {step}")
    contributions = []
    for operand, factor in _derivatives(step.expression, infinities.hides(step.target)).items():
        over = tuple(index for index in step.indices if index not in operand.indices)
        if_adjoint = infinities.derivative_grows(step, operand, factor)
        if_factor = infinities.adjoint_grows(step) and may_vanish(factor, infinities.swift)
        if if_adjoint or if_factor:
            finite, growing = infinities.split(step, factor)
            whole = product(adjoint, numbering.define(growing), where_u_is_0=if_adjoint, where_v_is_0=if_factor)
            term = finite * whole
        else:
            term = adjoint * factor
        contributions.append((operand, over, term))
    return contributions


def _share_of_largest(step: Step, adjoint: Expr, numbering: Numbering) -> Element:
    """The derivative of the loss by each of the terms of a maximum: the largest share it equally, the others have 0."""
    z = numbering.define(step.expression, None, step.indices)
    largest = numbering.define(Piecewise((S.One, Eq(z, step.target)), (S.Zero, True)), None, step.indices)
    count = numbering.define(largest, operator="sum", over=step.over)
    return numbering.define(adjoint * largest / count, None, step.indices)


def _derivatives(expression: Expr, hidden: bool) -> dict[Element, Expr]:
    """The partial derivatives of an expression by its elements; of a sum, term by term."""
    derivatives: defaultdict[Element, list[Expr]] = defaultdict(list)
    for term in Add.make_args(expression):
        for operand in sorted(term.atoms(Element), key=str):
            value = defined(plain_conditions(derivative(term, operand, hidden)))
            if value != 0:
                derivatives[operand].append(value)
    return {operand: Add(*parts) for operand, parts in derivatives.items()}


def _log_softmax_contribution(step: Step, adjoint: Expr, numbering: Numbering) -> tuple[Element, tuple[str, ...], Expr]:
    """d_z[k] = d_v[k]*(1 - p[k]) - p[k]*sum(l != k) d_v[l], with p = softmax(z).

    The textbook's ``d_v[k] - p[k]*sum(l) d_v[l]`` is the same, but loses digits where p is close to 1. For one-hot
    targets the sum without ``d_v[k]`` is exact.
    """
    z = step.expression
    p = numbering.define(z, None, step.target.indices, "softmax", step.over)
    q = numbering.define(z, None, step.target.indices, "softmax_complement", step.over)
    total = numbering.define(adjoint, operator="sum", over=step.over)
    return z, (), adjoint * q - p * (total - adjoint)


def _softmax_contribution(step: Step, adjoint: Expr, numbering: Numbering) -> tuple[Element, tuple[str, ...], Expr]:
    """d_z[k] = p[k]*(d_v[k]*(1 - p[k]) - sum(l != k) d_v[l]*p[l]), with p = softmax(z); for 1 - p with another sign.

    In ``d_v[k] - sum(l) d_v[l]*p[l]`` digits are lost where p is close to 1.
    """
    z = step.expression
    p = numbering.define(z, None, step.target.indices, "softmax", step.over)
    q = numbering.define(z, None, step.target.indices, "softmax_complement", step.over)
    total = numbering.define(adjoint * p, operator="sum", over=step.over)
    value = p * (adjoint * q - (total - adjoint * p))
    return z, (), value if step.operator == "softmax" else -value

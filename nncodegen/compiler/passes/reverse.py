"""The reverse sweep over the steps of a program: the derivatives of one scalar by all parameters.

For a step ``v[B] = sum(C) f(..., u[A], ...)`` the operand ``u`` receives

    d_u[A] += sum((B + C) - A) d_v[B]*df/du[A]

under the same equations between indices, if the step has any: the derivative of a window is its transpose. A recurrence
runs backwards, through steps that read the adjoint ``after`` them, at the next value of their index: the derivative of
``before`` is ``after``.

``derivatives`` gives ``df/du`` of the small scalar expression; the rest is bookkeeping of indices. The sweep adds a few
steps for each step, for any number of parameters. (Differentiating the whole formula for each parameter would take
quadratic time and more.) The derivative by a parameter is a sum over the samples; without that sum, it is a row of the
Jacobian for each of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import prod
from typing import NamedTuple

from sympy import Add, Eq, Expr, Piecewise, S

from nncodegen.compiler.ir import (
    RECURRENCES,
    REDUCTIONS,
    SAMPLE,
    Element,
    Equation,
    Program,
    Step,
    dependent,
    elements,
    grouped,
    renamed,
    solve,
    steps_of,
)
from nncodegen.compiler.ir.functions import defined, plain_conditions
from nncodegen.compiler.ir.systems import INTEGRATE, SWEPT, Named, swept
from nncodegen.compiler.passes.augment import augmented, parts_of
from nncodegen.compiler.passes.derivatives import derivative, may_vanish, product
from nncodegen.compiler.passes.infinities import Infinities
from nncodegen.compiler.passes.numbering import Numbering
from nncodegen.errors import ProgramError

Where = tuple[Equation, ...]

Terms = dict[tuple[tuple[str, ...], Where], list[Expr]]
"""The terms of an adjoint, by the indices that they are summed over, and by the equations under which they count."""

Contribution = tuple[Element, tuple[str, ...], Where, Expr]


def reverse_sweep(
    program: Program,
    steps: tuple[Step, ...],
    loss: Element,
    numbering: Numbering,
    each_sample: bool = False,
    rows: tuple[str, ...] = (),
) -> tuple[Element, ...]:
    """Add the steps of the reverse sweep to the numbering; return the elements that hold the derivatives of the loss.

    The result has one element for each parameter; with ``each_sample`` it has the index of the samples and is not
    summed over them. If the loss has indices, ``rows``, the derivatives have these as well.
    """
    leading = (*([SAMPLE] if each_sample else []), *rows)
    terms: defaultdict[Element, Terms] = defaultdict(lambda: defaultdict(list))
    terms[loss][(), ()].append(S.One)
    trained = active(program, steps)
    infinities = Infinities(steps, (loss,), program.present.name if program.present else "")
    named = {step.target.tensor: step.target for step in steps}  # a tensor may be read under other indices
    recurrences: dict[Element, Element] = {}  # for each one, its adjoint at the next value of its index
    for item in reversed(grouped(steps)):  # reversed: every use of a tensor is visited before its definition
        group_steps = steps_of(item)
        for step in group_steps:  # a recurrence that does not read itself is a group of its own
            if step.operator in RECURRENCES and step.target.tensor in trained and _is_reached(group_steps, terms):
                recurrences[step.target] = _neighbour(step, numbering)
                terms[step.operands[0]][(), ()].append(recurrences[step.target])
        for step in reversed(group_steps):
            if step.target in recurrences:
                total = _total(terms.pop(step.target, {}), numbering, step.target)
                whole_adjoint = numbering.define(total, f"d_{step.target.tensor}", step.target.indices)
                numbering.complete(recurrences[step.target], whole_adjoint)
            if step.target not in terms:
                continue
            adjoint = _adjoint(step.target, terms.pop(step.target), numbering)
            for operand, over, where, term in _contributions(step, adjoint, infinities, numbering, program):
                if operand.tensor in trained and term != 0:
                    summed = tuple(index for index in over if index not in leading)
                    element = named.setdefault(operand.tensor, operand)
                    if element != operand:
                        summed, where, term = _renamed(operand, element, summed, where, term)
                    terms[element][summed, where].append(term)
    used = {**{e.tensor: e for step in program.steps for e in step.operands}, **named}
    parameters = (used.get(tensor.name, Element(tensor.name)) for tensor in program.parameters)
    return tuple(_gradient(parameter, leading, terms.pop(parameter, {}), numbering) for parameter in parameters)


def _renamed(
    operand: Element, element: Element, over: tuple[str, ...], where: Where, term: Expr
) -> tuple[tuple[str, ...], Where, Expr]:
    """Return a term for an operand as a term for the same tensor under other indices, those of ``element``.

    Indices that are in the way are exchanged with free ones. Both are indices of the same axes, so that their sizes are
    equal.
    """
    names = dict(zip(operand.indices, element.indices, strict=True))
    left, free = [i for i in element.indices if i not in names], [i for i in names if i not in element.indices]
    names |= dict(zip(left, free, strict=True))
    summed = tuple(names.get(index, index) for index in over)
    return summed, tuple(equation.renamed(names) for equation in where), renamed(term, names)


def _is_reached(steps: Iterable[Step], terms: Mapping[Element, Terms]) -> bool:
    """Return whether the loss depends on any of some steps."""
    return any(step.target in terms for step in steps)


def _neighbour(step: Step, numbering: Numbering) -> Element:
    """Return the element that holds the adjoint of a recurrence at the next value of its index."""
    operator = "after" if step.operator == "before" else "before"
    return numbering.recur(operator, step.target.indices, step.over, f"d_{step.operands[0].tensor}_{operator}")


def active(program: Program, steps: tuple[Step, ...]) -> set[str]:
    """Return the names of the tensors that depend on trained parameters, for membership only."""
    return dependent(steps, (tensor.name for tensor in program.parameters if tensor.trained))


def _adjoint(target: Element, terms: Terms, numbering: Numbering) -> Expr:
    """Return the derivative of the loss by a tensor, without the indices on which it does not depend.

    For the loss itself it is the number 1.
    """
    total = _total(terms, numbering, target)
    return total if total.is_number or isinstance(total, Element) else numbering.define(total, f"d_{target.tensor}")


def _gradient(parameter: Element, leading: tuple[str, ...], terms: Terms, numbering: Numbering) -> Element:
    """Return the derivative of the loss by a parameter in a separate tensor, with leading indices before its own."""
    name, indices = f"d_{parameter.tensor}", tuple(dict.fromkeys((*leading, *parameter.indices)))
    if len(parameter.indices) == 2 and len(terms.get(((SAMPLE,), ()), ())) > 1:
        return numbering.define(_total(terms, numbering, parameter, by_product=True), name, indices)
    if len(terms) == 1:
        (((over, where), expressions),) = terms.items()
        if over:
            return numbering.define(Add(*expressions), name, indices, "sum", over, where)
    return numbering.define(_total(terms, numbering, parameter), name, indices)


def _total(terms: Terms, numbering: Numbering, target: Element, by_product: bool = False) -> Expr:
    """Return the sum of terms. Each is summed over units separately: the sum of one product is a product of matrices.

    Those with equations have their indices in the order of the target. With ``by_product``, each is also summed over
    the samples separately, as for a matrix of weights that several layers share, or derivatives of one.
    """
    total = Add(*terms.get(((), ()), []))
    for (over, where), expressions in terms.items():
        if over or where:
            parts = [Add(*expressions)] if over == (SAMPLE,) and not by_product else expressions
            operator = "sum" if over else None
            for part in parts:
                read = {index for element in elements(part) for index in element.indices}
                read |= {index for equation in where for index in equation.indices}
                several = read - {*over} <= {*target.indices} and (where or len(target.indices) > 2)
                kept_indices = tuple(index for index in target.indices if index in read) if several else None
                total += numbering.define(part, None, kept_indices, operator, over, where)
    return total


def _contributions(
    step: Step, adjoint: Expr, infinities: Infinities, numbering: Numbering, program: Program
) -> list[Contribution]:
    """Return (operand, indices to sum over, equations, term) for each operand of a step."""
    if step.operator in RECURRENCES:
        return []  # their adjoints are complete already
    if step.operator == INTEGRATE and step.expression.system.weights:
        return swept_contributions(step, adjoint, numbering)
    if step.operator == INTEGRATE:
        return path_contributions(step, adjoint, numbering)
    if step.operator == "log_softmax":
        return [_log_softmax_contribution(step, adjoint, numbering)]
    if step.operator in ("softmax", "softmax_complement"):
        return [_softmax_contribution(step, adjoint, numbering)]
    where = (*step.where, *chosen_terms(step, numbering, program))
    adjoint = share_of(step, adjoint, numbering)
    contributions = []
    for operand, factor in partial_derivatives(step.expression, infinities.hides(step.target)).items():
        over = tuple(index for index in step.indices if index not in operand.indices)
        if_adjoint = infinities.derivative_grows(step, operand, factor)
        if_factor = infinities.adjoint_grows(step) and may_vanish(factor, infinities.swift)
        if if_adjoint or if_factor:
            finite, growing = infinities.split(step, factor)
            whole = product(adjoint, numbering.define(growing), where_u_is_0=if_adjoint, where_v_is_0=if_factor)
            term = finite * whole
        else:
            term = adjoint * factor
        contributions.append((operand, over, where, term))
    return contributions


class Slopes(NamedTuple):
    """Derivatives of a path by ``size`` values of what is given, from the ``first`` on; ``place`` is their axis."""

    values: Element
    place: str
    first: int
    size: int


def slopes_of(step: Step, numbering: Numbering) -> list[Slopes]:
    """Return the derivatives of the path of a step by what is given, in parts where they are very many."""
    given_row, (*others, state) = step.expression.args[2], step.target.indices
    system, parts = step.expression.system, []
    for place, first, size in parts_of(len(system.states), len(system.given), given_row.indices[-1]):
        path = step.expression.of(augmented(system, first, size))
        name, indices = f"slopes_{step.target.tensor}", (*others, place, state)
        parts.append(Slopes(numbering.define(path, name, indices, INTEGRATE, step.over), place, first, size))
    return parts


def path_contributions(step: Step, adjoint: Expr, numbering: Numbering) -> list[Contribution]:
    """Return the contributions d_g[g] = sum(k, s) d_path[k, s]*slopes[k, g, s] to what is given, one for each part."""
    given_row = step.expression.args[2]
    over = tuple(index for index in step.target.indices if index not in given_row.indices)
    contributions: list[Contribution] = []
    for part in slopes_of(step, numbering):
        if part.place == given_row.indices[-1]:
            return [(given_row, over, (), adjoint * part.values)]
        where = (Equation(given_row.indices[-1], ((part.place, 1),), part.first),)
        contributions.append((given_row, (*over, part.place), where, adjoint * part.values))
    return contributions


def swept_contributions(step: Step, adjoint: Expr, numbering: Numbering) -> list[Contribution]:
    """Return the contributions of the reverse of a path to all that it reads."""
    read = step.expression
    name, system = step.target.tensor, read.system
    factors = numbering.define(adjoint, f"d_{name}", step.target.indices)
    given_row, sample = read.rows[0], (SAMPLE,)
    operands = (*read.args[1:], step.target, factors)
    over = dict.fromkeys(index for operand in operands for index in operand.indices if index != SAMPLE)
    whole = numbering.define(swept(Named(system), *operands), f"swept_{name}", (*sample, SWEPT), INTEGRATE, tuple(over))

    def part(indices: tuple[str, ...], offset: int) -> Element:
        sizes = {**dict(system.sizes), given_row.indices[1]: len(system.given)}
        strides = ((index, prod(sizes[other] for other in indices[k + 1 :])) for k, index in enumerate(indices))
        place = (Equation(SWEPT, tuple(strides), offset),)
        return numbering.define(whole, None, (*sample, *indices), "sum", (SWEPT,), place)

    offsets = (len(system.given) + offset for offset in system.offsets)
    return [
        (given_row, (), (), part(given_row.indices[1:], 0)),
        *(
            (weight, sample, (), part(weight.indices, first))
            for weight, first in zip(read.weights, offsets, strict=False)
        ),
    ]


SUMS: tuple[str | None, ...] = (None, "sum")
"""Operators for which every term has the full derivative."""


def chosen_terms(step: Step, numbering: Numbering, program: Program) -> Where:
    """Return the equation that selects the terms of a window with a derivative, where not all terms have one.

    Raise ProgramError for an operator without a derivative.
    """
    if step.operator in SUMS:
        return ()
    if not (step.operator in REDUCTIONS and REDUCTIONS[step.operator].chooses):
        raise ProgramError(f"{step.operator} has no derivative, in: {step}")
    return (_is_first_chosen(step, numbering, program),) if step.where else ()


def share_of(step: Step, value: Expr, numbering: Numbering) -> Expr:
    """Return the derivative for each term of a step, unless ``chosen_terms`` selects the terms that have one."""
    return value if step.operator in SUMS or step.where else _share_of_chosen(step, value, numbering)


def _is_first_chosen(step: Step, numbering: Numbering, program: Program) -> Equation:
    """Return the equation that selects the first of the largest terms of a window: only this one has a derivative."""
    largest = Piecewise((S.One, Eq(step.expression, step.target)), (S.Zero, True))
    number = numbering.define(largest, None, step.target.indices, "first", step.over, step.where)
    terms, factor = [], 1
    for index in reversed(solve(step.where, step.over, program.sizes).free):
        terms.append((index, factor))
        factor *= program.sizes[index] or 1
    return Equation(number, tuple(reversed(terms)))


def _share_of_chosen(step: Step, adjoint: Expr, numbering: Numbering) -> Element:
    """Return the derivative of the loss by each term of a maximum: the largest share it equally, the others have 0."""
    z = numbering.define(step.expression, None, step.indices)
    largest = numbering.define(Piecewise((S.One, Eq(z, step.target)), (S.Zero, True)), None, step.indices)
    count = numbering.define(largest, operator="sum", over=step.over)
    return numbering.define(adjoint * largest / count, None, step.indices)


def partial_derivatives(expression: Expr, hidden: bool) -> dict[Element, Expr]:
    """Return the partial derivatives of an expression by its elements; of a sum, term by term."""
    derivatives: defaultdict[Element, list[Expr]] = defaultdict(list)
    for term in Add.make_args(expression):
        for operand in sorted(term.atoms(Element), key=str):
            value = defined(plain_conditions(derivative(term, operand, hidden)))
            if value != 0:
                derivatives[operand].append(value)
    return {operand: Add(*parts) for operand, parts in derivatives.items()}


def _log_softmax_contribution(step: Step, adjoint: Expr, numbering: Numbering) -> Contribution:
    """Return the contribution d_z[k] = d_v[k]*(1 - p[k]) - p[k]*sum(l != k) d_v[l], with p = softmax(z).

    The textbook's ``d_v[k] - p[k]*sum(l) d_v[l]`` is equal, but loses digits where p is close to 1. For one-hot targets
    the sum without ``d_v[k]`` is exact.
    """
    z = step.expression
    p = numbering.define(z, None, step.target.indices, "softmax", step.over)
    q = numbering.define(z, None, step.target.indices, "softmax_complement", step.over)
    total = numbering.define(adjoint, operator="sum", over=step.over)
    return z, (), (), adjoint * q - p * (total - adjoint)


def _softmax_contribution(step: Step, adjoint: Expr, numbering: Numbering) -> Contribution:
    """Return the contribution d_z[k] = p[k]*(d_v[k]*(1 - p[k]) - sum(l != k) d_v[l]*p[l]), with p = softmax(z).

    For 1 - p it has the other sign. In ``d_v[k] - sum(l) d_v[l]*p[l]`` digits are lost where p is close to 1. Terms
    that do not exist have p = 0, and so the derivative 0.
    """
    z, where = step.expression, step.where
    p = numbering.define(z, None, step.target.indices, "softmax", step.over, where)
    q = numbering.define(z, None, step.target.indices, "softmax_complement", step.over, where)
    total = numbering.reduced(step, adjoint * p, "sum")
    value = p * (adjoint * q - (total - adjoint * p))
    return z, (), (), value if step.operator == "softmax" else -value

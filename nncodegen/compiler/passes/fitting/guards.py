"""Guards: the denominators of a formula, which must not change their sign while it is fitted.

A fit that steps over a pole does not come back: V*x/(K + x) from K = 1 to K = -0.5 has a pole among the data, and a
minimum that does not belong to the problem. So the rows of a fit hold the denominators as well, and a step that changes
the sign of one of them at a sample is rejected.

The arguments of logarithms, and the bases of roots and other powers that are not integers, need no rows: they make the
formula NaN where their sign changes, and such a step is rejected as well. The base of a power whose exponent is a
parameter has a row, as the exponent may happen to be an integer.

Where inputs have errors, a denominator may depend on these alone: a/x has the guard x + change_of_x, which keeps a fit
from changing an input to the other side of the pole. It is not reported, as it is no pole for the parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sympy import Abs, Add, Expr, Mul, Piecewise, Pow, S, Symbol, cosh, exp, sinh
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, elements
from nncodegen.compiler.ir.functions import bose_einstein, decay, exponential_ratio, sech, sech2, sigmoid, softplus
from nncodegen.compiler.ir.graphs import rewritten
from nncodegen.compiler.ir.magnitudes import balanced, balanced_four, divided, grouped
from nncodegen.compiler.ir.quotients import QUOTIENTS, Under
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.passes.digits.formed import Formed
from nncodegen.compiler.passes.numbering import Known, Numbering, known_under

POSITIVE = (exp, cosh, decay, sigmoid, softplus, sech, sech2, QUOTIENTS[expm1], QUOTIENTS[sinh])
WITH_POLES = (share, exponential_ratio, bose_einstein, divided)
"""Functions whose definition is a quotient with a pole. Those of ``ir/quotients.py`` have a limit in its place."""
IN_AN_ORDER = (grouped, balanced, balanced_four, divided)
"""Products and quotients that say which factors are multiplied first."""


class Guards(NamedTuple):
    """The guards of a formula: those that depend on its parameters, then those that depend on changes of inputs alone.

    ``texts`` are as people write them, ``K + x``, without changes of inputs, so that they do not depend on whether the
    program has these. ``of_inputs`` is the number of the last ones, which depend on changes of inputs alone.
    """

    expressions: tuple[Expr, ...]
    texts: tuple[str, ...]
    of_inputs: int


def guards_of(steps: Iterable[Step], program: Program) -> Guards:
    """Return the denominators in the steps of a formula that depend on its parameters and may have either sign.

    Each is a single factor, without powers, and occurs once. Those in some branches of a Piecewise alone are left out,
    as they count only where these are taken. A formula with a form that keeps its digits has the poles of its plain
    form: the other may divide by something else on the way, or choose between two forms. A network has none: its
    formulas are those of layers.
    """
    if program.layered:
        return Guards((), (), 0)
    names = [tensor.name for tensor in program.parameters]
    count = len(names) - program.task.fits.input_shifts
    dependent, changed = set(names[:count]), set(names[count:])
    guards: dict[Expr, bool] = {}
    for step in steps:
        for denominator in _denominators(step.expression):
            for factor in _factors(_without_order(denominator)):
                read = {element.tensor for element in elements(factor)}
                if read & (dependent | changed) and not _is_never_negative(factor):
                    guards[_positive(factor)] = bool(read & dependent)
        read = {operand.tensor for operand in step.operands}
        for reached in (dependent, changed):
            if read & reached:
                reached.add(step.target.tensor)
    ordered = sorted(guards, key=lambda guard: not guards[guard])
    texts = tuple(_text_of(guard, names[count:]) for guard in ordered)
    return Guards(tuple(ordered), texts, len(guards) - sum(guards.values()))


def _positive(guard: Expr) -> Expr:
    """Return a guard or its negative: that which is written without a minus sign."""
    return -guard if guard.could_extract_minus_sign() else guard


def _without_order(denominator: Expr) -> Expr:
    """Return a denominator whose products are SymPy's: what is computed first does not matter to its sign."""
    return rewritten(denominator, lambda node: node.definition(*node.args) if isinstance(node, IN_AN_ORDER) else node)


def _text_of(guard: Expr, changes: Sequence[str]) -> str:
    """Return a guard as people write it, with changes of inputs that are 0."""
    names = {
        element: S.Zero if element.tensor in changes else Symbol(element.tensor, real=True)
        for element in elements(guard)
    }
    return str(_positive(guard.xreplace(names)))


def with_guards(guards: Sequence[Expr], known: Known, numbering: Numbering) -> tuple[Element, ...]:
    """Add steps for the values of guards at each sample, and return their elements.

    ``known`` has what the elements that the guards read have become.
    """
    results = []
    for number, guard in enumerate(guards, start=1):
        values = known_under(Step(Element("guard", (SAMPLE,)), guard), known)
        value = numbering.define(guard.xreplace(values))
        results.append(Element(numbering.fresh(f"guard{number}" if len(guards) > 1 else "guard"), (SAMPLE,)))
        numbering.steps.append(Step(results[-1], value))  # a copy: the value may be an output as well
    return tuple(results)


def _denominators(expression: Expr) -> Iterator[Expr]:
    """Yield the bases of powers that may be poles, in the order in which they are found."""
    waiting, seen = [expression], {expression}
    while waiting:
        node = waiting.pop()
        if isinstance(node, WITH_POLES):
            node = node.definition(*node.args)
        elif isinstance(node, Under):
            node = node.stable(*node.args)  # its definition, with a quotient whose sign is known
        elif isinstance(node, Formed):
            node = node.plain_form(*node.args)
        if isinstance(node, Piecewise):
            yield from _in_all_branches(node)
            continue
        if isinstance(node, Pow) and (node.exp.is_negative if node.exp.is_Integer else not node.exp.is_number):
            yield node.base
        new = [argument for argument in node.args if argument not in seen]
        seen.update(new)
        waiting += reversed(new)


def _in_all_branches(node: Piecewise) -> Iterator[Expr]:
    """Yield the factors of denominators that all branches have: they count whichever is taken."""
    factors_of_branches = [
        dict.fromkeys(
            _positive(factor)
            for denominator in _denominators(value)
            for factor in _factors(_without_order(denominator))
        )
        for value, _ in node.args
    ]
    yield from (
        factor for factor in factors_of_branches[0] if all(factor in others for others in factors_of_branches[1:])
    )


def _factors(expression: Expr) -> Iterator[Expr]:
    """Yield the factors of an expression, without powers: those by which its sign may change."""
    for factor in Mul.make_args(expression):
        if isinstance(factor, Mul):
            yield from _factors(factor)
        elif isinstance(factor, Pow):
            yield from _factors(factor.base)
        else:
            yield factor


def _is_never_negative(expression: Expr) -> bool:
    """Return whether an expression, by its form, is not below 0 wherever it is a real number."""
    signs: dict[Expr, tuple[bool, bool]] = {}
    waiting = [expression]
    while waiting:
        node = waiting[-1]
        missing = [argument for argument in node.args if argument not in signs]
        if missing and not isinstance(node, Piecewise):
            waiting += missing
            continue
        signs[waiting.pop()] = _sign(node, signs)
    return signs[expression][1]


def _sign(node: Expr, signs: Mapping[Expr, tuple[bool, bool]]) -> tuple[bool, bool]:
    """Return whether a node is above 0, and whether it is not below 0, given the signs of its arguments."""
    if node.is_number:
        return bool(node.is_positive), bool(node.is_nonnegative)
    if isinstance(node, POSITIVE):
        return True, True
    if isinstance(node, Abs):
        return False, True
    if isinstance(node, Piecewise):
        return False, False
    parts = [signs[argument] for argument in node.args]
    not_below = bool(parts) and all(part[1] for part in parts)
    if isinstance(node, Add):
        return not_below and any(part[0] for part in parts), not_below
    if isinstance(node, Mul):
        return all(part[0] for part in parts), not_below
    if isinstance(node, Pow):
        odd = node.exp.is_Integer and node.exp.is_odd
        fine = parts[0][1] or not odd
        return parts[0][0] or (fine and bool(node.exp.is_negative)), fine
    if isinstance(node, share):
        return all(part[0] for part in parts), not_below
    return False, False

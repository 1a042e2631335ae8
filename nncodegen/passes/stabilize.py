"""describe -> **stabilize** -> differentiate: rewrites formulas that would overflow or lose digits as written.

Neither a compiled formula nor its gradient may overflow or lose digits where its value is finite. The rules run before
the reverse sweep, on whole formulas, because the derivative of ``1 - f`` no longer shows that f is a logistic function.
They are in ``rules/``, and are applied once, from the leaves to the root. Then, if that is chosen, the outputs are
measured: where they still lose digits, ``digits`` looks for forms that keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sympy import Expr

from nncodegen.errors import ModelError
from nncodegen.ir import Element, Program, Step
from nncodegen.ir.functions import StableFunction
from nncodegen.passes.digits.formed import Finding, kept
from nncodegen.passes.digits.search import BEST, FAST, OFF
from nncodegen.passes.rules import Rule
from nncodegen.passes.rules.forms import Forms, stable_form

DIGITS = (OFF, FAST, BEST)
"""The values of the choice ``digits``: how much a form may cost that keeps more digits."""


def stabilize(program: Program, digits: str = OFF) -> Program:
    """Return the program with every formula in a form that neither overflows nor cancels needlessly.

    ``digits`` bounds the operations of forms that are found by a search: "fast" or "best"; "off" for no search.
    """
    if digits not in DIGITS:
        raise ModelError(f"digits must be one of {', '.join(map(repr, DIGITS))}, not {digits!r}")
    forms = _forms(program)
    steps = [replace(step, expression=forms.of(step.expression)) for step in program.steps]
    known, findings = _kept(program, steps, digits) if digits != OFF else ({}, ())
    if known:
        forms = Forms((*forms.parts, *known), known=known)
        steps = [replace(step, expression=forms.of(step.expression)) for step in program.steps]
    described = program.loss_of_outputs
    loss = None if described is None else stable_form(described)
    return replace(program, steps=tuple(steps), loss_of_outputs=loss, digits=tuple(map(str, findings)))


def _forms(program: Program) -> Forms:
    """Return the stable forms for a program, with the parts that a first pass over its steps has recognized."""
    forms = Forms()
    for step in program.steps:
        forms.of(step.expression)
    return Forms(tuple(forms.recognized))


def _kept(program: Program, stable: Sequence[Step], digits: str) -> tuple[dict[Expr, Expr], tuple[Finding, ...]]:
    """Return the forms that a search has found for the outputs of a formula, by what is written, and its findings."""
    if program.layered or program.moves or any(tensor.shape[1:] for tensor in program.inputs):
        return {}, ()
    starts = {Element(p.name): float(p.initial.scale) for p in program.parameters if not p.shape}
    declared = {tensor.name for tensor in (*program.inputs, *program.parameters)}
    known: dict[Expr, Expr] = {}
    findings: list[Finding] = []
    for step, after in zip(program.steps, stable, strict=True):
        written = step.expression
        if step.operator or step.target not in program.outputs or written.is_Atom:
            continue
        if any(element.tensor not in declared for element in step.operands) or written.atoms(StableFunction):
            continue
        form, found = kept(step.target.tensor, written, after.expression, starts, digits)
        findings += found
        if form != after.expression:
            known[written] = form
    return known, tuple(findings)


@dataclass(frozen=True)
class Rewriting:
    """A rule that has applied: the step where it met the node first, its name, its algebra, the node before and after.

    If other rules rewrite the node afterwards, these are further rewritings.
    """

    step: Step
    rule: str
    algebra: str
    before: Expr
    after: Expr


def rewritings(program: Program) -> tuple[Rewriting, ...]:
    """Return the rules that ``stabilize`` applies to a program, in the order in which they apply."""
    found: list[Rewriting] = []
    forms = _forms(program)
    for step in program.steps:

        def observe(rule: Rule, before: Expr, after: Expr, step: Step = step) -> None:
            algebra = " ".join((rule.__doc__ or "").split("\n\n")[0].split())
            found.append(Rewriting(step, rule.__name__.strip("<>"), algebra, before, after))

        forms.observe = observe
        forms.of(step.expression)
    return tuple(found)

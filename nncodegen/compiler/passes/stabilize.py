"""describe -> **stabilize** -> differentiate: rewrites formulas that would overflow or lose digits as written.

Neither a compiled formula nor its gradient may overflow or lose digits where its value is finite. The rules run before
the reverse sweep, on whole formulas, because the derivative of ``1 - f`` no longer shows that f is a logistic function.
They are in ``rules/``, and are applied once, from the leaves to the root. Then, if that is chosen, the outputs are
measured: where they still lose digits, ``digits`` looks for forms that keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sympy import Expr

from nncodegen.compiler.ir import Element, Program, Step
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.program import OFF
from nncodegen.compiler.ir.systems import INTEGRATE
from nncodegen.compiler.passes.digits.formed import Finding, Known, kept
from nncodegen.compiler.passes.linearize import linearized
from nncodegen.compiler.passes.rules import Rule
from nncodegen.compiler.passes.rules.forms import Forms, stable_form


def stabilize(
    program: Program,
    whole: Program | None = None,
    known: Known | None = None,
    observe: Callable[[Finding], object] = lambda finding: None,
) -> Program:
    """Return the program with every formula in a form that neither overflows nor cancels needlessly.

    ``program.digits`` bounds the operations of forms that are found by a search; with "off", there is none. Forms are
    looked for of the outputs; a program that has lost its own is a part of ``whole``, which has them. ``known`` has
    what other processes have found; ``observe`` is called with what the search finds.
    """
    forms = _forms(program)
    steps = [_stable(step, forms) for step in program.steps]
    better_forms, findings = _kept(whole or program, forms, known) if program.options.digits != OFF else ({}, ())
    for finding in findings:
        observe(finding)
    if better_forms:
        forms = Forms((*forms.parts, *better_forms), known=better_forms)
        steps = [_stable(step, forms) for step in program.steps]
    described = program.task.loss_of_outputs
    loss = None if described is None else stable_form(described)
    return replace(
        program,
        steps=tuple(steps),
        task=replace(program.task, loss_of_outputs=loss),
    )


def _stable(step: Step, forms: Forms) -> Step:
    """Return a step whose formula has its stable form; of differential equations, each rate has."""
    if step.operator == INTEGRATE:
        system = step.expression.system.mapped(forms.of)
        return replace(step, expression=step.expression.of(linearized(system) if system.linear else system))
    return replace(step, expression=forms.of(step.expression))


def _forms(program: Program) -> Forms:
    """Return the stable forms for a program, with the parts that a first pass over its steps has recognized."""
    forms = Forms()
    for step in program.steps:
        forms.of(step.expression)
    return Forms(tuple(forms.recognized))


def _kept(program: Program, forms: Forms, known: Known | None) -> tuple[dict[Expr, Expr], tuple[Finding, ...]]:
    """Return the forms that a search has found for the outputs of a formula, by what is written, and its findings."""
    if program.layered or program.moves or any(tensor.shape[1:] for tensor in program.inputs):
        return {}, ()
    starts = {Element(p.name): float(p.initial.scale) for p in program.parameters if not p.shape}
    declared = {tensor.name for tensor in (*program.inputs, *program.parameters)}
    better: dict[Expr, Expr] = {}
    findings: list[Finding] = []
    as_typed = dict(zip(program.outputs, program.task.outputs_as_typed, strict=False))
    for step in program.steps:
        written = step.expression
        if step.operator or step.target not in program.outputs or written.is_Atom:
            continue
        typed = as_typed.get(step.target)
        if any(element.tensor not in declared for element in step.operands):
            continue
        if written.has(StableFunction) and typed is None:
            continue
        now = forms.of(written)
        form, step_findings = kept(
            step.target.tensor, written, now, starts, program.options.digits, program.precision, known, typed
        )
        findings += step_findings
        if form != now:
            better[written] = form
    return better, tuple(findings)


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
    applied: list[Rewriting] = []
    forms = _forms(program)
    for step in program.steps:

        def observe(rule: Rule, before: Expr, after: Expr, step: Step = step) -> None:
            algebra = " ".join((rule.__doc__ or "").split("\n\n")[0].split())
            applied.append(Rewriting(step, rule.__name__.strip("<>"), algebra, before, after))

        forms.observe = observe
        forms.of(step.expression)
    return tuple(applied)

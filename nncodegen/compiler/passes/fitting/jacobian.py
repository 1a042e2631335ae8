"""The program of the rows of a Jacobian: the values of every sample that a fit by least squares needs.

A row holds the outputs of the model, then its guards (see ``guards``), then the derivatives of the outputs by each
parameter. A model with several outputs has several rows for each sample: then the program has a target for each output,
its *seed*, and a row holds the derivatives of the sum of the outputs times their seeds. The runtime asks for one row
after the other, with a seed of 1 for its output and 0 for the others.

A recurrence with few parameters and values at many times would go back through all steps once for each of these. Its
rows come from forward sweeps instead, one for each parameter along with the values (sensitivities): a row then has the
derivatives of all outputs by the first parameter, those by the second, and so on, and there are no seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sympy import S

from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Companion, Element, Program, Step, Tensor, needed
from nncodegen.compiler.ir.systems import INTEGRATE
from nncodegen.compiler.passes.fitting.affine import linear_of
from nncodegen.compiler.passes.fitting.guards import guards_of, with_guards
from nncodegen.compiler.passes.fitting.seeds import NAME, laid_out, seeds_of, shape_of, summed
from nncodegen.compiler.passes.forward import forward_sweep
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep

ABOUT = "the outputs, and the derivatives of their sum (with several of them, times seeds) by the parameters"

ABOUT_FORWARD = "the outputs, and the derivatives of all of them by each parameter"


def jacobian(program: Program) -> Companion:
    """Return the program whose outputs are, for every sample, those of a stabilized program and their derivatives."""
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    steps = needed(program.steps, program.outputs)
    known = split(steps, numbering)
    outputs = [laid_out(known[output], output.indices, numbering) for output in program.outputs]
    if runs_forward(program):
        return _forward(program, outputs, numbering)
    seeds = seeds_of(outputs, program, numbering)
    total = summed(outputs, seeds, numbering)
    rows = reverse_sweep(program, needed(numbering.steps, [total]), total, numbering, each_sample=True)
    guards = guards_of(steps, program)
    guarded = with_guards(guards.expressions, known, numbering)
    derived = replace(
        program,
        targets=tuple(Tensor(seed.tensor, shape_of(seed, program)) for seed in seeds),
        steps=needed(numbering.steps, (*outputs, total, *guarded, *rows)),
        outputs=(*outputs, *guarded, *rows),
        loss=total,
        task=program.task.of_derived,
    )
    count = sum(program.count(output.indices) for output in program.outputs)
    linear = linear_of(program, derived.steps, rows)
    of_inputs = guards.of_inputs
    return Companion(NAME, ABOUT, derived, count, guards=guards.texts, input_guards=of_inputs, linear=linear)


def runs_forward(program: Program) -> bool:
    """Return whether forward sweeps give the rows of a fit with less work: for recurrences of few parameters.

    Those of differential equations do for any number of outputs, since the path has all derivatives in either case.
    """
    if any(parameter.shape for parameter in program.parameters):
        return False
    if solving := [step for step in program.steps if step.operator == INTEGRATE]:
        return not (program.task.fits.input_shifts or any(step.expression.system.weights for step in solving))
    count = sum(program.count(output.indices) for output in program.outputs)
    recurs = any(step.operator in RECURRENCES for step in program.steps)
    return recurs and 1 < count >= len(program.parameters)


def _forward(program: Program, outputs: list[Element], numbering: Numbering) -> Companion:
    """Return the program whose rows have the outputs, and the derivatives of all of them by each parameter."""
    rows = forward_rows(program, outputs, outputs, numbering)
    unread = numbering.define(Element(program.weight.name, (SAMPLE,)), "unread", (), "sum", (SAMPLE,))
    derived = replace(
        program,
        targets=(),
        steps=needed(numbering.steps, (*outputs, *rows, unread)),
        outputs=(*outputs, *rows),
        loss=unread,  # in place of the loss, which a fit computes from the outputs
        task=program.task.of_derived,
    )
    count = sum(program.count(output.indices) for output in program.outputs)
    return Companion(NAME, ABOUT_FORWARD, derived, count, forward=True)


def forward_rows(
    program: Program, outputs: Sequence[Element], before: Sequence[Element], numbering: Numbering
) -> list[Element]:
    """Return the derivatives of all outputs by the first parameter, by the second, and so on, by forward sweeps.

    ``before`` are the values before them in a row.
    """
    steps = needed(numbering.steps, outputs)
    rows: list[Element] = []
    for parameter in program.parameters:
        alone = replace(program, parameters=(replace(parameter, trained=True),))
        for output, value in zip(
            outputs, forward_sweep(alone, steps, {parameter.name: S.One}, outputs, numbering), strict=True
        ):
            row = laid_out(value, output.indices, numbering)
            if row in (*before, *rows):  # each result has a place of its own
                row = Element(numbering.fresh(), output.indices)
                numbering.steps.append(Step(row, value))
            rows.append(row)
    return rows

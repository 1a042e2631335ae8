"""The program of the rows of a Jacobian: the values of every sample that a fit by least squares needs.

A row holds the outputs of the model, then its guards (see ``guards``), then the derivatives of the outputs by each
parameter. A model with several outputs has several rows for each sample: then the program has a target for each output,
its *seed*, and a row holds the derivatives of the sum of the outputs times their seeds. The runtime asks for one row
after the other, with a seed of 1 for its output and 0 for the others.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.ir import Companion, Program, Tensor, needed
from nncodegen.passes.fitting.affine import linear_of
from nncodegen.passes.fitting.guards import guards_of, text_of, with_guards
from nncodegen.passes.fitting.seeds import NAME, laid_out, seeds_of, shape_of, summed
from nncodegen.passes.numbering import Numbering, split
from nncodegen.passes.reverse import reverse_sweep

ABOUT = "the outputs, and the derivatives of their sum (with several of them, times seeds) by the parameters"


def jacobian(program: Program) -> Companion:
    """Return the program whose outputs are, for every sample, those of a stabilized program and their derivatives."""
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    steps = needed(program.steps, program.outputs)
    known = split(steps, numbering)
    outputs = [laid_out(known[output], output.indices, numbering) for output in program.outputs]
    seeds = seeds_of(outputs, program, numbering)
    total = summed(outputs, seeds, numbering)
    rows = reverse_sweep(program, needed(numbering.steps, [total]), total, numbering, each_sample=True)
    guards = guards_of(steps, program)
    guarded = with_guards(guards, known, numbering)
    derived = replace(
        program,
        targets=tuple(Tensor(seed.tensor, shape_of(seed, program)) for seed in seeds),
        steps=needed(numbering.steps, (*outputs, total, *guarded, *rows)),
        outputs=(*outputs, *guarded, *rows),
        loss=total,
        updates=(),
        labels=False,
    )
    count = sum(program.count(output.indices) for output in program.outputs)
    linear = linear_of(program, derived.steps, rows)
    return Companion(NAME, ABOUT, derived, count, guards=tuple(map(text_of, guards)), linear=linear)

"""stabilize -> **differentiate** -> simplify: appends the gradient of its loss to a Program, if it has a loss.

Steps are first split until each is one function, or one sum of products; then one sweep over them, from the loss back
to the parameters, finds all derivatives (see ``reverse``).
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, InTraining, Program, gathered, needed
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep
from nncodegen.compiler.passes.tangent import tangent
from nncodegen.compiler.passes.transposed import with_transposed


def prepare(program: Program) -> Program:
    """Return a stabilized program in the form that derivatives are taken of: without derivatives by inputs."""
    program = tangent(program)
    return with_transposed(replace(program, task=replace(program.task, field_steps=())))


def differentiate(program: Program, prepared: Program | None = None) -> Program:
    """Return the program with the gradient of its loss, one tensor for each parameter; without a loss, that at rest.

    ``prepared`` is the program as ``prepare`` returns it, if that is known.
    """
    program = prepared or prepare(program)
    if program.loss is None:
        return program.at_rest
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    at_rest = split(program.at_rest.steps, numbering)  # first, so that its results keep their names
    known = split(program.steps, numbering) if program.statistics else at_rest
    outputs, training = (tuple(values[output] for output in program.outputs) for values in (at_rest, known))
    loss = known[program.loss]
    gradient = reverse_sweep(program, needed(numbering.steps, [loss]), loss, numbering)
    derived = replace(program, outputs=outputs, loss=at_rest[program.loss], gradient=gradient)
    if program.statistics:
        followed = {statistic.parameter.tensor: known[statistic.value] for statistic in program.statistics}
        pairs = zip(program.parameters, gradient, strict=True)
        gradient = tuple(followed.get(tensor.name, element) for tensor, element in pairs)
        derived = replace(derived, gradient=gradient, statistics=(), batch=InTraining(training, loss))
    derived = replace(derived, steps=gathered(needed(numbering.steps, derived.results)))
    return with_sizes_of(derived, program)


def with_sizes_of(derived: Program, program: Program) -> Program:
    """Return a derived program with the sizes of indices that no tensor has any more.

    This happens where all tensors with an index became a number, such as the difference of two values that are always
    equal.
    """
    known = {SAMPLE, *dict(derived.extents)}
    known |= {index for step in derived.steps if derived.moves for e in step.operands for index in e.indices}
    sizes = []
    for step in derived.steps:
        known |= {index for operand in step.operands for index in operand.indices}
        sizes += [(index, program.sizes.get(index)) for index in step.indices if index not in known]
        known |= {*step.indices}
    extents = tuple((index, size) for index, size in sizes if size is not None)
    return replace(derived, extents=(*derived.extents, *extents)) if extents else derived

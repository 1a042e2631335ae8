"""stabilize -> **differentiate** -> simplify: appends the gradient of its loss to a Program.

Steps are first split until each is one function, or one sum of products; then one sweep over them, from the loss back
to the parameters, finds all derivatives (see ``reverse``). Further programs are made of derivatives, too: they become
companions of this one.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, Companion, InTraining, Program, gathered, needed
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.passes.augment import has_second_derivatives
from nncodegen.compiler.passes.fitting import fit_of
from nncodegen.compiler.passes.hessian import hessian
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep
from nncodegen.compiler.passes.stepwise import stepwise, why_not_stepwise
from nncodegen.compiler.passes.tangent import fields, tangent, with_field_steps
from nncodegen.compiler.passes.transposed import with_transposed
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.facts import WITHOUT_FIT

OF_A_BATCH = (
    "the rows of a fit are of single samples, and its BatchNormalization needs statistics of them all (with "
    "frozen=True it does not)"
)

NOTHING = "it has no parameters, so there is nothing to fit"


def differentiate(program: Program, fit: bool | None = None, apart: bool = False) -> Program:
    """Return the program with the gradient of its loss, one tensor for each parameter, and its companions.

    With ``fit``, these include companions for fits and for the Hessian; by default, only formulas have these. A formula
    that does not allow a fit has no companion for it; with ``fit``, it raises ModelError. With ``apart``, the Hessian
    is left for later, and so are the other passes over companions (see ``Program.apart``).
    """
    with_fields = with_field_steps(program) if program.task.field_steps else None
    program = tangent(program)
    program = with_transposed(replace(program, task=replace(program.task, field_steps=())))
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    rest = split(program.at_rest.steps, numbering)  # first, so that its results keep their names
    known = split(program.steps, numbering) if program.statistics else rest
    outputs, training = (tuple(values[output] for output in program.outputs) for values in (rest, known))
    loss = known[program.loss]
    gradient = reverse_sweep(program, needed(numbering.steps, [loss]), loss, numbering)
    derived = replace(program, outputs=outputs, loss=rest[program.loss], gradient=gradient)
    if program.statistics:
        followed = {statistic.parameter.tensor: known[statistic.value] for statistic in program.statistics}
        pairs = zip(program.parameters, gradient, strict=True)
        gradient = tuple(followed.get(tensor.name, element) for tensor, element in pairs)
        derived = replace(derived, gradient=gradient, statistics=(), batch=InTraining(training, loss))
    derived = replace(derived, steps=gathered(needed(numbering.steps, derived.results)))
    derived = _with_companions(_with_lost_sizes(derived, program), program, with_fields or program, fit, apart)
    derived = _with_steps(derived, program, apart)
    companions = (
        replace(companion, program=_with_lost_sizes(companion.program, program)) for companion in derived.companions
    )
    return replace(derived, findings=replace(derived.findings, companions=tuple(companions), lazy_companions=apart))


def _with_steps(derived: Program, program: Program, apart: bool) -> Program:
    """Return the differentiated program with the companion for the steps of a sequence, or why it has none."""
    companion = why_not_stepwise(program) if apart else stepwise(program)
    if isinstance(companion, Companion):
        return replace(
            derived, findings=replace(derived.findings, companions=(*derived.companions, companion), not_generated="")
        )
    return replace(derived, findings=replace(derived.findings, not_generated=companion))


def _with_lost_sizes(derived: Program, program: Program) -> Program:
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


def _with_companions(
    derived: Program, program: Program, with_fields: Program, fit: bool | None, apart: bool
) -> Program:
    """Return the differentiated program with the companions for its fit and its Hessian, or why it has no fit.

    ``with_fields`` is the program with the fields that a module returns for every sample.
    """
    never = NOTHING if not program.parameters else OF_A_BATCH if program.statistics else ""
    if never and fit:
        raise ModelError(f"{program.name} cannot be fitted: {never}; build it without fit=True")
    if never:
        return replace(derived, findings=replace(derived.findings, not_fitted=never))
    others = (fields(with_fields),) if program.task.fields and not apart else ()
    if fit is False or (fit is None and program.layered and not program.fit_task.has_fit_by_default):
        return replace(derived, findings=replace(derived.findings, not_fitted=WITHOUT_FIT, companions=others))
    companion = fit_of(program)
    twice = all(map(has_second_derivatives, systems_of(program.steps)))
    others = (hessian(program), *others) if twice and not apart else others
    if isinstance(companion, Companion):
        return replace(derived, findings=replace(derived.findings, companions=(companion, *others)))
    if fit:
        raise ModelError(f"{program.name} cannot be fitted: {companion}; build it without fit=True")
    return replace(derived, findings=replace(derived.findings, not_fitted=companion, companions=others))

"""stabilize -> **differentiate** -> simplify: appends the gradient of its loss to a Program.

Steps are first split until each is one function, or one sum of products; then one sweep over them, from the loss back
to the parameters, finds all derivatives (see ``reverse``). Other programs follow from derivatives as well: they become
companions of this one.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.errors import ModelError
from nncodegen.ir import Companion, Program, gathered, needed
from nncodegen.passes.fitting import fit_of
from nncodegen.passes.hessian import hessian
from nncodegen.passes.numbering import Numbering, split
from nncodegen.passes.reverse import reverse_sweep
from nncodegen.passes.tangent import fields, tangent


def differentiate(program: Program, fit: bool | None = None) -> Program:
    """The program with the gradient of its loss, one tensor for each parameter, and its companions.

    Those are for fits and for the Hessian, with ``fit``; by default, of formulas. A formula that does not allow a fit
    has no companion for that; with ``fit``, it raises ModelError.
    """
    program = tangent(program)
    numbering = Numbering((tensor.name for tensor in program.declared), whole_branches=True)
    known = split(program.steps, numbering)
    loss = known[program.loss]
    outputs = tuple(known[output] for output in program.outputs)
    gradient = reverse_sweep(program, needed(numbering.steps, [loss]), loss, numbering)
    results = (*outputs, loss, *gradient)
    steps = gathered(needed(numbering.steps, results))
    derived = replace(program, steps=steps, outputs=outputs, loss=loss, gradient=gradient)
    return _with_companions(derived, program, fit)


def _with_companions(derived: Program, program: Program, fit: bool | None) -> Program:
    """The differentiated program with the companions for its fit and its Hessian, or why there is no fit."""
    others = (fields(program),) if program.fields else ()
    if fit is False or (fit is None and program.layered):
        return replace(derived, not_fitted="it was built without fit=True", companions=others)
    found = fit_of(program)
    if isinstance(found, Companion):
        return replace(derived, companions=(found, hessian(program), *others))
    if fit:
        raise ModelError(f"{program.name} cannot be fitted: {found}; build it without fit=True")
    return replace(derived, not_fitted=found, companions=(hessian(program), *others))

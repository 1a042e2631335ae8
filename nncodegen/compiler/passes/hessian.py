"""The program of products with a Hessian: the second derivatives of a loss times a direction.

To each parameter belongs one more of the same shape, its *direction*. The gradient of the loss changes along it by the
Hessian times the direction: the steps of the gradient, which come from the reverse sweep, are differentiated by a
forward sweep, at the cost of another gradient or a little more, and without the Hessian itself (Pearlmutter, 1994).
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import Companion, Program, Tensor, needed
from nncodegen.compiler.ir.systems import DIRECTED, systems_of
from nncodegen.compiler.passes.forward import forward_sweep
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep

NAME = "hessian"
"""The name of the program."""

ABOUT = "the gradient by the first half of the parameters, differentiated in the direction of the other half"


def hessian(program: Program) -> Companion:
    """Return the program of the derivatives of the loss and of its gradient in a direction: Hessian times direction.

    Its parameters are those of the stabilized program, followed by their directions, which have no gradient.
    """
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    loss = split(program.steps, numbering)[program.required_loss]
    gradient = reverse_sweep(program, needed(numbering.steps, [loss]), loss, numbering)
    directions = tuple(
        Tensor(numbering.fresh(f"v_{parameter.name}"), parameter.shape, trained=False)
        for parameter in program.parameters
    )
    steps = needed(numbering.steps, [loss, *gradient])
    names = {
        parameter.name: direction.name for parameter, direction in zip(program.parameters, directions, strict=True)
    }
    along, *product = forward_sweep(program, steps, names, (loss, *gradient), numbering)
    rows = [len(system.fixed) for system in systems_of(numbering.steps) if system.first > system.block]
    derived = replace(
        program,
        extents=(*program.extents, *((DIRECTED, size) for size in rows)),
        parameters=(*program.parameters, *directions),
        steps=needed(numbering.steps, [along, *product]),
        outputs=(),
        loss=along,
        gradient=tuple(product),
        task=program.task.of_derived,
    )
    return Companion(NAME, ABOUT, derived)

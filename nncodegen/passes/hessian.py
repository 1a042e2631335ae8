"""The program of products with a Hessian: the second derivatives of a loss times a direction.

To each parameter belongs one more of the same shape, its *direction*. The gradient of the loss times the direction is a
number, and its gradient by the parameters is the Hessian of the loss times the direction, at the cost of a few
gradients and without the Hessian itself (Pearlmutter, 1994). Both gradients come from the same sweep in reverse, and
are not summed over the samples: the runtime sums up what comes out, with more digits.
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Add

from nncodegen.ir import SAMPLE, Companion, Element, Program, Tensor, needed
from nncodegen.passes.numbering import Numbering, split
from nncodegen.passes.reverse import reverse_sweep

NAME = "hessian"
"""What the program is called."""

ABOUT = "the derivatives, by the first half of the parameters, of the gradient of the loss times the other half"


def hessian(program: Program) -> Companion:
    """The program whose outputs sum up, over the samples, to the Hessian of the loss times a direction.

    Its parameters are those of the stabilized program, followed by their directions.
    """
    numbering = Numbering((tensor.name for tensor in program.declared), whole_branches=True)
    loss = split(program.steps, numbering)[program.loss]
    gradient = reverse_sweep(program, needed(numbering.steps, [loss]), loss, numbering, each_sample=True)
    directions = tuple(
        Tensor(numbering.fresh(f"v_{parameter.name}"), parameter.shape) for parameter in program.parameters
    )
    parts = [_product(slope, direction, numbering) for slope, direction in zip(gradient, directions, strict=True)]
    along = numbering.define(Add(*parts), f"v_{loss.tensor}", ())
    rows = reverse_sweep(program, needed(numbering.steps, [along]), along, numbering, each_sample=True)
    derived = replace(
        program,
        parameters=(*program.parameters, *directions),
        steps=needed(numbering.steps, [along, *rows]),
        outputs=rows,
        loss=along,
        updates=(),
        labels=False,
    )
    return Companion(NAME, ABOUT, derived)


def _product(slope: Element, direction: Tensor, numbering: Numbering) -> Element:
    """The derivatives of all samples by a parameter times its direction, summed up."""
    own = Element(direction.name, (index for index in slope.indices if index != SAMPLE))
    return numbering.define(slope * own, None, (), "sum", slope.indices)

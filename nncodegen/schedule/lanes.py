"""Many models of a network at once: the lanes of vectors are models, and loops run over samples and units.

Every value of a tile is a vector then, with a lane for each model, and so is every parameter: a product of matrices
multiplies vector by vector, whatever the widths of the layers are, and sums over samples stay in their lanes. A network
that is trained alone fills its vectors with samples or units instead, and pays for those that do not fill them. But the
parameters of a group of models take as many times the memory of one, and must be close at hand.
"""

from __future__ import annotations

from nncodegen.ir import Program
from nncodegen.schedule.kernel import Kernel, Shape
from nncodegen.schedule.layout import LONGEST, Layout
from nncodegen.schedule.loops import make_kernel
from nncodegen.schedule.plans import Lanes

SAMPLES = 8
"""Samples of each model in a tile: a block of a product then uses what it loads four times."""

PARAMETERS = 512
"""Parameters up to which those of a group are close enough: 32 kB in vectors of 64 bytes. With their gradients they
leave the first-level cache then, but come from the second as fast as they are used."""


def choose_lanes(program: Program, layout: Layout, gradient: Kernel) -> Lanes | None:
    """The kernel of a group of models, given that of one.

    There is none for a formula, for a network with random numbers or products left to BLAS, and for a large one.
    """
    models = LONGEST[program.precision]
    close = program.parameter_count <= PARAMETERS
    blocks = gradient.shapes - {Shape.LOOPS}
    if not program.layered or not blocks or not close or program.noise or layout.blas:
        return None
    layout = Layout(SAMPLES, models, (), ())
    return Lanes(models, SAMPLES, make_kernel(program, layout, "gradient", (), (program.loss, *program.gradient)))

"""Steps that only the loss needs do not always run.

Loops that the loss shares with the gradient are written twice: with all statements, and with the remaining ones. Long
loops are written once, in a function that is compiled for both cases (see ``on_request``).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nncodegen.ir import Program
from nncodegen.schedule.kernel import Kernel, Role
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.storage import Place
from nncodegen.schedule.tree import Compute, Group, If, Tree, When
from nncodegen.schedule.walks import Site, computed

MANY_STEPS = 16
"""Number of steps from which on loops are written once. Shorter loops are easier to read in place, written twice."""


def request(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose steps are in groups; some groups run, or differ, only if the loss is asked for."""
    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=partial(_group, kernel=kernel))))


def _group(site: Site, kernel: Kernel) -> Tree:
    compute = site.compute
    plain = not compute.outer and not compute.reduced
    steps = tuple(step for step in compute.steps if step.target.tensor not in kernel.of_loss)
    rest = (replace(compute, steps=steps),) if steps else ()
    if rest == (compute,):
        return (Group((compute,), compute.steps, plain=plain),)
    alone = not site.around and kernel.plan.samples is Role.TILED and not _reads_local(compute, kernel)
    if rest and alone and len(compute.steps) >= MANY_STEPS:
        return (Group((compute,), compute.steps, plain=plain, twice=True),)
    return (Group((If(When.LOSS, (compute,), rest),), compute.steps, plain=plain),)


def _reads_local(compute: Compute, kernel: Kernel) -> bool:
    """Return whether steps read local variables that other steps compute."""
    own = {step.target for step in compute.steps}
    return any(kernel.place(element) is Place.LOCAL for element in compute.read - own)

"""Steps that only the loss needs do not always run.

In loops that the loss shares with the gradient, a condition is before their statements (see ``guard_loss_only``). Long
loops, and those that sum over samples, are a function that is compiled for both cases: where GCC moves the condition
out of a loop of sums, it makes vectors of one of both alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel, Role
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.tree import Group, If, Tree, When
from nncodegen.compiler.schedule.tree_walks import Site, computed

MANY_STEPS = 16
"""Number of steps from which on loops are a function of their own. In shorter loops the condition costs little."""


def mark_loss_only(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose steps are in groups; some groups run, or differ, only if the loss is asked for."""
    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=partial(_group, kernel=kernel))))


def _group(site: Site, kernel: Kernel) -> Tree:
    compute = site.compute
    plain = not compute.outer and not compute.reduced
    of_loss = [step.target.tensor in kernel.of_loss for step in compute.steps]
    if not any(of_loss):
        return (Group((compute,), compute.steps, plain=plain),)
    if all(of_loss):
        return (Group((If(When.LOSS, (compute,)),), compute.steps, plain=plain),)
    alone = not site.around and kernel.plan.samples is Role.TILED
    twice = alone and (len(compute.steps) >= MANY_STEPS or bool(compute.sums))
    return (Group((compute,), compute.steps, plain=plain, shared=True, twice=twice),)

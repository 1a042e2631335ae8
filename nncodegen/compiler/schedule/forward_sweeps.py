"""The rows of many fits side by side from forward sweeps: those of recurrences, and of differential equations.

Their loops over time and states are those of one fit. Within each, the innermost loop runs over the fits of a group,
whose values are contiguous: ``path[(k*2 + s)*FITS + lane]``. Parameters differ from fit to fit, and so does all that
follows from them. Differential equations are solved for a group at once, each fit with steps of its own.

A group is one vector. With four, a lane whose equations are solved early would go on with those of another fit; that
takes a sixth less time where fits have up to seven times as many steps as others, and no less where they are alike,
while values leave the first-level cache.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import LONGEST, Layout
from nncodegen.compiler.schedule.loops import make_kernel
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.plans import SWEEPS
from nncodegen.compiler.schedule.side_by_side import SideBySide, takes_much_memory
from nncodegen.compiler.schedule.storage import Place, Storage
from nncodegen.compiler.schedule.tree import Tree
from nncodegen.compiler.schedule.tree_walks import computed, steps_in


def group_of_sweeps(program: Program) -> SideBySide | None:
    """Return the kernel of the rows of a group of fits; None if its values take much memory."""
    models = LONGEST[program.precision]
    layout = Layout(1, models, (), ())
    kernel = make_kernel(program, layout, "jacobian", program.outputs, ())
    values = kernel.memory.arrays + program.width(program.outputs)
    if takes_much_memory(values, models, program):
        return None
    kernel = replace(kernel, name="rows", plan=SWEEPS, trees=kernel.trees.each(of_one))
    return SideBySide(layout, lower(in_memory(kernel), program, layout))


def of_one(tree: Tree) -> Tree:
    """Return the loops of one sample."""
    return computed(tree, lambda site: (replace(site.compute, samples=False),))


def in_memory(kernel: Kernel) -> Kernel:
    """Return the kernel with places in work memory for values without indices: each fit or model has its own."""
    storage, arrays = dict(kernel.storage), kernel.memory.arrays
    for step in (step for tree in kernel.trees.without_metrics for step in steps_in(tree)):
        name = step.target.tensor
        if storage[name].place is Place.LOCAL and not step.target.indices:
            storage[name] = Storage(Place.ARRAY, arrays)
            arrays += 1
    return replace(kernel, storage=storage, memory=replace(kernel.memory, arrays=arrays))

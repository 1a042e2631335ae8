"""Many models whose samples go over time side by side, one in each lane of a vector: equations of motion.

A gradient goes through one sample of each model after the other. Its loops over time are those of one sample, or one
call solves the equations of all models of the group, each in steps of its own. Within each loop, the innermost one runs
over the models, whose values are contiguous: ``path[(k*2 + s)*MODELS + lane]``. The vectors of a single model hold
samples instead: of a model that has one trajectory, all but one lane of them are empty.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import RECURRENCES, Program
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.schedule.forward_sweeps import in_memory, of_one
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layers import PARAMETERS, in_order, without_copies
from nncodegen.compiler.schedule.layout import LONGEST, Layout, in_lanes
from nncodegen.compiler.schedule.loops import make_kernel
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.plans import TRAJECTORIES
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.side_by_side import SideBySide, takes_much_memory
from nncodegen.compiler.schedule.tree import Tree
from nncodegen.compiler.schedule.tree_walks import Site, computed

SHAPES = frozenset((Shape.PATH, Shape.PACK, Shape.PLACES, Shape.ADD_UP))
"""The shapes of steps in a kernel of one model that may be loops in that of a group. Products of matrices may not."""


def choose_trajectories(program: Program, layout: Layout, gradient: Kernel, lazy: bool = False) -> SideBySide | None:
    """Return the kernel of a group of models, given that of one model.

    Return None for a program without recurrences or differential equations, and for one with products of matrices,
    random numbers, statistics of a batch, equations that are solved for one sample after the other, many parameters, or
    values that take much memory. With ``lazy``, the kernel is left for later: its trees are not those that are printed.
    """
    systems = systems_of(program.steps)
    over_time = systems or any(step.operator in RECURRENCES for step in program.steps)
    close = 0 < program.parameter_count <= PARAMETERS
    if not (over_time and close) or program.noise or program.batch or layout.segmented:
        return None
    models = LONGEST[program.precision]
    if takes_much_memory(gradient.memory.arrays // layout.tile, models, program):
        return None
    if not gradient.shapes <= SHAPES or not all(map(in_lanes, systems)):
        return None
    layout = Layout(1, models, (), ())
    kernel = make_kernel(program, layout, "gradient", (), (program.required_loss, *program.gradient))
    if not kernel.shapes <= SHAPES:
        return None
    trees = kernel.trees.each(lambda tree: computed(of_one(tree), _in_loops))
    kernel = in_memory(in_order(without_copies(replace(kernel, plan=TRAJECTORIES, trees=trees)), program))
    # A build that leaves this kernel for later asks only whether there is one; the rewrites take the longest.
    return SideBySide(layout, kernel if lazy else lower(kernel, program, layout))


def _in_loops(site: Site) -> Tree:
    """Return steps in loops, unless they are the path of a system: the vectors are full whatever their shape is."""
    compute = site.compute
    return (compute if compute.shape is Shape.PATH else replace(compute, shape=Shape.LOOPS),)

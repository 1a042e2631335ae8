"""Plans without tiles run in one function: what depends on parameters only, and then everything else."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout


def one_function(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel that computes in its tile what ran before it."""
    trees = kernel.trees
    whole = (*(statement for tree in trees.before for statement in tree), *trees.tile)
    return replace(kernel, trees=replace(trees, before=(), parts=((0, whole),)))

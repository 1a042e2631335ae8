"""From the trees of a schedule to those that are printed: the rewrites of a plan, one after the other."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.verify import invalid, verify_trees
from nncodegen.errors import ProgramError


def lower(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose trees can be printed, given the places of all tensors.

    Raises ProgramError, with the name of the rewrite, where one leaves a tree that breaks a rule.
    """
    reached = kernel.memory.arrays
    for rewrite in kernel.plan.rewrites:
        before, kernel = kernel.trees, rewrite(kernel, program, layout)
        if kernel.trees != before:
            reached = _verified(kernel, program, layout, rewrite.__name__)
    return replace(kernel, memory=replace(kernel.memory, arrays=max(kernel.memory.arrays, reached)))


def _verified(kernel: Kernel, program: Program, layout: Layout, rewrite: str) -> int:
    """Check the trees of a kernel and return the values of work memory that it uses."""
    try:
        return verify_trees(kernel, program, layout)
    except ProgramError as error:
        raise invalid(rewrite, error) from error

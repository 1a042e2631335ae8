"""Loops around the statements of steps that are computed together."""

from __future__ import annotations

from collections.abc import Sequence

from nncodegen.compiler.ir import Program, Solved, solve
from nncodegen.compiler.schedule.extents import BEGIN, END, Extent
from nncodegen.compiler.schedule.tree import Compute, Loop, Solve, Tree


def solved(compute: Compute, program: Program) -> Solved:
    """Return the solution of a reduction's equations for its indices; without equations, all indices are free."""
    (step, *_) = compute.steps
    return solve(step.where if step.over else (), step.over, program.sizes)


def around(indices: Sequence[str], compute: Compute, program: Program, body: Tree) -> Tree:
    """Return statements in loops over indices, the first of them outermost.

    An index that an equation gives has no loop, but a test that it has such a value.
    """
    solutions = {solution.index: solution for solution in solved(compute, program).solutions}
    for index in reversed(indices):
        end, solution = compute.end(index), solutions.get(index)
        if not solution:
            body = (Loop(index, end, body, begin=begin_of(end)),)
        elif not solution.gathers:
            body = (Solve(solution, end, body),)
    return body


def begin_of(end: Extent) -> Extent:
    """Return the begin of a loop, given its end."""
    return BEGIN if end == END else 0

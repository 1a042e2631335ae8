"""Very long trees run in several functions, as the time of compilers grows faster than the statements of a function."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.schedule.fuse import statements_of
from nncodegen.compiler.schedule.tree import Statement, Tree, Trees
from nncodegen.compiler.schedule.tree_walks import computes, steps_in

MOST = 240
"""Most statements of a function; beyond, another one begins. Each term of a long sum counts, as it does in a loop: the
last function of a tile, which adds up thirty terms in a statement, otherwise grew with the square of a formula's
parameters in GCC."""


def functions(trees: Trees) -> Trees:
    """Return trees in which each phase of a tile, the metrics and the finished sums have parts."""
    parts = tuple((phase, part) for phase, tree in trees.parts for part in _parts(tree))
    metrics, finish = (
        tuple(part for tree in further for part in _apart(tree)) for further in (trees.metrics, trees.finish)
    )
    return replace(trees, parts=parts, metrics=metrics, finish=finish)


def _apart(tree: Tree) -> tuple[Tree, ...]:
    """Return the parts of a tree outside of tiles: itself if a local variable of it might be read in another one."""
    steps = [*steps_in(tree)]
    local = {step.target.tensor for step in steps if not step.target.indices}
    return (tree,) if any(operand.tensor in local for step in steps for operand in step.operands) else _parts(tree)


def _parts(tree: Tree) -> tuple[Tree, ...]:
    """Return the statements of each function. A loop around others is not cut."""
    parts: list[list[Statement]] = [[]]
    size = 0
    for statement in tree:
        first = next(computes([statement]))
        if parts[-1] and size + sum(map(statements_of, first.steps)) > MOST:
            parts.append([])
            size = 0
        parts[-1].append(statement)
        size += sum(map(statements_of, steps_in([statement])))
    return tuple(map(tuple, parts))

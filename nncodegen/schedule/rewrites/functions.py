"""Very long tiles run in several functions, as the time of compilers grows faster than the statements of a function."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.schedule.tree import Statement, Tree, Trees
from nncodegen.schedule.walks import computes, steps_in

MOST = 240
"""Most statements of a function; beyond, another one begins."""


def functions(trees: Trees) -> Trees:
    """Return trees in which each phase of a tile has parts."""
    return replace(trees, parts=tuple((phase, part) for phase, tree in trees.parts for part in _parts(tree)))


def _parts(tree: Tree) -> tuple[Tree, ...]:
    """Return the statements of each function. A loop around others is not cut."""
    parts: list[list[Statement]] = [[]]
    size = 0
    for statement in tree:
        first = next(computes([statement]))
        if parts[-1] and size + len(first.steps) > MOST:
            parts.append([])
            size = 0
        parts[-1].append(statement)
        size += sum(1 for _ in steps_in([statement]))
    return tuple(map(tuple, parts))

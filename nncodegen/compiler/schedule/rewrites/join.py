"""Neighbours that run only on the same condition share it."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.tree import Group, If, Loop, Statement, Tree, When


def join(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which neighbours on the same condition test it once."""
    return replace(kernel, trees=kernel.trees.each(_joined))


def _joined(tree: Tree) -> Tree:
    joined_body: list[Statement] = []
    for when, members in groupby(tree, _only_when):
        neighbours = list(members)
        if when and len(neighbours) > 1:
            body = tuple(replace(each, body=_then(each)) for each in neighbours if isinstance(each, Group))
            joined_body.append(Group((If(when, body),)))
        else:
            joined_body += map(_within, neighbours)
    return tuple(joined_body)


def _within(statement: Statement) -> Statement:
    """Return a statement with such conditions joined within loops around groups."""
    if isinstance(statement, Loop) or (isinstance(statement, Group) and not statement.steps):
        return replace(statement, body=_joined(statement.body))
    return statement


def _only_when(statement: Statement) -> When | None:
    """Return the condition without an alternative on which a group runs; None if it always runs."""
    match statement:
        case Group((If(When() as when, _, ()),), (_, *_)):
            return when
    return None


def _then(group: Group) -> Tree:
    """Return the statements that run where the condition of a group holds."""
    (statement,) = group.body
    assert isinstance(statement, If)
    return statement.body

"""Values that only the loss needs, in loops that it shares with the gradient: computed if the loss is asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.tree import Accumulate, Call, First, Group, If, Let, Statement, Store, Tree, When
from nncodegen.compiler.schedule.tree_walks import rewritten, with_bodies


def guard_loss_only(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which the statements of the loss are under one condition in each body of such loops."""

    def extra(statement: Statement) -> bool:
        if isinstance(statement, Call):
            return statement.steps[-1].target.tensor in kernel.of_loss
        return isinstance(statement, Let | Store | Accumulate | First) and statement.target.tensor in kernel.of_loss

    def body(tree: Tree) -> Tree:
        body_statements: list[Statement] = []
        for wanted, run in groupby((with_bodies(statement, body) for statement in tree), extra):
            statements = tuple(run)
            body_statements += [If(When.LOSS, statements)] if wanted else statements
        return tuple(body_statements)

    def shared(group: Group) -> Tree:
        return (replace(group, body=body(group.body)) if group.shared else group,)

    return replace(kernel, trees=kernel.trees.each(lambda tree: rewritten(tree, {Group: shared})))

"""Values that only the loss needs, in loops compiled for both cases: they are stored only if the loss is asked for.

Values that nothing else reads stay where they are. As the condition is a constant in each case, the compiler leaves
them out if nothing stores them.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.ir import Program
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.tree import Accumulate, Call, Group, If, Store, Tree, When
from nncodegen.schedule.walks import rewritten


def on_request(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which such loops have sums, stores and calls of the loss under the condition."""

    def wanted(statement: Accumulate | Store | Call) -> Tree:
        target = statement.steps[-1].target if isinstance(statement, Call) else statement.target
        return (If(When.LOSS, (statement,)),) if target.tensor in kernel.of_loss else (statement,)

    def twice(group: Group) -> Tree:
        if not group.twice:
            return (group,)
        return (replace(group, body=rewritten(group.body, {Accumulate: wanted, Store: wanted, Call: wanted})),)

    return replace(kernel, trees=kernel.trees.each(lambda tree: rewritten(tree, {Group: twice})))

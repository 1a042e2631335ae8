"""A rewrite of loop trees: what only the loss needs is stored where the loss is wanted.

Values that nothing else reads stay where they are. In a group that is compiled for both cases, with a constant in the
place of the question, the compiler leaves them out where nothing stores them.
"""

from __future__ import annotations

from collections.abc import Container

from nncodegen.schedule.nest import When
from nncodegen.schedule.tree import Accumulate, Call, If, Store, Tree, rewritten


def on_request(tree: Tree, of_loss: Container[str]) -> Tree:
    """Return a tree in which sums, stores and calls for some tensors stand under the condition."""

    def wanted(statement: Accumulate | Store) -> Tree:
        return (If(When.LOSS, (statement,)),) if statement.target.tensor in of_loss else (statement,)

    def called(call: Call) -> Tree:
        return (If(When.LOSS, (call,)),) if call.steps[-1].target.tensor in of_loss else (call,)

    return rewritten(tree, {Accumulate: wanted, Store: wanted, Call: called})

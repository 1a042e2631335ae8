"""Derivatives of a single sample are stored, or added to the gradient, as the caller asks."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Combine, Group, If, Store, Tree, When
from nncodegen.compiler.schedule.tree_walks import rewritten


def store_or_add_gradient(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which groups that write to the gradient have both cases."""

    def added(store: Store) -> Tree:
        scaled = kernel.place(store.target) is Place.GRADIENT and store.combine is Combine.SET
        return (replace(store, combine=Combine.ADD_SCALED) if scaled else store,)

    def rule(group: Group) -> Tree:
        if not group.steps or kernel.place(group.steps[0].target) is not Place.GRADIENT:
            return (group,)
        body = If(When.ADDED, rewritten(group.body, {Store: added}), group.body)
        return (replace(group, body=(body,)),)

    return replace(kernel, trees=kernel.trees.each(lambda tree: rewritten(tree, {Group: rule})))

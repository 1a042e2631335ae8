"""Values that are the same for all iterations of the innermost loop are read before it.

A loop over samples reads few such values. Where samples run one by one, a loop over features reads the values of its
position, and compilers do not make vectors of a loop that reads them only on some condition.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, Program
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Load, Loop, Tree, Way
from nncodegen.compiler.schedule.tree_walks import elements, rewritten, targets


def hoist(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose innermost loops read such values of arrays before they begin."""

    def rule(loop: Loop) -> Tree:
        if loop.way not in (Way.INDEPENDENT, Way.SUMMED, Way.ROW):
            return (loop,)
        written_here = {target.tensor for target in targets(loop.body)}
        read = dict.fromkeys(element for element in elements(loop.body) if element.tensor not in written_here)
        names = [element.tensor for element in read]
        same = (element for element in read if names.count(element.tensor) == 1)
        hoistable = (
            element
            for element in same
            if kernel.place(element) is Place.ARRAY
            and loop.index not in element.indices
            and any(index != SAMPLE for index in element.indices)
        )
        return (*(Load(element) for element in sorted(hoistable, key=str)), loop)

    return replace(kernel, trees=kernel.trees.each(lambda tree: rewritten(tree, {Loop: rule})))

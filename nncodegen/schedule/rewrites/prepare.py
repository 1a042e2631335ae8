"""What depends on parameters only: once before all tiles, where it lies in arrays, or again in each.

What an array needs is computed with it. What lies in local variables is computed again in every function that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nncodegen.ir import Element, Program, Step, needed
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.storage import Place
from nncodegen.schedule.tree import Tree, Trees
from nncodegen.schedule.walks import only, steps_in


def prepare(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose functions have what they need of parameters, and nothing that lies in its place already."""
    trees, again = kernel.trees, _Again(kernel)
    before = tuple(again.arrays(tree) for tree in trees.before)
    measured = trees.measured if kernel.outputs else ()
    parts = [(phase, (*again(tree), *tree)) for phase, tree in trees.parts[:-1]]
    phase, last = trees.parts[-1]
    parts.append((phase, (*again((*last, *measured)), *last)))
    after = only(trees.after, lambda step: not kernel.memory.has_copied(step))
    return replace(kernel, trees=Trees(before, tuple(parts), measured, (*again(after), *after)))


@dataclass(frozen=True)
class _Again:
    """What a kernel computes before its tiles."""

    kernel: Kernel

    @property
    def _before(self) -> Tree:
        return tuple(statement for tree in self.kernel.trees.before for statement in tree)

    def __call__(self, tree: Tree) -> Tree:
        """What a tree needs of parameters only, where it is in no array."""
        kept = self._needed(operand for step in steps_in(tree) for operand in step.operands)
        return only(self._before, lambda step: step in kept)

    def arrays(self, tree: Tree) -> Tree:
        """The statements whose results lie in arrays, with what these need."""
        stored = [step for step in steps_in(tree) if self.kernel.place(step.target) is Place.ARRAY]
        kept = (*stored, *self._needed(operand for step in stored for operand in step.operands))
        return only(self._before, lambda step: step in kept)

    def _needed(self, elements: Iterable[Element]) -> tuple[Step, ...]:
        local = [step for step in steps_in(self._before) if self.kernel.place(step.target) is Place.LOCAL]
        return needed(local, elements)

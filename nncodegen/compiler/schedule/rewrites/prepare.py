"""Steps that depend on parameters only: once before all tiles if they lie in arrays, otherwise again in each.

The operands of an array are computed with it. Local variables are computed again in every function that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nncodegen.compiler.ir import Element, Program, Step, needed
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Tree, Trees
from nncodegen.compiler.schedule.tree_walks import only, steps_in


def prepare(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose functions compute what they need of parameters, but no copies of sums in place."""
    trees, again = kernel.trees, _Again(kernel)
    before = tuple(again.arrays(tree) for tree in trees.before)
    *metrics, measured = trees.metrics if kernel.outputs else ((),)
    parts = [(phase, (*again(tree), *tree)) for phase, tree in trees.parts[:-1]]
    phase, last = trees.parts[-1]
    parts.append((phase, (*again((*last, *measured)), *last)))
    apart = ((*again(tree), *tree) for tree in metrics)
    finish = (only(tree, lambda step: not kernel.memory.has_copied(step)) for tree in trees.finish)
    after = ((*again(tree), *tree) for tree in finish)
    return replace(kernel, trees=Trees(before, tuple(parts), (*apart, measured), tuple(after)))


@dataclass(frozen=True)
class _Again:
    """Selects statements out of those that a kernel computes before its tiles."""

    kernel: Kernel

    @property
    def _before(self) -> Tree:
        return tuple(statement for tree in self.kernel.trees.before for statement in tree)

    def __call__(self, tree: Tree) -> Tree:
        """Return the statements that a tree needs of those before it and that are in no array."""
        needed_steps = self._needed(operand for step in steps_in(tree) for operand in step.operands)
        return only(self._before, lambda step: step in needed_steps)

    def arrays(self, tree: Tree) -> Tree:
        """Return the statements whose results lie in arrays, with the statements that these need."""
        stored = [step for step in steps_in(tree) if self.kernel.place(step.target) is Place.ARRAY]
        needed_steps = (*stored, *self._needed(operand for step in stored for operand in step.operands))
        return only(self._before, lambda step: step in needed_steps)

    def _needed(self, elements: Iterable[Element]) -> tuple[Step, ...]:
        local = [step for step in steps_in(self._before) if self.kernel.place(step.target) is Place.LOCAL]
        return needed(local, elements)

"""Values that stay until some time are written then, not in each iteration of a loop over time.

Steps of equations of motion hold what belongs to the interval between two observations, such as the length of a step:
``h[n, m]`` is ``placed[n, m]`` in the first step of an interval, and ``h[n, m - 1]`` in all others. Where one row holds
all times, the latter leaves memory as it is. The condition is the same for all samples, so it need not be tested for
each: the row is written where it holds, and what only this row needs is computed there as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sympy import Expr, Piecewise, true

from nncodegen.compiler.ir import Element, Program, Step
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Carry, Compute, Holds, If, Loop, Statement, Tree, Way
from nncodegen.compiler.schedule.tree_walks import rewritten, steps_in, walk

IN_MEMORY = (Place.ARRAY, Place.PARAMETER)
"""Places that a condition can read before the loops over samples."""


def sink_until_last_write(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose loops over time write values that stay for some iterations only where they change."""
    if not any(isinstance(statement, Carry) for statement in walk(kernel.trees.tile)):
        return kernel
    readers: dict[str, list[Step]] = {}
    for step in (step for tree in kernel.trees.in_order for step in steps_in(tree)):
        for operand in step.operands:
            readers.setdefault(operand.tensor, []).append(step)
    outputs = frozenset(element.tensor for element in kernel.outputs)

    def rule(loop: Loop) -> Tree:
        if loop.way is not Way.IN_ORDER:
            return (loop,)
        return (replace(loop, body=_Time(kernel, loop, readers, outputs).body()),)

    return replace(kernel, trees=kernel.trees.of_tile(lambda tree: rewritten(tree, {Loop: rule})))


@dataclass(frozen=True)
class _Time:
    """A loop over time, the steps of its kernel that read each tensor, and the tensors that are read after a tile."""

    kernel: Kernel
    loop: Loop
    readers: Mapping[str, Sequence[Step]]
    kept: frozenset[str]

    def body(self) -> Tree:
        """Return the statements of the loop, where held values come before the loops that have computed them."""
        statements: list[Statement] = []
        for statement in self.loop.body:
            held = dict(self._held(statement)) if isinstance(statement, Compute) else {}
            if not isinstance(statement, Compute) or not held:
                statements.append(statement)
                continue
            for condition in dict.fromkeys(held.values()):
                steps = tuple(step for step, own_condition in held.items() if own_condition == condition)
                needed = tuple(each for each in statements if self._serves(each, steps, condition))
                changes = replace(statement, steps=tuple(map(_changed, steps)), cuts=())
                statements = [each for each in statements if each not in needed]
                statements.append(If(Holds(condition), (*needed, changes)))
            rest = tuple(step for step in statement.steps if step not in held)
            statements += [replace(statement, steps=rest)] if rest else []
        return tuple(statements)

    def _held(self, compute: Compute) -> Iterator[tuple[Step, Expr]]:
        """Yield the steps of values that stay, each with the condition on which they change."""
        if compute.shape is not Shape.LOOPS or compute.reduced or not compute.samples:
            return
        computed_here = {step.target.tensor for step in compute.steps}
        for step in compute.steps:
            if step.operator or step.where or not isinstance(step.expression, Piecewise):
                continue
            (value, condition), *others = step.expression.args
            if len(others) == 1 and others[0][1] == true and self._stays(step, others[0][0]):
                read = {element.tensor for element in value.atoms(Element)}
                if not read & computed_here and self._is_for_all_samples(condition):
                    yield step, condition

    def _stays(self, step: Step, before: Expr) -> bool:
        """Return whether a value is that of the time before, which only its step reads, in the same row."""
        target, known = step.target, self.kernel.storage[step.target.tensor]
        if (before, target) not in ((each.target, each.operands[0]) for each in self._recurrences):
            return False
        strides = dict(zip(target.indices, known.strides, strict=False))
        one_row = strides.get(self.loop.index) == 0 and target.tensor not in self.kernel.memory.crossing
        return known.place is Place.ARRAY and one_row and self._readers_of(before) == [step]

    def _readers_of(self, element: Expr) -> Sequence[Step]:
        """Return the steps of the kernel that read the tensor of an element."""
        return self.readers.get(element.tensor, ()) if isinstance(element, Element) else ()

    def _is_for_all_samples(self, condition: Expr) -> bool:
        """Return whether a condition reads nothing but values in memory that have no index but that of the loop."""
        read = condition.atoms(Element)
        return all(self.kernel.place(e) in IN_MEMORY and {*e.indices} <= {self.loop.index} for e in read)

    def _serves(self, statement: Statement, steps: Sequence[Step], condition: Expr) -> bool:
        """Return whether a statement computes what only some steps read, of values from outside of the loop.

        What their condition reads is needed before it.
        """
        if not isinstance(statement, Compute):
            return False
        names = {step.target.tensor for step in statement.steps}
        read = {element.tensor for element in statement.read} - names
        inside = {step.target.tensor for step in (*steps_in(self.loop.body), *self._recurrences)}
        only = all(reader in (*steps, *statement.steps) for name in names for reader in self.readers.get(name, ()))
        asked = {element.tensor for element in condition.atoms(Element)}
        return only and not read & inside and not names & (asked | self.kept)

    @property
    def _recurrences(self) -> tuple[Step, ...]:
        return tuple(each.step for each in self.loop.body if isinstance(each, Carry))


def _changed(step: Step) -> Step:
    """Return the step of a held value where it changes."""
    (value, _), *_ = step.expression.args
    return replace(step, expression=value)

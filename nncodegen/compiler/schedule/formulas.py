"""Many models of a formula at once: the statements of one sample, in loops over the models.

The innermost loop runs over a group of models, whose values are contiguous: ``parameters[p][m]``. The statements are
divided among several loops, each short enough for a core to overlap its iterations. A value that one loop computes and
another reads has an array, with a value for each model; every other value is a local variable. The loss is not always
needed, so it has separate loops after those of the gradient, which compute again what is neither shared nor costly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence
from itertools import accumulate

from sympy import Abs, Function, Piecewise, count_ops

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, needed
from nncodegen.compiler.passes.latency import unbranched
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import LONGEST, Layout, bytes_of
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.plans import FITS, FORMULA
from nncodegen.compiler.schedule.side_by_side import SideBySide
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.tree import Compute, Tree, Trees
from nncodegen.compiler.schedule.tree_walks import steps_in

WINDOW = 32
"""Operations of a loop over the models. A core looks about a hundred instructions ahead. If these hold two or three
iterations, it finds work that does not wait; if they hold a part of one long dependent computation, it finds none."""

BYTES = 512
"""Bytes of the values of a group: enough vectors for the innermost loops to be worth their beginnings."""

STATEMENTS = 400
"""Number of statements of a sample up to which it is written for vectors: the time of compilers grows faster than
it."""

CALL = 20
"""Operations that a call of a function such as exp counts as."""


def formula_group(program: Program, kernel: Kernel) -> SideBySide:
    """Return the kernel of a group of models of a formula, given that of the gradient of one model."""
    before = [step for tree in kernel.trees.before for step in steps_in(tree)]
    after = [*steps_in(kernel.trees.after)]
    written = (*before, *steps_in(kernel.trees.tile))
    sums = tuple(step.target for step in written if SAMPLE in step.over)
    steps = unbranched(written, sums)
    of_gradient = needed(steps, (target for target in sums if target != program.required_loss))
    gradient = in_loops(of_gradient)
    arrays = shared(gradient)
    costly = [step.target.tensor for step in of_gradient if cost(step) >= CALL]
    cheap_steps = [step for step in steps if step.target.tensor not in {*arrays, *costly}]
    of_loss = needed(cheap_steps, [program.required_loss])
    read = {element.tensor for step in of_loss for element in step.operands}
    arrays += [name for name in costly if name in read and name not in arrays]
    of_loss = _renamed(of_loss, {step.target.tensor for step in of_gradient}, "again")
    loss = in_loops(of_loss)
    arrays += shared(loss)
    finished = all(_copies_in_order(step, kernel) for step in after)
    last = () if finished else (*needed(before, (e for step in after for e in step.operands)), *after)
    finish = _renamed(last, {*arrays, *(step.target.tensor for step in of_loss)}, "at the end")
    computed = {step.target.tensor: Storage(Place.LOCAL) for step in (*of_gradient, *of_loss, *finish)}
    computed |= {name: known for name, known in kernel.storage.items() if known.place is not Place.ARRAY}
    storage = computed | {name: Storage(Place.ARRAY, number) for number, name in enumerate(arrays)}
    trees = Trees(parts=((0, _loops((*gradient, *loss))),), finish=(_loops([finish] if finish else []),))
    memory, names = Memory(len(arrays), kernel.memory.sums), frozenset(step.target.tensor for step in of_loss)
    of_group = Kernel("gradient", FORMULA, trees, storage, memory, of_loss=names)
    layout = Layout(1, BYTES // bytes_of(1, program), (), ())
    return SideBySide(layout, lower(of_group, program, layout))


def group_of_rows(program: Program, kernel: Kernel) -> SideBySide | None:
    """Return the kernel of the rows of a group of models, given that of the rows of one; None if it is very long.

    A group is a single vector, so that sums over samples stay in registers: a loop over the models has one iteration.
    """
    written = tuple(step for tree in kernel.trees.without_metrics for step in steps_in(tree))
    rows = tuple(step.target for step in written if kernel.place(step.target) is Place.OUTPUT)
    steps = unbranched(written, rows)
    if len(steps) > STATEMENTS:
        return None
    loops = in_loops(steps, CALL * STATEMENTS)
    arrays = shared(loops)
    storage = {step.target.tensor: Storage(Place.LOCAL) for step in steps}
    storage |= {name: known for name, known in kernel.storage.items() if known.place is not Place.ARRAY}
    storage |= {name: Storage(Place.ARRAY, number) for number, name in enumerate(arrays)}
    group = Kernel("rows", FITS, Trees(parts=((0, _loops(loops)),)), storage, Memory(len(arrays)))
    layout = Layout(1, LONGEST[program.precision], (), ())
    return SideBySide(layout, lower(group, program, layout))


def _renamed(steps: Sequence[Step], names: Container[str], word: str) -> tuple[Step, ...]:
    """Return steps whose targets named in ``names`` get a word appended, as other loops compute these names as well."""
    renamed = {step.target: Element(f"{step.target.tensor} {word}") for step in steps if step.target.tensor in names}
    return tuple(
        Step(renamed.get(s.target, s.target), s.expression.xreplace(renamed), s.operator, s.over) for s in steps
    )


def _loops(loops: Iterable[Sequence[Step]]) -> Tree:
    """Return the steps in loops that have no index but the models."""
    return tuple(Compute(tuple(steps)) for steps in loops)


def in_loops(steps: Sequence[Step], window: int = WINDOW) -> list[Sequence[Step]]:
    """Return steps in loops of window/2 to window operations, cut where fewest values cross; longer steps are alone."""
    costs = [cost(step) for step in steps]
    crossing = [len(shared((steps[:cut], steps[cut:]))) for cut in range(len(steps))]
    loops: list[Sequence[Step]] = []
    start = 0
    while start < len(steps):
        sums = list(accumulate(costs[start:]))
        end = start + max(1, bisect_right(sums, window))
        cuts = range(start + 1 + bisect_left(sums, window / 2), end + 1)
        if end < len(steps) and cuts:
            end = min(cuts, key=lambda cut: (crossing[cut], -cut))
        loops.append(steps[start:end])
        start = end
    return loops


def cost(step: Step) -> int:
    """Return the number of operations of a step."""
    calls = [node for node in step.expression.atoms(Function) if not isinstance(node, Abs | Piecewise)]
    return int(count_ops(step.expression)) + CALL * len(calls)


def shared(loops: Sequence[Sequence[Step]]) -> list[str]:
    """Return the tensors that one loop computes and another reads."""
    names = []
    for number, steps in enumerate(loops):
        read = {element.tensor for other in loops[number + 1 :] for step in other for element in step.operands}
        names += [step.target.tensor for step in steps if step.target.tensor in read]
    return names


def _copies_in_order(step: Step, kernel: Kernel) -> bool:
    """Return whether a step only copies a sum that already has its place in the gradient, which follows the loss."""
    source, target = step.expression, kernel.storage[step.target.tensor]
    if not isinstance(source, Element):
        return False
    storage = kernel.storage[source.tensor]
    in_order = storage.place is Place.SUM and storage.offset == 1 + target.offset
    return in_order and target.place is Place.GRADIENT

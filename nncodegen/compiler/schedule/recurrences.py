"""Loops over time: steps that depend on each other run for one value of their index after the other.

All steps of a group share one loop over its index, and run only inside of it. A recurrence is not computed: its value
at t is the value of its operand one time before, so it lies in the same array one row further, after a row of zeros. A
tensor that nothing else reads needs no row for each time, and has a single row. Where each value of a recurrence is
read for the last time before the next one is written, as in a simulation of which only the end is observed, one row
holds both: each time overwrites the last.

A step that only a group reads is computed in the group as well: its values are still in the cache when they are used,
and need no memory for all times. This includes the products of inputs with weights, and groups over the same index, in
the same direction, such as the times of steps on which rates depend. So does a step that picks some times of a tensor,
if nothing else outside reads that: each time then puts its value in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace

from nncodegen.compiler.ir import (
    RECURRENCES,
    SAMPLE,
    Element,
    Equation,
    Group,
    Program,
    Solution,
    Step,
    grouped,
    solve,
    steps_of,
)
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.extents import BEGIN, END
from nncodegen.compiler.schedule.forms import Form
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Carry, Compute, Loop, Move, Tree, Way
from nncodegen.compiler.schedule.tree import Group as Statements
from nncodegen.compiler.schedule.tree_walks import Site
from nncodegen.compiler.schedule.windows import always
from nncodegen.errors import ModelError

Fuse = Callable[[list[Step], str], Iterable[Compute]]
"""The function that fuses steps inside a loop over an index; \"\" stands for no loop."""


def in_groups(steps: Sequence[Step], program: Program, forms: dict[str, Form], fuse: Fuse) -> Tree:
    """Return the tree of steps, given how those of one group, or of steps between groups, are fused."""
    items = tuple(with_own(merged(with_picks(grouped(steps), program)), forms))
    items = tuple(with_own(merged(items), forms))  # once more: with steps in the groups, more groups have one reader
    return around_groups(items, program, fuse)


def around_groups(items: Iterable[Step | Group], program: Program, fuse: Fuse, in_segments: bool = False) -> Tree:
    """Return the tree of steps and groups, within a loop over segments of time or without."""
    body: list[Compute | Statements] = []
    between: list[Step] = []
    for item in items:
        if isinstance(item, Step):
            between.append(item)
            continue
        body += fuse(between, "")
        between = []
        body.append(_in_time(item, program, fuse, in_segments))
    return (*body, *fuse(between, ""))


def _in_time(group: Group, program: Program, fuse: Fuse, in_segments: bool) -> Statements:
    """Return the loop over time of a group; in segments, the rows before the first come from the loop over segments."""
    recurrences = tuple(step for step in group.steps if step.operator in RECURRENCES)
    other_steps = [step for step in group.steps if step not in recurrences]
    index, size = group.index, program.sizes[group.index] or 1
    body: Tree = (*map(Carry, recurrences), *fuse(other_steps, index))
    if in_segments:
        return Statements((Loop(index, END, body, Way.IN_ORDER, BEGIN, backward=not group.forward),))
    first = str(0 if group.forward else size - 1)
    zeros = (Move.of(step.target, first, None, "", index) for step in recurrences)
    return Statements((*zeros, Loop(index, size, body, Way.IN_ORDER, backward=not group.forward)))


def with_picks(items: Sequence[Step | Group], program: Program) -> tuple[Step | Group, ...]:
    """Return steps and groups, where groups end with the steps that pick times of their tensors.

    Tensors of which other steps outside read all times stay, with those that pick some of them.
    """
    groups = {number: item for number, item in enumerate(items) if isinstance(item, Group)}
    homes = {step.target.tensor: number for number, group in groups.items() for step in group.steps}
    picks: dict[str, list[Step]] = {}
    read_elsewhere: set[str] = set()
    for number, item in enumerate(items):
        for step in steps_of(item):
            home = groups.get(homes.get(step.operands[0].tensor, -1)) if step.operands else None
            if isinstance(item, Step) and home and step.over == (home.index,) and picked(step, program):
                picks.setdefault(step.operands[0].tensor, []).append(step)
            else:
                read_elsewhere |= {operand.tensor for operand in step.operands if homes.get(operand.tensor) != number}
    taken = [step for name, pick_steps in picks.items() if name not in read_elsewhere for step in pick_steps]
    moved = {step.target.tensor for step in taken}
    return tuple(
        replace(item, steps=(*item.steps, *(s for s in taken if homes[s.operands[0].tensor] == number)))
        if isinstance(item, Group)
        else item
        for number, item in enumerate(items)
        if isinstance(item, Group) or item.target.tensor not in moved
    )


def picked(step: Step, program: Program) -> Solution | None:
    """Return the index that a step gives to the picked values of one other index, as a solution for it; or None.

    Such as ``x[n, k] = sum(m) u[n, m] where m = 10*k + 9``, if every k has such an m: then k is ``(m - 9)/10``.
    """
    read, alone = step.expression, len(step.over) == len(step.where) == 1
    if step.operator != "sum" or not alone or not isinstance(read, Element):
        return None
    (equation,), (index,) = step.where, step.over
    if equation.left != index or [factor > 0 for _, factor in equation.terms] != [True]:
        return None
    ((name, _),) = equation.terms
    other_indices = [other for other in step.target.indices if other != name]
    same = [other for other in read.indices if other != index] == other_indices
    return equation.solved(name) if same and name in step.target.indices and always(equation, program) else None


def merged(items: Sequence[Step | Group]) -> tuple[Step | Group, ...]:
    """Return steps and groups, where a group that only one later group reads, time for time, is a part of that one."""
    merged_items: list[Step | Group] = []
    for item in reversed(items):
        readers = [k for k, other in enumerate(merged_items) if _reads(other, item)] if isinstance(item, Group) else []
        reader = merged_items[readers[0]] if len(readers) == 1 else None
        if isinstance(item, Group) and isinstance(reader, Group) and _in_step(item, reader):
            merged_items[readers[0]] = replace(reader, steps=_one_after_the_other(item, reader))
        else:
            merged_items.append(item)
    return tuple(reversed(merged_items))


def _one_after_the_other(group: Group, reader: Group) -> tuple[Step, ...]:
    """Return the steps of two groups.

    Reductions of what neither of them computes come first: in between, they would separate the loops of other steps.
    """
    names = {step.target.tensor for step in (*group.steps, *reader.steps)}
    first = [
        step
        for step in reader.steps
        if step.over and step.operator not in RECURRENCES and not any(e.tensor in names for e in step.operands)
    ]
    return (*first, *group.steps, *(step for step in reader.steps if step not in first))


def _reads(item: Step | Group, group: Group) -> bool:
    """Return whether a step or a group reads a tensor of another group."""
    names = {step.target.tensor for step in group.steps}
    return any(operand.tensor in names for step in steps_of(item) for operand in step.operands)


def _in_step(group: Group, reader: Group) -> bool:
    """Return whether two groups go over one index in one direction, and one reads the other at the same index alone."""
    targets = {step.target.tensor: step.target for step in group.steps}
    read = [e for step in reader.steps for e in step.operands if e.tensor in targets]
    alike = (group.index, group.forward) == (reader.index, reader.forward)
    return alike and all(_at(e, targets[e.tensor], group.index) == group.index for e in read)


def _at(element: Element, target: Element, index: str) -> str:
    """Return the index that an element has in place of one of a target; an empty text if the target lacks that one."""
    return element.indices[target.indices.index(index)] if index in target.indices else ""


def with_own(items: Sequence[Step | Group], forms: dict[str, Form]) -> Iterator[Step | Group]:
    """Yield steps and groups, where each group begins with the steps that only it reads and that have its index."""
    items = tuple(_with_results(items, forms))
    groups = [item for item in items if isinstance(item, Group)]
    homes: dict[str, set[int]] = {}  # the groups that read a tensor; -1 stands for steps outside
    taken: dict[int, list[Step]] = {number: [] for number in range(len(groups))}
    number = len(groups)
    for item in reversed(items):
        number -= isinstance(item, Group)
        home = number if isinstance(item, Group) else -1
        for step in steps_of(item):
            readers = homes.get(step.target.tensor, set())
            reader = min(readers) if isinstance(item, Step) and len(readers) == 1 else -1
            if reader >= 0 and _may_join(step, groups[reader], taken[reader], forms):
                home = reader
                taken[home].insert(0, step)
            for operand in step.operands:
                homes.setdefault(operand.tensor, set()).add(home)
    moved = {step.target.tensor for steps in taken.values() for step in steps}
    number = 0
    for item in items:
        if isinstance(item, Group):
            yield replace(item, steps=(*taken[number], *item.steps))
            number += 1
        elif item.target.tensor not in moved:
            yield item


def _with_results(items: Sequence[Step | Group], forms: dict[str, Form]) -> Iterator[Step | Group]:
    """Yield steps and groups, where a group ends with a step that makes one value of several that no other step reads.

    So each time keeps one value only, such as the derivative of an activation.
    """
    groups = {number: list(item.steps) for number, item in enumerate(items) if isinstance(item, Group)}
    homes = {step.target.tensor: number for number, steps in groups.items() for step in steps}
    readers = Counter(
        operand.tensor
        for number, item in enumerate(items)
        for step in steps_of(item)
        for operand in step.operands
        if homes.get(operand.tensor) != number
    )
    moved = set[int]()
    for number, item in enumerate(items):
        if isinstance(item, Group) or item.over or item.where or forms[item.target.tensor].shape is not Shape.LOOPS:
            continue
        home = {homes.get(operand.tensor, -1) for operand in item.operands}
        spared = sum(readers[operand.tensor] == 1 for operand in item.operands)
        if len(home) == 1 and min(home) >= 0 and spared > 1:
            group = items[min(home)]
            if isinstance(group, Group) and all(e.indices == item.target.indices for e in item.operands):
                groups[min(home)].append(item)
                homes[item.target.tensor] = min(home)
                moved.add(number)
    for number, item in enumerate(items):
        if number not in moved:
            yield replace(item, steps=tuple(groups[number])) if isinstance(item, Group) else item


def _may_join(step: Step, group: Group, taken: Sequence[Step], forms: dict[str, Form]) -> bool:
    """Return whether a step that only one group reads, and steps taken into it, can be computed in it."""
    index = group.index
    readers = (*taken, *group.steps)
    reads = {e.indices for s in readers for e in s.operands if e.tensor == step.target.tensor}
    same = all(indices[step.target.indices.index(index)] == index for indices in reads if index in step.target.indices)
    plain = not step.over or not step.where or _given_by(step, index)
    shape = forms[step.target.tensor].shape
    single = SAMPLE not in group.steps[0].target.indices  # of a single sample
    return (
        (single or SAMPLE in step.target.indices)
        and index in step.target.indices
        and same
        and plain
        and shape in (Shape.LOOPS, Shape.PLACES, Shape.MATRIX_BY_ROW)
    )


def _given_by(step: Step, index: str) -> bool:
    """Return whether equations give the only value of each reduced index that exists for one value of an index."""
    solved = solve(step.where, step.over, dict.fromkeys(step.indices, 1))
    read = {name for solution in solved.solutions for name, _ in solution.terms}
    return not solved.free and not solved.conditions and read == {index}


def in_one_row(sites: Sequence[Site], kept: Container[str]) -> frozenset[str]:
    """Return the tensors of loops over time that nothing reads at another time or outside: one row holds all times."""
    loops = {step.target: site.time for site in sites for step in site.compute.steps if site.time}
    names = {e.tensor: e for e, time in loops.items() if time.index in e.indices and e.tensor not in kept}
    for site in sites:
        for element in (operand for step in site.compute.steps for operand in step.operands if operand.tensor in names):
            target = names[element.tensor]
            time = loops[target]
            if site.time is not time or element.indices[target.indices.index(time.index)] != time.index:
                del names[element.tensor]
    return frozenset(names)


def in_same_row(sites: Sequence[Site], kept: Container[str]) -> frozenset[str]:
    """Return the operands of recurrences whose values at each time overwrite those of the time before, in one row."""
    carried = {step.operands[0].tensor: step for site in sites if not site.segments for step in site.carried}
    several = Counter(name for name, _ in {(s.operands[0].tensor, s) for site in sites for s in site.carried})
    return frozenset(
        name
        for name, step in carried.items()
        if several[name] == 1 and name not in kept and step.target.tensor not in kept and _overwrites(sites, step)
    )


def _overwrites(sites: Sequence[Site], recurrence: Step) -> bool:
    """Return whether new values may replace those of the time before, since nothing reads these afterwards.

    That holds if each reader of the old values comes before the loops that write the new ones, or is in these loops and
    reads the value that is just replaced. Nothing may read a value after its time.
    """
    last, now = recurrence.target.tensor, recurrence.operands[0].tensor
    orders = [[step for part in site.compute.parts for step in part] for site in sites]
    steps = [(number, place, step) for number, order in enumerate(orders) for place, step in enumerate(order)]
    home, source, target = next(
        (number, place, step.target) for number, place, step in steps if step.target.tensor == now
    )
    time, compute = sites[home].time, sites[home].compute
    if time is None:
        return False
    value_by_value = compute.shape is Shape.LOOPS and not compute.reduced
    for number, place, step in steps:
        for element in step.operands:
            if element.tensor not in (last, now):
                continue
            if sites[number].time is not time or _at(element, target, time.index) != time.index:
                return False
            same = number == home and place <= source and value_by_value and element.indices == target.indices
            if element.tensor == last and not (number < home or same):
                return False
    return True


def in_place(steps: Iterable[Step], times: Container[str] = ()) -> Iterator[Step]:
    """Yield the steps, where those that reduce nothing read a part of an array, such as that of a gate, in place.

    Such a part is ``z_0[n, t, j] = sum(g) z[n, t, g, j] where g = 0``, read as ``z[n, t, 0, j]``, and so is a part of
    a part. Parts along one of the indices ``times`` stay, as no array has all values of these.
    """
    parts: dict[str, tuple[Element, Element]] = {}
    defined: set[str] = set()

    def placed(element: Element) -> Element:
        target, part = parts.get(element.tensor, (element, element))
        return part.renamed(dict(zip(target.indices, element.indices, strict=True)))

    for step in steps:
        read, (equation, *others) = step.expression, step.where or (None,)
        defined.add(step.target.tensor)
        if equation and not others and step.operator == "sum" and isinstance(read, Element) and read.tensor in defined:
            numbers = {equation.left: str(equation.offset)}
            fixed = not equation.terms and equation.offset >= 0 and equation.left not in times
            if step.over == (equation.left,) and fixed:
                parts[step.target.tensor] = step.target, placed(read).renamed(numbers)
        if parts and step.operator is None:
            step = step.xreplace({operand: placed(operand) for operand in step.operands})
        yield step


def settled(program: Program) -> Program:
    """Return the program, where recurrences that no other step waits for are windows of one value: ``u = t - 1``.

    A recurrence that reads another one reads a copy of it instead. Raises ModelError for recurrences without samples.
    """
    if not any(step.operator in RECURRENCES for step in program.steps):
        return program
    steps: list[Step] = []
    for item in grouped(program.steps):
        if isinstance(item, Group):
            steps += _with_copies(item, program)
        else:
            steps.append(_moved(item, program) if item.operator in RECURRENCES else item)
    return replace(program, steps=tuple(steps))


def _with_copies(group: Group, program: Program) -> Iterator[Step]:
    """Yield the steps of a group, where each recurrence that would read another one reads a copy of it."""
    recurrences = {step.target.tensor for step in group.steps if step.operator in RECURRENCES}
    copies: dict[Element, Step] = {}
    for step in group.steps:
        if SAMPLE not in step.target.indices:
            raise ModelError(f"a recurrence needs samples, unlike that of {step.target}")
        read = step.expression
        if step.target.tensor in recurrences and isinstance(read, Element) and read.tensor in recurrences:
            copies.setdefault(read, Step(Element(unused(f"{read.tensor} held", program.shapes), read.indices), read))
            step = replace(step, expression=copies[read].target)
        yield step
    yield from copies.values()


def _moved(step: Step, program: Program) -> Step:
    """Return a recurrence over known values as a sum of one term, whose index is one less or one more."""
    (index,), read = step.over, step.expression
    assert isinstance(read, Element)
    other, move = unused(f"{index}_", program.sizes), -1 if step.operator == "before" else 1
    term = Element(read.tensor, [other if each == index else each for each in read.indices])
    return Step(step.target, term, "sum", (other,), (Equation(other, ((index, 1),), move),))

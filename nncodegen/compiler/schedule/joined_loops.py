"""Plain loops: which step is computed in which loop.

A step joins the current loop if it can; otherwise a new loop begins. Steps that depend on each other (see
``ir.recurrence``) share a loop over their index, which runs in their direction. In this loop, the values of the
previous iteration are copied before they are overwritten.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nncodegen.compiler.ir import (
    RECURRENCES,
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
from nncodegen.compiler.ir.systems import INTEGRATE


@dataclass(frozen=True)
class Start:
    """The start of a reduction, before its loops: its variable gets the first value."""

    step: Step


@dataclass(frozen=True)
class Clear:
    """The start of a sum to which a later loop adds: its values in memory become 0."""

    step: Step


@dataclass(frozen=True)
class Compute:
    """A step, or one term of its reduction. A recurrence reads the value of the previous iteration, 0 in the first.

    If it ``adds``, a term goes to the sum in memory.
    """

    step: Step
    adds: bool = False


@dataclass(frozen=True)
class Finish:
    """The end of a reduction, after its loops: its value is now known."""

    step: Step


Item = Start | Clear | Compute | Finish


@dataclass(eq=False)
class OpenLoop:
    """A loop or a test under construction, and the tensors that are computed in it; the outermost node has no index.

    ``forward`` is None as long as both directions are possible. ``held`` are the elements that recurrences in it read.
    """

    index: str = ""
    equation: Solution | Equation | None = None
    body: list[OpenLoop | Item] = field(default_factory=list)
    tensors: dict[str, Element] = field(default_factory=dict)
    forward: bool | None = None
    held: list[Element] = field(default_factory=list)


Unit = Step | Group


def tree(parts: Iterable[tuple[str, Sequence[Step]]], sample_program: Program) -> OpenLoop:
    """Return the steps in loops: a loop takes all steps that can join it before another one begins.

    The steps of a part with an index share a loop over it, in which sums over it are added up in memory.
    """
    root = OpenLoop()
    for index, steps in parts:
        if not index:
            _fill(root, _units(steps), sample_program)
            continue
        for step in (step for step in steps if index in step.over):
            _clear(step, root)
        loop = OpenLoop(index, tensors={step.target.tensor: step.target for step in steps})
        root.body.append(loop)
        _fill(loop, steps, sample_program, index)
    return root


def _clear(step: Step, root: OpenLoop) -> None:
    """Add loops in which the values of a sum become 0."""
    node = root
    for index in step.target.indices:
        inner = OpenLoop(index, tensors={step.target.tensor: step.target})
        node.body.append(inner)
        node = inner
    node.body.append(Clear(step))


def _units(steps: Iterable[Step]) -> list[Unit]:
    """Return steps and groups; a step that only one group reads, with the group's index, moves into the group."""
    items, units = grouped(steps), list[Unit]()
    if not any(isinstance(item, Group) for item in items):
        return list(items)
    for item in reversed(items):
        home = _home(item, units) if isinstance(item, Step) else None
        if home is None:
            units.append(item)
        else:
            group = units[home]
            assert isinstance(group, Group)
            units[home] = replace(group, steps=(*steps_of(item), *group.steps))
    return units[::-1]


def _home(step: Step, units: Sequence[Unit]) -> int | None:
    """Return the number of the only unit that reads a step, if it is a group and reads it in the same iteration."""
    target = step.target
    readers = [
        (k, e) for k, unit in enumerate(units) for s in steps_of(unit) for e in s.operands if e.tensor == target.tensor
    ]
    (number, *others) = {k for k, _ in readers} or (0, 0)
    group = units[number] if not others else None
    if not isinstance(group, Group) or group.index not in target.indices:
        return None
    same = all((group.index, group.index) in zip(target.indices, e.indices, strict=True) for _, e in readers)
    return number if same else None


def _fill(node: OpenLoop, units: Sequence[Unit], sample_program: Program, fixed: str = "") -> None:
    """Put units into a node, each after the units that it reads; ``fixed`` is the index of the loop of the node."""
    home = {step.target.tensor: number for number, unit in enumerate(units) for step in steps_of(unit)}
    read = [{home[e.tensor] for step in steps_of(unit) for e in step.operands if e.tensor in home} for unit in units]
    missing = [numbers - {unit_reads} for unit_reads, numbers in enumerate(read)]
    readers: list[list[int]] = [[] for _ in units]
    for number, others in enumerate(missing):
        for other in others:
            readers[other].append(number)
    ready: dict[str, list[int]] = {}  # the units that could be next, in their order, by their first index
    for number, unit in enumerate(units):
        if not missing[number]:
            ready.setdefault(_first_index(unit, fixed), []).append(number)
    while any(ready.values()):
        number = _next(node, units, ready)
        _insert(units[number], node, sample_program, fixed)
        for reader in readers[number]:
            missing[reader].remove(number)
            if not missing[reader]:
                insort(ready.setdefault(_first_index(units[reader], fixed), []), reader)


def _first_index(unit: Unit, fixed: str) -> str:
    """Return the index of the outermost loop around a unit; an empty text if it has none."""
    if isinstance(unit, Group):
        return unit.index
    indices = [index for index in unit.indices if index != fixed and unit.operator != INTEGRATE]
    return indices[0] if indices else ""


def _next(node: OpenLoop, units: Sequence[Unit], ready: dict[str, list[int]]) -> int:
    """Remove and return a unit that is ready: one that joins the last loop, else one without loops, else the first."""
    last = node.body[-1] if node.body else None
    if isinstance(last, OpenLoop):
        for place, number in enumerate(ready.get(last.index, [])):
            if _may_join(last, units[number]):
                return ready[last.index].pop(place)
    index = "" if ready.get("") else min((numbers[0], index) for index, numbers in ready.items() if numbers)[1]
    return ready[index].pop(0)


def _insert(unit: Unit, root: OpenLoop, sample_program: Program, fixed: str) -> None:
    """Add a step to the loops over its indices, or a group to a loop over its index."""
    if isinstance(unit, Group):
        _insert_group(unit, root, sample_program)
        return
    if unit.operator == INTEGRATE:  # a call that computes the whole path
        root.body.append(Compute(unit))
        root.tensors[unit.target.tensor] = unit.target
        return
    chain, indices = [root], [index for index in unit.target.indices if index != fixed]
    adds = fixed in unit.over and unit.operator == "sum"
    for number, level in enumerate(
        (*indices, *(level for level in _reduced(unit, sample_program, fixed) if level != fixed))
    ):
        loop = _loop(chain[-1], level, unit) if isinstance(level, str) else OpenLoop("", level)
        if loop.equation:
            chain[-1].body.append(loop)
        if number == len(indices) and not adds:  # the first of those that are reduced
            at = chain[-1].body.index(loop)
            chain[-1].body[at : at + 1] = [Start(unit), loop, Finish(unit)]
        if number >= len(indices) and unit.operator == "first":
            loop.forward = True  # it counts the terms in order
        chain.append(loop)
    chain[-1].body.append(Compute(unit, adds))
    for node in chain:
        node.tensors[unit.target.tensor] = unit.target
        node.held += unit.operands if unit.operator in RECURRENCES else ()


def _insert_group(group: Group, root: OpenLoop, sample_program: Program) -> None:
    """Add the steps of a group to a loop over its index: first the recurrences, which read the previous iteration."""
    last = root.body[-1] if root.body else None
    if not isinstance(last, OpenLoop) or last.index != group.index or not _may_join(last, group):
        last = OpenLoop(group.index)
        root.body.append(last)
    last.forward = group.forward
    for step in group.steps:
        if step.operator in RECURRENCES:
            _insert(step, last, sample_program, group.index)
    _fill(last, [step for step in group.steps if step.operator not in RECURRENCES], sample_program, group.index)
    root.tensors |= {step.target.tensor: step.target for step in group.steps}


def _reduced(step: Step, sample_program: Program, fixed: str = "") -> tuple[str | Solution | Equation, ...]:
    """Return the loops and tests of a reduction: each test comes as soon as the indices that it compares are known.

    The index ``fixed`` has a loop around all of them.
    """
    if step.operator in RECURRENCES:
        return ()
    if not step.where or not step.over:
        return step.over
    solved = solve(step.where, step.over, sample_program.sizes)
    moving = {index for equation in step.where for index in equation.indices}
    in_order = step.operator == "first"  # it counts the terms in order
    waiting = list(solved.free) if in_order else sorted(solved.free, key=lambda index: index not in moving)
    tests: list[Solution | Equation] = [*solved.solutions, *solved.conditions]
    parts: list[str | Solution | Equation] = []
    known = {*step.target.indices, fixed}
    while tests or waiting:
        able = [test for test in tests if _read(test) <= known]
        parts += able or waiting[:1]
        known |= {test.index for test in able if isinstance(test, Solution)} | {*([] if able else waiting[:1])}
        tests = [test for test in tests if test not in able]
        waiting = waiting if able else waiting[1:]
    return tuple(parts)


def _read(test: Solution | Equation) -> set[str]:
    """Return the indices that a test reads."""
    if isinstance(test, Equation):
        return {*test.indices}
    named = [(name,) if isinstance(name, str) else name.indices for name, _ in test.terms]
    return {index for indices in named for index in indices}


def _loop(node: OpenLoop, index: str, step: Step) -> OpenLoop:
    """Return the last loop over an index in a node that a step may join, or a new loop."""
    target = step.target
    for item in reversed(node.body):
        held = [element for element in _held(item) if element.tensor == target.tensor]
        same = all((index, index) in zip(target.indices, element.indices, strict=True) for element in held)
        if isinstance(item, OpenLoop) and item.index == index and same and _may_join(item, step):
            return item
        computed = item.tensors if isinstance(item, OpenLoop) else (item.step.target.tensor,)
        if held or any(operand.tensor in computed for operand in step.operands):
            break
    node.body.append(OpenLoop(index))
    return node.body[-1]  # type: ignore[return-value]


def _held(item: OpenLoop | Item) -> Sequence[Element]:
    """Return the elements that recurrences in an item read."""
    if isinstance(item, OpenLoop):
        return item.held
    return item.step.operands if item.step.operator in RECURRENCES else ()


def _may_join(loop: OpenLoop, unit: Unit) -> bool:
    """Return whether all values that a unit reads from a loop are known in the same iteration of it."""
    if isinstance(unit, Group):
        computed_here = {step.target.tensor for step in unit.steps}
        operands = [e for step in unit.steps for e in step.operands if e.tensor not in computed_here]
        if loop.forward not in (None, unit.forward):
            return False
    else:
        operands = list(unit.operands)
        if loop.forward is False and unit.operator == "first":
            return False
    for operand in operands:
        target = loop.tensors.get(operand.tensor)
        if target and (loop.index, loop.index) not in zip(target.indices, operand.indices, strict=True):
            return False  # a reduction that is not finished, or the value of another iteration
    return True

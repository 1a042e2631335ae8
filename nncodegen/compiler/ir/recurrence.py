"""Recurrences: steps that are repeated over an index, each of which may read values of the previous time.

    h_0[n, t, k] = before(t) h[n, t, k]
    s[n, t, j]   = sum(k) U[j, k]*h_0[n, t, k]
    h[n, t, j]   = tanh(s[n, t, j] + z[n, t, j])

``before`` reads a tensor that is defined later, so that these steps depend on each other: all of them are computed for
one value of t, then for the next one. ``after`` runs the other way. Every tensor keeps its values for all t, which the
reverse sweep reads. Steps that depend on each other, and no others, form a *group*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nncodegen.compiler.ir.element import Size
from nncodegen.compiler.ir.step import RECURRENCES, Step
from nncodegen.errors import ProgramError


@dataclass(frozen=True)
class Group:
    """Steps that are repeated over an index, from its first value (``forward``) or from its last."""

    index: str
    forward: bool
    steps: tuple[Step, ...]


def grouped(steps: Iterable[Step]) -> tuple[Step | Group, ...]:
    """Return the steps, those that depend on each other as groups.

    The order stays the same, except for steps between the members of a group.
    """
    steps = tuple(steps)
    if not any(step.operator in RECURRENCES for step in steps):
        return steps
    places = {step.target.tensor: number for number, step in enumerate(steps)}
    read = [[places[e.tensor] for e in step.operands if e.tensor in places] for step in steps]
    component = _components(read)
    members: dict[int, list[int]] = {}
    for number, root in enumerate(component):
        members.setdefault(root, []).append(number)
    result: list[Step | Group] = []
    done: set[int] = set()

    def visit(root: int) -> None:
        stack = [(root, iter(sorted({component[k] for number in members[root] for k in read[number]})))]
        while stack:
            current, others = stack[-1]
            other = next((k for k in others if k not in done and k != current), None)
            if other is not None:
                stack.append((other, iter(sorted({component[k] for number in members[other] for k in read[number]}))))
                continue
            stack.pop()
            if current not in done:
                done.add(current)
                result.append(_item([steps[number] for number in members[current]], members[current], read))

    for number in range(len(steps)):
        if component[number] not in done:
            visit(component[number])
    return tuple(result)


def gathered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps, with those that depend on each other next to each other."""
    return tuple(step for item in grouped(steps) for step in steps_of(item))


def steps_of(item: Step | Group) -> tuple[Step, ...]:
    """Return the steps of a group; for a single step, the step."""
    return item.steps if isinstance(item, Group) else (item,)


def dependent(steps: Iterable[Step], names: Iterable[str]) -> set[str]:
    """Return some names of tensors, and those of all steps that depend on any of these tensors.

    The result is used for membership only: a set has no fixed order.
    """
    dependents = {*names}
    for item in grouped(steps):
        members = steps_of(item)
        if any(operand.tensor in dependents for step in members for operand in step.operands):
            dependents.update(step.target.tensor for step in members)  # in a group, each depends on each
    return dependents


def _item(steps: Sequence[Step], numbers: Sequence[int], read: Sequence[Sequence[int]]) -> Step | Group:
    """Return one step, or a group of steps that depend on each other."""
    if len(steps) == 1 and numbers[0] not in read[numbers[0]]:
        return steps[0]
    operators = {(step.operator, step.over[0]) for step in steps if step.operator in RECURRENCES}
    if len(operators) != 1:
        raise ProgramError(
            f"{', '.join(str(step.target) for step in steps)} depend on each other in more than one direction"
        )
    ((operator, index),) = operators
    return Group(index, operator == "before", tuple(steps))


def _components(read: Sequence[Sequence[int]]) -> list[int]:
    """Return for each step the first one that mutually depends on it (Tarjan's strongly connected components)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    open_: list[int] = []
    component: dict[int, int] = {}
    for root in range(len(read)):
        if root in order:
            continue
        work = [(root, iter(read[root]))]
        order[root] = low[root] = len(order)
        open_.append(root)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in order:
                    order[other] = low[other] = len(order)
                    open_.append(other)
                    work.append((other, iter(read[other])))
                    break
                if other not in component:
                    low[node] = min(low[node], order[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    members = open_[open_.index(node) :]
                    del open_[open_.index(node) :]
                    component.update(dict.fromkeys(members, min(members)))
    return [component[number] for number in range(len(read))]


def check_recurrences(steps: Sequence[Step], shapes: Mapping[str, tuple[Size, ...]]) -> None:
    """Raise ProgramError if a recurrence has a wrong shape, lacks an index, or reads what comes too late."""
    if not any(step.operator in RECURRENCES for step in steps):
        return
    for step in steps:
        for element in step.operands if step.operator in RECURRENCES else ():
            if shapes.get(element.tensor) != shapes[step.target.tensor]:
                raise ProgramError(f"{element.tensor} does not have the shape of its recurrence, in: {step}")
    known: set[str] = set()
    defined = {step.target.tensor for step in steps}
    for item in grouped(steps):
        group_targets = {step.target.tensor for step in item.steps} if isinstance(item, Group) else set()
        for step in steps_of(item):
            if isinstance(item, Group) and item.index not in step.target.indices:
                raise ProgramError(f"it is repeated over {item.index}, but has no such index: {step}")
            late = {e.tensor for e in step.operands} & defined - known
            if late and not (step.operator in RECURRENCES and late <= group_targets):
                raise ProgramError(f"{', '.join(sorted(late))} comes too late for: {step}")
            known.add(step.target.tensor)

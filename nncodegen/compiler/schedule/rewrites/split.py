"""Splitting of loops: a long operation that waits for another gets a separate loop.

A core looks some hundred instructions ahead. If these hold several iterations of a loop, it works at all of them while
each waits for its own results; if an iteration has one function after another, they hold little more than one
iteration.

A division is long as well, but takes few instructions: whether it is better off in the next loop, or next to the work
of the loop that it waits for, is for the target to decide (``CUT`` in ``runtime/c/nncodegen/base/vectors.h``).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from functools import partial

from sympy import Abs, Function, Piecewise, Pow, sign

from nncodegen.compiler.ir import Step
from nncodegen.compiler.ir.functions import tanh_of
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Compute, Trees
from nncodegen.compiler.schedule.tree_walks import Site, computed

SHORT = (Abs, Piecewise, sign, tanh_of)
"""Functions of a few operations. All other functions take twenty or more operations, each of which waits for the
previous one."""


def split(trees: Trees, outside: Container[str]) -> Trees:
    """Return trees where no long operation over the units of a layer waits for a function of the same loop.

    The values that one loop leaves to the next go through memory, which takes less time than the waiting. Where only
    divisions wait, the loops are parts of one, unless the later loop reads tensors in ``outside``: these are read once
    for all steps of a loop.
    """
    return trees.of_tile(partial(computed, rule=lambda site: tuple(_split(site, outside))))


def _split(site: Site, outside: Container[str]) -> Iterator[Compute]:
    compute = site.compute
    elementwise = compute.shape is Shape.LOOPS and compute.outer and not compute.sums
    if not elementwise or compute.reduced:
        yield compute
        return
    parts: list[list[list[Step]]] = []
    for loop, divides in _loops(compute.steps):
        if divides and not any(operand.tensor in outside for step in loop for operand in step.operands):
            parts[-1].append(loop)
        else:
            parts.append([loop])
    for loops in parts:
        cuts = tuple(frozenset(step.target.tensor for step in loop) for loop in loops)
        yield replace(compute, steps=tuple(step for loop in loops for step in loop), cuts=cuts)


def _loops(steps: Sequence[Step]) -> list[tuple[list[Step], bool]]:
    """Return the steps of each loop, and whether only a division begins it.

    A long operation that waits for a function begins the next loop.
    """
    numbers: dict[str, int] = {}
    waits: dict[str, bool] = {}
    begun: set[int] = {0}  # the loops that begin with a function
    for step in steps:
        read_here = [operand.tensor for operand in step.operands if operand.tensor in numbers]
        number = max((numbers[name] for name in read_here), default=0)
        waiting = any(waits[name] for name in read_here if numbers[name] == number)
        if waiting and (_calls(step) or _divides(step)):
            number, waiting = number + 1, False
            begun |= {number} if _calls(step) else set()
        numbers[step.target.tensor], waits[step.target.tensor] = number, waiting or _calls(step)
    _sink(steps, numbers)
    used_numbers = sorted(set(numbers.values()))
    return [([s for s in steps if numbers[s.target.tensor] == k], k not in begun) for k in used_numbers]


def _sink(steps: Sequence[Step], numbers: dict[str, int]) -> None:
    """Move steps that only later loops read to the first of these loops, unless more values would cross."""
    for step in reversed(steps):
        readers = [numbers[s.target.tensor] for s in steps if step.target.tensor in {o.tensor for o in s.operands}]
        read_here = {operand.tensor for operand in step.operands} & set(numbers)
        if readers and len(read_here) <= 1 and not _calls(step):
            numbers[step.target.tensor] = max(numbers[step.target.tensor], min(readers))


def _calls(step: Step) -> bool:
    """Return whether a step evaluates a long function."""
    return any(not isinstance(call, SHORT) for call in step.expression.atoms(Function))


def _divides(step: Step) -> bool:
    """Return whether a step divides by a tensor."""
    return any(power.exp.is_negative for power in step.expression.atoms(Pow) if not power.is_number)

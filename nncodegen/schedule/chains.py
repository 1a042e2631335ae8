"""Chains of long operations, which are cut into loops of their own.

A core looks some hundred instructions ahead. Where these hold several turns of a loop, it works at all of them while
each waits for its own results; where one turn is a function behind another, they hold little more than that turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sympy import Abs, Function, Piecewise, Pow, sign

from nncodegen.functions import tanh_of
from nncodegen.ir import SAMPLE, Step
from nncodegen.schedule.kernel import Nest, Shape

SHORT = (Abs, Piecewise, sign, tanh_of)
"""Functions of a few operations: the others take twenty or more, one behind the other."""


def without_chains(nests: Iterable[Nest]) -> Iterator[Nest]:
    """The nests; those over the units of a layer are cut so that no long operation waits for a function of its loop.

    What one loop leaves to the next lies in memory, which takes less than the waiting.
    """
    for nest in nests:
        elementwise = nest.shape is Shape.LOOPS and nest.outer and not any(SAMPLE in step.over for step in nest.steps)
        parts = _parts(nest.steps) if elementwise and not nest.reduced else [nest.steps]
        for steps in parts:
            yield replace(nest, steps=tuple(steps))


def _parts(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps of each loop: a long operation that waits for a function begins the next."""
    numbers: dict[str, int] = {}
    waits: dict[str, bool] = {}
    for step in steps:
        own = [operand.tensor for operand in step.operands if operand.tensor in numbers]
        number = max((numbers[name] for name in own), default=0)
        waiting = any(waits[name] for name in own if numbers[name] == number)
        if waiting and (_calls(step) or _divides(step)):
            number, waiting = number + 1, False
        numbers[step.target.tensor], waits[step.target.tensor] = number, waiting or _calls(step)
    _sink(steps, numbers)
    return [[s for s in steps if numbers[s.target.tensor] == number] for number in sorted(set(numbers.values()))]


def _sink(steps: Sequence[Step], numbers: dict[str, int]) -> None:
    """Moves what only later loops read to the first of those, where that leaves them no more values."""
    for step in reversed(steps):
        readers = [numbers[s.target.tensor] for s in steps if step.target.tensor in {o.tensor for o in s.operands}]
        own = {operand.tensor for operand in step.operands} & set(numbers)
        if readers and len(own) <= 1 and not _calls(step):
            numbers[step.target.tensor] = max(numbers[step.target.tensor], min(readers))


def _calls(step: Step) -> bool:
    """Whether a step evaluates a long function."""
    return any(not isinstance(call, SHORT) for call in step.expression.atoms(Function))


def _divides(step: Step) -> bool:
    """Whether a step divides by a tensor."""
    return any(power.exp.is_negative for power in step.expression.atoms(Pow) if not power.is_number)

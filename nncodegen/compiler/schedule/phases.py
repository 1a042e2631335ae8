"""The phases of a kernel in which sums over all samples are used again, as the statistics of a batch are.

Everything else that a kernel does with one sample needs no other sample, so the samples are processed once, tile by
tile. The mean of a batch is known only after all of its samples; what depends on it is a later phase. So the steps are
numbered:

    phase 0     steps that need no such sum, and the sums of these
    between     steps that follow from finished sums, and have no samples: the mean. It is computed once for a batch
    phase 1     steps that need it, and the sums of these
    ...

The runtime processes all samples in each phase. It keeps the arrays of a number of tiles (``Schedule.kept``) from one
phase to the next; in a larger batch it computes the earlier phases again (``batch.h``). Sums that no phase needs belong
to the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, grouped, needed, steps_of
from nncodegen.compiler.ir.names import unused
from nncodegen.errors import ProgramError


@dataclass(frozen=True)
class Phases:
    """The steps of a kernel, and, by its tensor, the phase of each step that has samples or comes between phases."""

    steps: tuple[Step, ...]
    numbers: dict[str, int]
    sums: frozenset[str] = frozenset()
    """The sums that later phases need."""
    copies: frozenset[str] = frozenset()
    """The copies of these sums when they are finished, in work memory."""
    last: int = 0

    def in_turn(self, steps: Sequence[Step]) -> Iterator[list[Step]]:
        """Yield the steps of each phase, out of some steps; a step between two phases belongs to the later one."""
        for number in range(self.last + 1):
            yield [step for step in steps if self.numbers.get(step.target.tensor, 0) == number]


def in_phases(steps: Iterable[Step], program: Program, several: bool) -> Phases:
    """Return the phases of steps; if there are several, later steps read copies of finished sums.

    Raises ProgramError if there are several and ``several`` is False.
    """
    steps = tuple(steps)
    numbers = _levels(steps)
    last = max((numbers[step.target.tensor] for step in steps if SAMPLE in step.indices), default=0)
    if not last:
        return Phases(steps, {})
    if not several:
        culprit = next(step for step in steps if SAMPLE in step.indices and numbers[step.target.tensor])
        raise ProgramError(f"the sample index is reduced and used again, in: {culprit}")
    sampled = [operand for step in steps if SAMPLE in step.indices for operand in step.operands]
    wanted = {operand.tensor for step in needed(steps, sampled) for operand in (step.target, *step.operands)}
    copies: dict[str, str] = {}  # of the finished sums, by their names
    finished: list[Step] = []
    phases: dict[str, int] = {}
    for step in steps:
        name, number = step.target.tensor, numbers[step.target.tensor]
        read = (operand for operand in step.operands if operand.tensor in copies)
        finished.append(step.xreplace({operand: Element(copies[operand.tensor], operand.indices) for operand in read}))
        if SAMPLE in step.over and name in wanted:
            phases[name] = number
            copies[name] = unused(f"{name} of the batch", program.shapes)
            finished.append(Step(Element(copies[name], step.target.indices), step.target))
            phases[copies[name]] = number + 1
        elif SAMPLE in step.over:
            phases[name] = last
        elif SAMPLE in step.indices or (number and name in wanted):
            phases[name] = number
    return Phases(tuple(finished), phases, frozenset(copies), frozenset(copies.values()), last)


def _levels(steps: Iterable[Step]) -> dict[str, int]:
    """Return, for each tensor, how many finished sums it waits for, one after the other."""
    numbers: dict[str, int] = {}
    sums = set[str]()
    for item in grouped(steps):
        item_steps = steps_of(item)
        read = [operand.tensor for step in item_steps for operand in step.operands if operand.tensor in numbers]
        number = max((numbers[name] + (name in sums) for name in read), default=0)
        numbers |= {step.target.tensor: number for step in item_steps}  # steps that recur share one loop
        sums.update(step.target.tensor for step in item_steps if SAMPLE in step.over)
    return numbers

"""Fusion: the choice of steps that share their loops.

Each step joins others over the same indices if what it reads is known by then. Very long loops take no further steps:
the time of compilers grows faster than their statements.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator

from sympy import Add

from nncodegen.compiler.ir import SAMPLE, Program, Solved, Step, solve
from nncodegen.compiler.schedule.forms import Form, can_be_written_out, is_written_out
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Compute

Loops = tuple[tuple[str, ...], tuple[str, ...], bool]
"""The indices of the outer loops, the reduced indices inside of them, and whether the samples have a loop."""

MOST = 60
"""Most statements of a loop. Beyond, the time of compilers grows with their square; a new loop then reads from memory
what this one has computed."""

USUAL = 8
"""Number of terms up to which a sum counts as one statement; in longer sums, each term counts as one."""

SUM = 2
"""Number of statements that a sum over the samples counts as, since it occupies a register while its loop runs."""


def fuse(
    steps: Iterable[Step],
    program: Program,
    forms: dict[str, Form],
    apart: Container[str],
    unrolled: Collection[str],
    repeated: str = "",
) -> Iterator[Compute]:
    """Yield steps that are computed together: each joins the first group over the same indices that is late enough.

    The steps that define the tensors ``apart`` stay alone. The indices ``unrolled`` are written out where loops run
    over samples; each sum over samples stays alone in such a loop. The index ``repeated`` has a loop around all groups.
    """
    groups: list[tuple[Loops, Form, list[Step]]] = []
    sizes: list[int] = []
    homes: dict[str, tuple[int, bool]] = {}  # where a tensor is computed, and whether these loops must be left first
    for step in steps:
        form = forms[step.target.tensor]
        indices = tuple(index for index in step.target.indices if index not in (SAMPLE, repeated))
        few = [index for index in step.indices if index in unrolled and index != repeated]
        short = few if can_be_written_out(step, form) else []
        written_out = (is_written_out(step, program) and form.shape is Shape.LOOPS) or bool(
            step.over and set(step.over) <= set(short)
        )
        outer = tuple(index for index in indices if index not in short)
        solved = solve(step.where, step.over, program.sizes) if step.where and step.over else None
        over = _reduced(solved) if solved else step.over
        reduced = tuple(index for index in over if index != SAMPLE and not written_out)
        if reduced and form.shape is Shape.LOOPS:  # what is added to in a loop is not written out
            outer = indices
        loops = (outer, reduced, SAMPLE in step.indices)
        first = 0
        for operand in step.operands:
            if operand.tensor in homes:
                position, complete_first = homes[operand.tensor]
                complete_first |= not unrolled and any(index.isdigit() for index in operand.indices)
                same = groups[position][:2] == (loops, form) and not complete_first
                first = max(first, position if same else position + 1)
        separate = reduced or form.shape is not Shape.LOOPS or step.target.tensor in apart
        separate = bool(separate or solved or (unrolled and SAMPLE in step.over))
        candidates = range(first, len(groups)) if not separate else ()
        size = statements_of(step)
        fits = (k for k in candidates if groups[k][:2] == (loops, form) and sizes[k] + size <= MOST)
        position = next(fits, len(groups))
        if position == len(groups):
            groups.append((loops, form, []))
            sizes.append(MOST if separate else 0)  # so that no other joins a separate one
        groups[position][2].append(step)
        sizes[position] += size
        homes[step.target.tensor] = (position, bool(step.over) and not written_out)
    for loops, form, members in groups:
        inside = [index for step in members for index in step.indices if form.shape is Shape.LOOPS]
        written = (index for index in inside if index in unrolled and index not in (*loops[0], *loops[1], repeated))
        unique = tuple(dict.fromkeys(written))
        yield Compute(tuple(members), *loops, form.innermost, form.shape, unique)


def _reduced(solved: Solved) -> tuple[str, ...]:
    """Return the reduced indices in the order of their loops: first those whose values depend on no other of them."""
    inside = [*solved.free]
    outside: list[str] = []
    for solution in solved.solutions:
        early = not any(name in inside or not isinstance(name, str) for name, _ in solution.terms)
        (outside if early else inside).append(solution.index)
    return (*outside, *inside)


def statements_of(step: Step) -> int:
    """Return the number of statements that a step counts as in a loop."""
    terms = len(Add.make_args(step.expression))
    return terms if terms > USUAL else SUM if SAMPLE in step.over else 1

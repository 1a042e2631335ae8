"""The loops of the programs derived from a model's program: each has one kernel and is compiled separately."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nncodegen.compiler.ir import Companion
from nncodegen.compiler.schedule.formulas import group_of_rows
from nncodegen.compiler.schedule.forward_sweeps import group_of_sweeps
from nncodegen.compiler.schedule.layout import Layout, choose_layout
from nncodegen.compiler.schedule.loops import make_kernel, without_noise
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.masked_products import with_products
from nncodegen.compiler.schedule.matrices import choose_matrices
from nncodegen.compiler.schedule.pair_families import keys_last
from nncodegen.compiler.schedule.pairs import take_much, with_pairs
from nncodegen.compiler.schedule.plain import plan_step
from nncodegen.compiler.schedule.rates import choose_rates, with_room
from nncodegen.compiler.schedule.recurrences import settled
from nncodegen.compiler.schedule.result import Schedule
from nncodegen.compiler.schedule.tree import Accumulate, Combine, Loop, Tree, Way
from nncodegen.compiler.schedule.tree_walks import rewritten

LONG_SUM = 8
"""Number of terms from which a sum is added up in the lanes of vectors."""


def schedule_companion(companion: Companion) -> Schedule:
    """Return the schedule of a companion: one kernel, of a gradient, or of rows of a Jacobian stored as outputs."""
    if companion.stepwise:
        one_step = plan_step(companion)
        kernel = replace(
            one_step.kernel, trees=one_step.kernel.trees.each(partial(rewritten, statements={Loop: _summed}))
        )
        return Schedule(one_step.program, Layout(1, 1, (), ()), (kernel,), companion=companion)
    program = with_pairs(keys_last(settled(companion.program)))
    if program.gradient:
        program = replace(program, steps=tuple(without_noise(program)), noise=())
    layout = choose_layout(program, {})
    if take_much(program):
        program = with_products(program, {})
        layout = choose_matrices(program, layout, {})
    if program.gradient:
        kernel = make_kernel(program, layout, "gradient", (), program.gradient, with_loss=False)
    else:
        kernel = make_kernel(program, layout, "jacobian", program.outputs, ())
    rates = choose_rates(program)
    several = program.task.fits.input_shifts and companion.outputs > 1  # rows that changes leave are of one output
    grouped = companion.outputs and not (companion.curved or several)
    group = None
    if grouped and companion.forward:
        group = group_of_sweeps(program)
    elif grouped and not program.layered and not rates:  # each fit would have weights of its own
        group = group_of_rows(program, kernel)
    kernels = (with_room(lower(kernel, program, layout), program, rates, layout),)
    return Schedule(program, layout, kernels, fits=group, companion=companion, rates=rates)


def _summed(loop: Loop) -> Tree:
    """Return a loop that only adds to sums, with its terms in the lanes of vectors if there are enough of them."""
    sums = tuple(each.target for each in loop.body if isinstance(each, Accumulate) and each.combine is Combine.ADD)
    enough = isinstance(loop.end, int) and loop.end >= LONG_SUM
    return (replace(loop, way=Way.SUMMED, sums=sums) if enough and len(sums) == len(loop.body) else loop,)

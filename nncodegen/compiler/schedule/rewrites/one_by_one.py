"""Where samples run one by one, products, sums over samples and reductions run along what is contiguous in memory.

A reduction over the contiguous index is a sum of lanes in a local variable: its terms are written to a row, whose
vectors are added in pairs. GCC would add the lanes of a vector one after the other, which takes longer than to compute
the 16 terms of a row. Over another index, all values of the contiguous one are combined at once. An equation that only
says which values exist is a condition in the loop, which has no branch then. A row that is gathered, or to which a
derivative is added, is found once for all of its values. All other steps are left to ``expand``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from sympy import Expr

from nncodegen.compiler.ir import REDUCTIONS, SAMPLE, Program, Solution, Step, solve
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.matrices import matrices_of
from nncodegen.compiler.schedule.nesting import around, begin_of
from nncodegen.compiler.schedule.rewrites.one_sample import REDUCED_ROWS
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Begins,
    Call,
    Combine,
    Compute,
    Exists,
    Gather,
    Given,
    If,
    Limits,
    Loop,
    Solve,
    Statement,
    Store,
    Test,
    Tree,
    Value,
    Variable,
    Way,
    combine_of,
    neutral_of,
)
from nncodegen.compiler.schedule.tree_walks import Site, computed, steps_in

ROW = 1024
"""The most terms of a row that a function holds as a local array."""


def one_by_one(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel whose products and reductions, for one sample at a time, are written out."""
    tile_steps = tuple(steps_in(kernel.trees.tile))

    def rule(site: Site) -> Tree:
        compute = site.compute
        if compute.shape is Shape.MATRICES:
            return _product(compute, program, tile_steps)
        (*others, step) = compute.steps
        plain = (replace(compute, samples=False),)
        if others or not step.over or REDUCTIONS[step.operator or "sum"].join is None:
            return plain
        return _Reduction(step, compute, program, site.limits).tree() or plain

    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=rule)))


def _product(compute: Compute, program: Program, kernel_steps: Sequence[Step]) -> Tree:
    """Return the call for a product of matrices in loops over the indices around it, given all steps of the kernel."""
    (step,) = compute.steps
    matrices = matrices_of(step, program, kernel_steps)
    assert matrices
    call = Call(compute.shape, compute.steps, compute.innermost, compute.ends, matrices=matrices)
    plain_compute = replace(
        compute, steps=(Step(step.target, step.expression),)
    )  # no equation gives an index around it
    return around(matrices.around, plain_compute, program, (call,))


@dataclass(frozen=True)
class _Reduction:
    """The loops of one reduction."""

    step: Step
    compute: Compute
    program: Program
    limits: Limits | None = None

    def tree(self) -> Tree:
        """Return the loops; an empty tree where an equation gives an index that values are read with."""
        step, operator = self.step, self.step.operator or "sum"
        solved = solve(step.where, step.over, self.program.sizes)
        read = {index for element in step.operands for index in element.indices}
        gathers = tuple(each for each in solved.solutions if each.gathers)
        others = tuple(each for each in solved.solutions if not each.gathers)
        if any(each.index in read for each in others) or SAMPLE in step.over:
            return self._over_samples() if SAMPLE in step.over and not others else ()
        sizes = self.program.sizes
        tests: tuple[Test, ...] = tuple(Given(each, sizes[each.index] or 1) for each in others)
        tests = (*tests, *(Exists(each.index, sizes[each.index] or 1) for each in gathers), *solved.conditions)
        free = prod(sizes[index] or 1 for index in solved.free)
        neutral, combine = neutral_of(operator, free), combine_of(operator)
        value = Value((step.expression,), None, tests, neutral if combine is Combine.CHOOSE else None)
        if not solved.free:
            return self._selected(value, gathers)
        return self._reduced(value, gathers, solved.free, neutral, combine)

    @property
    def _outer(self) -> tuple[str, ...]:
        """Return the indices of the result, without the samples."""
        return tuple(index for index in self.step.target.indices if index != SAMPLE)

    def _loops(self, indices: Sequence[str], body: Tree) -> Tree:
        for index in reversed(indices):
            end = self.compute.end(index)
            body = (Loop(index, end, body, begin=begin_of(end)),)
        return body

    def _all_at_once(self, index: str, body: Tree) -> Tree:
        end = self.compute.end(index)
        return (Loop(index, end, body, Way.INDEPENDENT, begin_of(end)),)

    def _gathered(self, gathers: Sequence[Solution]) -> tuple[Gather, ...]:
        return tuple(Gather(each, self.program.sizes[each.index] or 1) for each in gathers)

    def _within(self, gathers: Sequence[Solution], index: str) -> bool:
        """Return whether the values that are gathered depend on an index."""
        read = (name for each in gathers for name, _ in each.terms)
        return any(name == index if isinstance(name, str) else index in name.indices for name in read)

    def _selected(self, value: Value, gathers: Sequence[Solution]) -> Tree:
        """Return the loops of values that have one term or none."""
        store: Statement = Store(self.step.target, value)
        if not self._outer:
            return (*self._gathered(gathers), store)
        *outer, last = self._outer
        inside = self._within(gathers, last)
        body = self._all_at_once(last, (*(self._gathered(gathers) if inside else ()), store))
        return self._loops(outer, (*(() if inside else self._gathered(gathers)), *body))

    def _reduced(
        self, value: Value, gathers: Sequence[Solution], free: tuple[str, ...], neutral: Expr, combine: Combine
    ) -> Tree:
        """Return the loops of a reduction: in a local variable, or of all values of the contiguous index at once."""
        step, operator = self.step, self.step.operator or "sum"
        in_segments = self.limits is not None and self.limits.index in free
        ends = [element.indices[-1] for element in step.operands if element.indices]
        if self._outer and ends.count(self._outer[-1]) > sum(map(ends.count, free)):
            *outer, last = self._outer
            begin = self._all_at_once(last, (Store(step.target, Value((neutral,))),))
            begin = (If(Begins(0), begin),) if in_segments else begin
            store: Statement = Store(step.target, value, combine, operator)
            terms = self._loops(free, self._all_at_once(last, (*self._gathered(gathers), store)))
            return self._loops(outer, (*begin, *terms))
        inside = max(free, key=lambda index: (ends.count(index), free.index(index)))
        others = [index for index in free if index != inside]
        term: Statement = Accumulate(step.target, value, combine, operator)
        body = (*self._gathered(gathers), term)
        end = self.compute.end(inside)
        lanes = Loop(inside, end, body, begin=begin_of(end))
        if operator in REDUCED_ROWS:
            row = operator == "sum" and lanes.end in range(ROW + 1)
            lanes = replace(lanes, way=Way.ROW if row else Way.SUMMED, sums=(step.target,), operator=operator)
        result: Tree = (Store(step.target, Value((step.target,))),)
        if in_segments:  # every segment adds its terms
            added = Store(step.target, Value((step.target,)), Combine.ADD)
            result = (If(Begins(0), result, (added,)),)
        return self._loops(self._outer, (Variable(step.target, neutral), *self._loops(others, (lanes,)), *result))

    def _over_samples(self) -> Tree:
        """Return the loops that add to sums over samples in place, in rows that a value of data may give."""
        step, sizes = self.step, self.program.sizes
        if not self._outer:
            return ()
        *rows, last = self._outer
        solved = solve(step.where, rows, sizes)
        if solved.conditions or any(not each.gathers for each in solved.solutions):
            return ()
        reduced = [index for index in step.over if index != SAMPLE]
        body = self._all_at_once(last, (Store(step.target, Value((step.expression,)), Combine.ADD),))
        body = self._loops(solved.free, body)
        for each in solved.solutions:
            body = (Solve(each, self.compute.end(each.index), body),)
        return self._loops(reduced, body)

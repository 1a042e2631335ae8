"""Loops and statements are written out: the values read where a loop begins, each value, and its destination.

A value that only its own loops read is a local one; others are stored. Sums over samples are added up in a variable for
each tile, other reductions in their place in memory, term by term for all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod

from sympy import S

from nncodegen.compiler.ir import REDUCTIONS, SAMPLE, Element, Program
from nncodegen.compiler.schedule.kernel import Kernel, Role
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.nesting import around, begin_of, solved
from nncodegen.compiler.schedule.recurrences import picked
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.statements import Definition, statements
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Begins,
    Call,
    CallerFlag,
    Combine,
    Compute,
    Cut,
    Exists,
    First,
    Gather,
    If,
    Let,
    Load,
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
    numbers_of,
)
from nncodegen.compiler.schedule.tree_walks import Site, computed
from nncodegen.compiler.schedule.windows import Window, along, window_of

OUTSIDE = frozenset((Place.INPUT, Place.TARGET))
"""The places of the caller whose values loops over samples read once in each iteration."""

OUTSIDE_OF_FORMULAS = OUTSIDE | {Place.PARAMETER}
"""These places for the models of a formula: each model has its own parameters."""


def expand(kernel: Kernel, program: Program, layout: Layout) -> Kernel:
    """Return a kernel in which all loops and statements are written out."""
    return replace(kernel, trees=kernel.trees.each(partial(computed, rule=_Expand(kernel, program, layout))))


@dataclass(frozen=True)
class _Expand:
    """Writes out what a kernel computes."""

    kernel: Kernel
    program: Program
    layout: Layout

    @property
    def _models(self) -> bool:
        return self.kernel.plan.models is Role.VECTOR

    @cached_property
    def _loaded(self) -> frozenset[Place]:
        """Return the places whose values are read where a loop begins."""
        plan = self.kernel.plan
        if self._models:
            return OUTSIDE_OF_FORMULAS if plan.units is Role.UNROLLED else frozenset()
        return OUTSIDE if plan.samples is Role.TILED else frozenset()

    def __call__(self, site: Site) -> Tree:
        compute = site.compute
        if compute.shape is not Shape.LOOPS:
            shape, steps, innermost = compute.shape, compute.steps, compute.innermost
            call = Call(shape, steps, innermost, compute.ends, self._ragged(compute), self._window(site))
            return around(compute.around, compute, self.program, (call,))
        if compute.sums:
            return self._sums(compute)
        if compute.reduced:
            return self._reduction(site)
        defined = self._defined(compute)
        parts = (each for number in range(len(defined)) for each in self._part(number, defined))
        return self._innermost(compute.loops, compute, tuple(parts))

    # Calls.

    def _ragged(self, compute: Compute) -> bool:
        """Return whether steps write sums in place, in rows without padding that do not fill whole vectors."""
        size = self.program.sizes[compute.innermost]
        in_place = compute.steps[-1].target.tensor in self.kernel.memory.in_place
        return in_place and size is not None and size != self.layout.padded(size)

    def _window(self, site: Site) -> Window | None:
        """Return the lists of places by which steps run, within a loop around them for one value of its index.

        Else None.
        """
        step = site.compute.steps[0]
        places = site.compute.shape is Shape.PLACES
        window = window_of(step, self.program, self.layout.lengths) if places else None
        if not window:
            return None
        window = window.at(site.time.index) if site.time else window
        window = replace(window, time=site.limits.index) if site.limits else window
        if site.limits and not site.time:  # no step is sure to have a neighbour in its segment
            return window
        return along(window, step.target, self.kernel.storage, self.program, self.layout.tile)

    # Statements of one value of each index.

    def _defined(self, compute: Compute) -> tuple[tuple[Definition, ...], ...]:
        """Return the definitions of steps, part by part; only loops of a tile have several parts."""
        whole = compute if self.kernel.plan.samples is Role.TILED else replace(compute, cuts=())
        return statements(whole, self.program, self.kernel.storage)

    def _part(self, number: int, defined: Sequence[Sequence[Definition]]) -> Tree:
        """Return the statements of one part of some loops.

        Where these are cut, values of earlier parts are read from arrays; otherwise they are still local.
        """
        *before, definitions = defined[: number + 1]
        cut: list[Statement] = []
        if before:
            read = {element for statement in definitions for element in statement.value.operands}
            arrays = [statement.target for part in before for statement in part]
            crossing = self.kernel.memory.crossing
            left = [statement.target for statement in before[-1] if statement.target.tensor in crossing]
            cut.append(Cut(tuple(left), tuple(element for element in arrays if element in read)))
        return (*cut, *self._statements(definitions, defined[number + 1 :]))

    def _statements(
        self,
        definitions: Sequence[Definition],
        later: Sequence[Sequence[Definition]] = (),
        exists: tuple[Test, ...] = (),
        samples: bool = False,
    ) -> Tree:
        """Return the statements of a part, after loads of the inputs and targets that they read.

        ``later`` are the definitions of the parts that follow.
        """
        read = sorted({element for definition in definitions for element in definition.value.operands}, key=str)
        statements: list[Statement] = [Load(element) for element in read if self.kernel.place(element) in self._loaded]
        used = {
            element for part in (definitions, *later) for definition in part for element in definition.value.operands
        }
        for definition in definitions:
            value = replace(definition.value, where=(*exists, *definition.value.where))
            if definition.summed:
                statements.append(self._term(definition.target, value, samples))
            else:
                statements += self._value(definition.target, value, definition.target in used)
        return tuple(statements)

    def _value(self, target: Element, value: Value, used: bool) -> Tree:
        """Return the statements that put a value in its place; if it is used later, it is also a local value."""
        place = self.kernel.place(target)
        if place is Place.LOCAL:
            return (Let(target, value),)
        if place is Place.ARRAY and used:
            in_memory = target.tensor in self.kernel.memory.crossing
            return (Let(target, value), *(() if in_memory else (Store(target, Value((target,))),)))
        return (Store(target, value, Combine.ADD if place is Place.SUM else Combine.SET),)  # a sum of one sample

    # Sums over the samples, and other reductions.

    def _term(self, target: Element, value: Value, samples: bool) -> Statement:
        """Return the statement of a term of a sum over the samples."""
        if not self._models:
            return Accumulate(target, value)
        return Store(target, value, Combine.ADD if samples else Combine.ADD_OR_SET)

    def _sums(self, compute: Compute) -> Tree:
        sums = tuple(step.target for step in compute.sums)
        (definitions,) = self._defined(compute)
        gathers, exists = self._gathered(compute)
        if self._models:
            zeros = self._innermost(compute.outer, compute, tuple(Store(each, Value((S.Zero,))) for each in sums))
            several = compute.samples or bool(compute.reduced)
            first = (If(CallerFlag.NEW, zeros),) if several else ()
            indices = (*compute.outer, *compute.reduced, *_samples(compute))
            body = (*gathers, *self._statements(definitions, exists=exists, samples=several))
            return (*first, *self._innermost(indices, compute, body))
        body = (*gathers, *self._statements(definitions, exists=exists))
        loops = self._innermost(_samples(compute), compute, body, Way.SUMMED, sums)
        variables = tuple(Variable(target) for target in sums)
        results = tuple(Store(target, Value((target,)), Combine.ADD) for target in sums)
        inner = (*variables, *around(compute.reduced, compute, self.program, loops), *results)
        return around(compute.outer, compute, self.program, inner)

    def _gathered(self, compute: Compute) -> tuple[tuple[Gather, ...], tuple[Test, ...]]:
        """Return the indices that are read from arrays, and the conditions under which a term exists."""
        solutions = solved(compute, self.program)
        gathers = tuple(
            Gather(each, self.program.sizes[each.index] or 1) for each in solutions.solutions if each.gathers
        )
        return gathers, (*(Exists(each.solution.index, each.size) for each in gathers), *solutions.conditions)

    def _reduction(self, site: Site) -> Tree:
        """Return the statements of a reduction over indices other than the samples, in memory, for each sample."""
        compute = site.compute
        (step,) = compute.steps
        pick = picked(step, self.program) if site.time and site.time.index in step.over and not site.segments else None
        if pick:  # each time has its place, or none
            stored = self._innermost(_samples(compute), compute, (Store(step.target, Value((step.expression,))),))
            return (Solve(pick, compute.end(pick.index), stored),)
        sizes = {index: self.program.sizes[index] or 1 for index in solved(compute, self.program).free}
        count, operator = prod(sizes.values()), step.operator or "sum"
        neutral, combine = neutral_of(operator, count), combine_of(operator)
        begin = self._innermost(_samples(compute), compute, (Store(step.target, Value((neutral,))),))
        if site.limits and site.segments and site.limits.index in compute.reduced:
            begin = (If(Begins(site.limits.count - 1 if site.segments.backward else 0), begin),)
        gathers, exists = self._gathered(compute)
        value = Value((step.expression,), None, exists, neutral if combine is Combine.CHOOSE else None)
        term: Statement = Store(step.target, value, combine, operator)
        if REDUCTIONS[operator].join is None:
            term = First(step.target, value, numbers_of(sizes), count)
        terms = self._innermost(_samples(compute), compute, (*gathers, term))
        inner = (*begin, *around(compute.reduced, compute, self.program, terms))
        return around(compute.outer, compute, self.program, inner)

    def _innermost(
        self,
        indices: Sequence[str],
        compute: Compute,
        body: Tree,
        way: Way = Way.INDEPENDENT,
        sums: Sequence[Element] = (),
    ) -> Tree:
        """Return loops over indices, and over models that lie side by side; the innermost may run all at once."""
        if self._models:
            lanes = Loop("lane", self.kernel.plan.lanes, body, Way.LANES)
            return around(indices, compute, self.program, (lanes,))
        if not indices:
            return body
        *outer, index = indices
        end = compute.end(index)
        loop = Loop(index, end, body, way, begin_of(end), sums=tuple(sums))
        return around(outer, compute, self.program, (loop,))


def _samples(compute: Compute) -> tuple[str, ...]:
    return (SAMPLE,) if compute.samples else ()

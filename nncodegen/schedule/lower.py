"""From the nests of a kernel to the loop tree: everything that was decided about them, statement by statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import prod

from sympy import Integer, S

from nncodegen.ir import SAMPLE, Element, Equation, Program
from nncodegen.schedule.around import Repeat, Segments
from nncodegen.schedule.kernel import TILE, Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.nest import Filling, Nest, Padding, Place, Role, Samples, Shape, Statement, When
from nncodegen.schedule.tree import (
    Accumulate,
    Asked,
    Begins,
    Call,
    Combine,
    Cut,
    Exists,
    Extent,
    Fill,
    First,
    Gather,
    Group,
    If,
    Let,
    Limits,
    Load,
    Loop,
    Solve,
    Store,
    Tree,
    Trees,
    Value,
    Variable,
    Way,
)
from nncodegen.schedule.tree import Statement as Lowered

NEUTRAL = {"sum": S.Zero, "max": S.NegativeInfinity}
"""What a reduction starts from."""

OUTSIDE = frozenset((Place.INPUT, Place.TARGET))
"""The places of the caller that loops over samples read once in each iteration."""

OUTSIDE_OF_FORMULAS = OUTSIDE | {Place.PARAMETER}
"""The same for the models of a formula, whose parameters are theirs alone."""

ZERO = Value((S.Zero,))


def trees(kernel: Kernel, program: Program, layout: Layout, lanes: str = "MODELS") -> Trees:
    """Return what the functions of a kernel do. ``lanes`` is the number of models or fits side by side, by its name."""
    lower = Lower(kernel, program, layout, lanes)
    if kernel.plan is not TILE:
        whole = (*kernel.before, *kernel.tile)
        return Trees((), ((0, lower(whole)),), lower(kernel.measured), lower(kernel.after))
    *firsts, last = kernel.parts
    measured = kernel.measured if kernel.outputs else ()
    parts = [(nests[0].phase, lower((*kernel.again(nests), *nests))) for nests in firsts]
    parts.append((last[0].phase if last else 0, lower((*kernel.again((*last, *measured)), *last))))
    before = tuple(lower(kernel.before_phase(number)) for number in range(kernel.phases))
    return Trees(before, tuple(parts), lower(measured), lower((*kernel.again(kernel.finishing), *kernel.finishing)))


@dataclass(frozen=True)
class Lower:
    """Makes trees of the nests of a kernel. ``lanes`` is the number of models or fits side by side, by its name."""

    kernel: Kernel
    program: Program
    layout: Layout
    lanes: str = "MODELS"

    @property
    def _models(self) -> bool:
        return self.kernel.plan.models is Role.VECTOR

    @cached_property
    def _loaded(self) -> frozenset[Place]:
        """The places whose values are read where a loop begins."""
        plan = self.kernel.plan
        if plan.models is Role.VECTOR:
            return OUTSIDE_OF_FORMULAS if plan.units is Role.UNROLLED else frozenset()
        return OUTSIDE if plan.samples is Role.TILED else frozenset()

    def __call__(self, nests: Iterable[Nest]) -> Tree:
        """Return the statements of nests, one after the other.

        Neighbours that depend on each other share a loop over time, and those of a sweep one over its segments.
        """
        found: list[Lowered] = []
        for segments, group in groupby(nests, lambda nest: nest.segments):
            sweep = tuple(group)
            found += self._in_time(sweep) if segments is None else [self._in_segments(sweep, segments)]
        return tuple(found)

    def _in_segments(self, nests: Iterable[Nest], segments: Segments) -> Group:
        limits = Limits(segments.index, segments.length, segments.size, segments.count)
        body = (limits, *segments.begin, *self._in_time(nests), *segments.end)
        loop = Loop("segment", segments.count, body, Way.IN_ORDER, backward=not segments.forward)
        return Group((*segments.before, loop), title=segments.title)

    def _in_time(self, nests: Iterable[Nest]) -> Tree:
        found: list[Lowered] = []
        for repeat, group in groupby(nests, lambda nest: nest.repeat):
            members = tuple(group)
            found += self._in_blocks(members) if repeat is None else [self._repeated(members, repeat)]
        return tuple(found)

    def _repeated(self, nests: Iterable[Nest], repeat: Repeat) -> Group:
        begin, end = ("begin", "end") if repeat.within else (0, repeat.size)
        loop = Loop(repeat.index, end, self._in_blocks(nests), Way.IN_ORDER, begin, backward=not repeat.forward)
        return Group((*repeat.begins, loop))

    def _in_blocks(self, nests: Iterable[Nest]) -> Tree:
        """Neighbours that run on the same condition, with nothing in their place otherwise, share it."""
        found: list[Lowered] = []
        for when, group in groupby(nests, _only_when):
            members = list(group)
            if when and len(members) > 1:
                found.append(Group((If(when, tuple(self._group(n.branch.then) for n in members if n.branch)),)))
            else:
                found += map(self._group, members)
        return tuple(found)

    def _group(self, nest: Nest) -> Group:
        return Group(self._nest(nest), nest.steps, plain=not nest.outer and not nest.reduced)

    def _nest(self, nest: Nest) -> Tree:
        """The statements of a nest, and then what pads its arrays."""
        return (*self._loops(nest), *(each for padding in nest.padding for each in self._padding(nest, padding)))

    def _loops(self, nest: Nest) -> Tree:
        if nest.branch:
            otherwise = self._nest(nest.branch.otherwise) if nest.branch.otherwise else ()
            return (If(nest.branch.when, self._nest(nest.branch.then), otherwise),)
        if nest.shape is not Shape.LOOPS:
            ends = tuple((axis.index, _extent(axis.end)) for axis in nest.axes)
            call = Call(nest.shape, nest.steps, nest.innermost, ends, nest.ragged, nest.window)
            return self._around(nest.around, nest, (call,))
        if nest.sums:
            return self._sums(nest)
        if nest.reduced:
            return self._reduction(nest)
        parts = (each for number in range(len(nest.statements)) for each in self._part(number, nest))
        return self._innermost(nest.loops, nest, tuple(parts))

    # Statements of one value of each index.

    def _part(self, number: int, nest: Nest) -> Tree:
        """The statements of one part of a nest.

        Where its loops are cut, values of earlier parts are read from arrays; otherwise they are still local.
        """
        *before, own = nest.statements[: number + 1]
        cut: list[Lowered] = []
        if before:
            read = {element for statement in own for element in statement.operands}
            arrays = [statement.target for part in before for statement in part]
            left = [statement.target for statement in before[-1] if statement.target.tensor in self.kernel.crossing]
            cut.append(Cut(tuple(left), tuple(element for element in arrays if element in read)))
        return (*cut, *self._statements(own, nest.statements[number + 1 :], nest, ()))

    def _statements(
        self,
        own: Sequence[Statement],
        later: Sequence[Sequence[Statement]],
        nest: Nest,
        exists: tuple[Exists | Equation, ...],
    ) -> Tree:
        """The statements of a part, after the inputs and targets that they read; ``later`` ones follow."""
        read = sorted({element for statement in own for element in statement.operands}, key=str)
        found: list[Lowered] = [Load(element) for element in read if self.kernel.place(element) in self._loaded]
        used = {element for part in (own, *later) for statement in part for element in statement.operands}
        for statement in own:
            found += self._statement(statement, nest, statement.target in used, exists)
        return tuple(found)

    def _statement(self, statement: Statement, nest: Nest, used: bool, exists: tuple[Exists | Equation, ...]) -> Tree:
        """A value, in its place; where it is used, a local value as well."""
        target, place = statement.target, self.kernel.place(statement.target)
        value = Value(statement.terms, statement.operator, (*exists, *statement.where))
        if statement.summed:
            return self._term(target, value, nest)
        if place is Place.LOCAL:
            return (Let(target, value),)
        if place is Place.ARRAY and used:
            kept = target.tensor in self.kernel.crossing
            return (Let(target, value), *(() if kept else (Store(target, Value((target,))),)))
        if place is Place.SUM:  # of one sample
            return (Store(target, value, Combine.ADD),)
        return (Store(target, value, Combine.ADD_SCALED if nest.added else Combine.SET),)

    # Sums over the samples, and other reductions.

    def _term(self, target: Element, value: Value, nest: Nest) -> Tree:
        """A term of a sum over the samples."""
        if not self._models:
            return (Accumulate(target, value),)
        return (Store(target, value, Combine.ADD if nest.samples else Combine.ADD_OR_SET),)

    def _sums(self, nest: Nest) -> Tree:
        sums = tuple(step.target for step in nest.sums)
        (own,) = nest.statements
        if self._models:
            zeros = self._innermost(nest.outer, nest, tuple(Store(target, ZERO) for target in sums))
            first = (If(Asked.NEW, zeros),) if nest.samples else ()
            indices = (*nest.outer, *nest.reduced, *_samples(nest))
            return (*first, *self._innermost(indices, nest, self._statements(own, (), nest, ())))
        gathers, exists = self._gathered(nest)
        body = (*gathers, *self._statements(own, (), nest, exists))
        loops = self._innermost(_samples(nest), nest, body, Way.SUMMED, sums)
        variables = tuple(Variable(target) for target in sums)
        results = tuple(Store(target, Value((target,)), Combine.ADD) for target in sums)
        return self._around(nest.outer, nest, (*variables, *self._around(nest.reduced, nest, loops), *results))

    def _gathered(self, nest: Nest) -> tuple[tuple[Gather, ...], tuple[Exists | Equation, ...]]:
        """The indices whose values an array has, and the conditions under which a term exists."""
        solutions = [solution for solution in (nest.solved.solutions if nest.solved else ()) if solution.gathers]
        gathers = tuple(Gather(solution, self._size(solution.index)) for solution in solutions)
        conditions = nest.solved.conditions if nest.solved else ()
        return gathers, (*(Exists(each.solution.index, each.size) for each in gathers), *conditions)

    def _reduction(self, nest: Nest) -> Tree:
        """A reduction over other indices than the samples: one value for each sample, where it lies in memory."""
        (step,) = nest.steps
        numbers = self._numbers(nest)
        count = prod(self._size(index) for index, _ in numbers)
        neutral = NEUTRAL.get(step.operator or "", Integer(count))
        begin: Tree = self._innermost(_samples(nest), nest, (Store(step.target, Value((neutral,))),))
        if nest.segments and nest.segments.index in nest.reduced:
            begin = (If(Begins(nest.segments.first), begin),)
        gathers, exists = self._gathered(nest)
        value = Value((step.expression,), None, exists, neutral if step.operator == "max" else None)
        if step.operator in NEUTRAL:
            term: Lowered = Store(step.target, value, Combine.ADD if step.operator == "sum" else Combine.MAX)
        else:
            term = First(step.target, value, tuple(numbers), count)
        terms = self._innermost(_samples(nest), nest, (*gathers, term))
        return self._around(nest.outer, nest, (*begin, *self._around(nest.reduced, nest, terms)))

    def _numbers(self, nest: Nest) -> list[tuple[str, int]]:
        """The indices that number the terms of a reduction, each with what it counts for."""
        free = nest.solved.free if nest.solved else nest.reduced
        sizes = [self._size(index) for index in free]
        return [(index, prod(sizes[k + 1 :])) for k, index in enumerate(free)]

    # What pads arrays.

    def _padding(self, nest: Nest, padding: Padding) -> Tree:
        filling = padding.filling
        if nest.shape is not Shape.LOOPS or (filling is not Filling.ZERO_ENDS and nest.innermost != SAMPLE):
            known = tuple((axis.index, _extent(axis.end)) for axis in nest.axes)
            return tuple(Fill(filling, element, nest.innermost, known) for element in padding.arrays)
        if filling is Filling.ZERO_ENDS:
            size = self._size(nest.innermost)
            zeros = tuple(Store(element, ZERO) for element in padding.arrays)
            behind = Loop(nest.innermost, self.layout.padded(size), zeros, begin=size)
            return self._around(_samples(nest), nest, (behind,))
        copies = tuple(Store(element, Value((_last(element),))) for element in padding.arrays)
        return self._around(nest.outer, nest, (Loop(SAMPLE, "padded", copies, begin="count"),))

    # Loops.

    def _size(self, index: str) -> int:
        return self.program.sizes[index] or 1

    def _around(self, indices: Sequence[str], nest: Nest, body: Tree) -> Tree:
        """Loops over indices; an index that an equation gives has none, but a test that there is such a value."""
        solutions = {solution.index: solution for solution in nest.solved.solutions} if nest.solved else {}
        for index in reversed(indices):
            end, solution = _extent(nest.axis(index).end), solutions.get(index)
            if not solution:
                begin = "begin" if end == Samples.SEGMENT.value else 0
                body = (Loop(index, end, body, begin=begin),)
            elif not solution.gathers:
                body = (Solve(solution, end, body),)
        return body

    def _innermost(
        self, indices: Sequence[str], nest: Nest, body: Tree, way: Way = Way.INDEPENDENT, sums: Sequence[Element] = ()
    ) -> Tree:
        """Loops over indices, and over models that lie side by side; the innermost may run at once."""
        if self._models:
            return self._around(indices, nest, (Loop("lane", self.lanes, body, Way.LANES),))
        if not indices:
            return body
        end = _extent(nest.axis(indices[-1]).end)
        begin = "begin" if end == Samples.SEGMENT.value else 0
        return self._around(indices[:-1], nest, (Loop(indices[-1], end, body, way, begin, sums=tuple(sums)),))


def _extent(end: int | Samples) -> Extent:
    return end if isinstance(end, int) else end.value


def _last(element: Element) -> Element:
    """The element of the last sample."""
    return Element(element.tensor, ["count - 1" if index == SAMPLE else index for index in element.indices])


def _samples(nest: Nest) -> tuple[str, ...]:
    return (SAMPLE,) if nest.samples else ()


def _only_when(nest: Nest) -> When | None:
    """The condition on which a nest runs, with nothing in its place otherwise; None if it always runs."""
    return nest.branch.when if nest.branch and not nest.branch.otherwise else None

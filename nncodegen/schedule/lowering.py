"""From the nests of a kernel to its loop trees, when the places of all tensors are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from math import prod

from sympy import S

from nncodegen.ir import REDUCTIONS, SAMPLE, Element, Program
from nncodegen.schedule.around import Repeat, Segments
from nncodegen.schedule.axes import SEGMENT, Ends, Padding
from nncodegen.schedule.branches import choice, of_one_sample, rest_of
from nncodegen.schedule.kernel import SINGLE_SAMPLE, TILE, Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.nest import Filling, Nest, Place, Role, Shape, When, only
from nncodegen.schedule.on_request import on_request
from nncodegen.schedule.statements import Definition, statements
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
    Test,
    Tree,
    Trees,
    Value,
    Variable,
    Way,
    combine_of,
    neutral_of,
)
from nncodegen.schedule.tree import Statement as Lowered
from nncodegen.schedule.verify import verify_trees

OUTSIDE = frozenset((Place.INPUT, Place.TARGET))
"""The places of the caller that loops over samples read once in each iteration."""

OUTSIDE_OF_FORMULAS = OUTSIDE | {Place.PARAMETER}
"""The same for the models of a formula, whose parameters are theirs alone."""

ZERO = Value((S.Zero,))

MANY_STEPS = 16
"""Steps from which on a nest stands once for calls where the loss is wanted and for others, in a function of its own.
Shorter ones are read more easily where they stand, twice.
"""


def lower(kernel: Kernel, program: Program, layout: Layout, lanes: str = "MODELS") -> Kernel:
    """Return a kernel with its trees, given the places of all tensors.

    ``lanes`` is the number of models or fits side by side, by its name. Raises ProgramError where a tree breaks a rule.
    """
    kernel = replace(kernel, vector=layout.padding if kernel.in_vectors else 0)
    kernel = replace(kernel, trees=_trees(kernel, program, layout, lanes))
    return replace(kernel, arrays=max(kernel.arrays, verify_trees(kernel, program, layout)))


def _trees(kernel: Kernel, program: Program, layout: Layout, lanes: str) -> Trees:
    """What the functions of a kernel do."""
    lower = _Lower(kernel, program, layout, lanes)
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
class _Lower:
    """Makes trees of the nests of a kernel."""

    kernel: Kernel
    program: Program
    layout: Layout
    lanes: str = "MODELS"

    @cached_property
    def ends(self) -> Ends:
        """Where loops end."""
        return Ends(self.kernel, self.program, self.layout)

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
        for when, group in groupby(map(self._group, nests), _only_when):
            members = list(group)
            if when and len(members) > 1:
                members = [Group((If(when, tuple(replace(each, body=_then(each)) for each in members)),))]
            found += members
        return tuple(found)

    def _group(self, nest: Nest) -> Group:
        """The statements of a nest; what only the loss needs of it does not always run."""
        rest = only((nest,), lambda step: step.target.tensor not in self.kernel.of_loss)
        body, plain = self._nest(nest), not nest.outer and not nest.reduced
        if rest == (nest,):
            return Group(body, nest.steps, plain=plain)
        alone = not (nest.repeat or nest.segments or self.kernel.again((nest,)))
        if rest and alone and self.kernel.plan is TILE and len(nest.steps) >= MANY_STEPS:
            return Group(on_request(body, self.kernel.of_loss), nest.steps, plain=plain, twice=True)
        body = (If(When.LOSS, body, tuple(each for other in rest for each in self._nest(other))),)
        return Group(body, nest.steps, plain=plain)

    def _nest(self, nest: Nest) -> Tree:
        """The statements of a nest, or what runs in its place, and then what pads its arrays."""
        ends, plan = self.ends.of(nest), self.kernel.plan
        if plan is SINGLE_SAMPLE:
            nest = of_one_sample(nest, self.kernel)
            body = self._loops(nest, ends)
            if self.kernel.place(nest.steps[0].target) is Place.GRADIENT:
                return (If(When.ADDED, self._loops(nest, ends, added=True), body),)
            return body
        if plan is not TILE:
            return self._loops(nest, ends)
        pads = (each for padding in self.ends.padding(nest) for each in self._padding(nest, padding, ends))
        chosen = choice(nest, self.kernel)
        if chosen is None:
            return (*self._loops(nest, ends), *pads)
        then = self._loops(chosen.then, ends)
        if chosen.when is When.BLAS:
            then = (*then, *self._ends_of_rows(chosen.then, ends))
        otherwise = self._loops(chosen.otherwise, ends) if chosen.otherwise else ()
        return (If(chosen.when, then, otherwise), *pads)

    def _ends_of_rows(self, nest: Nest, ends: Mapping[str, Extent]) -> Tree:
        """What pads the rows of a result of BLAS, which ends where its values do."""
        (step,), (row, *_) = nest.steps, rest_of(nest)
        size = ends[nest.innermost]
        early = SAMPLE not in step.over and isinstance(size, int) and self.kernel.stride(step.target, row) > size
        return (Fill(Filling.ZERO_ENDS, step.target, nest.innermost, tuple(ends.items())),) if early else ()

    def _loops(self, nest: Nest, ends: Mapping[str, Extent], added: bool = False) -> Tree:
        if nest.shape is not Shape.LOOPS:
            window, ragged = self.ends.window(nest), self.ends.ragged(nest)
            call = Call(nest.shape, nest.steps, nest.innermost, tuple(ends.items()), ragged, window)
            return self._around(nest.around, nest, ends, (call,))
        if nest.sums:
            return self._sums(nest, ends)
        if nest.reduced:
            return self._reduction(nest, ends)
        defined = self._defined(nest)
        parts = (each for number in range(len(defined)) for each in self._part(number, defined, added))
        return self._innermost(nest.loops, nest, ends, tuple(parts))

    def _defined(self, nest: Nest) -> tuple[tuple[Definition, ...], ...]:
        """The definitions of a nest, part by part; only loops of a tile have several."""
        nest = nest if self.kernel.plan is TILE else replace(nest, cuts=())
        return statements(nest, self.program, self.kernel.storage)

    # Statements of one value of each index.

    def _part(self, number: int, defined: Sequence[Sequence[Definition]], added: bool) -> Tree:
        """The statements of one part of a nest.

        Where its loops are cut, values of earlier parts are read from arrays; otherwise they are still local.
        """
        *before, own = defined[: number + 1]
        cut: list[Lowered] = []
        if before:
            read = {element for statement in own for element in statement.value.operands}
            arrays = [statement.target for part in before for statement in part]
            left = [statement.target for statement in before[-1] if statement.target.tensor in self.kernel.crossing]
            cut.append(Cut(tuple(left), tuple(element for element in arrays if element in read)))
        return (*cut, *self._statements(own, defined[number + 1 :], added=added))

    def _statements(
        self, own: Sequence[Definition], later: Sequence[Sequence[Definition]] = (),
        exists: tuple[Test, ...] = (), added: bool = False, samples: bool = False,
    ) -> Tree:  # fmt: skip
        """The statements of a part, after the inputs and targets that they read; ``later`` ones follow."""
        read = sorted({element for one in own for element in one.value.operands}, key=str)
        found: list[Lowered] = [Load(element) for element in read if self.kernel.place(element) in self._loaded]
        used = {element for part in (own, *later) for one in part for element in one.value.operands}
        for one in own:
            value = replace(one.value, where=(*exists, *one.value.where))
            if one.summed:
                found.append(self._term(one.target, value, samples))
            else:
                found += self._value(one.target, value, one.target in used, added)
        return tuple(found)

    def _value(self, target: Element, value: Value, used: bool, added: bool) -> Tree:
        """A value, in its place; where it is used, a local value as well."""
        place = self.kernel.place(target)
        if place is Place.LOCAL:
            return (Let(target, value),)
        if place is Place.ARRAY and used:
            kept = target.tensor in self.kernel.crossing
            return (Let(target, value), *(() if kept else (Store(target, Value((target,))),)))
        if place is Place.SUM:  # of one sample
            return (Store(target, value, Combine.ADD),)
        return (Store(target, value, Combine.ADD_SCALED if added else Combine.SET),)

    # Sums over the samples, and other reductions.

    def _term(self, target: Element, value: Value, samples: bool) -> Lowered:
        """A term of a sum over the samples."""
        if not self._models:
            return Accumulate(target, value)
        return Store(target, value, Combine.ADD if samples else Combine.ADD_OR_SET)

    def _sums(self, nest: Nest, ends: Mapping[str, Extent]) -> Tree:
        sums = tuple(step.target for step in nest.sums)
        (own,) = self._defined(nest)
        if self._models:
            zeros = self._innermost(nest.outer, nest, ends, tuple(Store(target, ZERO) for target in sums))
            first = (If(Asked.NEW, zeros),) if nest.samples else ()
            indices = (*nest.outer, *nest.reduced, *_samples(nest))
            body = self._statements(own, samples=nest.samples)
            return (*first, *self._innermost(indices, nest, ends, body))
        gathers, exists = self._gathered(nest)
        body = (*gathers, *self._statements(own, exists=exists))
        loops = self._innermost(_samples(nest), nest, ends, body, Way.SUMMED, sums)
        variables = tuple(Variable(target) for target in sums)
        results = tuple(Store(target, Value((target,)), Combine.ADD) for target in sums)
        inner = (*variables, *self._around(nest.reduced, nest, ends, loops), *results)
        return self._around(nest.outer, nest, ends, inner)

    def _gathered(self, nest: Nest) -> tuple[tuple[Gather, ...], tuple[Test, ...]]:
        """The indices whose values an array has, and the conditions under which a term exists."""
        solutions = [solution for solution in (nest.solved.solutions if nest.solved else ()) if solution.gathers]
        gathers = tuple(Gather(solution, self._size(solution.index)) for solution in solutions)
        conditions = nest.solved.conditions if nest.solved else ()
        return gathers, (*(Exists(each.solution.index, each.size) for each in gathers), *conditions)

    def _reduction(self, nest: Nest, ends: Mapping[str, Extent]) -> Tree:
        """A reduction over other indices than the samples: one value for each sample, where it lies in memory."""
        (step,) = nest.steps
        numbers = self._numbers(nest)
        count, operator = prod(self._size(index) for index, _ in numbers), step.operator or "sum"
        neutral, combine = neutral_of(operator, count), combine_of(operator)
        begin: Tree = self._innermost(_samples(nest), nest, ends, (Store(step.target, Value((neutral,))),))
        if nest.segments and nest.segments.index in nest.reduced:
            begin = (If(Begins(nest.segments.first), begin),)
        gathers, exists = self._gathered(nest)
        value = Value((step.expression,), None, exists, neutral if combine is Combine.CHOOSE else None)
        term: Lowered = Store(step.target, value, combine, operator)
        if REDUCTIONS[operator].join is None:
            term = First(step.target, value, tuple(numbers), count)
        terms = self._innermost(_samples(nest), nest, ends, (*gathers, term))
        return self._around(nest.outer, nest, ends, (*begin, *self._around(nest.reduced, nest, ends, terms)))

    def _numbers(self, nest: Nest) -> list[tuple[str, int]]:
        """The indices that number the terms of a reduction, each with what it counts for."""
        free = nest.solved.free if nest.solved else nest.reduced
        sizes = [self._size(index) for index in free]
        return [(index, prod(sizes[k + 1 :])) for k, index in enumerate(free)]

    # What pads arrays.

    def _padding(self, nest: Nest, padding: Padding, ends: Mapping[str, Extent]) -> Tree:
        filling = padding.filling
        if nest.shape is not Shape.LOOPS or (filling is not Filling.ZERO_ENDS and nest.innermost != SAMPLE):
            known = tuple(ends.items())
            return tuple(Fill(filling, element, nest.innermost, known) for element in padding.arrays)
        if filling is Filling.ZERO_ENDS:
            size = self._size(nest.innermost)
            zeros = tuple(Store(element, ZERO) for element in padding.arrays)
            behind = Loop(nest.innermost, self.layout.padded(size), zeros, begin=size)
            return self._around(_samples(nest), nest, ends, (behind,))
        copies = tuple(Store(element, Value((_last(element),))) for element in padding.arrays)
        return self._around(nest.outer, nest, ends, (Loop(SAMPLE, "padded", copies, begin="count"),))

    # Loops.

    def _size(self, index: str) -> int:
        return self.program.sizes[index] or 1

    def _around(self, indices: Sequence[str], nest: Nest, ends: Mapping[str, Extent], body: Tree) -> Tree:
        """Loops over indices; an index that an equation gives has none, but a test that there is such a value."""
        solutions = {solution.index: solution for solution in nest.solved.solutions} if nest.solved else {}
        for index in reversed(indices):
            end, solution = ends[index], solutions.get(index)
            if not solution:
                begin = "begin" if end == SEGMENT else 0
                body = (Loop(index, end, body, begin=begin),)
            elif not solution.gathers:
                body = (Solve(solution, end, body),)
        return body

    def _innermost(
        self, indices: Sequence[str], nest: Nest, ends: Mapping[str, Extent], body: Tree,
        way: Way = Way.INDEPENDENT, sums: Sequence[Element] = (),
    ) -> Tree:  # fmt: skip
        """Loops over indices, and over models that lie side by side; the innermost may run at once."""
        if self._models:
            return self._around(indices, nest, ends, (Loop("lane", self.lanes, body, Way.LANES),))
        if not indices:
            return body
        end = ends[indices[-1]]
        begin = "begin" if end == SEGMENT else 0
        return self._around(indices[:-1], nest, ends, (Loop(indices[-1], end, body, way, begin, sums=tuple(sums)),))


def _last(element: Element) -> Element:
    """The element of the last sample."""
    return Element(element.tensor, ["count - 1" if index == SAMPLE else index for index in element.indices])


def _samples(nest: Nest) -> tuple[str, ...]:
    return (SAMPLE,) if nest.samples else ()


def _only_when(group: Group) -> When | None:
    """The condition on which a group runs, with nothing in its place otherwise; None if it always runs."""
    match group.body:
        case (If(When() as when, _, ()),):
            return when
    return None


def _then(group: Group) -> Tree:
    """What runs where the condition of a group holds."""
    (statement,) = group.body
    assert isinstance(statement, If)
    return statement.body

"""Checks of loop trees: what every rewrite and every plan must leave whole.

* A local value is defined before it is used, and memory is written before it is read.
* Every index stays within its buffer.
* Arrays that share memory are not used at once (see ``lifetimes``).
* Iterations that may run at once, or in any order, write to places apart, or add to them in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element, Equation, Program, Solution
from nncodegen.schedule.around import Move
from nncodegen.schedule.kernel import SINGLE_SAMPLE, Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.lifetimes import Lifetimes, Range
from nncodegen.schedule.nest import Place, Role
from nncodegen.schedule.tree import (
    Accumulate,
    Call,
    Combine,
    Extent,
    First,
    Gather,
    Group,
    If,
    Let,
    Limits,
    Load,
    Loop,
    Solve,
    Statement,
    Store,
    Tree,
    Value,
    Variable,
    Way,
    show,
)

LOCAL = (Place.LOCAL, Place.VARIABLE)
"""Places that are not in memory."""

SUMS = (Place.SUM, Place.GRADIENT_SUM)
"""Places that hold sums, which are read when they are finished."""


def verify_trees(kernel: Kernel, program: Program, layout: Layout) -> int:
    """Return the values of work memory that a kernel reads or writes.

    Loops over whole vectors may read more rows of an array than it has. What lies there does not count, but it has to
    be memory. Raises ProgramError, with the statement, where the trees of a kernel break a rule.
    """
    indices = {step.target.tensor: step.target.indices for step in program.steps}
    check = _Check(kernel, program, layout, Lifetimes(indices))
    for title, tree in kernel.trees.functions:
        if title != "metrics" and kernel.plan is not SINGLE_SAMPLE:  # which are behind the last part, as is all of one
            check.local.clear()
        check.tree(tree, _Scope({SAMPLE: (0, check.samples - 1)}))
    for clash in check.lifetimes.clashes():
        raise ProgramError(f"the loops of the kernel {kernel.name} of {program.name}: {clash}")
    return check.reached


@dataclass(frozen=True)
class _Scope:
    """The ranges of indices where a statement stands, and the loops around it."""

    ranges: Mapping[str, Range]
    loops: tuple[Loop, ...] = ()
    given: Mapping[str, Solution] = field(default_factory=dict)
    """The indices that equations give."""

    def within(self, ranges: Mapping[str, Range]) -> _Scope:
        return _Scope({**self.ranges, **ranges}, self.loops, self.given)

    def inside(self, loop: Loop, span: Range) -> _Scope:
        return _Scope({**self.ranges, loop.index: span}, (*self.loops, loop), self.given)


@dataclass
class _Check:
    """The trees of a kernel under examination."""

    kernel: Kernel
    program: Program
    layout: Layout
    lifetimes: Lifetimes
    local: set[str] = field(default_factory=set)
    written: set[tuple[Place, int]] = field(default_factory=set)
    conditions: int = 0
    segments: Limits | None = None
    reached: int = 0
    """The values of work memory up to the last that is read or written."""

    @property
    def samples(self) -> int:
        """The samples of a tile."""
        return 1 if self.kernel.plan.samples is Role.ABSENT else self.layout.tile

    def _fail(self, what: str, statement: Statement) -> None:
        text = show([statement]).splitlines()[0]
        raise ProgramError(f"the loops of the kernel {self.kernel.name} of {self.program.name}: {what}, in: {text}")

    # Statements.

    def tree(self, tree: Iterable[Statement], scope: _Scope) -> None:
        """Check statements one after the other; what is local in a loop is not known behind it."""
        for statement in tree:
            scope = self._statement(statement, scope)

    def _body(self, tree: Tree, scope: _Scope) -> None:
        local = set(self.local)
        self.tree(tree, scope)
        self.local = {name for name in self.local if name in local or name in self._variables}

    @cached_property
    def _variables(self) -> set[str]:
        """What lives in variables of all loops."""
        return {name for name, known in self.kernel.storage.items() if known.place is Place.VARIABLE}

    def _statement(self, statement: Statement, scope: _Scope) -> _Scope:
        match statement:
            case Group():
                self._group(statement, scope)
            case Loop():
                self._loop(statement, scope)
            case Solve(solution, end, body):
                self._operands((e for e, _ in solution.terms if isinstance(e, Element)), statement, scope)
                inside = scope.within({solution.index: (0, self._extent(end, scope) - 1)})
                self._body(body, _Scope(inside.ranges, inside.loops, {**scope.given, solution.index: solution}))
            case If():
                self._if(statement, scope)
            case Limits():
                self.segments = statement
                return scope.within(self._of_segments(statement))
            case Gather(solution, size):
                self._operands((e for e, _ in solution.terms if isinstance(e, Element)), statement, scope)
                inside = scope.within({solution.index: (0, size - 1)})
                return _Scope(inside.ranges, inside.loops, {**scope.given, solution.index: solution})
            case Load(element):
                self._bounds(element, statement, scope)
            case Let(target, value):
                self._value(value, statement, scope)
                self.local.add(target.tensor)
            case Variable(target):
                self.local.add(target.tensor)
            case Accumulate(target, value):
                self._value(value, statement, scope)
                if target.tensor not in self.local:
                    self._fail(f"{target} has no variable to add to", statement)
            case Store() | First():
                self._value(statement.value, statement, scope)
                self._write(statement.target, statement, scope)
                self._apart(statement, scope)
            case Move():
                self.lifetimes.now += 1
                self._operands([statement.source] if statement.source else [], statement, scope)
                self._write(statement.target, statement, scope, computes=False)
            case Call():
                self._call(statement, scope)
        return scope

    def _group(self, group: Group, scope: _Scope) -> None:
        segments = self.segments
        if group.steps:
            self.lifetimes.now += 1
            self.tree(group.body, scope)
        else:
            self._body(group.body, scope)
        self.segments = segments

    def _if(self, statement: If, scope: _Scope) -> None:
        outer, self.conditions = self.lifetimes.branches, self.conditions + 1
        number = self.conditions
        for holds, body in ((True, statement.body), (False, statement.otherwise)):
            self.lifetimes.branches = {**outer, number: holds}
            self._body(body, scope)
        self.lifetimes.branches = outer

    def _loop(self, loop: Loop, scope: _Scope) -> None:
        begin, end = self._extent(loop.begin, scope, least=True), self._extent(loop.end, scope)
        if begin >= end:
            return
        first = self.lifetimes.now + 1
        span = (begin, end - 1)
        if loop.begin == "begin" and self.segments:
            span = (0, self.segments.size - 1)
        self._body(loop.body, scope.inside(loop, span))
        if loop.way is Way.IN_ORDER:
            index = self.segments.index if self.segments and loop.index == "segment" else loop.index
            self.lifetimes.loop(first, index)

    def _extent(self, extent: Extent, scope: _Scope, least: bool = False) -> int:
        if isinstance(extent, int):
            return extent
        if extent in scope.ranges:
            return scope.ranges[extent][0 if least else 1]
        return self.samples

    def _of_segments(self, limits: Limits) -> Mapping[str, Range]:
        """The numbers that are known in a segment."""
        last = limits.size - 1
        return {
            "begin": (0, (limits.count - 1) * limits.length), "end": (0, limits.size),
            "(end - 1)": (0, last), "(end - begin - 1)": (0, limits.length - 1),
        }  # fmt: skip

    def _call(self, call: Call, scope: _Scope) -> None:
        ends = {index: (0, self._extent(end, scope) - 1) for index, end in call.ends}
        inside = scope.within(ends)
        own = {step.target.tensor for step in call.steps[:-1]}
        for step in call.steps:
            self._operands((e for e in step.operands if e.tensor not in own), call, inside)
        self._write(call.steps[-1].target, call, inside)

    # Values.

    def _value(self, value: Value, statement: Statement, scope: _Scope) -> None:
        self._operands(value.operands, statement, scope)
        for test in value.where:
            if isinstance(test, Equation) and test.data is not None:
                self._operands([test.data], statement, scope)

    def _operands(self, elements: Iterable[Element], statement: Statement, scope: _Scope) -> None:
        for element in elements:
            known = self.kernel.storage[element.tensor]
            if element.tensor in self.local:
                continue
            if known.place in LOCAL:
                self._fail(f"{element} is used before it is defined", statement)
            if known.place in (Place.ARRAY, *SUMS) and (known.place, known.offset) not in self.written:
                self._fail(f"{element} is read before anything is written there", statement)
            rows = self.layout.padding * self.samples if known.place is Place.ARRAY else 0
            position = self._bounds(element, statement, scope, rows)
            if known.place is Place.ARRAY:
                self.lifetimes.use(element, position, known, isinstance(statement, Call))

    def _bounds(self, element: Element, statement: Statement, scope: _Scope, room: int = 0) -> Range:
        """The places of an element, from the first to the last. Raises ProgramError where one is outside, with room."""
        known = self.kernel.storage[element.tensor]
        low = high = known.offset + known.shift
        for index, stride in zip(element.indices, known.strides, strict=False):
            least, most = self._range(index, scope)
            if index == known.within and self.segments:
                least, most = 0, self.segments.length - 1
            low, high = low + stride * least, high + stride * most
        limit = self._limits.get(known.place)
        if known.place is Place.ARRAY:
            self.reached = max(self.reached, high + 1)
        if low < 0 or (limit is not None and high >= limit + room):
            self._fail(f"{element} is at {low} to {high} of {limit} in {known.place.value}", statement)
        return low, high

    def _range(self, index: str, scope: _Scope) -> Range:
        if index in scope.ranges:
            return scope.ranges[index]
        if index.isdigit():
            return int(index), int(index)
        if index == "count - 1":
            return 0, self.samples - 1
        size = self.program.sizes.get(index)
        return 0, (size or self.samples) - 1

    @cached_property
    def _limits(self) -> Mapping[Place, int]:
        """How many values there are in each kind of memory, for each sample where it is the caller's."""
        kernel, program = self.kernel, self.program
        padding = self.layout.padding if kernel.plan.models is not Role.VECTOR else 0
        parameters = program.parameter_count
        return {
            Place.ARRAY: kernel.arrays,
            Place.SUM: kernel.sums,
            Place.PARAMETER: parameters + padding,  # behind the last, there is room for a vector
            Place.GRADIENT: parameters + padding,
            Place.GRADIENT_SUM: max(parameters, kernel.gradient_sums) + padding,
            Place.INPUT: sum(tensor.size for tensor in program.inputs),
            Place.TARGET: sum(tensor.size for tensor in program.targets),
            Place.OUTPUT: sum(program.count(element.indices) for element in program.outputs),
        }

    # Memory.

    def _write(self, target: Element, statement: Statement, scope: _Scope, computes: bool = True) -> None:
        known = self.kernel.storage[target.tensor]
        if known.place in LOCAL:
            self.local.add(target.tensor)
            return
        position = self._bounds(target, statement, scope)
        self.written.add((known.place, known.offset))
        if known.place is Place.ARRAY:
            life = self.lifetimes.use(target, position, known, isinstance(statement, Call), writes=True)
            life.computed |= computes

    def _apart(self, statement: Store | First, scope: _Scope) -> None:
        """Iterations of loops that do not run in order write to places apart, or combine what they write in turn."""
        target = statement.target
        known = self.kernel.storage[target.tensor]
        strides = dict(zip(target.indices, known.strides, strict=False))
        moving = {index for index in target.indices if index == SAMPLE or strides.get(index)}
        for index in tuple(moving):
            if index in scope.given:
                moving |= {name for name, _ in scope.given[index].terms if isinstance(name, str)}
        combines = isinstance(statement, First) or statement.combine in (Combine.ADD, Combine.CHOOSE)
        for loop in scope.loops:
            if loop.way in (Way.IN_ORDER, Way.LANES) or loop.index in moving:
                continue
            if not combines or loop.way is Way.INDEPENDENT:
                self._fail(f"iterations over {loop.index} write to one place", statement)

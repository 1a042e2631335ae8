"""Checks of loop trees: the rules that every rewrite and every plan must keep.

* A local value is defined before it is used, and memory is written before it is read.
* Every index stays within its buffer.
* Arrays that share memory are not used at once (see ``lifetimes``), whether loops are cut or not.
* Nothing reads a value of the time before where that of the current time has overwritten it.
* Iterations that may run at once, or in any order, write to different places, or add to one place in turn.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nncodegen.compiler.ir import EARLIER, SAMPLE, Element, Equation, Program, Solution, Step
from nncodegen.compiler.schedule.extents import BEGIN, END, ROWS, SEGMENTS, Extent, index_of_neighbour
from nncodegen.compiler.schedule.kernel import Kernel, Role
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.lifetimes import Lifetimes, Range
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.text import show
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Call,
    Carry,
    Combine,
    Compute,
    Cut,
    Exists,
    First,
    Gather,
    Group,
    Holds,
    If,
    Later,
    Let,
    Limits,
    Load,
    Loop,
    Move,
    Solve,
    Statement,
    Store,
    Tree,
    Trees,
    Value,
    Variable,
    Way,
)
from nncodegen.compiler.schedule.tree_walks import targets, walk
from nncodegen.errors import ProgramError

LOCAL = (Place.LOCAL, Place.VARIABLE)
"""Places that are not in memory."""

SUMS = (Place.SUM, Place.GRADIENT_SUM)
"""Places that hold sums, which are read when they are finished."""


def verify_trees(kernel: Kernel, program: Program, layout: Layout) -> int:
    """Return the number of values of work memory that a kernel reads or writes.

    Loops over whole vectors may read more rows of an array than it has. The values read there do not matter, but they
    must lie in memory. Raises ProgramError, with the statement, where the trees of a kernel break a rule.
    """
    reached = _reached(kernel, program, layout, cut=False)
    if kernel.memory.crossing:  # which are in memory where loops are cut
        reached = max(reached, _reached(kernel, program, layout, cut=True))
    return reached


def _reached(kernel: Kernel, program: Program, layout: Layout, cut: bool) -> int:
    """Return the number of values of work memory that a kernel uses if its loops are cut, or not; check the rules."""
    indices = {step.target.tensor: step.target.indices for step in program.steps}
    check = _Check(kernel, program, layout, Lifetimes(indices), cut)
    for title, tree in kernel.trees.functions:
        # metrics come after the last part, in its function; a plan with vectors of units has a single function
        if title != "metrics" and kernel.plan.units is not Role.VECTOR:
            check.local.clear()
        check.tree(tree, _Scope({SAMPLE: (0, check.samples - 1), **check.rows}))
    for clash in check.lifetimes.clashes():
        where = ", where loops are cut" if cut else ""
        raise ProgramError(f"the loops of the kernel {kernel.name} of {program.name}{where}: {clash}")
    return check.reached


def verify_order(trees: Trees, outside: Container[str], rewrite: str) -> None:
    """Check that steps come after those that they read, in trees whose places are not known yet.

    Raises ProgramError, with the name of the rewrite that has left them, and the step.
    """
    known = set[str]()
    for statement in (each for _, tree in trees.functions for each in walk(tree)):
        match statement:
            case Carry(step):
                known.add(step.target.tensor)
            case Move(target):
                known.add(target.tensor)
            case Compute(steps):
                for step in steps:
                    missing = [e for e in step.operands if e.tensor not in known and e.tensor not in outside]
                    if missing:
                        raise invalid(rewrite, f"{missing[0]} is used before it is defined, in: {step}")
                    known.add(step.target.tensor)


def invalid(rewrite: str, what: object) -> ProgramError:
    """Return the error of a rewrite that has left a tree which breaks a rule."""
    return ProgramError(f"the rewrite {rewrite} has left an invalid tree: {what}")


@dataclass(frozen=True)
class _Scope:
    """The ranges of indices at a statement, and the loops around it."""

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
    cut: bool = False
    """True if the target cuts loops: each part of them then runs for all iterations, before the next part."""
    local: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    """The tensors that have been written to memory."""
    homes: dict[str, set[Loop]] = field(default_factory=dict)
    """For each tensor, the loops in each of whose iterations it replaces the previous value, and is read."""
    before: dict[str, str] = field(default_factory=dict)
    """The recurrences, by the tensors whose values overwrite theirs at each time."""
    overwritten: dict[str, list[tuple[tuple[str, ...], tuple[Loop, ...]]]] = field(default_factory=dict)
    """For each of these recurrences, the indices, and the loops around, where values were overwritten at this time."""
    conditions: int = 0
    segments: Limits | None = None
    grouped: bool = False
    """True if a statement belongs to some steps."""
    reached: int = 0
    """The number of values of work memory up to the last one that is read or written."""

    @property
    def samples(self) -> int:
        """Return the number of samples of a tile."""
        return 1 if self.kernel.plan.samples is Role.ABSENT else self.layout.tile

    @property
    def rows(self) -> Mapping[str, Range]:
        """Return the range of the number of earlier steps, in a kernel for one step of a sequence."""
        steps = self.program.sizes.get(EARLIER)
        return {ROWS: (0, steps)} if steps else {}

    def _fail(self, what: str, statement: Statement) -> None:
        text = show([statement]).splitlines()[0]
        raise ProgramError(f"the loops of the kernel {self.kernel.name} of {self.program.name}: {what}, in: {text}")

    # Statements.

    def tree(self, tree: Iterable[Statement], scope: _Scope) -> None:
        """Check statements one after the other; local values of a loop are not known after it."""
        for statement in tree:
            scope = self._statement(statement, scope)

    def _body(self, tree: Tree, scope: _Scope) -> None:
        local = set(self.local)
        self.tree(tree, scope)
        self.local = {name for name in self.local if name in local or name in self._variables}

    @cached_property
    def _variables(self) -> set[str]:
        """Return the tensors that are variables of all loops."""
        return {name for name, known in self.kernel.storage.items() if known.place is Place.VARIABLE}

    def _statement(self, statement: Statement, scope: _Scope) -> _Scope:
        match statement:
            case Group():
                self._group(statement, scope)
            case Loop():
                self._loop(statement, scope)
            case Solve(solution, end, body):
                self._body(body, self._solved(solution, self._extent(end, scope), statement, scope))
            case If():
                self._if(statement, scope)
            case Limits():
                self.segments = statement
                return scope.within(self._of_segments(statement))
            case Gather(solution, size):
                return self._solved(solution, size, statement, scope)
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
                if isinstance(statement, Store):
                    self._combined(statement)
                self._write(statement.target, statement, scope)
                self._apart(statement, scope)
            case Move():
                self.lifetimes.now += 1
                self._operands([statement.source] if statement.source else [], statement, scope)
                self._write(statement.target, statement, scope, computes=False)
            case Carry(step):
                self._carry(step, statement, scope)
            case Cut() if self.cut:
                self._cut(statement, scope)
            case Call():
                self._call(statement, scope)
            case Compute():
                self._compute(statement, scope)
        return scope

    def _solved(self, solution: Solution, size: int, statement: Statement, scope: _Scope) -> _Scope:
        """Return the scope in which an equation has given an index one of its values."""
        self._operands((e for e, _ in solution.terms if isinstance(e, Element)), statement, scope)
        if solution.index in scope.ranges:
            self._fail(f"the index {solution.index} has a value already where an equation gives it one", statement)
        known_values = {**scope.given, solution.index: solution}
        return _Scope({**scope.ranges, solution.index: (0, size - 1)}, scope.loops, known_values)

    def _group(self, group: Group, scope: _Scope) -> None:
        segments = self.segments
        if group.steps or group.title:  # zeros under a title take a turn; a group that only wraps others does not
            self.lifetimes.now += 1
        if group.steps:
            self.grouped = True
        self.tree(group.body, scope)
        self.grouped = False
        self.segments = segments

    def _if(self, statement: If, scope: _Scope) -> None:
        if isinstance(statement.condition, Holds):
            self._operands(statement.condition.operands, statement, scope)
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
        if loop.begin == BEGIN and self.segments:
            span = (0, self.segments.size - 1)
        self._body(loop.body, scope.inside(loop, span))
        if loop.way is Way.IN_ORDER:
            index = self.segments.index if self.segments and loop.index == SEGMENTS else loop.index
            self.lifetimes.loop(first, index)

    def _cut(self, cut: Cut, scope: _Scope) -> None:
        """Check what crosses from one part of some loops to the next one, through memory."""
        for element in cut.kept:
            self._write(element, cut, scope)
        self.lifetimes.now += 1
        self.local -= {element.tensor for element in cut.read}
        self._operands(cut.read, cut, scope)
        self.local |= {element.tensor for element in cut.read}

    def _extent(self, extent: Extent, scope: _Scope, least: bool = False) -> int:
        if isinstance(extent, int):
            return extent
        if extent in scope.ranges:
            return scope.ranges[extent][0 if least else 1]
        return self.samples

    def _of_segments(self, limits: Limits) -> Mapping[str, Range]:
        """Return the ranges of the names that are known in a segment."""
        last = limits.size - 1
        return {
            BEGIN: (0, (limits.count - 1) * limits.length),
            END: (0, limits.size),
            "(end - 1)": (0, last),
            "(end - begin - 1)": (0, limits.length - 1),
        }

    def _call(self, call: Call | Compute, scope: _Scope) -> None:
        ends = {index: (0, self._extent(end, scope) - 1) for index, end in call.ends}
        inside = scope.within(ends)
        inner = {step.target.tensor for step in call.steps[:-1]}
        for step in call.steps:
            self._operands((e for e in step.operands if e.tensor not in inner), call, inside, at_once=True)
        self._write(call.steps[-1].target, call, inside, at_once=True)

    def _carry(self, step: Step, statement: Statement, scope: _Scope) -> None:
        """Check that a recurrence has the memory of its operand."""
        last, now = step.target.tensor, step.operands[0].tensor
        places = [self.kernel.storage[name] for name in (last, now)]
        index = next(loop.index for loop in reversed(scope.loops) if loop.way is Way.IN_ORDER)
        if not dict(zip(step.target.indices, places[0].strides, strict=True))[index]:
            self.before[now], self.overwritten[last] = last, []
        if len({(known.place, known.offset, known.strides) for known in places}) > 1:
            self._fail(f"{step.target} does not lie where {step.operands[0]} does", statement)

    def _compute(self, compute: Compute, scope: _Scope) -> None:
        """Check steps whose loops are not written out yet: one after the other, or a call."""
        if not self.grouped:
            self.lifetimes.now += 1
        if compute.shape is not Shape.LOOPS:
            self._call(compute, scope)
            return
        local, earlier = set(self.local), set[str]()
        at_once = bool(compute.reduced)  # a reduction writes before it has read everything
        for number, part in enumerate(compute.parts if self.cut else [compute.steps]):
            if number:  # the values of earlier parts are in memory
                self.lifetimes.now += 1
                earlier.clear()
            for step in part:
                self._operands((e for e in step.operands if e.tensor not in earlier), compute, scope, at_once)
                earlier.add(step.target.tensor)  # which has a local value
                if self.cut or step.target.tensor not in self.kernel.memory.crossing:
                    self._write(step.target, compute, scope, at_once=at_once)
        if compute.loops:
            self.local = {name for name in self.local if name in local or name in self._variables}

    # Values.

    def _value(self, value: Value, statement: Statement, scope: _Scope) -> None:
        near = {test.index.split()[0] for test in value.where if isinstance(test, Exists | Later)}
        loops = [loop for loop in scope.loops if loop.index in near and loop.way is Way.IN_ORDER]
        written = self.written
        if loops:  # otherwise the set is not copied, which grows with the kernel
            self.written = written | {e.tensor for loop in loops for e in targets(loop.body)}
        self._operands(value.operands, statement, scope)
        self.written = written
        for test in value.where:
            if isinstance(test, Equation) and test.data is not None:
                self._operands([test.data], statement, scope)

    def _operands(
        self, elements: Iterable[Element], statement: Statement, scope: _Scope, at_once: bool = False
    ) -> None:
        """Check what a statement reads, as one of many iterations or everything ``at_once``."""
        for element in elements:
            known = self.kernel.storage[element.tensor]
            if element.tensor in self.local:
                continue
            if known.place in LOCAL:
                self._fail(f"{element} is used before it is defined", statement)
            if known.place in (Place.ARRAY, *SUMS) and element.tensor not in self.written:
                self._fail(f"{element} is read before it is written", statement)
            if any(
                loop.index in element.indices and loop not in scope.loops for loop in self.homes.get(element.tensor, ())
            ):
                self._fail(f"{element} is read where another iteration has taken its place", statement)
            gone = self.overwritten.get(element.tensor, ())
            if any(indices == element.indices or loops != scope.loops for indices, loops in gone):
                self._fail(f"{element} is read where a later value has overwritten it", statement)
            rows = self.layout.padding * self.samples if known.place is Place.ARRAY else 0
            position = self._bounds(element, statement, scope, rows)
            if known.place is Place.ARRAY:
                self.lifetimes.use(element, position, known, at_once)

    def _bounds(self, element: Element, statement: Statement, scope: _Scope, room: int = 0) -> Range:
        """Return the first and the last place of an element.

        Raises ProgramError if one is outside the memory plus ``room``.
        """
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
        if neighbour := index_of_neighbour(index):  # which is read only if this value exists
            least, most = self._range(neighbour[0], scope)
            return (least, most - 1) if neighbour[1] < 0 else (least + 1, most)
        size = self.program.sizes.get(index)
        return 0, (size or self.samples) - 1

    @cached_property
    def _limits(self) -> Mapping[Place, int]:
        """Return the number of values in each kind of memory, for each sample in memory of the caller."""
        kernel, program = self.kernel, self.program
        padding = self.layout.padding if kernel.plan.models is not Role.VECTOR else 0
        parameters = program.parameter_count
        derivatives = max(parameters, program.width(program.gradient))
        return {
            Place.ARRAY: kernel.memory.arrays,
            Place.SUM: kernel.memory.sums,
            Place.PARAMETER: parameters + padding,  # after the last, a vector has room
            Place.GRADIENT: derivatives + padding,
            Place.GRADIENT_SUM: max(parameters, kernel.memory.gradient_sums) + padding,
            Place.INPUT: sum(tensor.size for tensor in program.inputs),
            Place.TARGET: sum(tensor.size for tensor in program.targets),
            Place.OUTPUT: kernel.memory.outputs or sum(program.count(e.indices) for e in program.outputs),
        }

    # Memory.

    def _write(
        self, target: Element, statement: Statement, scope: _Scope, computes: bool = True, at_once: bool = False
    ) -> None:
        known = self.kernel.storage[target.tensor]
        if known.place in LOCAL:
            self.local.add(target.tensor)
            return
        position = self._bounds(target, statement, scope)
        self.written.add(target.tensor)
        if target.tensor in self.before:
            self.overwritten[self.before[target.tensor]].append((target.indices, scope.loops))
        if known.place is Place.ARRAY:
            life = self.lifetimes.use(target, position, known, at_once, writes=True)
            life.computed |= computes

    def _combined(self, statement: Store) -> None:
        """Check that what is combined with a value in work memory finds one; sums of samples start outside of trees."""
        target, known = statement.target, self.kernel.storage[statement.target.tensor]
        combines = statement.combine is not Combine.SET
        if known.place is Place.ARRAY and combines and target.tensor not in self.written:
            self._fail(f"{target} has no start value in memory", statement)

    def _apart(self, statement: Store | First, scope: _Scope) -> None:
        """Check that iterations of loops not in order write to different places, or combine what they write in turn."""
        target = statement.target
        known = self.kernel.storage[target.tensor]
        strides = dict(zip(target.indices, known.strides, strict=False))
        moving = {index for index in target.indices if index == SAMPLE or strides.get(index)}
        for index in tuple(moving):
            if index in scope.given:
                moving |= {name for name, _ in scope.given[index].terms if isinstance(name, str)}
        combines = isinstance(statement, First) or statement.combine in (Combine.ADD, Combine.CHOOSE)
        for loop in scope.loops:
            once = (loop.begin, loop.end) == (0, 1)
            if loop.way in (Way.IN_ORDER, Way.LANES) or loop.index in moving or once:
                continue
            if known.place is Place.ARRAY and loop.way is Way.IN_TURN and loop.index in target.indices:
                self.homes.setdefault(target.tensor, set()).add(loop)  # the next iteration takes its place
            elif not combines or loop.way is Way.INDEPENDENT:
                self._fail(f"iterations over {loop.index} write to one place", statement)

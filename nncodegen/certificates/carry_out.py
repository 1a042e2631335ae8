"""Execution of loop trees: each statement over arrays of NumPy, each tensor in its place in memory.

Loops whose iterations may run in any order are executed at once, as axes of arrays. Loops over time, over segments and
over the positions of windows run one iteration after the other, and so do those in which an iteration overwrites values
of the previous one. One lane stands for all models side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Add, Expr

from nncodegen.certificates.index_values import Grid
from nncodegen.certificates.memory import RATE, Memory, norm_of
from nncodegen.certificates.window_sums import Listed
from nncodegen.compiler.ir import (
    EARLIER,
    LEARNING_RATE,
    PARAMETER,
    REDUCTIONS,
    SAMPLE,
    Element,
    Equation,
    Program,
    Solved,
    Step,
    slices_of,
    solve,
)
from nncodegen.compiler.ir.element import elements
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.passes.latency import written_out
from nncodegen.compiler.schedule import Filling, Kernel, Place, Role, When
from nncodegen.compiler.schedule.extents import BEGIN, COUNT, END, PADDED, ROWS, SEGMENTS
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Begins,
    Call,
    CallerFlag,
    Carry,
    Combine,
    Compute,
    Cut,
    Exists,
    Fill,
    First,
    Gather,
    Given,
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
    Test,
    Tree,
    Value,
    Variable,
    Way,
    no_such,
)
from nncodegen.compiler.schedule.tree_walks import steps_in, targets, walk
from nncodegen.errors import ProgramError

Array = NDArray[Any]

Conditions = Mapping[When | CallerFlag | type[Cut], bool]
"""For each condition that is known only when a kernel runs: whether it holds. So also whether loops are cut."""

SUMS = (Place.SUM, Place.GRADIENT_SUM)
"""The places of sums over samples."""

HOLDS: Conditions = {
    When.LOSS: True, When.SINGLE: False, When.FEW: False, When.MANY: True, When.BLAS: False,
    When.NO_BLAS: True, When.ADDED: False, CallerFlag.NEW: True, CallerFlag.DESCENT: False, Cut: False,
}  # fmt: skip
"""The conditions in the first tile of a batch, if the loss is asked for, and no BLAS is available."""


@dataclass
class Run:
    """The execution of a kernel."""

    kernel: Kernel
    program: Program
    memory: Memory
    holds: Conditions
    now: Conditions = field(init=False)
    """The conditions in the current tile: each after the first one adds to its sums."""
    current: str = ""
    """The step that is being executed."""
    time: str = ""
    """The index of which only one segment at a time is in memory."""
    combined: frozenset[str] = frozenset()
    """The tensors to which the statements of the current steps add, or of which they take the largest."""
    sums: dict[str, tuple[Array, Grid]] = field(default_factory=dict)
    """The values that were added to local sums, and the grid of their loops."""

    def everything(self) -> None:
        """Execute all statements, phase by phase. Raises OtherValueError."""
        trees, tiles = self.kernel.trees, range(len(self.memory.batch.tiles))
        for phase in range(trees.phases):
            for number in tiles if self.memory.apart else tiles[:1]:
                self._tree(trees.before[phase] if trees.before else (), self._turned_to(number))
            if phase:
                self.memory.begin_phase()
            for number in tiles:
                grid = self._turned_to(number)
                for tree_phase, tree in trees.parts:
                    if tree_phase == phase or (tree_phase < phase and not self.memory.apart):
                        self._tree(tree, grid)
                if phase == trees.phases - 1:
                    self._tree(trees.measured, grid)
                    self._look_at_measured(grid)
        self._tree(trees.after, grid)

    def _look_at_measured(self, grid: Grid) -> None:
        """Raise OtherValueError if metrics find other outputs or targets in the arrays that they compare."""
        if not self.kernel.outputs:  # it has no metrics
            return
        copied = {s.target: s.expression for _, tree in self.kernel.trees.functions for s in steps_in(tree)}
        targets = (self.kernel.copy_of(tensor.name) for tensor in self.program.targets)
        for element in (*self.kernel.outputs, *filter(None, targets)):
            value = copied.get(element)
            source = value if isinstance(value, Element) and {*value.indices} <= {*element.indices} else element
            measured_grid = replace(
                grid, axes={index: self._size(index) for index in element.indices if index not in grid.given}
            )
            if source.tensor in self.memory.values:
                self.memory.look_at_kept(element, source, measured_grid)

    def _size(self, index: str) -> int:
        return self.program.sizes[index] or self.memory.samples

    def _turned_to(self, number: int) -> Grid:
        """Go on with a tile: its sums are added to those of the tiles before. Return the grid of its statements."""
        memory = self.memory
        memory.turn_to(number)
        self.now = {**self.holds, **({When.ADDED: True, CallerFlag.NEW: False} if number else {})}
        if self.kernel.plan.samples is Role.TILED:
            single, many = memory.samples == 1, memory.batch.samples > 1
            self.now = {**self.now, When.SINGLE: single, When.FEW: single, When.MANY: many}
        sizes = {f"{COUNT} - 1": np.asarray(memory.samples - 1)}
        if EARLIER in self.program.sizes:  # one step of a sequence, after some others
            sizes[ROWS] = memory.values[self.program.inputs[1].name]
        absent = self.kernel.plan.samples is Role.ABSENT
        return Grid({}, {**sizes, SAMPLE: np.asarray(0)} if absent else sizes)

    def look_at_results(self) -> None:
        """Raise OtherValueError if outputs, loss, gradient or next parameters are not those of the program."""
        loss = self.program.loss
        storage = self.kernel.storage.get(loss.tensor) if loss is not None else None
        if loss is not None and storage and storage.place is Place.SUM and self.holds[When.LOSS]:
            self.memory.same(loss, self.memory.flat[Place.SUM][storage.offset], "the place of the loss")
        if self.memory.descends:
            self._look_in_place()
        elif self.holds[CallerFlag.DESCENT]:
            self._look_at_parameters()
        elif self.kernel.name == "gradient":
            self._look_at_gradient()
        elif self.kernel.name != "loss":
            self._look_at_outputs()

    def _look_at_outputs(self) -> None:
        for number in range(len(self.memory.batch.tiles)):
            self.memory.turn_to(number)
            columns = self.memory.columns[Place.OUTPUT]
            for element, (_, column_range) in zip(
                self.program.outputs, slices_of(self.program.output_tensors), strict=True
            ):
                self.memory.same(element, columns[:, column_range], f"the outputs of {element.tensor}")

    def _look_at_gradient(self) -> None:
        for element, (tensor, value_range) in zip(
            self.program.gradient, slices_of(self.program.parameters), strict=False
        ):
            derivative = self.memory.flat[Place.GRADIENT][
                self.memory.places(self._derivatives[value_range.start], tensor)
            ]
            self.memory.same(element, derivative, f"the places of the derivative by {tensor.name}")

    def _look_in_place(self) -> None:
        of_sample = self.kernel.plan.samples is Role.ABSENT  # all of its derivatives are added in place
        rest = {step.target.tensor for step in steps_in(self.kernel.trees.after) if not of_sample}
        for element, (tensor, value_range) in zip(
            self.program.gradient, slices_of(self.program.parameters), strict=False
        ):
            name = self._derivatives[value_range.start]
            self.memory.look_at_parameter(tensor, element, name if name in rest else "")

    @property
    def _derivatives(self) -> dict[int, str]:
        """Return the names of the derivatives by the numbers of the first parameters that they belong to."""
        return {known.offset: name for name, known in self.kernel.storage.items() if known.place is Place.GRADIENT}

    def _look_at_parameters(self) -> None:
        update = next(each for each in self.program.updates if each.is_descent)
        for tensor, gradient in zip(self.program.parameters, self.program.gradient, strict=True):
            values = {"parameter": self.memory.values[tensor.name], "gradient": self.memory.values[gradient.tensor]}
            known = {Element(name, (PARAMETER,)): value for name, value in values.items()}
            expected = interpret(update.steps[0].expression, {**known, Element(LEARNING_RATE): RATE}, exact=False)
            self.memory.look_at_next(tensor, gradient, expected)

    # Statements.

    def _tree(self, tree: Iterable[Statement], grid: Grid) -> None:
        """Execute statements one after the other; local values in them are not known after them."""
        known = self.memory.known
        for statement in tree:
            grid = self._statement(statement, grid)
        self.memory.known = known

    def _statement(self, statement: Statement, grid: Grid) -> Grid:
        """Execute a statement for all values of its loops' indices; return the grid of the following statements."""
        match statement:
            case Group():
                self._group(statement, grid)
            case Loop():
                self._loop(statement, grid)
            case Solve(solution, end, body):
                self._tree(
                    body, self._solved(Solved((solution,), (), ()), {solution.index: self._end(end, grid)}, grid)
                )
            case If():
                self._if(statement, grid)
            case Limits():
                return self._in_segment(statement, grid)
            case Gather(solution, size):
                return self._solved(Solved((solution,), (), ()), {solution.index: size}, grid)
            case Let(target, value):
                self._names(target)
                self.memory.let(target, self._value(value, grid, target), grid.everywhere)
            case Variable(target, start):
                if self.kernel.place(target) not in SUMS:
                    self.memory.variable(target, float(start))
            case Accumulate():
                self._names(statement.target)
                self._accumulate(statement, grid)
            case Store():
                self._names(statement.target)
                self._store(statement, grid)
            case First():
                self._names(statement.target)
                self._first(statement, grid)
            case Move():
                self._move(statement, grid.given)
            case Call():
                self._call(statement, grid)
            case Fill():
                self._fill(statement)
            case Cut(kept, read):
                if self.now[Cut]:
                    self.memory.cut(kept, read, grid.everywhere)
            case Load() | Carry():  # values are read where they lie
                pass
            case Compute():
                raise ProgramError(f"the loops of {statement.steps[0].target} are not written out")
            case _:
                no_such(statement)
        return grid

    def _names(self, target: Element) -> None:
        self.current = self.memory.text(target.tensor)

    def _group(self, group: Group, grid: Grid) -> None:
        if group.steps:
            self.current = str(group.steps[0])
            unfinished = frozenset(step.target.tensor for step in group.steps if self.time and self.time in step.over)
            self.memory.unfinished = unfinished
            self.combined = frozenset(_combined(group.body))
        time = self.time
        for statement in group.body:  # local values outside of loops stay known after the group
            grid = self._statement(statement, grid)
        self.time = time

    def _loop(self, loop: Loop, grid: Grid) -> None:
        if loop.way is Way.LANES:
            self._tree(loop.body, grid)
            return
        begin, end = self._end(loop.begin, grid), self._end(loop.end, grid)
        end = min(end, self.program.sizes.get(loop.index) or end)
        if loop.way is not Way.IN_ORDER and not self._takes_places(loop):
            if begin < end:
                self._tree(loop.body, grid.along(loop.index, begin, end))
            return
        values = range(begin, end)
        for value in reversed(values) if loop.backward else values:
            self._tree(loop.body, grid.of(loop.index, value))

    def _takes_places(self, loop: Loop) -> bool:
        """Return whether an iteration of a loop overwrites values of the previous one that only that one reads."""
        for target in targets(loop.body):
            storage = self.kernel.storage[target.tensor]
            strides = dict(zip(target.indices, storage.strides, strict=False))
            if storage.place is Place.ARRAY and strides.get(loop.index) == 0:
                return True
        return False

    def _if(self, statement: If, grid: Grid) -> None:
        known = statement.condition
        if isinstance(known, Exists | Given | Later | Equation):
            self._tree(statement.body, self._where([known], grid))
        else:
            self._tree(statement.body if self._holds(known, grid) else statement.otherwise, grid)

    def _end(self, extent: int | str, grid: Grid) -> int:
        """Return the number at which a loop begins or ends."""
        if isinstance(extent, int):
            return extent
        if extent in grid.given:
            return int(grid.given[extent])
        return self.memory.padded if extent == PADDED else self.memory.samples

    def _holds(self, condition: When | Begins | CallerFlag | Holds, grid: Grid) -> bool:
        if isinstance(condition, Holds):
            read = {element: self._read(element, grid) for element in condition.operands}
            return bool(np.all(interpret(condition.relation, read, exact=False)))
        return int(grid.given[SEGMENTS]) == condition.number if isinstance(condition, Begins) else self.now[condition]

    def _in_segment(self, limits: Limits, grid: Grid) -> Grid:
        """Return the grid of a segment, with its begin and end, and the rows that are moved."""
        self.time = limits.index
        begin = int(grid.given[SEGMENTS]) * limits.length
        end = min(begin + limits.length, limits.size)
        rows = {BEGIN: begin, END: end, "(end - 1)": end - 1, "(end - begin - 1)": end - begin - 1}
        return replace(grid, given={**grid.given, **{name: np.asarray(value) for name, value in rows.items()}})

    def _where(self, tests: Iterable[Test], grid: Grid) -> Grid:
        """Return the grid where some tests hold; whether an index has a value, the grid knows from solving it."""
        grid = grid.where([test for test in tests if isinstance(test, Equation)], self._read)
        for test in tests:
            if isinstance(test, Later):
                grid = replace(grid, holds=grid.holds & (grid.number(test.index) > 0))
            elif isinstance(test, Given):
                grid = self._solved(Solved((test.solution,), (), ()), {test.solution.index: test.size}, grid)
            elif isinstance(test, Exists):
                grid = replace(grid, holds=grid.holds & (grid.number(test.index) < test.size))
        return grid

    def _solved(self, solved: Solved, ends: Mapping[str, int], grid: Grid) -> Grid:
        return grid.solved(solved, ends, self._read, self.time)

    def _read(self, element: Element, grid: Grid, target: Element | None = None) -> Array:
        return self.memory.read(element, grid, target or element)

    # Values.

    def _value(self, value: Value, grid: Grid, target: Element) -> Array:
        """Return a value along all axes."""
        where_grid = self._where(value.where, grid)
        otherwise = 0.0 if value.otherwise is None else float(value.otherwise)
        terms = [where_grid.kept(self._number(term, where_grid, target), otherwise) for term in value.terms]
        join = REDUCTIONS[value.operator or "sum"].join
        total = reduce(join, terms)
        return np.broadcast_to(np.asarray(total, float), grid.shape)

    def _number(self, expression: Expr, grid: Grid, target: Element) -> Array:
        """Return the value of an expression along all axes."""
        read = {element: self.memory.read(element, grid, target) for element in elements(expression)}
        number = interpret(written_out(expression), read, exact=False)
        return np.broadcast_to(np.asarray(number, float), grid.shape)

    def _scale(self, expressions: Sequence[Expr], grid: Grid, target: Element) -> float:
        """Return the norm of all terms that are added."""
        parts = (term for each in expressions for term in Add.make_args(each))
        return sum(norm_of(self._number(part, grid, target)) for part in parts)

    # Stores.

    def _accumulate(self, statement: Accumulate, grid: Grid) -> None:
        """Combine terms of a reduction in a local variable; terms of a sum over samples are added when it is stored."""
        target, operator = statement.target, statement.operator
        terms = grid.kept(self._value(statement.value, grid, target), _neutral(statement.combine, operator))
        if self.kernel.place(target) in SUMS:
            self.sums[target.tensor] = terms, grid.everywhere
            return
        over = grid.axes_beside(target.indices)
        join = REDUCTIONS[operator].join
        there = self.memory.there(target, grid.everywhere)
        self.memory.reduced(target, join(there, join.reduce(terms, axis=over, keepdims=True)), grid, terms)

    def _store(self, store: Store, grid: Grid) -> None:
        target, memory, everywhere = store.target, self.memory, grid.everywhere
        if store.combine is Combine.ADD and target.tensor in self.sums:
            memory.add(target, *self.sums.pop(target.tensor))
            return
        value = self._value(store.value, grid, target)
        if store.combine is Combine.SET:
            if grid.holds.ndim == 0 and not grid.holds:  # an equation gives no place
                return
            if target.tensor in self.combined and not store.value.operands:
                memory.begin(target, value, everywhere)
            else:
                memory.store(target, value, everywhere, lambda: self._scale(store.value.terms, grid, target))
            return
        if store.combine is Combine.ADD_SCALED:
            memory.add_scaled(target, value, everywhere)
            return
        terms = grid.kept(value, _neutral(store.combine, store.operator))
        if memory.kernel.place(target) is Place.SUM:
            terms, everywhere = self._spread(target, terms, everywhere)
            memory.add(target, terms, everywhere, anew=store.combine is Combine.ADD_OR_SET and self.now[CallerFlag.NEW])
            return
        over = grid.axes_beside(target.indices)
        of_local = store.value.terms == (target,)  # the sum of a segment is added to that of the others
        there = memory.stored(target, everywhere) if of_local else memory.there(target, everywhere)
        if store.combine is Combine.CHOOSE:
            join = REDUCTIONS[store.operator].join
            memory.store(target, join(there, join.reduce(terms, axis=over, keepdims=True)), everywhere)
        else:
            size = norm_of(terms) * terms.size
            memory.store(target, there + np.sum(terms, axis=over, keepdims=True), everywhere, lambda: size)

    def _spread(self, target: Element, terms: Array, grid: Grid) -> tuple[Array, Grid]:
        """Return the terms of all values of an index of which an equation gives one: those of the others are 0."""
        for index in target.indices:
            number = grid.given.get(index)
            if number is not None and number.ndim:
                size = self._size(index)
                terms = np.where(number[..., None] == np.arange(size), np.broadcast_to(terms, grid.shape)[..., None], 0)
                index_values = {name: value for name, value in grid.given.items() if name != index}
                grid = replace(grid, given=index_values).along(index, 0, size)
        return terms, grid

    def _first(self, first: First, grid: Grid) -> None:
        """Execute a search for the number of the first term that is not 0; the number of terms if all are 0."""
        holds = self._where(first.value.where, grid).holds
        (term,) = first.value.terms
        number = sum((factor * grid.number(index) for index, factor in first.numbers), start=np.asarray(0))
        first_numbers = np.where(holds & (self._number(term, grid, first.target) != 0), number, first.count)
        over = tuple(k for k, index in enumerate(grid.axes) if index not in first.target.indices)
        least = np.min(np.broadcast_to(first_numbers, grid.shape), axis=over, keepdims=True)
        there = self.memory.there(first.target, grid.everywhere)
        number = np.where(there == first.count, least, there)
        if first.local:
            self.memory.reduced(first.target, number, grid, least)
        else:
            self.memory.store(first.target, number, grid.everywhere)

    def _move(self, move: Move, index_values: Mapping[str, Array]) -> None:
        """Move a row to another one, or set it to 0."""
        array = self.memory.flat[Place.ARRAY]
        begin = int(self.memory.position(move.target, Grid({}, index_values)))
        count = prod(self.program.sizes[index] or 1 for index in move.rest) * self.memory.rows
        source = int(self.memory.position(move.source, Grid({}, index_values))) if move.source else 0
        array[begin : begin + count] = array[source : source + count] if move.source else 0

    def _fill(self, fill: Fill) -> None:
        """Pad the samples of a tile with zeros, or its last sample. Padding at the ends of rows is never compared."""
        if fill.filling is Filling.ZERO_ENDS:
            return
        memory, axes = self.memory, {index: self.program.sizes[index] or 1 for index in fill.target.indices}
        grid = Grid({index: size for index, size in axes.items() if index != SAMPLE})
        last = memory.position(fill.target, grid.of(SAMPLE, memory.samples - 1))
        values = memory.at(Place.ARRAY, last) if fill.filling is Filling.LAST_SAMPLE else 0.0
        for sample in range(memory.samples, memory.padded):
            memory.flat[Place.ARRAY][memory.position(fill.target, grid.of(SAMPLE, sample))] = values

    # Calls.

    def _call(self, call: Call, grid: Grid) -> None:
        """Execute the steps of a call, for all values of their indices."""
        self.current = str(call.steps[0])
        if call.window:
            Listed(call.window, call.steps[0].target, self.memory, self.program, grid.given).carry_out()
            return
        step = call.steps[0]
        solved = solve(step.where, step.over, self.program.sizes)
        index_values = {solution.index: self.program.sizes[solution.index] or 1 for solution in solved.solutions}
        for index, end in call.ends:
            if index not in grid.axes and index not in grid.given and index not in index_values:
                size = self.program.sizes[index] or self._end(end, grid)
                grid = grid.along(index, 0, min(end, size) if isinstance(end, int) else size)
        grid = self._solved(solved, index_values, grid.of_segment(self.time))
        for step in call.steps:
            self._names(step.target)
            self._step(step, grid)
        target = call.steps[-1].target
        if call.innermost == SAMPLE in target.indices and call.end(SAMPLE) == COUNT:  # it repeats the last one
            self._fill(Fill(Filling.LAST_SAMPLE, target, call.innermost, call.ends))

    def _step(self, step: Step, grid: Grid) -> None:
        """Execute a step of a call; a sum over time continues its value from previous segments."""
        memory, everywhere = self.memory, grid.everywhere
        later = step.target.tensor in memory.unfinished and int(grid.given[BEGIN]) > 0 and SAMPLE not in step.over
        if step.over and not later:
            memory.forget(step.target, everywhere)
        terms = grid.kept(self._number(step.expression, grid, step.target), 0.0)
        over = tuple(k for k, index in enumerate(grid.axes) if index in step.over and index != SAMPLE)
        if SAMPLE in step.over:
            models, place = self.kernel.plan.models is Role.VECTOR, memory.kernel.place(step.target)
            begun = step.target.tensor in memory.unfinished and int(grid.given[BEGIN]) > 0  # by an earlier segment
            anew = self.now[CallerFlag.NEW] and (models or place is Place.GRADIENT_SUM) and not begun
            memory.add(step.target, np.sum(terms, axis=over, keepdims=True), everywhere, anew)
        elif step.operator and REDUCTIONS[step.operator].chooses:
            memory.store(
                step.target, REDUCTIONS[step.operator].join.reduce(terms, axis=over, keepdims=True), everywhere
            )
        else:
            total = np.sum(terms, axis=over, keepdims=True) + (memory.there(step.target, everywhere) if later else 0)
            size = norm_of(terms) * terms.size
            memory.store(step.target, total, everywhere, lambda: size)


def _neutral(combine: Combine, operator: str) -> float:
    """Return the value that changes nothing when it is combined."""
    return REDUCTIONS[operator].neutral if combine is Combine.CHOOSE else 0.0


def _combined(body: Tree) -> Iterator[str]:
    """Yield the tensors into which statements combine values."""
    for statement in walk(body):
        if isinstance(statement, First) or (isinstance(statement, Store) and statement.combine is not Combine.SET):
            yield statement.target.tensor

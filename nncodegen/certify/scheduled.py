"""What a schedule says, carried out: the loops of its kernels over arrays of NumPy, each tensor in its own place.

It reads the decisions as ``emit`` does, and prints no C: where these loops give other values than the steps of the
program, the fault is in the schedule. A tile is full here, so that its samples need no padding; what there is for a
single sample is carried out as well. Loops run at once, as axes of arrays, but for those over time and over the
positions of windows, which run one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Add, Expr

from nncodegen.certify.grids import Grid
from nncodegen.certify.listed import Listed
from nncodegen.certify.memory import Memory, OtherValueError
from nncodegen.ir import SAMPLE, Element, Program, Step, evaluate
from nncodegen.ir.evaluate import interpret
from nncodegen.ir.program import elements
from nncodegen.runtime.python.certificate import Fault
from nncodegen.schedule import Kernel, Nest, Place, Schedule, Shape, Statement, When
from nncodegen.schedule.around import Move, Segments
from nncodegen.schedule.nest import Samples

Array = NDArray[Any]

HOLDS = {When.LOSS: True, When.FEW: False, When.MANY: True, When.BLAS: False, When.NO_BLAS: True, When.ADDED: False}
"""What is the case in a full tile, for which the loss is wanted, without a BLAS."""

OUTSIDE: Mapping[str, Array] = {}
"""What is given outside of loops over segments: nothing."""


def carried_out(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Fault | None:
    """The first step in which the loops of a schedule differ from its program at a point; None where they do not."""
    program, count = schedule.program, schedule.tile
    rows = np.resize(np.arange(len(X)), count)
    with np.errstate(all="ignore"):
        values = evaluate(program, parameters, X[rows], Y[rows])
        if not all(np.isfinite(value).all() for value in values.values()):
            return None  # what is infinite or undefined cannot be compared
        memories = ((kernel, Memory(kernel, program, values, X[rows], Y[rows])) for kernel in schedule.kernels)
        faults = (_fault(kernel, program, memory) for kernel, memory in memories)
        found = next((fault for fault in faults if fault), None)
        return found or (_of_one_sample(schedule, parameters, X[:1], Y[:1]) if schedule.single_sample else None)


def _of_one_sample(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Fault | None:
    """The same for the kernels of a single sample, whose program has no index for it."""
    single = schedule.single_sample
    assert single
    whole, one = evaluate(schedule.program, parameters, X, Y), single.program
    indices = {step.target.tensor: step.target.indices for step in schedule.program.steps}
    values = {
        name: np.take(value, 0, indices[name].index(SAMPLE)) if SAMPLE in indices.get(name, ()) else value
        for name, value in whole.items()
    }
    for kernel in (single.predict, single.gradient):
        found = _fault(kernel, one, Memory(kernel, one, values, X, Y)) if kernel else None
        if found:
            return replace(found, message=found.message.replace("the kernel", "a single sample, for the kernel"))
    return None


def _fault(kernel: Kernel, program: Program, memory: Memory) -> Fault | None:
    """The first step in which a kernel at work differs from the program."""
    run = _Run(kernel, program, memory)
    try:
        run.everything()
    except OtherValueError as found:
        return Fault("schedule", found.step, "ordinary", 0.0, f"the loops of the kernel {kernel.name} say: it {found}")
    except (IndexError, KeyError, ValueError) as found:
        told = f"the loops of the kernel {kernel.name} do not fit: {found!r}"
        return Fault("schedule", run.current, "ordinary", 0.0, told)
    return None


@dataclass
class _Run:
    """A kernel at work."""

    kernel: Kernel
    program: Program
    memory: Memory
    current: str = ""
    """The step that is being carried out."""

    def everything(self) -> None:
        """All nests, phase by phase, then a look at the results. Raises OtherValueError."""
        kernel = self.kernel
        for phase in range(kernel.phases):
            self._nests(nest for nest in (*kernel.before, *kernel.tile) if nest.phase == phase)
        self._nests(kernel.after)
        if kernel.name == "predict":
            found, start = self.memory.columns[Place.OUTPUT], 0
            for element in self.program.outputs:
                size = self.program.count(element.indices)
                self.memory.same(element, found[:, start : start + size], f"the outputs of {element.tensor}")
                start += size
        elif kernel.name == "gradient":
            names = {known.offset: name for name, known in kernel.storage.items() if known.place is Place.GRADIENT}
            start = 0
            for element, tensor in zip(self.program.gradient, self.program.parameters, strict=False):
                found = self.memory.flat[Place.GRADIENT][self.memory.places(names[start], tensor)]
                self.memory.same(element, found, f"the places of the derivative by {tensor.name}")
                start += tensor.size

    # Nests.

    def _nests(self, nests: Iterable[Nest]) -> None:
        """Nests one after the other; those of a sweep for one segment after the other."""
        for segments, sweep in groupby(nests, lambda nest: nest.segments):
            if not segments:
                self._in_time(sweep, OUTSIDE)
                continue
            members, numbers = list(sweep), range(segments.count)
            self._moves(segments.before, OUTSIDE)
            for number in numbers if segments.forward else reversed(numbers):
                given = _of_segment(segments, number)
                self._moves(segments.begin, given)
                self._in_time(members, given)
                self._moves(segments.end, given)

    def _in_time(self, nests: Iterable[Nest], given: Mapping[str, Array]) -> None:
        """Nests one after the other; neighbours that depend on each other for one time after the other."""
        for repeat, group in groupby(nests, lambda nest: nest.repeat):
            members = [chosen for chosen in map(_chosen, group) if chosen]
            if not repeat:
                for nest in members:
                    self._nest(nest, given)
                continue
            self._moves(repeat.begins, given)
            times = range(int(given["begin"]), int(given["end"])) if repeat.within else range(repeat.size)
            for time in times if repeat.forward else reversed(times):
                for nest in members:
                    self._nest(nest, {**given, repeat.index: np.asarray(time)})

    def _moves(self, moves: Iterable[Move], given: Mapping[str, Array]) -> None:
        """Rows that become those of other arrays, or 0."""
        array = self.memory.flat[Place.ARRAY]
        for move in moves:
            begin = int(self.memory.position(move.target, Grid({}, given)))
            count = prod(self.program.sizes[index] or 1 for index in move.rest) * self.memory.samples
            source = int(self.memory.position(move.source, Grid({}, given))) if move.source else 0
            array[begin : begin + count] = array[source : source + count] if move.source else 0

    def _nest(self, nest: Nest, given: Mapping[str, Array]) -> None:
        """The loops of a nest; ``given`` is what loops around them give."""
        self.current = str(nest.steps[0])
        time = nest.segments.index if nest.segments else ""
        self.memory.unfinished = frozenset(step.target.tensor for step in nest.steps if time in step.over)
        if nest.shape is Shape.PLACES and nest.window:
            Listed(nest.window, nest.steps[0].target, self.memory, self.program, given).carry_out()
            return
        ends = {axis.index: self._end(axis.index, axis.end) for axis in nest.axes}
        solved = {solution.index for solution in nest.solved.solutions} if nest.solved else set()
        axes = {index: end for index, end in ends.items() if index not in {*nest.unrolled, *solved}}
        grid = Grid(axes, given).of_segment(time)
        if nest.solved:
            grid = grid.solved(nest.solved, ends, partial(self.memory.read, target=nest.steps[0].target), time)
        for part in nest.statements:
            for statement in part:
                self._statement(statement, grid)
        for step in nest.steps if not nest.statements else ():
            self._step(step, nest, grid)

    def _end(self, index: str, end: int | Samples) -> int:
        """How often a loop runs, without what pads a row."""
        size = self.program.sizes[index] or self.memory.samples
        return size if isinstance(end, Samples) else min(end, size)

    def _statement(self, statement: Statement, grid: Grid) -> None:
        """A statement for all values of the indices of its loops."""
        target = statement.target
        self.current = self.memory.text(target.tensor)
        grid = grid.where(statement.where, partial(self.memory.read, target=target))
        terms = [grid.kept(self._value(term, grid, target), 0.0) for term in statement.terms]
        value = np.max(terms, axis=0) if statement.operator == "max" else sum(terms[1:], terms[0])
        everywhere = replace(grid, holds=np.asarray(True))
        if statement.summed:
            self.memory.add(target, value, everywhere)
        else:
            self.memory.store(target, value, everywhere, lambda: self._scale(statement.terms, grid, target))

    def _scale(self, expressions: Iterable[Expr], grid: Grid, target: Element) -> float:
        """The norm of all terms that are added."""
        parts = (term for each in expressions for term in Add.make_args(each))
        return sum(float(np.linalg.norm(np.ravel(self._value(part, grid, target)))) for part in parts)

    def _step(self, step: Step, nest: Nest, grid: Grid) -> None:
        """A step that reduces something in its loops, or runs in blocks."""
        self.current = self.memory.text(step.target.tensor)
        everywhere = replace(grid, holds=np.asarray(True))
        later = (
            step.target.tensor in self.memory.unfinished and not self._begins(nest, grid) and SAMPLE not in step.over
        )
        if step.over and not later:
            self.memory.forget(step.target, everywhere)
        value = self._value(step.expression, grid, step.target)
        over = tuple(k for k, index in enumerate(grid.axes) if index in step.over and index != SAMPLE)
        terms = grid.kept(value, -np.inf if step.operator == "max" else 0.0)
        known = self.memory.at(Place.ARRAY, self.memory.position(step.target, everywhere)) if later else np.asarray(0)
        if SAMPLE in step.over:
            self.memory.add(step.target, np.sum(terms, axis=over, keepdims=True), everywhere)
        elif step.operator == "max":
            self.memory.store(step.target, np.max(terms, axis=over, keepdims=True), everywhere)
        elif step.operator == "first":
            self.memory.store(step.target, self._first(value, nest, grid, over), everywhere)
        else:
            total = np.sum(terms, axis=over, keepdims=True) + (known if later else 0)
            self.memory.store(
                step.target, total, everywhere, lambda: float(np.linalg.norm(np.ravel(terms)) * terms.size)
            )

    def _begins(self, nest: Nest, grid: Grid) -> bool:
        """Whether a sum over time begins with this segment, rather than goes on."""
        return nest.segments is None or int(grid.given["segment"]) == nest.segments.first

    def _first(self, value: Array, nest: Nest, grid: Grid, over: tuple[int, ...]) -> Array:
        """The number of the first term that is not 0, or how many there are."""
        number, count = np.asarray(0), 1
        for index in nest.solved.free if nest.solved else nest.reduced:
            size = self.program.sizes[index] or 1
            number, count = number * size + grid.number(index), count * size
        found = np.where(grid.holds & (value != 0), number, count)
        return np.asarray(np.min(found, axis=over, keepdims=True), float)

    def _value(self, expression: Any, grid: Grid, target: Element) -> Array:
        """An expression along all axes."""
        read = {element: self.memory.read(element, grid, target) for element in elements(expression)}
        return np.broadcast_to(np.asarray(interpret(expression, read, exact=False), float), grid.shape)


def _of_segment(segments: Segments, number: int) -> dict[str, Array]:
    """What a loop over segments gives: its number, where it begins and ends, and the rows that are moved."""
    begin = number * segments.length
    end = min(begin + segments.length, segments.size)
    found = {"segment": number, "begin": begin, "end": end, "(end - 1)": end - 1, "(end - begin - 1)": end - begin - 1}
    return {name: np.asarray(value) for name, value in found.items()}


def _chosen(nest: Nest) -> Nest | None:
    """The nest that runs in a full tile."""
    while nest.branch is not None:
        chosen = nest.branch.then if HOLDS[nest.branch.when] else nest.branch.otherwise
        if chosen is None:
            return None
        nest = chosen
    return nest

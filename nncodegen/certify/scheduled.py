"""What a schedule says, carried out: the loops of its kernels over arrays of NumPy, each tensor in its own place.

It reads the decisions as ``emit`` does, and prints no C: where these loops give other values than the steps of the
program, the fault is in the schedule. A tile is full here, so that its samples need no padding. Windows and loops over
time are not carried out: what they give is taken from the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.ir import RECURRENCES, SAMPLE, Element, Program, Step, Tensor, evaluate
from nncodegen.ir.evaluate import interpret
from nncodegen.runtime.python.certificate import Fault
from nncodegen.schedule import Kernel, Nest, Place, Schedule, Statement, When
from nncodegen.schedule.nest import Samples

Array = NDArray[Any]

HOLDS = {When.LOSS: True, When.FEW: False, When.MANY: True, When.BLAS: False, When.NO_BLAS: True, When.ADDED: False}
"""What is the case in a full tile, for which the loss is wanted, without a BLAS."""

CLOSE = 1e-6
"""The difference from the program, in parts of the norm, up to which sums in another order may lead."""


def not_carried_out(schedule: Schedule) -> tuple[str, ...]:
    """The tensors whose loops are not carried out, in the order of the program."""
    moving = {name for kernel in schedule.kernels for name in _moving(kernel)}
    return tuple(step.target.tensor for step in schedule.program.steps if step.target.tensor in moving)


def _moving(kernel: Kernel) -> set[str]:
    """The tensors of a kernel that windows and loops over time give, and those that lie beside them in memory."""
    found = {name for name, storage in kernel.storage.items() if storage.shift}
    for nest in (variant for one in kernel.nests for variant in one.variants):
        if _moves(nest):
            found |= {step.target.tensor for step in (*nest.steps, *(nest.repeat.recurrences if nest.repeat else ()))}
    return found


def _moves(nest: Nest) -> bool:
    """Whether indices of a nest move against each other, or a loop over time is around it."""
    return bool(nest.repeat or nest.window or any(step.where or step.operator in RECURRENCES for step in nest.steps))


class _OtherValueError(Exception):
    """A step that computes, or reads, something else than the program says."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


def carried_out(schedule: Schedule, parameters: Array, X: Array, Y: Array) -> Fault | None:
    """The first step in which the loops of a schedule differ from its program at a point; None where they do not."""
    program, count = schedule.program, schedule.tile
    rows = np.resize(np.arange(len(X)), count)
    with np.errstate(all="ignore"):
        values = evaluate(program, parameters, X[rows], Y[rows])
        if not all(np.isfinite(value).all() for value in values.values()):
            return None  # what is infinite or undefined cannot be compared
        faults = (_fault(_Run(kernel, program, values, parameters, X[rows], Y[rows])) for kernel in schedule.kernels)
        return next((fault for fault in faults if fault), None)


def _fault(run: _Run) -> Fault | None:
    """The first step in which a kernel at work differs from the program."""
    name = run.kernel.name
    try:
        run.everything()
    except _OtherValueError as found:
        return Fault("schedule", found.step, "ordinary", 0.0, f"the loops of the kernel {name} say: it {found}")
    except (IndexError, KeyError, ValueError) as found:
        return Fault("schedule", run.current, "ordinary", 0.0, f"the loops of the kernel {name} do not fit: {found!r}")
    return None


@dataclass
class _Run:
    """A kernel at work: its memory, and the values that the program gives."""

    kernel: Kernel
    program: Program
    values: Mapping[str, Array]
    parameters: Array
    X: Array
    Y: Array
    current: str = ""
    """The step that is being carried out."""

    def __post_init__(self) -> None:
        count, columns = len(self.X), sum(self.program.count(e.indices) for e in self.program.outputs)
        size = max(self.program.parameter_count, self.kernel.gradient_sums)
        self._memory = {
            Place.ARRAY: np.full(max(self.kernel.arrays, 1), np.nan),
            Place.SUM: np.zeros(max(self.kernel.sums, 1)),
            Place.GRADIENT_SUM: np.zeros(size),
            Place.GRADIENT: np.full(self.program.parameter_count, np.nan),
            Place.PARAMETER: np.full(self.program.parameter_count, np.nan),
        }
        self._columns = {Place.INPUT: self.X, Place.TARGET: self.Y, Place.OUTPUT: np.full((count, columns), np.nan)}
        self._weights = np.full(count, 1 / count)
        self._local: dict[str, tuple[tuple[str, ...], Array]] = {}
        self._steps = {step.target.tensor: step for step in self.program.steps}
        self._taken = _moving(self.kernel)
        for tensor in self.program.parameters:
            self._memory[Place.PARAMETER][self._places(tensor.name, tensor)] = self.values[tensor.name]

    def _places(self, name: str, tensor: Tensor) -> Array:
        """Where the values of a parameter, or of the derivative by it, lie: some matrices are kept transposed."""
        storage = self.kernel.storage[name]
        shape = tuple(size or 1 for size in tensor.shape)
        rows = np.cumprod((1, *shape[:0:-1]))[::-1] if shape else ()
        strides = [int(stride) for stride in (storage.strides or rows)]
        places = np.asarray(storage.offset)
        for stride, part in zip(strides, np.indices(shape), strict=True):
            places = places + stride * part
        return places

    def everything(self) -> None:
        """All nests, then the results. Raises _OtherValueError."""
        for nest in self.kernel.nests:
            chosen = _chosen(nest)
            if chosen is not None and not _moves(chosen):
                self._nest(chosen)
        if self.kernel.name == "predict":
            found = self._columns[Place.OUTPUT]
            start = 0
            for element in self.program.outputs:
                size = self.program.count(element.indices)
                if element.tensor in self._taken:
                    start += size
                    continue
                self._same(found[:, start : start + size], element, f"the outputs of {element.tensor}")
                start += size
        elif self.kernel.name == "gradient":
            for element, tensor in zip(self.program.gradient, self.program.parameters, strict=False):
                if element.tensor in self._taken:
                    continue
                part = self._memory[Place.GRADIENT][self._places(f"gradient of {tensor.name}", tensor)]
                self._same(part, element, f"the places of the derivative by {tensor.name}")

    def _same(self, found: Array, element: Element, where: str) -> None:
        """Raises _OtherValueError where an array has not the values of a tensor."""
        expected = np.asarray(self.values[element.tensor], float).reshape(found.shape)
        if not _close(found, expected):
            raise _OtherValueError(self._text(element.tensor), f"leaves other values in {where}")

    def _text(self, tensor: str) -> str:
        return str(self._steps.get(tensor, tensor))

    # Nests.

    def _nest(self, nest: Nest) -> None:
        axes = {axis.index: self._end(axis.end) for axis in nest.axes if axis.index not in nest.unrolled}
        if nest.statements:
            for part in nest.statements:
                for statement in part:
                    self._statement(statement, axes)
            return
        for step in nest.steps:
            self._step(step, axes)

    def _end(self, end: int | Samples) -> int:
        return len(self.X) if isinstance(end, Samples) else end

    def _statement(self, statement: Statement, axes: Mapping[str, int]) -> None:
        """A statement for all values of the indices of its loops."""
        self.current = self._text(statement.target.tensor)
        terms = [self._value(term, axes, statement.target) for term in statement.terms]
        value = np.max(terms, axis=0) if statement.operator == "max" else sum(terms[1:], terms[0])
        if statement.summed:
            self._add(statement.target, value, axes)
        else:
            self._store(statement.target, value, axes)

    def _step(self, step: Step, axes: Mapping[str, int]) -> None:
        self.current = self._text(step.target.tensor)
        if step.over and self.kernel.place(step.target) is Place.ARRAY:  # a sum begins before all of it has been read
            self._memory[Place.ARRAY][self._position(step.target, axes)] = np.nan
        value = self._value(step.expression, axes, step.target)
        if SAMPLE in step.over:
            others = tuple(k for k, index in enumerate(axes) if index in step.over and index != SAMPLE)
            self._add(step.target, np.sum(value, axis=others, keepdims=True), axes)
            return
        over = tuple(k for k, index in enumerate(axes) if index in step.over)
        if over:
            value = (np.max if step.operator == "max" else np.sum)(value, axis=over, keepdims=True)
        self._store(step.target, value, axes)

    # Values.

    def _value(self, expression: Any, axes: Mapping[str, int], target: Element) -> Array:
        """An expression for all values of the axes, an axis for each."""
        read = {element: self._read(element, axes, target) for element in expression.atoms(Element)}
        return np.broadcast_to(np.asarray(interpret(expression, read, exact=False), float), list(axes.values()))

    def _read(self, element: Element, axes: Mapping[str, int], target: Element) -> Array:
        if element.tensor in self._taken:
            whole = np.asarray(self.values[element.tensor], float)
            return np.asarray(whole[tuple(self._number(index, axes) for index in element.indices)])
        place = self.kernel.place(element)
        if place is Place.LOCAL:
            known, array = self._local[_key(element)]
            return _aligned(array, known, axes)
        if place is Place.WEIGHT:
            return self._index(SAMPLE, axes, self._weights)
        if place in self._columns:
            found = self._columns[place][self._number(SAMPLE, axes), self._position(element, axes)]
        elif place in self._memory:
            found = self._memory[place][self._position(element, axes)]
        else:
            return np.zeros(()) if place is Place.NOISE else np.asarray(self.values[element.tensor])
        self._check(element, found, axes, f"reads {element}, where another value lies", target)
        return np.asarray(found)

    def _index(self, index: str, axes: Mapping[str, int], array: Array) -> Array:
        return array[self._number(index, axes)]

    def _number(self, index: str, axes: Mapping[str, int]) -> Array:
        """The values of an index, along its axis."""
        if index.isdigit():
            return np.asarray(int(index))
        shape = [length if name == index else 1 for name, length in axes.items()]
        return np.arange(axes[index]).reshape(shape)

    def _position(self, element: Element, axes: Mapping[str, int]) -> Array:
        storage = self.kernel.storage[element.tensor]
        position = np.asarray(storage.offset)
        for index, stride in zip(element.indices, storage.strides, strict=False):
            if stride:
                position = position + stride * self._number(index, axes)
        return position

    # Places.

    def _store(self, target: Element, value: Array, axes: Mapping[str, int]) -> None:
        place = self.kernel.place(target)
        kept = _dropped(value, target, axes)
        self._check(target, kept, axes, "gives another value", target)
        if place is Place.LOCAL:
            self._local[_key(target)] = tuple(axes), kept
            return
        shape = [n if index in target.indices else 1 for index, n in axes.items()]
        if place in self._columns:
            rows, columns = self._number(SAMPLE, axes), self._position(target, axes)
            self._columns[place][rows, columns] = np.broadcast_to(kept, shape)
        else:
            position = self._position(target, axes)
            self._memory[place][position] = _fitting(np.broadcast_to(kept, shape), position)

    def _add(self, target: Element, value: Array, axes: Mapping[str, int]) -> None:
        """Adds a sum over the samples to what lies in its place."""
        over = tuple(k for k, index in enumerate(axes) if index not in target.indices)
        whole = np.broadcast_to(value, [n if k not in over or i == SAMPLE else value.shape[k]
                                        for k, (i, n) in enumerate(axes.items())])  # fmt: skip
        total = np.sum(whole, axis=over, keepdims=True)
        self._check(target, total, axes, "sums up to another value", target)
        position = self._position(target, axes)
        self._memory[self.kernel.place(target)][position] += _fitting(total, position)

    def _check(self, element: Element, found: Array, axes: Mapping[str, int], what: str, target: Element) -> None:
        """Raises _OtherValueError where values are not those of the program."""
        if element.tensor not in self._steps:
            return
        whole = np.asarray(self.values[element.tensor], float)
        expected = whole[tuple(self._number(index, axes) for index in element.indices)] if element.indices else whole
        if not _close(found, expected):
            name = target.tensor if target.tensor in self._steps else element.tensor
            raise _OtherValueError(self._text(name), what)


def _chosen(nest: Nest) -> Nest | None:
    """The nest that runs in a full tile."""
    while nest.branch is not None:
        chosen = nest.branch.then if HOLDS[nest.branch.when] else nest.branch.otherwise
        if chosen is None:
            return None
        nest = chosen
    return nest


def _close(found: Any, expected: Any) -> bool:
    found, expected = np.broadcast_arrays(np.asarray(found, float), np.asarray(expected, float))
    norm = float(np.linalg.norm(expected.ravel()))
    return float(np.linalg.norm((found - expected).ravel())) <= max(CLOSE * norm, 1e-300)


def _key(element: Element) -> str:
    return " ".join([element.tensor, *(index for index in element.indices if index.isdigit())])


def _aligned(array: Array, known: Sequence[str], axes: Mapping[str, int]) -> Array:
    """A local value of other loops, along the axes of these."""
    if tuple(known) == tuple(axes):
        return array
    kept = [k for k, index in enumerate(known) if array.shape[k] > 1 or index in axes]
    squeezed = array.reshape([array.shape[k] for k in kept])
    names = [known[k] for k in kept]
    order = [names.index(index) for index in axes if index in names]
    lengths = dict(zip(names, squeezed.shape, strict=True))
    return np.transpose(squeezed, order).reshape([lengths.get(index, 1) for index in axes])


def _dropped(value: Array, target: Element, axes: Mapping[str, int]) -> Array:
    """A value without the axes that its tensor lacks, along which it is the same."""
    places = tuple(slice(None) if index in target.indices else slice(0, 1) for index in axes)
    return np.asarray(value[places]) if axes else np.asarray(value)


def _fitting(value: Array, position: Array) -> Array:
    """A value for positions; one of them where it has no index."""
    return value.reshape(()) if not position.ndim else value

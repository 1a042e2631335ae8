"""The memory of a kernel whose loops are carried out: each tensor in the place that the schedule gives it.

Values that are read or computed are compared with those of the program. So if two arrays share a place while both are
still read, the step that reads the wrong one is named. The values of the program are kept, so that differences in
rounding do not add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.index_values import Grid
from nncodegen.certificates.tiles import Batch
from nncodegen.compiler.ir import SAMPLE, Element, Program, Tensor
from nncodegen.compiler.schedule import Kernel, Place, Role, Storage
from nncodegen.compiler.schedule.extents import BEGIN

Array = NDArray[Any]

CLOSE = 1e-6
"""The relative difference from the program, in the norm, up to which sums in another order may differ."""

ROUNDING = 1e-12
"""The allowed difference relative to the norm of the terms, for terms that cancel: a sum may be 0 except for
rounding."""

RATE = 0.25
"""The learning rate where parameters change at once."""

VARIABLES = (Place.LOCAL, Place.VARIABLE)
"""Places that are not in memory."""

Scale = Callable[[], float]
"""A function that returns the norm of the terms of a sum."""


class OtherValueError(Exception):
    """The error of a step that computes, or reads, another value than the program."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class Memory:
    """The arrays, sums and local variables of a kernel that works on tiles, and the values of a program.

    The gradient is full of ``start`` at first: values that are not numbers, unless the kernel adds to what is there.
    Where a kernel ``descends``, derivatives are subtracted from the parameters, which lie in the place of the gradient.
    If there are several phases, each tile has arrays of its own (``apart``); or the phases before run ``again``.
    """

    def __init__(
        self,
        kernel: Kernel,
        program: Program,
        batch: Batch,
        start: float = 0.0,
        descends: bool = False,
        again: bool = False,
    ) -> None:
        columns = program.width(program.outputs)
        derivatives = program.width(program.gradient)
        size = max(program.parameter_count, derivatives, kernel.memory.gradient_sums)
        self.kernel, self.batch, self.rows, self.descends = kernel, batch, batch.rows, descends
        self.apart = kernel.trees.phases > 1 and not again
        models = kernel.plan.models is Role.VECTOR
        self.flat = {
            Place.SUM: np.full(max(kernel.memory.sums, 1), start if models else 0.0),
            Place.GRADIENT_SUM: np.full(size, start),
            Place.PARAMETER: np.full(program.parameter_count, np.nan),
            Place.NEXT: np.full(program.parameter_count, np.nan),
        }
        # the gradient lies at the begin of the sums, or for models side by side after the loss, or apart
        self.flat[Place.GRADIENT] = self.flat[Place.GRADIENT_SUM]
        if descends:
            self.flat[Place.PARAMETER] = self.flat[Place.GRADIENT_SUM][: program.parameter_count]
            if kernel.plan.samples is not Role.ABSENT:
                self.flat[Place.GRADIENT] = np.full(size, np.nan)  # what does not lie in place is subtracted afterwards
        if models:
            apart = kernel.trees.after and not program.layered
            gradient = np.full(program.parameter_count, np.nan) if apart else self.flat[Place.SUM][1:]
            self.flat[Place.GRADIENT] = gradient
        along = {kernel.storage[name].place for name in kernel.along}  # whose rows fill whole vectors
        self._arrays = [np.full(max(kernel.memory.arrays, 1), np.nan) for _ in (batch.tiles if self.apart else [0])]
        self._columns = []
        for tile in batch.tiles:
            whole = np.minimum(np.arange(self._padded(tile.count)), tile.count - 1)
            outside = ((Place.INPUT, tile.X), (Place.TARGET, tile.Y))
            self._columns.append({place: rows[whole] if place in along else rows for place, rows in outside})
            self._columns[-1][Place.OUTPUT] = np.full((tile.count, columns), np.nan)
        self._local: dict[str, tuple[tuple[str, ...], Array]] = {}
        self.known = frozenset[str]()
        """The tensors in arrays that have a local value as well."""
        self._terms: dict[str, float] = {}
        """The norms of the terms that were added to local variables."""
        self._added: dict[str, float] = {}
        """The norms of the terms that were added to sums over samples."""
        self.unfinished = frozenset[str]()
        """The sums over time that may still lack some segments, and so cannot be compared."""
        self._steps = {step.target.tensor: step for step in program.steps}
        self._texts: dict[str, str] = {}
        self._sums = frozenset(step.target.tensor for step in program.steps if SAMPLE in step.over)
        self.turn_to(0)
        for tensor in program.parameters:
            self.flat[Place.PARAMETER][self.places(tensor.name, tensor)] = self.values[tensor.name]

    def turn_to(self, number: int) -> None:
        """Go on with a tile. It finds the arrays as another tile has left them, unless there are several phases."""
        tile = self.batch.tiles[number]
        self.values, self.samples, self.padded = tile.values, tile.count, self._padded(tile.count)
        self.columns = self._columns[number]
        self.flat[Place.ARRAY] = self._arrays[number if self.apart else 0]
        self.last = number == len(self.batch.tiles) - 1

    def begin_phase(self) -> None:
        """Begin a further phase: its sums are 0 at first; sums of earlier phases have been copied to arrays."""
        self.flat[Place.SUM][:] = 0.0
        self._added = {}

    def _padded(self, count: int) -> int:
        """Return the samples of a tile including those that pad it."""
        return -(-count // self.batch.vector) * self.batch.vector

    def places(self, name: str, tensor: Tensor) -> Array:
        """Return the places of the values of a parameter, or of its derivative: some matrices are kept transposed."""
        storage = self.kernel.storage[name]
        shape = tuple(size or 1 for size in tensor.shape)
        rows = np.cumprod((1, *shape[:0:-1]))[::-1] if shape else ()
        places = np.asarray(storage.offset)
        for stride, part in zip((storage.strides or rows), np.indices(shape), strict=True):
            places = places + int(stride) * part
        return places

    def storage(self, element: Element) -> Storage:
        """Return the place of an element."""
        return self.kernel.storage[element.tensor]

    def position(self, element: Element, grid: Grid) -> Array:
        """Return the positions of an element, along the axes of a grid."""
        storage = self.storage(element)
        position = np.asarray(storage.offset + storage.shift)
        for index, stride in zip(element.indices, storage.strides, strict=False):
            if stride:
                position = position + stride * grid.number(index)
            if stride and index == storage.within:
                position = position - stride * grid.number(BEGIN)
        return position

    def _row(self, grid: Grid) -> Array:
        """Return the numbers of the samples; 0 for the kernel of a single sample, which has no index for them."""
        return grid.number(SAMPLE) if SAMPLE in grid.axes or SAMPLE in grid.given else np.asarray(0)

    # Reading.

    def read(self, element: Element, grid: Grid, target: Element) -> Array:
        """Return the values of an element along the axes of a grid, for the step of a target.

        Raises OtherValueError if they differ from the program.
        """
        place = self.kernel.place(element)
        if place in VARIABLES or element.tensor in self.known:
            known, array = self._local[_key(element)]
            values = _aligned(array, known, grid.axes)
            if element.tensor in self._terms:  # a reduction, which is finished where it is read
                return self.check(element, values, grid, "gives another value", element, self._scale_of(element))
            return values
        if place is Place.OPTION:
            return np.asarray(RATE)
        if place is Place.WEIGHT:
            row = self._row(grid)
            return np.where(row < self.padded, np.ravel(self.values[element.tensor])[row], np.nan)
        if place in self.columns:
            values = self.columns[place][self._row(grid), self.position(element, grid)]
        elif place in self.flat:
            values = self.at(place, self.position(element, grid), grid.holds)
        else:
            return np.zeros(()) if place is Place.NOISE else self._expected(element, grid)
        self.check(element, values, grid, f"reads {element}, where another value lies", target)
        return np.asarray(values)

    def at(self, place: Place, position: Array, holds: Any = True) -> Array:
        """Return the values at positions of a kind of memory. Raises IndexError if one that counts is not in it."""
        flat = self.flat[place]
        inside = (position >= 0) & (position < len(flat))
        if not np.all(inside | ~np.asarray(holds, bool)):
            raise IndexError(f"position {np.max(np.abs(position))} of {len(flat)} in {place.value}")
        return np.asarray(flat[np.where(inside, position, 0)])

    # Writing.

    def let(self, target: Element, value: Array, grid: Grid) -> None:
        """Keep a local value of a target. Raises OtherValueError if it differs from the program."""
        kept = _own(value, target, grid)
        if target.tensor not in self._sums or len(self.batch.tiles) == 1:  # otherwise it is one term of a sum
            kept = self.check(target, kept, grid, "gives another value", target)
        self._local[_key(target)] = tuple(grid.axes), kept
        self.known |= {target.tensor}

    def begin(self, target: Element, value: Array, grid: Grid) -> None:
        """Keep the start value of a reduction."""
        self._keep(target, _own(value, target, grid), grid)

    def local(self, target: Element) -> Array:
        """Return the last value of a local variable."""
        return self._local[_key(target)][1]

    def variable(self, target: Element, start: float) -> None:
        """Begin a reduction in a local variable."""
        self._local[_key(target)] = (), np.asarray(start)
        self._terms[target.tensor] = 0.0
        self.known |= {target.tensor}

    def reduced(self, target: Element, value: Array, grid: Grid, terms: Array) -> None:
        """Keep the value of a reduction in a local variable, after some more terms."""
        self._local[_key(target)] = tuple(grid.axes), value
        self._terms[target.tensor] += norm_of(terms) * terms.size

    def _scale_of(self, element: Element) -> Scale:
        return lambda: self._terms[element.tensor]

    def there(self, target: Element, grid: Grid) -> Array:
        """Return the stored values in the place of a target, along the axes of a grid."""
        place = self.kernel.place(target)
        if place in VARIABLES or target.tensor in self.known:
            known, array = self._local[_key(target)]
            return _aligned(array, known, grid.axes)
        return self.stored(target, grid)

    def stored(self, target: Element, grid: Grid) -> Array:
        """Return the values in the place of a target in memory, also where it has a local value."""
        return self.at(self.kernel.place(target), self.position(target, grid))

    def store(self, target: Element, value: Array, grid: Grid, scale: Scale | None = None) -> None:
        """Keep the values of a target in their place. Raises OtherValueError if they differ from the program."""
        kept = self.check(target, _own(value, target, grid), grid, "gives another value", target, scale)
        self._keep(target, kept, grid)

    def _keep(self, target: Element, kept: Array, grid: Grid) -> None:
        place = self.kernel.place(target)
        if place in VARIABLES:
            self._local[_key(target)] = tuple(grid.axes), kept
            return
        whole = np.broadcast_to(kept, [n if index in target.indices else 1 for index, n in grid.axes.items()])
        position = self.position(target, grid)
        if place in self.columns:
            self.columns[place][self._row(grid), position] = whole
        else:
            self.flat[place][position] = _fitting(whole, position)

    def add(self, target: Element, value: Array, grid: Grid, anew: bool = False) -> None:
        """Add a sum over the samples of a tile to the values in its place; or (``anew``) replace them.

        A sum in place may be subtracted from a parameter instead. Raises OtherValueError if the sum is finished, and
        not that of the program.
        """
        in_place = self.descends and target.tensor in self.kernel.memory.in_place
        anew = anew or in_place
        over = grid.axes_beside(target.indices)
        lengths = [n if k not in over or i == SAMPLE else value.shape[k] for k, (i, n) in enumerate(grid.axes.items())]
        whole = np.broadcast_to(value, lengths)
        total = np.sum(whole, axis=over, keepdims=True)
        flat, position = self.flat[self.kernel.place(target)], self.position(target, grid)
        scale = self.grown(target, norm_of(np.abs(whole).sum(over)), anew)
        total = total if anew else total + flat[position].reshape(np.shape(total))
        total = self.check(target, total, grid, "sums up to another value", target, scale)
        if in_place:
            flat[position] -= RATE * _fitting(total, position)
        else:
            flat[position] = _fitting(total, position)

    def add_scaled(self, target: Element, value: Array, grid: Grid) -> None:
        """Add a derivative to the gradient, or its multiple to a parameter that descends. Raises OtherValueError."""
        kept = self.check(target, _own(value, target, grid), grid, "gives another value", target)
        position = self.position(target, grid)
        self.flat[self.kernel.place(target)][position] += (-RATE if self.descends else 1.0) * _fitting(kept, position)

    def grown(self, target: Element, size: float, anew: bool = False) -> Scale:
        """Return the scale of a sum over samples, to which terms of a norm are added."""
        key = _key(target)
        self._added[key] = size + (0.0 if anew else self._added.get(key, 0.0))
        return lambda: self._added[key]

    def cut(self, kept: Iterable[Element], read: Iterable[Element], grid: Grid) -> None:
        """End the loops of a group: some values are stored, and these and others are read from memory from now on."""
        kept = tuple(kept)
        stored = {element: self.there(element, grid) for element in kept}
        self.known -= {element.tensor for element in (*kept, *read)}
        for element, value in stored.items():
            self._keep(element, _own(value, element, grid), grid)

    def forget(self, target: Element, grid: Grid) -> None:
        """Forget the values of an array where a reduction begins: it writes before it has read all its operands."""
        if self.kernel.place(target) is Place.ARRAY:
            self.flat[Place.ARRAY][self.position(target, grid)] = np.nan

    # Comparing.

    def check(
        self, element: Element, actual: Array, grid: Grid, what: str, target: Element, scale: Scale | None = None
    ) -> Array:
        """Return the values of the program. Raises OtherValueError if other values were found where equations hold."""
        if element.tensor not in self._steps or element.tensor in self.unfinished:
            return actual
        if element.tensor in self._sums and not self.last:
            return actual
        expected = self._expected(element, grid)
        actual, expected = np.broadcast_arrays(np.asarray(actual, float), expected)
        unknown = np.asarray(False)
        if self.rows > self.samples and SAMPLE in element.indices and (SAMPLE in grid.axes or SAMPLE in grid.given):
            pads = grid.number(SAMPLE) >= self.samples  # these values must not get into any result
            unknown = pads & ~(np.abs(actual - expected) <= CLOSE * np.abs(expected) + ROUNDING * _norm(expected))
        counts = grid.holds & ~unknown
        if counts.all():
            same = _close(actual, expected, scale)
        else:
            same = _close(np.where(counts, actual, 0.0), np.where(counts, expected, 0.0), scale)
        if not same:
            raise OtherValueError(self.text(target.tensor if target.tensor in self._steps else element.tensor), what)
        return np.where(unknown, np.nan, expected) if unknown.any() else expected

    def same(self, element: Element, actual: Array, where: str) -> None:
        """Raise OtherValueError if an array does not have the values of a tensor."""
        expected = np.asarray(self.values[element.tensor], float)
        if SAMPLE in element.indices:
            expected = np.take(expected, range(self.samples), element.indices.index(SAMPLE))
        if not _close(actual, expected.reshape(actual.shape) if expected.size == actual.size else expected):
            raise OtherValueError(self.text(element.tensor), f"leaves other values in {where}")

    def look_at_kept(self, element: Element, source: Element, grid: Grid) -> None:
        """Raise OtherValueError if the array of an element does not have the values of a tensor any more."""
        place = self.kernel.place(element)
        kept_values = (
            self.at(place, self.position(element, grid)) if place in self.flat else self.read(element, grid, element)
        )
        if not _close(kept_values, self._expected(source, grid)):
            raise OtherValueError(self.text(source.tensor), "leaves other values where metrics read them")

    def look_at_parameter(self, parameter: Tensor, gradient: Element, rest: str) -> None:
        """Raise OtherValueError if a parameter has not changed as it should; ``rest`` is what is still to subtract."""
        parameter_values = self.flat[Place.PARAMETER][self.places(parameter.name, parameter)]
        if rest:
            parameter_values = parameter_values - RATE * self.flat[Place.GRADIENT][self.places(rest, parameter)]
        change = RATE * np.asarray(self.values[gradient.tensor], float)
        expected = np.asarray(self.values[parameter.name], float) - change.reshape(parameter_values.shape)
        if not _close(parameter_values, expected.reshape(parameter_values.shape)):
            raise OtherValueError(self.text(gradient.tensor), f"leaves another value of {parameter.name}")

    def look_at_next(self, parameter: Tensor, gradient: Element, expected: Any) -> None:
        """Raise OtherValueError if an update has not left the expected value of a parameter."""
        if not _close(self.flat[Place.NEXT][self.storage(Element(parameter.name)).offset], np.asarray(expected)):
            raise OtherValueError(self.text(gradient.tensor), f"leaves another next value of {parameter.name}")

    def text(self, tensor: str) -> str:
        """Return the step that defines a tensor; its name if the program has no such step."""
        if tensor not in self._texts:
            self._texts[tensor] = str(self._steps.get(tensor, tensor))
        return self._texts[tensor]

    def _expected(self, element: Element, grid: Grid) -> Array:
        whole = np.asarray(self.values[element.tensor], float)
        return np.asarray(whole[tuple(map(grid.number, element.indices))] if element.indices else whole)


def _own(value: Array, target: Element, grid: Grid) -> Array:
    """Return a value along the axes of a grid, without those that its target does not have."""
    return value[tuple(slice(None) if index in target.indices else slice(0, 1) for index in grid.axes)]


def norm_of(terms: Array) -> float:
    """Return the norm of terms, without those that are not numbers, as those of padding may be."""
    return float(np.sqrt(np.nansum(np.square(terms))))


def _norm(array: Array) -> float:
    values = np.ravel(array)
    return sqrt(np.dot(values, values))


def _close(actual: Array, expected: Array, scale: Scale | None = None) -> bool:
    error, norm = _norm(actual - expected), _norm(expected)
    return error <= max(CLOSE * norm, 1e-300) or (scale is not None and error <= ROUNDING * scale())


def _key(element: Element) -> str:
    return " ".join([element.tensor, *(index for index in element.indices if index.isdigit())])


def _aligned(array: Array, known: tuple[str, ...], axes: Mapping[str, int]) -> Array:
    """Return a local value of other loops, along the axes of the current ones."""
    if known == tuple(axes):
        return array
    kept = [k for k, index in enumerate(known) if array.shape[k] > 1 or index in axes]
    squeezed = array.reshape([array.shape[k] for k in kept])
    names = [known[k] for k in kept]
    order = [names.index(index) for index in axes if index in names]
    lengths = dict(zip(names, squeezed.shape, strict=True))
    return np.transpose(squeezed, order).reshape([lengths.get(index, 1) for index in axes])


def _fitting(value: Array, position: Array) -> Array:
    """Return a value in the shape of positions, or as a scalar if the position has no index."""
    return value.reshape(()) if not position.ndim else value

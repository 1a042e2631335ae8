"""The matrices that CasADi asks for, in its storage: by columns, with the known zeros left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod

from nncodegen.compiler.ir import Element, Program, Tensor, needed, slices_of
from nncodegen.compiler.schedule.plain import OneSample, Position, plan_matrix


@dataclass(frozen=True)
class Pattern:
    """The entries (row, column) of a matrix that may differ from 0, sorted by columns; None if all may."""

    rows: int
    columns: int
    entries: tuple[tuple[int, int], ...] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of rows and of columns."""
        return self.rows, self.columns

    @property
    def compressed(self) -> tuple[int, ...]:
        """Return CasADi's form: the shape, then 1 for a dense matrix, or the begin of each column, then the rows."""
        if self.entries is None:
            return self.rows, self.columns, 1
        counts = [sum(1 for _, column in self.entries if column == wanted) for wanted in range(self.columns)]
        return self.rows, self.columns, *accumulate(counts, initial=0), *(row for row, _ in self.entries)

    @property
    def transposed(self) -> Pattern:
        """Return the pattern of the transposed matrix."""
        if self.entries is None:
            return Pattern(self.columns, self.rows)
        entries = sorted(((column, row) for row, column in self.entries), key=lambda entry: entry[::-1])
        return Pattern(self.columns, self.rows, tuple(entries))

    @property
    def size(self) -> int:
        """Return the number of values that are stored."""
        return self.rows * self.columns if self.entries is None else len(self.entries)


def empty(rows: int, columns: int) -> Pattern:
    """Return the pattern of a matrix of zeros."""
    return Pattern(rows, columns, ())


@dataclass(frozen=True)
class Matrix:
    """A matrix, and the loops that compute it; None if nothing has to be computed.

    ``cleared`` says that some of the stored values are 0, and that the loops do not write them.
    """

    pattern: Pattern
    kernel: OneSample | None = field(default=None, repr=False)
    cleared: bool = False


@dataclass(frozen=True)
class Part:
    """A tensor within an argument or a result: its shape, the position of its first value, and its strides."""

    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return the number of values."""
        return prod(self.shape)

    def spread(self, stride: int) -> Position:
        """Return its position where consecutive values are ``stride`` apart."""
        strides = (
            stride * stride_of_axis if size > 1 else 0
            for stride_of_axis, size in zip(self.strides, self.shape, strict=True)
        )
        return stride * self.offset, tuple(strides)


def parts_of(tensors: Sequence[Tensor]) -> tuple[Part, ...]:
    """Return the parts of an argument that holds tensors one after the other, row by row."""
    parts = []
    for tensor, place in slices_of(tensors):
        shape = tuple(size for size in tensor.shape if size is not None)
        parts.append(Part(shape, place.start, tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))))
    return tuple(parts)


def stacked(rows: Sequence[Part], columns: Sequence[Part]) -> tuple[Part, ...]:
    """Return the blocks of a matrix as parts of its columns, one below the other: for each row, one for each column."""
    height = sum(part.size for part in rows)
    return tuple(
        Part(
            row.shape + column.shape,
            row.offset + height * column.offset,
            row.strides + tuple(height * stride for stride in column.strides),
        )
        for row in rows
        for column in columns
    )


def vector(program: Program, entries: Sequence[Element | None], rows: Sequence[Part]) -> Matrix:
    """Return the column whose parts are results of a simplified program, or 0 for None. All its values are stored."""
    known = {row: entry for row, entry in zip(rows, entries, strict=True) if entry is not None}
    pattern = Pattern(sum(part.size for part in rows), 1)
    positions = [row.spread(1) for row in known]
    kernel = _kernel(program, known.values(), positions, (), pattern.size) if known else None
    return Matrix(pattern, kernel, len(known) < len(rows))


def matrix(
    program: Program,
    entries: Sequence[Element | None],
    rows: Sequence[Part],
    columns: Sequence[Part],
    identities: tuple[str, ...],
    transposed: bool = False,
) -> Matrix:
    """Return the matrix whose blocks are results of a simplified program: for each row one per column, None for zeros.

    A block has the indices of its row, then those of its column. If all blocks are single numbers, zeros are not
    stored.
    """
    height, width = sum(part.size for part in rows), sum(part.size for part in columns)
    zeros = {step.target for step in program.steps if step.expression == 0}
    blocks = zip(((row, column) for row in rows for column in columns), entries, strict=True)
    known = {at: block for at, block in blocks if block is not None and block not in zeros}
    places = sorted((((row.offset, column.offset)) for row, column in known), key=lambda place: place[::-1])
    scalar = not any(part.shape for part in (*rows, *columns))
    pattern = Pattern(height, width, tuple(places) if scalar or not known else None)
    pattern = pattern.transposed if transposed else pattern
    if not known:
        return Matrix(pattern)
    positions = []
    for row, column in known:
        down, across = row.spread(width if transposed else 1), column.spread(1 if transposed else height)
        place = (column.offset, row.offset) if transposed else (row.offset, column.offset)
        first = down[0] + across[0] if pattern.entries is None else pattern.entries.index(place)
        positions.append((first, (*down[1], *across[1])))
    cleared = pattern.entries is None and len(known) < len(rows) * len(columns)
    return Matrix(pattern, _kernel(program, known.values(), positions, identities, pattern.size), cleared)


def _kernel(
    program: Program, outputs: Iterable[Element], positions: Sequence[Position], identities: Iterable[str], size: int
) -> OneSample:
    outputs = tuple(outputs)
    of_outputs = replace(program, outputs=outputs, steps=needed(program.steps, outputs))
    return plan_matrix(of_outputs, positions, identities, size)

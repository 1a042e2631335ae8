"""Lifetimes of arrays, and the check that arrays in the same memory are not used at once.

Time is counted in groups of statements, and in moves. Of two arrays in one place, one has to be read for the last time
before the other is written. They may meet in one group, if each value of the later array replaces a value that is not
read there any more. If an iteration of a loop that runs in order needs an array of another iteration, the array is used
in all of the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nncodegen.compiler.ir import Element
from nncodegen.compiler.schedule.storage import Storage

Range = tuple[int, int]
"""The first and the last number of a range."""


@dataclass
class Life:
    """The first and the last use of an array, and the part of memory that it takes."""

    first: int
    last: int
    begin: int
    end: int
    storage: Storage
    read_first: bool
    computed: bool = False
    """True if anything other than a move writes it."""
    whole: list[Range] = field(default_factory=list)
    """The loops in all of which it must not change."""


@dataclass(frozen=True)
class _Event:
    """One read or write of an array with some indices; a call reads and writes everything at once."""

    tensor: str
    indices: tuple[str, ...]
    writes: bool
    call: bool
    branches: Mapping[int, bool]

    def excludes(self, other: _Event) -> bool:
        """Return whether only one of both events happens, as they are in different branches."""
        mine, others = self.branches, other.branches
        return any(mine[number] is not others[number] for number in mine.keys() & others.keys())


@dataclass
class Lifetimes:
    """The lives of the arrays of a kernel; ``indices`` maps the tensors that a program computes to their indices."""

    indices: Mapping[str, Sequence[str]]
    now: int = 0
    """The number of the current group or move."""
    branches: Mapping[int, bool] = field(default_factory=dict)
    """The conditions around the current statement, and whether they hold here."""
    _lives: dict[str, Life] = field(default_factory=dict)
    _events: dict[int, list[_Event]] = field(default_factory=dict)
    _loops: list[tuple[int, int, str]] = field(default_factory=list)

    def use(self, element: Element, position: Range, storage: Storage, call: bool, writes: bool = False) -> Life:
        """Note that an array is used now, from its first to its last place; return its life."""
        low, high = position
        life = self._lives.setdefault(element.tensor, Life(self.now, self.now, low, high, storage, not writes))
        life.begin, life.end, life.last = min(life.begin, low), max(life.end, high), self.now
        event = _Event(element.tensor, element.indices, writes, call, self.branches)
        self._events.setdefault(self.now, []).append(event)
        return life

    def loop(self, first: int, index: str) -> None:
        """Note that a loop over an index, which runs in order, has lasted from a group or move until now."""
        self._loops.append((first, self.now, index))

    def clashes(self) -> Iterator[str]:
        """Yield an error text for each two arrays in the same memory that are used at once."""
        active: list[tuple[str, Life]] = []
        for name, life in sorted(self._whole().items(), key=lambda item: item[1].begin):
            active = [(other, known) for other, known in active if known.end >= life.begin]
            for other, known in active:
                if self._clash((name, life), (other, known)):
                    groups = f"groups {life.first} to {life.last}, and {known.first} to {known.last}"
                    yield f"{name} and {other} lie in the same memory while both are used ({groups})"
            active.append((name, life))

    def _whole(self) -> dict[str, Life]:
        """Return the lives of arrays, extended to all iterations of loops that run in order."""
        lives = self._joined()
        for first, last, index in self._loops:  # the inner before the outer
            for name, life in lives.items():
                inside = first <= life.first and life.last <= last
                if first <= life.last and life.first <= last and (not inside or self._stays(name, life, index)):
                    life.first, life.last = min(life.first, first), max(life.last, last)
                    life.whole.append((first, last))
        return lives

    def _joined(self) -> dict[str, Life]:
        """Return the lives of computed arrays, joined with those of the rows before or after them in the same place."""
        lives = {name: life for name, life in self._lives.items() if life.computed}
        for name, life in self._lives.items():
            if life.computed:
                continue
            near = [known for known in lives.values() if known.storage.offset == life.storage.offset]
            near = [known for known in near if any(_meet(life, known, first, last) for first, last, _ in self._loops)]
            for known in near:
                known.first, known.last = min(known.first, life.first), max(known.last, life.last)
                known.begin, known.end = min(known.begin, life.begin), max(known.end, life.end)
                known.read_first = known.read_first or life.read_first
            if not near:
                lives[name] = life
        return lives

    def _stays(self, name: str, life: Life, index: str) -> bool:
        """Return whether an array is needed from one iteration of a loop to the next."""
        strides = dict(zip(self.indices.get(name, ()), life.storage.strides, strict=False))
        return life.read_first or (bool(strides.get(index)) and life.storage.within != index)

    def _clash(self, array: tuple[str, Life], other: tuple[str, Life]) -> bool:
        """Return whether two arrays in the same memory are used at once."""
        (before, early), (after, late) = sorted((array, other), key=lambda item: item[1].first)
        if early.last < late.first:
            return False
        group = late.first
        in_loop = any(first <= group <= last for first, last in (*early.whole, *late.whole))
        touch = early.last == group and early.first < group and not in_loop
        alike = early.storage.strides == late.storage.strides
        return not (touch and alike and self._takes_place(before, after, group))

    def _takes_place(self, before: str, after: str, group: int) -> bool:
        """Return whether each value of ``after`` is written where a value of ``before`` was read for the last time."""
        events = [event for event in self._events[group] if event.tensor in (before, after)]
        if any(event.call for event in events):
            return False
        for number, write in enumerate(events):
            if write.tensor != after or not write.writes:
                continue
            for position, read in enumerate(events):
                if read.tensor != before or write.excludes(read):
                    continue
                read_later = position > number and read.indices == write.indices
                if read_later or not _alike(read.indices, write.indices):
                    return False
        return True


def _meet(first_life: Life, other: Life, first: int, last: int) -> bool:
    """Return whether two arrays are used in a loop."""
    return all(first <= life.last and life.first <= last for life in (first_life, other))


def _alike(read: tuple[str, ...], write: tuple[str, ...]) -> bool:
    """Return whether two tuples of indices agree, where different numbers of a written-out index count as equal."""
    pairs = zip(read, write, strict=True) if len(read) == len(write) else [("", "0")]
    return all(a == b or (a.isdigit() and b.isdigit()) for a, b in pairs)

"""Loops around neighbouring nests: over time, and over segments of it.

Both are loops over one index, from its first value or its last.
"""

from __future__ import annotations

from dataclasses import dataclass

from nncodegen.ir import SAMPLE, Element, Step


@dataclass(frozen=True)
class Move:
    """A row of an array becomes that of another one, or 0. It has the values of the indices ``rest``, and samples."""

    target: Element
    source: Element | None
    rest: tuple[str, ...]

    @classmethod
    def of(cls, target: Element, at: str, source: Element | None, row: str, t: str) -> Move:
        """A move between the rows that two arrays have at values of the index t: ``at`` of the target, ``row``."""

        def first(element: Element, value: str) -> Element:
            return Element(element.tensor, [value if index == t else "0" for index in element.indices])

        rest = tuple(index for index in target.indices if index not in (SAMPLE, t))
        return cls(first(target, at), first(source, row) if source else None, rest)

    def __str__(self) -> str:
        return f"{self.target} = {self.source or 0}"


@dataclass(frozen=True)
class Segments:
    """A loop around neighbouring nests over parts of an index, from the first part or the last: see ``segments.py``.

    All parts have the same length, but the last of them may be shorter. ``before`` is moved before the loop, ``begin``
    and ``end`` at the begin and the end of each segment. ``kept`` have a row for each segment. ``whole`` are the
    tensors computed there that are kept for all steps; other arrays have those of one segment.
    """

    number: int
    index: str
    size: int
    length: int
    forward: bool
    before: tuple[Move, ...] = ()
    begin: tuple[Move, ...] = ()
    end: tuple[Move, ...] = ()
    kept: tuple[Element, ...] = ()
    whole: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """How many segments there are."""
        return -(-self.size // self.length)

    @property
    def first(self) -> int:
        """The number of the segment with which the loop begins."""
        return 0 if self.forward else self.count - 1

    @property
    def title(self) -> str:
        """What the loop is."""
        return f"Segments of {self.length} of {self.size} steps{'' if self.forward else ', from the last'}."

    def __str__(self) -> str:
        order = "" if self.forward else ", from the last"
        moves = {"first": self.before, "at the begin of each": self.begin, "at its end": self.end}
        told = (f"; {when} {', '.join(map(str, own))}" for when, own in moves.items() if own)
        return f"segments of {self.length} of {self.size} steps of {self.index}{order}{''.join(told)}"


@dataclass(frozen=True)
class Repeat:
    """A loop over time around neighbouring nests that depend on each other; it runs forward or backward.

    The recurrences among their steps have no nests. What they give lies in the array that they read, one row further,
    and is 0 at the begin of the loop; in a loop over segments, these have one row from the segment before.
    """

    index: str
    size: int
    forward: bool
    recurrences: tuple[Step, ...]
    within: bool = False
    """Whether it goes over the steps of one segment."""

    @property
    def begins(self) -> tuple[Move, ...]:
        """What is 0 at the begin: the first row of each recurrence."""
        first = str(0 if self.forward else self.size - 1)
        return () if self.within else tuple(Move.of(s.target, first, None, "", self.index) for s in self.recurrences)

    def reading(self, name: str) -> tuple[str, ...]:
        """The recurrences that read a tensor, by name."""
        return tuple(step.target.tensor for step in self.recurrences if step.operands[0].tensor == name)

    def __str__(self) -> str:
        steps = ", ".join(map(str, self.recurrences))
        return f"{self.index} one by one{'' if self.forward else ', backwards'}, with {steps}"

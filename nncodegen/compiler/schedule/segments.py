"""Segments of time: gradients of long sequences that keep only the states before the first step of each segment.

A loop over time keeps all values that the way back reads of every step. With a ``segment_length``, time is cut into
segments of this number of steps (the last may be shorter), and the memory for one of them is enough:

    forwards    a loop over segments: the states before each are kept, all other values are of one segment
    backwards   a loop over segments, from the last (of a layer that goes backwards, from the first): from the kept
                states, its steps are computed again, then the way back goes through them

Such a loop over segments is a *sweep*. All steps of the same time share one, if they run in the same direction, so that
the layers of a stack need no outputs of all steps; sums over time are added segment by segment. A step that is computed
again has another name: ``h1 again``. A tensor is kept for all steps if something reads it other than step by step (as a
convolution does), if one sweep reads it from another in the same part of the way (as two directions do), or if metrics
compare it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Group, Program, Step, grouped, needed, steps_of
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.extents import BEGIN, END, SEGMENTS
from nncodegen.compiler.schedule.forms import Form
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.recurrences import Fuse, around_groups, with_own
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Group as Statements
from nncodegen.compiler.schedule.tree import Limits, Loop, Move, Statement, Tree, Way
from nncodegen.errors import ModelError

LAST_ROW = f"({END} - {BEGIN} - 1)"
"""The last row of the current segment, in an array that has the steps of one segment."""

PLAIN, FLOATING = -1, -2
"""The places of an item in no sweep, and of an item that is computed in every sweep that reads it."""


@dataclass(frozen=True)
class Segmented:
    """The trees of a tile, one for each phase, its steps, and the states that are kept for a later sweep.

    ``rows`` have one row for each segment. ``whole`` are the tensors computed in sweeps that are kept for all steps;
    other arrays have the steps of one segment.
    """

    parts: tuple[Tree, ...] = ()
    steps: tuple[Step, ...] = ()
    kept: tuple[Element, ...] = ()
    rows: tuple[Element, ...] = ()
    whole: frozenset[str] = frozenset()


@dataclass(eq=False)
class _Sweep:
    """A loop over the segments of an index, forwards or back (``returns``), and the numbers of its own items."""

    index: str
    returns: bool
    forward: bool | None = None
    own: list[int] = field(default_factory=list)


def choose_segments(program: Program, layout: Layout, choices: Mapping[str, object]) -> Layout:
    """Return the layout with the length of segments, {"segment_length": steps}; by default, there are no segments.

    Raises ModelError for an invalid length, and for a program that has no use for it.
    """
    length = choices.get("segment_length")
    if length is None:
        return layout
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ModelError(f"segment_length is a number of steps, 1 or more, not {length!r}")
    loops = [item for item in grouped(program.steps) if isinstance(item, Group)]
    if not loops:
        raise ModelError(f"{program.name} has no use for segment_length: it has no recurrent layer")
    if program.batch:
        raise ModelError(
            f"{program.name} cannot have segment_length: for the statistics of its BatchNormalization, a batch is "
            "worked through several times; leave one of both out (or freeze the layer with frozen=True)"
        )
    sizes = {group.index: program.sizes[group.index] or 1 for group in loops}
    segmented = tuple(index for index, size in sizes.items() if size > length)
    reasons = (
        f"{index}: segments of {length} of {size} steps, as asked for"
        if size > length
        else f"{index}: no segments, as it has {size} steps, not more than {length}"
        for index, size in sizes.items()
    )
    return replace(layout, segment_length=length, segmented=segmented, reasons=(*layout.reasons, *reasons))


def in_segments(
    steps: Sequence[Step],
    program: Program,
    layout: Layout,
    forms: dict[str, Form],
    fuse: Fuse,
    forwards: Iterable[Step],
    whole: Collection[str],
) -> Segmented:
    """Return the tree of steps, in sweeps; the forms of steps that are computed again are added to ``forms``.

    ``forwards`` are the steps that are not of the way back, ``whole`` the tensors that are kept for all steps.
    """
    return _Plan(steps, program, layout, forms, {step.target.tensor for step in forwards}, whole).tree(fuse)


class _Plan:
    """The assignment of items to sweeps, and the tensors that are kept for all steps."""

    def __init__(
        self,
        steps: Sequence[Step],
        program: Program,
        layout: Layout,
        forms: dict[str, Form],
        forwards: Collection[str],
        whole: Collection[str],
    ) -> None:
        self._program, self._forms = program, forms
        self._length, self._indices = layout.segment_length, layout.segmented
        self._of_one = not any(SAMPLE in step.indices for step in steps)  # it is for a single sample
        self._items = tuple(with_own(grouped(steps), forms))
        self._home = {step.target.tensor: number for number, item in enumerate(self._items) for step in steps_of(item)}
        self._target = {step.target.tensor: step.target for step in steps}
        self._time = [self._time_of(item) for item in self._items]
        self._returns = [all(s.target.tensor not in forwards for s in steps_of(item)) for item in self._items]
        self._recurrences = {s.target.tensor: s.operands[0].tensor for s in steps if s.operator in RECURRENCES}
        self._whole = set[str]()
        self._keep(whole)
        self._sweeps: list[_Sweep] = []
        self._place: list[int] = []
        self._after: list[int] = []
        while not self._assigned():
            pass  # each round finds further tensors that are kept for all steps
        self._members = [self._members_of(number) for number in range(len(self._sweeps))]

    # The items that may run in segments.

    def _time_of(self, item: Step | Group) -> str:
        """Return the index in whose segments an item may run; an empty text if it may not."""
        if isinstance(item, Group):
            inside = all(s.operator in RECURRENCES or self._fits(s, item.index) for s in item.steps)
            alone = all(self._times(s) == (item.index,) and item.index in s.target.indices for s in item.steps)
            return item.index if item.index in self._indices and inside and alone else ""
        times = self._times(item)
        return times[0] if len(times) == 1 and self._fits(item, times[0]) else ""

    def _times(self, step: Step) -> tuple[str, ...]:
        return tuple(index for index in self._indices if index in step.indices)

    def _fits(self, step: Step, t: str) -> bool:
        """Return whether a step may be computed for some values of an index, or its terms added segment by segment."""
        shape, moving = self._forms[step.target.tensor].shape, [e for e in step.where if t in e.indices]
        if shape not in (Shape.LOOPS, Shape.PLACES, Shape.MATRIX_BY_ROW):
            return False
        sampled = SAMPLE in step.target.indices or self._of_one
        if t in step.target.indices:
            return sampled and not (step.over and moving)
        if SAMPLE in step.over:
            return step.operator == "sum" and not moving
        # a largest value is compared with its terms, whose last digit might differ if they were computed again
        picked = all(each.left == t and not each.terms for each in moving)
        return shape is Shape.LOOPS and step.operator == "sum" and picked and sampled

    def _operands(self, number: int) -> list[Element]:
        """Return the elements that an item reads of other items."""
        read = (operand for step in steps_of(self._items[number]) for operand in step.operands)
        return list(dict.fromkeys(e for e in read if self._home.get(e.tensor, number) != number))

    def _in_step(self, element: Element, t: str) -> bool:
        """Return whether an element has this time, and is read at the same time."""
        target = self._target[element.tensor]
        return bool(t) and t in target.indices and element.indices[target.indices.index(t)] == t

    def _keep(self, names: Iterable[str]) -> None:
        """Keep tensors for all steps; a recurrence and its operand are kept together, as they share an array."""
        names = {*names}
        self._whole |= names
        for name, read in self._recurrences.items():
            self._whole |= {name, read} if name in names or read in names else set()

    # The assignment of sweeps.

    def _assigned(self) -> bool:
        """Put all items into sweeps; return False if that shows that further tensors are kept for all steps."""
        self._sweeps, self._place, self._after = [], [], []
        reached: list[set[bool]] = []
        known = len(self._whole), self._time.count("")
        for number in range(len(self._items)):
            self._read_otherwise(number)
            bound, kinds = self._bound(number, reached)
            place = self._place_of(number, bound, kinds)
            self._place.append(place)
            self._after.append(place + 1 if place >= 0 else bound)
            reached.append(kinds)
        return known == (len(self._whole), self._time.count(""))

    def _read_otherwise(self, number: int) -> None:
        """Keep the tensors that an item reads at another time, or without being in a sweep itself."""
        t = self._time[number]
        for element in self._operands(number):
            if self._time[self._home[element.tensor]] and not self._in_step(element, t):
                self._keep([element.tensor])

    def _bound(self, number: int, reached: Sequence[set[bool]]) -> tuple[int, set[bool]]:
        """Return the first sweep in which an item may be, and the kinds of sweeps from which it needs values."""
        bound, kinds, t = 0, set[bool](), self._time[number]
        for element in self._operands(number):
            home = self._home[element.tensor]
            place, whole = self._place[home], element.tensor in self._whole
            if place < 0:
                bound = max(bound, self._after[home])
                kinds |= reached[home] if place == FLOATING and not whole else set()
                continue
            sweep, in_step = self._sweeps[place], self._in_step(element, t)
            same = in_step and sweep.returns == self._returns[number]
            bound = max(bound, place if same else place + 1)
            if in_step and not whole:
                kinds.add(sweep.returns)
        return bound, kinds

    def _place_of(self, number: int, bound: int, kinds: set[bool]) -> int:
        """Return the number of the sweep of an item, or PLAIN or FLOATING; a new sweep is added if needed."""
        item, t, returns = self._items[number], self._time[number], self._returns[number]
        if not t:
            return PLAIN
        if isinstance(item, Step) and t in item.target.indices and returns not in kinds:
            if item.target.tensor not in self._whole:
                return FLOATING
            self._time[number] = ""
            return PLAIN
        direction = item.forward if isinstance(item, Group) else None
        fitting = (
            k
            for k, sweep in enumerate(self._sweeps)
            if k >= bound
            and (sweep.index, sweep.returns) == (t, returns)
            and (None in (direction, sweep.forward) or direction == sweep.forward)
        )
        place = next(fitting, len(self._sweeps))
        if place == len(self._sweeps):
            self._sweeps.append(_Sweep(t, returns))
        sweep = self._sweeps[place]
        sweep.own.append(number)
        sweep.forward = direction if sweep.forward is None else sweep.forward
        for element in self._operands(number):
            other = self._place[self._home[element.tensor]]
            crosses = other >= 0 and other != place and self._sweeps[other].returns == returns
            if crosses and t in self._target[element.tensor].indices:
                self._keep([element.tensor])
        return place

    def _members_of(self, place: int) -> list[int]:
        """Return the items of a sweep: its own, and the items that they need and whose results are not kept."""
        sweep = self._sweeps[place]
        members, waiting = {*sweep.own}, [*sweep.own]
        while waiting:
            for element in self._operands(waiting.pop()):
                home = self._home[element.tensor]
                has_time = sweep.index in self._target[element.tensor].indices
                if home in members or not has_time or element.tensor in self._whole or self._place[home] == PLAIN:
                    continue
                members.add(home)
                waiting.append(home)
        return sorted(members)

    # Trees.

    def tree(self, fuse: Fuse) -> Segmented:
        """Return the tree of all items, in their order."""
        tree, steps, kept = list[Statement](), list[Step](), dict[Element, None]()
        rows, whole = dict[Element, None](), set[str]()
        for place in range(len(self._sweeps) + 1):
            items = [self._items[k] for k in range(len(self._items)) if self._comes(k) == place]
            steps += (step for item in items for step in steps_of(item))
            tree += around_groups(items, self._program, fuse)
            if place < len(self._sweeps):
                items, moves, lasting = self._sweep(place)
                steps += (step for item in items for step in steps_of(item))
                tree.append(self._loop(place, moves, around_groups(items, self._program, fuse, in_segments=True)))
                targets = {step.target.tensor: step.target for item in items for step in steps_of(item)}
                kept |= {targets[self._recurrences[name]]: None for name in targets if self._is_kept(name, place)}
                rows |= dict.fromkeys(moves.kept)
                whole |= lasting
        return Segmented((tuple(tree),), tuple(steps), tuple(kept), tuple(rows), frozenset(whole))

    def _loop(self, place: int, moves: _Moves, tree: Tree) -> Statements:
        """Return the loop of a sweep."""
        sweep = self._sweeps[place]
        size, forward = self._program.sizes[sweep.index] or 1, sweep.forward is not False
        count = -(-size // self._length)
        limits = Limits(sweep.index, self._length, size, count)
        body = (limits, *moves.begin, *tree, *moves.end)
        title = f"Segments of {self._length} of {size} steps{'' if forward else ', from the last'}."
        loop = Loop(SEGMENTS, count, body, Way.IN_ORDER, backward=not forward)
        return Statements((*moves.before, loop), title=title)

    def _comes(self, number: int) -> int | None:
        """Return the sweep before which an item outside of sweeps comes, else None; sums of gradients come last."""
        if self._place[number] != PLAIN:
            return None
        last = any(SAMPLE in step.over for step in steps_of(self._items[number])) and self._returns[number]
        return len(self._sweeps) if last else self._after[number]

    def _is_kept(self, name: str, place: int) -> bool:
        """Return whether the rows of a recurrence before each segment of a sweep are kept for another sweep."""
        again = (members for k, members in enumerate(self._members) if k != place)
        return name in self._recurrences and any(self._home[name] in members for members in again)

    def _sweep(self, place: int) -> tuple[list[Step | Group], _Moves, frozenset[str]]:
        """Return the items that a sweep needs, the moves of rows, and the tensors kept for all steps."""
        sweep, members = self._sweeps[place], self._members[place]
        steps = [step for number in members for step in steps_of(self._items[number])]
        wanted = {step.target.tensor for step in self._results(place)}
        names = {step.target.tensor for step in needed(steps, [self._target[name] for name in wanted])}
        renamed = self._renamed(place)
        items, moves = list[Step | Group](), _Moves(self._length, self._program.sizes[sweep.index] or 1)
        for number in members:
            item = self._items[number]
            sweep_steps = [
                self._with_names(step, renamed, number) for step in steps_of(item) if step.target.tensor in names
            ]
            if isinstance(item, Group) and sweep_steps:
                items.append(replace(item, steps=tuple(sweep_steps)))
                for step, old in zip(sweep_steps, (s for s in item.steps if s.target.tensor in names), strict=True):
                    if step.operator in RECURRENCES:
                        self._move(step, old, item.forward, place, moves)
            else:
                items += sweep_steps
        return items, moves, frozenset(e.tensor for e in self._kept_for_all(names, sweep.index))

    def _kept_for_all(self, names: Iterable[str], t: str) -> Iterator[Element]:
        """Yield the elements out of some tensors that are kept for all steps."""
        targets = (self._target[name] for name in names)
        yield from (target for target in targets if target.tensor in self._whole and t in target.indices)

    def _results(self, place: int) -> Iterator[Step]:
        """Yield the steps of a sweep whose results are needed outside of it."""
        for number in self._sweeps[place].own:
            for step in steps_of(self._items[number]):
                name, lasts = step.target.tensor, self._sweeps[place].index not in step.target.indices
                if lasts or name in self._whole or self._is_kept(name, place):
                    yield step

    def _renamed(self, place: int) -> dict[str, str]:
        """Return new names for the tensors that an earlier sweep computes as well."""
        names = {}
        for number in self._members[place]:
            times = sum(number in members for members in self._members[:place])
            for step in steps_of(self._items[number]) if times else ():
                name = f"{step.target.tensor} again{f' {times}' * (times > 1)}"
                names[step.target.tensor] = unused(name, self._program.shapes)
        return names

    def _with_names(self, step: Step, names: dict[str, str], number: int) -> Step:
        """Return a step of an item with new names; tensors of other items that are kept for all steps keep theirs."""
        read = (e for e in step.operands if e.tensor not in self._whole or self._home.get(e.tensor) == number)
        known = {e: Element(names[e.tensor], e.indices) for e in read if e.tensor in names}
        target = Element(names.get(step.target.tensor, step.target.tensor), step.target.indices)
        self._forms[target.tensor] = self._forms[step.target.tensor]
        return replace(step.xreplace(known), target=target)

    def _move(self, step: Step, old: Step, forward: bool, place: int, moves: _Moves) -> None:
        """Add the moves for the rows that a recurrence has at the begin of its segments."""
        computed_in_sweep, name = self._home[old.target.tensor] in self._sweeps[place].own, old.target.tensor
        t = self._sweeps[place].index
        kept_row = Element(unused(f"{self._recurrences[name]} kept", self._program.shapes), step.target.indices)
        if not computed_in_sweep:
            moves.restore(step, kept_row, t, forward)
            return
        moves.carry(step, t, forward, name in self._whole)
        if self._is_kept(name, place):
            moves.keep(step, kept_row, t, forward, name in self._whole)


class _Moves:
    """Moves of rows: before a loop over segments, at the begin of a segment, and at its end.

    A row has the values of a recurrence at the first step of a segment, in its direction. In arrays of one segment,
    steps are counted from its begin.
    """

    def __init__(self, length: int, size: int) -> None:
        self._length, self._size = length, size
        self._last = size - (size - 1) // length * length
        self.before, self.begin, self.end = list[Move](), list[Move](), list[Move]()
        self.kept: list[Element] = []
        """The elements with a row for each segment."""

    def carry(self, step: Step, t: str, forward: bool, whole: bool) -> None:
        """Add moves to the first row: 0 at first, then the last row of the previous segment.

        An array of all steps has the latter in place already.
        """
        u, v = step.target, step.operands[0]
        first = 0 if forward else (self._size if whole else self._last) - 1
        self.before.append(Move.of(u, str(first), None, "", t))
        if not whole:
            next_, left = ("0", LAST_ROW) if forward else (str(self._length - 1), "0")
            self.end.append(Move.of(u, next_, v, left, t))

    def keep(self, step: Step, kept_row: Element, t: str, forward: bool, whole: bool) -> None:
        """Add the move that keeps the row of each segment."""
        in_all = BEGIN if forward else f"({END} - 1)"
        row = in_all if whole else _first_row(forward)
        self.begin.append(Move.of(kept_row, SEGMENTS, step.target, row, t))
        self.kept.append(kept_row)

    def restore(self, step: Step, kept_row: Element, t: str, forward: bool) -> None:
        """Add the move that restores a kept row, for steps that are computed again."""
        self.begin.append(Move.of(step.target, _first_row(forward), kept_row, SEGMENTS, t))
        self.kept.append(kept_row)


def _first_row(forward: bool) -> str:
    return "0" if forward else LAST_ROW

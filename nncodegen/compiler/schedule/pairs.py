"""Pairs of queries and keys: the scores of attention stay within the memory that a tile may take.

The scores of all queries by all keys, and what is computed of them one by one (probabilities, dropout, their
derivatives), grow with the square of the length. Nothing else does. Where such *pairs* would take too much memory, they
are computed for a block of queries at a time. A loop over the blocks has the statements of segments of time:

    forwards    a loop over blocks: from queries and keys to the weighted sums of values. The largest score of each
                query, and the sum of its exponentials, are kept; pairs are not
    backwards   a loop over blocks: the pairs that the derivatives need are computed again, with the same noise, from
                queries, keys and what was kept. Sums over queries (the derivatives by keys and values) are added block
                by block, in order

Such a loop is a *sweep*. A step that reads pairs and gives none runs in one sweep, the first in which it can. Steps
between such steps that have a value for each query run in the sweep, too, if it needs them; all other steps run between
the sweeps, for all positions at once. A step that is computed again has another name: ``z1 again``.

Plain C has blocks of one query: a loop over the queries, in which sums over them are added up in memory (``in_rows``).
Steps that recur stay together in a loop over time between the sweeps. Where statistics of a batch divide a kernel into
phases, each has sweeps of its own, which compute the pairs of earlier phases again.

Steps may name the queries differently: ``d_k[n, i, j] = sum(t) d_z[n, t, i]*q[n, t, j]``. In sweeps, two indices then
swap their names, so that the queries have one name in all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Program, Step, grouped, solve, steps_of
from nncodegen.compiler.ir import Group as Recurring
from nncodegen.compiler.ir.element import renamed
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.extents import SEGMENTS
from nncodegen.compiler.schedule.forms import Form
from nncodegen.compiler.schedule.layout import Layout, bytes_of
from nncodegen.compiler.schedule.masked_products import PAIRS
from nncodegen.compiler.schedule.matrices import matrices_of
from nncodegen.compiler.schedule.pair_families import Families, of_samples, scores_of
from nncodegen.compiler.schedule.recurrences import Fuse
from nncodegen.compiler.schedule.segments import Segmented
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.tree import Group, Limits, Loop, Statement, Tree, Way
from nncodegen.errors import ModelError

NO_CHOICES: Mapping[str, object] = {}

FEWEST = 8
"""The fewest queries of a block of products of matrices. Products of fewer rows would load keys and values more often
than they use them."""


def with_pairs(program: Program, choices: Mapping[str, object] = NO_CHOICES) -> Program:
    """Return the program; as one of attention if its pairs take much memory, or if blocks of queries are asked for.

    Small products of two arrays of samples, as in bilinear layers, are several times faster with samples along the
    vectors, as long as no step reads a tensor anew under another index.
    """
    asked = choices.get("block_length") is not None and any(scores_of(program))
    if not (asked or take_much(program)):
        return program
    return replace(program, options=replace(program.options, has_attention_pairs=True))


def choose_blocks(program: Program, layout: Layout, choices: Mapping[str, object]) -> Layout:
    """Return the layout with the queries of a block of attention, {"block_length": queries}.

    By default there are blocks only where pairs take much memory, and their length follows from that. Raises ModelError
    for an invalid length, and for a program that has no use for it.
    """
    length = choices.get("block_length")
    if length is None:
        return layout
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ModelError(f"block_length is a number of queries, 1 or more, not {length!r}")
    if not any(scores_of(program)):
        raise ModelError(f"{program.name} has no use for block_length: it has no attention")
    if choices.get("segment_length") is not None:
        raise ModelError(f"{program.name} has segments of time: leave one of segment_length and block_length out")
    return replace(layout, block_length=length, reasons=(*layout.reasons, f"blocks of {length} queries, as asked for"))


def in_blocks(
    phases: Sequence[Sequence[Step]],
    program: Program,
    layout: Layout,
    forms: dict[str, Form],
    between: Callable[[list[Step]], Tree],
    fuse: Fuse,
    kept: Collection[str],
    samples: Collection[str] = (),
) -> Segmented:
    """Return the tree of the steps of each phase of a tile, with sweeps; without trees if there is no need for them.

    The forms of steps that are computed again are added to ``forms``. Tensors in ``kept`` are computed once, for all
    queries. ``between`` returns the tree of steps between sweeps, ``fuse`` fuses those in a sweep, given the index of
    its queries. ``samples`` are the tensors of samples, in a program of a single sample, which has no index for them.
    """
    steps = [step for phase_steps in phases for step in phase_steps]
    pairs = _Pairs(steps, program, layout, forms, frozenset(samples) or of_samples(steps))
    return _Plan(phases, program, forms, pairs, kept).trees(between, fuse) if pairs.blocks else Segmented()


def take_much(program: Program) -> bool:
    """Return whether the pairs of a sample take so much memory that they are computed in blocks."""
    return any(bytes_of(program.count(target.indices), program) > PAIRS for target in scores_of(program))


def in_rows(
    steps: Sequence[Step], program: Program, kept: Collection[str], samples: Collection[str]
) -> list[tuple[str, list[Step]]]:
    """Return the steps of a single sample in sweeps over blocks of one query, if pairs take much memory.

    Each part has the index of the queries of its sweep, or an empty text. ``kept`` and ``samples`` are those of
    ``in_blocks``.
    """
    forms = {step.target.tensor: Form(Shape.LOOPS, "") for step in steps}
    pairs = _Pairs(steps, program, Layout(1, 1, (), ()), forms, samples)
    return list(_Plan([steps], program, forms, pairs, kept).rows()) if pairs.blocks else [("", [*steps])]


class _Pairs(Families):
    """The families of pairs that are computed in blocks.

    blocks    the index and the queries of a block, for each of these families
    """

    def __init__(
        self,
        steps: Sequence[Step],
        program: Program,
        layout: Layout,
        forms: Mapping[str, Form],
        samples: Container[str],
    ) -> None:
        super().__init__(steps, program, samples)
        self._forms = forms
        groups = (item for item in grouped(steps) if isinstance(item, Recurring))
        self._recurring = {step.target.tensor for group in groups for step in group.steps}
        self.blocks = dict(self._blocks(layout))

    # Which steps can run in blocks, and which do.

    def _able(self, step: Step, row: str) -> bool:
        """Return whether a step can run for some values of an index, or its terms be added block by block."""
        name = step.target.tensor
        if name in self.clashing or name in self._recurring or step.operator in RECURRENCES:
            return False
        if self._forms[name].shape is Shape.LOOPS:
            solved = solve(step.where, step.over, self._program.sizes) if step.over else None
            solves_row = solved is not None and any(each.index == row for each in solved.solutions)
            return not solves_row and (row not in step.over or step.operator == "sum")
        matrices = matrices_of(step, self._program, self._steps) if self._forms[name].shape is Shape.MATRICES else None
        if matrices is None or (matrices.triangle and matrices.triangle.low == row):
            return False
        return all(row not in group or group == (row,) for group in (matrices.rows, matrices.columns, matrices.inner))

    def _blocks(self, layout: Layout) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yield each family whose pairs take too much memory, with its index, and the queries of a block."""
        sizes = self._program.sizes
        named = (step for step in self._steps if step.target.tensor in self.names)
        wrong = {self.family(s.target.tensor) for s in named if not self._able(s, self.names[s.target.tensor].row)}
        families = dict.fromkeys(self.family(name) for name in self.axes)
        for family in families:
            members = [name for name in self.axes if self.family(name) == family]
            if family in wrong or not all(name in self.defined for name in members):
                continue
            target = next(self.defined[step.target.tensor] for step in self._steps if step.target.tensor in members)
            index = target.indices[self.axes[target.tensor][0]]
            widest = max(self._program.count(self.defined[name].indices) for name in members)
            widest *= layout.tile if SAMPLE in target.indices else 1
            fewest = FEWEST if layout.one_by_one else 1
            row = bytes_of(widest, self._program) // (sizes[index] or 1)
            length = layout.block_length
            if not length and bytes_of(widest, self._program) > PAIRS:
                length = max(PAIRS // row // fewest * fewest, fewest)
            if 0 < length < (sizes[index] or 1):
                yield family, (index, length)


@dataclass(frozen=True)
class _Sweep:
    """A loop over the blocks of a family, and the numbers of the steps that run in it."""

    family: str
    own: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Ready:
    """The first sweep before which a tensor is complete; or (``rows``) in which it has a value for each row."""

    place: int
    rows: bool = False


class _Plan:
    """The assignment of steps to sweeps."""

    def __init__(
        self,
        phases: Sequence[Sequence[Step]],
        program: Program,
        forms: dict[str, Form],
        pairs: _Pairs,
        kept: Collection[str],
    ) -> None:
        self._program, self._forms, self._pairs, self._kept = program, forms, pairs, kept
        items = [(phase, item) for phase, phase_of_item in enumerate(phases) for item in grouped(phase_of_item)]
        self._steps = [step for _, item in items for step in steps_of(item)]
        self._phase = [phase for phase, item in items for _ in steps_of(item)]
        self._home = {step.target.tensor: number for number, step in enumerate(self._steps)}
        self._row: dict[str, str] = {}
        """The index of the queries in each step that may run in a sweep."""
        self._family: dict[str, str] = {}
        self._ready: list[_Ready] = []
        self._sweeps: list[_Sweep] = []
        self._first: list[int] = []
        """The first sweep of each phase, and one more after the last."""
        for phase in range(len(phases)):
            self._begin_phase()
            for item in (item for phase_of_item, item in items if phase_of_item == phase):
                self._assign(item)
        self._begin_phase()
        self._members = [self._members_of(place) for place in range(len(self._sweeps))]
        self._inside = {number for members in self._members for number in members}

    def _begin_phase(self) -> None:
        """Begin another phase: all that earlier ones compute is complete before its first sweep."""
        first = max([len(self._sweeps), *(ready.place + ready.rows for ready in self._ready)])
        while len(self._sweeps) < first:
            self._sweeps.append(_Sweep(""))
        self._first.append(first)

    def _assign(self, item: Step | Recurring) -> None:
        """Decide where a step runs: in any sweep that reads it, in one sweep, in a sweep if need be, or in none.

        Steps that depend on each other share a loop over time, outside of sweeps.
        """
        if isinstance(item, Recurring):
            bound = max(map(self._bound, item.steps))
            self._ready += [_Ready(bound) for _ in item.steps]
            return
        step, number = item, len(self._ready)
        name, family = step.target.tensor, self._pairs.family(step.target.tensor)
        if family in self._pairs.blocks:
            self._row[name], self._family[name] = self._pairs.names[name].row, family
            bound = self._bound(step)
            if not self._is_pair(name):
                bound = self._sweep_of(number, bound)
            rows = self._row[name] in step.target.indices
            self._ready.append(_Ready(bound if rows else bound + 1, rows))
            return
        if query_index := self._between(step):
            self._row[name], self._family[name] = query_index
            self._ready.append(_Ready(self._bound(step), rows=True))
            return
        self._ready.append(_Ready(self._bound(step)))

    def _is_pair(self, name: str) -> bool:
        """Return whether a tensor is one of pairs that are not kept."""
        blocked = self._pairs.family(name) in self._pairs.blocks
        return blocked and name in self._pairs.axes and name not in self._kept

    def _bound(self, step: Step) -> int:
        """Return the first sweep in which, or before which, a step can run."""
        name = step.target.tensor
        bounds = [self._first[-1]]
        for element in step.operands:
            home = self._home.get(element.tensor)
            if home is None or home >= len(self._ready):
                continue
            ready = self._ready[home]
            same = ready.rows and self._family.get(name) == self._family[element.tensor]
            bounds.append(ready.place + (ready.rows and not (same and self._by_row(element, self._row[name]))))
        return max(bounds)

    def _by_row(self, element: Element, row: str) -> bool:
        """Return whether an element is read in the row that the step runs for, alone."""
        target, row_index = self._steps[self._home[element.tensor]].target, self._row[element.tensor]
        return row_index in target.indices and element.indices[target.indices.index(row_index)] == row

    def _between(self, step: Step) -> tuple[str, str] | None:
        """Return the index of the queries in a step that has a value for each row of some pairs, and their family."""
        if step.over or step.where or self._forms[step.target.tensor].shape is not Shape.LOOPS:
            return None
        row_names = dict.fromkeys(self._rows_in(step))
        if len(row_names) != 1:
            return None
        (row, family), *_ = row_names
        return (row, family) if row in step.target.indices and step.target.tensor in self._pairs.samples else None

    def _rows_in(self, step: Step) -> Iterator[tuple[str, str]]:
        """Yield the names that rows have where a step reads something that has a value for each, with the family."""
        for element in step.operands:
            home = self._home.get(element.tensor)
            if home is not None and self._ready[home].rows:
                target, row_index = self._steps[home].target, self._row[element.tensor]
                yield element.indices[target.indices.index(row_index)], self._family[element.tensor]

    def _sweep_of(self, number: int, bound: int) -> int:
        """Return the first sweep of a step's family from a bound on, with the step in it; add one if there is none."""
        family = self._family[self._steps[number].target.tensor]
        fitting = (k for k, sweep in enumerate(self._sweeps) if k >= bound and sweep.family == family)
        place = next(fitting, max(bound, len(self._sweeps)))
        while len(self._sweeps) < place:
            self._sweeps.append(_Sweep(""))  # as a step between waits for it that runs outside of sweeps after all
        if place == len(self._sweeps):
            self._sweeps.append(_Sweep(family))
        self._sweeps[place].own.append(number)
        return place

    def _members_of(self, place: int) -> list[int]:
        """Return the steps of a sweep: its own, the pairs that they need, and the steps between them."""
        sweep = self._sweeps[place]
        members, waiting = {*sweep.own}, [*sweep.own]
        while waiting:
            for element in self._steps[waiting.pop()].operands:
                home = self._home.get(element.tensor)
                if home is None or home in members or self._family.get(element.tensor) != sweep.family:
                    continue
                here = self._ready[home] == _Ready(place, rows=True)
                if self._is_pair(element.tensor) or here:
                    members.add(home)
                    waiting.append(home)
        return sorted(members)

    def trees(self, between: Callable[[list[Step]], Tree], fuse: Fuse) -> Segmented:
        """Return the tree of all steps, for each phase."""
        trees, steps, whole = [list[Statement]() for _ in self._first[1:]], list[Step](), set[str]()
        for phase, place, part_steps in self.parts():
            steps += part_steps
            if place is None:
                trees[phase] += between(part_steps)
                continue
            whole |= {step.target.tensor for step in part_steps if not self._is_pair(self._origin(step))}
            index, _ = self._pairs.blocks[self._sweeps[place].family]
            trees[phase].append(self._loop(place, tuple(fuse(part_steps, index))))
        return Segmented(tuple(map(tuple, trees)), tuple(steps), whole=frozenset(whole))

    def rows(self) -> Iterator[tuple[str, list[Step]]]:
        """Yield all steps in order: those between sweeps, without an index, and those of each, with that of queries."""
        for _, place, part_steps in self.parts():
            yield "" if place is None else self._pairs.blocks[self._sweeps[place].family][0], part_steps

    def parts(self) -> Iterator[tuple[int, int | None, list[Step]]]:
        """Yield all steps in order, each part with its phase, and with its sweep or None."""
        for phase, (first, last) in enumerate(pairwise(self._first)):
            for place in range(first, last + 1):
                numbers = (number for number in range(len(self._steps)) if self._phase[number] == phase)
                yield phase, None, [self._steps[number] for number in numbers if self._comes(number) == place]
                if place < last and self._members[place]:
                    yield phase, place, list(self._sweep(place))

    def _comes(self, number: int) -> int | None:
        """Return the sweep before which a step outside of sweeps comes; None for the others, and unused pairs."""
        name = self._steps[number].target.tensor
        if number in self._inside or self._is_pair(name):
            return None
        return min(self._ready[number].place + self._ready[number].rows, len(self._sweeps))

    def _sweep(self, place: int) -> Iterator[Step]:
        """Yield the steps of a sweep, with one name for the queries, and new names for what is computed again."""
        index, _ = self._pairs.blocks[self._sweeps[place].family]
        names = {}
        for number in self._members[place]:
            name = self._steps[number].target.tensor
            times = sum(number in members for members in self._members[:place])
            if times:
                names[name] = unused(f"{name} again{f' {times}' * (times > 1)}", self._program.shapes)
        for number in self._members[place]:
            step = self._steps[number]
            row = self._row[step.target.tensor]
            step = _swapped(step, {row: index, index: row}) if row != index else step
            known = {e: Element(names[e.tensor], e.indices) for e in step.operands if e.tensor in names}
            target = Element(names.get(step.target.tensor, step.target.tensor), step.target.indices)
            self._forms[target.tensor] = self._forms[step.target.tensor]
            yield replace(step.xreplace(known), target=target)

    def _origin(self, step: Step) -> str:
        """Return the name of the tensor that a step of a sweep computes, maybe again."""
        name = step.target.tensor
        return name if name in self._home else name.rsplit(" again", 1)[0]

    def _loop(self, place: int, tree: Tree) -> Group:
        """Return the loop of a sweep."""
        index, length = self._pairs.blocks[self._sweeps[place].family]
        size = self._program.sizes[index] or 1
        count = -(-size // length)
        loop = Loop(SEGMENTS, count, (Limits(index, length, size, count), *tree), Way.IN_ORDER)
        return Group((loop,), title=f"Blocks of {length} of {size} queries.")


def _swapped(step: Step, names: Mapping[str, str]) -> Step:
    """Return a step with other names of indices."""
    return replace(
        step,
        target=step.target.renamed(names),
        expression=renamed(step.expression, names),
        over=tuple(names.get(index, index) for index in step.over),
        where=tuple(equation.renamed(names) for equation in step.where),
    )

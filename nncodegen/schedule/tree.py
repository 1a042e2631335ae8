"""The loop tree: what a kernel does, statement by statement. Certificates carry it out, and ``emit`` prints it.

    tree      = statement...
    statement = Group(title, steps, body)             statements that belong together, and what they are
              | Loop(index, begin, end, role, body)   for each value of an index; all lanes, or all samples, at once
              | Solve(solution, end, body)            where there is such a value of an index that an equation gives
              | If(condition, body, otherwise)        what is known only when the kernel runs
              | Limits(length, size, count)           where a segment begins and ends
              | Gather(solution, size)                the value of an index, read from an array
              | Load(element)                         an input or target becomes a local value
              | Let(target, value)                    a local value
              | Variable(target, start)               a local variable, such as a sum
              | Accumulate(target, value, combine)    adds to such a variable, or takes the larger of both
              | Store(target, value, combine)         a value goes to its place in memory
              | First(target, value, numbers)         the number of the first term that is not 0
              | Cut(kept, read)                       where the target wants it so, the loops end here and begin again
              | Move(target, source, rest)            a row of an array becomes that of another one, or 0
              | Carry(step)                           what a loop in order hands on lies in the array that it reads
              | Call(shape, steps, ...)               a function of the runtime: a product, a copy, a sum
              | Fill(filling, target, ...)            a call that pads an array
              | Compute(steps, ...)                   steps whose loops or calls are not written out yet

Schedules begin with trees of ``Compute`` and the loops around (see ``loops``); rewrites make the others of them, and
leave no ``Compute``. ``text`` tells a tree, ``verify`` checks it.

An element is read from its local value, where there is one in the loops around, and otherwise from its place in memory,
which the kernel knows. An index stands for its current value, or is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from math import prod

from sympy import Expr, Integer, S, sympify

from nncodegen.ir import REDUCTIONS, SAMPLE, Element, Equation, Solution, Step
from nncodegen.schedule.extents import Extent
from nncodegen.schedule.shapes import Filling, Shape, matrix_and_row
from nncodegen.schedule.windows import Window

SHORT = 16
"""Iterations up to which GCC unrolls a loop before it looks for vectors, unless it is told not to."""


class Way(Enum):
    """How the iterations of a loop follow each other."""

    IN_ORDER = "one after the other"
    IN_TURN = "in any order"
    INDEPENDENT = "at once"
    SUMMED = "at once, summed up"
    LANES = "in lanes"


class Combine(Enum):
    """What a value that is stored has to do with what was there."""

    SET = "="
    ADD = "+="
    CHOOSE = "or"
    ADD_SCALED = "+= scale*"
    ADD_OR_SET = "+= or ="


@dataclass(frozen=True)
class Exists:
    """That an index has one of its values, of which there are so many."""

    index: str
    size: int

    def __str__(self) -> str:
        return f"{self.index} < {self.size}"


@dataclass(frozen=True)
class Later:
    """That an index is not at its first value."""

    index: str

    def __str__(self) -> str:
        return f"{self.index} > 0"


@dataclass(frozen=True)
class Begins:
    """That a loop over segments is at its first one, which has this number."""

    number: int

    def __str__(self) -> str:
        return f"segment = {self.number}"


Test = Exists | Later | Equation
"""What holds for some values of indices."""


class When(Enum):
    """What is known only when a kernel runs, and decides which of two statements run."""

    LOSS = "where the loss is requested"
    FEW = "for few samples"
    MANY = "for many samples"
    BLAS = "where there is a BLAS"
    NO_BLAS = "where there is no BLAS"
    ADDED = "where the gradient is added to what is there"


class Asked(Enum):
    """What a caller decides, besides what ``When`` has."""

    NEW = "where nothing is added to"
    DESCENT = "where parameters change at once"


@dataclass(frozen=True)
class Value:
    """A value: its only term, or what an operator makes of several: their sum, or the largest of them.

    Where one of some conditions does not hold, it is ``otherwise``.
    """

    terms: tuple[Expr, ...]
    operator: str | None = None
    where: tuple[Test, ...] = ()
    otherwise: Expr | None = None

    def __str__(self) -> str:
        terms = " + ".join(map(str, self.terms))
        chosen = self.operator not in (None, "sum") and self.terms[1:]
        text = f"{self.operator}({', '.join(map(str, self.terms))})" if chosen else terms
        otherwise = f" else {self.otherwise}" if self.otherwise is not None else ""
        return f"{text} where {', '.join(map(str, self.where))}{otherwise}" if self.where else text

    @cached_property
    def operands(self) -> tuple[Element, ...]:
        """The elements that terms and conditions read, in the order of their text."""
        read = {element for term in self.terms for element in term.atoms(Element)}
        tests = (test.data for test in self.where if isinstance(test, Equation))
        return tuple(sorted(read | {element for element in tests if element is not None}, key=str))


@dataclass(frozen=True)
class Group:
    """Statements that belong together: those of some steps, or under a title."""

    body: Tree
    steps: tuple[Step, ...] = ()
    title: str = ""
    plain: bool = False
    """Whether its statements tell what its steps are, since these have no indices there."""
    twice: bool = False
    """Whether it is compiled twice: for calls where the loss is wanted, and for others."""


@dataclass(frozen=True)
class Loop:
    """A loop over the values of an index from ``begin`` up to ``end``, or from the last of them (``backward``).

    ``sums`` are the local sums to which its iterations add.
    """

    index: str
    end: Extent
    body: Tree
    way: Way = Way.IN_TURN
    begin: Extent = 0
    backward: bool = False
    sums: tuple[Element, ...] = ()

    @property
    def short(self) -> bool:
        """Whether it has so few iterations that compilers would unroll it."""
        return isinstance(self.end, int) and self.end <= SHORT


@dataclass(frozen=True)
class Solve:
    """What happens where an index that an equation gives has a value: below ``end``, or within a segment."""

    solution: Solution
    end: Extent
    body: Tree


@dataclass(frozen=True)
class If:
    """What happens where something holds, and what happens elsewhere."""

    condition: When | Begins | Asked | Test
    body: Tree
    otherwise: Tree = ()


@dataclass(frozen=True)
class Limits:
    """Where the current one of ``count`` segments of an index begins and ends: of ``length`` steps, the last of fewer.

    All of them have ``size`` steps.
    """

    index: str
    length: int
    size: int
    count: int


@dataclass(frozen=True)
class Gather:
    """The value of an index, read from an array; where it is none of ``size`` values, terms do not exist."""

    solution: Solution
    size: int


@dataclass(frozen=True)
class Load:
    """An element of the caller's arrays becomes a local value, which may get another one later (``varies``)."""

    element: Element
    varies: bool = False


@dataclass(frozen=True)
class Let:
    """A local value: one that gets another value later (``varies``), or has had one before (``again``)."""

    target: Element
    value: Value
    varies: bool = False
    again: bool = False


@dataclass(frozen=True)
class Variable:
    """A local variable in which a sum, or another reduction, is computed, and what it starts from."""

    target: Element
    start: Expr = S.Zero


@dataclass(frozen=True)
class Accumulate:
    """Adds to a local variable, or has it be the one of both that an operator chooses, such as the larger."""

    target: Element
    value: Value
    combine: Combine = Combine.ADD
    operator: str = "sum"


@dataclass(frozen=True)
class Store:
    """A value goes to its place in memory, or is combined with what is there, of which an operator may choose one."""

    target: Element
    value: Value
    combine: Combine = Combine.SET
    operator: str = "sum"


@dataclass(frozen=True)
class First:
    """The number of a term, if it is the first that is not 0; ``numbers`` says what each index counts for.

    What is there at first is the number of all terms, ``count``: in memory, or in a local variable.
    """

    target: Element
    value: Value
    numbers: tuple[tuple[str, int], ...]
    count: int
    local: bool = False


@dataclass(frozen=True)
class Cut:
    """Where the target wants it so, the loops of a group end here, after ``kept`` is stored, and begin again.

    What is computed behind the cut reads ``read`` from memory then.
    """

    kept: tuple[Element, ...]
    read: tuple[Element, ...]


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
class Carry:
    """What a recurrence gives is what its operand had one time before: it lies in the same array, one row further."""

    step: Step


class _WithEnds:
    """Knows where the loop over each index ends."""

    ends: tuple[tuple[str, Extent], ...]

    def end(self, index: str) -> Extent:
        """Return where an index ends."""
        return dict(self.ends)[index]


@dataclass(frozen=True)
class Call(_WithEnds):
    """A function of the runtime that computes steps at once.

    ``ends`` has the end of each index, ``innermost`` runs along the vectors. A row of the result may leave its last
    vector incomplete (``ragged``). A ``window`` runs by lists of places.
    """

    shape: Shape
    steps: tuple[Step, ...]
    innermost: str
    ends: tuple[tuple[str, Extent], ...]
    ragged: bool = False
    window: Window | None = None


@dataclass(frozen=True)
class Fill(_WithEnds):
    """A call that pads an array that a call has computed."""

    filling: Filling
    target: Element
    innermost: str
    ends: tuple[tuple[str, Extent], ...] = ()


@dataclass(frozen=True)
class Compute(_WithEnds):
    """Steps that are computed together: by one nest of loops, or by a call, as their shape says.

    The loops go over ``outer``, then ``reduced``, then (``samples``) over a tile; ``innermost`` is the index that runs
    innermost, along the vectors. The indices ``unrolled`` have so few values that each has statements of its own in the
    loop over the others. ``cuts`` are the tensors of each part, one after the other, where the target decides whether
    the parts share their loops. ``ends`` says where the loop over each index ends, when that is known.
    """

    steps: tuple[Step, ...]
    outer: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()
    samples: bool = False
    innermost: str = SAMPLE
    shape: Shape = Shape.LOOPS
    unrolled: tuple[str, ...] = ()
    cuts: tuple[frozenset[str], ...] = ()
    ends: tuple[tuple[str, Extent], ...] = ()

    @property
    def parts(self) -> tuple[tuple[Step, ...], ...]:
        """The steps of each part, or all of them in one."""
        parts = (tuple(step for step in self.steps if step.target.tensor in names) for names in self.cuts)
        return tuple(part for part in parts if part) or (self.steps,)

    @property
    def loops(self) -> tuple[str, ...]:
        """All indices, from the outermost loop to the innermost."""
        indices = (*self.outer, *self.reduced, *([SAMPLE] if self.samples else []))
        return (*(i for i in indices if i != self.innermost), *(i for i in indices if i == self.innermost))

    @property
    def around(self) -> tuple[str, ...]:
        """The indices of loops around a call: those of the rows that a matrix is multiplied with, one after another."""
        if self.shape is not Shape.MATRIX_BY_ROW:
            return ()
        matrix, _ = matrix_and_row(self.steps[0])
        return tuple(index for index in self.outer if index not in matrix.indices)

    @property
    def sums(self) -> tuple[Step, ...]:
        """The steps that sum over the samples."""
        return tuple(step for step in self.steps if SAMPLE in step.over)

    @property
    def read(self) -> frozenset[Element]:
        """What the steps read."""
        return frozenset(operand for step in self.steps for operand in step.operands)


Statement = (
    Group | Loop | Solve | If | Limits | Gather | Load | Let | Variable | Accumulate | Store | First | Cut | Move
    | Carry | Call | Fill | Compute
)  # fmt: skip
Tree = tuple[Statement, ...]


@dataclass(frozen=True)
class Trees:
    """What the functions of a kernel do.

    before     for each phase, what tiles need that depends on parameters, and on the finished sums of earlier phases
    parts      the functions for a tile, each with the number of its phase; all others have one
    measured   what only metrics need, behind the last part
    after      what is computed from finished sums
    """

    before: tuple[Tree, ...] = ()
    parts: tuple[tuple[int, Tree], ...] = ((0, ()),)
    measured: Tree = ()
    after: Tree = ()

    @property
    def tile(self) -> Tree:
        """All parts, one behind the other."""
        return tuple(statement for _, tree in self.parts for statement in tree)

    @property
    def in_turn(self) -> tuple[Tree, ...]:
        """All trees, but the metrics behind everything else."""
        return (*self.before, self.tile, self.after, self.measured)

    @property
    def in_order(self) -> tuple[Tree, ...]:
        """All trees, in the order in which they run."""
        return (*self.before, self.tile, self.measured, self.after)

    @property
    def phases(self) -> int:
        """How often a kernel works through all samples."""
        return 1 + max(phase for phase, _ in self.parts)

    @property
    def functions(self) -> tuple[tuple[str, Tree], ...]:
        """What each function does, with a title, in the order in which they run."""
        phases = len(self.before or ((),))
        found: list[tuple[str, Tree]] = []
        for phase, before in enumerate(self.before or ((),)):
            title = f"tile, phase {phase + 1} of {phases}" if phases > 1 else "tile"
            own = [tree for number, tree in self.parts if number == phase]
            found.append((f"between the phases {phase} and {phase + 1}" if phase else "before", before))
            found += ((title, tree) for tree in own)
        found += [("metrics", self.measured), ("after", self.after)]
        return tuple((title, tree) for title, tree in found if tree)

    def of_tile(self, change: Callable[[Tree], Tree]) -> Trees:
        """Return trees with what a function makes of each part of a tile."""
        return replace(self, parts=tuple((phase, change(tree)) for phase, tree in self.parts))

    def each(self, change: Callable[[Tree], Tree]) -> Trees:
        """Return trees with what a function makes of each."""
        before = tuple(map(change, self.before))
        return replace(self.of_tile(change), before=before, measured=change(self.measured), after=change(self.after))


def numbers_of(sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return what each index counts for in the number of a term, given the sizes of all that number it."""
    return tuple((index, prod([*sizes.values()][k:])) for k, index in enumerate(sizes, 1))


def combine_of(operator: str) -> Combine:
    """Return how the terms of a reduction are combined, one by one."""
    return Combine.CHOOSE if REDUCTIONS[operator].chooses else Combine.ADD


def neutral_of(operator: str, count: int) -> Expr:
    """Return what a reduction starts from; for the number of a term, how many there are."""
    if REDUCTIONS[operator].join is None:
        return Integer(count)
    return sympify(REDUCTIONS[operator].neutral) if REDUCTIONS[operator].neutral else S.Zero

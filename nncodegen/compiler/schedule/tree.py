"""The loop tree: the statements of a kernel. Certificates carry it out, and ``emit`` prints it.

    tree      = statement...
    statement = Group(title, steps, body)             statements of the same steps, or under a title
              | Loop(index, begin, end, role, body)   for each value of an index; all lanes, or all samples, at once
              | Solve(solution, end, body)            runs if the index that an equation gives has a value
              | If(condition, body, otherwise)        a condition that is known only when the kernel runs
              | Limits(length, size, count)           where a segment begins and ends
              | Gather(solution, size)                the value of an index, read from an array
              | Load(element)                         an input or target becomes a local value
              | Let(target, value)                    a local value
              | Variable(target, start)               a local variable, such as a sum
              | Accumulate(target, value, combine)    adds to such a variable, or takes the larger of both
              | Store(target, value, combine)         a value goes to its place in memory
              | First(target, value, numbers)         the number of the first term that is not 0
              | Cut(kept, read)                       if the target asks for it, the loops end here and begin again
              | Move(target, source, rest)            a row of an array becomes that of another one, or 0
              | Carry(step)                           a recurrence in a loop in order shares the array that it reads
              | Call(shape, steps, ...)               a function of the runtime: a product, a copy, a sum
              | Fill(filling, target, ...)            a call that pads an array
              | Compute(steps, ...)                   steps whose loops or calls are not written out yet

Schedules begin with trees of ``Compute`` and the loops around them (see ``loops``). Rewrites replace them by the other
statements, and leave no ``Compute``. ``text`` shows a tree as text, ``verify`` checks it.

An element is read from its local value, if the loops around have one, and otherwise from its place in memory, which the
kernel knows. An index stands for its current value, or is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from math import prod
from typing import NoReturn

from sympy import Expr, Integer, S, sympify

from nncodegen.compiler.ir import REDUCTIONS, SAMPLE, Element, Equation, Solution, Step
from nncodegen.compiler.schedule.extents import Extent
from nncodegen.compiler.schedule.matrices import Matrices
from nncodegen.compiler.schedule.shapes import Filling, Shape, matrix_and_row
from nncodegen.compiler.schedule.windows import Window

SHORT = 16
"""Number of iterations up to which GCC unrolls a loop before it looks for vectors, unless it is told not to."""


class Way(Enum):
    """The order in which the iterations of a loop run."""

    IN_ORDER = "one after the other"
    IN_TURN = "in any order"
    INDEPENDENT = "at once"
    SUMMED = "at once, summed up"
    ROW = "at once, as terms of a row that is summed up"
    LANES = "in lanes"


class Combine(Enum):
    """The ways in which a stored value is combined with the previous one in its place."""

    SET = "="
    ADD = "+="
    CHOOSE = "or"
    ADD_SCALED = "+= scale*"
    ADD_OR_SET = "+= or ="


@dataclass(frozen=True)
class Exists:
    """The test that an index has one of its values 0, ..., size - 1."""

    index: str
    size: int

    def __str__(self) -> str:
        return f"{self.index} < {self.size}"


@dataclass(frozen=True)
class Given:
    """The test that an equation gives an index one of its values 0, ..., size - 1."""

    solution: Solution
    size: int

    def __str__(self) -> str:
        dividend, divisor = self.solution.dividend, self.solution.divisor
        whole = f" && ({dividend})%{divisor} == 0" if divisor > 1 else ""
        return f"{dividend} < {divisor * self.size}{whole}"


@dataclass(frozen=True)
class Later:
    """The test that an index is not at its first value."""

    index: str

    def __str__(self) -> str:
        return f"{self.index} > 0"


@dataclass(frozen=True)
class Begins:
    """The test that a loop over segments is at its first one, which has this number."""

    number: int

    def __str__(self) -> str:
        return f"segment = {self.number}"


@dataclass(frozen=True)
class Holds:
    """The test that a relation holds between values that are the same for all samples."""

    relation: Expr

    def __str__(self) -> str:
        return str(self.relation)

    @property
    def operands(self) -> tuple[Element, ...]:
        """Return the elements that the relation reads, sorted by their text."""
        return tuple(sorted(self.relation.atoms(Element), key=str))


Test = Exists | Given | Later | Equation
"""A condition on the values of indices."""


class When(Enum):
    """A condition that is known only when a kernel runs, and selects which of two statements run."""

    LOSS = "where the loss is requested"
    SINGLE = "for a single sample"
    FEW = "for few samples"
    MANY = "for many samples"
    BLAS = "where there is a BLAS"
    NO_BLAS = "where there is no BLAS"
    ADDED = "where the gradient is added to what is there"


class CallerFlag(Enum):
    """A flag of the caller of a kernel, beside the conditions of ``When``."""

    NEW = "where nothing is added to"
    DESCENT = "where parameters change at once"


@dataclass(frozen=True)
class Value:
    """A value: its only term, or several terms combined by an operator: their sum, or the largest of them.

    If one of the conditions ``where`` does not hold, the value is ``otherwise``.
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
        """Return the elements that terms and conditions read, sorted by their text."""
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
    """True if its statements show its steps, since these have no indices."""
    shared: bool = False
    """True if some of its statements are for the loss alone, and others are not."""
    twice: bool = False
    """True if it is compiled twice: for calls that ask for the loss, and for others."""


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
    operator: str = "sum"
    """The reduction that local sums are: "sum", or "max" for the largest term."""

    @property
    def short(self) -> bool:
        """Return whether the loop has so few iterations that compilers would unroll it."""
        return isinstance(self.end, int) and self.end <= SHORT


@dataclass(frozen=True)
class Solve:
    """Statements that run if an index that an equation gives has a value: below ``end``, or within a segment."""

    solution: Solution
    end: Extent
    body: Tree


@dataclass(frozen=True)
class If:
    """Statements that run if a condition holds, and statements that run otherwise."""

    condition: When | Begins | CallerFlag | Holds | Test
    body: Tree
    otherwise: Tree = ()


@dataclass(frozen=True)
class Limits:
    """The begin and end of the current one of ``count`` segments of an index: of ``length`` steps, the last of fewer.

    All segments together have ``size`` steps.
    """

    index: str
    length: int
    size: int
    count: int


@dataclass(frozen=True)
class Gather:
    """The value of an index, read from an array; terms do not exist if it is none of ``size`` values."""

    solution: Solution
    size: int


@dataclass(frozen=True)
class Load:
    """An element of the caller's arrays that becomes a local value; ``varies``: the local value may change later."""

    element: Element
    varies: bool = False


@dataclass(frozen=True)
class Let:
    """A local value; ``varies``: it gets another value later; ``again``: it has had one before."""

    target: Element
    value: Value
    varies: bool = False
    again: bool = False


@dataclass(frozen=True)
class Variable:
    """A local variable in which a sum, or another reduction, is computed, and its start value."""

    target: Element
    start: Expr = S.Zero


@dataclass(frozen=True)
class Accumulate:
    """Adds to a local variable, or replaces it by the one of both that an operator chooses, such as the larger."""

    target: Element
    value: Value
    combine: Combine = Combine.ADD
    operator: str = "sum"


@dataclass(frozen=True)
class Store:
    """A value that is stored in memory, or combined with the stored one; an operator may choose one of both."""

    target: Element
    value: Value
    combine: Combine = Combine.SET
    operator: str = "sum"


@dataclass(frozen=True)
class First:
    """The number of a term, if it is the first that is not 0; ``numbers`` has the weight of each index in this number.

    The start value, in memory or in a local variable, is the number of all terms, ``count``.
    """

    target: Element
    value: Value
    numbers: tuple[tuple[str, int], ...]
    count: int
    local: bool = False


@dataclass(frozen=True)
class Cut:
    """A place where the loops of a group may end, after ``kept`` is stored, and begin again, if the target asks for it.

    Statements after the cut then read ``read`` from memory.
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
        """Return a move between rows: from the value ``row`` of index t in the source to ``at`` in the target."""

        def first(element: Element, value: str) -> Element:
            return Element(element.tensor, [value if index == t else "0" for index in element.indices])

        rest = tuple(index for index in target.indices if index not in (SAMPLE, t))
        return cls(first(target, at), first(source, row) if source else None, rest)

    def __str__(self) -> str:
        return f"{self.target} = {self.source or 0}"


@dataclass(frozen=True)
class Carry:
    """A recurrence whose value is that of its operand one time before: it lies in the same array, one row further."""

    step: Step


class _WithEnds:
    """A statement that knows where the loop over each index ends."""

    ends: tuple[tuple[str, Extent], ...]

    def end(self, index: str) -> Extent:
        """Return the end of the loop over an index."""
        return dict(self.ends)[index]


@dataclass(frozen=True)
class Call(_WithEnds):
    """A function of the runtime that computes steps at once.

    ``ends`` has the end of each index; ``innermost`` runs along the vectors. A row of the result may leave its last
    vector incomplete (``ragged``). A ``window`` runs by lists of places, a product of ``matrices`` by groups of
    indices.
    """

    shape: Shape
    steps: tuple[Step, ...]
    innermost: str
    ends: tuple[tuple[str, Extent], ...]
    ragged: bool = False
    window: Window | None = None
    matrices: Matrices | None = None


@dataclass(frozen=True)
class Fill(_WithEnds):
    """A call that pads an array that a call has computed."""

    filling: Filling
    target: Element
    innermost: str
    ends: tuple[tuple[str, Extent], ...] = ()


@dataclass(frozen=True)
class Compute(_WithEnds):
    """Steps that are computed together: by one nest of loops, or by a call, according to their shape.

    The loops go over ``outer``, then ``reduced``, then (``samples``) over a tile; ``innermost`` is the index that runs
    innermost, along the vectors. Each value of the indices ``unrolled`` has separate statements in the loop over the
    others, as these indices have few values. ``cuts`` are the tensors of each part, one after the other, if the target
    decides whether the parts share their loops. ``ends`` says where the loop over each index ends, once that is known.
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
        """Return the steps of each part; a single part if the loops are not cut."""
        parts = (tuple(step for step in self.steps if step.target.tensor in names) for names in self.cuts)
        return tuple(part for part in parts if part) or (self.steps,)

    @property
    def loops(self) -> tuple[str, ...]:
        """Return all indices, from the outermost loop to the innermost."""
        indices = (*self.outer, *self.reduced, *([SAMPLE] if self.samples else []))
        return (*(i for i in indices if i != self.innermost), *(i for i in indices if i == self.innermost))

    @property
    def around(self) -> tuple[str, ...]:
        """Return the indices of loops around a call: those of the rows with which a matrix is multiplied one by one."""
        if self.shape is not Shape.MATRIX_BY_ROW:
            return ()
        matrix, _ = matrix_and_row(self.steps[0])
        return tuple(index for index in self.outer if index not in matrix.indices)

    @property
    def sums(self) -> tuple[Step, ...]:
        """Return the steps that sum over the samples."""
        return tuple(step for step in self.steps if SAMPLE in step.over)

    @property
    def read(self) -> frozenset[Element]:
        """Return the elements that the steps read."""
        return frozenset(operand for step in self.steps for operand in step.operands)


Statement = (
    Group
    | Loop
    | Solve
    | If
    | Limits
    | Gather
    | Load
    | Let
    | Variable
    | Accumulate
    | Store
    | First
    | Cut
    | Move
    | Carry
    | Call
    | Fill
    | Compute
)
Tree = tuple[Statement, ...]


def no_such(statement: NoReturn) -> NoReturn:
    """Raise AssertionError for a statement that no case handles; a type checker sees that there is none."""
    raise AssertionError(f"no case handles the statement {statement!r}")


@dataclass(frozen=True)
class Trees:
    """The loop trees of the functions of a kernel.

    before     for each phase, what tiles need that depends on parameters, and on the finished sums of earlier phases
    parts      the functions for a tile, each with the number of its phase
    metrics    the functions for values that only metrics need, after the last part
    finish     the functions for values computed from finished sums
    """

    before: tuple[Tree, ...] = ()
    parts: tuple[tuple[int, Tree], ...] = ((0, ()),)
    metrics: tuple[Tree, ...] = ((),)
    finish: tuple[Tree, ...] = ((),)

    @property
    def tile(self) -> Tree:
        """Return all parts, one after the other."""
        return tuple(statement for _, tree in self.parts for statement in tree)

    @property
    def measured(self) -> Tree:
        """Return all values that only metrics need."""
        return tuple(statement for tree in self.metrics for statement in tree)

    @property
    def after(self) -> Tree:
        """Return all values computed from finished sums."""
        return tuple(statement for tree in self.finish for statement in tree)

    @property
    def without_metrics(self) -> tuple[Tree, ...]:
        """Return all trees but that of the metrics, in the order in which they run."""
        return (*self.before, self.tile, self.after)

    @property
    def in_turn(self) -> tuple[Tree, ...]:
        """Return all trees, with the metrics after everything else."""
        return (*self.without_metrics, self.measured)

    @property
    def in_order(self) -> tuple[Tree, ...]:
        """Return all trees, in the order in which they run."""
        return (*self.before, self.tile, self.measured, self.after)

    @property
    def long(self) -> bool:
        """Return whether a tile runs in several functions, although not in as many phases."""
        return len(self.parts) > self.phases

    @property
    def phases(self) -> int:
        """Return how often a kernel goes through all samples."""
        return 1 + max(phase for phase, _ in self.parts)

    @property
    def functions(self) -> tuple[tuple[str, Tree], ...]:
        """Return the tree of each function, with a title, in the order in which they run."""
        phases = len(self.before or ((),))
        titled: list[tuple[str, Tree]] = []
        for phase, before in enumerate(self.before or ((),)):
            title = f"tile, phase {phase + 1} of {phases}" if phases > 1 else "tile"
            phase_trees = [tree for number, tree in self.parts if number == phase]
            titled.append((f"between the phases {phase} and {phase + 1}" if phase else "before", before))
            titled += ((title, tree) for tree in phase_trees)
        titled += [*(("metrics", tree) for tree in self.metrics), *(("after", tree) for tree in self.finish)]
        return tuple((title, tree) for title, tree in titled if tree)

    def of_tile(self, change: Callable[[Tree], Tree]) -> Trees:
        """Return trees in which a function has changed each part of a tile."""
        return replace(self, parts=tuple((phase, change(tree)) for phase, tree in self.parts))

    def each(self, change: Callable[[Tree], Tree]) -> Trees:
        """Return trees in which a function has changed each tree."""
        before, metrics, finish = (tuple(map(change, trees)) for trees in (self.before, self.metrics, self.finish))
        return replace(self.of_tile(change), before=before, metrics=metrics, finish=finish)


def numbers_of(sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the weight of each index in the number of a term, given the sizes of all indices that enumerate it."""
    return tuple((index, prod([*sizes.values()][k:])) for k, index in enumerate(sizes, 1))


def combine_of(operator: str) -> Combine:
    """Return the operation that combines the terms of a reduction one by one."""
    return Combine.CHOOSE if REDUCTIONS[operator].chooses else Combine.ADD


def neutral_of(operator: str, count: int) -> Expr:
    """Return the start value of a reduction; for the number of a term, the number of all terms."""
    if REDUCTIONS[operator].join is None:
        return Integer(count)
    return sympify(REDUCTIONS[operator].neutral) if REDUCTIONS[operator].neutral else S.Zero

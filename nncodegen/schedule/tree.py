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
              | Call(shape, steps, ...)               a function of the runtime: a product, a copy, a sum
              | Fill(filling, target, ...)            a call that pads an array

An element is read from its local value, where there is one in the loops around, and otherwise from its place in memory,
which the kernel knows. An index stands for its current value, or is a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

from sympy import Expr, Integer, S, sympify

from nncodegen.ir import REDUCTIONS, Element, Equation, Solution, Step
from nncodegen.schedule.around import Move
from nncodegen.schedule.nest import Filling, Shape, When
from nncodegen.schedule.windows import Window

SHORT = 16
"""Iterations up to which GCC unrolls a loop before it looks for vectors, unless it is told not to."""

Extent = int | str
"""Where a loop begins or ends: a number, or the name of one, as count, padded, begin, end, MODELS."""


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
    DESCEND = "descends by"


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


class Asked(Enum):
    """What a caller decides, besides what ``When`` has."""

    NEW = "where nothing is added to"


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
class Call:
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

    def end(self, index: str) -> Extent:
        """Return where an index ends."""
        return dict(self.ends)[index]


@dataclass(frozen=True)
class Fill:
    """A call that pads an array that a call has computed."""

    filling: Filling
    target: Element
    innermost: str
    ends: tuple[tuple[str, Extent], ...]

    def end(self, index: str) -> Extent:
        """Return where an index ends."""
        return dict(self.ends)[index]


Statement = (
    Group | Loop | Solve | If | Limits | Gather | Load | Let | Variable | Accumulate | Store | First | Cut | Move | Call
    | Fill
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

    before: tuple[Tree, ...]
    parts: tuple[tuple[int, Tree], ...]
    measured: Tree = ()
    after: Tree = ()

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


def bodies(statement: Statement) -> tuple[Tree, ...]:
    """Return the statements within a statement, in the order in which they run."""
    if isinstance(statement, If):
        return statement.body, statement.otherwise
    return (statement.body,) if isinstance(statement, Group | Loop | Solve) else ()


def walk(tree: Iterable[Statement]) -> Iterator[Statement]:
    """Yield all statements, each before those within it."""
    for statement in tree:
        yield statement
        for body in bodies(statement):
            yield from walk(body)


def elements(tree: Iterable[Statement]) -> Iterator[Element]:
    """Yield what statements read and compute."""
    for statement in walk(tree):
        match statement:
            case Let() | Accumulate() | Store() | First():
                yield from (*statement.value.operands, statement.target)
            case Load():
                yield statement.element
            case Call():
                yield from (e for step in statement.steps for e in (*step.operands, step.target))
            case Move():
                yield from (e for e in (statement.source, statement.target) if e is not None)
            case If(Equation() as test, _, _) if test.data is not None:
                yield test.data
            case Gather() | Solve():
                yield from (name for name, _ in statement.solution.terms if isinstance(name, Element))
            case Fill():
                yield statement.target


def targets(tree: Iterable[Statement]) -> Iterator[Element]:
    """Yield what statements compute, in their order."""
    for statement in walk(tree):
        match statement:
            case Let() | Accumulate() | Store() | First():
                yield statement.target
            case Call():
                yield from (step.target for step in statement.steps)


def rewritten(tree: Tree, statements: dict[type, object]) -> Tree:
    """Return a tree in which statements of some types are replaced by what a function of each makes of them."""
    found: list[Statement] = []
    for statement in tree:
        match statement:
            case Group() | Loop() | Solve():
                statement = replace(statement, body=rewritten(statement.body, statements))
            case If():
                body, otherwise = (rewritten(each, statements) for each in bodies(statement))
                statement = replace(statement, body=body, otherwise=otherwise)
        rule = statements.get(type(statement))
        found += rule(statement) if rule else [statement]  # type: ignore[operator]
    return tuple(found)


def show(tree: Iterable[Statement]) -> str:
    """Return a tree as text, a line for each statement."""
    return "\n".join(_lines(tree))


def _lines(tree: Iterable[Statement], depth: int = 0) -> Iterator[str]:
    for statement in tree:
        if isinstance(statement, Group) and not statement.steps and not statement.title:
            yield from _lines(statement.body, depth)
            continue
        yield from ("  " * depth + line for line in _head(statement).splitlines())
        for number, body in enumerate(bodies(statement)):
            if number and body:
                yield "  " * depth + "else"
            yield from _lines(body, depth + 1)


def _head(statement: Statement) -> str:
    match statement:
        case Group():
            steps = statement.steps
            if statement.plain and len(steps) > 1:  # its statements are the steps
                return f"{steps[0].target} to {steps[-1].target}"
            return statement.title or "\n".join(map(str, steps))
        case Loop():
            begin, end = (statement.begin, statement.end)
            span = f"from {end} down to {begin}" if statement.backward else f"from {begin} to {end}"
            return f"for {statement.index} {span}, {statement.way.value}"
        case Solve():
            return f"with {statement.solution.index} = {statement.solution}, if below {statement.end}"
        case If():
            known = statement.condition
            return known.value if isinstance(known, When | Asked) else f"if {known}"
        case Limits():
            return f"segment of {statement.length} of {statement.size} steps of {statement.index}"
        case Gather():
            return f"{statement.solution.index} = number in {statement.size}: {statement.solution}"
        case Load():
            return f"load {statement.element}"
        case Let():
            return f"let {statement.target} = {statement.value}"
        case Variable():
            return f"variable {statement.target} = {statement.start}"
        case Accumulate():
            return f"variable {statement.target} {_combined(statement)} {statement.value}"
        case Store():
            combine = "" if statement.combine is Combine.SET else f"{_combined(statement)} "
            if statement.value.terms == (statement.target,):  # a local value goes to memory
                return f"store {combine}{statement.target}"
            return f"store {statement.target} {combine or '= '}{statement.value}"
        case First():
            return f"store {statement.target} = first of {statement.count}: {statement.value}"
        case Cut():
            return f"cut, keep {_listed(statement.kept)}, read {_listed(statement.read)}"
        case Move():
            return f"move {statement}"
        case Call():
            return f"call {statement.shape.value}: {'; '.join(map(str, statement.steps))}"
        case Fill():
            return f"fill with {statement.filling.value} {statement.target}"


def _combined(statement: Store | Accumulate) -> str:
    """How a value is combined with what is there."""
    return f"{statement.operator}=" if statement.combine is Combine.CHOOSE else statement.combine.value


def combine_of(operator: str) -> Combine:
    """Return how the terms of a reduction are combined, one by one."""
    return Combine.CHOOSE if REDUCTIONS[operator].chooses else Combine.ADD


def neutral_of(operator: str, count: int) -> Expr:
    """Return what a reduction starts from; for the number of a term, how many there are."""
    if REDUCTIONS[operator].join is None:
        return Integer(count)
    return sympify(REDUCTIONS[operator].neutral) if REDUCTIONS[operator].neutral else S.Zero


def _listed(elements: Sequence[Element]) -> str:
    return ", ".join(map(str, elements)) or "nothing"

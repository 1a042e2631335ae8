"""Walks over loop trees: iterators over their parts, and functions that rewrite trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from nncodegen.compiler.ir import Element, Equation, Step
from nncodegen.compiler.schedule.extents import SEGMENTS
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Call,
    Carry,
    Compute,
    Fill,
    First,
    Gather,
    Group,
    Holds,
    If,
    Let,
    Limits,
    Load,
    Loop,
    Move,
    Solve,
    Statement,
    Store,
    Tree,
    Way,
)


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
    """Yield the elements that statements read and compute."""
    for statement in walk(tree):
        match statement:
            case Let() | Accumulate() | Store() | First():
                yield from (*statement.value.operands, statement.target)
            case Load():
                yield statement.element
            case Call() | Compute():
                yield from (e for step in statement.steps for e in (*step.operands, step.target))
            case Move():
                yield from (e for e in (statement.source, statement.target) if e is not None)
            case If(Equation() as test, _, _) if test.data is not None:
                yield test.data
            case If(Holds() as test, _, _):
                yield from test.operands
            case Gather() | Solve():
                yield from (name for name, _ in statement.solution.terms if isinstance(name, Element))
            case Fill():
                yield statement.target


def targets(tree: Iterable[Statement]) -> Iterator[Element]:
    """Yield the elements that statements compute, in their order."""
    for statement in walk(tree):
        match statement:
            case Let() | Accumulate() | Store() | First():
                yield statement.target
            case Call() | Compute():
                yield from (step.target for step in statement.steps)


def rewritten(tree: Tree, statements: dict[type, object]) -> Tree:
    """Return a tree in which functions, by their types, replace statements."""
    body: list[Statement] = []
    for statement in tree:
        statement = with_bodies(statement, partial(rewritten, statements=statements))
        rule = statements.get(type(statement))
        body += rule(statement) if rule else [statement]  # type: ignore[operator]
    return tuple(body)


def with_bodies(statement: Statement, change: Callable[[Tree], Tree]) -> Statement:
    """Return a statement in which a function has changed the statements within it."""
    match statement:
        case Group() | Loop() | Solve():
            return replace(statement, body=change(statement.body))
        case If():
            return replace(statement, body=change(statement.body), otherwise=change(statement.otherwise))
    return statement


# --- steps that are computed -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A place where steps are computed, with the loops over time and over segments of it around them, if any."""

    compute: Compute
    time: Loop | None = None
    segments: Loop | None = None

    @property
    def limits(self) -> Limits | None:
        """Return the segments around the place."""
        return next((each for each in self.segments.body if isinstance(each, Limits)), None) if self.segments else None

    @property
    def carried(self) -> tuple[Step, ...]:
        """Return the recurrences of the loop over time."""
        return tuple(each.step for each in self.time.body if isinstance(each, Carry)) if self.time else ()

    @property
    def around(self) -> Loop | None:
        """Return the outermost loop around the place."""
        return self.segments or self.time

    def inside(self, loop: Loop) -> Site:
        """Return the place within one more loop."""
        if loop.index == SEGMENTS:
            return replace(self, segments=loop)
        return replace(self, time=loop) if loop.way is Way.IN_ORDER else self


NOWHERE = Site(Compute(()))


def sites(tree: Iterable[Statement], around: Site = NOWHERE) -> Iterator[Site]:
    """Yield all places where steps are computed, in their order."""
    for statement in tree:
        if isinstance(statement, Compute):
            yield replace(around, compute=statement)
        inside = around.inside(statement) if isinstance(statement, Loop) else around
        for body in bodies(statement):
            yield from sites(body, inside)


def computed(tree: Tree, rule: Callable[[Site], Tree], around: Site = NOWHERE) -> Tree:
    """Return a tree in which a function has replaced each place where steps are computed."""
    statements: list[Statement] = []
    for statement in tree:
        if isinstance(statement, Compute):
            statements += rule(replace(around, compute=statement))
            continue
        inside = around.inside(statement) if isinstance(statement, Loop) else around
        statements.append(with_bodies(statement, partial(computed, rule=rule, around=inside)))
    return tuple(statements)


def only(tree: Tree, wanted: Callable[[Step], bool]) -> Tree:
    """Return a tree with only those steps for which ``wanted`` is true, without loops that would be empty."""
    statements: list[Statement] = []
    for statement in tree:
        if isinstance(statement, Compute):
            steps = tuple(filter(wanted, statement.steps))
            statements += [replace(statement, steps=steps)] if steps else []
            continue
        left = with_bodies(statement, partial(only, wanted=wanted))
        if any(computes([left])) or not any(computes([statement])):
            statements.append(left)
    return tuple(statements)


def computes(tree: Iterable[Statement]) -> Iterator[Compute]:
    """Yield all places where steps are computed, without the loops around them."""
    return (statement for statement in walk(tree) if isinstance(statement, Compute))


def steps_in(tree: Iterable[Statement]) -> Iterator[Step]:
    """Yield the steps that a tree consists of, in their order."""
    for statement in tree:
        if isinstance(statement, Group | Compute) and statement.steps:
            yield from statement.steps
            continue
        for body in bodies(statement):
            yield from steps_in(body)

"""Loop trees as text, a line for each statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nncodegen.compiler.ir import Element
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Call,
    CallerFlag,
    Carry,
    Combine,
    Compute,
    Cut,
    Fill,
    First,
    Gather,
    Group,
    If,
    Let,
    Limits,
    Load,
    Loop,
    Move,
    Solve,
    Statement,
    Store,
    Variable,
    When,
)
from nncodegen.compiler.schedule.tree_walks import bodies


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
            return known.value if isinstance(known, When | CallerFlag) else f"if {known}"
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
        case Carry():
            return f"carry {statement.step}"
        case Compute():
            over = ", ".join((*statement.loops, *(f"each {index}" for index in statement.unrolled)))
            steps_text = "; ".join(map(str, statement.steps))
            return f"compute by {statement.shape.value}{f' over {over}' if over else ''}: {steps_text}"
        case Call():
            return f"call {statement.shape.value}: {'; '.join(map(str, statement.steps))}"
        case Fill():
            return f"fill with {statement.filling.value} {statement.target}"


def _combined(statement: Store | Accumulate) -> str:
    """Return the operator that combines a value with the stored one, as text."""
    return f"{statement.operator}=" if statement.combine is Combine.CHOOSE else statement.combine.value


def _listed(elements: Sequence[Element]) -> str:
    return ", ".join(map(str, elements)) or "nothing"

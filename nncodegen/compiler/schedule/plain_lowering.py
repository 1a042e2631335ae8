"""From the joined loops of a plain kernel to its loop tree, when the places of all tensors are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import prod

from sympy import Expr, S

from nncodegen.compiler.ir import RECURRENCES, REDUCTIONS, Program, Solution, Step, solve
from nncodegen.compiler.ir.systems import INTEGRATE
from nncodegen.compiler.schedule.extents import Extent, neighbour
from nncodegen.compiler.schedule.joined_loops import Clear, Compute, Finish, Item, OpenLoop, Start
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Place, Storage
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Call,
    Combine,
    Exists,
    First,
    Group,
    If,
    Later,
    Let,
    Loop,
    Solve,
    Statement,
    Store,
    Tree,
    Value,
    Variable,
    Way,
    combine_of,
    neutral_of,
    numbers_of,
)


@dataclass(frozen=True)
class PlainLowering:
    """Builds the tree of the loops of a program, given the places of its tensors."""

    program: Program
    storage: Mapping[str, Storage]
    ends: Mapping[str, Extent] = field(default_factory=dict)
    """The ends of loops that are known only at run time, by their indices."""

    def __call__(self, root: OpenLoop) -> Tree:
        """Return the statements of each of the outermost loops, and those between them."""
        statements: list[Statement] = []
        for loops, items in groupby(root.body, lambda item: isinstance(item, OpenLoop)):
            members = tuple(items)
            if loops:
                statements += map(self._group, members)
            else:
                statements.append(Group(tuple(self._body(members))))
        return tuple(statements)

    def _group(self, item: OpenLoop | Item) -> Group:
        steps = tuple(_steps([item]))
        return Group((self._statement(item),), steps, "" if steps else "Zeros, to which each query adds.")

    def _body(self, items: Iterable[OpenLoop | Item]) -> Iterator[Statement]:
        for item in items:
            if not isinstance(item, Finish) or self.storage[item.step.target.tensor].place is not Place.LOCAL:
                yield self._statement(item)

    def _statement(self, item: OpenLoop | Item) -> Statement:
        match item:
            case OpenLoop():
                return self._loop(item)
            case Start(step):
                return Variable(step.target, self._neutral(step))
            case Clear(step):
                return Store(step.target, Value((S.Zero,)))
            case Finish(step):
                return Store(step.target, Value((step.target,)))
            case Compute(step, True):
                return Store(step.target, Value((step.expression,)), Combine.ADD)
            case Compute(step):
                return self._computed(step)

    def _loop(self, node: OpenLoop) -> Statement:
        body, sizes = tuple(self._body(node.body)), self.program.sizes
        if isinstance(node.equation, Solution):
            return Solve(node.equation, sizes[node.equation.index] or 1, body)
        if node.equation:
            return If(node.equation, body)
        way = Way.IN_TURN if node.forward is None else Way.IN_ORDER
        return Loop(
            node.index, self.ends.get(node.index, sizes[node.index] or 1), body, way, backward=node.forward is False
        )

    def _neutral(self, step: Step) -> Expr:
        """Return the start value of a reduction; the number of terms for the reduction ``first``."""
        return neutral_of(step.operator or "sum", self._count(step))

    def _free(self, step: Step) -> dict[str, int]:
        """Return the indices that enumerate the terms of a reduction, with their sizes."""
        sizes = self.program.sizes
        return {index: sizes[index] or 1 for index in solve(step.where, step.over, sizes).free}

    def _count(self, step: Step) -> int:
        return prod(self._free(step).values())

    def _computed(self, step: Step) -> Statement:
        """Return the statement of a step, or of one term of its reduction."""
        target, place = step.target, self.storage[step.target.tensor].place
        if step.operator == INTEGRATE:
            ends = ((index, self.program.sizes[index] or 1) for index in step.indices)
            return Call(Shape.PATH, (step,), target.indices[-1], tuple(ends))
        value = self._recurred(step) if step.operator in RECURRENCES else Value((step.expression,))
        if step.operator == "first":
            return First(target, value, numbers_of(self._free(step)), self._count(step), local=True)
        if step.operator in REDUCTIONS:
            return Accumulate(target, value, combine_of(step.operator), step.operator)
        if step.where and not step.over:
            value = Value(value.terms, where=step.where)
        if place is Place.LOCAL:
            return Let(target, value)
        return Store(target, value, Combine.ADD if place is Place.GRADIENT else Combine.SET)

    def _recurred(self, step: Step) -> Value:
        """Return the value that a recurrence reads from the previous iteration; 0 in the first."""
        (index,), (held,) = step.over, step.operands
        if step.operator == "before":
            return Value((held.renamed({index: neighbour(index, -1)}),), where=(Later(index),))
        there = Exists(f"{index} + 1", self.program.sizes[index] or 1)
        return Value((held.renamed({index: neighbour(index, 1)}),), where=(there,))


def _steps(items: Iterable[OpenLoop | Item]) -> Iterator[Step]:
    """Yield the steps in loops, in their order."""
    for item in items:
        if isinstance(item, OpenLoop):
            yield from _steps(item.body)
        elif isinstance(item, Compute):
            yield item.step

"""Formulas as a list of operations, in an order in which each reads results before it.

A function such as exp comes with its derivatives as further operations, by which its power series follows from that of
its argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from sympy import Add, Expr, Mul, Pow, Symbol, log
from sympy.core.function import ArgumentIndexError

from nncodegen.compiler.ir.elementary import FUNCTIONS, POWER, Elementary
from nncodegen.compiler.ir.graphs import graph_of
from nncodegen.errors import ModelError

NUMBER, LEAF, SUM, PRODUCT, INVERSE, CALL = "number", "leaf", "sum", "product", "inverse", "call"
"""The kinds of operations."""


@dataclass
class Operation:
    """An operation: its kind, the places of its operands, and what it depends on.

    ``varies`` says whether it depends on the time, ``moves`` whether it depends on an unknown. ``of`` is the number,
    the symbol of a leaf, or the record of a function. The latter has the places of its derivatives by operands that
    vary in time in ``slopes``.
    """

    kind: str
    operands: tuple[int, ...]
    varies: bool
    moves: bool
    of: Any = None
    slopes: tuple[int | None, ...] = ()


class Tape:
    """Operations for formulas. ``leaves`` maps each symbol to whether it varies in time, and depends on an unknown."""

    def __init__(self, leaves: Mapping[Symbol, tuple[bool, bool]]) -> None:
        self.operations: list[Operation] = []
        self._leaves = leaves
        self._places: dict[Any, int] = {}
        self._waiting: list[Expr] = []  # functions that vary in time, whose derivatives are not on the tape yet

    def add(self, formulas: Iterable[Expr]) -> list[int]:
        """Return the places of formulas, after adding the operations that they need. Raises ModelError."""
        places = self._add_all(list(formulas))
        while self._waiting:
            node = self._waiting.pop()
            operation = self.operations[self._places[node]]
            varying = [self.operations[operand].varies for operand in operation.operands]
            operation.slopes = tuple(self._slope(node, k) if varies else None for k, varies in enumerate(varying))
        return places

    def define(self, symbol: Symbol, place: int) -> None:
        """Let a symbol stand for an operation."""
        self._places[symbol] = place

    @property
    def calls(self) -> list[Elementary]:
        """Return the functions that are not rational."""
        return [operation.of for operation in self.operations if operation.kind == CALL]

    def _add_all(self, formulas: list[Expr]) -> list[int]:
        graph = graph_of(formulas)
        for node in graph.nodes:
            if node not in self._places:
                place = self._places[node] = self._operation(node)
                if isinstance(node, Expr) and self.operations[place].kind == CALL and self.operations[place].varies:
                    self._waiting.append(node)
        return [self._places[formula] for formula in formulas]

    def _operation(self, node: Any) -> int:
        """Return the place of a node, whose arguments are on the tape."""
        operands = [self._places[argument] for argument in node.args]
        if isinstance(node, Symbol):
            varies, moves = self._leaves[node]
            return self._append(Operation(LEAF, (), varies, moves, node))
        if not operands:
            return self._append(Operation(NUMBER, (), False, False, node))
        if isinstance(node, Add):
            return self._derived(SUM, *operands)
        if isinstance(node, Mul):  # what is constant first: a product with it is one multiplication for each order
            ordered = sorted(operands, key=lambda place: (self.operations[place].varies, self.operations[place].moves))
            return reduce(lambda left, right: self._derived(PRODUCT, left, right), ordered)
        if isinstance(node, Pow):
            exponent = node.exp
            if exponent.is_Integer or (exponent.is_Float and float(exponent).is_integer()):
                raised = self._raised(operands[0], abs(int(exponent)))
                return raised if exponent > 0 else self._derived(INVERSE, raised)
            return self._derived(CALL, *operands, of=POWER)
        record = FUNCTIONS.get(node.func.__name__)
        if record is None:
            raise ModelError(f"{node.func.__name__} has no derivatives that are known here, in: {node}")
        return self._derived(CALL, *operands, of=record)

    def _raised(self, base: int, exponent: int) -> int:
        """Return the place of a power with a whole exponent above 0, by squares."""
        if exponent == 1:
            return base
        half = self._raised(base, exponent // 2)
        square = self._derived(PRODUCT, half, half)
        return self._derived(PRODUCT, square, base) if exponent % 2 else square

    def _derived(self, kind: str, *operands: int, of: Any = None) -> int:
        """Return the place of an operation on others; equal operations are one."""
        key = (kind, operands, of.name if of else "")
        if key not in self._places:
            varies = any(self.operations[operand].varies for operand in operands)
            moves = any(self.operations[operand].moves for operand in operands)
            self._places[key] = self._append(Operation(kind, operands, varies, moves, of))
        return self._places[key]

    def _append(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations) - 1

    def _slope(self, node: Any, k: int) -> int:
        """Return the place of the derivative of a function by one of its arguments. Raises ModelError without one."""
        if isinstance(node, Pow):
            base, exponent = (self._places[argument] for argument in node.args)
            other = self._add_all([log(node.base)])[0] if k else self._derived(INVERSE, base)
            value = self._places[node]
            return self._derived(PRODUCT, value if k else self._derived(PRODUCT, exponent, value), other)
        try:
            return self._add_all([node.fdiff(k + 1)])[0]
        except (ArgumentIndexError, NotImplementedError, AttributeError) as error:
            raise ModelError(f"{node.func.__name__} has no derivative that is known here, in: {node}") from error

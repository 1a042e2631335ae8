"""One walk over expressions, with any arithmetic: it visits the nodes of a formula in order.

An arithmetic defines the result of each kind of node: numbers, arrays, operations of a tape, nodes of a graph. The walk
computes each node once, however often an expression has it. It needs no recursion of Python, however deep an expression
is: the computation of a node *asks* for others, as a generator that yields them and is sent their values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, Generic, TypeVar

from sympy import Add, Basic, Expr, Mul, Piecewise, Pow
from sympy.core.relational import Relational
from sympy.logic.boolalg import ITE, Xor

from nncodegen.compiler.ir.element import Element
from nncodegen.compiler.ir.elementary import FUNCTIONS, Elementary
from nncodegen.compiler.ir.functions import StableFunction, plain_conditions
from nncodegen.errors import ProgramError

T = TypeVar("T")

Asking = Generator[Any, T, T]
"""A generator that asks for nodes, is sent their values, and returns a value."""


class Arithmetic(ABC, Generic[T]):
    """The results of the nodes of an expression.

    Most arithmetics compute with values alone. An arithmetic that looks at the nodes themselves, as to write a sum with
    differences, overrides the methods that ask for them: ``visit``, ``sum``, ``product``, ``raised`` and ``choose``.
    """

    @abstractmethod
    def number(self, node: Any) -> T:
        """Return a number, a truth value or NAN, given as an atom of SymPy."""

    @abstractmethod
    def element(self, element: Element) -> T:
        """Return the value of an element."""

    @abstractmethod
    def form(self, function: StableFunction) -> Expr:
        """Return the expression that a function with a stable form stands for."""

    @abstractmethod
    def add(self, values: Sequence[T]) -> T:
        """Return the sum of values, in their order."""

    @abstractmethod
    def multiply(self, values: Sequence[T]) -> T:
        """Return the product of values, in their order."""

    @abstractmethod
    def power(self, base: T, exponent: T, symbol: Expr) -> T:
        """Return a power; ``symbol`` is the exponent in the expression."""

    @abstractmethod
    def call(self, function: Elementary, values: Sequence[T]) -> T:
        """Return the value of an elementary function."""

    @abstractmethod
    def compare(self, relation: str, left: T, right: T) -> T:
        """Return whether two values are in a relation, such as "<=" or "!="."""

    @abstractmethod
    def logic(self, name: str, values: Sequence[T]) -> T:
        """Return the "And" or the "Or" of conditions, or the "Not" of one."""

    @abstractmethod
    def choose(self, branches: Sequence[Any]) -> Asking[T]:
        """Ask for the needed parts of pairs (value, condition); return the value of the first condition that holds."""

    def leaf(self, node: Any) -> T:
        """Return the value of a node without parts."""
        return self.element(node) if isinstance(node, Element) else self.number(node)

    def unknown(self, node: Any) -> Exception:
        """Return the error for an unknown function."""
        return ProgramError(f"{node.func.__name__} cannot be evaluated, in: {node}")

    # --- what asks ---------------------------------------------------------------------------------------------------

    def visit(self, node: Any) -> Asking[T]:
        """Ask for the parts of a node; return its value."""
        if not node.args:
            return self.leaf(node)
        if isinstance(node, StableFunction):
            return (yield self.form(node))
        if isinstance(node, Piecewise):
            return (yield from self.choose(node.args))
        if isinstance(node, Add):
            return (yield from self.sum(node))
        if isinstance(node, Mul):
            return (yield from self.product(node))
        if isinstance(node, Pow):
            return (yield from self.raised(node))
        if isinstance(node, ITE | Xor):  # SymPy makes an ITE of a Piecewise that is compared
            return (yield plain_conditions(node))
        values = yield from self.parts(node)
        if isinstance(node, Relational):
            return self.compare(node.rel_op, *values)
        if node.is_Boolean:
            return self.logic(node.func.__name__, values)
        record = FUNCTIONS.get(node.func.__name__)
        if record is None:
            raise self.unknown(node)
        return self.call(record, values)

    def parts(self, node: Basic) -> Generator[Any, T, list[T]]:
        """Ask for all parts of a node; return their values."""
        values = []
        for part in node.args:
            values.append((yield part))  # noqa: PERF401 (a comprehension cannot ask)
        return values

    def sum(self, node: Add) -> Asking[T]:
        """Ask for the terms of a sum; return it."""
        return self.add((yield from self.parts(node)))

    def product(self, node: Mul) -> Asking[T]:
        """Ask for the factors of a product; return it."""
        return self.multiply((yield from self.parts(node)))

    def raised(self, node: Pow) -> Asking[T]:
        """Ask for the base and the exponent of a power; return it."""
        base, exponent = yield from self.parts(node)
        return self.power(base, exponent, node.exp)


def walk(node: Any, arithmetic: Arithmetic[T], values: dict[Any, T] | None = None) -> T:
    """Return the value of an expression in an arithmetic; ``values`` has those of known nodes."""
    known: dict[Any, T] = {} if values is None else values
    if node in known:
        return known[node]
    waiting = [(node, arithmetic.visit(node))]
    value: Any = None
    while waiting:
        current, asking = waiting[-1]
        try:
            wanted = asking.send(value)
        except StopIteration as end:
            waiting.pop()
            value = known[current] = end.value
            continue
        if wanted in known:
            value = known[wanted]
        elif not wanted.args:  # at once: most nodes are leaves
            value = known[wanted] = arithmetic.leaf(wanted)
        else:
            waiting.append((wanted, arithmetic.visit(wanted)))
            value = None
    return known[node]

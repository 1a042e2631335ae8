"""Expressions as graphs: each part is stored once, however often it occurs, and walked without recursion.

An expression of SymPy is a tree whose parts may be shared objects: after ten steps of ``u = u + h*a*u*(c - u)`` it has
some fifty of them, and sixty thousand as a tree. SymPy's own walkers go through the tree, by recursion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from sympy import Add, Basic, Expr, Mul, Symbol

MOST_LEVELS = 80
"""Number of levels up to which a formula is not large. Each takes some ten of Python's thousand nested calls, within
SymPy."""

MOST_NODES = 10_000
"""Number of nodes as a tree up to which a formula is not large; with more nodes, it is large if its parts are
shared."""

SHARED = 4
"""Ratio of the nodes of a formula as a tree and as a graph from which on its parts count as shared."""


@dataclass(frozen=True)
class ExpressionGraph:
    """The parts of some expressions, numbered so that operands come first; equal parts have one number.

    ``operands`` has the numbers of the arguments of each node, ``roots`` those of the expressions themselves.
    """

    nodes: tuple[Basic, ...]
    operands: tuple[tuple[int, ...], ...]
    roots: tuple[int, ...]

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Return the symbols that occur, each once."""
        return tuple(node for node in self.nodes if isinstance(node, Symbol))

    @cached_property
    def depth(self) -> int:
        """Return the largest number of nodes from a root down to an atom."""
        levels: list[int] = []
        for operands in self.operands:
            levels.append(1 + max((levels[operand] for operand in operands), default=0))
        return max((levels[root] for root in self.roots), default=0)

    @cached_property
    def size(self) -> int:
        """Return the number of nodes of all expressions as trees, in which a shared part counts each time it occurs."""
        sizes: list[int] = []
        for operands in self.operands:
            sizes.append(1 + sum(sizes[operand] for operand in operands))
        return sum(sizes[root] for root in self.roots)

    @property
    def is_large(self) -> bool:
        """Return whether the graph has too many levels, or too many nodes as trees, for functions that walk trees."""
        return self.depth > MOST_LEVELS or (self.size > MOST_NODES and self.size > SHARED * len(self.nodes))

    @cached_property
    def uses(self) -> Counter[int]:
        """Return how often each node is an operand of another one, or a root."""
        return Counter([*self.roots, *(operand for operands in self.operands for operand in operands)])


def graph_of(expressions: Iterable[Basic]) -> ExpressionGraph:
    """Return the graph of some expressions.

    Parts are compared by the numbers of their operands, never as trees: that would take as long as walking them.
    """
    expressions = tuple(expressions)
    arguments: dict[int, tuple[Basic, ...]] = {}  # by the identity of an object, which stays alive meanwhile
    numbers: dict[int, int] = {}
    known: dict[tuple[object, ...], int] = {}
    nodes: list[Basic] = []
    operands: list[tuple[int, ...]] = []
    waiting: list[Basic] = [*reversed(expressions)]
    while waiting:
        node = waiting[-1]
        if id(node) in numbers:
            waiting.pop()
            continue
        if id(node) not in arguments:
            arguments[id(node)] = parts = node.args
            waiting.extend(argument for argument in reversed(parts) if id(argument) not in numbers)
            continue
        operand_numbers = tuple(numbers[id(argument)] for argument in arguments[id(waiting.pop())])
        key = (type(node), operand_numbers) if operand_numbers else (type(node), node)
        if key not in known:
            known[key] = len(nodes)
            nodes.append(node)
            operands.append(operand_numbers)
        numbers[id(node)] = known[key]
    return ExpressionGraph(tuple(nodes), tuple(operands), tuple(numbers[id(expression)] for expression in expressions))


def nodes_of(*expressions: Basic) -> Iterator[Basic]:
    """Yield the parts of some expressions, each once, operands first."""
    return iter(graph_of(expressions).nodes)


def symbols_of(*expressions: Basic) -> tuple[Symbol, ...]:
    """Return the symbols in some expressions, each once, in the order in which they are met."""
    return graph_of(expressions).symbols


def replaced(expression: Basic, values: Mapping[Symbol, Basic]) -> Basic:
    """Return the expression with values in place of symbols, as SymPy's ``xreplace``."""
    return rewritten(expression, lambda node: values.get(node, node) if isinstance(node, Symbol) else node)


def rewritten(expression: Basic, change: Callable[[Basic], Basic]) -> Basic:
    """Return the expression with a function applied to each of its parts, operands first."""
    graph = graph_of([expression])
    changed_nodes: list[Basic] = []
    for node, operands in zip(graph.nodes, graph.operands, strict=True):
        new_operands = [changed_nodes[operand] for operand in operands]
        changed = any(new is not graph.nodes[operand] for new, operand in zip(new_operands, operands, strict=True))
        changed_nodes.append(change(node.func(*new_operands) if changed else node))
    return changed_nodes[graph.roots[0]]


Name = TypeVar("Name", bound=Symbol)


def with_names(expressions: Iterable[Expr], name: Callable[[int], Name]) -> tuple[dict[Name, Expr], tuple[Expr, ...]]:
    """Return expressions in which parts that occur several times have names, after what each name stands for.

    ``name`` gives the symbol of a number. Operands come first.
    """
    graph = graph_of(expressions)
    rewritten_nodes: list[Any] = []
    named: dict[Name, Expr] = {}
    for number, (node, operands) in enumerate(zip(graph.nodes, graph.operands, strict=True)):
        written = node.func(*(rewritten_nodes[operand] for operand in operands)) if operands else node
        if operands and graph.uses[number] > 1 and isinstance(written, Expr) and not written.is_Atom:
            symbol = name(len(named) + 1)
            named[symbol] = written
            written = symbol
        rewritten_nodes.append(written)
    return named, tuple(rewritten_nodes[root] for root in graph.roots)


def objects_of(*expressions: Basic) -> Iterator[Basic]:
    """Yield the parts of some expressions from the roots down, as SymPy's ``preorder_traversal``, but each object once.

    Equal parts that are different objects are yielded each, since finding them would take longer than most questions
    about parts.
    """
    arguments: dict[int, tuple[Basic, ...]] = {}  # by the identity of objects, which the expressions keep alive
    waiting = [*reversed(expressions)]
    while waiting:
        node = waiting.pop()
        if id(node) not in arguments:
            arguments[id(node)] = parts = node.args
            yield node
            waiting.extend(reversed(parts))


def contains(expression: Basic, *kinds: type) -> bool:
    """Return whether an expression has a part of some kinds."""
    return any(isinstance(node, kinds) for node in objects_of(expression))


@lru_cache(maxsize=100_000)
def tree_size(expression: Basic) -> int:
    """Return the number of nodes of an expression as a tree, up to MOST_NODES: each part is counted once."""
    return min(MOST_NODES, 1 + sum(tree_size(part) for part in expression.args))


FEWEST = 2
"""Sums and products with fewer operands are not searched for in others."""


def nested(graph: ExpressionGraph) -> ExpressionGraph:
    """Return the graph in which a sum or product with all operands of an earlier one has that one as an operand.

    SymPy merges a sum into the sums around it: the k-th of ``u = u + f(u)`` has k operands, of which all but one are
    those of the previous sum.
    """
    operands: list[tuple[int, ...]] = []
    latest: dict[tuple[type, int], int] = {}  # the last sum, or product, that has an operand
    sets = [frozenset(operand_numbers) for operand_numbers in graph.operands]
    for number, (node, operand_numbers) in enumerate(zip(graph.nodes, graph.operands, strict=True)):
        kind = next((kind for kind in (Add, Mul) if isinstance(node, kind)), None)
        if kind is None or not FEWEST <= len(operand_numbers) == len(sets[number]):
            operands.append(operand_numbers)
            continue
        counts = Counter(latest[kind, operand] for operand in operand_numbers if (kind, operand) in latest)
        inner = next((n for n, count in counts.most_common(1) if count == len(sets[n]) < len(operand_numbers)), None)
        rest = (operand for operand in operand_numbers if inner is None or operand not in sets[inner])
        operands.append((*rest, *([] if inner is None else [inner])))
        latest |= {(kind, operand): number for operand in operand_numbers}
    return ExpressionGraph(graph.nodes, tuple(operands), graph.roots)

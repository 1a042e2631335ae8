"""Cuts formulas that are too deep, or too large as trees, into steps of a few levels each.

The passes treat formulas as trees: a rule of ``stabilize`` looks through a few levels, and each pass descends by
recursion, once for each occurrence of a part. That suits formulas that a person can read. The others, such as the
result of two hundred steps of Euler's method, are cut here, once and for all passes, into steps that are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sympy import Add, Basic, Expr, Function, Symbol

from nncodegen.compiler.ir import SAMPLE, Element, Step
from nncodegen.compiler.ir.functions import plain_conditions
from nncodegen.compiler.ir.graphs import ExpressionGraph, nested

LEVELS = 24
"""The number of levels at which a piece becomes a step."""

LEVELS_OF_ARGUMENTS = 12
"""The number of levels at which the argument of a function becomes a step.

Few rules look from a function into its argument.
"""

NODES = 400
"""The number of nodes at which a piece becomes a step."""

NODES_OF_SHARED = 24
"""The number of nodes at which a part that occurs several times becomes a step; rules see all of smaller ones."""


def cut(
    graph: ExpressionGraph, known: Mapping[Symbol, Element], targets: Sequence[Element], taken: Sequence[str]
) -> list[Step]:
    """Return the steps that define ``targets``, one for each root of the graph, by its formula.

    ``known`` has the element of each symbol; elements of the samples, and tensors that depend on them, have the index
    of the samples. ``taken`` are names that steps must not have.
    """
    return _Cut(nested(graph), known, targets, taken).steps


class _Cut:
    """Goes through a graph, from the atoms to the roots.

    The *piece* of a node is its expression, in which earlier steps and symbols are elements. For each piece, its
    levels, its size as a tree, and whether it differs between samples are known.
    """

    def __init__(
        self, graph: ExpressionGraph, known: Mapping[Symbol, Element], targets: Sequence[Element], taken: Sequence[str]
    ) -> None:
        self.steps: list[Step] = []
        self._graph, self._known, self._taken = graph, known, {*taken, *(target.tensor for target in targets)}
        self._count = 0
        self._pieces: list[Expr] = []
        self._levels: list[int] = []
        self._sizes: list[int] = []
        self._sampled: list[bool] = []
        self._named: dict[Expr, Element] = {}
        called = {operand for node, operands in self._nodes() if isinstance(node, Function) for operand in operands}
        elsewhere = {
            operand for node, operands in self._nodes() if not isinstance(node, Function) for operand in operands
        }
        self._arguments = called - elsewhere  # used for membership only: a set has no fixed order
        roots: dict[int, list[Element]] = {root: [] for root in graph.roots}
        for root, target in zip(graph.roots, targets, strict=True):
            roots[root].append(target)
        for number, (node, operands) in enumerate(self._nodes()):
            self._add(node, operands)
            for target in roots.get(number, ()):
                self._define(number, target)
            if number not in roots and self._is_step(number):
                self._name(number)

    def _nodes(self) -> Iterator[tuple[Basic, tuple[int, ...]]]:
        return zip(self._graph.nodes, self._graph.operands, strict=True)

    def _add(self, node: Basic, operands: tuple[int, ...]) -> None:
        """Add the piece of a node whose operands have pieces already."""
        self._levels.append(1 + max((self._levels[operand] for operand in operands), default=0))
        self._sizes.append(1 + sum(self._sizes[operand] for operand in operands))
        if operands:
            piece = plain_conditions(node.func(*(self._pieces[operand] for operand in operands)))
            self._sampled.append(any(self._sampled[operand] for operand in operands))
        else:
            piece = self._known.get(node, node) if isinstance(node, Symbol) else node
            self._sampled.append(SAMPLE in getattr(piece, "indices", ()))
        self._pieces.append(piece)

    def _is_step(self, number: int) -> bool:
        """Return whether a piece is large enough to become a step."""
        if not isinstance(self._graph.nodes[number], Expr) or self._pieces[number].is_Atom:
            return False
        levels, size = self._levels[number], self._sizes[number]
        return (
            levels >= LEVELS
            or size >= NODES
            or (levels >= LEVELS_OF_ARGUMENTS and number in self._arguments)
            or (size >= NODES_OF_SHARED and self._graph.uses[number] > 1)
        )

    def _name(self, number: int) -> None:
        """Make a step of a piece, without its factor: z, -z and 2*z share one."""
        coefficient, rest = self._pieces[number].as_coeff_Mul()
        if isinstance(rest, Add) and rest.could_extract_minus_sign():
            coefficient, rest = -coefficient, -rest
        if rest not in self._named:
            self._named[rest] = self._step(rest, self._fresh(number))
        self._stands(number, coefficient * self._named[rest])

    def _define(self, number: int, target: Element) -> None:
        """Make the step of a target."""
        self._step(self._pieces[number], target)
        if not self._pieces[number].is_Atom:
            self._stands(number, target)

    def _step(self, expression: Expr, target: Element) -> Element:
        self.steps.append(Step(target, expression))
        return target

    def _stands(self, number: int, piece: Expr) -> None:
        """Replace the piece of a node."""
        self._pieces[number], self._levels[number], self._sizes[number] = piece, 1, 1

    def _fresh(self, number: int) -> Element:
        """Return an element with an unused name."""
        self._count += 1
        while f"part{self._count}" in self._taken:
            self._count += 1
        return Element(f"part{self._count}", (SAMPLE,) if self._sampled[number] else ())

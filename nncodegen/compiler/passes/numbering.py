"""Value numbering: every distinct value is defined by exactly one step.

An expression is split into steps, each of which is one function, or one sum of products, of elements; a value that an
earlier step defines is used again. The reverse sweep and common-subexpression elimination both work like this, in
program order. No set is iterated, so the result does not depend on hashes.

SymPy's ``cse`` works on single expressions. This one also handles indices and reductions, in time linear in the size of
the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from sympy import Add, Expr, Mul, Piecewise, Pow
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.ir import RECURRENCES, ROW, SAMPLE, Element, Equation, Step, elements, gathered, renamed
from nncodegen.compiler.ir.graphs import tree_size
from nncodegen.compiler.ir.magnitudes import divided, grouped
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.passes.infinities import is_total

MOST_FACTORS = 12
"""The largest number of factors of a product that is differentiated.

Each of its derivatives has all factors but one, and second derivatives all but two, so that their total number grows
with the square and the cube of the number of factors.
"""


KEEPING_ORDER = (grouped, divided)
"""Functions whose arguments are computed before all else: a number in one, as in grouped(R, 2*z), goes nowhere else."""

MOST_COMPARED = 500
"""The largest number of nodes, as a tree, of a sum whose sign SymPy is asked for before its terms are elements."""

MOST_BRANCHES = 8
"""The largest number of branches of a Piecewise that is differentiated, if all further ones stay finite.

Each of its derivatives has all branches, so that their total number grows with the square of the number of branches.
"""


class Numbering:
    """A growing list of steps, no two of which define the same value.

    ``lower`` may rewrite a node after its operands have become elements. With ``to_differentiate`` a Piecewise stays in
    one step with its branches: its derivative must not multiply by a branch that is not taken, which may be infinite.
    With it, a product of many factors also becomes a product of products, and the last of many branches a step of their
    own.
    """

    def __init__(
        self,
        taken: Iterable[str],
        lower: Callable[[Expr], Expr | None] = lambda node: None,
        to_differentiate: bool = False,
    ) -> None:
        self.steps: list[Step] = []
        self._taken = set(taken)
        self._lower = lower
        self._to_differentiate = to_differentiate
        self._known: dict[tuple[object, ...], Element] = {}
        self._atoms: dict[Expr, Expr] = {}
        self._count = 0

    def define(
        self,
        expression: Expr,
        name: str | None = None,
        indices: tuple[str, ...] | None = None,
        operator: str | None = None,
        over: tuple[str, ...] = (),
        where: tuple[Equation, ...] = (),
    ) -> Element:
        """Return the element that holds a value; a new step defines it unless an earlier one does."""
        simple = self.simple(expression)
        if indices is None:
            ordered = _ordered_indices(simple, where)
            indices = tuple(index for index in ordered if operator is None or index not in over)
        if operator is None and isinstance(simple, Element) and simple.indices == indices and not where:
            return simple
        key = (simple, operator, over, indices, where)
        if key not in self._known:
            self._known[key] = target = Element(self.fresh(name), indices)
            self.steps.append(Step(target, simple, operator, over, where))
        return self._known[key]

    def reduced(self, step: Step, value: Expr, operator: str) -> Element:
        """Return the element with the sum or the maximum of a value over the existing terms of a normalization."""
        rows = tuple(index for index in step.target.indices if index not in step.over) if step.where else None
        return self.define(value, None, rows, operator, step.over, step.where)

    def recur(self, operator: str, indices: tuple[str, ...], over: tuple[str, ...], name: str | None = None) -> Element:
        """Return the element of a recurrence; ``complete`` must later set the value that it reads."""
        target = Element(self.fresh(name), indices)
        self.steps.append(Step(target, target, operator, over))
        return target

    def complete(self, recurrence: Element, value: Expr) -> None:
        """Set the value that a recurrence reads."""
        number = next(k for k, step in enumerate(self.steps) if step.target == recurrence)
        if not isinstance(value, Element) or value.indices != recurrence.indices:  # constant in time, for example
            held = Element(self.fresh(), recurrence.indices)
            self.steps.append(Step(held, value))
            value = held
        self.steps[number] = replace(self.steps[number], expression=value)

    def fresh(self, name: str | None = None) -> str:
        """Return an unused name: the given one if it is free."""
        if name is None:
            name = ""
            while not name or name in self._taken:
                self._count += 1
                name = f"t{self._count}"
        return take(name, self._taken)

    def simple(self, node: Expr) -> Expr:
        """Return the expression with each compound operand replaced by an element that holds its value."""
        if node.is_Atom:
            return node
        if isinstance(node, Add):
            return Add(*(self._term(term) for term in node.args))
        if isinstance(node, Mul):
            return self._term(node)
        if _is_integer_power(node):
            return self._factor(node)
        if isinstance(node, Piecewise):
            return self._piecewise(node)
        argument_of = self._atom if isinstance(node, KEEPING_ORDER) else self._scaled
        return self._lowered(node.func(*map(argument_of, node.args)))

    def _term(self, term: Expr) -> Expr:
        """Return a coefficient times powers of elements."""
        if not isinstance(term, Mul):
            return self._factor(term)
        factors = [self._factor(factor) for factor in term.args]
        while self._to_differentiate and len(factors) > MOST_FACTORS:
            factors = self._products(factors)
        return Mul(*factors)

    def _products(self, factors: list[Expr]) -> list[Expr]:
        """Return the factors of a product, with several in one step; those that all samples share come first."""
        number = Mul(*(factor for factor in factors if factor.is_number))
        others = sorted(
            (factor for factor in factors if not factor.is_number),
            key=lambda factor: any(SAMPLE in element.indices for element in elements(factor)),
        )
        size = MOST_FACTORS // 2
        parts = (others[begin : begin + size] for begin in range(0, len(others), size))
        return [number, *(self.define(Mul(*part)) for part in parts)]

    def _factor(self, factor: Expr) -> Expr:
        if _is_integer_power(factor):
            return self._lowered(Pow(self._atom(factor.base), factor.exp))
        return self._atom(factor)

    def _lowered(self, node: Expr) -> Expr:
        lowered = self._lower(node)
        if lowered is None or isinstance(node, divided):  # no step of its own for 1/v
            return node if lowered is None else lowered
        return self.simple(lowered)

    def _scaled(self, node: Expr) -> Expr:
        """Return an element, or a number times an element, as the argument of a function."""
        coefficient, rest = node.as_coeff_Mul()
        return coefficient * self._atom(rest)

    def _atom(self, node: Expr) -> Expr:
        """Return a number, or an element with a sign: z and -z share one step."""
        if node.is_Atom:
            return node
        if node not in self._atoms:
            if node.is_number and not elements(node):
                self._atoms[node] = node
            elif isinstance(node, Add) and self._has_minus_sign(node):
                self._atoms[node] = -self._atom(-node)
            else:
                self._atoms[node] = self.define(node)
        return self._atoms[node]

    def _has_minus_sign(self, node: Expr) -> bool:
        """Return whether a sum is written as minus another one. SymPy compares all of both, as trees."""
        asked = node if tree_size(node) <= MOST_COMPARED else self.simple(node)
        return bool(asked.could_extract_minus_sign())

    def _piecewise(self, node: Piecewise) -> Expr:
        node = self._of_few_branches(node) if self._to_differentiate else node

        def branch(value: Expr) -> Expr:
            if isinstance(value, Piecewise) and self._to_differentiate:
                return self._piecewise(value)
            if not self._to_differentiate or is_total(value):
                return self._scaled(value)
            return value.func(*(branch(argument) for argument in value.args))

        def condition(part: Boolean) -> Boolean:
            if part.is_Atom:
                return part
            cut = self._scaled if isinstance(part, Relational) else condition
            return part.func(*(cut(argument) for argument in part.args))

        return Piecewise(*((branch(value), condition(where)) for value, where in node.args))

    def _of_few_branches(self, node: Piecewise) -> Piecewise:
        """Return a Piecewise whose last branch is an element that holds the value of all further ones.

        These are computed where they are not taken, too, and so are their derivatives: all must be finite there.
        """
        branches = [*node.args]
        while len(branches) > MOST_BRANCHES and all(is_total(value) for value, _ in branches[-MOST_BRANCHES:]):
            last = self.define(Piecewise(*branches[-MOST_BRANCHES:]))
            branches[-MOST_BRANCHES:] = [ExprCondPair(last, True)]
        return node if len(branches) == len(node.args) else Piecewise(*branches, evaluate=False)


def split(steps: Iterable[Step], numbering: Numbering) -> Known:
    """Add steps to a numbering, each split until it is one function, or one sum of products.

    Return the element that holds the value of each step.
    """
    known = Known()
    recurrences: list[tuple[Element, Expr]] = []
    for step in gathered(steps):
        if step.operator in RECURRENCES:
            known[step.target] = numbering.recur(step.operator, step.target.indices, step.over, step.target.tensor)
            recurrences.append((known[step.target], step.expression))
            continue
        rewritten = step.xreplace(known_under(step, known))
        known[step.target] = numbering.define(
            rewritten.expression, step.target.tensor, step.target.indices, step.operator, step.over, rewritten.where
        )
    for recurrence, read in recurrences:
        numbering.complete(recurrence, read.xreplace(known))
    return known


class Known(dict[Element, Any]):
    """The values that have replaced the targets of steps; targets are also found by the names of their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: dict[str, Element] = {}

    def __setitem__(self, target: Element, value: Any) -> None:
        super().__setitem__(target, value)
        self.targets[target.tensor] = target


def known_under(step: Step, known: Known) -> dict[Element, Expr]:
    """Return the values that have replaced the operands of a step, also where it uses other indices than the target."""
    replacements: dict[Element, Expr] = {}
    for operand in step.operands:
        value = known.get(operand)
        if value is None and operand.tensor in known.targets:
            target = known.targets[operand.tensor]
            names = dict(zip(target.indices, operand.indices, strict=True))
            value = renamed(known[target], names)
        if value is not None:
            replacements[operand] = value
    return replacements


def hint(step: Step) -> str | None:
    """Return the name of a step, if it was given one; None if the name is only a number."""
    return None if re.fullmatch(r"t\d+", step.target.tensor) else step.target.tensor


def _is_integer_power(node: Expr) -> bool:
    return isinstance(node, Pow) and node.exp.is_Integer and node.exp > 1


def _ordered_indices(expression: Expr, where: tuple[Equation, ...]) -> tuple[str, ...]:
    """Return the indices of a value: samples first, then rows as in W[j, i], then the others in alphabetical order.

    If the value has two or more indices in addition to the samples, and one of its elements has all its indices, they
    are in the order of that element.
    """
    read = elements(expression)
    indices = {index for element in read for index in element.indices}
    indices |= {index for equation in where for index in equation.indices}
    if len(indices) > 2 and SAMPLE in indices:
        whole = next((element.indices for element in read if len(element.indices) == len(indices)), None)
        if whole:
            return whole
    order = sorted(indices, key=lambda index: (len(index), index))
    rows = [index for index in reversed(order) if index.startswith(ROW)]
    units = [index for index in order if index != SAMPLE and index not in rows]
    return (*([SAMPLE] if SAMPLE in indices else []), *rows, *units)

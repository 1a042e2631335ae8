"""describe -> **stabilize** -> differentiate: from formulas as people write them to formulas that hold.

A formula that overflows or cancels as written must not do so as compiled, nor may its gradient. Since the
derivative of ``1 - f`` remembers nothing of the logistic function inside, the rules run before the reverse
sweep, on whole formulas: a stage of its own, which the first design had inside ``simplify``.

The rules (``rules/``) are applied from the leaves to the root, once.
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Add, Expr, Mul, Pow

from nncodegen.ir import Program
from nncodegen.rules import RULES
from nncodegen.rules.factors import without_factors, without_terms


def stabilize(program: Program) -> Program:
    """The program with every formula in a form that neither overflows nor cancels needlessly."""
    forms = Forms()
    for step in program.steps:
        forms.of(step.expression)
    forms = Forms(tuple(forms.recognized))
    steps = tuple(replace(step, expression=forms.of(step.expression)) for step in program.steps)
    return replace(program, steps=steps)


def stable_form(node: Expr) -> Expr:
    """The stable form of one expression."""
    forms = Forms()
    forms.of(node)
    return Forms(tuple(forms.recognized)).of(node)


class Forms:
    """The stable forms of expressions, each found once.

    ``recognized`` are the sums, products and powers that a rule has rewritten. A value that occurs in several places
    has to be recognized in all of them, or the places differ by what the rule saves: in ``sin(T)/T`` for a quotient
    T = p/q, SymPy keeps the second T as a q and a 1/p among other factors. So the formulas are gone through twice;
    the second time, ``parts`` are what was recognized, and sums and products that contain one of them are taken apart.
    """

    def __init__(self, parts: tuple[Expr, ...] = ()) -> None:
        self.recognized: dict[Expr, None] = {}
        self._parts = tuple(sorted(parts, key=lambda part: -part.count_ops()))  # the largest first
        self._begun: set[Expr] = set()
        self._memo: dict[Expr, Expr] = {}

    def of(self, node: Expr) -> Expr:
        """The stable form of an expression."""
        if node.is_Atom:
            return node
        if node not in self._memo:
            self._memo[node] = self._found(node)
        return self._memo[node]

    def _found(self, node: Expr) -> Expr:
        result = self._taken_apart(node) or node.func(*(self.of(argument) for argument in node.args))
        for rule in RULES.get(result.func, ()):
            rewritten = rule(result)
            if rewritten is not None and rewritten != result:
                if isinstance(node, Add | Mul | Pow):
                    self.recognized[node] = None
                self._memo.setdefault(result, result)  # where it is a part of what it becomes
                return self.of(rewritten)
        return result

    def _taken_apart(self, node: Expr) -> Expr | None:
        """A product or a sum with one of the parts in it: rest*part**k, or rest + k*part, in stable forms."""
        if not isinstance(node, Add | Mul) or node in self._parts:
            return None
        for part in self._parts:
            if part in self._begun or isinstance(node, Add) != isinstance(part, Add):
                continue
            k, rest = (without_terms if isinstance(node, Add) else without_factors)(node, part)
            if k and not rest.is_number:  # else it is the part itself, but for a number
                self._begun.add(part)  # what it becomes may contain it again
                found = self.of(part)
                self._begun.remove(part)
                return self.of(rest) + k * found if isinstance(node, Add) else self.of(rest) * found**k
        return None

"""describe -> **stabilize** -> differentiate: rewrites formulas that would overflow or lose digits as written.

Neither a compiled formula nor its gradient may overflow or lose digits where its value is finite. The rules run before
the reverse sweep, on whole formulas, because the derivative of ``1 - f`` no longer shows that f is a logistic function.
They are in ``rules/``, and are applied once, from the leaves to the root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sympy import Add, Expr, Mul, Pow

from nncodegen.ir import Program, Step
from nncodegen.passes.rules import RULES, Rule
from nncodegen.passes.rules.factors import without_factors, without_terms

Observer = Callable[[Rule, Expr, Expr], None]
"""A function that is called for each rule that applies: with the rule, the node before it and after it."""


def stabilize(program: Program) -> Program:
    """Return the program with every formula in a form that neither overflows nor cancels needlessly."""
    forms = Forms()
    for step in program.steps:
        forms.of(step.expression)
    forms = Forms(tuple(forms.recognized))
    steps = tuple(replace(step, expression=forms.of(step.expression)) for step in program.steps)
    described = program.loss_of_outputs
    return replace(program, steps=steps, loss_of_outputs=None if described is None else stable_form(described))


@dataclass(frozen=True)
class Rewriting:
    """A rule that has applied: the step where it met the node first, its name, its algebra, the node before and after.

    If other rules rewrite the node afterwards, these are further rewritings.
    """

    step: Step
    rule: str
    algebra: str
    before: Expr
    after: Expr


def rewritings(program: Program) -> tuple[Rewriting, ...]:
    """Return the rules that ``stabilize`` applies to a program, in the order in which they apply."""
    found: list[Rewriting] = []
    forms = Forms()
    for step in program.steps:
        forms.of(step.expression)
    forms = Forms(tuple(forms.recognized))
    for step in program.steps:

        def observe(rule: Rule, before: Expr, after: Expr, step: Step = step) -> None:
            algebra = " ".join((rule.__doc__ or "").split("\n\n")[0].split())
            found.append(Rewriting(step, rule.__name__.strip("<>"), algebra, before, after))

        forms.observe = observe
        forms.of(step.expression)
    return tuple(found)


def stable_form(node: Expr) -> Expr:
    """Return the stable form of one expression."""
    forms = Forms()
    forms.of(node)
    return Forms(tuple(forms.recognized)).of(node)


class Forms:
    """The stable forms of expressions, each computed once.

    ``recognized`` are the sums, products and powers that a rule has rewritten. A value that occurs in several places
    must be rewritten everywhere; otherwise the places would differ by rounding. But SymPy may hide it: in
    ``sin(T)/T`` with T = p/q, the second T becomes the factors q and 1/p among others. So all formulas are rewritten
    twice. In the second pass, ``parts`` holds what the first one recognized, and sums and products that contain a part
    are split into the part and the rest. ``observe`` is called for every rule that applies.
    """

    def __init__(self, parts: tuple[Expr, ...] = (), observe: Observer | None = None) -> None:
        self.observe = observe
        self.recognized: dict[Expr, None] = {}
        self._parts = tuple(sorted(parts, key=lambda part: -part.count_ops()))  # the largest first
        self._begun: set[Expr] = set()
        self._memo: dict[Expr, Expr] = {}

    def of(self, node: Expr) -> Expr:
        """Return the stable form of an expression."""
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
                if self.observe:
                    self.observe(rule, result, rewritten)
                if isinstance(node, Add | Mul | Pow):
                    self.recognized[node] = None
                self._memo.setdefault(result, result)  # for a result that contains the node itself
                return self.of(rewritten)
        return result

    def _taken_apart(self, node: Expr) -> Expr | None:
        """Return a product or sum that contains a part as rest*part**k or rest + k*part, in stable form; else None."""
        if not isinstance(node, Add | Mul) or node in self._parts:
            return None
        for part in self._parts:
            if part in self._begun or isinstance(node, Add) != isinstance(part, Add):
                continue
            k, rest = (without_terms if isinstance(node, Add) else without_factors)(node, part)
            if k and not rest.is_number:  # otherwise it is the part itself, times a number
                self._begun.add(part)  # its stable form may contain the part again
                found = self.of(part)
                self._begun.remove(part)
                return self.of(rest) + k * found if isinstance(node, Add) else self.of(rest) * found**k
        return None

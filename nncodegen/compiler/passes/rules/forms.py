"""Applies the rules to whole expressions, from the leaves to the root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sympy import Add, Expr, Function, Max, Min, Mul, Pow, preorder_traversal

from nncodegen.compiler.passes.rules import RULES, Rule
from nncodegen.compiler.passes.rules.factors import without_factors, without_terms

Observer = Callable[[Rule, Expr, Expr], None]
"""A function that is called for each rule that applies: with the rule, the node before it and after it."""


def stable_form(node: Expr, stable: Expr | None = None) -> Expr:
    """Return the stable form of one expression; the parts that it shares with a ``stable`` one stay as they are."""
    forms = Forms(known={} if stable is None else {part: part for part in preorder_traversal(stable)})
    form = forms.of(node)
    return Forms(tuple(forms.recognized)).of(node) if forms.recognized else form


class Forms:
    """The stable forms of expressions, each computed once.

    ``recognized`` are the sums, products and powers that a rule has rewritten. A value that occurs in several places
    must be rewritten everywhere; otherwise the places would differ by rounding. But SymPy may hide it: in
    ``sin(T)/T`` with T = p/q, the second T becomes the factors q and 1/p among others. So all formulas are rewritten
    twice. In the second pass, ``parts`` holds what the first one recognized, and sums and products that contain a part
    are split into the part and the rest. ``observe`` is called for every rule that applies; ``known`` are forms of
    expressions that are given.
    """

    def __init__(
        self,
        parts: tuple[Expr, ...] = (),
        observe: Observer | None = None,
        known: Mapping[Expr, Expr] = MappingProxyType({}),
    ) -> None:
        self.observe = observe
        self.recognized: dict[Expr, None] = {}
        self.parts = tuple(sorted(parts, key=lambda part: -part.count_ops()))  # the largest first
        self._begun: set[Expr] = set()
        self._memo: dict[Expr, Expr] = dict(known)

    def of(self, node: Expr) -> Expr:
        """Return the stable form of an expression."""
        if node.is_Atom:
            return node
        if node not in self._memo:
            self._memo[node] = self._found(node)
        return self._memo[node]

    def _found(self, node: Expr) -> Expr:
        result = self._taken_apart(node) or self._rebuilt(node)
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

    def _rebuilt(self, node: Expr) -> Expr:
        """Return a node with its arguments in stable form.

        A function of arguments that have stayed the same is left as it is: SymPy would look for its values again, which
        takes as long as all rules; and it would compare the arguments of a maximum, which takes very long if they are
        maxima themselves.
        """
        arguments = tuple(self.of(argument) for argument in node.args)
        if isinstance(node, Function | Max | Min) and arguments == node.args and not node.is_number:
            return node
        result: Expr = node.func(*arguments)
        return result

    def _taken_apart(self, node: Expr) -> Expr | None:
        """Return a product or sum that contains a part as rest*part**k or rest + k*part, in stable form; else None."""
        if not isinstance(node, Add | Mul) or node in self.parts:
            return None
        for part in self.parts:
            if part in self._begun or isinstance(node, Add) != isinstance(part, Add):
                continue
            k, rest = (without_terms if isinstance(node, Add) else without_factors)(node, part)
            if k and not rest.is_number and not self.of(rest).is_number:  # otherwise it is the part, times a number
                self._begun.add(part)  # its stable form may contain the part again
                stable_part = self.of(part)
                self._begun.remove(part)
                return self.of(rest) + k * stable_part if isinstance(node, Add) else self.of(rest) * stable_part**k
        return None

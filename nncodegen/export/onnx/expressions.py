"""Expressions of a program as nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import sympy
from sympy import ITE, Add, Expr, Mul, Piecewise, Pow, Xor
from sympy.core.relational import Relational

from nncodegen.errors import ModelError
from nncodegen.export.onnx.activations import activated, activation, slope_of
from nncodegen.export.onnx.functions import call, reciprocal, sqrt
from nncodegen.export.onnx.graph import Graph, Value
from nncodegen.ir import Element
from nncodegen.ir.evaluate import interpret
from nncodegen.ir.functions import NAN, StableFunction, plain_conditions, tanh

_RELATIONS = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "==": "Equal"}
_LOGIC = {"And": "And", "Or": "Or"}
MOST_FACTORS = 3
"""A power with a larger exponent is a Pow, not a product."""


class Expressions:
    """Writes expressions to a graph. ``tensor`` gives the value of an element of the program."""

    def __init__(self, graph: Graph, tensor: Callable[[Element], Value], layered: bool) -> None:
        self.graph = graph
        self._tensor = tensor
        self._layered = layered
        self._memo: dict[Any, Value] = {}

    def read(self, node: Any) -> Value:
        """The value of an expression or a condition. Raises ModelError for a function that ONNX cannot compute."""
        if node not in self._memo:
            self._memo[node] = self._value(node)
        return self._memo[node]

    def _value(self, node: Any) -> Value:
        if isinstance(node, Element):
            return self._tensor(node)
        if node is NAN:
            return self.graph.number(float("nan"))
        if node in (sympy.true, sympy.false):
            return Value(self.graph, self.graph.constant(bool(node)))
        if isinstance(node, Expr) and node.is_number:
            return self.graph.number(float(interpret(node, {}, exact=True)))
        if isinstance(node, Expr):
            found = activation(node, self._layered, self.graph.precision)
            if found:
                name, z = found
                return activated(name, self.read(z))
            slope = slope_of(node, self.graph.precision) if self._layered else None
            if slope:
                return self.graph.elementwise("PRelu", *map(self.read, slope))
        if isinstance(node, StableFunction):
            return self._stable(node)
        if isinstance(node, Add):
            return self._sum(node)
        if isinstance(node, Mul):
            return self._product(node)
        if isinstance(node, Pow):
            return self._power(node.base, node.exp)
        if isinstance(node, Piecewise):
            return self._piecewise(node)
        if isinstance(node, Relational) or node.is_Boolean:
            return self._condition(node)
        value = call(node.func.__name__, [self.read(argument) for argument in node.args])
        if value is None:
            raise ModelError(
                f"ONNX has no function {node.func.__name__}, nor operators to compose it of, in: {node}; export the "
                f"model as C, or write it with other functions"
            )
        return value

    def _stable(self, node: StableFunction) -> Value:
        if isinstance(node, tanh):
            return self.graph.elementwise("Tanh", self.read(node.args[0]))
        return self.read(node.stable(*node.args))

    def _sum(self, node: Add) -> Value:
        terms = list(node.args)
        if _is_negated(terms[0]) and not _is_negated(terms[1]):
            terms[:2] = terms[1::-1]  # b - a is -a + b
        total = self.read(terms[0])
        for term in terms[1:]:
            total = total - self.read(-term) if _is_negated(term) else total + self.read(term)
        return total

    def _product(self, node: Mul) -> Value:
        """Factors in their order, then what they are divided by."""
        factors = [f for f in node.args if f is not sympy.S.NegativeOne]
        above = [f for f in factors if not _is_below(f)]
        result = reduce(lambda total, f: total * f, map(self.read, above)) if above else self.graph.number(1.0)
        for factor in factors:
            if _is_below(factor):
                result = result / self._power(factor.base, -factor.exp)
        return -result if len(factors) < len(node.args) else result

    def _power(self, base: Expr, exponent: Expr) -> Value:
        value = self.read(base)
        if exponent == 1:
            return value
        if exponent.is_Integer and 0 < exponent <= MOST_FACTORS:
            return reduce(lambda total, _: total * value, range(int(exponent) - 1), value)
        if exponent == sympy.Rational(1, 2):
            return sqrt(value)
        if exponent.is_Number and exponent < 0:
            return reciprocal(self._power(base, -exponent))
        return self.graph.elementwise("Pow", value, self.read(exponent))

    def _piecewise(self, node: Piecewise) -> Value:
        """The first value whose condition holds; NaN where none does."""
        *branches, last = node.args
        if last[1] != sympy.true:
            branches, last = [*branches, last], (NAN, sympy.true)
        result = self.read(last[0])
        for value, condition in reversed(branches):
            result = self.graph.where(self.read(condition), self.read(value), result)
        return result

    def _condition(self, node: Any) -> Value:
        if isinstance(node, ITE | Xor):
            return self.read(plain_conditions(node))
        parts = [self.read(argument) for argument in node.args]
        if isinstance(node, Relational):
            if node.rel_op == "!=":
                return self.graph.elementwise("Not", self.graph.elementwise("Equal", *parts))
            return self.graph.elementwise(_RELATIONS[node.rel_op], *parts)
        if len(parts) == 1:
            return self.graph.elementwise("Not", *parts)
        return reduce(lambda p, q: self.graph.elementwise(_LOGIC[node.func.__name__], p, q), parts)


def _is_below(factor: Expr) -> bool:
    """Whether a factor is a negative power."""
    return isinstance(factor, Pow) and bool(factor.exp.is_Number) and bool(factor.exp < 0) and not factor.is_number


def _is_negated(term: Expr) -> bool:
    """Whether a term is -1 times something that is not a sum."""
    coefficient, rest = term.as_coeff_Mul()
    return coefficient == -1 and not isinstance(rest, Add)

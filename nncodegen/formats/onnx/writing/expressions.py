"""Expressions of a program as nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import sympy
from sympy import Add, Expr, Mul, Pow

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.elementary import Elementary
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.ir.functions import NAN, StableFunction, tanh
from nncodegen.compiler.ir.walk import Arithmetic, Asking, walk
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.writing.activations import activated, activation, slope_of
from nncodegen.formats.onnx.writing.functions import call, exp, reciprocal, sqrt
from nncodegen.formats.onnx.writing.graph import OnnxGraph, Value

_RELATIONS = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "==": "Equal"}
MOST_FACTORS = 3
"""The largest integer exponent of a power that is written as a product; others are a Pow."""


class Expressions(Arithmetic[Value]):
    """A writer of expressions to a graph. ``tensor`` gives the value of an element of the program."""

    def __init__(self, graph: OnnxGraph, tensor: Callable[[Element], Value], layered: bool) -> None:
        self.graph = graph
        self._tensor = tensor
        self._layered = layered
        self._found: dict[Any, Value] = {}

    def read(self, node: Any) -> Value:
        """Return the value of an expression or a condition. Raises ModelError for what ONNX cannot compute."""
        return walk(node, self, self._found)

    def visit(self, node: Any) -> Asking[Value]:
        """Ask for the parts of a node, which may be one operator as a whole; return its value."""
        if not node.args:
            return self.leaf(node)
        if isinstance(node, Expr):
            if node.is_number:
                return self.number(node)
            recognized = activation(node, self._layered, self.graph)
            if recognized:
                name, z = recognized
                return activated(name, (yield z))
            slope = slope_of(node, self.graph) if self._layered else None
            if slope:
                z, factor = slope
                argument = yield z
                return self.graph.elementwise("PRelu", argument, (yield factor))
        if isinstance(node, tanh):
            return self.graph.elementwise("Tanh", (yield node.args[0]))
        return (yield from super().visit(node))

    def number(self, node: Any) -> Value:
        """Return a number, also one that is written with functions, or a truth value."""
        if node in (sympy.true, sympy.false):
            return Value(self.graph, self.graph.constant(bool(node)))
        return self.graph.number(float("nan") if node is NAN else float(interpret(node, {}, exact=True)))

    def element(self, element: Element) -> Value:
        """Return a tensor."""
        return self._tensor(element)

    def form(self, function: StableFunction) -> Expr:
        """Return the stable form of a function."""
        return function.stable(*function.args)

    def add(self, values: Sequence[Value]) -> Value:
        """Return the sum of values."""
        return reduce(lambda total, value: total + value, values)

    def multiply(self, values: Sequence[Value]) -> Value:
        """Return the product of values."""
        return reduce(lambda total, value: total * value, values)

    def power(self, base: Value, exponent: Value, symbol: Expr) -> Value:
        """Return a power."""
        return self.graph.elementwise("Pow", base, exponent)

    def call(self, function: Elementary, values: Sequence[Value]) -> Value:
        """Return the value of a function."""
        value = call(function, values)
        if value is None:
            raise _refused(function.name)
        return value

    def unknown(self, node: Any) -> Exception:
        """Return the error for a function that ONNX does not have."""
        return _refused(node.func.__name__)

    def compare(self, relation: str, left: Value, right: Value) -> Value:
        """Return a comparison."""
        if relation == "!=":
            return self.graph.elementwise("Not", self.graph.elementwise("Equal", left, right))
        return self.graph.elementwise(_RELATIONS[relation], left, right)

    def logic(self, name: str, values: Sequence[Value]) -> Value:
        """Return a condition of conditions: the operators have the names of SymPy's classes."""
        if name == "Not":
            return self.graph.elementwise(name, *values)
        return reduce(lambda p, q: self.graph.elementwise(name, p, q), values)

    # --- what is not written as it stands ----------------------------------------------------------------------------

    def sum(self, node: Add) -> Asking[Value]:
        """Ask for the terms, or for the operands of subtractions; return the sum."""
        terms = list(node.args)
        if _is_negated(terms[0]) and not _is_negated(terms[1]):
            terms[:2] = terms[1::-1]  # b - a is -a + b
        total = yield terms[0]
        for term in terms[1:]:
            total = total - (yield -term) if _is_negated(term) else total + (yield term)
        return total

    def product(self, node: Mul) -> Asking[Value]:
        """Ask for factors in their order, then for the divisors; return the product."""
        factors = [f for f in node.args if f is not sympy.S.NegativeOne]
        gates = self._gates(factors)
        result: Value | None = None
        for factor in factors:
            if factor not in gates and not _is_below(factor):
                value = yield factor
                result = value if result is None else result * value
        if result is None:
            result = self.graph.number(1.0)
        for factor in factors:
            if factor in gates:
                result = result / (exp(-(yield gates[factor])) + 1)
            elif _is_below(factor):
                result = result / (yield from self._power(factor.base, -factor.exp))
        return -result if len(factors) < len(node.args) else result

    def _gates(self, factors: Sequence[Expr]) -> dict[Expr, Element]:
        """Return the factors that are sigmoids of other factors, and of which, in float64.

        They are written as divisors: onnxruntime up to 1.28 makes one operator of a value and its Sigmoid, which it
        lacks in float64.
        """
        if self.graph.precision == "float32":
            return {}
        recognized = {factor: activation(factor, self._layered, self.graph) for factor in factors}
        return {
            factor: function[1]
            for factor, function in recognized.items()
            if function and function[0] == "sigmoid" and function[1] in factors
        }

    def raised(self, node: Pow) -> Asking[Value]:
        """Ask for a base, and for an exponent unless it is a small number; return the power."""
        return self._power(node.base, node.exp)

    def _power(self, base: Expr, exponent: Expr) -> Asking[Value]:
        value = yield base
        if exponent == 1:
            return value
        if exponent.is_Integer and 0 < exponent <= MOST_FACTORS:
            return reduce(lambda total, _: total * value, range(int(exponent) - 1), value)
        if exponent == sympy.Rational(1, 2):
            return sqrt(value)
        if exponent.is_Number and exponent < 0:
            return reciprocal((yield from self._power(base, -exponent)))
        return self.power(value, (yield exponent), exponent)

    def choose(self, branches: Sequence[Any]) -> Asking[Value]:
        """Ask for all branches, the last one first; NaN where no condition holds."""
        *others, last = branches
        if last[1] != sympy.true:
            others, last = [*others, last], (NAN, sympy.true)
        result = yield last[0]
        for value, condition in reversed(others):
            holds = yield condition
            result = self.graph.where(holds, (yield value), result)
        return result


def _refused(name: str) -> ModelError:
    return ModelError(
        f"ONNX has no function {name}, nor operators to compose it of; export the model as C, or write it with other "
        f"functions"
    )


def _is_below(factor: Expr) -> bool:
    """Return whether a factor is a negative power."""
    return isinstance(factor, Pow) and bool(factor.exp.is_Number) and bool(factor.exp < 0) and not factor.is_number


def _is_negated(term: Expr) -> bool:
    """Return whether a term is -1 times something that is not a sum."""
    coefficient, rest = term.as_coeff_Mul()
    return coefficient == -1 and not isinstance(rest, Add)

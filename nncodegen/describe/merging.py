"""Layers that make one value of several: averages, extremes, and inputs one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Add as Sum
from sympy import Expr, Max, Min

from nncodegen.describe.layer import Add, Merge, Multiply, Node, Subtract
from nncodegen.describe.shapes import Concatenate


class Average(Merge):
    """The mean of its inputs."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """(a + b + ...)/number."""
        return Sum(*values) / len(values)


class Maximum(Merge):
    """The largest of its inputs, value by value."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Max(a, b, ...)."""
        return Max(*values)


class Minimum(Merge):
    """The smallest of its inputs, value by value."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Min(a, b, ...)."""
        return Min(*values)


def add(inputs: Sequence[Node], **options: Any) -> Node:
    """``Add()(inputs)``."""
    return Add(**options)(*inputs)


def subtract(inputs: Sequence[Node], **options: Any) -> Node:
    """``Subtract()(inputs)``."""
    return Subtract(**options)(*inputs)


def multiply(inputs: Sequence[Node], **options: Any) -> Node:
    """``Multiply()(inputs)``."""
    return Multiply(**options)(*inputs)


def average(inputs: Sequence[Node], **options: Any) -> Node:
    """``Average()(inputs)``."""
    return Average(**options)(*inputs)


def maximum(inputs: Sequence[Node], **options: Any) -> Node:
    """``Maximum()(inputs)``."""
    return Maximum(**options)(*inputs)


def minimum(inputs: Sequence[Node], **options: Any) -> Node:
    """``Minimum()(inputs)``."""
    return Minimum(**options)(*inputs)


def concatenate(inputs: Sequence[Node], axis: int = -1, **options: Any) -> Node:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis, **options)(*inputs)

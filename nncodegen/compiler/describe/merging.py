"""Layers that merge several inputs: averages, extremes, and concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Add as Sum
from sympy import Expr, Max, Min

from nncodegen.compiler.describe.layer import Add, Merge, Multiply, Node, Subtract
from nncodegen.compiler.describe.shapes import Concatenate


class Average(Merge):
    """The mean of its inputs."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return (a + b + ...)/number."""
        return Sum(*values) / len(values)


class Maximum(Merge):
    """The largest of its inputs, value by value."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return Max(a, b, ...)."""
        return Max(*values)


class Minimum(Merge):
    """The smallest of its inputs, value by value."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return Min(a, b, ...)."""
        return Min(*values)


def add(inputs: Sequence[Node], **options: Any) -> Node:
    """Return ``Add()(inputs)``."""
    return Add(**options)(*inputs)


def subtract(inputs: Sequence[Node], **options: Any) -> Node:
    """Return ``Subtract()(inputs)``."""
    return Subtract(**options)(*inputs)


def multiply(inputs: Sequence[Node], **options: Any) -> Node:
    """Return ``Multiply()(inputs)``."""
    return Multiply(**options)(*inputs)


def average(inputs: Sequence[Node], **options: Any) -> Node:
    """Return ``Average()(inputs)``."""
    return Average(**options)(*inputs)


def maximum(inputs: Sequence[Node], **options: Any) -> Node:
    """Return ``Maximum()(inputs)``."""
    return Maximum(**options)(*inputs)


def minimum(inputs: Sequence[Node], **options: Any) -> Node:
    """Return ``Minimum()(inputs)``."""
    return Minimum(**options)(*inputs)


def concatenate(inputs: Sequence[Node], axis: int = -1, **options: Any) -> Node:
    """Return ``Concatenate(axis)(inputs)``."""
    return Concatenate(axis, **options)(*inputs)

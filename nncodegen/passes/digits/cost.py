"""The cost of a form: its operations, each value computed once."""

from __future__ import annotations

from typing import Any

from sympy import Add, Expr, Mul, Piecewise

from nncodegen.ir.functions import StableFunction
from nncodegen.ir.program import BEST, FAST

OPERATIONS = {FAST: (1.5, 4), BEST: (8.0, 80)}
"""The operations that a form may have: a multiple of those that it had before, and some more. With ``FAST``, a form has
no branch, either."""

OF_FUNCTION = 5
"""The operations that a function with a stable form counts for."""


def operations(form: Expr) -> int:
    """Return the number of operations of a form; a part that occurs several times counts once."""
    count = 0
    seen: set[Any] = set()  # used for membership only
    waiting: list[Any] = [form]
    while waiting:
        node = waiting.pop()
        if node.args and node not in seen:
            seen.add(node)
            count += _own(node)
            waiting += node.args
    return count


def _own(node: Any) -> int:
    """Return the operations of a node alone."""
    if isinstance(node, Add | Mul):
        return len(node.args) - (2 if node.args[0] == -1 else 1)
    if isinstance(node, Piecewise):
        return len(node.args) - 1
    return OF_FUNCTION if isinstance(node, StableFunction) else 1

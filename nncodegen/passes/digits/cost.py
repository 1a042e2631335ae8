"""The cost of a form: its operations, each value computed once, with functions written out; and its branches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sympy import Add, Expr, Mul, Piecewise

from nncodegen.ir.functions import StableFunction
from nncodegen.ir.program import BEST, FAST
from nncodegen.passes.digits.measure import stable_of_elements

OPERATIONS = {FAST: (1.5, 4), BEST: (8.0, 80)}
"""The operations that a form may have: a multiple of those that it had before, and some more. With ``FAST``, a form has
no branch, either."""


def operations(form: Expr) -> int:
    """Return the number of operations of a form; a part that occurs several times counts once."""
    return sum(map(_own, _parts(form)))


def branching(form: Expr) -> frozenset[type]:
    """Return the kinds of nodes in a form that choose between values (used for membership only)."""
    return frozenset(type(node) for node in _parts(form) if isinstance(node, Piecewise) or _written_out(node)[1])


def _parts(form: Expr) -> Iterator[Any]:
    """Yield the different nodes of a form, except elements and numbers."""
    seen: set[Any] = set()  # used for membership only
    waiting: list[Any] = [form]
    while waiting:
        node = waiting.pop()
        if node.args and node not in seen:
            seen.add(node)
            yield node
            waiting += node.args


def _own(node: Any) -> int:
    """Return the operations of a node alone."""
    if isinstance(node, Add | Mul):
        return len(node.args) - (2 if node.args[0] == -1 else 1)
    if isinstance(node, Piecewise):
        return len(node.args) - 1
    return _written_out(node)[0] if isinstance(node, StableFunction) else 1


def _written_out(node: Any) -> tuple[int, bool]:
    """Return the operations of a function of nncodegen in primitives, and whether it has a branch."""
    if not isinstance(node, StableFunction):
        return 0, False
    numbers = tuple(part if part.is_number else None for part in node.args)
    return _of_function(node.func, numbers)


@lru_cache(maxsize=1000)
def _of_function(function: type[StableFunction], numbers: tuple[Expr | None, ...]) -> tuple[int, bool]:
    written = stable_of_elements(function, numbers)  # type: ignore[arg-type]
    return max(operations(written), 1), bool(branching(written))

"""Orders of derivatives: by which inputs, one after the other, or by which sum of two; and their structure.

A derivative of a function of a function is a sum of products (Faa di Bruno), with a term for each way to divide its
order into blocks: ``f(u)_xx = f''(u)*u_x*u_x + f'(u)*u_xx``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from sympy import Add, Expr, Mul, S

Order = tuple[str, ...]
"""The inputs to differentiate by, one after the other, in the order of the program's inputs."""

Sum = tuple[tuple[str, Expr], ...]
"""A sum of second derivatives: (input, factor) for each."""


def structures(order: Order | Sum) -> Iterator[tuple[Expr, tuple[Order | Sum, ...]]]:
    """Yield (factor, blocks): the derivatives of f(u) are sums of those of f times one derivative of u per block."""
    if order and isinstance(order[0], tuple):
        yield S.One, (order,)
        for name, factor in order:
            yield S(factor), ((name,), (name,))
        return
    counts = Counter(tuple(sorted(blocks)) for blocks in _partitions(tuple(map(str, order))))
    yield from ((S(count), blocks) for blocks, count in counts.items())


def _partitions(order: Order) -> Iterator[list[Order]]:
    """Yield all ways to divide a sequence into blocks."""
    if not order:
        yield []
        return
    first, rest = order[0], order[1:]
    for blocks in _partitions(rest):
        yield [(first,), *blocks]
        for k, block in enumerate(blocks):
            yield [*blocks[:k], (first, *block), *blocks[k + 1 :]]


def collected(value: Expr, order: Order | Sum) -> Expr:
    """Return a sum of second derivatives with the factors f''(u) of squares factored out."""
    terms = Add.make_args(value)
    if not order or not isinstance(order[0], tuple) or len(terms) < 2:
        return value
    groups: dict[Expr, list[Expr]] = {}
    for term in terms:
        squares = [f for f in Mul.make_args(term) if f.is_Pow and f.exp == 2] or [S.One]
        groups.setdefault(term / prod(squares), []).append(prod(squares))
    return Add(*(common * Add(*parts) for common, parts in groups.items()))


def label(order: Order | Sum) -> str:
    """Return the label of a derivative, which follows the name of the differentiated value."""
    names = [name if isinstance(name, str) else name[0] for name in order]
    if order and isinstance(order[0], tuple):
        return "sum_" + label(tuple(name for name in names for _ in range(2)))
    return ("" if all(len(name) == 1 for name in names) else "_").join(names)

"""The results of a function: numbers, conditions and arrays in any nesting, and what a call returns for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from sympy import Basic, Expr, MatrixBase, MatrixExpr, MatrixSymbol, NDimArray, Symbol
from sympy.logic.boolalg import Boolean

from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.compiler.ir.graphs import contains
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.types import Array

NUMBER, TRUTH, LIST, TUPLE, DICT, ARRAY, TRUTHS = range(7)
"""The kinds of results, as caller.c numbers them."""


@dataclass(frozen=True)
class Result:
    """A result: its kind, the number of its first output, and its parts, or the shape of an array."""

    kind: int
    place: int = 0
    parts: tuple[Result, ...] = ()
    shape: tuple[int, ...] = ()
    keys: tuple[Any, ...] = ()

    @property
    def size(self) -> int:
        """Return the number of outputs."""
        return sum(part.size for part in self.parts) if self.kind in (LIST, TUPLE, DICT) else prod(self.shape)

    @property
    def holds_truths(self) -> bool:
        """Return whether the values are those of conditions."""
        return self.kind in (TRUTH, TRUTHS)

    def native(self, dtype: str) -> tuple[Any, ...]:
        """Return the result as caller.c reads it."""
        what: Any = self.keys if self.kind == DICT else None
        if self.kind in (ARRAY, TRUTHS):
            what = (self.shape, "bool" if self.kind == TRUTHS else dtype)
        return self.kind, self.place, tuple(part.native(dtype) for part in self.parts), what

    def leaves(self) -> Iterator[Result]:
        """Yield the numbers and arrays in the result, in the order of its outputs."""
        if self.kind in (LIST, TUPLE, DICT):
            for part in self.parts:
                yield from part.leaves()
        else:
            yield self

    def filled(self, values: Iterator[Any]) -> Any:
        """Return the result with values in place of its numbers and arrays."""
        if self.kind not in (LIST, TUPLE, DICT):
            return next(values)
        parts = [part.filled(values) for part in self.parts]
        if self.kind == DICT:
            return dict(zip(self.keys, parts, strict=True))
        return parts if self.kind == LIST else tuple(parts)

    def show(self) -> str:
        """Return the nesting as text."""
        if self.kind == DICT:
            parts = zip(self.keys, self.parts, strict=True)
            return f"{{{', '.join(f'{key}: {part.show()}' for key, part in parts)}}}"
        if self.kind in (LIST, TUPLE):
            inner = ", ".join(part.show() for part in self.parts)
            return f"[{inner}]" if self.kind == LIST else f"({inner}{',' * (len(self.parts) == 1)})"
        if self.kind in (ARRAY, TRUTHS):
            return f"array (..., {', '.join(map(str, self.shape))})"
        return "number" if self.kind == NUMBER else "True or False"


def read_results(expression: Any, symbols: dict[str, Expr]) -> tuple[Result, tuple[Basic, ...]]:
    """Return the nesting of an expression that a user gave, and its outputs one after the other. Raises ModelError.

    ``symbols`` are those that a text may name.
    """
    outputs: list[Basic] = []
    return _read(expression, outputs, symbols), tuple(outputs)


def _read(item: Any, outputs: list[Basic], symbols: dict[str, Expr]) -> Result:
    place = len(outputs)
    if isinstance(item, dict) or type(item).__name__ == "Dict":
        pairs = list(item.items())
        return Result(DICT, place, tuple(_read(value, outputs, symbols) for _, value in pairs), (), _keys(pairs))
    if isinstance(item, list):
        return Result(LIST, place, tuple(_read(value, outputs, symbols) for value in item))
    if isinstance(item, tuple) or type(item).__name__ == "Tuple":
        return Result(TUPLE, place, tuple(_read(value, outputs, symbols) for value in item))
    if isinstance(item, MatrixExpr) and not isinstance(item, MatrixBase):
        item = _explicit(item)
    if isinstance(item, MatrixBase | NDimArray | np.ndarray) and item.shape != ():
        entries = [entry for row in item.tolist() for entry in row] if isinstance(item, MatrixBase) else _flat(item)
        read = [_scalar(entry, symbols) for entry in entries]
        outputs += read
        kind = TRUTHS if read and all(map(_is_condition, read)) else ARRAY
        return Result(kind, place, shape=tuple(map(int, item.shape)))
    read_item = _scalar(item, symbols)
    outputs.append(read_item)
    return Result(TRUTH if _is_condition(read_item) else NUMBER, place)


def _keys(pairs: Sequence[tuple[Any, Any]]) -> tuple[Any, ...]:
    return tuple(key for key, _ in pairs)


def _flat(item: Any) -> list[Any]:
    return [*item.flat] if isinstance(item, np.ndarray) else [*item.reshape(prod(item.shape))]


def _scalar(item: Any, symbols: dict[str, Expr]) -> Basic:
    """Return a number or a condition. Raises ModelError for other objects."""
    read = as_expression(item, symbols, "the expression")
    if isinstance(read, Expr) and contains(read, MatrixSymbol, MatrixExpr):
        read = _with_elements(read)
    if isinstance(read, Boolean) or (isinstance(read, Expr) and not isinstance(read, MatrixExpr)):
        return read
    raise ModelError(
        f"the expression contains {item!r}: it takes expressions, conditions, matrices, arrays, and lists, tuples and "
        f"dictionaries of them"
    )


def _is_condition(item: Basic) -> bool:
    return isinstance(item, Boolean) and not isinstance(item, Symbol)


def _explicit(item: MatrixExpr) -> MatrixBase:
    """Return the entries of an expression of matrices. Raises ModelError if its shape is not known."""
    try:
        return _with_elements(item).as_explicit()
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"the expression {item} cannot be written as entries of a matrix: {error}") from error


def _with_elements(item: Any) -> Any:
    """Return an expression with the elements of matrices in place of these."""
    known = {symbol: symbol.as_explicit() for symbol in item.atoms(MatrixSymbol)}
    return item.xreplace(known).doit() if known else item.doit()


def assembled(result: Result, arrays: Sequence[Array], batch: tuple[int, ...]) -> Any:
    """Return a result of many points, given the array of each number and array in it; without points, plain numbers."""
    values = iter(
        array if batch or leaf.kind in (ARRAY, TRUTHS) else array.item()
        for leaf, array in zip(result.leaves(), arrays, strict=True)
    )
    return result.filled(values)

"""Elements of tensors under named indices: the symbols of all formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sympy import Expr, Symbol

from nncodegen.compiler.ir.graphs import objects_of

SAMPLE = "n"
"""The index of the samples."""

ROW = "row"
"""The index of the rows of a matrix of derivatives; further such indices have a number appended."""

PARAMETER = "p"
"""The index of all parameters, in the update of an optimizer."""

Size = int | None
"""The size of an index; None for the samples, whose number is known at run time only."""


class Element(Symbol):
    """An element of a tensor under named indices: ``W1[j, i]``, or ``w0`` for a scalar.

    To SymPy it is a real symbol, so that differentiation, simplification and printing need nothing special.
    """

    __slots__ = ("indices", "tensor")

    tensor: str
    indices: tuple[str, ...]

    def __new__(cls, tensor: str, indices: Iterable[str] = ()) -> Element:
        """Return the element of a tensor, by its name, under indices."""
        return _element(tensor, tuple(indices))

    def renamed(self, names: Mapping[str, str]) -> Element:
        """Return the element of the same tensor under other indices; indices without another name stay."""
        return Element(self.tensor, [names.get(index, index) for index in self.indices])

    def __str__(self) -> str:
        return str(self.name)  # as SymPy writes it, but at once

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.tensor, self.indices)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.tensor, self.indices), {}


@lru_cache(maxsize=100_000)
def _element(tensor: str, indices: tuple[str, ...]) -> Element:
    """Return the one element of this name under these indices: comparing identical objects is fast."""
    text = f"{tensor}[{', '.join(indices)}]" if indices else tensor
    element: Element = Symbol.__xnew__(Element, text, real=True)
    element.tensor, element.indices = tensor, indices
    return element


@lru_cache(maxsize=100_000)
def elements(expression: Expr) -> tuple[Element, ...]:
    """Return the elements in an expression, sorted by their text."""
    return tuple(sorted({part for part in objects_of(expression) if isinstance(part, Element)}, key=str))


def renamed(expression: Expr, names: Mapping[str, str]) -> Expr:
    """Return the expression with its elements under other indices; indices without another name stay."""
    changed: Expr = expression.xreplace({element: element.renamed(names) for element in elements(expression)})
    return changed

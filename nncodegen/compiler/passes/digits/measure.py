"""The values of forms at points, in floating-point numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sympy import Expr

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.arithmetics import Arrays, argument, stable_of_arguments
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.walk import Asking, walk
from nncodegen.compiler.passes.digits.formats import Array
from nncodegen.compiler.passes.digits.points import Points, count_of, type_of
from nncodegen.compiler.passes.simplify import in_primitives


class Typed(Arrays):
    """Arrays of one type, of which numbers are as well, as they are in C.

    Otherwise, a branch or a root that is a number would be float64, and make all float64 that it meets.
    """

    def __init__(self, values: Mapping[Element, Any], dtype: np.dtype[Any]) -> None:
        super().__init__(values)
        self.dtype = dtype

    def number(self, node: Any) -> Any:
        """Return a number of the type of the arrays; Python's own numbers have that of float64."""
        value = super().number(node)
        return value if isinstance(value, bool) or self.dtype == np.float64 else self.dtype.type(value)


class Stepwise(Typed):
    """Arrays, with the functions of nncodegen as they are computed in steps: their arguments before their stable forms.

    So a product keeps its order whose factors are products.
    """

    def visit(self, node: Any) -> Asking[Any]:
        """Ask for the parts of a node; return its value."""
        if not isinstance(node, StableFunction):
            return (yield from super().visit(node))
        values = yield from self.parts(node)
        return self.function(node, values)

    def function(self, node: StableFunction, values: Sequence[Any]) -> Any:
        """Return the values of a function of nncodegen, given those of its arguments."""
        arguments = {argument(k): value for k, value in enumerate(values)}
        return walk(stable_of_arguments(node), Stepwise(arguments, self.dtype))


class Sample:
    """Points, with the values there of all parts of the forms that have been computed.

    Forms that a search compares share most of their parts. A part is computed once.
    """

    def __init__(self, points: Points) -> None:
        self.points, self.count = points, count_of(points)
        self.known: dict[Any, Any] = {}
        self._arrays = Stepwise(points, type_of(points))

    def values(self, form: Expr) -> Array:
        """Return the values of a form, node by node."""
        with np.errstate(all="ignore"):
            return np.broadcast_to(walk(form, self._arrays, self.known), (self.count,))


def values(form: Expr, points: Points) -> Array:
    """Return the values of a form, computed in the steps in which the generated C computes them: this takes longer."""
    steps, held = _in_primitives(form)
    known: dict[Any, Any] = dict(points)
    with np.errstate(all="ignore"):
        for step in steps:
            known[step.target] = np.asarray(walk(step.expression, Typed(known, type_of(points))))
    return np.broadcast_to(known[held], (count_of(points),))


_in_primitives = lru_cache(maxsize=500)(in_primitives)  # a form is measured at several sets of points

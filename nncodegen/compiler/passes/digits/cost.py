"""The cost of a form: its operations, each value computed once, with functions written out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sympy import Add, Expr, Mul, Piecewise

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor, elements, needed
from nncodegen.compiler.ir.arithmetics import stable_of_arguments
from nncodegen.compiler.ir.functions import StableFunction
from nncodegen.compiler.ir.program import BEST, FAST
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep
from nncodegen.compiler.passes.simplify import operations as operations_of_program
from nncodegen.compiler.passes.simplify import simplify


@dataclass(frozen=True)
class Bound:
    """A bound of the operations of a form: a multiple of those that it had before, and some more.

    ``of_a_bit`` is added to the multiple for each bit that the form gains on average: digits that were lost are worth
    operations, and a form that restores few of them has to be short.
    """

    multiple: float
    more: int
    of_a_bit: float = 0.0

    def allows(self, after: int, before: int, bits: float) -> bool:
        """Return whether a form may have some operations, given those before and the mean bits that it gains."""
        return after <= (self.multiple + self.of_a_bit * bits) * before + self.more


OPERATIONS = {FAST: Bound(1.5, 4, 0.25), BEST: Bound(8.0, 80)}
"""The operations that a form may have."""

WITH_SLOPES = {FAST: Bound(2.0, 4, 0.2), BEST: Bound(math.inf, 0)}
"""The operations that a form and its derivatives may have together."""

FAR, FAR_WITH_SLOPES = Bound(1.0, 4, 0.02), Bound(1.0, 4, 0.02)
"""The bounds of a formula that loses digits only where numbers are not ordinary, with the choice "fast"."""


def operations(form: Expr) -> int:
    """Return the number of operations of a form; a part that occurs several times counts once."""
    return sum(map(_own, _parts(form)))


def operations_with_slopes(form: Expr, by: Sequence[Element]) -> int:
    """Return the operations of a form and of its derivatives by some elements, as a module computes them together."""
    value = Element("value of the form", (SAMPLE,))
    read = tuple(Tensor(e.tensor, (None,) * len(e.indices)) for e in elements(form) if e not in by)
    parameters, weight = tuple(Tensor(e.tensor) for e in by), Tensor("weight of the form", (None,))
    program = Program("cost", read, (Step(value, form),), (value,), parameters, weight=weight)
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    output = split(program.steps, numbering)[value]
    slopes = reverse_sweep(program, needed(numbering.steps, [output]), output, numbering, each_sample=True)
    steps = needed(numbering.steps, (output, *slopes))
    simplified = simplify(replace(program, steps=steps, outputs=(output, *slopes)))
    return operations_of_program(simplified)


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
    return _written_out(node) if isinstance(node, StableFunction) else 1


def _written_out(node: StableFunction) -> int:
    """Return the operations of a function of nncodegen in primitives."""
    return _of_function(stable_of_arguments(node))


@lru_cache(maxsize=1000)
def _of_function(form: Expr) -> int:
    return max(operations(form), 1)

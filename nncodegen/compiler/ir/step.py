"""Steps: each defines one tensor by one formula, and which of them results depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sympy import Expr, Piecewise

from nncodegen.compiler.ir.element import Element, elements
from nncodegen.compiler.ir.equations import Equation
from nncodegen.compiler.ir.text import text_of

RECURRENCES = ("before", "after")
"""Operators that read an element at the previous index (before) or the next (after); 0 if that index does not exist."""


@dataclass(frozen=True)
class Step:
    """The definition of one tensor: ``target = operator(over) expression where equations``.

    Without an operator, it is 0 where an equation does not hold.
    """

    target: Element
    expression: Expr
    operator: str | None = None
    over: tuple[str, ...] = ()
    where: tuple[Equation, ...] = ()

    @cached_property
    def operands(self) -> tuple[Element, ...]:
        """Return the elements that the expression reads, in a fixed order, and then those that its equations read."""
        read = elements(self.expression)
        return (*read, *(e.data for e in self.where if e.data is not None and e.data not in read))

    @property
    def factors(self) -> tuple[Element, ...]:
        """Return the two elements whose products the step sums; an empty tuple if it does anything else."""
        factors = self.expression.args if self.operator == "sum" and self.expression.is_Mul else ()
        return factors if len(factors) == 2 and all(isinstance(factor, Element) for factor in factors) else ()

    @property
    def given(self) -> tuple[str, ...]:
        """Return the indices that the step runs over and that its target lacks; of a softmax, equations give them."""
        return tuple(index for index in self.over if index not in self.target.indices)

    @property
    def indices(self) -> tuple[str, ...]:
        """Return the indices that the step runs over: those of the target, then the reduced ones."""
        return self.target.indices + self.given

    @cached_property
    def written(self) -> tuple[tuple[str, ...], Expr, tuple[Equation, ...]]:
        """Return the step as people write it, with affine indices in place: reduced indices, expression, equations.

        An index that one equation gives is written as its right side where the expression has it.
        """
        over, expression, rest = self.over, self.expression, []
        for equation in self.where:
            index, right = equation.left, equation.right
            alone = sum(index in other.names for other in self.where) == 1
            if index in over and alone and any(index in e.indices for e in elements(expression)):
                over = tuple(other for other in over if other != index)
                expression = expression.xreplace(
                    {
                        e: Element(e.tensor, [right if i == index else i for i in e.indices])
                        for e in elements(expression)
                    }
                )
            else:
                rest.append(equation)
        return over, expression, tuple(rest)

    @cached_property
    def definition(self) -> str:
        """Return the right-hand side as text."""
        over, expression, where = self.written
        reduction = f"{self.operator}({', '.join(over)}) " if over else ""
        return f"{reduction}{text_of(expression)}{' where ' * bool(where)}{', '.join(map(str, where))}"

    def xreplace(self, known: Mapping[Element, Any]) -> Step:
        """Return the step with other values in place of elements that it reads."""
        where = tuple(equation.xreplace(known) for equation in self.where)
        return replace(self, expression=self.expression.xreplace(known), where=where)

    def __str__(self) -> str:
        return f"{self.target} = {self.definition}"


def show_step(step: Step, width: int = 0) -> str:
    """Return a step as text, its equals sign in column ``width``."""
    return f"{step.target!s:<{width}} = {step.definition}"


def needed(steps: Iterable[Step], results: Iterable[Element]) -> tuple[Step, ...]:
    """Return the steps on which the results depend, in the same order."""
    wanted = {element.tensor for element in results}
    steps = tuple(steps)
    while True:
        known = len(wanted)
        needed_steps = []
        for step in reversed(steps):  # reversed: every use is visited before its definition, but that by a recurrence
            if step.target.tensor in wanted:
                wanted.update(element.tensor for element in step.operands)
                needed_steps.append(step)
        if len(wanted) == known or not any(step.operator in RECURRENCES for step in needed_steps):
            return tuple(reversed(needed_steps))


def only_shifts(largest: Element, steps: Iterable[Step]) -> bool:
    """Return whether a largest term is only subtracted in a normalization, whose sum is NaN if a term is."""
    steps = list(steps)
    differences = {
        step.expression.args[-1].args[0]
        for step in steps
        if step.operator == "sum" and isinstance(step.expression, Piecewise)
    }
    readers = [step.target for step in steps if largest in step.operands]
    return bool(readers) and all(below in differences for below in readers)

"""Derivatives by inputs as differences between values at a distance too small to have an effect.

``u_x = Derivative(u, x)`` becomes ``(u(x + h/2) - u(x - h/2))/h`` with h = 10**-60, and the steps of which u consists
occur twice, for either input. The neglected part is h**2 of the whole, beyond a hundred digits; digits that are lost
when terms cancel are replaced by more digits of the evaluation. So a derivative needs no rule, and the derivatives of a
loss by its parameters follow from the steps as they are.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import comb

import sympy
from sympy import Add, Derivative, Expr, Rational

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, dependent, gathered, needed

DISTANCE = Rational(1, 10**60)

Shift = tuple[tuple[str, Expr], ...]
"""The moved inputs, each with its distance."""


def without_derivatives(program: Program) -> Program:
    """Return a program with differences instead of derivatives by inputs; the program itself if it has none."""
    if not any(step.expression.has(Derivative) for step in program.steps):
        return program
    steps = _Steps()
    for step in program.steps:
        differences = {node: steps.difference(node) for node in step.expression.atoms(Derivative)}
        steps.all.append(step.xreplace(differences) if differences else step)
    return replace(program, steps=tuple(steps.all))


class _Steps:
    """The steps of the new program so far, and which tensors are copies of which, for inputs that are moved."""

    def __init__(self) -> None:
        self.all: list[Step] = []
        self._copies: dict[Shift, dict[str, str]] = {}

    def difference(self, node: Derivative) -> Expr:
        """Return the difference that replaces a derivative."""
        factors, places = [], []
        for variable, order in node.variable_count:
            count = int(order)
            ends = [Rational(count, 2) - k for k in range(count + 1)]
            places.append([(variable.tensor, end * DISTANCE) for end in ends])
            factors.append([(-1) ** k * comb(count, k) / DISTANCE**count for k in range(count + 1)])
        terms = [
            sympy.Mul(*factor, self._moved(node.expr, tuple(move for move in moves if move[1] != 0)), evaluate=False)
            for factor, moves in zip(product(*factors), product(*places), strict=True)
        ]
        return Add(*terms, evaluate=False)

    def _moved(self, element: Element, shift: Shift) -> Element:
        """Return an element for moved inputs; missing copies of the steps that depend on them are added."""
        if not shift:
            return element
        names = self._copies.setdefault(shift, {})
        number = len(self._copies)
        for name, by in shift:
            if name not in names:
                names[name] = f"{name} at place {number}"
                self.all.append(Step(Element(names[name], (SAMPLE,)), Element(name, (SAMPLE,)) + by))
        copies = {step.target.tensor for step in self.all if " at place " in step.target.tensor}
        steps = gathered(needed(tuple(step for step in self.all if step.target.tensor not in copies), [element]))
        moving = dependent(steps, names)
        copied = [step for step in steps if step.target.tensor in moving and step.target.tensor not in names]
        names |= {step.target.tensor: f"{step.target.tensor} at place {number}" for step in copied}
        for step in copied:
            moved = {e: Element(names[e.tensor], e.indices) for e in step.operands if e.tensor in names}
            target = Element(names[step.target.tensor], step.target.indices)
            self.all.append(replace(step.xreplace(moved), target=target))
        return Element(names.get(element.tensor, element.tensor), element.indices)

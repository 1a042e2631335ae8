"""A function of values alone as a separate program: its formulas as they are written, and the derivatives asked for.

Derivatives are written down as such, ``Derivative(output, x)``; ``exact`` computes them from the steps as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sympy import Add, Derivative, Expr

from nncodegen.certificates.independent_model import FORMULAS, PROGRAM
from nncodegen.compiler.describe.values import Values
from nncodegen.compiler.ir import SAMPLE, Element, Program, Step
from nncodegen.compiler.passes.by_inputs import ByInputs

if TYPE_CHECKING:
    from nncodegen.compiler.pipeline import Compiled


@dataclass(frozen=True)
class CertifiableFunction:
    """A compiled function: its library, its formulas, the derivatives asked for, and the results of all stages.

    An object of any class can be certified if it has a method ``certifiable()`` that returns one.
    """

    library: Path
    values: Values
    asked: ByInputs
    compiled: Compiled
    march: str


def given_function(values: Values, described: Program, asked: ByInputs) -> tuple[Program, str]:
    """Return the formulas as they were given, with the derivatives asked for, and the name of their source."""
    known = {each: Element(name, (SAMPLE,)) for each, name in zip(values.arguments, values.names, strict=False)}
    formulas = values.formulas(known)
    if formulas is None:  # too large to be taken as a whole
        return with_derivatives(described, asked), PROGRAM
    steps = tuple(Step(output, formula) for output, formula in zip(described.outputs, formulas, strict=True))
    return with_derivatives(replace(described, steps=steps), asked), FORMULAS


def with_derivatives(program: Program, asked: ByInputs) -> Program:
    """Return a program with derivatives of its outputs by inputs as further outputs, which no stage has derived."""
    steps = [
        Step(Element(f"{quantity} {number}", (SAMPLE,)), expression)
        for quantity, expressions in _derivatives(program, asked)
        for number, expression in enumerate(expressions, start=1)
    ]
    return replace(
        program, steps=(*program.steps, *steps), outputs=(*program.outputs, *(step.target for step in steps))
    )


def _derivatives(program: Program, asked: ByInputs) -> Iterator[tuple[str, list[Expr]]]:
    """Yield the derivatives, in the order that ``ByInputs`` documents."""
    by, outputs = _elements(asked.names), program.outputs
    if asked.jacobian:
        yield "jacobian", [Derivative(output, x) for output in outputs for x in by]
    if asked.hessian:
        yield "hessian", [Derivative(outputs[0], x, y) for x in by for y in by]
    if asked.directions:
        direction = _elements(asked.directions)
        yield (
            "jvp",
            [Add(*(d * Derivative(output, x) for d, x in zip(direction, by, strict=True))) for output in outputs],
        )
    if asked.factors:
        factors = _elements(asked.factors)
        yield "vjp", [Add(*(f * Derivative(output, x) for f, output in zip(factors, outputs, strict=True))) for x in by]


def _elements(names: Any) -> list[Element]:
    return [Element(name, (SAMPLE,)) for name in names]

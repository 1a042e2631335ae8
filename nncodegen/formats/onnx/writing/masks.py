"""Equations between indices as factors: tensors of ones and zeros, as ONNX cannot express them otherwise."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Eq, Float, Piecewise, S

from nncodegen.compiler.ir import NORMALIZATIONS, SAMPLE, Element, Equation, Program, Step, Tensor
from nncodegen.compiler.ir.reductions import reduction
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.writing.windows import places_of, rows_of, window_form

MOST = 3e38
"""A number near the largest one in single precision: it stands for infinity."""


def masked(program: Program, operators: Container[str] = ()) -> tuple[Program, dict[str, NDArray[Any]]]:
    """Return the program with factors in place of equations, and its constants in addition to parameters, by name.

    Steps for which ONNX has an operator keep their equations, among them those of ``operators``. Raises ModelError for
    equations of samples.
    """
    constants: dict[str, NDArray[Any]] = {}
    tensors: list[Tensor] = []
    steps: list[Step] = []
    known: dict[Equation, Element] = {}
    exists: dict[Equation, Element] = {}

    def constant(letters: str, indices: tuple[str, ...], values: NDArray[Any]) -> Element:
        element = Element(f"{letters}{len(constants) + 1}", indices)
        constants[element.tensor] = values.astype(float)
        tensors.append(Tensor(element.tensor, values.shape, trained=False))
        return element

    for step in program.steps:
        has_form = window_form(step, program) or places_of(step, program) is not None or rows_of(step)
        if has_form or step.target.tensor in operators:
            steps.append(step)
            continue
        step, defining = _without_given(step)
        factors = []
        for equation in defining:
            if equation not in exists:
                indices, right = _right(equation, program.sizes)
                inside = (right >= 0) & (right < (program.sizes[str(equation.left)] or 0))
                exists[equation] = constant("mask", indices, inside)
            factors.append(exists[equation])
        for equation in step.where:
            if equation not in known:
                indices, right = _right(equation, program.sizes)
                if isinstance(equation.left, str):
                    indices = (equation.left, *indices)
                    left = np.arange(program.sizes[equation.left] or 0).reshape(-1, *[1] * right.ndim)
                    known[equation] = constant("mask", indices, left == right)
                else:
                    number = constant("number", indices, right)
                    of_mask = equation.left.indices
                    hot = Element(f"is{len(known) + 1}", (*of_mask, *(i for i in indices if i not in of_mask)))
                    steps.append(Step(hot, Piecewise((S.One, Eq(equation.left, number)), (S.Zero, True))))
                    known[equation] = hot
            factors.append(known[equation])
        if step.operator in NORMALIZATIONS and factors:
            whole = Element(f"{step.target.tensor} of all terms", step.target.indices)
            steps.append(_with_factors(replace(step, target=whole), factors))
            step = Step(step.target, whole)
        steps.append(_with_factors(step, factors))
    changed = replace(program, steps=tuple(steps), parameters=(*program.parameters, *tensors))
    return changed, constants


def _without_given(step: Step) -> tuple[Step, tuple[Equation, ...]]:
    """Return a step without indices that only say whether a term exists, and the equations that give these."""
    read = {index for element in step.operands for index in element.indices}
    defining: list[Equation] = []
    for equation in step.where:
        others = {name for other in step.where if other != equation for name in other.indices}
        if equation.left in step.given and equation.left not in read | others:
            defining.append(equation)
    over = tuple(index for index in step.over if index not in {equation.left for equation in defining})
    if not over and step.operator != "sum":
        return step, ()
    where = tuple(equation for equation in step.where if equation not in defining)
    return replace(step, operator=step.operator if over else None, over=over, where=where), tuple(defining)


def _with_factors(step: Step, factors: list[Element]) -> Step:
    """Return a step with factors that are 1 or 0, in place of its equations."""
    expression = step.expression
    neutral = reduction(step.operator).neutral if factors and step.operator else 0.0
    if neutral:
        for factor in factors:
            expression = Piecewise((expression, factor > 0), (Float(min(max(neutral, -MOST), MOST)), True))
    else:
        for factor in factors:
            expression *= factor
    return replace(step, expression=expression, where=())


def _right(equation: Equation, sizes: Mapping[str, int | None]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Return the indices of the right side of an equation, and its values for all of these."""
    indices = tuple(dict.fromkeys(index for index, _ in equation.terms))
    if SAMPLE in indices:
        raise ModelError(f"ONNX does not know equations for samples, as in: {equation}")
    grid = np.indices([sizes[index] or 0 for index in indices]) if indices else np.zeros(())
    total = np.zeros([sizes[index] or 0 for index in indices])
    for index, factor in equation.terms:
        total = total + factor * grid[indices.index(index)]
    return indices, total + equation.offset

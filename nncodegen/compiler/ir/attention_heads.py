"""The heads of attention in a program: which steps define their weights, and at which places each query may look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir.element import Element
from nncodegen.compiler.ir.program import Program
from nncodegen.compiler.ir.step import Step
from nncodegen.compiler.ir.steps import factors_of

MOST_PLACES = 16
"""The most queries, and the most places, of a head that is drawn as text."""


def attending(program: Program) -> list[Step]:
    """Return the steps that define weights of attention: softmaxes of products of queries and keys."""
    steps_by_tensor = {step.target.tensor: step for step in program.steps}
    known = {tensor.name for tensor in program.parameters}
    softmaxes = []
    for step in program.steps:
        places = [index for index in step.over if index in step.target.indices]
        if step.operator != "softmax" or len(places) != 1 or step.target.indices[-1] != places[0]:
            continue
        scores = steps_by_tensor.get(step.expression.tensor) if isinstance(step.expression, Element) else None
        if scores is not None and scores.operator is None:  # numbers are added to the scores
            inner = [
                steps_by_tensor[element.tensor] for element in scores.operands if element.tensor in steps_by_tensor
            ]
            scores = next((definition for definition in inner if definition.operator == "sum"), None)
        factors = factors_of(scores.expression) if scores is not None and scores.operator == "sum" else []
        if len(factors) == 2 and not known & {element.tensor for element in factors} and len(step.target.indices) > 2:
            softmaxes.append(step)
    return softmaxes


def places_of(step: Step, program: Program) -> NDArray[np.bool_]:
    """Return whether each query may look at each place, (queries, places), by the equations between their indices."""
    query, place = step.target.indices[-2:]
    sizes = [program.sizes[index] or 1 for index in (query, place)]
    grid = dict(zip((query, place), np.indices(sizes), strict=True))
    allowed = np.ones(sizes, bool)
    for equation in step.where:
        if equation.left in step.given and set(dict(equation.terms)) <= set(grid):
            right = sum(factor * grid[index] for index, factor in equation.terms) + equation.offset
            allowed &= (right >= 0) & (right < (program.sizes[str(equation.left)] or 1))
    return allowed


def drawn(program: Program) -> str:
    """Return a picture of who looks at whom as text, for each layer with attention: x where a query may look."""
    parts = []
    for step in attending(program):
        query, place = step.target.indices[-2:]
        masks = [str(equation.data) for equation in step.where if equation.data is not None]
        allowed = places_of(step, program)
        shown = allowed[:MOST_PLACES, :MOST_PLACES]
        where = f" where {' and '.join(f'{mask} = 1' for mask in masks)}" if masks else ""
        lines = [f"{step.target}: {query} looks at {'every ' if allowed.all() else ''}{place}{where}"]
        if not allowed.all():
            width = max(len(query), 2)
            lines.append(" ".join([f"{query:>{width}}", *(f"{k % 10}" for k in range(shown.shape[1])), f" {place}"]))
            lines += [
                " ".join([f"{k:>{width}}", *("x" if may_look else "." for may_look in row)])
                for k, row in enumerate(shown)
            ]
            if shown.shape != allowed.shape:
                lines.append(f"({shown.shape[0]} of {allowed.shape[0]} rows, {shown.shape[1]} of {allowed.shape[1]})")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)

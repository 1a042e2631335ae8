"""Inputs whose values number something, as the rows of an embedding: how many there are."""

from __future__ import annotations

from nncodegen.ir.program import Element, Program


def ranges_of(program: Program) -> dict[str, int]:
    """By the name of an input that equations read: its values are whole numbers from 0, below this one."""
    found: dict[str, int] = {}
    copies = {s.target.tensor: s.expression.tensor for s in program.steps if isinstance(s.expression, Element)}
    for equation in (equation for step in program.steps for equation in step.where):
        name = equation.data.tensor if equation.data is not None else ""
        while name in copies:
            name = copies[name]
        if any(name == tensor.name for tensor in program.inputs):
            size = min(program.sizes[index] or 0 for index, _ in equation.terms)
            found[name] = min(size, found.get(name, size))
    return found

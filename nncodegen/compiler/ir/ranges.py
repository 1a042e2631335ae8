"""Ranges of inputs whose values are indices, such as the row numbers of an embedding."""

from __future__ import annotations

from nncodegen.compiler.ir.element import Element
from nncodegen.compiler.ir.program import Program


def ranges_of(program: Program) -> dict[str, tuple[int, int]]:
    """Return, for each index-valued input, its range of whole numbers: (first, one past the last)."""
    ranges: dict[str, tuple[int, int]] = {}
    copies = {s.target.tensor: s.expression.tensor for s in program.steps if isinstance(s.expression, Element)}
    for equation in (equation for step in program.steps for equation in step.where):
        name = equation.data.tensor if equation.data is not None else ""
        while name in copies:
            name = copies[name]
        if any(name == tensor.name for tensor in program.inputs):
            begin = equation.offset if equation.terms else 0  # a mask, which is compared with 1 alone, is 0 or 1
            end = equation.offset + min((program.sizes[index] or 0 for index, _ in equation.terms), default=1)
            known = ranges.get(name, (begin, end))
            ranges[name] = max(known[0], begin), min(known[1], end)
    return ranges

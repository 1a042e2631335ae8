"""The parameters with which a training begins: those that a compiled module draws for the seed 0."""

from __future__ import annotations

from typing import Any

from nncodegen.compiler.emit.facts import parameter_of
from nncodegen.compiler.ir import Program
from nncodegen.runtime.python.ground.draw import draw


def start_of(program: Program) -> Any:
    """Return initial parameters (P,) in the precision of a program."""
    drawn = draw([parameter_of(tensor, program.precision) for tensor in program.parameters], 0)
    return drawn.astype(program.precision)

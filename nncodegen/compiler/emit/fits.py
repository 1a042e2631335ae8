"""The rows of many fits side by side: for one sample of each, the outputs and their derivatives by the parameters.

Their memory layout is that of the values of models trained side by side (see ``groups``): ``rows[c*FITS + lane]``.
"""

from __future__ import annotations

from nncodegen.compiler.emit.calls import CallsOfModels
from nncodegen.compiler.emit.elements import ElementsOfModels
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule import SideBySide


def emit_rows(program: Program, group: SideBySide, lines: Lines) -> None:
    """Write the function of the rows of a group."""
    at = ElementsOfModels(program, group.layout, group.kernel)
    lines.add("/* For one sample of each fit, the outputs and their derivatives by the parameters. */")
    with lines.function(
        "INLINE void group_rows(const real *restrict parameters, const real *restrict inputs,\n"
        "    const real *restrict targets, real *restrict values, real *restrict rows)"
    ):
        ((_, tree),) = group.kernel.trees.parts
        lines.add(*at.declarations(tree))
        LoopPrinter(at, CallsOfModels(at), lines).print(tree)
    lines.add("")

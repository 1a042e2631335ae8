"""The C of one step of a sequence: its sizes, and its kernel, in modules and in exports."""

from __future__ import annotations

from collections.abc import Iterator

from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.emit.plain import PlainElements
from nncodegen.compiler.ir import Program, Stepwise
from nncodegen.compiler.schedule.extents import ROWS
from nncodegen.compiler.schedule.plain import OneSample

KERNEL = (
    f"static void step_kernel(const real *parameters, const real *inputs, size_t {ROWS}, real *outputs, real *work)"
)
"""The head of the kernel, which computes what the next state is made of (``generate.h``) from the values of a state."""


def sizes(program: Program, stepwise: Stepwise) -> dict[str, int]:
    """Return the sizes of a step, by their names in C, given its program, with samples or of one."""
    probabilities, *others = (program.count(element.indices) for element in program.outputs)
    return {
        "PROBABILITIES": probabilities,
        "CARRIED": sum(tensor.size for tensor in stepwise.carried),
        "ARRAYS": len(stepwise.kept),
        "POSITIONS": stepwise.positions,
        "STATE": stepwise.state,
        "RESULTS": probabilities + sum(others),
    }


def declared(program: Program, stepwise: Stepwise) -> Iterator[str]:
    """Yield the lines that define the sizes of a step for ``generate.h``."""
    yield "/* The sizes of one step of a sequence. */"
    yield "enum {"
    named = [f"    STEP_{name} = {size}" for name, size in sizes(program, stepwise).items()]
    yield from (",\n".join(named)).splitlines()
    yield "};"
    if stepwise.rows:
        yield f"static const size_t step_rows[STEP_ARRAYS] = {{{', '.join(map(str, stepwise.rows))}}};"
    else:
        yield "static const size_t step_rows[1] = {0};"


def emit_step_kernel(kernel: OneSample, lines: Lines) -> None:
    """Write the kernel of a step of a module."""
    at = PlainElements(kernel, {})
    with lines.function(KERNEL):
        lines.add(*at.declarations(kernel.tree))
        LoopPrinter(at, None, lines, breaks="[-+]").print(kernel.tree)

"""The kernels of a program of values alone: one for many points, and one for a single point.

Points run along the vectors, and fill them: whoever calls the kernel copies the last ones to a row that does. Each
input has a row of its own, and so has each output, as columns of tables and arguments of functions have. At one point,
every value is a local variable.
"""

from __future__ import annotations

from collections.abc import Mapping

from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule.layout import choose_layout
from nncodegen.compiler.schedule.loops import make_kernel
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.plain import plan_outputs
from nncodegen.compiler.schedule.result import Schedule

VALUES = "values"
"""The name of the kernel."""


def schedule_values(program: Program, choices: Mapping[str, object]) -> Schedule:
    """Return the loops that compute the outputs of a program, and nothing else."""
    layout = choose_layout(program, choices)
    kernel = lower(make_kernel(program, layout, VALUES, program.outputs, ()), program, layout)
    return Schedule(program, layout, (kernel,), point=plan_outputs(program))

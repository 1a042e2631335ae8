"""schedule -> **emit**: the kernels and updates in C.

The text has four parts: the head with the sizes; for each kernel a function that works on one tile of samples
and adds to the sums, and one that finishes the sums; for each optimizer a function that updates a range of
parameters; and the loops over tiles (``loops.c``), batches and epochs (``training.c``), which are
the same for every model and are copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from sympy import Pow, log
from sympy.functions.elementary.miscellaneous import Max, Min

from nncodegen.emit.blas import calls_blas
from nncodegen.emit.blocks import emit_blocks
from nncodegen.emit.descent import emit_descent
from nncodegen.emit.elements import Elements, read_along
from nncodegen.emit.kernels import KernelEmitter
from nncodegen.emit.library import emit_library
from nncodegen.emit.lines import Lines, keep, used
from nncodegen.emit.many import ManyEmitter
from nncodegen.emit.names import identifier, named
from nncodegen.emit.printer import REAL_TYPES
from nncodegen.emit.registers import RegistersEmitter
from nncodegen.emit.rows import emit_rows
from nncodegen.emit.updates import emit_dispatch, emit_update
from nncodegen.ir import SAMPLE, Program
from nncodegen.schedule import LONG, Kernel, Layout, Place, Schedule

HERE = Path(__file__).parent


def emit_c(schedule: Schedule) -> str:
    """The C source of a scheduled program."""
    program, name, precision = schedule.program, identifier(schedule.program.name), schedule.program.precision
    gradient = schedule.kernels[-1]
    head = (HERE / "head.c").read_text()
    constants = "\n".join(f"    {key} = {value}," for key, value in _sizes(schedule).items())
    lines = Lines()
    _emit_extremes((program, *([schedule.scalars.program] if schedule.scalars else [])), lines)
    elements = (Elements(program, schedule.layout, kernel) for kernel in schedule.kernels)
    emitters = {of_kernel.kernel.name: KernelEmitter(of_kernel, lines) for of_kernel in elements}
    for emitter in emitters.values():
        emitter.emit()
    emit_rows(schedule, lines)
    library = emit_library(str(lines), REAL_TYPES[precision][0])
    for update in program.updates:
        lines.include(emit_update(update, precision))
    emit_dispatch(program.updates, lines)
    turned = _turned(program, schedule.layout)
    descent = emit_descent(schedule)
    body = _body(program, turned, descent)
    scalars = schedule.scalars
    if scalars:
        body += RegistersEmitter(scalars.program, scalars.kernel, precision, lines).emit()
    if schedule.many:
        body += ManyEmitter(schedule, lines).emit()
    blas = _blas(str(lines)) if calls_blas(schedule) else ""
    calls = blas + str(lines) + ("turn(" if turned else "")
    blocks = _blocks(calls) + blas if schedule.blocks else ""
    noise = (HERE / "noise.c").read_text() if program.noise else ""
    for distribution in sorted({source.distribution for source in program.noise}):
        noise += (HERE / f"noise_{distribution}.c").read_text()
    functions = used((HERE / f"functions{precision[-2:]}.c").read_text(), noise + str(lines))
    filled = head.replace("@CONSTANTS@", constants).replace("@REAL@", REAL_TYPES[precision][0])
    filled = filled.replace("@BITS@", precision[-2:])
    metrics = (HERE / "metrics.c").read_text().replace("@THRESHOLD@", f"{program.threshold!r}")
    measures = metrics if gradient.outputs else ""
    text = filled + library + functions + noise + blocks + measures + str(lines) + body
    marks = {"BLOCKS": schedule.blocks, "NOISE": bool(program.noise), "CUT": "#if CUT" in text}
    marks |= {"REGISTERS": bool(scalars)}
    single = bool(schedule.rows and schedule.rows.gradient)
    marks |= {"SINGLE": single, "NO_SINGLE": not single, "NO_BLOCKS": not schedule.blocks, "STRAIGHT": not turned}
    marks |= {key.upper(): emitter.prepares for key, emitter in emitters.items()}
    marks |= {"DESCENT": bool(descent), "PLAIN": bool(scalars or descent)}
    marks |= {"METRICS": bool(gradient.outputs), "CLASSES": program.labels, "TURNED": bool(turned)}
    marks |= {"FLUSH": _flushes(program), "WHOLE_ROWS": schedule.kernels[0].whole_rows}
    marks |= {"ANY_ROWS": not schedule.blocks and not marks["WHOLE_ROWS"]}
    for mark, kept in marks.items():
        text = keep(text, mark, kept)
    text = text.replace("@NOISE_ARGUMENT@", ", b->noise, m.rows" if program.noise else "")
    return named(text, name, REAL_TYPES[precision][0])


def _flushes(program: Program) -> bool:
    """Whether subnormal numbers are next to nothing: no logarithm or root of what depends on the samples is taken."""
    expressions = [step.expression for step in program.steps if SAMPLE in step.indices]
    powers = (power for expression in expressions for power in expression.atoms(Pow))
    return not any(expression.has(log) for expression in expressions) and all(p.exp.is_Integer for p in powers)


def _sizes(schedule: Schedule) -> dict[str, int]:
    """The constants in the head."""
    program, gradient = schedule.program, schedule.kernels[-1]
    sizes = {
        "PARAMETERS": program.parameter_count,
        "INPUTS": sum(tensor.size for tensor in program.inputs),
        "TARGETS": sum(tensor.size for tensor in program.targets),
        "OUTPUTS": sum(program.count(element.indices) for element in program.outputs),
        "TILE": schedule.tile,
        "SUMS": max(kernel.sums for kernel in schedule.kernels),
        "MEASURES": 2 + sum(tensor.size for tensor in program.targets) if gradient.outputs else 0,
        "WHOLE": gradient.whole,
        "ACROSS": gradient.across,
        "DIRECT": int(gradient.direct),
        "ARRAYS": max(kernel.arrays for kernel in _kernels(schedule)),
        "STATE": max((len(update.state) for update in program.updates), default=0),
        "OPTIONS": max((len(update.hyperparameters) for update in program.updates), default=1),
        "WHOLE_INPUTS": int(_in_lanes(schedule, Place.INPUT)),
        "WHOLE_TARGETS": int(_in_lanes(schedule, Place.TARGET)),
        "LABELS": int(program.labels),
        "COST": max(1, (program.operations or (0, 1))[1]),
    }
    if schedule.kernels[0].whole_rows:
        sizes["ABREAST"] = schedule.layout.padding
    if schedule.rows:
        sizes |= {"LONG": LONG, "ROWS": schedule.rows.samples}
    else:
        sizes |= {"LANES": 1, "PAD": 1, "PARTIALS": 0}
    return sizes


def _kernels(schedule: Schedule) -> Iterator[Kernel]:
    """All kernels that work in the same memory."""
    yield from schedule.kernels
    if schedule.rows:
        yield from (kernel for kernel in (schedule.rows.predict, schedule.rows.gradient) if kernel)


def _in_lanes(schedule: Schedule, place: Place) -> bool:
    """Whether vectors along the samples are read from rows from outside, which then must fill these."""
    return any(
        kernel.storage[element.tensor].place is place
        for kernel in schedule.kernels
        for nest in kernel.nests_with_metrics
        for element in read_along(nest, kernel)
    )


def _emit_extremes(programs: Sequence[Program], lines: Lines) -> None:
    """The larger and the smaller of two values, where one of the programs needs them."""
    steps = [step for program in programs for step in program.steps]
    steps += [step for program in programs for update in program.updates for step in update.steps]
    for function, text in (("maximum", Max), ("minimum", Min)):
        if any(step.expression.has(text) for step in steps):
            sign = ">" if function == "maximum" else "<"
            lines.add(f"/* The {function}, or NaN where either is: NaN must not be lost in a comparison. */")
            with lines.block(f"INLINE real {function}(real a, real b)"):
                lines.add(f"return a {sign} b || a != a ? a : b;")
            lines.add("")


def _body(program: Program, turned: str, descent: str) -> str:
    """The loops over tiles, batches and epochs, in which the marks are left."""
    batches = "".join((HERE / file).read_text() for file in ("loops.c", "threads.c", "gradients.c", "updates.c"))
    body = batches + descent + (HERE / "training.c").read_text()
    variables = ", ".join(str(len(update.state)) for update in program.updates)
    parts = {"PENALIZED": _penalized(program), "MATRICES": turned, "VARIABLES": variables}
    for key, text in parts.items():
        body = body.replace(f"@{key}@", text)
    return body


def _penalized(program: Program) -> str:
    """The ranges of the parameters that are penalized, as the initializer of an array of pairs."""
    ranges: list[list[int]] = []
    start = 0
    for tensor in program.parameters:
        if tensor.penalized and ranges and ranges[-1][1] == start:
            ranges[-1][1] += tensor.size
        elif tensor.penalized:
            ranges.append([start, start + tensor.size])
        start += tensor.size
    return ", ".join(f"{{{first}, {last}}}" for first, last in ranges or [[0, 0]])


def _turned(program: Program, layout: Layout) -> str:
    """The matrices of parameters that lie turned over in a training, as the initializer of an array."""
    starts = accumulate((tensor.size for tensor in program.parameters), initial=0)
    parameters = zip(program.parameters, starts, strict=False)
    turned = ((start, *tensor.shape) for tensor, start in parameters if tensor.name in layout.turned)
    return ", ".join(f"{{{start}, {rows}, {columns}}}" for start, rows, columns in turned)


def _blocks(text: str) -> str:
    """The vectors, and those of the functions for blocks that a text calls."""
    head, functions = (HERE / "blocks.c").read_text().split("@BODIES@")
    types, small = re.split(r"^(?=/\* --- )", head, maxsplit=1, flags=re.MULTILINE)
    return types + used(small + emit_blocks() + functions, text + "flush(")


def _blas(text: str) -> str:
    """The pointer to a routine of BLAS, and those of the functions around it that a text calls."""
    pointer, functions = re.split(r"^(?=/\* --- )", (HERE / "blas.c").read_text(), maxsplit=1, flags=re.MULTILINE)
    return pointer + used(functions, text)

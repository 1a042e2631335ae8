"""The configuration of a model: what ``config.h`` of the runtime asks of it, as names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from sympy import Pow, log

from nncodegen.emit.blas import calls_blas
from nncodegen.emit.descent import finished, updates_in_place
from nncodegen.emit.elements import read_along
from nncodegen.emit.kernels import KernelEmitter
from nncodegen.emit.many import GroupEmitter
from nncodegen.emit.names import identifier
from nncodegen.emit.registers import RegistersEmitter
from nncodegen.ir import SAMPLE, Program
from nncodegen.schedule import LONG, Kernel, Layout, Place, Schedule

STATE, OPTIONS = 3, 5
"""Variables of the state and hyperparameters of the rules that every model has, at most: what config.h assumes."""


def configuration(
    schedule: Schedule,
    tiles: Sequence[KernelEmitter],
    registers: RegistersEmitter | None,
    group: GroupEmitter | None,
) -> dict[str, Mapping[str, Any]]:
    """Names and values, in groups behind what these are about, without those that are as config.h assumes."""
    program, gradient, rows = schedule.program, schedule.kernels[-1], schedule.rows
    descends = updates_in_place(schedule)
    transposed = _transposed(program, schedule.layout)
    state = max(len(update.state) for update in program.updates)
    options = max(len(update.hyperparameters) for update in program.updates)
    groups: dict[str, Mapping[str, Any]] = {
        "The model: the bits of its numbers, and how many there are of each kind.": {
            "MODEL": identifier(program.name),
            "BITS": program.precision[-2:],
            "PARAMETERS": program.parameter_count,
            "INPUTS": sum(tensor.size for tensor in program.inputs),
            "TARGETS": sum(tensor.size for tensor in program.targets),
            "OUTPUTS": sum(program.count(element.indices) for element in program.outputs),
            "PENALIZED": _ranges(_penalized(program)),
            "OPERATIONS": max(1, (program.operations or (0, 1))[1]),
        },
        "Its loops: the samples of a tile, work memory, and where sums over the samples are.": {
            "TILE": schedule.tile,
            "ARRAYS": max(kernel.arrays for kernel in _kernels(schedule)),
            "SUMS": max(kernel.sums for kernel in schedule.kernels),
            "WHOLE": gradient.whole,
            "ACROSS": gradient.across,
            "DIRECT": int(gradient.direct),
            **({"LONG": LONG, "ROWS": rows.samples} if rows else {}),
        },
        "What it has, and what its loops need.": {
            "HAS_MANY": int(schedule.many),
            "HAS_BLAS": int(calls_blas(schedule)),
            "HAS_BLOCKS": int(schedule.blocks),
            **_set(
                HAS_METRICS=bool(gradient.outputs),
                HAS_CLASSES=program.labels,
                HAS_NOISE=bool(program.noise),
                HAS_SINGLE_GRADIENT=bool(rows and rows.gradient),
                HAS_REGISTERS=bool(registers),
                HAS_SEQUENTIAL=bool(registers and registers.sequential),
                HAS_TRANSPOSED=bool(transposed),
                DESCENDS=descends,
                FLUSHES=_flushes(program),
                WHOLE_INPUTS=_in_lanes(schedule, Place.INPUT),
                WHOLE_TARGETS=_in_lanes(schedule, Place.TARGET),
                ABREAST=schedule.layout.padding if schedule.kernels[0].whole_rows else 0,
                PREPARES_PREDICT=tiles[0].prepares,
                PREPARES_LOSS=tiles[1].prepares,
                PREPARES_GRADIENT=tiles[2].prepares,
                TRANSPOSED=_ranges(transposed),
                FINISHED=_ranges(finished(schedule)) if descends else "",
                THRESHOLD="" if program.threshold == 0.5 else repr(program.threshold),
                STATE=state if state > STATE else 0,
                OPTIONS=options if options > OPTIONS else 0,
            ),
        },
    }
    if group:
        groups["A group of models: how many, the samples of each at once, and what they need."] = group.configuration
    return groups


def _set(**settings: int | str) -> dict[str, int | str]:
    """Those that are set to something."""
    return {key: value if isinstance(value, str) else int(value) for key, value in settings.items() if value}


def _ranges(ranges: Sequence[Sequence[int | None]]) -> str:
    """The initializer of an array of pairs or triples."""
    return ", ".join("{" + ", ".join(map(str, numbers)) + "}" for numbers in ranges)


def _flushes(program: Program) -> bool:
    """Whether subnormal numbers are next to nothing: no logarithm or root of what depends on the samples is taken."""
    expressions = [step.expression for step in program.steps if SAMPLE in step.indices]
    powers = (power for expression in expressions for power in expression.atoms(Pow))
    return not any(expression.has(log) for expression in expressions) and all(p.exp.is_Integer for p in powers)


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


def _penalized(program: Program) -> list[list[int]]:
    """The ranges of the parameters that are penalized; an empty one, if there are none."""
    ranges: list[list[int]] = []
    start = 0
    for tensor in program.parameters:
        if tensor.penalized and ranges and ranges[-1][1] == start:
            ranges[-1][1] += tensor.size
        elif tensor.penalized:
            ranges.append([start, start + tensor.size])
        start += tensor.size
    return ranges or [[0, 0]]


def _transposed(program: Program, layout: Layout) -> list[tuple[int | None, ...]]:
    """The matrices of parameters that lie transposed in a training: the first value, rows, columns."""
    starts = accumulate((tensor.size for tensor in program.parameters), initial=0)
    parameters = zip(program.parameters, starts, strict=False)
    return [(start, *tensor.shape) for tensor, start in parameters if tensor.name in layout.turned]

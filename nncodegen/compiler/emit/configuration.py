"""The configuration of a model: the macros that ``config.h`` of the runtime documents, as names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nncodegen.compiler.emit.groups import GroupEmitter
from nncodegen.compiler.emit.names import identifier
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.schedule import LONG, Place, Schedule, Shape

STATE, OPTIONS = 3, 5
"""The defaults in config.h: the largest number of state values, and of hyperparameters, that the usual update rules
have."""


OF_PATH = 100_000
"""The operations that a sample of differential equations counts as, however few steps it takes: a call asks after each
tile whether it should end."""


def configuration(schedule: Schedule) -> dict[str, Mapping[str, Any]]:
    """Return names and values in groups, each with a title, without those that equal the defaults of config.h."""
    program, gradient, descent = schedule.program, schedule.gradient, schedule.descent
    single = schedule.single_sample
    prepares = {
        f"PREPARES_{kernel.name.upper()}": bool(kernel.trees.before and kernel.trees.before[0])
        for kernel in schedule.kernels
    }
    groups: dict[str, Mapping[str, Any]] = {
        **_sizes(schedule),
        "Its loops: the samples of a tile, work memory, where sums over samples are kept, what is read in vectors.": {
            "TILE": schedule.tile,
            **_set(
                ARRAYS=max(kernel.memory.arrays + kernel.memory.paths for kernel in schedule.sharing),
                SUMS=max(kernel.memory.sums for kernel in schedule.kernels),
                GRADIENT_SUMS=gradient.memory.gradient_sums,
                LANE_SUMS=gradient.memory.lane_sums,
                DIRECT=gradient.direct,
                **schedule.in_phases,
                WHOLE_INPUTS=schedule.in_vectors(Place.INPUT),
                WHOLE_TARGETS=schedule.in_vectors(Place.TARGET),
                SAMPLES_AT_ONCE=schedule.layout.padding if schedule.kernels[0].whole_vectors else 0,
            ),
            **({"LONG": LONG, "SINGLE_SAMPLES": single.samples if single else 1} if schedule.blocks else {}),
        },
        "What it has, and how it is trained.": _set(
            **{f"HAS_{what}": holds for what, holds in offers(schedule).items()},
            HAS_BLOCKS=schedule.blocks,
            HAS_PADDING=schedule.long and not schedule.blocks,
            TILES_ONLY=schedule.blocks and not single,
            HAS_WINDOWS=bool(single and program.moves),
            HAS_PATHS=_solves(schedule),
            HAS_METRICS=bool(gradient.outputs),
            HAS_CLASSES=program.task.labels,
            HAS_NOISE=bool(program.noise),
            HAS_SINGLE_GRADIENT=bool(single and single.gradient),
            HAS_REGISTERS=bool(schedule.unrolled),
            HAS_SEQUENTIAL=bool(schedule.unrolled and schedule.unrolled.sequential),
            HAS_TRANSPOSED=bool(schedule.transposed),
            DESCENDS=descent.samples if descent else 0,
            DESCENT=descent.update if descent else 0,
            FLUSHES=_flushes(schedule) and bool(schedule.fits or not schedule.companion),
            **prepares,
            TRANSPOSED=_ranges(schedule.transposed),
            FINISHED=_ranges(descent.elsewhere) if descent else "",
            THRESHOLD="" if program.task.threshold == 0.5 else repr(program.task.threshold),
            **_largest(program),
        ),
    }
    groups |= _fit(schedule)
    return {about: settings for about, settings in groups.items() if settings}


def configuration_of_many(schedule: Schedule, group: GroupEmitter) -> dict[str, Mapping[str, Any]]:
    """Return in the same way what the training of many models side by side must know."""
    descent = schedule.descent
    return {
        **_sizes(schedule),
        "How it is trained.": _set(
            TILE=schedule.tile,
            HAS_BLOCKS=schedule.blocks,
            HAS_PATHS=_solves(schedule),
            LONG=LONG if schedule.blocks else 0,
            SINGLE_SAMPLES=int(schedule.blocks),
            DESCENT=descent.update if descent else 0,
            FLUSHES=_flushes(schedule),
            **_largest(schedule.program),
        ),
        "A group of models: how many, the samples of a tile, and the memory of each.": group.configuration,
    }


def configuration_of_step(schedule: Schedule) -> dict[str, Mapping[str, Any]]:
    """Return in the same way what a step of a sequence must know: it has no tiles, and no blocks."""
    return {**_sizes(schedule), "It is that of one sample.": {"TILE": 1}}


def configuration_of_values(schedule: Schedule) -> dict[str, Mapping[str, Any]]:
    """Return in the same way what the kernels of values alone must know."""
    (kernel,) = schedule.kernels
    loops = {"TILE": schedule.tile, **_set(ARRAYS=kernel.memory.arrays)}
    return {**_sizes(schedule), "Its loops: the points of a tile, and work memory.": loops}


def _solves(schedule: Schedule) -> bool:
    """Return whether differential equations are solved in steps that are chosen at run time."""
    return any(Shape.PATH in kernel.shapes for kernel in schedule.kernels)


def _flushes(schedule: Schedule) -> bool:
    """Return whether subnormal numbers may count as zero in training: instruction sets differ in how they do so."""
    return schedule.flushes_subnormals and schedule.program.bits != PORTABLE


def _sizes(schedule: Schedule) -> dict[str, Mapping[str, Any]]:
    program = schedule.program
    return {
        "The model: the bits of its numbers, and how many there are of each kind.": {
            "MODEL(name)": f"{identifier(program.name)}_##name",
            "BITS": program.precision[-2:],
            **_set(SAME_BITS=program.bits == PORTABLE),
            "PARAMETERS": program.parameter_count,
            "INPUTS": sum(tensor.size for tensor in program.inputs),
            "TARGETS": sum(tensor.size for tensor in program.targets),
            "OUTPUTS": program.width(program.outputs),
            **({} if schedule.companion else _set(**{name: _ranges(of) for name, of in schedule.ranges.items()})),
            "OPERATIONS": max(OF_PATH if systems_of(program.steps) else 1, (schedule.operations or (0, 1))[1]),
        }
    }


def _largest(program: Program) -> dict[str, int | str]:
    """Return how many values of state and hyperparameters the update rules have, where that is unusual."""
    state = max((len(update.state) for update in program.updates), default=0)
    options = max((len(update.hyperparameters) for update in program.updates), default=0)
    return _set(STATE=state if state > STATE else 0, OPTIONS=options if options > OPTIONS else 0)


def offers(schedule: Schedule) -> dict[str, bool]:
    """Return which optional functions a model has."""
    names = [each.companion.name for each in schedule.companions if each.companion]
    return {
        "MANY": schedule.many,
        "BLAS": schedule.calls_blas,
        "FIT": any(each.companion and each.companion.outputs for each in schedule.companions),
        "FITS": any(each.fits for each in schedule.companions),
        "HESSIAN": "hessian" in names,
        "FIELDS": "fields" in names,
        "STEP": "step" in names,
    }


def _fit(schedule: Schedule) -> dict[str, Mapping[str, Any]]:
    """Return the further settings of the companion for a fit, as a group."""
    if not (schedule.companion and schedule.companion.outputs):
        return {}
    settings: dict[str, Any] = {"FIT_OUTPUTS": schedule.companion.outputs, "FIT_CURVED": int(schedule.companion.curved)}
    guards = len(schedule.companion.guards)
    settings |= _set(
        FIT_FORWARD=schedule.companion.forward, FIT_GUARDS=guards, CHANGES=schedule.program.task.fits.input_shifts
    )
    settings |= _set(FIT_INPUT_GUARDS=schedule.companion.input_guards)
    if schedule.companion.block < schedule.companion.outputs:
        settings |= _set(FIT_BLOCK=schedule.companion.block, FIT_APART=schedule.companion.apart)
    settings |= _set(FIT_NOISE=bool(schedule.companion.noise))
    if schedule.fits:
        settings |= _set(
            HAS_GROUP_ROWS=1, FITS=schedule.fits.models, FITS_VALUES=max(1, schedule.fits.kernel.memory.arrays)
        )
    return {"A fit: the outputs that a loss depends on, whether it is no sum of squares, many side by side.": settings}


def _set(**settings: int | str) -> dict[str, int | str]:
    """Return the settings that are not 0 or empty."""
    return {key: value if isinstance(value, str) else int(value) for key, value in settings.items() if value}


def _ranges(ranges: Sequence[Sequence[float]]) -> str:
    """Return the initializer of an array of pairs or triples."""
    return ", ".join("{" + ", ".join(map(str, numbers)) + "}" for numbers in ranges)
